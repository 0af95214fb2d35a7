//! OpenFlow tables + packet -> datapath actions + mask + effects. Reads no clock, opens no socket.

pub mod frozen;
pub mod request;
pub mod trace;
pub mod view;

pub use request::{Credit, Effect, LearnedFlow, Request, Start, ToController, Xlate, XlateError};
pub use view::{Bridge, BridgeConfig, BridgeId, Bundle, BundleId, Network, Port, Rule, RuleData, RuleTable};

//! OpenFlow tables + packet -> datapath actions + mask + effects. Reads no clock, opens no socket.

mod action_set;
mod actions;
mod commit;
mod conntrack;
mod encap;
mod explain;
mod fields;
pub mod frozen;
pub mod groups;
mod hash;
mod learn;
mod normal;
mod output;
pub mod port_order;
pub mod request;
pub mod special;
pub mod trace;
pub mod view;
mod xlate;

pub use request::{Credit, Effect, LearnedFlow, Request, Start, ToController, Xlate, XlateError};
pub use view::{Bridge, BridgeConfig, BridgeId, Bundle, BundleId, Network, Port, Rule, RuleData, RuleTable};
pub use xlate::{INTERNAL_DROP, INTERNAL_FRAGMENT, INTERNAL_MISS, MAX_DEPTH, MAX_RESUBMITS, metered, translate};

#[cfg(test)]
mod tests;

//! The datapath trait; datapath actions and flows, and their text forms.

pub mod action;
pub mod action_text;
pub mod api;
mod attrs;
pub mod edit;
pub mod flow;
pub mod flow_text;
pub mod key_text;
pub mod meter;
pub mod netlink;

pub use action::{DpAction, DropReason, Set, SetAttr, SlowReason, UserCookie};
pub use api::{
    Datapath, DpError, DpStats, Execute, Features, FlowPut, Held, InstallFlow, PortInfo, PortStats, Upcall,
    UpcallAnswer, UpcallHandler, UpcallKind,
};
pub use flow::{FlowCounters, FlowDump, FlowStats, Ufid};
pub use meter::{MeterBand, MeterConfig, MeterFeatures, MeterStats};

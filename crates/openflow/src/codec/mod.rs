//! Wire forms.

pub mod bytes;
pub mod control;
pub mod fixed_match;
pub mod flows;
pub mod frame;
pub mod groups;
pub mod messages;
pub mod meters;
pub mod monitor;
pub mod oxm;
pub mod oxm_match;
pub mod oxs;
pub mod packets;
pub mod ports;
pub mod property;
pub mod tables;
pub mod types;

pub use flows::Options;

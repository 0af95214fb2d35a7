//! The command-line tools.

pub mod ovs_appctl;
pub mod ovs_ofctl;

//! The command-line tools.

pub mod ovs_appctl;

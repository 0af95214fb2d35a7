//! The command-line tools.

pub mod ovs_appctl;
pub mod ovsdb_tool;

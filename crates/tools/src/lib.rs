//! The command-line tools.

pub mod ctl;
pub mod ovs_appctl;
pub mod ovs_dpctl;
pub mod ovs_ofctl;
pub mod ovs_pki;
pub mod ovs_testcontroller;
pub mod ovs_vsctl;
pub mod ovsdb_client;
pub mod ovsdb_tool;
pub mod table;
pub mod vtep_ctl;

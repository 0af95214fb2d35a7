//! Link and layer-2 protocols as state machines: MAC learning first.

pub mod mac_learning;

//! Codecs for the kernel's openvswitch families and the other netlink messages that no crate covers.

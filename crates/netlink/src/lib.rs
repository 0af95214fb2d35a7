//! Codecs of netlink messages: the kernel's openvswitch families, the controller of generic netlink, and connection tracking.
//!
//! Nothing here opens a socket. Lengths are checked strictly; attributes that are not known are skipped, since kernels newer than
//! this code have more of them. Numbers and layouts are those of `linux/netlink.h`, `linux/genetlink.h`, `linux/openvswitch.h` and
//! `linux/netfilter/nfnetlink_conntrack.h`. Integers are in the machine's byte order unless a field says otherwise.

pub mod attr;
pub mod conntrack;
pub mod ct_limit;
pub mod dp;
pub mod family;
pub mod flow;
pub mod message;
pub mod meter;
pub mod ovs;
pub mod packet;
pub mod vport;

pub use attr::{Attrs, Malformed, Writer};
pub use message::{Header, Message, Messages, Reply};

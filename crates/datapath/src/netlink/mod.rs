//! Keys, masks and actions as the kernel's datapath has them: attributes of netlink messages.

mod action;
mod cookie;
mod key;
mod set;

pub use action::{needs_help, read_actions, write_actions};
pub use cookie::{read_cookie, write_cookie};
pub use key::{
    UnknownAttr, read_key, read_mask, unknown_attrs, write_key, write_key_under, write_mask, write_metadata,
};

#[cfg(test)]
mod tests;

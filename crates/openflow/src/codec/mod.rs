//! Wire forms.

pub mod bytes;
pub mod fixed_match;
pub mod oxm;
pub mod oxm_match;

//! The field table; flow key, mask and match; prerequisites; extraction from a packet.
//!
//! - [`table::FIELDS`] is THE table of match fields; [`Field`] names a row.
//! - [`FlowKey`] holds the fields of one packet, [`FlowMask`] says which bits matter, [`Match`] is both together.
//! - [`MiniKey`] and [`MiniMatch`] hold only the words that are not zero.
//! - [`OfPort`] and [`DpPort`] are the two kinds of port number.

mod accessors;
pub mod compose;
pub mod extract;
pub mod field;
pub mod key;
pub mod matching;
pub mod mini;
mod normalize;
pub mod packet_type;
pub mod port;
pub mod table;
pub mod text;
pub mod tunnel;

pub use compose::{Payload, compose};
pub use extract::{Layers, Metadata, extract, extract_into};
pub use field::{Field, FieldDef, FieldValue, Fixed, Format, MaskRule, Number, Prereq, Subfield};
pub use key::{FlowKey, FlowMask, WORDS};
pub use matching::{Match, match_of_packet};
pub use mini::{MiniKey, MiniMatch, WordMap};
pub use normalize::{is_normal, normalize};
pub use packet_type::PacketType;
pub use port::{DpPort, OfPort};
pub use tunnel::{TunAlloc, TunSlot};

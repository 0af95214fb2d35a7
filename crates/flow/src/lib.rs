//! The field table; flow key, mask and match; prerequisites; extraction from a packet.

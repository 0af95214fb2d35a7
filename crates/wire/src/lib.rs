//! Packet headers: typed views, builders and checksums.

//! Tuple-space search with wildcard tracking.

//! Monotonic time, real or virtual; wall-clock time as a separate type that never warps.

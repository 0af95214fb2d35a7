//! Typed replica of a database for client programs.

//! The database server daemon.

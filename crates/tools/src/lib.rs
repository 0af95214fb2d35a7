//! The command-line tools.

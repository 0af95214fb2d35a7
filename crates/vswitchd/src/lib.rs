//! The switch daemon: bridges made to match the database.

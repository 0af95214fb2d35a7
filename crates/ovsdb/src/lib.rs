//! The database engine: transactions, constraints, conditions, monitors and the log file format.

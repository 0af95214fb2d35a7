//! OVSDB atoms, datums, rows and schemas with their JSON and text forms (RFC 7047 §3, §5.1).

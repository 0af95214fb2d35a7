//! The one executable, and what the original never had: up, demo, links.

fn main() {}

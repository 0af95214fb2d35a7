//! Publish-and-read state between threads; the one place with memory-ordering code.

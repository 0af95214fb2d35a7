//! Publish-and-read state between threads.
//!
//! A writer builds a new value and publishes it in one step; a reader takes the value that is published at that
//! moment and keeps it as long as it likes. Readers never wait, and never see half a change.

pub mod versions;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

pub use versions::{VersionGuard, Versions};

/// A value that one side replaces and many sides read.
#[derive(Debug, Default)]
pub struct Published<T>(ArcSwap<T>);

impl<T> Published<T> {
    /// Publishes a first value.
    pub fn new(value: T) -> Self {
        Published(ArcSwap::from_pointee(value))
    }

    /// The value of this moment, for a short look. Holding many of them at once on a thread makes the next ones slower.
    #[inline]
    pub fn read(&self) -> Reading<T> {
        Reading(self.0.load())
    }

    /// The value of this moment, to keep.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value.
    pub fn publish(&self, value: T) {
        self.0.store(Arc::new(value));
    }

    /// Replaces the value by one that is shared already.
    pub fn publish_arc(&self, value: Arc<T>) {
        self.0.store(value);
    }

    /// Replaces the value and gives the former one.
    pub fn swap(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }
}

/// A short look at a [`Published`] value.
pub struct Reading<T>(Guard<Arc<T>>);

impl<T> std::ops::Deref for Reading<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_what_it_took() {
        let p = Published::new(1);
        let first = p.get();
        p.publish(2);
        assert_eq!((*first, *p.read()), (1, 2));
    }
}

//! Publish-and-read state between threads; the one place with memory-ordering code.
//!
//! A [`Published`] value is replaced as a whole. A reader takes a reference and keeps the old value alive for as long as it
//! holds it; it never waits, and never sees half of a change. Writers do not wait for readers.

mod by_hash;
mod shared_map;
mod sync;
pub mod versions;

pub use by_hash::{ByHash, Cell, Count};
pub use shared_map::SharedMap;
pub use versions::{Lifetime, VersionGuard, Versions};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use std::fmt;
use std::sync::Arc;

/// A value that one thread replaces and many read.
pub struct Published<T> {
    inner: ArcSwap<T>,
}

/// What a reader holds while it reads. Short-lived; use [`Published::snapshot`] to keep a value.
pub type Reading<T> = Guard<Arc<T>>;

impl<T> Published<T> {
    /// Publishes a first value.
    pub fn new(value: T) -> Self {
        Published { inner: ArcSwap::from_pointee(value) }
    }

    /// The present value, for a short look. Costs no shared write in the common case.
    pub fn load(&self) -> Reading<T> {
        self.inner.load()
    }

    /// The present value, to keep.
    pub fn snapshot(&self) -> Arc<T> {
        self.inner.load_full()
    }

    /// Replaces the value; readers that hold the old one keep it.
    pub fn publish(&self, value: Arc<T>) {
        self.inner.store(value);
    }
}

impl<T: Default> Default for Published<T> {
    fn default() -> Self {
        Published::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&*self.load()).finish()
    }
}

/// A value that may be absent, replaced by one thread and read by many.
pub struct PublishedOption<T>(ArcSwapOption<T>);

impl<T> Default for PublishedOption<T> {
    fn default() -> Self {
        PublishedOption::empty()
    }
}

impl<T> PublishedOption<T> {
    /// No value.
    pub fn empty() -> Self {
        PublishedOption(ArcSwapOption::empty())
    }

    /// A first value.
    pub fn new(value: Option<Arc<T>>) -> Self {
        PublishedOption(ArcSwapOption::new(value))
    }

    /// The present value, for a short look.
    pub fn load(&self) -> Guard<Option<Arc<T>>> {
        self.0.load()
    }

    /// The present value.
    pub fn get(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.load().is_none()
    }

    /// Replaces the value.
    pub fn set(&self, value: Option<Arc<T>>) {
        self.0.store(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_what_it_took() {
        let p = Published::new(vec![1]);
        let old = p.snapshot();
        let reading = p.load();
        p.publish(Arc::new(vec![2]));
        assert_eq!((old.as_slice(), reading.as_slice(), p.load().as_slice()), (&[1][..], &[1][..], &[2][..]));
    }

    #[test]
    fn readers_see_whole_values_while_one_thread_writes() {
        let p = Published::new([0u64; 8]);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let mut last = 0;
                    while last < 2000 {
                        let v = **p.load();
                        assert!(v.iter().all(|x| *x == v[0]), "half a change: {v:?}");
                        assert!(v[0] >= last, "went back");
                        last = v[0];
                    }
                });
            }
            for n in 1..=2000 {
                p.publish(Arc::new([n; 8]));
            }
        });
    }
}

//! What versions are made of. With `--cfg ferrovs_loom`, `loom` takes the place of the real things, and tries every order in
//! which threads may take turns.

#[cfg(not(ferrovs_loom))]
pub(crate) use arc_swap::ArcSwap;
#[cfg(not(ferrovs_loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

#[cfg(ferrovs_loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// What [`arc_swap::ArcSwap`] promises: loading and swapping are one step each.
#[cfg(ferrovs_loom)]
#[derive(Debug)]
pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

#[cfg(ferrovs_loom)]
impl<T> ArcSwap<T> {
    pub fn from_pointee(value: T) -> Self {
        ArcSwap(Mutex::new(Arc::new(value)))
    }

    pub fn load_full(&self) -> Arc<T> {
        self.0.lock().unwrap().clone()
    }

    pub fn load(&self) -> Arc<T> {
        self.load_full()
    }

    pub fn swap(&self, value: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *self.0.lock().unwrap(), value)
    }
}

//! The polling thread's exact-match cache: from a whole key to its flow.

use crate::table::Flow;
use flow::FlowKey;
use flow::mini::{finish_hash, mix};
use std::sync::Arc;

/// Entries. Two places for each key, so that two busy flows with one place do not push each other out.
const ENTRIES: usize = 8192;

struct Entry {
    key: Box<FlowKey>,
    flow: Arc<Flow>,
}

pub(crate) struct ExactCache {
    entries: Vec<Option<Entry>>,
}

impl ExactCache {
    pub fn new() -> Self {
        ExactCache { entries: (0..ENTRIES).map(|_| None).collect() }
    }

    fn places(key: &FlowKey) -> [usize; 2] {
        let h = finish_hash(key.words().iter().filter(|w| **w != 0).fold(0, |h, w| mix(h, *w)));
        [h as usize % ENTRIES, (h >> 32) as usize % ENTRIES]
    }

    /// The flow of a key; forgets entries of flows that have left the table.
    pub fn lookup(&mut self, key: &FlowKey) -> Option<Arc<Flow>> {
        for place in Self::places(key) {
            let slot = &mut self.entries[place];
            match slot {
                Some(e) if *e.key == *key => {
                    if !e.flow.data.is_dead() {
                        return Some(e.flow.clone());
                    }
                    *slot = None;
                }
                _ => {}
            }
        }
        None
    }

    pub fn insert(&mut self, key: &FlowKey, flow: Arc<Flow>) {
        let places = Self::places(key);
        let free = places.into_iter().find(|p| self.entries[*p].as_ref().is_none_or(|e| e.flow.data.is_dead()));
        let place = free.unwrap_or(places[1]);
        self.entries[place] = Some(Entry { key: Box::new(*key), flow });
    }

    pub fn clear(&mut self) {
        self.entries.iter_mut().for_each(|e| *e = None);
    }
}

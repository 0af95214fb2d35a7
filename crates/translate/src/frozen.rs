//! State of a packet between two passes through the tables.
//!
//! A recirculation id stands for a state. Equal states get the same id, so that translating a flow anew gives the same
//! actions. Ids are never 0, which means "not recirculated".

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Instant;
use flow::{MiniKey, OfPort};
use openflow::TableId;
use openflow::action::Action;

use crate::view::BridgeId;

/// Everything that a translation needs to go on where another one stopped.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FrozenState {
    /// Bridge.
    pub bridge: BridgeId,
    /// Table to go on with, where there are no `actions` to finish first.
    pub table: Option<TableId>,
    /// Fields that the packet itself does not carry: registers, metadata, tunnel, input port, …
    pub metadata: MiniKey,
    /// Stack, bottom first.
    pub stack: Vec<Vec<u8>>,
    /// Mirrors that have seen the packet.
    pub mirrors: u32,
    /// Whether it went through connection tracking.
    pub conntracked: bool,
    /// Whether an MPLS header was popped and its inside has yet to be seen.
    pub was_mpls: bool,
    /// Actions to finish.
    pub actions: Vec<Action>,
    /// Action set.
    pub action_set: Vec<Action>,
    /// Cookie of the rule that the remaining actions belong to.
    pub cookie: Option<u64>,
    /// For a packet on its way to the controller: its user data.
    pub userdata: Vec<u8>,
    /// Port that the packet came in by.
    pub in_port: OfPort,
    /// A continuation waits for a controller rather than for the datapath.
    pub paused: bool,
    /// Length of the packet that mirrors cut it to.
    pub meter: u32,
}

#[derive(Default)]
struct Inner {
    next: u32,
    by_id: HashMap<u32, (Arc<FrozenState>, Instant)>,
    by_hash: HashMap<u64, Vec<u32>>,
}

/// States by id.
#[derive(Default)]
pub struct FrozenStore(Mutex<Inner>);

impl std::fmt::Debug for FrozenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrozenStore").field("states", &self.len()).finish()
    }
}

fn hash(state: &FrozenState) -> u64 {
    let mut h = flow::mini::mix(state.bridge.0, state.table.map_or(0x100, |t| t.0.into()));
    for (i, w) in state.metadata.iter() {
        h = flow::mini::mix(h, w ^ i as u64);
    }
    h = flow::mini::mix(h, (state.actions.len() as u64) << 32 | state.action_set.len() as u64);
    h = flow::mini::mix(h, state.cookie.unwrap_or(0) ^ u64::from(state.in_port.0) << 32);
    state.userdata.iter().fold(h, |h, &b| flow::mini::mix(h, b.into()))
}

impl FrozenStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a state; makes one where there is none.
    pub fn id_of(&self, state: FrozenState, now: Instant) -> u32 {
        let hash = hash(&state);
        let mut guard = self.lock();
        let inner = &mut *guard;
        let ids = inner.by_hash.entry(hash).or_default();
        for id in ids.iter() {
            if let Some((known, used)) = inner.by_id.get_mut(id)
                && **known == state
            {
                *used = now;
                return *id;
            }
        }
        loop {
            inner.next = inner.next.wrapping_add(1);
            if inner.next != 0 && !inner.by_id.contains_key(&inner.next) {
                break;
            }
        }
        ids.push(inner.next);
        inner.by_id.insert(inner.next, (Arc::new(state), now));
        inner.next
    }

    /// The state of an id.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Arc<FrozenState>> {
        self.lock().by_id.get(&id).map(|(state, _)| state.clone())
    }

    /// Says that an id is in use at `now`: a flow with it is in the datapath.
    pub fn touch(&self, id: u32, now: Instant) {
        if let Some((_, used)) = self.lock().by_id.get_mut(&id) {
            *used = now;
        }
    }

    /// Forgets ids that were not used since `before`.
    pub fn expire(&self, before: Instant) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.by_id.retain(|_, (_, used)| *used >= before);
        let by_id = &inner.by_id;
        inner.by_hash.retain(|_, ids| {
            ids.retain(|id| by_id.contains_key(id));
            !ids.is_empty()
        });
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there are no ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_states_share_an_id() {
        let store = FrozenStore::default();
        let state = |cookie| FrozenState { cookie: Some(cookie), ..FrozenState::default() };
        let a = store.id_of(state(1), Instant::ZERO);
        assert_eq!(store.id_of(state(1), Instant::from_millis(5)), a);
        assert_ne!(store.id_of(state(2), Instant::ZERO), a);
        store.expire(Instant::from_millis(1));
        assert_eq!(store.len(), 1);
        assert_eq!(store.get(a).unwrap().cookie, Some(1));
    }
}

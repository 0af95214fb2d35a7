//! Lists of actions that flows share: of many flows, few differ in what they do.

use foldhash::fast::FixedState;
use openflow::action::Action;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Lists that are remembered at most.
const SLOTS: usize = 4096;

/// The lists that flows were given last.
#[derive(Debug, Default)]
pub(crate) struct SharedActions {
    slots: Vec<Option<Arc<[Action]>>>,
}

impl SharedActions {
    /// A list equal to `actions`, shared with the flows that got an equal one not long ago.
    pub(crate) fn share(&mut self, actions: &[Action]) -> Arc<[Action]> {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        let slot = &mut self.slots[FixedState::default().hash_one(actions) as usize % SLOTS];
        match slot {
            Some(known) if **known == *actions => known.clone(),
            _ => slot.insert(actions.into()).clone(),
        }
    }

    /// Forgets all lists.
    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::OfPort;

    #[test]
    fn equal_lists_are_one() {
        let list = |port| vec![Action::Output { port: OfPort(port), max_len: 0 }];
        let mut shared = SharedActions::default();
        let (a, b, c) = (shared.share(&list(1)), shared.share(&list(1)), shared.share(&list(2)));
        assert!(Arc::ptr_eq(&a, &b) && *c == *list(2));
        shared.clear();
        assert!(!Arc::ptr_eq(&a, &shared.share(&list(1))));
    }
}

//! What a classifier holds.

use flow::MiniMatch;
use snapshot::Lifetime;

/// One clause of a conjunctive match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clause {
    /// Id that the clauses of the match share.
    pub id: u32,
    /// Which clause, from 0.
    pub clause: u8,
    /// How many clauses, 2 to 64.
    pub n_clauses: u8,
}

/// What a rule carries, as far as the classifier cares.
pub trait Payload: Send + Sync + 'static {
    /// Clauses, for a rule that is part of a conjunctive match; empty for the usual rule.
    fn clauses(&self) -> &[Clause] {
        &[]
    }
}

/// A match, its priority, the versions in which it is visible, and what it carries.
#[derive(Debug)]
pub struct Rule<T> {
    /// Match.
    pub matching: MiniMatch,
    /// Priority: the greater wins.
    pub priority: u32,
    /// What it carries.
    pub data: T,
    life: Lifetime,
}

impl<T> Rule<T> {
    /// A rule that is visible from `version` on.
    pub fn new(matching: MiniMatch, priority: u32, version: u64, data: T) -> Self {
        Rule { matching, priority, data, life: Lifetime::from(version) }
    }

    /// Whether lookups in `version` see it.
    #[inline]
    pub fn visible_in(&self, version: u64) -> bool {
        self.life.contains(version)
    }

    /// The version from which it is visible.
    pub fn added_in(&self) -> u64 {
        self.life.added()
    }

    /// Makes it invisible from `version` on. Take it out with [`crate::Classifier::remove`] when nobody reads an older one.
    pub fn remove_in(&self, version: u64) {
        self.life.end(version);
    }

    /// Takes [`Rule::remove_in`] back.
    pub fn restore(&self) {
        self.life.restore();
    }

    /// Whether it is to be removed in some version.
    pub fn is_leaving(&self) -> bool {
        self.life.is_ending()
    }
}

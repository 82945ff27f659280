//! Everything that WIREGUARD sessions seal in a world: no counter twice under one key, whatever the path and the encoding.
//!
//! The cipher itself watches, so that nothing escapes it: not what never leaves, nor what travels with 16 bits of its counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshnet_proto::aead::{Aead, KEY_LEN};

use crate::watched::{Watched, Watcher};

#[derive(Debug, Default)]
struct State {
    used: BTreeMap<[u8; KEY_LEN], BTreeSet<u64>>,
    broken: Option<String>,
    /// Seals in WireGuard's own encoding, and in the terse one.
    sealed: [u64; 2],
}

#[derive(Debug, Default)]
struct Ledger(Mutex<State>);

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watching cipher of a world's nodes. The few bytes of it outlive the world; what it remembers goes by
/// `Seals::forget`.
#[derive(Debug, Clone, Copy)]
pub struct Seals(&'static Watched<Ledger>);

impl Seals {
    /// Makes one that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// What nodes seal and open with.
    #[must_use]
    pub fn aead(self) -> &'static dyn Aead {
        self.0
    }

    /// How many messages were sealed in WireGuard's own encoding, and in the terse one.
    #[must_use]
    pub fn sealed(self) -> [u64; 2] {
        self.0.0.state().sealed
    }

    pub(super) fn check(self) -> Result<(), String> {
        self.0.0.state().broken.take().map_or(Ok(()), Err)
    }

    pub(super) fn forget(self) {
        self.0.0.state().used.clear();
    }
}

impl Default for Seals {
    fn default() -> Self {
        Self::new()
    }
}

impl Watcher for Ledger {
    fn seals(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8]) {
        let mut state = self.state();
        state.sealed[usize::from(!aad.is_empty())] += 1;
        if !state.used.entry(*key).or_default().insert(counter) {
            state.broken = Some(format!("counter {counter} seals twice under one key"));
        }
    }
}

/// Lets the ledger go with the world.
#[derive(Debug)]
pub(super) struct Forgets(pub(super) Seals);

impl Drop for Forgets {
    fn drop(&mut self) {
        self.0.forget();
    }
}

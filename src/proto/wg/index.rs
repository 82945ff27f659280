//! Who is meant by an index: the table of all sessions that peers can name.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Which owner each index in use belongs to.
#[derive(Debug, Clone)]
pub struct Indices<T> {
    owners: HashMap<u32, T, BuildHasherDefault<Spread>>,
}

impl<T> Default for Indices<T> {
    fn default() -> Self {
        Self { owners: HashMap::default() }
    }
}

impl<T: Copy> Indices<T> {
    /// Gives an index to an owner. Returns false, and changes nothing, if it is in use.
    pub fn claim(&mut self, index: u32, owner: T) -> bool {
        let is_free = !self.owners.contains_key(&index);
        if is_free {
            self.owners.insert(index, owner);
        }
        is_free
    }

    /// An index is in use no more.
    pub fn release(&mut self, index: u32) {
        self.owners.remove(&index);
    }

    /// Returns whose index it is.
    #[must_use]
    pub fn owner(&self, index: u32) -> Option<T> {
        self.owners.get(&index).copied()
    }

    /// Returns how many are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Returns whether none is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}

/// Indices are random already, or hashes that take a whole handshake to make: one multiplication spreads them over all bits.
#[derive(Debug, Clone, Copy, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_one_owner_until_it_is_released() {
        let mut indices = Indices::default();
        assert!(indices.claim(7, 'a') && !indices.claim(7, 'b'));
        assert_eq!((indices.owner(7), indices.owner(8), indices.len()), (Some('a'), None, 1));
        indices.release(7);
        assert!(indices.is_empty() && indices.claim(7, 'b'));
    }
}

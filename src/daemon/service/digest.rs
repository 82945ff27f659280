//! What clients were last told of properties, in eight bytes for each: enough to see that a value is another.
//!
//! The digest is keyed with randomness of the process, so that nobody can choose two values that look the same; by chance
//! two do once in 2^64.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher, RandomState};

use zbus::wire::OwnedVariant;

/// One for each property, in a fixed order.
pub(super) type Digests = Box<[u64]>;

/// What clients were told of each place. A row in the places' order and no tree, whose nodes are half empty where places come in
/// their order, as they do: with a thousand peers that is what a row takes once more.
#[derive(Debug)]
pub(super) struct Seen<P>(Vec<(P, Digests)>);

impl<P> Default for Seen<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P: Ord> Seen<P> {
    pub(super) fn places(&self) -> impl Iterator<Item = &P> {
        self.0.iter().map(|(place, _)| place)
    }

    pub(super) fn get(&self, place: &P) -> Option<&Digests> {
        self.find(place).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn insert(&mut self, place: P, digests: Digests) {
        match self.find(&place) {
            Ok(at) => self.0[at].1 = digests,
            Err(at) => self.0.insert(at, (place, digests)),
        }
    }

    pub(super) fn remove(&mut self, place: &P) {
        if let Ok(at) = self.find(place) {
            self.0.remove(at);
        }
    }

    fn find(&self, place: &P) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(place))
    }
}

/// Makes digests; those of one maker can be compared.
#[derive(Debug, Default)]
pub(super) struct Digest(RandomState);

impl Digest {
    pub(super) fn all(&self, values: &[(&'static str, OwnedVariant)]) -> Digests {
        values.iter().map(|(_, value)| self.of(value)).collect()
    }

    fn of(&self, value: &OwnedVariant) -> u64 {
        let mut text = Text(self.0.build_hasher());
        // GVariant's text form, which has all of a value with its type.
        let _ = write!(text, "{}", **value);
        text.0.finish()
    }
}

/// Hashes what is written, without keeping it.
struct Text<H>(H);

impl<H: Hasher> std::fmt::Write for Text<H> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zbus::wire::Variant;

    use super::*;

    #[test]
    fn what_was_seen_last_of_each_place_is_known_until_it_is_removed() {
        let mut seen = Seen::default();
        for (place, value) in [(3, 30), (1, 10), (2, 20), (1, 11)] {
            seen.insert(place, Digests::from([value]));
        }
        seen.remove(&2);
        seen.remove(&4);
        let known: Vec<_> = seen.places().map(|place| (*place, seen.get(place).unwrap()[0])).collect();
        assert_eq!((known, seen.get(&2)), (vec![(1, 11), (3, 30)], None));
    }

    #[test]
    fn values_that_differ_have_digests_that_differ_and_equal_ones_the_same() {
        let digest = Digest::default();
        let lists: [&[&str]; 5] = [&[], &[""], &["a", "b"], &["a', 'b"], &["ab"]];
        let mut values: Vec<Variant<'_>> = lists.iter().map(|list| Variant::from(list.to_vec())).collect();
        values.extend([Variant::from("a"), Variant::from(1_u32), Variant::from(1_u64), Variant::from(true)]);
        let of =
            |value: &Variant<'_>| digest.of(&OwnedVariant::try_from(value.try_clone().unwrap()).unwrap());
        let all: std::collections::BTreeSet<u64> = values.iter().map(of).collect();
        assert_eq!(all.len(), values.len());
        assert!(values.iter().all(|value| of(value) == of(value)));
    }
}

//! What clients were last told of properties, in eight bytes for each: enough to see that a value is another.
//!
//! The digest is keyed with randomness of the process, so that nobody can choose two values that look the same; by chance
//! two do once in 2^64.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher, RandomState};

use zbus::wire::OwnedVariant;

/// One for each property, in a fixed order.
pub(super) type Digests = Box<[u64]>;

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

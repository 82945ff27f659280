//! The contacts among the radios: who they are, which may change at any time, and whether ours has their keys.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{EXTRA, Entry, HEARD, KeyState, Radio, Radios, Remedy};
use crate::meshtastic::client::Contact;

impl Radios {
    /// Takes these contacts for the ones that there were, and forgets those. Returns the ones that are new or have
    /// another configured key: their keys are to be seen to.
    pub(in crate::meshtastic::client) fn set_contacts(&mut self, contacts: &[Contact]) -> BTreeSet<u32> {
        let kept: BTreeSet<u32> = contacts.iter().map(|contact| contact.node).collect();
        let is_gone = |(node, entry): &(&u32, &Entry)| entry.is_contact && !kept.contains(node);
        for node in self.entries.iter().filter(is_gone).map(|(node, _)| *node).collect::<Vec<_>>() {
            let gone = self.entries.remove(&node).map(|entry| entry.radio.key);
            if let Some(KeyState::Known(key)) = gone {
                self.note_stranger(node, key);
            }
        }
        let mut fresh = BTreeSet::new();
        for Contact { node, public_key } in contacts {
            let entry = self.entries.entry(*node).or_insert_with(|| {
                let key = self.strangers.remove(node).map_or(KeyState::Unknown, KeyState::Known);
                Entry { radio: Radio { key, ..Radio::default() }, ..Entry::default() }
            });
            let other_key = entry.configured_key != *public_key;
            entry.configured_key = *public_key;
            if !std::mem::replace(&mut entry.is_contact, true) || other_key {
                fresh.insert(*node);
            }
        }
        self.limit = kept.len() + EXTRA;
        fresh
    }

    /// After the whole table was told: returns the peers `among` whom the configured key is one that the radio lacks or has
    /// otherwise, and notes them as handed over.
    pub(in crate::meshtastic::client) fn hand_over_configured(
        &mut self,
        among: impl Fn(u32) -> bool,
        now: Instant,
    ) -> Vec<(u32, Remedy)> {
        let mut remedies = Vec::new();
        for (node, entry) in self.entries.iter_mut().filter(|(node, _)| among(**node)) {
            let Some(key) = entry.configured_key else { continue };
            if entry.radio.key != KeyState::Known(key) {
                let replaces = matches!(entry.radio.key, KeyState::Known(_));
                entry.radio.key = KeyState::Known(key);
                entry.handed_over = Some(now);
                remedies.push((*node, Remedy::HandOver { key, replaces }));
            }
        }
        remedies
    }

    /// After the whole table was told: returns the configured peers `among` whom the key is nowhere, noted as asked.
    pub(in crate::meshtastic::client) fn without_key(
        &mut self,
        among: impl Fn(u32) -> bool,
        now: Instant,
    ) -> Vec<u32> {
        let mut without = Vec::new();
        for (node, entry) in self.entries.iter_mut().filter(|(node, _)| among(**node)) {
            if entry.is_contact && !matches!(entry.radio.key, KeyState::Known(_)) && entry.ask_at.is_none() {
                entry.radio.key = KeyState::Missing;
                entry.schedule_ask(now);
                without.push(*node);
            }
        }
        without
    }

    /// Notes the key that our radio has of a node that is not in the table, as long as there is room.
    pub(super) fn note_stranger(&mut self, node: u32, key: [u8; 32]) {
        if self.strangers.len() < HEARD || self.strangers.contains_key(&node) {
            self.strangers.insert(node, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meshtastic::client::tests::epoch;

    fn contact(node: u32, public_key: Option<[u8; 32]>) -> Contact {
        Contact { node, public_key }
    }

    #[test]
    fn only_what_changed_is_to_be_seen_to() {
        let mut radios = Radios::new(&[contact(1, None), contact(2, Some([2; 32])), contact(3, None)]);
        let fresh = radios.set_contacts(&[contact(2, Some([9; 32])), contact(3, None), contact(4, None)]);
        assert_eq!(fresh, BTreeSet::from([2, 4]));
        assert_eq!(radios.iter().map(|(node, _)| node).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_contact_that_is_gone_is_asked_for_no_more() {
        let (mut radios, now) = (Radios::new(&[contact(1, None)]), epoch());
        assert_eq!(radios.without_key(|_| true, now), [1]);
        assert!(radios.poll_timeout().is_some());
        let _none = radios.set_contacts(&[]);
        assert_eq!(radios.poll_timeout(), None);
    }

    #[test]
    fn the_key_of_a_stranger_is_known_when_it_becomes_a_contact_and_after_it_was_one() {
        let (mut radios, now) = (Radios::new(&[]), epoch());
        radios.handle_key(1, &[7; 32], "x");
        for _ in 0..2 {
            assert_eq!(radios.set_contacts(&[contact(1, Some([7; 32]))]), BTreeSet::from([1]));
            assert_eq!(radios.hand_over_configured(|_| true, now), []);
            assert!(radios.without_key(|_| true, now).is_empty());
            let _none = radios.set_contacts(&[]);
        }
        radios.forget_keys();
        let _fresh = radios.set_contacts(&[contact(1, None)]);
        assert_eq!(radios.without_key(|_| true, now), [1], "the radio tells its table anew");
    }

    #[test]
    fn strangers_and_changes_without_end_take_no_place() {
        let mut radios = Radios::new(&[]);
        for node in 0..100_000 {
            radios.handle_key(node, &[1; 32], "x");
            radios.handle_sent(node);
            let _fresh = radios.set_contacts(&[contact(node, None)]);
        }
        assert!(radios.strangers.len() <= HEARD);
        assert!(radios.iter().count() <= 1 + EXTRA);
    }
}

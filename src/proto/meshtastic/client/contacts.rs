//! The peers' radios, which may change while the connection stands.

use std::time::{Duration, Instant};

use super::radios::Remedy;
use super::{Client, Contact, Phase};
use crate::limit::Bucket;

/// Peers that are asked for their keys at once: each question is a packet on the air. Whoever is not asked at once is asked
/// a little later.
pub(super) const QUESTIONS: Bucket = Bucket::new(8, Duration::from_secs(10));

impl Client {
    /// Takes these contacts for those that there were. The radio is taught the new ones as at the start of a connection:
    /// it is handed their keys, or they are asked for them. Those that are gone are forgotten; what our radio knows of
    /// them it keeps.
    pub fn set_contacts(&mut self, contacts: Vec<Contact>, now: Instant) {
        let fresh = self.radios.set_contacts(&contacts);
        self.config.contacts = contacts;
        // Otherwise it is done once the radio has told what it knows.
        if self.phase == Phase::Up {
            self.see_to_keys(|node| fresh.contains(&node), now);
            self.flush(now);
        }
    }

    /// Makes sure that the radio has, or gets, the keys of the contacts `among` all.
    pub(super) fn see_to_keys(&mut self, among: impl Fn(u32) -> bool, now: Instant) {
        for (node, remedy) in self.radios.hand_over_configured(&among, now) {
            self.cure(node, remedy, now);
        }
        // A radio drops without a word what a peer sends whose key it lacks: no refusal will ever tell.
        if self.device.encrypts(self.config.channel_index) {
            for node in self.radios.without_key(&among, now) {
                if self.questions.take(now) {
                    self.cure(node, Remedy::Ask, now);
                }
            }
        }
    }
}

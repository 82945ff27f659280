//! The radios of our peers, as ours knows them: distance, signal, and whether it has their Meshtastic keys.
//!
//! Holds the configured peers and, within a bound, others that we were asked to send to. Whatever else is on the mesh, and
//! a hostile radio may invent millions of nodes, is only counted; within a bound, the keys that ours has of strangers are
//! noted, for one of them may become a contact.
//!
//! **Distance.** A packet with hop limit 0 is sent exactly once; each hop more lets every neighbour repeat it, which
//! multiplies its airtime by the neighbours that do, and makes the firmware send it again by itself. So a peer heard
//! directly gets 0, one heard over n relays gets n, and only one that was not heard lately gets the radio's own limit.
//!
//! **Keys.** A radio refuses a unicast to a node whose key it lacks (`PKI_SEND_FAIL_PUBLIC_KEY`). Its cure is
//! handing over the configured key, or asking, at growing intervals and a bounded number of times per refusal: the peer
//! directly (one packet, which also brings it our key), and every other time everybody. Never both at once: the answer
//! would meet our second question on the air. A radio does not answer who it heard within 12 h, though that one may have
//! lost its table since; so a peer's client answers for its radio, and so do we.

mod contacts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Contact;
use super::device::MAX_HOPS;

/// How long a distance is believed after the peer was heard.
const DISTANCE_LIFETIME: Duration = Duration::from_secs(3600);
/// Radios in the table beyond the configured ones.
const EXTRA: usize = 64;
/// Nodes heard that are told apart; more are not counted.
const HEARD: usize = 1024;
/// An answer takes two packets, on a slow preset behind others.
const FIRST_ASK: Duration = Duration::from_secs(20);
/// Asking goes on at doubled intervals up to this.
const LAST_ASK: Duration = Duration::from_secs(1800);
/// After these many the peer is off, or away; the next refusal begins anew.
const MAX_ASKS: u32 = 10;
/// A configured key that does not help is handed over again this often.
const HAND_OVER: Duration = Duration::from_secs(30);
/// A refusal this soon after a key was handed over is of a packet that was refused before.
const SETTLE: Duration = Duration::from_secs(2);
/// We answer for our radio after it had its chance, and at most this often.
const ANSWER_AFTER: Duration = Duration::from_secs(6);
const ANSWER_EVERY: Duration = Duration::from_secs(60);

/// A peer's radio, as a status display shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Radio {
    /// Hops to it when last heard; 0 is direct.
    pub hops: Option<u8>,
    /// Signal to noise ratio in dB of the last packet heard from it or from its last relay.
    pub snr: Option<f32>,
    /// Signal strength in dBm of the same.
    pub rssi: Option<i32>,
    /// When it was last heard.
    pub heard: Option<Instant>,
    /// Whether our radio is known to have, or known to lack, its key.
    pub key: KeyState,
}

/// What is known of a peer's key in our radio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It has this one.
    Known([u8; 32]),
    /// It lacks it, or lost it.
    Missing,
}

/// What is to be done about a missing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Hand this key to our radio; `replaces` if it had another.
    HandOver { key: [u8; 32], replaces: bool },
    /// Ask the peer for its key.
    Ask,
}

/// Something to send to come by a key, or to give ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Introduction {
    /// Our user to the peer, asking for its own.
    AskPeer(u32),
    /// Our user to everybody, asking for theirs.
    AskEverybody,
    /// Our user to the peer, who asked.
    Answer(u32),
}

#[derive(Debug, Default)]
struct Entry {
    radio: Radio,
    distance_at: Option<Instant>,
    /// A configured peer's.
    is_contact: bool,
    /// From the configuration.
    configured_key: Option<[u8; 32]>,
    handed_over: Option<Instant>,
    asks: u32,
    ask_at: Option<Instant>,
    answer_at: Option<Instant>,
    answered: Option<Instant>,
    long_name: Option<String>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Radios {
    entries: BTreeMap<u32, Entry>,
    limit: usize,
    heard: BTreeSet<u32>,
    /// Keys that our radio has of nodes that are not in the table.
    strangers: BTreeMap<u32, [u8; 32]>,
}

impl Radios {
    pub(super) fn new(contacts: &[Contact]) -> Self {
        let mut radios = Self {
            entries: BTreeMap::new(),
            limit: EXTRA,
            heard: BTreeSet::new(),
            strangers: BTreeMap::new(),
        };
        let _all = radios.set_contacts(contacts);
        radios
    }

    /// Returns every radio in the table with its node number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Radio)> {
        self.entries.iter().map(|(node, entry)| (*node, &entry.radio))
    }

    /// Returns how many different nodes were heard, up to a bound.
    pub(super) fn heard_count(&self) -> usize {
        self.heard.len()
    }

    /// Returns the name that the node gave itself.
    pub(super) fn long_name(&self, node: u32) -> Option<&str> {
        self.entries.get(&node)?.long_name.as_deref()
    }

    /// Notes that something is sent to `node`, so that what is heard of it is kept.
    pub(super) fn handle_sent(&mut self, node: u32) {
        if self.entries.len() < self.limit {
            self.entries.entry(node).or_default();
        }
    }

    /// Notes a packet heard from `node`, over `hops` relays if that is known.
    pub(super) fn handle_heard(&mut self, node: u32, hops: Option<u8>, snr: f32, rssi: i32, now: Instant) {
        if self.heard.len() < HEARD {
            self.heard.insert(node);
        }
        let Some(entry) = self.entries.get_mut(&node) else { return };
        entry.radio.heard = Some(now);
        if snr.is_finite() && (snr != 0.0 || rssi != 0) {
            entry.radio.snr = Some(snr);
            entry.radio.rssi = (rssi != 0).then_some(rssi);
        }
        if let Some(hops) = hops.filter(|hops| *hops <= MAX_HOPS) {
            entry.radio.hops = Some(hops);
            entry.distance_at = Some(now);
        }
    }

    /// Takes a distance from the radio's own table.
    pub(super) fn handle_distance(&mut self, node: u32, hops: Option<u32>, now: Instant) {
        let hops = hops.and_then(|hops| u8::try_from(hops).ok()).filter(|hops| *hops <= MAX_HOPS);
        if let (Some(entry), Some(hops)) = (self.entries.get_mut(&node), hops) {
            entry.radio.hops = Some(hops);
            entry.distance_at = Some(now);
        }
    }

    /// Returns how many hops a packet to `node` needs, if it was heard lately.
    pub(super) fn distance(&self, node: u32, now: Instant) -> Option<u8> {
        let entry = self.entries.get(&node)?;
        let fresh = entry.distance_at.is_some_and(|at| now.saturating_duration_since(at) < DISTANCE_LIFETIME);
        entry.radio.hops.filter(|_| fresh)
    }

    /// The radio tells its table anew: what it does not name it lacks.
    pub(super) fn forget_keys(&mut self) {
        self.strangers.clear();
        for entry in self.entries.values_mut() {
            if matches!(entry.radio.key, KeyState::Known(_)) {
                entry.radio.key = KeyState::Unknown;
            }
        }
    }

    /// Takes what the radio, or the peer itself, says of the peer's key. Returns true if it had been missing.
    pub(super) fn handle_key(&mut self, node: u32, key: &[u8], long_name: &str) -> bool {
        let sound = <[u8; 32]>::try_from(key).ok();
        let Some(entry) = self.entries.get_mut(&node) else {
            if let Some(key) = sound {
                self.note_stranger(node, key);
            }
            return false;
        };
        if !long_name.is_empty() {
            entry.long_name = Some(long_name.to_owned());
        }
        let Some(key) = sound else { return false };
        let was_missing = entry.radio.key == KeyState::Missing;
        entry.radio.key = KeyState::Known(key);
        (entry.asks, entry.ask_at) = (0, None);
        was_missing
    }

    /// The radio refused a packet to `node` for lack of its key. Returns what to do at once, if anything may be done.
    pub(super) fn handle_no_key(&mut self, node: u32, now: Instant) -> Option<Remedy> {
        let entry = self.entries.get_mut(&node)?;
        if entry.handed_over.is_some_and(|at| now < at + SETTLE) {
            return None;
        }
        entry.radio.key = KeyState::Missing;
        let rested = |at: Option<Instant>| at.is_none_or(|at| at + HAND_OVER <= now);
        if let Some(key) = entry.configured_key
            && rested(entry.handed_over)
        {
            entry.handed_over = Some(now);
            entry.radio.key = KeyState::Known(key);
            return Some(Remedy::HandOver { key, replaces: false });
        }
        match entry.ask_at {
            // A round of asking is under way: it goes on at its own pace.
            Some(at) if entry.asks < MAX_ASKS || now < at => None,
            _ => {
                entry.asks = 0;
                entry.schedule_ask(now);
                Some(Remedy::Ask)
            }
        }
    }

    /// A peer's radio asked who ours is. Ours may think that it need not say.
    pub(super) fn handle_asked(&mut self, node: u32, now: Instant) {
        let Some(entry) = self.entries.get_mut(&node) else { return };
        if entry.answered.is_none_or(|at| at + ANSWER_EVERY <= now) {
            entry.answer_at.get_or_insert(now + ANSWER_AFTER);
        }
    }

    /// Returns what is to be asked and answered by `now`.
    pub(super) fn due_introductions(&mut self, now: Instant) -> Vec<Introduction> {
        let mut due = Vec::new();
        for (node, entry) in &mut self.entries {
            if entry.asks < MAX_ASKS && entry.ask_at.is_some_and(|at| at <= now) {
                let directly = entry.asks.is_multiple_of(2);
                due.push(if directly { Introduction::AskPeer(*node) } else { Introduction::AskEverybody });
                entry.schedule_ask(now);
            }
            if entry.answer_at.is_some_and(|at| at <= now) {
                (entry.answer_at, entry.answered) = (None, Some(now));
                due.push(Introduction::Answer(*node));
            }
        }
        due
    }

    /// Returns when somebody is to be asked again, or answered.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ask = |entry: &Entry| entry.ask_at.filter(|_| entry.asks < MAX_ASKS);
        self.entries.values().flat_map(|entry| [ask(entry), entry.answer_at]).flatten().min()
    }
}

impl Entry {
    fn schedule_ask(&mut self, now: Instant) {
        let wait = FIRST_ASK.saturating_mul(1 << self.asks.min(MAX_ASKS)).min(LAST_ASK);
        self.asks += 1;
        self.ask_at = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::epoch;
    use super::*;

    const PEER: u32 = 7;

    fn radios(public_key: Option<[u8; 32]>) -> Radios {
        Radios::new(&[Contact { node: PEER, public_key }])
    }

    #[test]
    fn a_million_strangers_take_no_place() {
        let (mut radios, now) = (radios(None), epoch());
        for node in 0..1_000_000 {
            radios.handle_heard(node, Some(0), 1.0, -30, now);
            radios.handle_key(node, &[1; 32], "x");
        }
        for node in 0..1_000 {
            radios.handle_sent(node);
        }
        assert_eq!(radios.heard_count(), HEARD);
        assert_eq!(radios.iter().count(), 1 + EXTRA);
    }

    #[test]
    fn a_distance_is_forgotten_when_the_peer_falls_silent() {
        let (mut radios, now) = (radios(None), epoch());
        radios.handle_heard(PEER, Some(2), 1.0, -30, now);
        assert_eq!(radios.distance(PEER, now), Some(2));
        assert_eq!(radios.distance(PEER, now + DISTANCE_LIFETIME), None);
    }

    #[test]
    fn asking_for_a_key_slows_down_and_ends() {
        let (mut radios, start) = (radios(None), epoch());
        assert_eq!(radios.handle_no_key(PEER, start), Some(Remedy::Ask));
        assert_eq!(radios.handle_no_key(PEER, start), None, "one refusal more does not hurry it");
        let (mut asks, mut last) = (1, start);
        while let Some(at) = radios.poll_timeout() {
            assert!(at >= last + FIRST_ASK);
            let everybody = asks % 2 == 1;
            let expected = if everybody { Introduction::AskEverybody } else { Introduction::AskPeer(PEER) };
            assert_eq!(radios.due_introductions(at), [expected]);
            (asks, last) = (asks + 1, at);
        }
        assert_eq!(asks, MAX_ASKS);
        assert_eq!(radios.handle_no_key(PEER, last + LAST_ASK), Some(Remedy::Ask), "a refusal begins anew");
    }

    #[test]
    fn a_peer_that_asks_over_and_over_is_answered_now_and_then() {
        let (mut radios, now) = (radios(None), epoch());
        let mut answers = 0;
        for second in 0..120 {
            let now = now + Duration::from_secs(second);
            radios.handle_asked(PEER, now);
            answers += radios.due_introductions(now).len();
        }
        assert_eq!(answers, 2);
    }

    #[test]
    fn a_stranger_that_asks_gets_no_answer() {
        let mut radios = radios(None);
        radios.handle_asked(PEER + 1, epoch());
        assert_eq!(radios.poll_timeout(), None);
    }

    #[test]
    fn a_configured_key_is_handed_over_and_not_in_a_loop() {
        let (mut radios, now) = (radios(Some([9; 32])), epoch());
        let remedy = Remedy::HandOver { key: [9; 32], replaces: false };
        assert_eq!(radios.handle_no_key(PEER, now), Some(remedy));
        assert_eq!(radios.handle_no_key(PEER, now), None, "that one was refused before");
        let later = now + SETTLE;
        assert_eq!(
            radios.handle_no_key(PEER, later),
            Some(Remedy::Ask),
            "it did not help: the peer is asked"
        );
        assert_eq!(radios.handle_no_key(PEER, now + HAND_OVER), Some(remedy));
    }
}

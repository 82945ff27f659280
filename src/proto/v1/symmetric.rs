//! Symmetric mode: one key shared beforehand for both directions, and counters that start anywhere.
//!
//! Nothing is negotiated, so two things that a handshake gives must come from elsewhere.
//!
//! **No counter may be sealed with twice**, by either side, ever. Ours come in blocks from the node's one source
//! ([`super::counters`]). A peer that starts anywhere (the Python tool) may come near the block that we use: then we leave
//! it, and the next one is far above (`Symmetric::note_peer`).
//!
//! **No packet may be opened twice**, though a peer that restarts may go on from any counter, higher or lower. So seen
//! counters are kept as a few *runs*, each with a replay window at its top; a counter outside all runs starts another,
//! one inside a run and behind its window is refused. Runs are stored, so a restart of ours forgets none; when there are
//! too many, the two that are closest become one and the gap between them counts as seen. What remains by nature: a
//! recorded packet that never arrived can be delivered late, once.

use std::ops::Range;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::replay::{ReplayWindow, WINDOW};
use super::session::{Cipher, OpenError};
use super::wire::Data;
use crate::key::PresharedKey;

/// How far ahead of what was seen the stored runs reach: a write to disk for so many packets, and as many lost by a crash.
pub const AHEAD: u64 = 4;
/// How far above a run's highest counter a counter still belongs to it.
const REACH: u64 = 1 << 20;
/// A peer's counter this close to ours makes us leap.
const DANGER: u64 = 1 << 32;
/// How often one peer makes us leap. By chance it hardly does once; one that holds the key and means it would use up the
/// counters of others.
const MAX_LEAPS: u32 = 64;
/// How many runs are kept.
const MAX_RUNS: usize = 16;

/// Tells one preshared key from another, and nothing about it.
pub type KeyName = [u8; 8];

/// A run of seen counters, from its first to its highest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    first: u64,
    window: ReplayWindow,
    /// The highest counter that is on disk as seen.
    stored: u64,
}

impl Run {
    fn highest(&self) -> u64 {
        self.window.highest().unwrap_or(self.first)
    }

    /// Whether `counter` is one of this run, or close enough to become one.
    fn is_home_of(&self, counter: u64) -> bool {
        counter >= self.first.saturating_sub(WINDOW) && counter <= self.highest().saturating_add(REACH)
    }
}

/// A symmetric peer's keys and counters.
#[derive(Debug)]
pub struct Symmetric {
    cipher: Cipher,
    name: KeyName,
    /// What we may seal with.
    block: Range<u64>,
    /// Where the next block begins at the earliest.
    at_least: u64,
    leaps: u32,
    runs: Vec<Run>,
}

/// Returns the name of a preshared key.
#[must_use]
pub fn name_of(preshared: &PresharedKey) -> KeyName {
    let mut name = KeyName::default();
    Hkdf::<Sha256>::new(Some(b"symmetric"), preshared.expose())
        .expand(b"meshnetd-key-name", &mut name)
        .expect("8 bytes are no more than HKDF gives");
    name
}

impl Symmetric {
    /// Derives the key. Nothing can be sealed before counters are granted.
    #[must_use]
    pub fn new(preshared: &PresharedKey) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(b"symmetric"), preshared.expose())
            .expand(b"meshnet-symmetric-key", &mut *key)
            .expect("32 bytes are no more than HKDF gives");
        let (cipher, name) = (Cipher::new(&key), name_of(preshared));
        Self { cipher, name, block: 0..0, at_least: 0, leaps: 0, runs: Vec::new() }
    }

    /// Returns the name of the preshared key.
    #[must_use]
    pub const fn name(&self) -> KeyName {
        self.name
    }

    /// Returns where the next block of counters must begin at the earliest, if one is needed; ask before sealing.
    #[must_use]
    pub fn wants_counters(&self) -> Option<u64> {
        self.block.is_empty().then_some(self.at_least)
    }

    /// Takes counters that nobody else was or will be given, and that are on disk as used before anything leaves.
    pub fn grant(&mut self, block: Range<u64>) {
        self.block = block;
    }

    /// Returns the runs of seen counters, as first and highest of each.
    #[must_use]
    pub fn seen(&self) -> Vec<(u64, u64)> {
        self.runs.iter().map(|run| (run.first, run.highest())).collect()
    }

    /// Returns the runs as they are to be stored while more packets may come before the next time: [`AHEAD`] counters
    /// more than were seen. Losing so many packets after a crash is better than opening one twice.
    #[must_use]
    pub fn seen_ahead(&mut self) -> Vec<(u64, u64)> {
        for run in &mut self.runs {
            run.stored = run.highest().saturating_add(AHEAD);
        }
        self.runs.iter().map(|run| (run.first, run.stored)).collect()
    }

    /// Returns whether counters were seen that what was stored last does not cover.
    #[must_use]
    pub fn outgrew_store(&self) -> bool {
        self.runs.iter().any(|run| run.highest() > run.stored)
    }

    /// Remembers what was seen before: by an earlier life, or before the peer was removed.
    pub fn restore(&mut self, seen: &[(u64, u64)]) {
        let runs = seen.iter().filter(|(first, highest)| first <= highest).map(|&(first, highest)| Run {
            first,
            window: ReplayWindow::seen_up_to(highest),
            stored: highest,
        });
        self.runs.extend(runs);
        self.shrink();
    }

    /// Seals a frame; returns its counter and `ciphertext ‖ tag`, or `None` when there is no counter to seal with.
    #[must_use]
    pub fn seal(&mut self, frame: &[u8]) -> Option<(u64, Vec<u8>)> {
        let counter = self.block.next()?;
        Some((counter, self.cipher.seal(counter, frame)))
    }

    /// Opens a datagram, once.
    ///
    /// # Errors
    /// If its counter was seen or may have been, or it does not authenticate; then nothing has changed.
    pub fn open(&mut self, data: &Data<'_>) -> Result<Vec<u8>, OpenError> {
        let home = self.home_of(data.counter);
        if home.is_some_and(|at| !self.may_take(at, data.counter)) {
            return Err(OpenError::Replayed);
        }
        let frame = self.cipher.open(data)?;
        match home {
            Some(at) => {
                let run = &mut self.runs[at];
                run.first = run.first.min(data.counter);
                if !run.window.mark(data.counter) {
                    return Err(OpenError::Replayed);
                }
            }
            None => {
                let mut window = ReplayWindow::new();
                let _fresh = window.mark(data.counter);
                self.runs.push(Run { first: data.counter, window, stored: 0 });
            }
        }
        self.shrink();
        self.note_peer(data.counter);
        Ok(frame)
    }

    /// The run that a counter belongs to: the one that holds it, else the nearest below it within reach.
    fn home_of(&self, counter: u64) -> Option<usize> {
        let near = self.runs.iter().enumerate().filter(|(_, run)| run.is_home_of(counter));
        near.max_by_key(|(_, run)| run.first).map(|(at, _)| at)
    }

    /// Whether no run may have seen `counter`: not its home, nor another whose range holds it.
    fn may_take(&self, home: usize, counter: u64) -> bool {
        let mut holders = self
            .runs
            .iter()
            .enumerate()
            .filter(|(at, run)| *at == home || (run.first..=run.highest()).contains(&counter));
        holders.all(|(_, run)| run.window.allows(counter))
    }

    /// Leaps away if the peer, whose counters share our key, counts close above us.
    fn note_peer(&mut self, counter: u64) {
        let ours = self.block.start;
        if counter >= ours && counter - ours < DANGER && self.leaps < MAX_LEAPS {
            self.leaps += 1;
            self.at_least = counter.saturating_add(2 * DANGER);
            self.block = self.at_least..self.at_least;
        }
    }

    /// Joins the closest neighbours until there are few enough; overlapping runs are joined in any case.
    fn shrink(&mut self) {
        self.runs.sort_by_key(|run| run.first);
        let mut at = 1;
        while at < self.runs.len() {
            if self.runs[at].first <= self.runs[at - 1].highest() {
                self.join(at);
            } else {
                at += 1;
            }
        }
        while self.runs.len() > MAX_RUNS {
            let gap = |at: &usize| self.runs[*at].first - self.runs[*at - 1].highest();
            let closest = (1..self.runs.len()).min_by_key(gap).expect("there are at least two");
            self.join(closest);
        }
    }

    /// Joins the run at `at` into the one before it; everything between them counts as seen.
    fn join(&mut self, at: usize) {
        let upper = self.runs.remove(at);
        let lower = &mut self.runs[at - 1];
        if upper.highest() >= lower.highest() {
            let gapless = upper.first <= lower.highest().saturating_add(1);
            lower.window = if gapless { ReplayWindow::seen_up_to(upper.highest()) } else { upper.window };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::wire::Datagram;

    const BLOCK: u64 = 1024;

    fn counting_from(start: u64) -> Symmetric {
        let mut made = Symmetric::new(&PresharedKey::from_bytes([3; 32]));
        made.grant(start..start + BLOCK);
        made
    }

    fn pair() -> (Symmetric, Symmetric) {
        (counting_from(1000), counting_from((1 << 63) + 1000))
    }

    fn send(from: &mut Symmetric, frame: &[u8]) -> (u64, Vec<u8>) {
        if let Some(at_least) = from.wants_counters() {
            let start = from.block.end.max(at_least);
            from.grant(start..start + BLOCK);
        }
        from.seal(frame).unwrap()
    }

    fn open(at: &mut Symmetric, (counter, ciphertext): &(u64, Vec<u8>)) -> Result<Vec<u8>, OpenError> {
        at.open(&Data { counter: *counter, ciphertext })
    }

    #[test]
    fn packets_are_those_of_the_reference_to_the_byte() {
        let text = include_str!("../../../tests/vectors/meshnet-0.1.0.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        for vector in vectors["symmetric"].as_array().unwrap() {
            let psk: [u8; 32] = hex::decode(vector["psk"].as_str().unwrap()).unwrap().try_into().unwrap();
            let mut ours = Symmetric::new(&PresharedKey::from_bytes(psk));
            for frame in vector["frames"].as_array().unwrap() {
                let plain = hex::decode(frame["frame"].as_str().unwrap()).unwrap();
                let packet = hex::decode(frame["packet"].as_str().unwrap()).unwrap();
                let counter = frame["counter"].as_u64().unwrap();
                ours.grant(counter..counter.saturating_add(1));
                let (counter, ciphertext) = send(&mut ours, &plain);
                assert_eq!(Data { counter, ciphertext: &ciphertext }.emit(), packet);
                let Ok(Datagram::Data(data)) = Datagram::parse(&packet) else { panic!("no data") };
                let mut theirs = Symmetric::new(&PresharedKey::from_bytes(psk));
                assert_eq!(theirs.open(&data).unwrap(), plain);
            }
        }
    }

    #[test]
    fn nothing_is_sealed_without_a_counter_granted_for_it() {
        let mut a = Symmetric::new(&PresharedKey::from_bytes([3; 32]));
        assert!(a.seal(b"x").is_none());
        a.grant(7..7 + BLOCK);
        for _ in 0..BLOCK {
            assert!(a.seal(b"x").is_some());
        }
        assert!(a.seal(b"x").is_none());
    }

    #[test]
    fn a_name_tells_keys_apart_and_is_no_part_of_any() {
        let names = [1, 2].map(|byte| name_of(&PresharedKey::from_bytes([byte; 32])));
        assert_ne!(names[0], names[1]);
        assert_eq!(names[0], Symmetric::new(&PresharedKey::from_bytes([1; 32])).name());
        assert_ne!(names[0], [1; 8]);
    }

    #[test]
    fn a_peer_that_restarts_lower_is_heard_and_no_packet_twice() {
        let (mut a, mut b) = pair();
        let mut recorded = Vec::new();
        for start in [1 << 50, 1 << 40, 77, 1 << 60, 1 << 41] {
            a.grant(start..start + BLOCK);
            for _ in 0..300 {
                let packet = send(&mut a, b"x");
                assert_eq!(open(&mut b, &packet).as_deref(), Ok(&b"x"[..]));
                recorded.push(packet);
            }
        }
        let (_, mut restarted) = pair();
        restarted.restore(&b.seen());
        for packet in &recorded {
            assert_eq!(open(&mut b, packet), Err(OpenError::Replayed));
            assert_eq!(open(&mut restarted, packet), Err(OpenError::Replayed));
        }
    }

    #[test]
    fn runs_that_touch_let_nothing_in_twice() {
        let (mut a, mut b) = pair();
        let mut recorded = Vec::new();
        for start in [5000, 5250, 4650, 5400, 4400, 5900, 6300] {
            a.grant(start..start + BLOCK);
            for _ in 0..300 {
                let packet = send(&mut a, b"x");
                let first_time = !recorded.contains(&packet);
                assert!(open(&mut b, &packet).is_err() || first_time, "from {start}: {}", packet.0);
                recorded.push(packet);
            }
        }
        assert!(recorded.iter().all(|packet| open(&mut b, packet).is_err()));
    }

    #[test]
    fn any_number_of_restarts_takes_no_memory_and_lets_nothing_in_twice() {
        let (mut a, mut b) = pair();
        let mut recorded = Vec::new();
        for step in 0..200_u64 {
            let start = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
            a.grant(start..start + BLOCK);
            let packet = send(&mut a, b"x");
            let _lost_if_in_a_joined_gap = open(&mut b, &packet);
            recorded.push(packet);
        }
        assert!(b.seen().len() <= MAX_RUNS);
        for packet in &recorded {
            assert!(open(&mut b, packet).is_err());
        }
    }

    #[test]
    fn a_peer_that_comes_near_makes_us_leap() {
        let (mut a, mut b) = pair();
        let ours = send(&mut a, b"x").0;
        b.grant(ours + 5..ours + BLOCK);
        let packet = send(&mut b, b"x");
        assert!(open(&mut a, &packet).is_ok());
        assert!(send(&mut a, b"x").0 > ours + DANGER);
    }

    #[test]
    fn a_peer_that_follows_us_makes_us_leap_a_bounded_number_of_times() {
        let (mut a, mut b) = pair();
        for _ in 0..10 * MAX_LEAPS {
            let near = send(&mut a, b"x").0 + 5;
            b.grant(near..near + 1);
            assert!(open(&mut a, &send(&mut b, b"x")).is_ok());
        }
        assert!(send(&mut a, b"x").0 < 1000 + u64::from(MAX_LEAPS + 1) * 3 * DANGER);
    }

    #[test]
    fn our_own_packet_thrown_back_is_no_news() {
        let (mut a, _) = pair();
        let packet = send(&mut a, b"x");
        // One key serves both directions: it authenticates. It can be delivered, once; the source check comes later.
        assert!(open(&mut a, &packet).is_ok());
        assert_eq!(open(&mut a, &packet), Err(OpenError::Replayed));
    }
}

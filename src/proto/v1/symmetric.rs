//! Symmetric mode: one key shared beforehand for both directions, and counters that start anywhere.
//!
//! Nothing is negotiated, so two things that a handshake gives must come from elsewhere.
//!
//! **No counter may be sealed with twice**, by either side, ever. Our counters are reserved in blocks that are on disk
//! before they are used ([`Symmetric::reservation`]), so a restart goes on behind the last block. The first one is random,
//! in the half of the number range that the order of the two public keys gives us: two of us never meet. A peer that
//! starts anywhere (the Python tool) may come near: then we leap away upwards (`Symmetric::note_peer`).
//!
//! **No packet may be opened twice**, though a peer that restarts may go on from any counter, higher or lower. So seen
//! counters are kept as a few *runs*, each with a replay window at its top; a counter outside all runs starts another,
//! one inside a run and behind its window is refused. Runs are stored, so a restart of ours forgets none; when there are
//! too many, the two that are closest become one and the gap between them counts as seen. What remains by nature: a
//! recorded packet that never arrived can be delivered late, once.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::replay::{ReplayWindow, WINDOW};
use super::session::{Cipher, OpenError};
use super::wire::Data;
use crate::key::PresharedKey;

/// How many counters are reserved at once: one write to disk for so many packets.
pub const BLOCK: u64 = 1024;
/// How far ahead of what was seen the stored runs reach: a write to disk for so many packets, and as many lost by a crash.
pub const AHEAD: u64 = 4;
/// How far above a run's highest counter a counter still belongs to it.
const REACH: u64 = 1 << 20;
/// A peer's counter this close to ours makes us leap.
const DANGER: u64 = 1 << 32;
/// How many runs are kept.
const MAX_RUNS: usize = 16;

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
    next: u64,
    reserved: u64,
    runs: Vec<Run>,
}

impl Symmetric {
    /// Derives the key. `random` places the first counter, in the upper half of the range if `upper`.
    #[must_use]
    pub fn new(preshared: &PresharedKey, random: u64, upper: bool) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(b"symmetric"), preshared.expose())
            .expand(b"meshnet-symmetric-key", &mut *key)
            .expect("32 bytes are no more than HKDF gives");
        // The top quarter of each half stays free: room to count and to leap.
        let next = (random >> 2) | if upper { 1 << 63 } else { 0 };
        Self { cipher: Cipher::new(&key), next, reserved: next, runs: Vec::new() }
    }

    /// Returns the end of the reserved counters if it must be stored before more is sealed; call before sealing.
    #[must_use]
    pub fn reserve(&mut self) -> Option<u64> {
        if self.next < self.reserved {
            return None;
        }
        self.reserved = self.next.saturating_add(BLOCK);
        Some(self.reserved)
    }

    /// Returns the end of the counters reserved so far.
    #[must_use]
    pub const fn reservation(&self) -> u64 {
        self.reserved
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

    /// Goes on where an earlier life stopped: behind its reservation, with its seen counters.
    pub fn restore(&mut self, reservation: u64, seen: &[(u64, u64)]) {
        self.next = reservation;
        self.reserved = reservation;
        self.runs = seen
            .iter()
            .filter(|(first, highest)| first <= highest)
            .map(|&(first, highest)| Run {
                first,
                window: ReplayWindow::seen_up_to(highest),
                stored: highest,
            })
            .collect();
        self.shrink();
    }

    /// Seals a frame; returns its counter and `ciphertext ‖ tag`, or `None` when the counters have come to their end
    /// or are not reserved.
    #[must_use]
    pub fn seal(&mut self, frame: &[u8]) -> Option<(u64, Vec<u8>)> {
        if self.next >= self.reserved {
            return None;
        }
        let counter = self.next;
        self.next += 1;
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
        if counter.wrapping_sub(self.next) < DANGER {
            self.next = counter.saturating_add(2 * DANGER);
            self.reserved = self.next;
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

    fn pair() -> (Symmetric, Symmetric) {
        let psk = PresharedKey::from_bytes([3; 32]);
        (Symmetric::new(&psk, 1000, false), Symmetric::new(&psk, 1000, true))
    }

    fn send(from: &mut Symmetric, frame: &[u8]) -> (u64, Vec<u8>) {
        let _stored = from.reserve();
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
            let mut ours = Symmetric::new(&PresharedKey::from_bytes(psk), 0, false);
            for frame in vector["frames"].as_array().unwrap() {
                let plain = hex::decode(frame["frame"].as_str().unwrap()).unwrap();
                let packet = hex::decode(frame["packet"].as_str().unwrap()).unwrap();
                ours.restore(frame["counter"].as_u64().unwrap(), &[]);
                let (counter, ciphertext) = send(&mut ours, &plain);
                assert_eq!(Data { counter, ciphertext: &ciphertext }.emit(), packet);
                let Ok(Datagram::Data(data)) = Datagram::parse(&packet) else { panic!("no data") };
                let mut theirs = Symmetric::new(&PresharedKey::from_bytes(psk), 1 << 40, false);
                assert_eq!(theirs.open(&data).unwrap(), plain);
            }
        }
    }

    #[test]
    fn a_restart_goes_on_behind_every_counter_that_may_have_been_used() {
        let (mut a, _) = pair();
        let stored = a.reserve().unwrap();
        let last = (0..10).map(|_| send(&mut a, b"x").0).max().unwrap();
        let (mut again, _) = pair();
        again.restore(stored, &[]);
        assert!(send(&mut again, b"x").0 > last);
    }

    #[test]
    fn nothing_is_sealed_that_is_not_reserved() {
        let (mut a, _) = pair();
        assert!(a.seal(b"x").is_none());
        let _stored = a.reserve();
        for _ in 0..BLOCK {
            assert!(a.seal(b"x").is_some());
        }
        assert!(a.seal(b"x").is_none());
    }

    #[test]
    fn a_peer_that_restarts_lower_is_heard_and_no_packet_twice() {
        let (mut a, mut b) = pair();
        let mut recorded = Vec::new();
        for start in [1 << 50, 1 << 40, 77, 1 << 60, 1 << 41] {
            a.restore(start, &[]);
            for _ in 0..300 {
                let packet = send(&mut a, b"x");
                assert_eq!(open(&mut b, &packet).as_deref(), Ok(&b"x"[..]));
                recorded.push(packet);
            }
        }
        let (_, mut restarted) = pair();
        restarted.restore(b.reservation(), &b.seen());
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
            a.restore(start, &[]);
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
            a.restore(step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1, &[]);
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
    fn two_of_us_never_meet() {
        let psk = PresharedKey::from_bytes([3; 32]);
        for random in [0, 1, u64::MAX] {
            assert!(Symmetric::new(&psk, random, false).next < 1 << 62);
            assert!(Symmetric::new(&psk, random, true).next >> 62 == 2);
        }
    }

    #[test]
    fn a_peer_that_comes_near_makes_us_leap() {
        let (mut a, mut b) = pair();
        let ours = send(&mut a, b"x").0;
        b.restore(ours + 5, &[]);
        let packet = send(&mut b, b"x");
        assert!(open(&mut a, &packet).is_ok());
        assert!(send(&mut a, b"x").0 > ours + DANGER);
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

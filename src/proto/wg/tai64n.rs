//! The timestamp of an initiation (TAI64N): what makes a recording of it worthless.
//!
//! It says when, but is read for its order only: of one peer each must be greater than all before. The lowest 24 bits of
//! the nanoseconds are zero, so that it gives away no fine clock; two of one moment would be equal, hence [`Tai64n::after`].

use std::time::Duration;

/// Length in bytes.
pub const TIMESTAMP_LEN: usize = 12;

/// 1970 on the scale of TAI64, ten seconds of which it was ahead of UTC.
const EPOCH: u64 = 0x4000_0000_0000_000a;
/// The step in which the nanoseconds go.
const STEP: u32 = 1 << 24;
const SECOND: u32 = 1_000_000_000;

/// A moment; later ones compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tai64n([u8; TIMESTAMP_LEN]);

impl Tai64n {
    /// Returns the moment this long after the beginning of 1970, UTC.
    #[must_use]
    pub fn from_unix(unix_time: Duration) -> Self {
        Self::from_parts(EPOCH.saturating_add(unix_time.as_secs()), unix_time.subsec_nanos() & !(STEP - 1))
    }

    /// Takes the bytes as they are; any twelve bytes have an order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; TIMESTAMP_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the twelve bytes, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; TIMESTAMP_LEN] {
        &self.0
    }

    /// Returns this moment, or the next one after `last` if the clock has not moved on, or was set back.
    #[must_use]
    pub fn after(self, last: Option<Self>) -> Self {
        last.map_or(self, |last| self.max(last.next()))
    }

    /// Returns the moment this long after it; parts of a second do not count.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        let [s @ .., n0, n1, n2, n3] = self.0;
        let seconds = u64::from_be_bytes(s).saturating_add(time.as_secs());
        Self::from_parts(seconds, u32::from_be_bytes([n0, n1, n2, n3]))
    }

    fn next(self) -> Self {
        let [s @ .., n0, n1, n2, n3] = self.0;
        let (seconds, nanos) = (u64::from_be_bytes(s), u32::from_be_bytes([n0, n1, n2, n3]) & !(STEP - 1));
        match nanos.checked_add(STEP) {
            Some(next) if next < SECOND => Self::from_parts(seconds, next),
            _ => Self::from_parts(seconds.saturating_add(1), 0),
        }
    }

    fn from_parts(seconds: u64, nanos: u32) -> Self {
        let mut bytes = [0; TIMESTAMP_LEN];
        bytes[..8].copy_from_slice(&seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&nanos.to_be_bytes());
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_moment_has_its_known_bytes() {
        let moment = Tai64n::from_unix(Duration::new(1_700_000_000, 999_999_999));
        assert_eq!(hex::encode(moment.as_bytes()), "400000006553f10a3b000000");
    }

    #[test]
    fn each_is_greater_than_the_last_whatever_the_clock_does() {
        let mut last = None;
        let clock = [100_u64, 100, 100, 50, 101, 0, 99];
        for seconds in clock.into_iter().cycle().take(500) {
            let stamp = Tai64n::from_unix(Duration::from_secs(seconds)).after(last);
            assert!(last.is_none_or(|last| last < stamp));
            assert_eq!(stamp.as_bytes()[9..], [0; 3], "the low bits give nothing away");
            assert!(stamp.as_bytes()[8] < 0x3c, "less than a second of nanoseconds");
            last = Some(stamp);
        }
    }
}

//! Which constants govern a session's life: those of WireGuard where air is free, others where it is metered.
//!
//! On a free link a handshake costs nothing, so keys are young: renewed every two minutes. On a metered link a handshake is
//! seconds of a shared medium, so keys serve for hours, nothing is sent to keep anything alive, and retries leave the
//! medium time to carry an answer.

use std::time::Duration;

/// The link that carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// Air is free: WireGuard's own constants.
    Free,
    /// Air is metered.
    Metered {
        /// How long one message and its answer take on this path when nothing goes wrong.
        pace: Duration,
    },
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Keys of any link are never older.
pub const HARD_LIMIT: Duration = METERED_REJECT;
/// No session seals more messages: far enough from the end of the counter that no window ever meets it.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// Two packets in each direction are lost before a peer on a free link counts as silent.
pub(super) const KEEPALIVE_TIMEOUT: Duration = seconds(10);
pub(super) const REKEY_TIMEOUT: Duration = seconds(5);
const REKEY_ATTEMPT_TIME: Duration = seconds(90);
const FREE_REKEY: Duration = seconds(120);
const FREE_REJECT: Duration = seconds(180);
const METERED_REKEY: Duration = seconds(5 * 3600);
const METERED_REJECT: Duration = seconds(5 * 3600 + 600);
const JITTER: Duration = Duration::from_millis(333);
/// Tries of a handshake on a metered link; after a first failure fewer, for the peer is probably away.
const METERED_TRIES: u32 = 5;
const METERED_TRIES_WHEN_AWAY: u32 = 2;
/// Pause after a failed handshake on a metered link, doubled by each further one.
const COOLDOWN: Duration = seconds(20);
const MAX_COOLDOWN: Duration = seconds(300);

impl Regime {
    /// Whether air is metered.
    #[must_use]
    pub const fn is_metered(self) -> bool {
        matches!(self, Self::Metered { .. })
    }

    /// At this age the initiator renews a session, when it has something to send.
    #[must_use]
    pub const fn rekey_after(self) -> Duration {
        match self {
            Self::Free => FREE_REKEY,
            Self::Metered { .. } => METERED_REKEY,
        }
    }

    /// At this age the initiator renews a session when something comes in: the other side cannot, and would lose its keys.
    #[must_use]
    pub const fn rekey_on_receive_after(self) -> Duration {
        match self {
            Self::Free => seconds(180 - 10 - 5),
            Self::Metered { .. } => seconds(5 * 3600 + 300),
        }
    }

    /// At this age keys are used no more.
    #[must_use]
    pub const fn reject_after(self) -> Duration {
        match self {
            Self::Free => FREE_REJECT,
            Self::Metered { .. } => METERED_REJECT,
        }
    }

    /// After so many messages a session is renewed; on a metered link counted from when it moved there.
    #[must_use]
    pub const fn rekey_after_messages(self) -> u64 {
        match self {
            Self::Free => 1 << 60,
            Self::Metered { .. } => 1 << 16,
        }
    }

    /// How long the initiation with this number, from 0, waits for its response. `jitter`, from 0 to 1, keeps two sides
    /// from trying at the same moment again and again.
    #[must_use]
    pub fn retry_after(self, tries: u32, jitter: f64) -> Duration {
        match self {
            Self::Free => REKEY_TIMEOUT + JITTER.mul_f64(jitter),
            Self::Metered { pace } => {
                let wait = (pace * 3 + seconds(1)) * 2_u32.pow(tries.min(METERED_TRIES));
                wait + wait.mul_f64(jitter / 4.0)
            }
        }
    }

    /// No initiation leaves sooner after the one before.
    #[must_use]
    pub fn spacing(self) -> Duration {
        match self {
            Self::Free => REKEY_TIMEOUT,
            Self::Metered { pace } => pace * 3 + seconds(1),
        }
    }

    /// Whether a handshake is given up after so many tries in this time; `failures` handshakes have failed before it.
    #[must_use]
    pub fn gives_up(self, tries: u32, lasted: Duration, failures: u32) -> bool {
        match self {
            Self::Free => lasted >= REKEY_ATTEMPT_TIME,
            Self::Metered { .. } if failures > 0 => tries >= METERED_TRIES_WHEN_AWAY,
            Self::Metered { .. } => tries >= METERED_TRIES,
        }
    }

    /// The pause after a handshake that failed, before which `failures` others did.
    #[must_use]
    pub fn cooldown(self, failures: u32) -> Option<Duration> {
        match self {
            Self::Free => None,
            Self::Metered { .. } => Some((COOLDOWN * 2_u32.pow(failures.min(6))).min(MAX_COOLDOWN)),
        }
    }

    /// How long the proof of a session that was answered for may take: the response has to arrive, and something to come
    /// back.
    #[must_use]
    pub fn proof_time(self) -> Duration {
        self.spacing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_links_have_the_constants_of_wireguard() {
        let free = Regime::Free;
        assert_eq!(free.rekey_after(), seconds(120));
        assert_eq!(free.reject_after(), seconds(180));
        assert_eq!(free.rekey_on_receive_after(), free.reject_after() - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT);
        assert_eq!(free.rekey_after_messages(), 1 << 60);
        assert_eq!(REJECT_AFTER_MESSAGES, u64::MAX - (1 << 13));
        assert!(!free.gives_up(17, seconds(89), 0) && free.gives_up(18, seconds(90), 0));
        assert_eq!(free.cooldown(9), None);
    }

    #[test]
    fn retries_on_a_metered_link_double_and_end() {
        let metered = Regime::Metered { pace: seconds(2) };
        let waits: Vec<u64> = (0..5).map(|tries| metered.retry_after(tries, 0.0).as_secs()).collect();
        assert_eq!(waits, [7, 14, 28, 56, 112]);
        assert!(!metered.gives_up(4, seconds(1000), 0) && metered.gives_up(5, seconds(0), 0));
        assert!(metered.gives_up(2, seconds(0), 1));
        let pauses: Vec<u64> =
            (0..8).filter_map(|n| metered.cooldown(n)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 300, 300, 300, 300]);
    }
}

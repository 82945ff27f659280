//! The doubt that comes with silence: a version 1 peer that restarts has another MAC address, its kernel takes none of the
//! frames that bear the old one, and nothing says so.
//!
//! Life-cycle: the first frame to a peer starts the clock, what is heard from the peer stops it. If it runs out, the peer is
//! asked for its address once more, beside the traffic, which does not wait. A flow that nobody answers, as UDP may be,
//! is asked about more and more rarely.

use std::time::{Duration, Instant};

/// The first doubt, on top of what an answer takes: a TCP that just connected has retransmitted twice by then.
const FIRST: Duration = Duration::from_secs(5);
/// The rarest: a question and its answer per five minutes are nothing beside the flow itself.
const RAREST: Duration = Duration::from_secs(300);

/// The clock of one peer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Silence {
    ask_at: Option<Instant>,
    waited: Option<Duration>,
}

impl Silence {
    /// A frame goes to the peer; `answer` is how long an answer takes. Returns whether to ask.
    pub(super) fn sent(&mut self, answer: Duration, now: Instant) -> bool {
        let wait = self.waited.map_or(FIRST + answer, |waited| waited.max(FIRST + answer));
        let ask_at = *self.ask_at.get_or_insert(now + wait);
        if now < ask_at {
            return false;
        }
        let wait = (wait * 2).min(RAREST);
        *self = Self { ask_at: Some(now + wait), waited: Some(wait) };
        true
    }

    /// Something came from the peer, if only the answer to such a question.
    pub(super) fn heard(&mut self) {
        self.ask_at = None;
    }

    /// Traffic came from the peer, or it has another address indeed: the next silence is a new one.
    pub(super) fn ended(&mut self) {
        *self = Self::default();
    }

    /// The peer has new keys while it is silent: if it restarted, it can answer as of now.
    pub(super) fn rekeyed(&mut self, now: Instant) {
        if self.ask_at.is_some() {
            self.ask_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unanswered_flow_is_asked_about_more_and_more_rarely() {
        let start = crate::testing::start();
        let mut silence = Silence::default();
        let asked: Vec<u64> = (0..1000)
            .filter(|second| {
                let asks = silence.sent(Duration::from_secs(1), start + Duration::from_secs(*second));
                if asks {
                    silence.heard();
                }
                asks
            })
            .collect();
        assert_eq!(asked, [6, 19, 44, 93, 190, 383, 684, 985]);
    }

    #[test]
    fn a_peer_that_answers_is_never_doubted() {
        let start = crate::testing::start();
        let mut silence = Silence::default();
        for second in 0..1000 {
            assert!(!silence.sent(Duration::from_secs(1), start + Duration::from_secs(second)));
            silence.ended();
        }
    }
}

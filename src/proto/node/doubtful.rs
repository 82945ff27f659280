//! Packets that went into a path while it was silent: if the path is given up, copies of them go by the next one.
//!
//! A TCP connection whose segments vanish waits twice as long with each of them. By the time a silent path is given up its
//! next try may be seconds away, though another path works; what is sent again brings the answer that it waits for. The path
//! may have been slow and not dead, so each packet is kept with what it was sealed as: its copy names that, and whoever gets
//! both takes one ([`super::copies`]).
//!
//! Invariant: at most [`MAX_PACKETS`] and [`MAX_BYTES`], the newest; nothing is kept of a path that answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::device::next_frame;
use crate::offload::Segmenter;
use crate::queue::Original;

const MAX_PACKETS: usize = 16;
const MAX_BYTES: usize = 16 * 1024;
/// A packet is of no more use after so long: its sender has sent another, or given up.
const USEFUL: Duration = Duration::from_secs(60);

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Doubtful {
    packets: VecDeque<Kept>,
    bytes: usize,
}

/// A packet that left.
pub(super) struct Kept {
    /// Its frame, complete.
    pub(super) frame: Vec<u8>,
    pub(super) original: Original,
    left: Instant,
}

impl Doubtful {
    /// Keeps a packet that leaves.
    pub(super) fn keep(&mut self, frame: Vec<u8>, original: Original, now: Instant) {
        self.bytes += frame.len();
        self.packets.push_back(Kept { frame, original, left: now });
        while self.packets.len() > MAX_PACKETS || self.bytes > MAX_BYTES {
            let oldest = self.packets.pop_front();
            self.bytes -= oldest.map_or(0, |kept| kept.frame.len());
        }
    }

    /// Keeps the packets that a frame stands for and that left: so many, with the counters from that of `first` on. Of a row
    /// that is longer than there is room for, whose sender is in no need of it, none.
    pub(super) fn keep_row(
        &mut self,
        frame: &[u8],
        mut packets: Segmenter<'_>,
        (first, many): (Original, u64),
        now: Instant,
    ) {
        if frame.len() > MAX_BYTES {
            return;
        }
        for counter in (first.counter..).take(usize::try_from(many).unwrap_or(usize::MAX)) {
            let Some(single) = next_frame(frame, &mut packets) else { return };
            self.keep(single, Original { counter, ..first }, now);
        }
    }

    /// What was kept and is still of use, the oldest first.
    pub(super) fn into_packets(mut self, now: Instant) -> VecDeque<Kept> {
        self.expire(now);
        self.packets
    }

    /// Forgets what is of no more use.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.packets.front().is_some_and(|kept| kept.left + USEFUL <= now) {
            let oldest = self.packets.pop_front();
            self.bytes -= oldest.map_or(0, |kept| kept.frame.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn original(counter: u64) -> Original {
        Original { session: 7, counter }
    }

    #[test]
    fn the_newest_packets_are_kept_while_they_are_of_use() {
        let mut doubtful = Doubtful::default();
        for number in 0..40_u8 {
            let now = start() + Duration::from_secs(number.into());
            doubtful.keep(vec![number; 1500], original(number.into()), now);
        }
        let kept: Vec<u64> = doubtful
            .into_packets(start() + Duration::from_secs(95))
            .iter()
            .map(|kept| kept.original.counter)
            .collect();
        assert_eq!(kept, (36..40).collect::<Vec<_>>(), "ten found room");
    }

    #[test]
    fn small_packets_are_bounded_by_number() {
        let mut doubtful = Doubtful::default();
        (0..40).for_each(|counter| doubtful.keep(vec![0; 60], original(counter), start()));
        let kept: Vec<u64> =
            doubtful.into_packets(start()).iter().map(|kept| kept.original.counter).collect();
        assert_eq!(kept, (24..40).collect::<Vec<_>>());
    }
}

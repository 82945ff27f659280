//! Packets that went into a path while it was silent: if the path is given up, they are sent again by the next one.
//!
//! A TCP connection whose segments vanish waits twice as long with each of them. By the time a silent path is given up its
//! next try may be seconds away, though another path works; what is sent again brings the answer that it waits for. Whoever
//! gets a packet twice drops it: that is what IP promises of a path that changes.
//!
//! Invariant: at most [`MAX_PACKETS`] and [`MAX_BYTES`], the newest; nothing is kept of a path that answers.

use std::collections::VecDeque;

use crate::offload::Offload;

const MAX_PACKETS: usize = 16;
const MAX_BYTES: usize = 16 * 1024;

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Doubtful {
    frames: VecDeque<Kept>,
    bytes: usize,
}

/// A frame that left.
pub(super) struct Kept {
    pub(super) frame: Vec<u8>,
    pub(super) offload: Offload,
    /// As how many packets it was counted, and how many bytes of these.
    pub(super) counted: (u64, u64),
}

impl Doubtful {
    /// Keeps a copy of a frame that leaves.
    pub(super) fn keep(&mut self, frame: &[u8], offload: Offload, counted: (u64, u64)) {
        if frame.len() > MAX_BYTES {
            return;
        }
        self.bytes += frame.len();
        self.frames.push_back(Kept { frame: frame.to_vec(), offload, counted });
        while self.frames.len() > MAX_PACKETS || self.bytes > MAX_BYTES {
            let oldest = self.frames.pop_front();
            self.bytes -= oldest.map_or(0, |kept| kept.frame.len());
        }
    }

    /// What was kept, the oldest first.
    pub(super) fn into_frames(self) -> VecDeque<Kept> {
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_frames_are_kept() {
        let mut doubtful = Doubtful::default();
        for number in 0..40_u8 {
            doubtful.keep(&[number; 1500], Offload::default(), (1, 1486));
        }
        let kept: Vec<u8> = doubtful.into_frames().iter().map(|kept| kept.frame[0]).collect();
        assert_eq!(kept, (30..40).collect::<Vec<_>>());
    }
}

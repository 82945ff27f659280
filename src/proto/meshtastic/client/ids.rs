//! Packets handed to the radio lately: their ids, which are random and never repeat a recent one, and what must be told
//! when the radio refuses one.

use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

/// The firmware drops a packet whose id it saw lately without a word, from whomever; it remembers some hundred.
const RECENT: usize = 256;

/// What was sent under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// `MeshPacket::id`.
    pub(super) id: u32,
    /// To whom.
    pub(super) to: u32,
    /// The core's name for it; the client's own packets have none.
    pub(super) token: Option<u64>,
    /// Bytes of payload.
    pub(super) len: usize,
}

/// The last [`RECENT`] packets, newest last.
#[derive(Debug, Default)]
pub(super) struct SentLog {
    recent: VecDeque<Sent>,
}

impl SentLog {
    /// Chooses an id and notes the packet under it.
    pub(super) fn add(&mut self, to: u32, token: Option<u64>, len: usize, rng: &mut ChaCha20Rng) -> Sent {
        let id = loop {
            let id = rng.next_u32();
            if id != 0 && self.recent.iter().all(|sent| sent.id != id) {
                break id;
            }
        };
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let sent = Sent { id, to, token, len };
        self.recent.push_back(sent);
        sent
    }

    /// Finds a packet by its id.
    pub(super) fn find(&self, id: u32) -> Option<Sent> {
        self.recent.iter().rev().find(|sent| sent.id == id).copied()
    }

    /// Returns what was sent under this id and forgets whose it was, so that it is refused once: a refusal comes as a
    /// queue status and as a routing message.
    pub(super) fn take(&mut self, id: u32) -> Option<Sent> {
        let sent = self.recent.iter_mut().rev().find(|sent| sent.id == id)?;
        let found = *sent;
        sent.token = None;
        sent.to = 0;
        (found.to != 0).then_some(found)
    }
}

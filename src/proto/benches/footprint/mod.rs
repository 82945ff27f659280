//! The heap that one idle peer takes: the difference between a node with a thousand peers and one with none.
//!
//! Exact and the same in every run: what is counted are the bytes that were asked of the allocator, without what it keeps
//! for itself.

mod counting;

use std::time::Duration;

use meshnet_proto::config::PeerMode;

use self::counting::live;
use crate::network::{Network, Plan, drain};

const PEERS: u16 = 1000;
/// Sessions are renewed from two minutes on.
const RENEWAL: Duration = Duration::from_secs(125);
/// All keys are erased by then.
const HOUR: Duration = Duration::from_secs(3600);

/// What an idle peer has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nothing: it is configured.
    None,
    /// It has a session that has just been renewed, and the one before.
    Renewed,
    /// Its keys are erased.
    Left,
}

pub(crate) const PASTS: [Past; 3] = [Past::None, Past::Renewed, Past::Left];

/// Bytes of heap per peer.
pub(crate) fn of(past: Past) -> usize {
    (heap(past, PEERS) - heap(past, 0)) / usize::from(PEERS)
}

fn heap(past: Past, peers: u16) -> usize {
    let mut network = Network::new(Plan { peers, mode: PeerMode::Wireguard, keepalive: None });
    if past != Past::None {
        network.acquaint();
        network.now += RENEWAL;
        network.acquaint();
    }
    if past == Past::Left {
        network.now += HOUR;
        network.hub.handle_timeout(network.now);
    }
    drain(&mut network.hub, network.now);
    let before = live();
    drop(network.hub);
    before - live()
}

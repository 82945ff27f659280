//! What the sparklines show: how much air was taken between one look and the next.

use std::collections::{BTreeMap, VecDeque};

use meshnet_bus::describe::{Network, Peer};

/// How many looks are remembered: more than a terminal is wide.
const LOOKS: usize = 240;

/// The air of the last looks, in milliseconds, of each peer and each link. As large as the network is: what is no longer in it
/// is forgotten.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By public key.
    peers: BTreeMap<String, Series>,
    /// By name.
    links: BTreeMap<String, Series>,
}

/// One counter's increments.
#[derive(Debug, Default)]
struct Series {
    last: Option<u64>,
    increments: VecDeque<u64>,
}

impl History {
    /// Adds a look.
    pub(super) fn add(&mut self, network: &Network) {
        self.peers.retain(|key, _| network.peers.iter().any(|peer| peer.public_key == *key));
        self.links.retain(|name, _| network.links.iter().any(|link| link.name == *name));
        let mut links: BTreeMap<&str, u64> = BTreeMap::new();
        for peer in &network.peers {
            let increment = self.peers.entry(peer.public_key.clone()).or_default().count(air(peer));
            if let Some(link) = &peer.link {
                *links.entry(link).or_default() += increment;
            }
        }
        for link in &network.links {
            let increment = links.get(link.name.as_str()).copied().unwrap_or_default();
            self.links.entry(link.name.clone()).or_default().push(increment);
        }
    }

    /// A peer's air, the oldest look first.
    pub(super) fn peer(&self, public_key: &str) -> Vec<u64> {
        self.peers.get(public_key).map(Series::values).unwrap_or_default()
    }

    /// A link's air: that of the peers that are reached through it.
    pub(super) fn link(&self, name: &str) -> Vec<u64> {
        self.links.get(name).map(Series::values).unwrap_or_default()
    }
}

/// What a peer took, both ways.
fn air(peer: &Peer) -> u64 {
    peer.sent.airtime_ms.saturating_add(peer.received.airtime_ms)
}

impl Series {
    /// Takes a counter's value; returns the increment since the last.
    fn count(&mut self, value: u64) -> u64 {
        let increment = match self.last {
            // What was before the first look happened at no known time.
            None => 0,
            // A counter that goes back is another daemon's, which began at zero.
            Some(last) => value.checked_sub(last).unwrap_or(value),
        };
        self.last = Some(value);
        self.push(increment);
        increment
    }

    fn push(&mut self, increment: u64) {
        if self.increments.len() == LOOKS {
            self.increments.pop_front();
        }
        self.increments.push_back(increment);
    }

    fn values(&self) -> Vec<u64> {
        self.increments.iter().copied().collect()
    }
}

/// Draws values as bars, the newest at the right end; the highest of those in sight fills the line. Nothing is a blank.
pub(super) fn sparkline(values: &[u64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let seen = &values[values.len().saturating_sub(width)..];
    let highest = seen.iter().copied().max().unwrap_or_default();
    let bar = |value: u64| {
        if value == 0 {
            return ' ';
        }
        // From 1 to 8 eighths of the highest, which is not zero if this value is not.
        let eighths = (u128::from(value) * 8).div_ceil(u128::from(highest.max(1)));
        BARS[usize::try_from(eighths).unwrap_or(8).clamp(1, 8) - 1]
    };
    let blanks = std::iter::repeat_n(' ', width - seen.len());
    blanks.chain(seen.iter().map(|value| bar(*value))).collect()
}

#[cfg(test)]
mod tests {
    use meshnet_bus::describe::{Counters, Link};

    use super::*;

    fn network(air: &[u64]) -> Network {
        let peer = |(at, airtime_ms): (usize, &u64)| Peer {
            public_key: at.to_string(),
            link: Some("radio0".to_owned()),
            sent: Counters { airtime_ms: *airtime_ms, ..Counters::default() },
            ..Peer::default()
        };
        let links = vec![Link { name: "radio0".to_owned(), ..Link::default() }];
        Network { peers: air.iter().enumerate().map(peer).collect(), links, ..Network::default() }
    }

    #[test]
    fn a_link_takes_what_its_peers_take() {
        let mut history = History::default();
        for air in [[100, 50], [300, 50], [300, 90]] {
            history.add(&network(&air));
        }
        assert_eq!(history.peer("0"), [0, 200, 0]);
        assert_eq!(history.peer("1"), [0, 0, 40]);
        assert_eq!(history.link("radio0"), [0, 200, 40]);
    }

    #[test]
    fn a_daemon_that_starts_again_counts_from_zero() {
        let mut history = History::default();
        for air in [900, 30] {
            history.add(&network(&[air]));
        }
        assert_eq!(history.peer("0"), [0, 30]);
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_is_old_too() {
        let mut history = History::default();
        for air in 0..1000 {
            history.add(&network(&[air, air]));
        }
        assert_eq!(history.peer("1").len(), LOOKS);
        history.add(&network(&[1]));
        assert!(history.peer("1").is_empty());
    }

    #[test]
    fn the_newest_is_at_the_right_and_the_highest_is_full() {
        assert_eq!(sparkline(&[], 3), "   ");
        assert_eq!(sparkline(&[8, 0, 1, 4], 6), "  █ ▁▄");
        assert_eq!(sparkline(&[800, 1, 2], 2), "▄█");
        assert_eq!(sparkline(&[u64::MAX, 1], 2), "█▁");
        assert_eq!(sparkline(&[1, 2], 0), "");
    }
}

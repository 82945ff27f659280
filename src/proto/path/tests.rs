//! Two peers in simulated time, with a radio and a free link between them that delays, loses and reorders by a seed.

mod evidence;
mod hostile;
mod idle;
mod two_peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::link::{Airtime, LinkCaps, Metered};

const RADIO: LinkId = LinkId(0);
const WIFI: LinkId = LinkId(1);
const CABLE: LinkId = LinkId(2);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn free(cost: u32) -> LinkCaps {
    LinkCaps {
        kind: AddrKind::Udp,
        mtu: 1452,
        airtime: Airtime::Free,
        cost,
        ordered: false,
        broadcast: false,
        segments: 1,
    }
}

fn radio(cost: u32) -> LinkCaps {
    let price: Arc<[u32]> = (0..=220).map(|n| 200_000 + n * 8_000).collect();
    let metered = Metered { price, access: ms(100), hourly: s(360) };
    LinkCaps { kind: AddrKind::Radio, airtime: Airtime::Metered(metered), ..free(cost) }
}

fn udp(text: &str) -> LinkAddr {
    LinkAddr::udp(text.parse().unwrap())
}

fn lan() -> LinkAddr {
    udp("192.0.2.2:51820")
}

fn node() -> LinkAddr {
    LinkAddr::radio(2)
}

/// When what is sent took another way, which, and why.
type Change = (Duration, Option<Way>, Why);

/// One end, and what it wanted done.
struct End {
    paths: Paths,
    rng: ChaCha8Rng,
    start: Instant,
    now: Instant,
    changes: Vec<Change>,
    probes: Vec<(Duration, LinkId, LinkAddr, u32)>,
    announced: Vec<Duration>,
    stranded: Vec<Duration>,
}

impl End {
    fn new(kin: bool, bulk: Bulk) -> Self {
        let start = crate::testing::start() + s(3600);
        let rng = ChaCha8Rng::seed_from_u64(1);
        let paths = Paths::new(kin, bulk);
        let (changes, probes, announced, stranded) = (vec![], vec![], vec![], vec![]);
        Self { paths, rng, start, now: start, changes, probes, announced, stranded }
    }

    /// A kin peer with a radio and a LAN address, both links up, and a session whose handshake went by radio.
    fn usual() -> Self {
        let mut end = Self::new(true, Bulk::default());
        end.paths.handle_link_up(RADIO, &radio(100), end.now);
        end.paths.handle_link_up(WIFI, &free(10), end.now);
        end.paths.set_configured(&[node(), lan()], end.now);
        end.paths.heard(RADIO, node(), Heard::Answer, end.now);
        end.paths.set_session(true, end.now);
        end.drain();
        end
    }

    /// The same, with the LAN proven and current.
    fn on_wifi() -> Self {
        let mut end = Self::usual();
        end.paths.heard(WIFI, lan(), Heard::Answer, end.now);
        end.drain();
        assert_eq!(end.paths.current(), Some((WIFI, lan())));
        end
    }

    fn drain(&mut self) {
        let at = self.now - self.start;
        while let Some(action) = self.paths.poll_action(&mut self.rng, self.now) {
            match action {
                Action::Probe { link, to, token } => self.probes.push((at, link, to, token)),
                Action::Changed { to, why, .. } => self.changes.push((at, to, why)),
                Action::Announce => self.announced.push(at),
                Action::Stranded => self.stranded.push(at),
            }
        }
    }

    /// Lets time pass, with every timer in time.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((due, _)) = self.paths.deadline().filter(|(due, _)| *due <= until) {
            assert!(due >= self.now - s(6), "a timer that was due long ago");
            self.now = self.now.max(due);
            self.paths.handle_timeout(self.now);
            self.drain();
            let again = self.paths.deadline().map(|(due, _)| due);
            assert!(again.is_none_or(|again| again > self.now), "a timer spins: {:?}", self.paths.deadline());
        }
        self.now = until;
    }

    /// A packet of somebody's leaves by the current path.
    fn send(&mut self) {
        let Some((link, to)) = self.paths.current() else { return };
        self.paths.sent(link, to, Sent::Packet, 100, Duration::ZERO, self.now);
        self.drain();
    }

    /// Packets leave all the time.
    fn send_for(&mut self, time: Duration, every: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.send();
            self.pass(every);
        }
    }

    fn hear(&mut self, link: LinkId, from: LinkAddr) {
        self.paths.heard(link, from, Heard::Newest, self.now);
        self.drain();
    }

    /// The last probe of a path is answered now.
    fn answer(&mut self, link: LinkId, to: LinkAddr) -> bool {
        let probe = self.probes.iter().rev().find(|(_, on, at, _)| (*on, *at) == (link, to));
        let Some((.., token)) = probe.copied() else { return false };
        self.paths.heard(link, to, Heard::Newest, self.now);
        let proves = self.paths.answered(token, link, to, self.now);
        self.drain();
        proves
    }

    fn probes_of(&self, link: LinkId) -> usize {
        self.probes.iter().filter(|(_, on, ..)| *on == link).count()
    }
}

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

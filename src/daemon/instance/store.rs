//! The state file: what must survive a restart. While what holds counters cannot be written nothing may leave, for the core might
//! repeat one in its next life. All else is worth no wait: a full disk must not part a host from its network.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshnet_proto::{Node, Stored};
use tracing::{debug, error, info, warn};

use crate::{catalog, files};

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The state file, ours alone, and what has not reached it yet.
pub(super) struct Store {
    path: PathBuf,
    _reserved: File,
    unsaved: Option<(Stored, Instant)>,
    failed: bool,
    /// Whether it was told that nothing is sent for it.
    told_must: bool,
}

impl Store {
    /// Reserves the state file and reads it into the core.
    pub(super) fn open(path: PathBuf, node: &mut Node) -> anyhow::Result<Self> {
        let reserved = files::reserve(&path)?;
        let state = files::read_state(&path)
            .with_context(|| format!("cannot read the state in {}", path.display()))?;
        if let Some(state) = state {
            let ignored = node.restore(&state);
            if ignored > 0 {
                warn!(file = %path.display(), ignored, "lines of the state make no sense");
            }
        }
        Ok(Self { path, _reserved: reserved, unsaved: None, failed: false, told_must: false })
    }

    /// Writes what the core wants durable; returns whether everything is that must be.
    pub(super) fn save(&mut self, node: &mut Node, now: Instant) -> bool {
        match (node.poll_store(), self.unsaved.take()) {
            (None, None) => true,
            (Some(stored), None) => self.write(stored, now),
            (newer, Some((older, retry_at))) => {
                let must = older.must || newer.as_ref().is_some_and(|newer| newer.must);
                let stored = Stored { must, ..newer.unwrap_or(older) };
                if now >= retry_at {
                    return self.write(stored, now);
                }
                self.unsaved = Some((stored, retry_at));
                !must
            }
        }
    }

    /// When a failed write is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.unsaved.as_ref().map(|(_, retry_at)| *retry_at)
    }

    /// Tells whether nothing is sent because the state cannot be written.
    pub(super) fn is_failing(&self) -> bool {
        self.unsaved.as_ref().is_some_and(|(stored, _)| stored.must)
    }

    fn write(&mut self, stored: Stored, now: Instant) -> bool {
        match files::replace(&self.path, &stored.text, true) {
            Ok(()) => {
                self.told_must = false;
                if std::mem::take(&mut self.failed) {
                    info!(file = %self.path.display(), "the state is saved again");
                }
                true
            }
            Err(error) => {
                // Once for each time that it goes wrong, however often it is tried.
                let failed = std::mem::replace(&mut self.failed, true);
                let told = failed && (self.told_must || !stored.must);
                self.told_must |= stored.must;
                if told {
                    debug!(file = %self.path.display(), %error, "still cannot save the state");
                } else if stored.must {
                    error!(
                        message_id = catalog::STATE_NOT_SAVED,
                        file = %self.path.display(),
                        %error,
                        "cannot save the state: nothing is sent until it is"
                    );
                } else {
                    warn!(
                        file = %self.path.display(),
                        %error,
                        "cannot save the state: after a crash recorded handshakes would be answered again"
                    );
                }
                let must = stored.must;
                self.unsaved = Some((stored, now + RETRY));
                !must
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use meshnet_proto::config::{Config, PeerConfig, PeerMode, REKEY_AFTER_MESSAGES};
    use meshnet_proto::key::{PresharedKey, PrivateKey};
    use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent, LinkId};

    use super::*;

    /// A core that has something to send under a counter that it wants saved first.
    fn node(now: Instant) -> Node {
        let peer = PeerConfig {
            public_key: PrivateKey::from_random([2; 32]).public(),
            preshared_key: Some(PresharedKey::from_bytes([3; 32])),
            allowed_ips: vec!["10.0.0.2/32".parse().unwrap()],
            endpoints: vec![LinkAddr::radio(7)],
            mode: PeerMode::Symmetric,
            keepalive: None,
            bulk_over_metered: None,
        };
        let config = Config {
            private_key: PrivateKey::from_random([1; 32]),
            addresses: vec!["10.0.0.1/24".parse().unwrap()],
            mtu: 180,
            rekey_after_messages: REKEY_AFTER_MESSAGES,
            peers: vec![peer],
        };
        let mut node = Node::new(&config, [4; 32], Duration::ZERO, now).unwrap();
        let (kind, airtime) = (AddrKind::Radio, Airtime::Free);
        let caps =
            LinkCaps { kind, mtu: 219, airtime, cost: 0, ordered: true, broadcast: false, segments: 1 };
        node.handle_link(LinkId(0), LinkEvent::Up(caps), now);
        node.handle_link(LinkId(0), LinkEvent::Room(8), now);
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum: u32 = frame[14..].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        node.handle_device(&frame, now);
        node
    }

    /// A state file that cannot be written while something is in the way of the text that is to replace it.
    struct Stuck {
        dir: tempfile::TempDir,
        path: PathBuf,
        obstacle: PathBuf,
        node: Node,
        store: Store,
    }

    fn stuck(now: Instant) -> Stuck {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.state");
        let obstacle = dir.path().join("mesh0.state.new");
        fs::create_dir(&obstacle).unwrap();
        let mut node = node(now);
        let store = Store::open(path.clone(), &mut node).unwrap();
        Stuck { dir, path, obstacle, node, store }
    }

    #[test]
    fn nothing_may_leave_until_the_state_is_on_disk() {
        let now = Instant::now();
        let Stuck { dir: _dir, path, obstacle, mut node, mut store } = stuck(now);
        assert!(!store.save(&mut node, now), "it cannot be written");
        assert_eq!(store.retry_at(), Some(now + RETRY));

        fs::remove_dir(obstacle).unwrap();
        assert!(!store.save(&mut node, now + RETRY / 2), "its next try is not due");
        assert!(!path.exists());
        assert!(store.save(&mut node, now + RETRY));
        assert_eq!(store.retry_at(), None);
        assert!(fs::read_to_string(&path).unwrap().contains("symmetric"));
    }

    #[test]
    fn what_is_worth_no_wait_holds_up_nothing_and_is_written_when_it_can_be() {
        let now = Instant::now();
        let Stuck { dir: _dir, path, obstacle, mut node, mut store } = stuck(now);
        let wish = Stored { text: b"a wish".to_vec(), must: false };
        assert!(store.write(wish.clone(), now) && !store.is_failing());
        assert_eq!(store.retry_at(), Some(now + RETRY));
        // What must be written makes all of it so.
        assert!(!store.save(&mut node, now + RETRY / 2) && store.is_failing());
        fs::remove_dir(obstacle).unwrap();
        assert!(store.save(&mut node, now + RETRY) && !store.is_failing());
        assert!(fs::read_to_string(&path).unwrap().contains("symmetric"));
    }

    #[test]
    fn what_the_saved_state_covers_may_leave() {
        let now = Instant::now();
        let dir = tempfile::tempdir().unwrap();
        let mut node = node(now);
        let mut store = Store::open(dir.path().join("mesh0.state"), &mut node).unwrap();
        assert!(store.save(&mut node, now));
        assert!(node.poll_transmit(now).is_some());
    }

    #[test]
    fn a_state_that_cannot_be_read_is_an_error_and_one_that_makes_no_sense_is_not() {
        let now = Instant::now();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.state");
        fs::create_dir(&path).unwrap();
        assert!(Store::open(path.clone(), &mut node(now)).is_err(), "a directory");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, [0xff; 100]).unwrap();
        assert!(Store::open(path, &mut node(now)).is_ok());
    }
}

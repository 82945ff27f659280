//! The gate that a stranger's handshake message passes before anything costly is done for it.
//!
//! First its first MAC must be right: whoever made it knows our public key. While we are under load its second MAC must be
//! right too: whoever made it receives what is sent to the address that it came from; if it is not, the answer is a cookie
//! with which it will be. Then each such address has its limit. A last limit holds for all together, come what may.
//!
//! Load is estimated from the messages themselves: more than `CALM` allows is load, which lasts a second beyond the last
//! such message. The shell may say that it is under load for reasons of its own.
//!
//! Invariants: memory is bounded (`MAX_SOURCES`), and only addresses that proved themselves, or come when we are calm,
//! take any. A cookie is bound to an address and to a secret that is drawn anew every two minutes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::mac::{COOKIE_LIFETIME, Cookie, Labels, Macs, is_same, mac};
use super::message::{COOKIE_NONCE, COOKIE_REPLY_LEN, CookieReply, INIT_LEN, Message, RESPONSE_LEN};
use crate::key::PublicKey;
use crate::limit::Bucket;
use crate::link::LinkAddr;

/// Handshake messages that come without being a load: some at once, then about as many as ten thousand peers make that
/// renew their sessions.
const CALM: Bucket = Bucket::new(64, Duration::from_millis(10));
/// How long load lasts beyond what made it.
const LOAD_LASTS: Duration = Duration::from_secs(1);
/// What is done for all together: at some 200 µs each, a fifth of a processor.
const ALL: Bucket = Bucket::new(200, Duration::from_millis(1));
/// What is done for each source under load, and for each that needs no MAC at any time.
const EACH: Bucket = Bucket::new(5, Duration::from_millis(50));
/// Sources whose limits are kept at once.
const MAX_SOURCES: usize = 4096;

/// What becomes of a handshake message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be worked on.
    Accept,
    /// It may not; this is the answer.
    Cookie([u8; COOKIE_REPLY_LEN]),
    /// It is not even answered.
    Drop(Refused),
}

/// Why a handshake message is not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is neither initiation nor response.
    #[error("no handshake message")]
    Malformed,
    /// Its first MAC is wrong.
    #[error("wrong first MAC")]
    WrongMac,
    /// Its source sends too many.
    #[error("too many handshakes of one source")]
    Source,
    /// All together send too many.
    #[error("too many handshakes")]
    Flood,
}

/// Who is limited as one: a whole IPv6 network is one host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Radio(u32),
    V4([u8; 4]),
    V6Network([u8; 8]),
}

impl From<LinkAddr> for Source {
    fn from(address: LinkAddr) -> Self {
        match (address.as_udp().map(|address| address.ip()), address.as_radio()) {
            (Some(IpAddr::V4(ip)), _) => Self::V4(ip.octets()),
            (Some(IpAddr::V6(ip)), _) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6Network([a, b, c, d, e, f, g, h])
            }
            (None, node) => Self::Radio(node.unwrap_or(0)),
        }
    }
}

/// The gate of one node.
pub struct Gate {
    labels: Labels,
    secret: Zeroizing<[u8; 32]>,
    drawn: Option<Instant>,
    calm: Bucket,
    loaded_until: Option<Instant>,
    all: Bucket,
    sources: BTreeMap<Source, Bucket>,
    swept: Option<Instant>,
}

impl Gate {
    /// Makes the gate of the holder of this key.
    #[must_use]
    pub fn new(ours: &PublicKey) -> Self {
        Self {
            labels: Labels::new(ours),
            secret: Zeroizing::default(),
            drawn: None,
            calm: CALM,
            loaded_until: None,
            all: ALL,
            sources: BTreeMap::new(),
            swept: None,
        }
    }

    /// Decides on a handshake message in stock framing. `pressed`: the shell knows that we are under load.
    pub fn admit(
        &mut self,
        message: &[u8],
        source: LinkAddr,
        pressed: bool,
        rng: &mut ChaCha20Rng,
        now: Instant,
    ) -> Verdict {
        let receiver = match (message.len(), Message::parse(message)) {
            (INIT_LEN, Ok(Message::Init(init))) => init.sender,
            (RESPONSE_LEN, Ok(Message::Response(response))) => response.sender,
            _ => return Verdict::Drop(Refused::Malformed),
        };
        let Some(Macs { covered1, mac1, covered2, mac2 }) = Macs::of(message) else {
            return Verdict::Drop(Refused::Malformed);
        };
        if !is_same(&self.labels.mac1(covered1), mac1) {
            return Verdict::Drop(Refused::WrongMac);
        }
        if self.is_loaded(pressed, now) {
            let cookie = self.cookie(source, rng, now);
            if !is_same(&mac(&cookie, covered2), mac2) {
                let mut nonce = [0; COOKIE_NONCE];
                rng.fill_bytes(&mut nonce);
                let cookie = self.labels.seal(&nonce, &cookie, mac1);
                return Verdict::Cookie(CookieReply { receiver, nonce, cookie }.emit());
            }
            if !self.allows(source, now) {
                return Verdict::Drop(Refused::Source);
            }
        }
        if self.all.take(now) { Verdict::Accept } else { Verdict::Drop(Refused::Flood) }
    }

    /// Decides on a handshake message that has no MACs: limits alone.
    ///
    /// # Errors
    /// If its source, or all together, send too many.
    pub fn admit_terse(&mut self, source: LinkAddr, now: Instant) -> Result<(), Refused> {
        if !self.allows(source, now) {
            return Err(Refused::Source);
        }
        if self.all.take(now) { Ok(()) } else { Err(Refused::Flood) }
    }

    /// Returns whether cookies are asked for.
    #[must_use]
    pub fn is_under_load(&self, now: Instant) -> bool {
        self.loaded_until.is_some_and(|until| now < until)
    }

    fn is_loaded(&mut self, pressed: bool, now: Instant) -> bool {
        if !self.calm.take(now) || pressed {
            self.loaded_until = Some(now + LOAD_LASTS);
        }
        self.is_under_load(now)
    }

    /// The cookie for an address, port included.
    fn cookie(&mut self, source: LinkAddr, rng: &mut ChaCha20Rng, now: Instant) -> Cookie {
        if self.drawn.is_none_or(|at| at + COOKIE_LIFETIME <= now) {
            rng.fill_bytes(&mut *self.secret);
            self.drawn = Some(now);
        }
        let mut bytes = [0; 19];
        match source.as_udp() {
            Some(SocketAddr::V4(address)) => {
                bytes[0] = 4;
                bytes[1..5].copy_from_slice(&address.ip().octets());
                bytes[17..].copy_from_slice(&address.port().to_be_bytes());
            }
            Some(SocketAddr::V6(address)) => {
                bytes[0] = 6;
                bytes[1..17].copy_from_slice(&address.ip().octets());
                bytes[17..].copy_from_slice(&address.port().to_be_bytes());
            }
            None => bytes[1..5].copy_from_slice(&source.as_radio().unwrap_or(0).to_be_bytes()),
        }
        mac(&*self.secret, &bytes)
    }

    fn allows(&mut self, source: LinkAddr, now: Instant) -> bool {
        let source = source.into();
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            self.sweep(now);
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        self.sources.entry(source).or_insert(EACH).take(now)
    }

    /// Forgets sources that may do again what a stranger may, at most once a second: the walk has its price.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|at| at + LOAD_LASTS <= now) {
            self.swept = Some(now);
            self.sources.retain(|_, bucket| !bucket.is_full(now));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

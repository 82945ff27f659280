//! The two MACs that end every handshake message, and the initiating side of cookies.
//!
//! The first MAC shows that the sender knows the receiver's public key; without it nothing is answered at all. The second
//! one is zeros until a receiver under load sends a *cookie*: a MAC of the address that it sees. Who sends the cookie back
//! as the key of the second MAC has shown that it receives what is sent to that address.

use std::fmt;
use std::time::{Duration, Instant};

use blake2::digest::consts::U16;
use blake2::digest::{KeyInit as _, Mac as _};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut as _;
use subtle::ConstantTimeEq as _;

use super::message::{COOKIE_NONCE, CookieReply, MAC_LEN, SEALED_COOKIE};
use crate::key::PublicKey;

/// How long a cookie is good for.
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(120);

/// A cookie.
pub(super) type Cookie = [u8; MAC_LEN];

/// The keys that follow from a receiver's public key. No secrets.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    mac1: [u8; 32],
    cookie: [u8; 32],
}

impl Labels {
    /// Derives the keys for messages to the holder of this key.
    pub(super) fn new(receiver: &PublicKey) -> Self {
        let derive = |label: &[u8]| {
            Blake2s256::new().chain_update(label).chain_update(receiver.as_bytes()).finalize().into()
        };
        Self { mac1: derive(b"mac1----"), cookie: derive(b"cookie--") }
    }

    /// The first MAC, over all that precedes it.
    pub(super) fn mac1(&self, covered: &[u8]) -> [u8; MAC_LEN] {
        mac(&self.mac1, covered)
    }

    /// Seals a cookie in reply to a message with this first MAC.
    pub(super) fn seal(
        &self,
        nonce: &[u8; COOKIE_NONCE],
        cookie: &Cookie,
        mac1: &[u8; MAC_LEN],
    ) -> [u8; SEALED_COOKIE] {
        let mut sealed = [0; SEALED_COOKIE];
        let (text, tag) = sealed.split_at_mut(MAC_LEN);
        text.copy_from_slice(cookie);
        let made = XChaCha20Poly1305::new((&self.cookie).into())
            .encrypt_inout_detached(nonce.into(), mac1, (&mut *text).into())
            .expect("sixteen bytes are not too many");
        tag.copy_from_slice(&made);
        sealed
    }

    fn open(&self, reply: &CookieReply, mac1: &[u8; MAC_LEN]) -> Option<Cookie> {
        let (text, tag) = reply.cookie.split_first_chunk::<MAC_LEN>()?;
        let (mut cookie, tag): (Cookie, [u8; 16]) = (*text, tag.try_into().ok()?);
        XChaCha20Poly1305::new((&self.cookie).into())
            .decrypt_inout_detached((&reply.nonce).into(), mac1, cookie.as_mut_slice().into(), (&tag).into())
            .ok()?;
        Some(cookie)
    }
}

/// BLAKE2s with a key and 16 bytes of output.
pub(super) fn mac(key: &[u8], covered: &[u8]) -> [u8; MAC_LEN] {
    let mut mac = Blake2sMac::<U16>::new_from_slice(key).expect("BLAKE2s takes keys of up to 32 bytes");
    mac.update(covered);
    mac.finalize().into_bytes().into()
}

/// Compares in constant time.
pub(super) fn is_same(one: &[u8; MAC_LEN], other: &[u8; MAC_LEN]) -> bool {
    one.ct_eq(other).into()
}

/// A handshake message's MACs, and what each covers.
pub(super) struct Macs<'a> {
    pub(super) covered1: &'a [u8],
    pub(super) mac1: &'a [u8; MAC_LEN],
    pub(super) covered2: &'a [u8],
    pub(super) mac2: &'a [u8; MAC_LEN],
}

impl<'a> Macs<'a> {
    /// Finds them in a message. `None` if it is too short for any.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        let (covered2, mac2) = message.split_last_chunk()?;
        let (covered1, mac1) = covered2.split_last_chunk()?;
        Some(Self { covered1, mac1, covered2, mac2 })
    }
}

/// The sending side of MACs and cookies towards one peer.
pub struct Cookies {
    labels: Labels,
    /// The first MAC of the message that a cookie may be a reply to.
    awaited: Option<[u8; MAC_LEN]>,
    cookie: Option<(Cookie, Instant)>,
}

impl Cookies {
    /// Makes the state for messages to this peer.
    #[must_use]
    pub fn new(peer: &PublicKey) -> Self {
        Self { labels: Labels::new(peer), awaited: None, cookie: None }
    }

    /// Writes both MACs into a handshake message that is about to leave (148 or 92 bytes; the MACs are the last 32).
    pub fn stamp(&mut self, message: &mut [u8], now: Instant) {
        let Some(at) = message.len().checked_sub(2 * MAC_LEN) else { return };
        let mac1 = self.labels.mac1(&message[..at]);
        message[at..at + MAC_LEN].copy_from_slice(&mac1);
        self.awaited = Some(mac1);
        if self.cookie.is_some_and(|(_, until)| until <= now) {
            self.cookie = None;
        }
        let mac2 = self.cookie.map_or([0; MAC_LEN], |(cookie, _)| mac(&cookie, &message[..at + MAC_LEN]));
        message[at + MAC_LEN..].copy_from_slice(&mac2);
    }

    /// Takes a cookie, if it is a reply to the last message that left. The next message bears it; it leaves when it would
    /// have left anyway.
    pub fn take(&mut self, reply: &CookieReply, now: Instant) -> bool {
        let Some(cookie) = self.awaited.and_then(|mac1| self.labels.open(reply, &mac1)) else { return false };
        self.awaited = None;
        // Made a moment ago, so it is over there a moment before it is here.
        self.cookie = Some((cookie, now + COOKIE_LIFETIME - Duration::from_secs(5)));
        true
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("has_cookie", &self.cookie.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;
    use crate::wg::message::{INIT_LEN, Init, Message, RESPONSE_LEN};
    use crate::wg::tests::vectors::{self, array};

    #[test]
    fn macs_and_cookies_are_those_of_an_independent_derivation() {
        for vector in vectors::all() {
            let (ours, theirs) = vector.identities();
            let now = start();
            let mut cookies = Cookies::new(theirs.public());
            let init: [u8; INIT_LEN] = array(&vector.init);
            let Ok(Message::Init(parsed)) = Message::parse(&init) else { panic!("no init") };
            assert_eq!(parsed.sender, vector.initiator_index);
            let mut again = Init { mac1: [0; 16], mac2: [9; 16], ..parsed }.emit();
            cookies.stamp(&mut again, now);
            assert_eq!(again, init);

            let reply: [u8; 64] = array(&vector.cookie_reply);
            let Ok(Message::CookieReply(reply)) = Message::parse(&reply) else { panic!("no reply") };
            assert_eq!(reply.receiver, vector.initiator_index);
            assert!(cookies.take(&reply, now));
            assert_eq!(cookies.cookie.unwrap().0, array::<16>(&vector.cookie));
            cookies.stamp(&mut again, now);
            assert_eq!(hex::encode(again), vector.init_with_cookie);
            let sealed =
                Labels::new(theirs.public()).seal(&reply.nonce, &array(&vector.cookie), &parsed.mac1);
            assert_eq!(sealed, reply.cookie);

            let response: [u8; RESPONSE_LEN] = array(&vector.response);
            let mut again = response;
            again[60..].fill(0);
            Cookies::new(ours.public()).stamp(&mut again, now);
            assert_eq!(again, response);
        }
    }

    #[test]
    fn a_cookie_answers_one_message_and_ends() {
        let vector = &vectors::all()[0];
        let mut cookies = Cookies::new(vector.identities().1.public());
        let reply: [u8; 64] = array(&vector.cookie_reply);
        let Ok(Message::CookieReply(reply)) = Message::parse(&reply) else { panic!("no reply") };
        let now = start();
        assert!(!cookies.take(&reply, now), "nothing was sent");
        let mut init: [u8; INIT_LEN] = array(&vector.init);
        cookies.stamp(&mut init, now);
        assert!(!cookies.take(&CookieReply { nonce: [0; 24], ..reply }, now), "forged");
        assert!(cookies.take(&reply, now));
        assert!(!cookies.take(&reply, now), "once");
        cookies.stamp(&mut init, now + Duration::from_secs(100));
        assert_ne!(init[132..], [0; 16]);
        cookies.stamp(&mut init, now + COOKIE_LIFETIME);
        assert_eq!(init[132..], [0; 16]);
    }
}

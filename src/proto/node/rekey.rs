//! Fresh keys on demand.

use std::time::Instant;

use super::Node;
use super::peer::Keying;
use crate::key::PublicKey;
use crate::queue::PeerIndex;

/// Why a peer gets no fresh keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RekeyError {
    /// No peer has this public key.
    #[error("no peer has the public key {0}")]
    UnknownPeer(PublicKey),
    /// The peer has one key shared beforehand, and no handshake that could make another.
    #[error("a symmetric peer has no handshake: its key is the preshared one")]
    Symmetric,
}

impl Node {
    /// Starts a handshake with a peer as soon as a link reaches it, whatever the age of its session, which serves until
    /// there is another. [`Event::Rekeyed`](crate::event::Event::Rekeyed), or `PeerUp` if there was no session, tells that
    /// it is done; `HandshakeTimedOut` that it came to nothing.
    ///
    /// # Errors
    /// If there is no such peer, or it does not shake hands.
    pub fn rekey(&mut self, key: &PublicKey, now: Instant) -> Result<(), RekeyError> {
        let at = self.peers.find(key).ok_or(RekeyError::UnknownPeer(*key))?;
        match &mut self.peers[at].keying {
            Keying::Pki(pki) => pki.want_renewal(),
            Keying::Wireguard(wireguard) => wireguard.tunnel.renew(now),
            Keying::Symmetric(_) => return Err(RekeyError::Symmetric),
        }
        self.renew(at, now);
        self.settle(at, now);
        Ok(())
    }

    /// Starts the handshake that somebody wants, if a link reaches the peer.
    pub(super) fn renew(&mut self, at: PeerIndex, now: Instant) {
        let Some(pace) = self.path(at).map(|(link, _)| self.links[&link].pace()) else { return };
        if let Keying::Pki(pki) = &mut self.peers[at].keying {
            pki.renew(pace, &mut self.rng, now);
        }
    }
}

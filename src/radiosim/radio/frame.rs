//! What is on the air: the 16 byte header, and a body that knows its length and who can read it.
//!
//! Nothing is really encrypted: a body carries the message in the clear beside the keys that would have been used, and
//! only a radio that holds these keys reads it. What the host sees is the same, at a fraction of the cost.

use std::sync::Arc;
use std::time::Duration;

use meshnet_proto::meshtastic::airtime::{HEADER, MAX_ON_AIR, Modem, PKI_OVERHEAD};
use meshnet_proto::meshtastic::message::Data;
use prost::Message;

/// A node's public key.
pub(crate) type PublicKey = [u8; 32];

/// To everyone.
pub(crate) const BROADCAST: u32 = u32::MAX;

/// What a signature adds to a broadcast's `Data`: field 10, 64 bytes.
const SIGNATURE: usize = 66;

/// Nothing longer can be a `Data::payload`: such a `ToRadio` is malformed to the firmware.
pub(crate) const MAX_DATA_PAYLOAD: usize = 234;

/// What a transmission is for: a column of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// From a host.
    Data,
    /// An acknowledgement or a refusal.
    Ack,
    /// A radio tells who it is.
    NodeInfo,
    /// Another answer of a radio to a radio.
    Reply,
    /// A radio repeats its own packet, or one that it had relayed to a chosen next hop.
    Retransmit,
    /// A radio repeats somebody else's packet.
    Relay,
}

/// A packet as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) id: u32,
    pub(crate) hop_limit: u8,
    pub(crate) hop_start: u8,
    pub(crate) want_ack: bool,
    /// The last byte of the node that is to relay it; 0 for anyone.
    pub(crate) next_hop: u8,
    /// The last byte of the node that sends this copy.
    pub(crate) relay_node: u8,
    pub(crate) body: Arc<Body>,
}

/// The encrypted part.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) data: Data,
    pub(crate) cipher: Cipher,
    len: usize,
}

/// Who can read a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// All who have this channel.
    Channel { name: String, psk: Vec<u8> },
    /// Two radios.
    Pki { sender: PublicKey, receiver: PublicKey },
}

/// A body that no chip takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Body {
    /// Encloses a message; a broadcast of a node with keys is signed while that fits.
    pub(crate) fn seal(data: Data, cipher: Cipher, sign: bool) -> Result<Arc<Self>, TooLarge> {
        let overhead = if matches!(cipher, Cipher::Pki { .. }) { PKI_OVERHEAD } else { 0 };
        let len = data.encoded_len() + overhead;
        if HEADER + len > MAX_ON_AIR {
            return Err(TooLarge);
        }
        let signed = sign && HEADER + len + SIGNATURE <= MAX_ON_AIR;
        Ok(Arc::new(Self { data, cipher, len: if signed { len + SIGNATURE } else { len } }))
    }

    pub(crate) fn is_pki(&self) -> bool {
        matches!(self.cipher, Cipher::Pki { .. })
    }
}

impl Frame {
    pub(crate) fn bytes(&self) -> usize {
        HEADER + self.body.len
    }

    pub(crate) fn airtime(&self, modem: &Modem) -> Duration {
        modem.airtime(self.bytes())
    }

    /// True of a copy that the sender itself sent, over no relay.
    pub(crate) fn is_direct(&self) -> bool {
        self.hop_start == self.hop_limit
    }

    pub(crate) fn hops(&self) -> u8 {
        self.hop_start.saturating_sub(self.hop_limit)
    }

    pub(crate) fn is_broadcast(&self) -> bool {
        self.to == BROADCAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len(payload: usize, portnum: u32, pki: bool, sign: bool) -> Result<usize, TooLarge> {
        let data = Data { portnum, payload: vec![0; payload], bitfield: Some(0), ..Data::default() };
        let cipher = if pki {
            Cipher::Pki { sender: [1; 32], receiver: [2; 32] }
        } else {
            Cipher::Channel { name: String::new(), psk: vec![1] }
        };
        Body::seal(data, cipher, sign).map(|body| HEADER + body.len)
    }

    #[test]
    fn lengths_on_the_air_are_the_measured_ones() {
        assert_eq!(len(60, 33, true, false), Ok(94));
        assert_eq!(len(60, 33, false, false), Ok(82));
        assert_eq!(len(220, 33, true, false), Ok(255));
        assert_eq!(len(221, 33, true, false), Err(TooLarge));
        assert_eq!(len(219, 256, true, false), Ok(255));
        assert_eq!(len(220, 256, true, false), Err(TooLarge));
        assert_eq!(len(232, 33, false, false), Ok(255));
        assert_eq!(len(231, 256, false, false), Ok(255));
        assert_eq!(len(232, 256, false, false), Err(TooLarge));
    }

    #[test]
    fn a_broadcast_is_signed_while_that_fits() {
        assert_eq!(len(60, 33, false, true), Ok(148));
        assert_eq!(len(166, 33, false, true), Ok(255));
        assert_eq!(len(167, 33, false, true), Ok(190));
        assert_eq!(len(165, 256, false, true), Ok(255));
    }
}

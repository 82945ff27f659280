//! Handshakes derived independently of this crate: with the hash, HMAC, X25519 and AEAD of another language's libraries,
//! each step written out as the protocol's paper has it.

use std::sync::Arc;

use serde::Deserialize;

use crate::key::{PresharedKey, PrivateKey};
use crate::wg::noise::Identity;

/// One handshake and what follows.
#[derive(Deserialize)]
pub(crate) struct Vector {
    initiator_private: String,
    responder_private: String,
    psk: Option<String>,
    pub(crate) initiator_ephemeral: String,
    pub(crate) timestamp: String,
    pub(crate) initiator_index: u32,
    pub(crate) responder_index: u32,
    pub(crate) init: String,
    pub(crate) cookie: String,
    pub(crate) init_with_cookie: String,
    pub(crate) cookie_reply: String,
    pub(crate) response: String,
    pub(crate) hash: String,
    pub(crate) initiator_to_responder: String,
    pub(crate) responder_to_initiator: String,
    pub(crate) derived_initiator_index: u32,
    pub(crate) derived_responder_index: u32,
    pub(crate) data: String,
    pub(crate) packet: String,
}

impl Vector {
    pub(crate) fn identities(&self) -> (Arc<Identity>, Arc<Identity>) {
        let identity = |key: &str| Identity::new(PrivateKey::from_bytes(array(key)));
        (identity(&self.initiator_private), identity(&self.responder_private))
    }

    pub(crate) fn psk(&self) -> Option<PresharedKey> {
        self.psk.as_deref().map(|psk| PresharedKey::from_bytes(array(psk)))
    }
}

pub(crate) fn all() -> Vec<Vector> {
    serde_json::from_str(include_str!("handshakes.json")).unwrap()
}

pub(crate) fn array<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

//! Configuration files, as the Python tool wants them; ours reads the same.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Result;
use meshnet_proto::key::{PresharedKey, PrivateKey, PublicKey};

/// What both programs take if no MTU is given.
const DEFAULT_MTU: u16 = 180;
/// And if no interface is named.
const DEFAULT_TAP_NAME: &str = "mesh0";

/// A network's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its identity.
    pub private_key: PrivateKey,
    /// Its address with prefix length.
    pub address: String,
    /// The interface's MTU in bytes.
    pub mtu: u16,
    /// The interface's name.
    pub tap_name: String,
    /// Where the radio is: `tcp://127.0.0.1:4403`. Empty: there is none.
    pub connect: String,
    /// Further lines of `[Interface]`.
    pub more: Vec<String>,
    /// Everybody else.
    pub peers: Vec<Peer>,
    /// The file is as people write it: what both programs take if nothing is said is not said (MTU 180, the interface
    /// `mesh0`, mode PKI).
    pub plain: bool,
}

/// A peer of a [`Config`].
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its identity.
    pub public_key: PublicKey,
    /// A secret shared beforehand.
    pub preshared_key: Option<PresharedKey>,
    /// Its addresses, comma separated.
    pub allowed_ips: String,
    /// Where it is, in the order of preference: a radio's `!a0000001`, `udp://192.0.2.1:51820`. It may be nowhere: then
    /// it has to speak first.
    pub endpoints: Vec<String>,
    /// How it is secured.
    pub mode: PeerMode,
}

/// What `PeerMode` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerMode {
    /// A handshake by version 1 of the protocol.
    Pki,
    /// A preshared key alone.
    Symmetric,
    /// A session of WireGuard's.
    WireGuard,
}

impl Config {
    /// Writes the file, readable by its owner alone.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?
            .write_all(self.text().as_bytes())?;
        Ok(())
    }

    /// Returns what the file holds, secrets included.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "[Interface]\nPrivateKey = {}\nAddress = {}\n",
            *self.private_key.to_base64(),
            self.address,
        );
        if !(self.plain && self.mtu == DEFAULT_MTU) {
            text.push_str(&format!("MTU = {}\n", self.mtu));
        }
        if !(self.plain && self.tap_name == DEFAULT_TAP_NAME) {
            text.push_str(&format!("TapName = {}\n", self.tap_name));
        }
        if !self.connect.is_empty() {
            text.push_str(&format!("MeshtasticConnect = {}\n", self.connect));
        }
        for line in &self.more {
            text.push_str(line);
            text.push('\n');
        }
        for peer in &self.peers {
            text.push_str(&peer.section());
            if !(self.plain && peer.mode == PeerMode::Pki) {
                text.push_str(&peer.mode_line());
            }
        }
        text
    }
}

impl Peer {
    /// Returns its section.
    #[must_use]
    pub fn text(&self) -> String {
        self.section() + &self.mode_line()
    }

    fn section(&self) -> String {
        let secret = self.preshared_key.as_ref().map(|key| format!("PresharedKey = {}\n", *key.to_base64()));
        let endpoints: String =
            self.endpoints.iter().map(|endpoint| format!("Endpoint = {endpoint}\n")).collect();
        format!(
            "\n[Peer]\nPublicKey = {}\n{}AllowedIPs = {}\n{endpoints}",
            self.public_key,
            secret.unwrap_or_default(),
            self.allowed_ips,
        )
    }

    fn mode_line(&self) -> String {
        let mode = match self.mode {
            PeerMode::Pki => "PKI",
            PeerMode::Symmetric => "SYMMETRIC",
            PeerMode::WireGuard => "WIREGUARD",
        };
        format!("PeerMode = {mode}\n")
    }

    /// Returns the endpoint that is a radio.
    #[must_use]
    pub fn radio(node: u32) -> Vec<String> {
        vec![format!("!{node:08x}")]
    }
}

/// Returns a fresh private key.
///
/// # Errors
/// If the kernel gives no random bytes.
pub fn private_key() -> Result<PrivateKey> {
    Ok(PrivateKey::from_random(random()?))
}

/// Returns a fresh preshared key.
///
/// # Errors
/// If the kernel gives no random bytes.
pub fn preshared_key() -> Result<PresharedKey> {
    Ok(PresharedKey::from_bytes(random()?))
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

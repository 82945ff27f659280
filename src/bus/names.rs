//! Names and paths on the bus.

use std::fmt;

use zbus::wire::OwnedObjectPath;

/// What the name of every network's daemon begins with; every daemon also queues for this name itself, so that one policy
/// rule covers them all.
pub const BUS_NAME: &str = "org.meshnet1";
/// Where the object tree begins, and the object of the network.
pub const ROOT: &str = "/org/meshnet1";
/// The interface of the network.
pub const NETWORK: &str = "org.meshnet1.Network";
/// The interface of a peer.
pub const PEER: &str = "org.meshnet1.Peer";
/// The interface of a link.
pub const LINK: &str = "org.meshnet1.Link";
/// The interface of a link that is a radio, beside [`LINK`].
pub const RADIO: &str = "org.meshnet1.Link.Radio";
/// The longest name of a network: the kernel's limit for the name of an interface.
pub const MAX_INSTANCE_LEN: usize = 15;

/// polkit's action for what disturbs traffic: new keys, a reload.
pub const ACTION_CONTROL: &str = "org.meshnet1.control";
/// polkit's action for what changes the network: its peers.
pub const ACTION_CONFIGURE: &str = "org.meshnet1.configure";
/// polkit's action for what spends airtime by hand: pings.
pub const ACTION_TRANSMIT: &str = "org.meshnet1.transmit";

/// A network's name: `[a-z_][a-z0-9_]{0,14}`, so that it is an interface's name, a bus name's element and a unit's instance at
/// once, with nothing to escape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(String);

/// This is no name for a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no name for a network: 1 to 15 of a-z, 0-9 and _, the first no digit (mesh0, say)")]
pub struct BadInstance(String);

impl Instance {
    /// Checks a name.
    ///
    /// # Errors
    /// If it has another form.
    pub fn new(name: &str) -> Result<Self, BadInstance> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let fits = (1..=MAX_INSTANCE_LEN).contains(&name.len())
            && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
            && name.bytes().next().is_some_and(letter);
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err(BadInstance(name.escape_debug().take(40).collect()))
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name on the bus of this network's daemon.
    #[must_use]
    pub fn bus_name(&self) -> String {
        format!("{BUS_NAME}.{self}")
    }

    /// Returns the systemd unit of this network.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("meshnet@{self}.service")
    }

    /// Returns the network whose daemon has this name on the bus.
    #[must_use]
    pub fn from_bus_name(name: &str) -> Option<Self> {
        Self::new(name.strip_prefix(BUS_NAME)?.strip_prefix('.')?).ok()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Instance {
    type Err = BadInstance;

    fn from_str(name: &str) -> Result<Self, BadInstance> {
        Self::new(name)
    }
}

/// Returns the path of the peer with this public key: its 32 bytes in hexadecimal.
#[must_use]
pub fn peer_path(public_key: &[u8; 32]) -> OwnedObjectPath {
    let hex: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
    path(format!("{ROOT}/peers/{hex}"))
}

/// Returns the path of the link with this name; what a path cannot hold is written `_XX`, as systemd does.
#[must_use]
pub fn link_path(name: &str) -> OwnedObjectPath {
    let mut encoded = String::new();
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("_{byte:02x}"));
        }
    }
    if encoded.is_empty() {
        encoded.push('_');
    }
    path(format!("{ROOT}/links/{encoded}"))
}

fn path(text: String) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).expect("letters, digits and underscores between slashes make a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_interface_a_bus_name_and_a_unit_at_once() {
        let name = Instance::new("mesh0").unwrap();
        assert_eq!(name.bus_name(), "org.meshnet1.mesh0");
        assert_eq!(name.unit(), "meshnet@mesh0.service");
        assert_eq!(Instance::from_bus_name("org.meshnet1.mesh0"), Some(name));
        assert_eq!(Instance::from_bus_name("org.meshnet1"), None);
        assert_eq!(Instance::from_bus_name("org.meshnet12.mesh0"), None);
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "0mesh", "Mesh0", "mesh-0", "mesh.0", "sixteen_letters_", "../etc", "a b", "é"] {
            assert!(Instance::new(name).is_err(), "{name}");
        }
        assert!(Instance::new("fifteen_letters").is_ok());
    }

    #[test]
    fn different_links_have_different_paths() {
        let names = ["radio0", "radio_0", "radio.0", "radio-0", "0", "_0", ""];
        let paths: std::collections::BTreeSet<_> =
            names.iter().map(|name| link_path(name).to_string()).collect();
        assert_eq!(paths.len(), names.len(), "{paths:?}");
    }
}

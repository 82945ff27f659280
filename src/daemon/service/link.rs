//! A link's object.

use std::collections::BTreeMap;

use meshnet_bus::Error;
use meshnet_bus::describe;

use super::core::Core;
use crate::control::Scope;

/// `org.meshnet1.Link`.
pub struct Link {
    core: Core,
    name: String,
}

impl Link {
    /// The properties whose changes are told.
    pub const SIGNALLED: &[&str] = &["Connect", "Fault", "Mtu", "State"];

    /// The object of the link with this name.
    #[must_use]
    pub const fn new(core: Core, name: String) -> Self {
        Self { core, name }
    }

    async fn read<T>(&self, pick: impl FnOnce(&describe::Link) -> T) -> Result<T, Error> {
        read(&self.core, &self.name, pick).await
    }
}

/// Looks at the link of this name.
pub(super) async fn read<T>(
    core: &Core,
    name: &str,
    pick: impl FnOnce(&describe::Link) -> T,
) -> Result<T, Error> {
    let network = core.describe(Scope::WithoutPeers).await?;
    let link = network.links.iter().find(|link| link.name == name);
    link.map(pick).ok_or_else(|| Error::Failed(format!("the link {name} is gone")))
}

#[zbus::interface(name = "org.meshnet1.Link")]
impl Link {
    /// The link's name, as configured.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// What carries it: meshtastic, udp.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn kind(&self) -> Result<String, Error> {
        self.read(|link| link.kind.clone()).await
    }

    /// Where the carrier is, as configured: tcp://192.0.2.7:4403, serial:///dev/ttyUSB0; where a udp link listens:
    /// udp://*:51820.
    #[zbus(property)]
    async fn connect(&self) -> Result<String, Error> {
        self.read(|link| link.connect.clone()).await
    }

    /// down, connecting, configuring, up, faulty.
    #[zbus(property)]
    async fn state(&self) -> Result<String, Error> {
        self.read(|link| link.state.clone()).await
    }

    /// What is wrong while State is faulty, as a sentence; else empty.
    #[zbus(property)]
    async fn fault(&self) -> Result<String, Error> {
        self.read(|link| link.fault.clone().unwrap_or_default()).await
    }

    /// The longest datagram in bytes; 0 if unknown.
    #[zbus(property)]
    async fn mtu(&self) -> Result<u32, Error> {
        self.read(|link| link.mtu.map_or(0, u32::from)).await
    }

    /// Datagrams handed to the carrier.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn datagrams_sent(&self) -> Result<u64, Error> {
        self.read(|link| link.sent).await
    }

    /// Datagrams received for us.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn datagrams_received(&self) -> Result<u64, Error> {
        self.read(|link| link.received).await
    }

    /// Datagrams that the carrier refused.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn datagrams_refused(&self) -> Result<u64, Error> {
        self.read(|link| link.refused).await
    }

    /// Datagrams that wait for air, by class: handshake, control, interactive, bulk.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn queued(&self) -> Result<BTreeMap<String, u32>, Error> {
        let count = |count: &u64| u32::try_from(*count).unwrap_or(u32::MAX);
        self.read(|link| link.queued.iter().map(|(class, waiting)| (class.clone(), count(waiting))).collect())
            .await
    }
}

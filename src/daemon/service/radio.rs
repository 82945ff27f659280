//! What a link that is a radio has beside [`super::link::Link`], at the same object.

use std::collections::HashMap;

use meshnet_bus::Error;
use meshnet_bus::describe;
use zbus::wire::{OwnedVariant, Variant};

use super::core::Core;
use super::link;

/// `org.meshnet1.Link.Radio`.
pub struct Radio {
    core: Core,
    name: String,
}

impl Radio {
    /// The properties whose changes are told.
    pub const SIGNALLED: &[&str] = &["Firmware", "NodeId", "Preset", "RadioName", "Region"];

    /// The radio of the link with this name.
    #[must_use]
    pub const fn new(core: Core, name: String) -> Self {
        Self { core, name }
    }

    /// Whether links of this kind are radios.
    #[must_use]
    pub fn is_one(link: &describe::Link) -> bool {
        link.kind == "meshtastic"
    }

    async fn read<T>(&self, pick: impl FnOnce(&describe::Link) -> T) -> Result<T, Error> {
        link::read(&self.core, &self.name, pick).await
    }

    async fn text(&self, pick: impl FnOnce(&describe::Radio) -> &Option<String>) -> Result<String, Error> {
        self.read(|link| pick(&link.radio).clone().unwrap_or_default()).await
    }
}

#[zbus::interface(name = "org.meshnet1.Link.Radio")]
impl Radio {
    /// The radio's node id, as !d45b9db8; empty while unknown.
    #[zbus(property)]
    async fn node_id(&self) -> Result<String, Error> {
        self.text(|radio| &radio.radio).await
    }

    /// Its owner's name for it; empty while unknown.
    #[zbus(property)]
    async fn radio_name(&self) -> Result<String, Error> {
        self.text(|radio| &radio.radio_name).await
    }

    /// Its firmware's version, as it says itself; empty while unknown.
    #[zbus(property)]
    async fn firmware(&self) -> Result<String, Error> {
        self.text(|radio| &radio.firmware).await
    }

    /// The region whose law it keeps, as EU_868; empty while unknown.
    #[zbus(property)]
    async fn region(&self) -> Result<String, Error> {
        self.text(|radio| &radio.region).await
    }

    /// The modem preset, as LONG_FAST, or custom; empty while unknown.
    #[zbus(property)]
    async fn preset(&self) -> Result<String, Error> {
        self.text(|radio| &radio.preset).await
    }

    /// Percent of the last minute that the channel was busy; below 0 if unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn channel_utilization(&self) -> Result<f64, Error> {
        self.read(|link| link.radio.channel_utilization.map_or(-1.0, f64::from)).await
    }

    /// Milliseconds of air that we took in the last hour.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn airtime_used(&self) -> Result<u64, Error> {
        self.read(|link| link.airtime_used_ms).await
    }

    /// Milliseconds of air that may still be taken; 18446744073709551615 if there is no limit, or none is known.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn airtime_left(&self) -> Result<u64, Error> {
        self.read(|link| link.airtime_left_ms.unwrap_or(u64::MAX)).await
    }

    /// Free places in the radio's own queue; 0 while unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn queue_free(&self) -> Result<u32, Error> {
        self.read(|link| link.radio.queue_free.unwrap_or_default()).await
    }

    /// All places in the radio's own queue; 0 while unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn queue_length(&self) -> Result<u32, Error> {
        self.read(|link| link.radio.queue_len.unwrap_or_default()).await
    }

    /// Different nodes that the radio heard.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn nodes_heard(&self) -> Result<u32, Error> {
        self.read(|link| u32::try_from(link.radio.nodes_heard).unwrap_or(u32::MAX)).await
    }

    /// The peers' radios, each with what is known of: Radio s (node id), Hops y (0 is direct), Snr d (dB), Rssi i (dBm),
    /// Heard t (seconds since 1970), Key s (whether our radio has its key: unknown, known, missing).
    #[zbus(property(emits_changed_signal = "false"))]
    async fn neighbours(&self) -> Result<Vec<HashMap<String, OwnedVariant>>, Error> {
        self.read(|link| link.peers.iter().map(neighbour).collect()).await?
    }
}

fn neighbour(radio: &describe::PeerRadio) -> Result<HashMap<String, OwnedVariant>, Error> {
    let known = [
        ("Radio", Some(Variant::from(radio.radio.as_str()))),
        ("Hops", radio.hops.map(Variant::from)),
        ("Snr", radio.snr.map(|snr| Variant::from(f64::from(snr)))),
        ("Rssi", radio.rssi.map(Variant::from)),
        ("Heard", radio.heard.map(Variant::from)),
        ("Key", Some(Variant::from(radio.key.as_str()))),
    ];
    let known = known.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    known
        .map(|(key, value)| Ok((key.to_owned(), OwnedVariant::try_from(value)?)))
        .collect::<zbus::Result<_>>()
        .map_err(Error::ZBus)
}

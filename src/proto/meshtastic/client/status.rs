//! What a status display shows of a radio.

use std::time::Instant;

use super::device::printable;
use super::radios::Radio;
use super::{Client, Phase};

/// A radio at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// "down", "configuring", "up" or "faulty".
    pub state: &'static str,
    /// Why it is faulty, as a sentence.
    pub fault: Option<String>,
    /// Its node number.
    pub node: Option<u32>,
    /// Its owner's name for it.
    pub name: Option<String>,
    /// As it says itself.
    pub firmware: Option<String>,
    /// The region whose law it keeps.
    pub region: Option<&'static str>,
    /// The modem preset, or "custom".
    pub preset: Option<&'static str>,
    /// The hop limit that it gives its own packets.
    pub hop_limit: Option<u8>,
    /// The index and name of our channel; the primary one's name may be empty, then it is the preset's.
    pub channel: (u8, Option<String>),
    /// Whether unicasts are encrypted from radio to radio.
    pub radio_encryption: Option<bool>,
    /// The longest payload in bytes.
    pub mtu: Option<u16>,
    /// The share of any hour that may be sent, in thousandths.
    pub duty_permille: Option<u16>,
    /// Percent of the last minute that the channel was busy.
    pub channel_utilization: Option<f32>,
    /// Percent of the last hour that this radio sent.
    pub air_util_tx: Option<f32>,
    /// Free places and all places of the radio's queue.
    pub queue: Option<(u32, u32)>,
    /// Until when the radio refuses to send.
    pub stopped_until: Option<Instant>,
    /// Nodes in the radio's table.
    pub nodes_known: u32,
    /// Different nodes heard since we started, up to a thousand.
    pub nodes_heard: usize,
    /// Peers' radios by node number.
    pub peers: Vec<(u32, Radio)>,
    /// What went through.
    pub counters: Counters,
}

/// What went through, since the client was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed to the radio.
    pub sent: u64,
    /// Datagrams received for us.
    pub received: u64,
    /// Datagrams refused, by us or by the radio.
    pub refused: u64,
    /// Questions for the state of the radio's queue, heartbeats included.
    pub questions: u64,
    /// Fillers.
    pub fillers: u64,
    /// Messages that made no sense.
    pub malformed: u64,
    /// Bytes to the radio.
    pub bytes_out: u64,
    /// Bytes from the radio.
    pub bytes_in: u64,
}

impl Client {
    /// Returns the state of everything, for status displays.
    #[must_use]
    pub fn status(&self) -> Status {
        let device = &self.device;
        let known = device.is_complete();
        let index = self.config.channel_index;
        Status {
            state: match self.phase {
                Phase::Disconnected => "down",
                Phase::Waking { .. } | Phase::Configuring { .. } => "configuring",
                Phase::Up => "up",
                Phase::Faulty => "faulty",
            },
            fault: self.told.as_ref().map(ToString::to_string),
            node: device.node,
            name: device.user.as_ref().map(|user| printable(&user.long_name)),
            firmware: device.metadata.as_ref().map(|_| printable(device.firmware())),
            region: known.then(|| device.region().name),
            preset: known.then(|| device.preset()),
            hop_limit: known.then(|| device.hop_limit()),
            channel: (index, device.channel_name(index).map(printable)),
            radio_encryption: known.then(|| device.encrypts(index)),
            mtu: known.then(|| u16::try_from(device.mtu(self.config.port, index)).unwrap_or(u16::MAX)),
            duty_permille: known.then(|| device.region().duty_permille),
            channel_utilization: self.channel_utilization,
            air_util_tx: self.air_util_tx,
            queue: self.flow.queue(),
            stopped_until: self.flow.stopped_until(),
            nodes_known: self.nodes_known,
            nodes_heard: self.radios.heard_count(),
            peers: self.radios.iter().map(|(node, radio)| (node, radio.clone())).collect(),
            counters: self.counters,
        }
    }
}

//! What the radio says of itself, gathered between `want_config` and `config_complete`, and what follows from it: whether
//! it can serve as a link, how long a payload may be, and what that costs.
//!
//! **A channel that is not encrypted twice.** A unicast is encrypted between the two radios (12 bytes) unless the
//! sender's radio has no keys (ham mode, or no public key encryption at all) or the channel is named `serial` or `gpio`;
//! then it is under the channel's key only, which adds nothing. Our sessions encrypt by themselves, so a secondary channel
//! of that name, with a key of its own, saves 12 bytes of every packet: 5 % of a full one, 12 % of a 60-byte one.

use std::sync::Arc;
use std::time::Duration;

use crate::link::{AddrKind, Airtime, LinkCaps, Metered};
use crate::meshtastic::airtime::{MAX_ON_AIR, Modem, PKI_OVERHEAD, Preset, Region, max_payload, on_air_len};
use crate::meshtastic::message::{Channel, DeviceMetadata, LoraConfig, MyNodeInfo, SecurityConfig, User};

use super::notice::Notice;

/// The oldest firmware that the client works with: 2.5 brought public key encryption and with it the packet layout (the
/// bitfield, the limits) that prices and payload limits rest on.
pub(super) const MIN_FIRMWARE: (u32, u32) = (2, 5);

/// The hop limit of a radio that has none set.
const DEFAULT_HOP_LIMIT: u8 = 3;
/// Three bits on the air.
pub(super) const MAX_HOPS: u8 = 7;
/// The channels of a radio.
const CHANNELS: usize = 8;
/// The share of the duty cycle left to the radio's own traffic, one part in this many: node info, position, telemetry,
/// and what it repeats for others all count against the same law.
const RESERVE: u32 = 10;
/// Milliseconds in an hour per thousandth of duty cycle.
const HOUR_PERMILLE: u64 = 3600;

/// A radio as described by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    /// Its node number; `None` until told.
    pub(super) node: Option<u32>,
    /// Counts its restarts.
    pub(super) reboots: u32,
    /// Its own user, once seen in its node info.
    pub(super) user: Option<User>,
    pub(super) metadata: Option<DeviceMetadata>,
    pub(super) lora: Option<LoraConfig>,
    security: Option<SecurityConfig>,
    channels: [Option<Channel>; CHANNELS],
    /// The longest payload by experience, where the radio refused one within the limits.
    refused_limit: Option<usize>,
}

impl Device {
    pub(super) fn handle_my_info(&mut self, info: &MyNodeInfo) {
        self.node = Some(info.my_node_num).filter(|node| *node != 0);
        self.reboots = info.reboot_count;
    }

    pub(super) fn handle_security(&mut self, security: SecurityConfig) {
        self.security = Some(security);
    }

    /// Takes a channel; one whose index no radio has is ignored.
    pub(super) fn handle_channel(&mut self, channel: Channel) {
        let at = usize::try_from(channel.index).ok();
        if let Some(slot) = at.and_then(|at| self.channels.get_mut(at)) {
            *slot = Some(channel);
        }
    }

    /// Notes that the radio refused `payload` bytes as too large; returns the limit that follows.
    pub(super) fn lower_limit(&mut self, payload: usize) -> usize {
        let limit = payload.saturating_sub(PKI_OVERHEAD).max(PKI_OVERHEAD);
        self.refused_limit = Some(self.refused_limit.map_or(limit, |known| known.min(limit)));
        limit
    }

    /// Returns the name of the channel with this index, if it is in use.
    pub(super) fn channel_name(&self, index: u8) -> Option<&str> {
        let channel = self.channels.get(usize::from(index))?.as_ref()?;
        (channel.role != 0).then(|| channel.settings.as_ref().map_or("", |settings| settings.name.as_str()))
    }

    pub(super) fn firmware(&self) -> &str {
        self.metadata.as_ref().map_or("unknown", |metadata| metadata.firmware_version.as_str())
    }

    /// Returns whether the configuration that came is enough to work with.
    pub(super) const fn is_complete(&self) -> bool {
        self.node.is_some() && self.lora.is_some()
    }

    /// Returns why this radio cannot serve as a link on channel `index`, if it cannot.
    pub(super) fn fault(&self, index: u8) -> Option<Notice> {
        let lora = self.lora.as_ref()?;
        if self.metadata.as_ref().is_some_and(|metadata| !is_recent(&metadata.firmware_version)) {
            return Some(Notice::FirmwareTooOld { version: printable(self.firmware()) });
        }
        if lora.region == Region::UNSET {
            return Some(Notice::RegionUnset);
        }
        if !lora.tx_enabled {
            return Some(Notice::TransmitDisabled);
        }
        if self.channel_name(index).is_none() {
            let known = self.channels.get(usize::from(index)).is_some_and(Option::is_some);
            return Some(Notice::WrongChannel { index, disabled: known });
        }
        None
    }

    /// Returns what is wrong with this radio though it can serve, if anything is.
    pub(super) fn defect(&self) -> Option<Notice> {
        let lacks_pki = self.metadata.as_ref().is_some_and(|metadata| !metadata.has_pkc);
        (lacks_pki && !self.is_licensed()).then(|| Notice::NoPki { version: printable(self.firmware()) })
    }

    /// Whether a unicast on channel `index` is encrypted from radio to radio. In doubt it is: that is the lower limit and
    /// the higher price.
    pub(super) fn encrypts(&self, index: u8) -> bool {
        let keyless = self.security.as_ref().is_some_and(|security| security.public_key.is_empty())
            || self.metadata.as_ref().is_some_and(|metadata| !metadata.has_pkc);
        let plain = matches!(self.channel_name(index), Some("serial" | "gpio"));
        !(keyless || plain || self.is_licensed())
    }

    fn is_licensed(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.is_licensed)
    }

    /// Returns the hop limit that the radio gives its own packets.
    pub(super) fn hop_limit(&self) -> u8 {
        let set = self.lora.as_ref().map_or(0, |lora| lora.hop_limit);
        match u8::try_from(set) {
            Ok(0) | Err(_) => DEFAULT_HOP_LIMIT,
            Ok(hops) => hops.min(MAX_HOPS),
        }
    }

    pub(super) fn modem(&self) -> Modem {
        Modem::from_config(
            self.lora.as_ref().unwrap_or(&LoraConfig { use_preset: true, ..LoraConfig::default() }),
        )
    }

    pub(super) fn region(&self) -> Region {
        Region::from_number(self.lora.as_ref().map_or(Region::UNSET, |lora| lora.region))
    }

    /// Returns the preset's name, or "custom".
    pub(super) fn preset(&self) -> &'static str {
        let number = self.lora.as_ref().filter(|lora| lora.use_preset).map(|lora| lora.modem_preset);
        number.and_then(Preset::by_number).map_or("custom", |preset| preset.name)
    }

    /// Returns the longest payload on `port` over channel `index`.
    pub(super) fn mtu(&self, port: u32, index: u8) -> usize {
        let limit = max_payload(port, self.encrypts(index));
        self.refused_limit.map_or(limit, |refused| limit.min(refused))
    }

    /// Returns what the radio promises as a link.
    pub(super) fn caps(&self, port: u32, index: u8) -> LinkCaps {
        let (mtu, pki, modem) = (self.mtu(port, index), self.encrypts(index), self.modem());
        let price: Arc<[u32]> = (0..=mtu)
            .map(|payload| on_air_len(payload, port, pki).min(MAX_ON_AIR))
            .map(|bytes| u32::try_from(modem.airtime(bytes).as_micros()).unwrap_or(u32::MAX))
            .collect();
        LinkCaps {
            kind: AddrKind::Radio,
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            airtime: Airtime::Metered(Metered { price, access: modem.mean_access(), hourly: self.hourly() }),
            cost: 100,
            ordered: false,
            broadcast: false,
            segments: 1,
        }
    }

    /// Returns the air that may be taken in any hour: a region's share less the reserve for the radio itself; where the
    /// law sets no limit, or the owner overrides it, the whole hour.
    fn hourly(&self) -> Duration {
        let permille = self.region().duty_permille;
        let overridden = self.lora.as_ref().is_some_and(|lora| lora.override_duty_cycle);
        if permille >= 1000 || overridden {
            return Duration::from_secs(3600);
        }
        let share = Duration::from_millis(u64::from(permille) * HOUR_PERMILLE);
        share - share / RESERVE
    }
}

/// Reads "2.7.26.abcdef"; a version that is none counts as recent, since it is newer than this program.
fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= MIN_FIRMWARE,
        _ => true,
    }
}

/// Makes text from a radio fit for a log: one line, no control characters.
pub(super) fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

//! What a simulated air and its radios are made of.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::{Modem, PRESETS, Preset, Region};
use meshnet_proto::meshtastic::message::LoraConfig;

/// How a whole air behaves.
#[derive(Debug, Clone)]
pub struct AirConfig {
    /// What the radios' clocks say at the start, in seconds since 1970.
    pub unix_time: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// How well radios hear each other where [`set_hearing`](crate::Air::set_hearing) says nothing else.
    pub hearing: Option<Hearing>,
    /// Keep a [`LedgerEntry`](crate::LedgerEntry) of every transmission until it is polled.
    pub ledger: bool,
}

impl Default for AirConfig {
    fn default() -> Self {
        Self {
            unix_time: 1_800_000_000,
            faults: Faults::default(),
            hearing: Some(Hearing::default()),
            ledger: false,
        }
    }
}

/// How well one radio hears another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hearing {
    /// Signal over noise in dB, -20 (barely) to 10: it decides who is captured in a collision, and who relays first.
    pub snr: f32,
    /// The share of packets that this way loses by itself.
    pub loss: f64,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { snr: 6.0, loss: 0.0 }
    }
}

/// What goes wrong, on the air and between a radio and its host. Shares are probabilities from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// The share of receptions that are lost, each by itself.
    pub loss: f64,
    /// Losses that come in bursts, per direction between two radios.
    pub burst: Option<Burst>,
    /// The share of packets that the host gets twice.
    pub duplicate: f64,
    /// The share of packets that the host gets late, so that others overtake them.
    pub reorder: f64,
    /// How late at most.
    pub reorder_delay: Duration,
    /// The share of packets whose payload the host gets with a byte changed: past the chip's CRC.
    pub corrupt: f64,
}

/// A Gilbert-Elliott channel: it changes between a good and a bad state, staying in each for an exponential time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// The mean stay in the good state, where nothing is lost.
    pub good: Duration,
    /// The mean stay in the bad state.
    pub bad: Duration,
    /// The share lost in the bad state.
    pub loss: f64,
}

/// What a radio does for others (`DeviceConfig::role`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Relays what it hears, unless another was first.
    #[default]
    Client,
    /// Relays nothing.
    ClientMute,
    /// Relays first, and even after others did.
    Router,
}

impl Role {
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Client => 0,
            Self::ClientMute => 1,
            Self::Router => 2,
        }
    }
}

/// One of a radio's channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Empty for the preset's own name.
    pub name: String,
    /// The key: empty for none, one byte for a well-known one, 16 or 32 bytes.
    pub psk: Vec<u8>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self { name: String::new(), psk: vec![1] }
    }
}

/// Whose public keys a radio has when it is first switched on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Acquainted {
    /// Those of all radios of the air, as after a few hours.
    #[default]
    All,
    /// Nobody's, as fresh out of the box.
    Nobody,
}

/// A radio.
#[derive(Debug, Clone)]
pub struct RadioConfig {
    /// Its node number; unique on the air, not 0 and not `u32::MAX`.
    pub num: u32,
    /// A name for people.
    pub long_name: String,
    /// Up to four characters.
    pub short_name: String,
    /// The modem preset.
    pub preset: Preset,
    /// The region's number; [`Region::UNSET`] never transmits.
    pub region: i32,
    /// The hop limit where a packet does not choose: 1 to 7.
    pub hop_limit: u8,
    /// Off: nothing is ever transmitted.
    pub tx_enabled: bool,
    /// Ignores the region's duty cycle.
    pub override_duty_cycle: bool,
    /// The first is the primary one; at most eight.
    pub channels: Vec<ChannelConfig>,
    /// What it does for others.
    pub role: Role,
    /// Ham mode: no radio-to-radio encryption, no public key.
    pub licensed: bool,
    /// Whose keys it has.
    pub acquainted: Acquainted,
    /// Learns from answers which relay reaches whom, and sends unicasts there alone. The firmware does; its own simulated
    /// radio cannot, for it loses the relay's number.
    pub learns_next_hop: bool,
    /// How many packets wait for a host that does not read: 8 to 100, by the hardware.
    pub to_phone: usize,
    /// How often it tells its host, and only its host, its own measurements.
    pub telemetry: Option<Duration>,
    /// Whether it broadcasts its node info after boot and every three hours.
    pub node_info: bool,
    /// How long it takes from reset to an open client port.
    pub boot_time: Duration,
    /// Off: the radio does not read its serial port.
    pub serial_enabled: bool,
    /// On a serial port: log lines also between the frames, and not only until a client speaks.
    pub debug_log: bool,
}

impl RadioConfig {
    /// A radio as set up by somebody in the EU who changed nothing else.
    #[must_use]
    pub fn new(num: u32) -> Self {
        Self {
            num,
            long_name: format!("Meshtastic {:04x}", num & 0xffff),
            short_name: format!("{:04x}", num & 0xffff),
            preset: PRESETS[0],
            region: Region::number_of("EU_868").unwrap_or(Region::UNSET),
            hop_limit: 3,
            tx_enabled: true,
            override_duty_cycle: false,
            channels: vec![ChannelConfig::default()],
            role: Role::Client,
            licensed: false,
            acquainted: Acquainted::All,
            learns_next_hop: true,
            to_phone: 32,
            telemetry: Some(Duration::from_secs(60)),
            node_info: true,
            boot_time: Duration::from_secs(3),
            serial_enabled: true,
            debug_log: false,
        }
    }

    pub(crate) fn lora(&self) -> LoraConfig {
        LoraConfig {
            use_preset: true,
            modem_preset: self.preset.number,
            region: self.region,
            hop_limit: self.hop_limit.into(),
            tx_enabled: self.tx_enabled,
            tx_power: 27,
            override_duty_cycle: self.override_duty_cycle,
            ..LoraConfig::default()
        }
    }

    pub(crate) fn modem(&self) -> Modem {
        Modem::from_config(&self.lora())
    }

    /// Radios hear each other only with the same modem on the same frequency, and the frequency follows from the region
    /// and the primary channel's name.
    pub(crate) fn shares_air_with(&self, other: &Self) -> bool {
        let name = |radio: &Self| radio.channels.first().map(|channel| channel.name.clone());
        self.region == other.region && self.modem() == other.modem() && name(self) == name(other)
    }
}

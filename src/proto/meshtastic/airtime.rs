//! What a packet costs on the air, and how much of it the law allows.
//!
//! A [`Modem`] is the physical setting of the radio (from a preset or by hand); with it goes the airtime of a packet, the
//! slot that medium access counts in, and the host's view: how many bytes reach the chip for `n` bytes of payload
//! ([`on_air_len`]) and how many fit ([`max_payload`]). Reference: meshtastic.md, 3.4, 3.8 and 5.

use std::time::Duration;

use super::message::LoraConfig;

/// The most bytes that the chip takes for one packet.
pub const MAX_ON_AIR: usize = 255;
/// The mesh header in front of every packet.
pub const HEADER: usize = 16;
/// What the firmware's radio-to-radio encryption adds.
pub const PKI_OVERHEAD: usize = 12;

/// A LoRa setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modem {
    /// In Hz.
    pub bandwidth: u32,
    /// 7 to 12.
    pub spreading_factor: u8,
    /// The denominator of the coding rate 4/n: 5 to 8.
    pub coding_rate: u8,
    /// In symbols.
    pub preamble: u8,
}

/// A preset: its number in the client API, its name as users write it, its modem below 1 GHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// `LoraConfig::modem_preset`.
    pub number: i32,
    /// As the official client prints it.
    pub name: &'static str,
    /// Bandwidth in Hz, spreading factor, coding rate.
    modem: (u32, u8, u8),
}

/// Every preset with a number in the client API.
pub const PRESETS: &[Preset] = &[
    Preset { number: 0, name: "LONG_FAST", modem: (250_000, 11, 5) },
    Preset { number: 1, name: "LONG_SLOW", modem: (125_000, 12, 8) },
    // Gone from the firmware's table, where an unknown preset is LONG_FAST.
    Preset { number: 2, name: "VERY_LONG_SLOW", modem: (250_000, 11, 5) },
    Preset { number: 3, name: "MEDIUM_SLOW", modem: (250_000, 10, 5) },
    Preset { number: 4, name: "MEDIUM_FAST", modem: (250_000, 9, 5) },
    Preset { number: 5, name: "SHORT_SLOW", modem: (250_000, 8, 5) },
    Preset { number: 6, name: "SHORT_FAST", modem: (250_000, 7, 5) },
    Preset { number: 7, name: "LONG_MODERATE", modem: (125_000, 11, 8) },
    Preset { number: 8, name: "SHORT_TURBO", modem: (500_000, 7, 5) },
    Preset { number: 9, name: "LONG_TURBO", modem: (500_000, 11, 8) },
    Preset { number: 10, name: "LITE_FAST", modem: (125_000, 9, 5) },
    Preset { number: 11, name: "LITE_SLOW", modem: (125_000, 10, 5) },
    Preset { number: 12, name: "NARROW_FAST", modem: (62_500, 7, 6) },
    Preset { number: 13, name: "NARROW_SLOW", modem: (62_500, 8, 6) },
];

impl Preset {
    /// Finds a preset by its number.
    #[must_use]
    pub fn by_number(number: i32) -> Option<Self> {
        PRESETS.iter().copied().find(|preset| preset.number == number)
    }

    /// Finds a preset by its name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        PRESETS.iter().copied().find(|preset| preset.name.eq_ignore_ascii_case(name))
    }

    /// Returns the modem setting, which is wider at 2.4 GHz.
    #[must_use]
    pub const fn modem(&self, wide: bool) -> Modem {
        let (bandwidth, spreading_factor, coding_rate) = self.modem;
        if wide {
            Modem { bandwidth: bandwidth / 4 * 13, spreading_factor, coding_rate, preamble: 12 }
        } else {
            Modem { bandwidth, spreading_factor, coding_rate, preamble: 16 }
        }
    }
}

impl Modem {
    /// Reads the modem from the device's configuration; what no chip can do becomes LONG_FAST, as in the firmware.
    #[must_use]
    pub fn from_config(config: &LoraConfig) -> Self {
        let wide = Region::from_number(config.region).wide;
        let long_fast = PRESETS[0].modem(wide);
        if config.use_preset {
            return Preset::by_number(config.modem_preset).map_or(long_fast, |preset| preset.modem(wide));
        }
        let bandwidth = match config.bandwidth {
            31 => 31_250,
            62 => 62_500,
            200 => 203_125,
            400 => 406_250,
            800 => 812_500,
            1600 => 1_625_000,
            khz @ 7..=1600 => khz * 1000,
            _ => return long_fast,
        };
        match (u8::try_from(config.spread_factor), u8::try_from(config.coding_rate)) {
            (Ok(spreading_factor @ 7..=12), Ok(coding_rate @ 5..=8)) => {
                Self { bandwidth, spreading_factor, coding_rate, preamble: long_fast.preamble }
            }
            _ => long_fast,
        }
    }

    /// Microseconds of one symbol, as a float: the formulas below round once, at their end.
    fn symbol(&self) -> f64 {
        f64::from(1_u32 << self.spreading_factor) * 1e6 / f64::from(self.bandwidth)
    }

    /// Returns how long a packet of `bytes` (as given to the chip) takes on the air.
    #[must_use]
    pub fn airtime(&self, bytes: usize) -> Duration {
        let sf = f64::from(self.spreading_factor);
        let low_rate = if self.symbol() >= 16_000.0 { 2.0 } else { 0.0 };
        #[allow(clippy::cast_precision_loss, reason = "at most a few hundred")]
        let bits = 8.0 * bytes as f64 - 4.0 * sf + 44.0;
        let blocks = (bits / (4.0 * (sf - low_rate))).ceil().max(0.0);
        let symbols = f64::from(self.preamble) + 12.25 + blocks * f64::from(self.coding_rate);
        Duration::from_secs_f64(symbols * self.symbol() / 1e6)
    }

    /// Returns the slot that medium access counts in: 2.5 symbols and 7.6 ms.
    #[must_use]
    pub fn slot(&self) -> Duration {
        Duration::from_secs_f64((2.5 * self.symbol() + 7600.0) / 1e6)
    }

    /// Returns the mean wait of a packet before it goes out on an idle channel: half of a window of 2^3 - 1 slots.
    #[must_use]
    pub fn mean_access(&self) -> Duration {
        self.slot() * 7 / 2
    }
}

/// What the law of a region means for a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The name as the official client prints it.
    pub name: &'static str,
    /// The share of any hour that a node may send, in thousandths.
    pub duty_permille: u16,
    /// 2.4 GHz, where presets are wider.
    pub wide: bool,
}

/// Regions by their number, with the duty cycle that the firmware enforces.
const REGIONS: &[(&str, u16)] = &[
    ("UNSET", 1000),
    ("US", 1000),
    ("EU_433", 100),
    ("EU_868", 100),
    ("CN", 1000),
    ("JP", 1000),
    ("ANZ", 1000),
    ("KR", 1000),
    ("TW", 1000),
    ("RU", 1000),
    ("IN", 1000),
    ("NZ_865", 1000),
    ("TH", 100),
    ("LORA_24", 1000),
    ("UA_433", 100),
    ("UA_868", 10),
    ("MY_433", 1000),
    ("MY_919", 1000),
    ("SG_923", 1000),
    ("PH_433", 1000),
    ("PH_868", 1000),
    ("PH_915", 1000),
    ("ANZ_433", 1000),
    ("KZ_433", 1000),
    ("KZ_863", 1000),
    ("NP_865", 1000),
    ("BR_902", 1000),
    ("ITU1_2M", 1000),
    ("ITU2_2M", 1000),
    ("EU_866", 25),
    ("EU_874", 25),
    ("EU_917", 25),
    ("EU_N_868", 25),
    ("ITU3_2M", 1000),
];

impl Region {
    /// The number of a radio whose region nobody has set: it does not transmit.
    pub const UNSET: i32 = 0;

    /// Returns the region with this number; an unknown one gets the strictest duty cycle.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        let known = usize::try_from(number).ok().and_then(|at| REGIONS.get(at));
        let &(name, duty_permille) = known.unwrap_or(&("unknown", 10));
        Self { name, duty_permille, wide: name == "LORA_24" }
    }

    /// Returns the number of the region with this name.
    #[must_use]
    pub fn number_of(name: &str) -> Option<i32> {
        REGIONS
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|at| i32::try_from(at).ok())
    }
}

/// Returns the bytes given to the chip for a unicast of `payload` bytes on `port`.
#[must_use]
pub const fn on_air_len(payload: usize, port: u32, pki: bool) -> usize {
    HEADER + data_len(payload, port) + if pki { PKI_OVERHEAD } else { 0 }
}

/// The encoded `Data`: port, payload with its length, and the bitfield that the sender's firmware always adds.
const fn data_len(payload: usize, port: u32) -> usize {
    let port_len = if port < 128 { 2 } else { 3 };
    let len_len = if payload < 128 { 1 } else { 2 };
    port_len + 1 + len_len + payload + 2
}

/// Returns the longest payload that fits in one packet on `port`.
#[must_use]
pub const fn max_payload(port: u32, pki: bool) -> usize {
    let mut payload = MAX_ON_AIR;
    while on_air_len(payload, port, pki) > MAX_ON_AIR {
        payload -= 1;
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(preset: &str, bytes: usize) -> u128 {
        Preset::by_name(preset).unwrap().modem(false).airtime(bytes).as_micros().div_ceil(500) / 2
    }

    #[test]
    fn airtime_is_that_of_the_reference_table() {
        let sizes = [16, 24, 32, 48, 64, 96, 128, 158, 192, 224, 255];
        let table: [(&str, [u128; 11]); 8] = [
            ("SHORT_TURBO", [15, 17, 20, 26, 32, 43, 56, 66, 79, 90, 102]),
            ("SHORT_FAST", [30, 35, 40, 53, 63, 86, 112, 132, 158, 181, 204]),
            ("MEDIUM_FAST", [99, 119, 140, 170, 211, 283, 355, 426, 498, 570, 642]),
            ("LONG_TURBO", [214, 280, 312, 411, 509, 706, 902, 1066, 1263, 1459, 1656]),
            ("LONG_FAST", [354, 436, 477, 600, 723, 969, 1214, 1419, 1665, 1911, 2157]),
            ("LONG_MODERATE", [987, 1249, 1511, 1905, 2429, 3346, 4264, 5181, 6099, 7016, 7934]),
            ("LONG_SLOW", [1974, 2236, 2761, 3547, 4334, 6169, 7741, 9314, 11149, 12722, 14295]),
            ("NARROW_FAST", [132, 156, 181, 242, 291, 402, 525, 623, 746, 857, 967]),
        ];
        for (preset, row) in table {
            for (bytes, expected) in sizes.into_iter().zip(row) {
                let got = millis(preset, bytes);
                assert!(got.abs_diff(expected) <= 1, "{preset} {bytes}: {got} ms, table {expected}");
            }
        }
    }

    #[test]
    fn payload_limits_are_the_measured_ones() {
        assert_eq!(max_payload(33, true), 220);
        assert_eq!(max_payload(256, true), 219);
        assert_eq!(max_payload(33, false), 232);
        assert_eq!(max_payload(256, false), 231);
        assert_eq!(on_air_len(60, 33, true), 94);
        assert_eq!(on_air_len(123, 256, true), 158);
    }

    #[test]
    fn slots_are_those_of_the_reference_table() {
        let slot = |preset: &str| Preset::by_name(preset).unwrap().modem(false).slot().as_millis();
        assert_eq!((slot("SHORT_TURBO"), slot("LONG_FAST"), slot("LONG_SLOW")), (8, 28, 89));
    }

    #[test]
    fn nonsense_from_a_device_is_long_fast() {
        let nonsense = LoraConfig { bandwidth: u32::MAX, spread_factor: 200, ..LoraConfig::default() };
        assert_eq!(Modem::from_config(&nonsense), PRESETS[0].modem(false));
    }
}

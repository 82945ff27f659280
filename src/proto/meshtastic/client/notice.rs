//! What an operator must be told of a radio: what is wrong, and what to do about it.

use std::fmt;
use std::time::Duration;

use crate::link::LinkAddr;

use super::Transport;

/// Something about a radio that an operator would want to know. `Display` is the whole sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Nobody has set the radio's region: it does not transmit.
    RegionUnset,
    /// The radio is told not to transmit at all.
    TransmitDisabled,
    /// The configured channel is none that can be used.
    WrongChannel {
        /// The configured index.
        index: u8,
        /// The radio knows the channel but has it disabled; otherwise it has none with this index.
        disabled: bool,
    },
    /// The firmware is older than the client API that we speak.
    FirmwareTooOld {
        /// As it says itself.
        version: String,
    },
    /// The radio has no public key encryption, though its user is no licensed amateur.
    NoPki {
        /// As it says itself.
        version: String,
    },
    /// Nothing came in answer to the request for the configuration.
    NoAnswer {
        /// Over what we asked.
        transport: Transport,
        /// There was text in its place: the radio's log.
        text: bool,
    },
    /// The configuration that came lacks what is needed.
    IncompleteConfig,
    /// The radio restarted.
    Rebooted,
    /// A question went unanswered: the radio, or the way to it, is gone without a farewell.
    Silent {
        /// For how long.
        waited: Duration,
    },
    /// The radio closed the connection and had not restarted: another client took our place.
    Evicted {
        /// How many times in a row.
        times: u32,
        /// How long we leave the radio to the other one when it does that again.
        wait: Duration,
    },
    /// The region's airtime for this hour is spent, and the radio refuses to send.
    DutyCycle {
        /// When it may be tried again.
        wait: Duration,
    },
    /// Our radio lacks the Meshtastic key of a peer's radio, and this is what is being done.
    KeyMissing {
        /// Whose key.
        peer: LinkAddr,
        /// What is being done.
        cure: Cure,
    },
    /// A peer's radio lacks our radio's key; ours introduces itself.
    PeerLacksOurKey {
        /// Which peer.
        peer: LinkAddr,
    },
    /// The key of a peer's radio that was missing is there.
    KeyArrived {
        /// Whose key.
        peer: LinkAddr,
    },
    /// The radio refused a payload within the limits that follow from its configuration; the limit was lowered.
    LimitLowered {
        /// The longest payload from here on.
        payload: u16,
    },
    /// The radio has something to say to a person.
    RadioSays(String),
    /// A line of the radio's log.
    Log(String),
}

/// How a missing key of a peer's radio is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Handed to our radio from the configuration.
    Configured,
    /// Handed to our radio from the configuration, in place of another one.
    Replaced,
    /// Asked for on the air.
    Asked,
}

/// How loud a [`Notice`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Of interest when looking for a fault.
    Debug,
    /// What an operator would tell a colleague.
    Info,
    /// Somebody has to do something, or traffic suffers.
    Warn,
}

impl Notice {
    /// Returns how loud this is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Log(_) => Severity::Debug,
            Self::Rebooted
            | Self::KeyMissing { cure: Cure::Configured, .. }
            | Self::KeyArrived { .. }
            | Self::PeerLacksOurKey { .. }
            | Self::RadioSays(_) => Severity::Info,
            Self::RegionUnset
            | Self::TransmitDisabled
            | Self::WrongChannel { .. }
            | Self::FirmwareTooOld { .. }
            | Self::NoPki { .. }
            | Self::NoAnswer { .. }
            | Self::IncompleteConfig
            | Self::Silent { .. }
            | Self::Evicted { .. }
            | Self::DutyCycle { .. }
            | Self::KeyMissing { .. }
            | Self::LimitLowered { .. } => Severity::Warn,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegionUnset => f.write_str(
                "the radio has no region set and does not transmit: set the one whose law applies where it stands \
                 (meshtastic --set lora.region EU_868, or the phone app)",
            ),
            Self::TransmitDisabled => f.write_str(
                "the radio is told not to transmit: turn it on (meshtastic --set lora.tx_enabled true)",
            ),
            Self::WrongChannel { index, disabled: true } => write!(
                f,
                "channel {index} is disabled on the radio: enable it there, with the name and key that the peers \
                 have, or name another ChannelIndex"
            ),
            Self::WrongChannel { index, disabled: false } => write!(
                f,
                "the radio has no channel {index}: add it there, with the name and key that the peers have, or name \
                 another ChannelIndex"
            ),
            Self::FirmwareTooOld { version } => write!(
                f,
                "the radio's firmware {version} is too old: at least {}.{} is needed, flash a current one",
                super::device::MIN_FIRMWARE.0,
                super::device::MIN_FIRMWARE.1
            ),
            Self::NoPki { version } => write!(
                f,
                "the radio (firmware {version}) has no public key encryption: peers whose radios have it cannot send \
                 to this one unless all use a channel named \"serial\""
            ),
            Self::NoAnswer { transport: Transport::Serial, text: true } => f.write_str(
                "the serial port carries only the radio's log, no answer: is its client API off \
                 (meshtastic --set security.serial_enabled true, over Bluetooth or TCP)?",
            ),
            Self::NoAnswer { transport: Transport::Serial, .. } => f.write_str(
                "nothing on the serial port answers: is this the radio's port, and its client API on \
                 (security.serial_enabled)?",
            ),
            Self::NoAnswer { transport: Transport::Tcp, .. } => f.write_str(
                "something takes the connection but does not answer as a radio does: is this the radio's address, \
                 and its port (4403)?",
            ),
            Self::IncompleteConfig => f.write_str(
                "the radio ended its configuration without its number or its LoRa settings: asking again",
            ),
            Self::Rebooted => f.write_str("the radio restarted"),
            Self::Silent { waited } => write!(
                f,
                "the radio has not answered for {} s: connecting again",
                waited.as_secs()
            ),
            Self::Evicted { times, wait } => write!(
                f,
                "another client of this radio (a phone app, the command line tool, a second daemon) threw us out \
                 (no. {times} in a row): a radio serves one TCP client at a time; disconnect the other one, or expect \
                 pauses of {} s",
                wait.as_secs()
            ),
            Self::DutyCycle { wait } => write!(
                f,
                "the region's airtime for this hour is spent and the radio refuses to send; trying again in {} s",
                wait.as_secs()
            ),
            Self::KeyMissing { peer, cure: Cure::Configured } => write!(
                f,
                "the radio did not know the key of {peer}: it got the configured RadioPublicKey"
            ),
            Self::KeyMissing { peer, cure: Cure::Replaced } => write!(
                f,
                "the radio had another key for {peer} than the configured RadioPublicKey, which replaced it: if \
                 nothing comes through, the configured one is out of date"
            ),
            Self::KeyMissing { peer, cure: Cure::Asked } => write!(
                f,
                "the radio does not know the key of {peer} and cannot encrypt for it: asking for it on the air; \
                 RadioPublicKey in the peer's section would spare that"
            ),
            Self::PeerLacksOurKey { peer } => {
                write!(f, "the radio of {peer} does not know the key of ours, which introduces itself")
            }
            Self::KeyArrived { peer } => write!(f, "the radio knows the key of {peer}"),
            Self::LimitLowered { payload } => {
                write!(f, "the radio refused a payload as too large: at most {payload} bytes from here on")
            }
            Self::RadioSays(text) => write!(f, "the radio says: {text}"),
            Self::Log(line) => write!(f, "radio log: {line}"),
        }
    }
}

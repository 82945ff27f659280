//! The account of the air: every transmission, and what each radio sent in total.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::radio::frame::Kind;

/// A node number, written as users write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeNum(pub u32);

impl Serialize for NodeNum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for NodeNum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "!{:08x}", self.0)
    }
}

/// One transmission, written when it ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerEntry {
    /// Seconds of simulated time from the start to the first symbol.
    pub time: f64,
    /// Whose transmitter it was.
    pub sender: NodeNum,
    /// Who made the packet.
    pub from: NodeNum,
    /// For whom; `!ffffffff` is everyone.
    pub to: NodeNum,
    /// The packet's number; the same in every copy.
    pub id: u32,
    /// What it is for.
    pub kind: Kind,
    /// The application's port.
    pub port: u32,
    /// Bytes of the application's message.
    pub payload: usize,
    /// Bytes given to the chip.
    pub bytes: usize,
    /// Milliseconds on the air.
    pub airtime_ms: f64,
    /// Hops that it may still take.
    pub hop_limit: u8,
    /// Encrypted for one radio.
    pub pki: bool,
    /// Who received it.
    pub delivered: Vec<NodeNum>,
    /// Who lost it to another transmission.
    pub collided: Vec<NodeNum>,
    /// Who could not hear it because they were sending or booting.
    pub deaf: Vec<NodeNum>,
    /// Who lost it to noise.
    pub lost: Vec<NodeNum>,
}

/// What a radio sent in total.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Transmissions, by what they were for.
    pub frames: BTreeMap<Kind, u64>,
    /// Bytes given to the chip.
    pub bytes: u64,
    /// Time on the air.
    #[serde(rename = "airtime_s", serialize_with = "seconds")]
    pub airtime: Duration,
    /// Receptions that went well.
    pub received: u64,
    /// Receptions lost to another transmission.
    pub collided: u64,
    /// Receptions lost to noise.
    pub lost: u64,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

//! What the air carried while something happened, by what it was for.
//!
//! The simulator's ledger does not see into what the daemons encrypted; the length of a message says what it is, because
//! version 1 adds the same 25 bytes to every Ethernet frame and has two handshake messages of fixed length.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use meshnet_system::interrupt;
use meshnet_system::radiosim::{Radiosim, Transmission};
use serde::{Deserialize, Serialize};

/// Version 1's handshake messages: init and response.
const HANDSHAKE: [usize; 2] = [53, 57];
/// An ARP frame of 42 bytes, sealed.
const ARP: usize = 67;
/// TCP acknowledgements with nothing else, sealed: 20 bytes of IP and 20, 32 (timestamps) or 44, 52, 60 (and up to three selective
/// acknowledgements) of TCP behind an Ethernet header.
const TCP_ACKNOWLEDGEMENTS: [usize; 5] = [79, 91, 103, 111, 119];
/// How often the radios' totals are looked at while waiting for silence.
const LOOK: Duration = Duration::from_millis(200);

/// What a transmission was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// A session's keys.
    Handshake,
    /// Asking for a hardware address, and telling it.
    Arp,
    /// Whatever the user wanted carried.
    Data,
    /// TCP segments that acknowledge and carry nothing.
    TcpAck,
    /// The radios' own acknowledgements.
    RadioAck,
    /// The radios' own copies and announcements.
    Other,
}

/// A sum of transmissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) frames: u64,
    /// As given to the chip.
    pub(crate) bytes: u64,
    /// Milliseconds on the air.
    pub(crate) airtime_ms: f64,
}

/// Transmissions by purpose.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account(BTreeMap<Purpose, Sum>);

impl Account {
    /// Adds up transmissions.
    pub(crate) fn of<'a>(transmissions: impl IntoIterator<Item = &'a Transmission>) -> Self {
        let mut account = Self::default();
        for transmission in transmissions {
            let sum = account.0.entry(purpose(transmission)).or_default();
            sum.frames += 1;
            sum.bytes += transmission.bytes as u64;
            sum.airtime_ms += transmission.airtime_ms;
        }
        account
    }

    /// Returns what one purpose took.
    pub(crate) fn get(&self, purpose: Purpose) -> Sum {
        self.0.get(&purpose).copied().unwrap_or_default()
    }

    /// Returns what the daemons themselves asked the radios to send: everything but the radios' acknowledgements and copies.
    ///
    /// How many of these there are hangs on what a firmware makes of packets that ask for none; this does not.
    pub(crate) fn asked(&self) -> Sum {
        self.sum(|purpose| !matches!(purpose, Purpose::RadioAck | Purpose::Other))
    }

    /// Returns what everything took.
    pub(crate) fn total(&self) -> Sum {
        self.sum(|_| true)
    }

    fn sum(&self, wanted: impl Fn(Purpose) -> bool) -> Sum {
        self.0.iter().filter(|(purpose, _)| wanted(**purpose)).fold(Sum::default(), |all, (_, sum)| Sum {
            frames: all.frames + sum.frames,
            bytes: all.bytes + sum.bytes,
            airtime_ms: all.airtime_ms + sum.airtime_ms,
        })
    }
}

fn purpose(transmission: &Transmission) -> Purpose {
    match (transmission.kind.as_str(), transmission.payload) {
        ("ack", _) => Purpose::RadioAck,
        ("data", length) if transmission.port == 256 || transmission.port == 33 => match length {
            length if HANDSHAKE.contains(&length) => Purpose::Handshake,
            ARP => Purpose::Arp,
            length if TCP_ACKNOWLEDGEMENTS.contains(&length) => Purpose::TcpAck,
            _ => Purpose::Data,
        },
        _ => Purpose::Other,
    }
}

/// A place in the ledger from which on to count.
#[derive(Debug)]
pub(crate) struct Mark(usize);

impl Mark {
    /// Marks the ledger's end.
    pub(crate) fn here(sim: &Radiosim) -> Result<Self> {
        Ok(Self(sim.transmissions()?.len()))
    }

    /// Returns everything since.
    pub(crate) fn transmissions(&self, sim: &Radiosim) -> Result<Vec<Transmission>> {
        Ok(sim.transmissions()?.split_off(self.0))
    }

    /// Adds up everything since.
    pub(crate) fn account(&self, sim: &Radiosim) -> Result<Account> {
        Ok(Account::of(&self.transmissions(sim)?))
    }
}

/// Waits until nothing was sent for `quiet`, at most `limit`.
pub(crate) fn settle(sim: &Radiosim, quiet: Duration, limit: Duration) -> Result<()> {
    let start = Instant::now();
    let (mut spent, mut since) = (sim.spent()?, start);
    while since.elapsed() < quiet && start.elapsed() < limit {
        interrupt::check()?;
        std::thread::sleep(LOOK);
        let seen = sim.spent()?;
        if seen != spent {
            (spent, since) = (seen, Instant::now());
        }
    }
    Ok(())
}

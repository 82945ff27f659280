//! What each thing that a station does must be like.

use std::time::Instant;

use meshnet_proto::frame::{Frame, Inner};
use meshnet_proto::link::{LinkAddr, LinkEvent, Transmit};
use meshnet_proto::terse::frame as terse;
use meshnet_proto::v1::wire::Datagram;

use super::pings::{self, Seen};
use super::{RECORDED, Recorded, Watch, describe, station_of};
use crate::packet;
use crate::station::{Did, Station};
use crate::world::address;

impl Watch {
    pub(super) fn look(
        &mut self,
        at: usize,
        station: &Station,
        did: &Did,
        now: Instant,
    ) -> Result<(), String> {
        match did {
            Did::Sent(transmit) => {
                self.datagrams += 1;
                self.seals.check().map_err(|broken| format!("station {at}: {broken}"))?;
                self.record(at, transmit);
                if let Some(to) = transmit.to.as_udp() {
                    self.note(now, format!("{at} → {to}: {}", describe::free(&transmit.payload)));
                    return self.proofs.handle_sent(at, station, to, &transmit.payload, now);
                }
                self.inits += u64::from(matches!(Datagram::parse(&transmit.payload), Ok(Datagram::Init(_))));
                let to = transmit.to.as_radio().and_then(station_of);
                let line = format!(
                    "{at} → {}: {} ({:?})",
                    transmit.to,
                    describe::metered(&transmit.payload),
                    transmit.class
                );
                self.note(now, line);
                // The model of the tool is not what is tested.
                let to = to.filter(|_| !self.tools[at]);
                match to {
                    None => Ok(()),
                    Some(to) if self.wireguard.contains(&(at, to)) => {
                        let parsed = terse::Datagram::parse(&transmit.payload);
                        parsed.map(drop).map_err(|_| format!("station {at} sends what is not terse"))
                    }
                    Some(to) => self.sealed(at, to, &transmit.payload),
                }
            }
            Did::Received { from, payload } => {
                self.note(now, format!("{at} ← {from}: {}", describe::metered(payload)));
                self.note_handshake(at, *from, payload);
                Ok(())
            }
            Did::Delivered(_) => Ok(()),
            Did::Event(event) => {
                self.note(now, format!("{at}: {event:?}"));
                self.pings.handle_event(at, station.lives, event)
            }
            Did::Link(event) => {
                if let LinkEvent::Refused { reason, .. } = event {
                    *self.refusals.entry(format!("{reason:?}")).or_default() += 1;
                }
                let line = match event {
                    LinkEvent::Up(_) => "Up".to_owned(),
                    event => format!("{event:?}"),
                };
                self.note(now, format!("{at}: link {line}"));
                Ok(())
            }
            Did::Notice(text) => {
                self.note(now, format!("{at}: {text}"));
                Ok(())
            }
        }
    }

    fn record(&mut self, from: usize, transmit: &Transmit) {
        self.recorded.push_back(Recorded { from, to: transmit.to, payload: transmit.payload.clone() });
        if self.recorded.len() > RECORDED {
            self.recorded.pop_front();
        }
    }

    /// A handshake message that comes in may give its receiver a key to seal with.
    pub(super) fn note_handshake(&mut self, at: usize, from: LinkAddr, payload: &[u8]) {
        let is_handshake = matches!(Datagram::parse(payload), Ok(Datagram::Init(_) | Datagram::Response(_)));
        if let Some(from) = from.as_radio().and_then(station_of).filter(|_| is_handshake) {
            self.counters.entry((at, from)).or_default().handshakes += 1;
        }
    }

    /// A station sends a datagram to another: no counter twice under one key.
    fn sealed(&mut self, from: usize, to: usize, payload: &[u8]) -> Result<(), String> {
        let (counter, start) = match Datagram::parse(payload) {
            Ok(Datagram::Data(data)) => (data.counter, data.ciphertext),
            Ok(Datagram::Fragment(fragment)) if fragment.index == 0 => {
                match fragment.chunk.split_first_chunk() {
                    Some((counter, rest)) => (u64::from_le_bytes(*counter), rest),
                    None => return Ok(()),
                }
            }
            Ok(_) => return Ok(()),
            Err(_) => return Err(format!("station {from} sends what is no datagram")),
        };
        let is_symmetric = self.symmetric.contains(&(from, to));
        // One key serves both directions there.
        let way = if is_symmetric { (from.min(to), from.max(to)) } else { (from, to) };
        let counters = self.counters.entry(way).or_default();
        let keys = if is_symmetric { 1 } else { counters.handshakes };
        let used = counters.used.entry(counter).or_default();
        used.insert(start.get(..16).unwrap_or(start).to_vec());
        if used.len() > keys {
            return Err(format!(
                "station {from} seals for {to} with counter {counter} {} times under {keys} keys",
                used.len()
            ));
        }
        Ok(())
    }

    /// A host gets a frame.
    pub(super) fn delivered(
        &mut self,
        at: usize,
        station: &Station,
        frame: &[u8],
        now: Instant,
    ) -> Result<Option<(usize, Vec<u8>)>, String> {
        let Ok(parsed) = Frame::parse(frame) else { return Err(format!("host {at} gets what is no frame")) };
        let Inner::Ip(inner) = parsed.inner else {
            self.note(now, format!("{at} gets a frame of the link"));
            return Ok(None);
        };
        if Some(parsed.destination) != station.mac() {
            return Err(format!("host {at} gets a frame for another MAC address"));
        }
        if let Some(quoted) = packet::unreachable(inner.bytes) {
            return self.refused(at, quoted, now).map(|()| None);
        }
        let from =
            (0..self.laws.len()).find(|station| std::net::IpAddr::from(address(*station)) == inner.source);
        if let Some(from) = from.filter(|from| self.strangers.contains(&(at, *from))) {
            return Err(format!("host {at} gets a packet of {from}, which is no peer of its node's"));
        }
        match (self.pings.look(at, station.lives, &inner)?, from) {
            (Seen::Request, Some(from)) => {
                self.note(now, format!("{at} is pinged by the node of {from}"));
                return Ok(Some((from, pings::answer(inner.bytes))));
            }
            (Seen::Stale, _) => return Ok(None),
            (Seen::Other | Seen::Request, _) => {}
        }
        let number = packet::number(inner.bytes).unwrap_or(u16::MAX);
        self.note(now, format!("{at} gets #{number}"));
        let Some(packet) = self.packets.get_mut(usize::from(number)) else {
            return Err(format!("host {at} gets packet {number}, which nobody sent"));
        };
        if packet.to != Some(at) {
            return Err(format!("host {at} gets packet {number}, which is not for it"));
        }
        let written = self.written.get(&number);
        let sent = written.cloned().unwrap_or_else(|| {
            packet::build(number, packet.kind, address(packet.from), address(at), packet.data)
        });
        if sent != inner.bytes {
            return Err(format!("host {at} gets packet {number} changed"));
        }
        let again = packet.delivered.replace(now).is_some();
        let by_nature = self.forgetful.contains(&at) && self.symmetric.contains(&(packet.from, at));
        if again && !by_nature {
            return Err(format!("host {at} gets packet {number} twice"));
        }
        if written.is_some() {
            self.arrived.push_back((at, sent));
        }
        Ok(None)
    }

    fn refused(&mut self, at: usize, quoted: u16, now: Instant) -> Result<(), String> {
        self.note(now, format!("{at} is told that #{quoted} goes nowhere"));
        match self.packets.get_mut(usize::from(quoted)) {
            Some(packet) if packet.from == at => {
                packet.refused = Some(now);
                Ok(())
            }
            _ => Err(format!("host {at} is told that packet {quoted} goes nowhere, which it never sent")),
        }
    }
}

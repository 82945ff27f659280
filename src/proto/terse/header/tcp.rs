//! TCP headers: parsed, written whole, and compressed to a control byte and what varies.
//!
//! Left out are the checksum, the data offset, the reserved bits and the urgent pointer (a segment that has any is not
//! compressed: the caller compares), an acknowledgement number where the ACK flag is clear, and of the options all but
//! their values.

use super::options::{MAX_LEN, Options};
use super::reader::Reader;
use crate::terse::Malformed;

/// Length of the header without options.
pub(super) const LEN: usize = 20;

/// Flags of a segment.
pub(super) mod flag {
    pub const SYN: u8 = 2;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
}

/// Flags that take no byte of their own, by the bits 5 and 4 of the control byte; 2 is the one that says "a byte follows".
const FLAGS: [u8; 4] = [flag::ACK, flag::PSH | flag::ACK, 0, flag::SYN];
const FLAGS_INLINE: u8 = 2;

/// Ports above 239 that take one byte all the same: 240 and on.
const WELL_KNOWN: [u16; 16] =
    [443, 4403, 5201, 8080, 8443, 1883, 8883, 5222, 5269, 993, 587, 465, 853, 3389, 5900, 6667];
/// From here on, a byte is a place in [`WELL_KNOWN`].
const FIRST_WELL_KNOWN: u8 = 240;

/// The layout of a segment with timestamps and nothing else.
const STAMPS: u8 = 1;
/// How many of [`FLAGS`] have short forms of the dispatch: ACK and PSH with ACK.
const SHORT_FLAGS: u8 = 2;
/// How many ways there are to write the ports.
const PORT_FORMS: u8 = 3;
/// The short forms: a segment with timestamps, whose control byte is in the dispatch.
pub(super) const SHORT_FORMS: u8 = SHORT_FLAGS * PORT_FORMS;

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) ports: [u16; 2],
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: Options,
}

impl Tcp {
    /// Reads a header; returns what follows it.
    pub(super) fn parse(segment: &[u8]) -> Option<(Self, &[u8])> {
        let (h, rest) = segment.split_first_chunk::<LEN>()?;
        let options_len = (usize::from(h[12] >> 4) * 4).checked_sub(LEN)?;
        let (options, payload) = rest.split_at_checked(options_len)?;
        let tcp = Self {
            ports: [u16::from_be_bytes([h[0], h[1]]), u16::from_be_bytes([h[2], h[3]])],
            sequence: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
            acknowledgement: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
            flags: h[13],
            window: u16::from_be_bytes([h[14], h[15]]),
            options: Options::parse(options)?,
        };
        // Without the flag the number means nothing, and is not sent.
        (tcp.acknowledges() || tcp.acknowledgement == 0).then_some((tcp, payload))
    }

    /// Writes the header, with a checksum of 0.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let mut options = Vec::with_capacity(MAX_LEN);
        self.options.emit(&mut options);
        let words = u8::try_from((LEN + options.len()) / 4).expect("no layout is longer than 40 bytes");
        out.extend(self.ports.map(u16::to_be_bytes).as_flattened());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.acknowledgement.to_be_bytes());
        out.extend([words << 4, self.flags]);
        out.extend(self.window.to_be_bytes());
        out.extend([0; 4]);
        out.extend(options);
    }

    const fn acknowledges(&self) -> bool {
        self.flags & flag::ACK != 0
    }

    /// Returns which short form this segment has, if any: no control byte is needed then.
    pub(super) fn short_form(&self) -> Option<u8> {
        let flags = short_flags(self.flags);
        (self.options.layout() == STAMPS && flags < SHORT_FLAGS)
            .then(|| flags * PORT_FORMS + port_form(self.ports))
    }

    /// Writes the compressed header; without the control byte if `short`.
    pub(super) fn compress(&self, short: bool, out: &mut Vec<u8>) {
        let (ports, flags) = (port_form(self.ports), short_flags(self.flags));
        if !short {
            out.push(ports << 6 | flags << 4 | self.options.layout());
        }
        put_ports(ports, self.ports, out);
        if flags == FLAGS_INLINE {
            out.push(self.flags);
        }
        out.extend(self.sequence.to_be_bytes());
        if self.acknowledges() {
            out.extend(self.acknowledgement.to_be_bytes());
        }
        out.extend(self.window.to_be_bytes());
        self.options.compress(self.acknowledgement, out);
    }

    /// Reads a compressed header: one of the short forms, or one with a control byte.
    pub(super) fn decompress(short: Option<u8>, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (ports, flags, layout) = match short {
            Some(form) => (form % PORT_FORMS, form / PORT_FORMS, STAMPS),
            None => {
                let control = reader.u8()?;
                (control >> 6, control >> 4 & 3, control & 15)
            }
        };
        let ports = read_ports(ports, reader)?;
        let flags = if flags == FLAGS_INLINE { reader.u8()? } else { FLAGS[usize::from(flags)] };
        let sequence = reader.u32()?;
        let acknowledgement = if flags & flag::ACK == 0 { 0 } else { reader.u32()? };
        let window = reader.u16()?;
        let options = Options::decompress(layout, acknowledgement, reader)?;
        Ok(Self { ports, sequence, acknowledgement, flags, window, options })
    }
}

fn short_flags(flags: u8) -> u8 {
    match flags {
        _ if flags == FLAGS[0] => 0,
        _ if flags == FLAGS[1] => 1,
        _ if flags == FLAGS[3] => 3,
        _ => FLAGS_INLINE,
    }
}

/// Returns the byte that stands for a port, if there is one.
fn short_port(port: u16) -> Option<u8> {
    let well_known = || (FIRST_WELL_KNOWN..=u8::MAX).zip(WELL_KNOWN).find(|&(_, known)| known == port);
    u8::try_from(port)
        .ok()
        .filter(|&port| port < FIRST_WELL_KNOWN)
        .or_else(|| well_known().map(|(byte, _)| byte))
}

fn long_port(byte: u8) -> u16 {
    let well_known = byte.checked_sub(FIRST_WELL_KNOWN).map(|at| WELL_KNOWN[usize::from(at)]);
    well_known.unwrap_or(u16::from(byte))
}

/// Returns how a pair of ports is written: 0 in full, 1 with a short source, 2 with a short destination.
pub(super) fn port_form([source, destination]: [u16; 2]) -> u8 {
    match (short_port(source), short_port(destination)) {
        (Some(_), _) => 1,
        (None, Some(_)) => 2,
        (None, None) => 0,
    }
}

/// Writes a pair of ports.
pub(super) fn put_ports(form: u8, ports: [u16; 2], out: &mut Vec<u8>) {
    for (port, is_short) in ports.into_iter().zip([form == 1, form == 2]) {
        match short_port(port).filter(|_| is_short) {
            Some(byte) => out.push(byte),
            None => out.extend(port.to_be_bytes()),
        }
    }
}

/// Reads a pair of ports.
pub(super) fn read_ports(form: u8, reader: &mut Reader<'_>) -> Result<[u16; 2], Malformed> {
    match form {
        0 => Ok([reader.u16()?, reader.u16()?]),
        1 => Ok([long_port(reader.u8()?), reader.u16()?]),
        2 => Ok([reader.u16()?, long_port(reader.u8()?)]),
        _ => Err(Malformed),
    }
}

//! A whole packet: its IP header, its transport header, and what they carry.

use super::context::Context;
use super::ip::Ip;
use super::reader::Reader;
use super::tcp::{self, Tcp};
use crate::frame::protocol;
use crate::terse::Malformed;

/// Every dispatch of a packet with a compressed IP header has this bit; then come 4 bits of [`code`] and 3 of the IP
/// header's form.
pub(super) const COMPRESSED: u8 = 0x80;

/// What follows the IP header.
mod code {
    /// The protocol, then everything verbatim.
    pub const OTHER: u8 = 0;
    /// UDP with a checksum; and two more, one for each way to write the ports.
    pub const UDP: u8 = 1;
    /// UDP without a checksum.
    pub const UDP_UNCHECKED: u8 = 4;
    /// TCP with a control byte.
    pub const TCP: u8 = 5;
    /// TCP in its first short form; the others follow.
    pub const TCP_SHORT: u8 = 6;
    pub const ECHO_REQUEST: u8 = 12;
    pub const ECHO_REPLY: u8 = 13;
    /// ICMP or ICMPv6 of another type: type and code, then everything after the checksum.
    pub const ICMP: u8 = 14;
}

const UDP_LEN: usize = 8;
const ICMP_LEN: usize = 4;

/// Types of echo request and reply in ICMP and ICMPv6.
const ECHO_TYPES: [[u8; 2]; 2] = [[8, 0], [128, 129]];

/// A transport header, without what follows from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Other,
    Udp { ports: [u16; 2], checked: bool },
    Tcp(Tcp),
    Icmp { kind: u8, code: u8 },
}

/// A packet whose every byte follows from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) ip: Ip,
    pub(super) transport: Transport,
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet. `None` if it is not, byte for byte, what [`Packet::emit`] would write: then its lengths, checksums or
    /// reserved fields are not what they should be, or it has what is not known here. A transport header of which that is
    /// true is [`Transport::Other`].
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let (ip, body) = Ip::parse(packet)?;
        let parsed = Transport::parse(&ip, body).map(|(transport, payload)| Self { ip, transport, payload });
        let other = Self { ip, transport: Transport::Other, payload: body };
        [parsed, Some(other)].into_iter().flatten().find(|candidate| {
            let mut whole = Vec::with_capacity(packet.len());
            candidate.emit(&mut whole).is_ok() && whole == packet
        })
    }

    /// Writes the packet.
    pub(super) fn emit(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut header = Vec::with_capacity(60);
        self.transport.emit(self.payload.len(), &mut header);
        let len = header.len() + self.payload.len();
        if let Some(at) = self.transport.checksum_at() {
            let parts = [&header[..], self.payload];
            let sum = match self.transport {
                Transport::Icmp { .. } if !self.ip.is_v6() => crate::frame::checksum(&parts),
                _ => self.ip.transport_checksum(len, &parts),
            };
            let is_udp = matches!(self.transport, Transport::Udp { .. });
            let sum = if is_udp && sum == 0 { 0xffff } else { sum };
            header[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        self.ip.emit(len, out)?;
        out.extend(header);
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Writes the compressed packet.
    pub(super) fn compress(&self, context: &Context, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(0);
        let form = self.ip.compress(&context.ours, &context.theirs, out);
        let code = match self.transport {
            Transport::Other => {
                out.push(self.ip.protocol());
                code::OTHER
            }
            Transport::Udp { ports, checked } => {
                let form = if checked { tcp::port_form(ports) } else { 0 };
                tcp::put_ports(form, ports, out);
                if checked { code::UDP + form } else { code::UDP_UNCHECKED }
            }
            Transport::Tcp(tcp) => {
                let short = tcp.short_form();
                tcp.compress(short.is_some(), out);
                short.map_or(code::TCP, |form| code::TCP_SHORT + form)
            }
            Transport::Icmp { kind, code } => {
                let [request, reply] = ECHO_TYPES[usize::from(self.ip.is_v6())];
                match (kind, code) {
                    (_, 0) if kind == request => code::ECHO_REQUEST,
                    (_, 0) if kind == reply => code::ECHO_REPLY,
                    _ => {
                        out.extend([kind, code]);
                        code::ICMP
                    }
                }
            }
        };
        out[start] = COMPRESSED | code << 3 | form;
        out.extend_from_slice(self.payload);
    }

    /// Reads a compressed packet.
    pub(super) fn decompress(
        dispatch: u8,
        mut reader: Reader<'a>,
        context: &Context,
    ) -> Result<Self, Malformed> {
        let (code, form) = (dispatch >> 3 & 15, dispatch & 7);
        let is_v6 = form >= 4;
        let protocols = match code {
            code::OTHER => (0, 0),
            code::UDP..=code::UDP_UNCHECKED => (protocol::UDP, protocol::UDP),
            code::ECHO_REQUEST..=code::ICMP => (protocol::ICMP, protocol::ICMPV6),
            _ => (protocol::TCP, protocol::TCP),
        };
        let mut ip = Ip::decompress(form, protocols, &mut reader, &context.theirs, &context.ours)?;
        let transport = match code {
            code::OTHER => {
                ip = ip.with_protocol(reader.u8()?);
                Transport::Other
            }
            code::UDP..code::UDP_UNCHECKED => {
                Transport::Udp { ports: tcp::read_ports(code - code::UDP, &mut reader)?, checked: true }
            }
            code::UDP_UNCHECKED => Transport::Udp { ports: tcp::read_ports(0, &mut reader)?, checked: false },
            code::TCP => Transport::Tcp(Tcp::decompress(None, &mut reader)?),
            code::ECHO_REQUEST | code::ECHO_REPLY => {
                let at = usize::from(code - code::ECHO_REQUEST);
                Transport::Icmp { kind: ECHO_TYPES[usize::from(is_v6)][at], code: 0 }
            }
            code::ICMP => Transport::Icmp { kind: reader.u8()?, code: reader.u8()? },
            _ => {
                let short = code.checked_sub(code::TCP_SHORT).filter(|&form| form < tcp::SHORT_FORMS);
                Transport::Tcp(Tcp::decompress(Some(short.ok_or(Malformed)?), &mut reader)?)
            }
        };
        Ok(Self { ip, transport, payload: reader.0 })
    }
}

impl Transport {
    fn parse<'a>(ip: &Ip, body: &'a [u8]) -> Option<(Self, &'a [u8])> {
        match (ip.protocol(), ip.is_v6()) {
            (protocol::UDP, _) => {
                let (h, payload) = body.split_first_chunk::<UDP_LEN>()?;
                let ports = [u16::from_be_bytes([h[0], h[1]]), u16::from_be_bytes([h[2], h[3]])];
                Some((Self::Udp { ports, checked: h[6..] != [0, 0] }, payload))
            }
            (protocol::TCP, _) => {
                let (tcp, payload) = Tcp::parse(body)?;
                Some((Self::Tcp(tcp), payload))
            }
            (protocol::ICMP, false) | (protocol::ICMPV6, true) => {
                let (h, payload) = body.split_first_chunk::<ICMP_LEN>()?;
                Some((Self::Icmp { kind: h[0], code: h[1] }, payload))
            }
            _ => None,
        }
    }

    /// Writes the header of so many bytes, with a checksum of 0.
    fn emit(&self, payload_len: usize, out: &mut Vec<u8>) {
        match self {
            Self::Other => {}
            Self::Udp { ports, .. } => {
                // What is too long for the field is refused with the IP header.
                let len = u16::try_from(UDP_LEN + payload_len).unwrap_or(0);
                out.extend(ports.map(u16::to_be_bytes).as_flattened());
                out.extend(len.to_be_bytes());
                out.extend([0; 2]);
            }
            Self::Tcp(tcp) => tcp.emit(out),
            Self::Icmp { kind, code } => out.extend([*kind, *code, 0, 0]),
        }
    }

    /// Where in the header the checksum is, if there is one.
    const fn checksum_at(&self) -> Option<usize> {
        match self {
            Self::Other | Self::Udp { checked: false, .. } => None,
            Self::Udp { .. } => Some(6),
            Self::Tcp(_) => Some(16),
            Self::Icmp { .. } => Some(2),
        }
    }
}

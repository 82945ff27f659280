//! From packets to frames that stand for several of them: what a network card does for receive offload (GRO), for packets
//! that come out of a tunnel.
//!
//! The kernel takes a frame of 44 segments in one call and walks its stack once for all of them. [`Coalescer::push`] puts
//! each packet behind the others of its flow if the frame can say all that the packets said: the rules of the kernel's own
//! receive offload. Whatever does not follow stays a packet by itself, with nothing changed.
//!
//! Invariants: [`super::Segmenter`] makes the same packets of a frame again (but for an IPv4 identification that means
//! nothing); packets of one flow come out in the order in
//! which they went in; a packet whose checksum is wrong is never part of a larger frame, where nobody would see it; nothing
//! is held back once the caller polls.

use super::checksum::Sum;
use super::header::{Headers, get16, get32, put16, tcp, udp, v4, v6};
use super::{Checksum, Offload, SegmentKind, Segments};
use crate::frame::{ETHERNET_HEADER, Mac, ether_type, protocol};

/// Frames that are held at once. A row of datagrams from the kernel has no more, so that polling once a row is enough.
pub const FRAMES: usize = 64;
/// Segments of a UDP frame, at most (the kernel's `UDP_MAX_SEGMENTS`).
const UDP_SEGMENTS: u16 = 64;
/// An IP packet has no more bytes.
const LONGEST: usize = 65_535;

/// No frame is free: poll first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many frames wait to be polled")]
pub struct Full;

/// Puts packets together. Its buffers are made when first needed and kept.
#[derive(Debug)]
pub struct Coalescer {
    /// The MAC addresses of every frame.
    ethernet: [u8; 12],
    /// Datagrams are put together too.
    udp: bool,
    /// A ring: the oldest frame at `first`, `count` in use.
    frames: Vec<Frame>,
    first: usize,
    count: usize,
}

/// A frame in the making.
#[derive(Debug)]
struct Frame {
    /// Ethernet header and packet.
    bytes: Vec<u8>,
    state: State,
    offload: Offload,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A packet of no flow in particular.
    Alone,
    /// Nothing of its flow may be put before it, nor into it.
    Closed(Flow),
    /// The next packet of its flow may follow.
    Open(Flow, Row),
}

/// What tells flows apart: of any two packets with different ones it does not matter which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    protocol: u8,
    /// IPv4 addresses fill the start.
    addresses: [u8; 32],
    ports: [u8; 4],
}

/// What the next packet of an open frame must look like.
#[derive(Debug, Clone, Copy)]
struct Row {
    headers: Headers,
    /// Payload of each segment.
    size: usize,
    segments: u16,
    /// The first packet's checksums were found right.
    is_verified: bool,
}

impl Coalescer {
    /// Makes frames from `source` to `destination`. `udp`: the kernel takes rows of datagrams as well (Linux 6.2 and later).
    #[must_use]
    pub fn new(destination: Mac, source: Mac, udp: bool) -> Self {
        let mut ethernet = [0; 12];
        ethernet[..6].copy_from_slice(&destination);
        ethernet[6..].copy_from_slice(&source);
        Self { ethernet, udp, frames: Vec::new(), first: 0, count: 0 }
    }

    /// Takes an IP packet, of just the length that its header says.
    ///
    /// # Errors
    /// If [`FRAMES`] frames wait already and this packet goes into none of them; it is not taken then.
    pub fn push(&mut self, packet: &[u8]) -> Result<(), Full> {
        let kind = self.classify(packet);
        let flow = match kind {
            Kind::Other | Kind::Fragment => None,
            Kind::Plain(flow) | Kind::Candidate(flow, _) => Some(flow),
        };
        if let Kind::Fragment = kind {
            // It may belong to any flow between these hosts.
            self.each().for_each(Frame::close);
        }
        if let Some(flow) = flow
            && let Some(frame) = self.each().rfind(|frame| frame.flow() == Some(&flow))
        {
            match kind {
                Kind::Candidate(_, headers) if frame.append(packet, headers) => return Ok(()),
                _ => frame.close(),
            }
        }
        let state = match kind {
            // A push ends a frame, be it the first packet's.
            Kind::Candidate(flow, headers) if pushes(packet, headers) => State::Closed(flow),
            Kind::Candidate(flow, headers) => State::Open(flow, Row::new(packet, headers)),
            Kind::Plain(flow) => State::Closed(flow),
            Kind::Other | Kind::Fragment => State::Alone,
        };
        self.begin(packet, state)
    }

    /// Takes the oldest frame out, complete, with what the kernel has to do for it. Poll until there is none after each batch.
    pub fn poll(&mut self) -> Option<(&[u8], Offload)> {
        if self.count == 0 {
            return None;
        }
        let at = self.first;
        self.count -= 1;
        // What is used again is what is warm in the caches: an empty ring starts over.
        self.first = if self.count == 0 { 0 } else { (at + 1) % FRAMES };
        let frame = &mut self.frames[at];
        frame.finish();
        Some((&frame.bytes, frame.offload))
    }

    /// The frames in use, oldest first.
    fn each(&mut self) -> impl DoubleEndedIterator<Item = &mut Frame> {
        let (first, count) = (self.first, self.count);
        let wrapped = (first + count).saturating_sub(FRAMES);
        let (start, rest) = self.frames.split_at_mut(first);
        rest.iter_mut().take(count - wrapped).chain(start.iter_mut().take(wrapped))
    }

    /// Begins a frame.
    fn begin(&mut self, packet: &[u8], state: State) -> Result<(), Full> {
        if self.count == FRAMES {
            return Err(Full);
        }
        let at = (self.first + self.count) % FRAMES;
        if at == self.frames.len() {
            self.frames.push(Frame { bytes: Vec::new(), state: State::Alone, offload: Offload::default() });
        }
        self.count += 1;
        let frame = &mut self.frames[at];
        frame.bytes.clear();
        frame.bytes.extend_from_slice(&self.ethernet);
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let ether_type = if is_v6 { ether_type::IPV6 } else { ether_type::IPV4 };
        frame.bytes.extend_from_slice(&ether_type.to_be_bytes());
        frame.bytes.extend_from_slice(packet);
        frame.state = state;
        frame.offload = Offload::default();
        Ok(())
    }

    fn classify(&self, packet: &[u8]) -> Kind {
        match packet.first().map(|first| first >> 4) {
            Some(4) if packet.len() >= v4::LEN => {
                // More fragments, or not the first one.
                if get16(packet, v4::FRAGMENT) & 0x3fff != 0 {
                    return Kind::Fragment;
                }
                let start = usize::from(packet[0] & 0x0f) * 4;
                let is_plain =
                    start == v4::LEN && usize::from(get16(packet, v4::TOTAL_LENGTH)) == packet.len();
                self.transport(packet, packet[v4::PROTOCOL], &packet[v4::ADDRESSES], start, is_plain)
            }
            Some(6) if packet.len() >= v6::LEN => {
                let next = packet[v6::NEXT_HEADER];
                if !matches!(next, protocol::TCP | protocol::UDP | protocol::ICMPV6) {
                    // An extension header, which may be a fragment's, or hide a flow.
                    return Kind::Fragment;
                }
                let length = usize::from(get16(packet, v6::PAYLOAD_LENGTH));
                let is_plain = v6::LEN + length == packet.len();
                self.transport(packet, next, &packet[v6::ADDRESSES], v6::LEN, is_plain)
            }
            _ => Kind::Other,
        }
    }

    /// Looks at what an IP header carries. `is_plain`: the header has nothing that a frame for several could not say.
    fn transport(&self, packet: &[u8], number: u8, addresses: &[u8], start: usize, is_plain: bool) -> Kind {
        let kind = match number {
            protocol::TCP => SegmentKind::Tcp,
            protocol::UDP => SegmentKind::Udp,
            _ => return Kind::Other,
        };
        let Some(ports) = packet.get(start..start + 4) else { return Kind::Other };
        let mut flow = Flow { protocol: number, addresses: [0; 32], ports: [0; 4] };
        flow.addresses[..addresses.len()].copy_from_slice(addresses);
        flow.ports.copy_from_slice(ports);
        let headers = Headers::at(packet, kind, start).filter(|_| is_plain);
        let Some(headers) = headers.filter(|headers| headers.payload < packet.len()) else {
            return Kind::Plain(flow);
        };
        let header = &packet[start..];
        let is_candidate = match kind {
            SegmentKind::Tcp => matches!(header[tcp::FLAGS] & !tcp::PSH, tcp::ACK),
            SegmentKind::Udp => {
                self.udp
                    && usize::from(get16(header, udp::LENGTH)) == header.len()
                    && get16(header, udp::CHECKSUM) != 0
            }
        };
        if is_candidate { Kind::Candidate(flow, headers) } else { Kind::Plain(flow) }
    }
}

/// What a packet is to the coalescer.
enum Kind {
    /// Of no flow that could be coalesced.
    Other,
    /// Of a flow that cannot be told.
    Fragment,
    /// Of this flow, and to stay alone.
    Plain(Flow),
    /// Of this flow, with payload.
    Candidate(Flow, Headers),
}

impl Frame {
    const fn flow(&self) -> Option<&Flow> {
        match &self.state {
            State::Alone => None,
            State::Closed(flow) | State::Open(flow, _) => Some(flow),
        }
    }

    fn close(&mut self) {
        if let State::Open(flow, row) = self.state {
            self.offload = row.offload();
            self.state = State::Closed(flow);
        }
    }

    /// Puts a packet of the same flow behind the others, if that is possible.
    fn append(&mut self, packet: &[u8], headers: Headers) -> bool {
        let State::Open(_, row) = &mut self.state else { return false };
        let ours = &mut self.bytes[ETHERNET_HEADER..];
        if !row.is_next(ours, packet, headers) {
            return false;
        }
        // The first packet of what stays alone is never summed.
        row.is_verified = row.is_verified || headers.checksums_are_right(ours);
        if !row.is_verified || !headers.checksums_are_right(packet) {
            return false;
        }
        let payload = &packet[headers.payload..];
        let pushes = pushes(packet, headers);
        if pushes {
            ours[headers.transport + tcp::FLAGS] |= tcp::PSH;
        }
        row.segments += 1;
        let is_last = pushes || payload.len() < row.size;
        self.bytes.extend_from_slice(payload);
        if is_last {
            self.close();
        }
        true
    }

    /// Makes the headers say what became of the frame.
    fn finish(&mut self) {
        self.close();
        let (Some(segments), Some(checksum)) = (self.offload.segments, self.offload.checksum) else { return };
        let packet = &mut self.bytes[ETHERNET_HEADER..];
        let transport = usize::from(checksum.start) - ETHERNET_HEADER;
        let length = |bytes: usize| u16::try_from(bytes).expect("no frame grows longer than a packet may be");
        let covered = packet.len() - transport;
        if packet[0] >> 4 == 4 {
            put16(packet, v4::TOTAL_LENGTH, length(packet.len()));
            put16(packet, v4::CHECKSUM, 0);
            let sum = Sum::of(&packet[..transport]);
            put16(packet, v4::CHECKSUM, sum.checksum());
        } else {
            put16(packet, v6::PAYLOAD_LENGTH, length(packet.len() - v6::LEN));
        }
        if segments.kind == SegmentKind::Udp {
            put16(packet, transport + udp::LENGTH, length(covered));
        }
        let headers =
            Headers::at(packet, segments.kind, transport).expect("it was found when the frame began");
        let pseudo = headers.pseudo(packet, covered).fold();
        put16(packet, transport + segments.kind.checksum(), pseudo);
    }
}

/// Tells whether a packet asks that what was sent so far be handed on.
fn pushes(packet: &[u8], headers: Headers) -> bool {
    headers.kind == SegmentKind::Tcp && packet[headers.transport + tcp::FLAGS] & tcp::PSH != 0
}

impl Row {
    fn new(packet: &[u8], headers: Headers) -> Self {
        Self { headers, size: packet.len() - headers.payload, segments: 1, is_verified: false }
    }

    /// What the kernel has to do for so many segments.
    fn offload(&self) -> Offload {
        if self.segments < 2 {
            return Offload::default();
        }
        let short = |bytes: usize| u16::try_from(bytes).expect("no packet is longer");
        let (kind, size) = (self.headers.kind, short(self.size));
        let start = short(ETHERNET_HEADER + self.headers.transport);
        Offload {
            checksum: Some(Checksum { start, offset: short(kind.checksum()) }),
            segments: Some(Segments { kind, size }),
        }
    }

    /// Tells whether `packet` is what would be cut off next from `ours`, if that had its payload too.
    fn is_next(&self, ours: &[u8], packet: &[u8], headers: Headers) -> bool {
        let len = packet.len() - headers.payload;
        let done = ours.len() - headers.payload;
        if headers != self.headers || len > self.size || ours.len() + len > LONGEST {
            return false;
        }
        let same_ip = if headers.is_v4 {
            let (df, id) = (get16(ours, v4::FRAGMENT) & v4::DF != 0, get16(ours, v4::ID));
            let next = get16(packet, v4::ID);
            // Type of service, fragmentation, time to live. Where fragments are forbidden the identification means nothing (RFC
            // 6864), and many systems leave it zero: the one field that comes out as another.
            ours[..v4::TOTAL_LENGTH] == packet[..v4::TOTAL_LENGTH]
                && ours[v4::FRAGMENT..v4::CHECKSUM] == packet[v4::FRAGMENT..v4::CHECKSUM]
                && (next == id.wrapping_add(self.segments) || df && id == 0 && next == 0)
        } else {
            // Traffic class and flow label, hop limit.
            ours[..v6::PAYLOAD_LENGTH] == packet[..v6::PAYLOAD_LENGTH]
                && ours[v6::NEXT_HEADER..v6::ADDRESSES.start] == packet[v6::NEXT_HEADER..v6::ADDRESSES.start]
        };
        let (ours, theirs) =
            (&ours[headers.transport..headers.payload], &packet[headers.transport..headers.payload]);
        same_ip
            && match headers.kind {
                SegmentKind::Tcp => {
                    let done = u32::try_from(done).expect("no packet has 4 GiB");
                    let sequence = get32(ours, tcp::SEQUENCE).wrapping_add(done);
                    // Acknowledgement, window, urgent pointer, options; of the flags only the push differs between candidates.
                    get32(theirs, tcp::SEQUENCE) == sequence
                        && ours[tcp::SEQUENCE + 4..tcp::FLAGS] == theirs[tcp::SEQUENCE + 4..tcp::FLAGS]
                        && ours[tcp::WINDOW..tcp::CHECKSUM] == theirs[tcp::WINDOW..tcp::CHECKSUM]
                        && ours[tcp::URGENT..] == theirs[tcp::URGENT..]
                }
                SegmentKind::Udp => self.segments < UDP_SEGMENTS,
            }
    }
}

#[cfg(test)]
mod tests;

//! UDP: a link whose air is free.
//!
//! No task of its own stands between the socket and the core: a hop from task to task costs more than the cipher. The core's
//! task waits for [`UdpLink::readable`], takes what [`UdpLink::recv`] brought as [`Row`]s, in which it may decrypt in place, and
//! hands what is to go to [`UdpLink::send`]. Nothing ever waits.
//!
//! Life-cycle: [`open`] while the process still may (firewall marks and low ports take capabilities), [`Opened::into_async`]
//! once there is a runtime, then as long as it is configured. A UDP socket does not break; what fails is told as [`Evidence`]
//! about one peer's address. What comes from the network is worth a closer look and proves nothing: anybody can forge an ICMP
//! message. What this host's own routes say (`scout`) is the truth.
//!
//! The kernel cuts what goes out (UDP_SEGMENT) and joins what comes in (UDP_GRO), by `quinn-udp`. An answer leaves from the
//! address that was asked (`sources`).

mod errors;
mod open;
mod scout;
mod sources;
mod watched;

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::slice::ChunksMut;

use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, Refusal, Transmit};
use nix::libc;
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;
use tracing::debug;

pub use self::errors::{Evidence, Reason};
pub use self::open::{Opened, open};
use self::scout::Scout;
use self::sources::Sources;
use self::watched::Watched;

/// Messages that one system call may bring. Each may be a row of up to 64 datagrams, so that more would only cool the caches.
const BATCH: usize = 16;
/// The longest message, which may be a row.
const MESSAGE: usize = 65_536;
/// The longest payload of a UDP datagram over IPv4, and of a row of them.
const LONGEST: usize = 65_507;
/// What is known against addresses and was not asked for yet; the oldest goes first.
const EVIDENCE: usize = 32;

/// A UDP socket in the event loop.
#[derive(Debug)]
pub struct UdpLink {
    /// Watched for what comes and for errors alone: each datagram that leaves makes room, and news of room that nobody waits
    /// for would wake us after everything that we send.
    socket: Watched,
    state: UdpSocketState,
    /// The socket is IPv6's: it names IPv4 addresses in IPv6 clothes.
    is_v6: bool,
    /// The kernel's segmentation has failed where single datagrams got through.
    no_segments: bool,
    sources: Sources,
    scout: Scout,
    evidence: VecDeque<Evidence>,
    counters: Counters,
    buffers: [Box<[u8]>; BATCH],
    received: Vec<RecvMeta>,
}

/// What went through a link since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// System calls that brought them.
    pub receive_calls: u64,
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// System calls that took them.
    pub send_calls: u64,
    /// Datagrams that the kernel did not take.
    pub refused: u64,
    /// Errors that came back from the network.
    pub returned: u64,
}

/// Datagrams from one sender, one behind the other.
#[derive(Debug)]
pub struct Row<'a> {
    /// From whom.
    pub from: LinkAddr,
    /// All of them.
    pub bytes: &'a mut [u8],
    /// The length of each; the last may be shorter.
    pub segment: usize,
}

impl Row<'_> {
    /// The datagrams one by one.
    pub fn datagrams(&mut self) -> ChunksMut<'_, u8> {
        self.bytes.chunks_mut(self.segment.max(1))
    }
}

impl UdpLink {
    fn new(socket: UdpSocket, scout: Scout) -> io::Result<Self> {
        let state = open::state(&socket)?;
        let is_v6 = socket.local_addr()?.is_ipv6();
        let socket = Watched::new(socket, Interest::READABLE | Interest::ERROR)?;
        // Zeroed memory that nobody has touched is not there yet: small packets make a page of each buffer real.
        let buffers = std::array::from_fn(|_| vec![0; MESSAGE].into_boxed_slice());
        Ok(Self {
            socket,
            state,
            is_v6,
            no_segments: false,
            sources: Sources::default(),
            scout,
            evidence: VecDeque::new(),
            counters: Counters::default(),
            buffers,
            received: Vec::with_capacity(BATCH),
        })
    }

    /// Returns what it promises.
    #[must_use]
    pub fn caps(&self) -> LinkCaps {
        let segments = if self.no_segments { 1 } else { self.state.max_gso_segments() };
        LinkCaps {
            kind: AddrKind::Udp,
            mtu: u16::try_from(LONGEST).expect("a UDP length has 16 bits"),
            airtime: Airtime::Free,
            cost: 0,
            ordered: false,
            broadcast: false,
            segments: u16::try_from(segments).unwrap_or(u16::MAX),
        }
    }

    /// Returns the address that it listens on, with the port that the kernel chose if none was asked for.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.socket().local_addr()
    }

    /// Returns what went through it.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Waits until something may have come, datagrams or errors.
    ///
    /// # Errors
    /// If the runtime shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.ready(Interest::READABLE | Interest::ERROR).await
    }

    /// Waits until the kernel may take datagrams again, after [`Refusal::QueueFull`].
    ///
    /// # Errors
    /// If the runtime shuts down, or the kernel gives no more descriptors.
    pub async fn writable(&self) -> io::Result<()> {
        // Watched by another descriptor for as long as somebody waits, which is rare.
        let copy = self.socket.socket().try_clone()?;
        Watched::new(copy, Interest::WRITABLE)?.ready(Interest::WRITABLE).await
    }

    /// Takes what came, as much as one system call brings; returns how many [`UdpLink::rows`] that is, 0 if nothing waits.
    ///
    /// # Errors
    /// If the socket is of no use any more.
    pub fn recv(&mut self) -> io::Result<usize> {
        for _ in 0..EVIDENCE {
            let read = self.socket.try_io(Interest::ERROR, |socket| errors::read(socket.as_fd()));
            let Ok(error) = read else { break };
            self.note(error);
        }
        self.received.clear();
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = self.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let received = self.socket.try_io(Interest::READABLE, |socket| {
            self.state.recv(UdpSockRef::from(socket), &mut slices, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            // The error of a datagram that was sent, told in place of what came, and told once: the caller is woken again.
            Err(error) if errors::is_of_peer(&error) => {
                self.note_pending();
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        self.counters.receive_calls += 1;
        if count < BATCH {
            // No more waits. What comes from here on is news again, so that the kernel need not be asked once more.
            self.socket.exhausted(Interest::READABLE);
        }
        for meta in &metas[..count] {
            self.counters.received += meta.len.div_ceil(meta.stride.max(1)).max(1) as u64;
            self.counters.received_bytes += meta.len as u64;
            self.sources.note(meta.addr, meta.dst_ip);
        }
        self.received.extend_from_slice(&metas[..count]);
        Ok(count)
    }

    /// What the last [`UdpLink::recv`] brought, in the order in which it came.
    pub fn rows(&mut self) -> impl Iterator<Item = Row<'_>> {
        self.received.iter().zip(&mut self.buffers).map(|(meta, buffer)| Row {
            from: LinkAddr::udp(meta.addr),
            bytes: &mut buffer[..meta.len.min(MESSAGE)],
            segment: meta.stride,
        })
    }

    /// Hands a datagram, or a row of them, to the kernel.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`]: try again once it is [`UdpLink::writable`]; of a row, some may have gone.
    /// [`Refusal::TooLarge`]: a router or an interface on the way carries less. [`Refusal::Unreachable`]: there is no way.
    pub fn send(&mut self, transmit: &Transmit) -> Result<(), Refusal> {
        self.send_row(transmit.to, &transmit.payload, transmit.segment)
    }

    /// [`UdpLink::send`] of bytes that somebody else owns: datagrams of `segment` bytes each, or one.
    ///
    /// # Errors
    /// As of [`UdpLink::send`].
    pub fn send_row(&mut self, to: LinkAddr, bytes: &[u8], segment: Option<u16>) -> Result<(), Refusal> {
        let address = to.as_udp().ok_or(Refusal::Unreachable)?;
        let Some(segment) = segment.map(usize::from).filter(|&segment| segment > 0 && segment < bytes.len())
        else {
            return self.send_part(address, bytes, None);
        };
        let most = usize::from(self.caps().segments).min(LONGEST / segment).max(1);
        for part in bytes.chunks(segment * most) {
            self.send_part(address, part, Some(segment).filter(|&segment| segment < part.len()))?;
        }
        Ok(())
    }

    /// Takes out what became known against addresses.
    pub fn poll_evidence(&mut self) -> Option<Evidence> {
        self.evidence.pop_front()
    }

    /// Whether this host has no way to an address: no route leads there, or only one from an address that is `dark`, of an
    /// interface that is down or has no carrier.
    #[must_use]
    pub fn finds_no_way(&self, to: LinkAddr, dark: &[IpAddr]) -> bool {
        to.as_udp().is_some_and(|to| self.scout.finds_no_way(to, dark))
    }

    /// Returns the interface that the socket is bound to, by its name at present; an error if that interface is gone. One of the
    /// same name that comes later is another.
    ///
    /// # Errors
    /// If there is no such interface any more.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        SockRef::from(self.socket.socket()).device()
    }

    /// Forgets from which address each peer is answered: call it when addresses or routes of this host have changed.
    pub fn forget_sources(&mut self) {
        self.sources = Sources::default();
    }

    /// Hands over what one system call takes.
    fn send_part(&mut self, to: SocketAddr, bytes: &[u8], segment: Option<usize>) -> Result<(), Refusal> {
        let mut source = self.sources.of(to);
        let mut told = 0;
        loop {
            let Err(error) = self.try_send(to, bytes, segment, source) else {
                self.counters.send_calls += 1;
                self.counters.sent += segment.map_or(1, |segment| bytes.len().div_ceil(segment) as u64);
                self.counters.sent_bytes += bytes.len() as u64;
                return Ok(());
            };
            let number = error.raw_os_error().unwrap_or_default();
            // A full queue of the interface is a lost datagram, as it is where the kernel does not say so.
            if number == libc::ENOBUFS {
                self.counters.refused += 1;
                return Ok(());
            }
            let is_full = error.kind() == io::ErrorKind::WouldBlock;
            let pending = !is_full && self.note_pending();
            if is_full {
                return Err(Refusal::QueueFull);
            }
            if source.is_some() && errors::may_be_of_source(number) {
                // An address that this host had when it was asked, and has no more.
                self.sources.forget(to);
                source = None;
                self.renew();
            } else if let Some(segment) = segment.filter(|_| number == libc::EMSGSIZE) {
                // The kernel cuts a datagram up that is too long for the way, but none of a row.
                return bytes.chunks(segment).try_for_each(|datagram| self.send_part(to, datagram, None));
            } else if let Some(segment) = segment.filter(|_| matches!(number, libc::EINVAL | libc::EIO)) {
                self.renew();
                return self.send_singly(to, bytes, segment);
            } else if pending && number != told {
                // It may be that of another datagram, before this one. Told again, it is this one's.
                told = number;
            } else {
                return Err(self.refuse(to, &error));
            }
        }
    }

    /// What the kernel did not cut up goes one by one. If that works, it is not asked again.
    fn send_singly(&mut self, to: SocketAddr, bytes: &[u8], segment: usize) -> Result<(), Refusal> {
        bytes.chunks(segment).try_for_each(|datagram| self.send_part(to, datagram, None))?;
        debug!("the kernel does not segment datagrams to {to}: they go one by one from here on");
        self.no_segments = true;
        Ok(())
    }

    fn try_send(
        &self,
        to: SocketAddr,
        bytes: &[u8],
        segment: Option<usize>,
        source: Option<IpAddr>,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: destination(to, self.is_v6),
            ecn: None,
            contents: bytes,
            segment_size: segment,
            src_ip: source,
        };
        self.state.try_send(UdpSockRef::from(self.socket.socket()), &transmit)
    }

    /// `quinn-udp` takes segmentation for unusable after any refusal of the arguments; we know better, and begin anew.
    fn renew(&mut self) {
        if let Ok(state) = open::state(self.socket.socket()) {
            self.state = state;
        }
    }

    /// Says why nothing goes there.
    fn refuse(&mut self, to: SocketAddr, error: &io::Error) -> Refusal {
        self.counters.refused += 1;
        let mut evidence = Evidence::of_call(LinkAddr::udp(to), error);
        if let Evidence::Unreachable { to: peer, reason: Reason::NoRoute } = evidence
            && self.scout.finds_no_way(to, &[])
        {
            evidence = Evidence::NoWay { to: peer };
        }
        let refusal = match evidence {
            Evidence::TooBig { .. } => Refusal::TooLarge,
            Evidence::Unreachable { .. } | Evidence::NoWay { .. } => Refusal::Unreachable,
        };
        // A router's word on the length says more than the call's.
        let is_known = matches!(evidence, Evidence::TooBig { to, .. }
            if self.evidence.iter().any(|known| matches!(known, Evidence::TooBig { to: other, .. } if *other == to)));
        if !is_known {
            self.keep(evidence);
        }
        refusal
    }

    /// Takes the errors that came back from the network; returns whether there were any.
    fn note_pending(&mut self) -> bool {
        let mut any = false;
        // The queue is bounded by the socket's buffer; a flood of forged errors waits for the next turn.
        for _ in 0..EVIDENCE {
            let Ok(error) = errors::read(self.socket.socket().as_fd()) else { break };
            self.note(error);
            any = true;
        }
        any
    }

    fn note(&mut self, error: Option<Evidence>) {
        self.counters.returned += 1;
        // What the kernel says of itself names no port; the call that it is about fails, and says more.
        let names_a_port = |evidence: &Evidence| evidence.to().as_udp().is_some_and(|to| to.port() != 0);
        if let Some(evidence) = error.filter(names_a_port) {
            self.keep(evidence);
        }
    }

    fn keep(&mut self, evidence: Evidence) {
        if self.evidence.contains(&evidence) {
            return;
        }
        debug!("{evidence}");
        if self.evidence.len() == EVIDENCE {
            self.evidence.pop_front();
        }
        self.evidence.push_back(evidence);
    }
}

/// An address as a socket of a family names it.
fn destination(to: SocketAddr, is_v6: bool) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if is_v6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        _ => to,
    }
}

#[cfg(test)]
mod tests;

//! Opening the socket, while the process still may.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{self as sockopt_net, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{debug, info};

use super::UdpLink;
use super::scout::Scout;
use crate::link::UdpSpec;

/// What the kernel may hold for us in each direction, in bytes: a fast sender's 50 ms at 1 Gbit/s.
const KERNEL_BUFFER: usize = 7 << 20;

/// A socket that was opened, before there is a runtime.
#[derive(Debug)]
pub struct Opened {
    socket: UdpSocket,
    scout: Scout,
}

impl Opened {
    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hands the socket to the runtime that this is called in.
    ///
    /// # Errors
    /// If the runtime cannot watch it, or the kernel lacks what the link needs.
    pub fn into_async(self) -> io::Result<UdpLink> {
        UdpLink::new(self.socket, self.scout)
    }
}

/// Opens a link's socket. A mark takes CAP_NET_ADMIN, a port below 1024 CAP_NET_BIND_SERVICE (unless the system says otherwise);
/// all else can be had at any time.
///
/// # Errors
/// If the kernel refuses: the port is taken, there is no such address or interface, a capability is missing.
pub fn open(name: &str, spec: &UdpSpec) -> anyhow::Result<Opened> {
    let listen = spec.listen.first().copied();
    let address = listen.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let opened = bind(spec, address).or_else(|error| match (listen, error.raw_os_error()) {
        (None, Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            info!(link = name, "no IPv6 here: IPv4 only");
            bind(spec, Ipv4Addr::UNSPECIFIED.into())
        }
        _ => Err(error),
    });
    let (socket, scout) = opened.map_err(|error| {
        let why = hint(spec, &error).unwrap_or_else(|| format!("of {address}"));
        anyhow::Error::new(error).context(format!("cannot listen on UDP port {} {why}", spec.port))
    })?;
    Ok(Opened { socket, scout })
}

/// What is in the way, if the error tells.
fn hint(spec: &UdpSpec, error: &io::Error) -> Option<String> {
    match (error.raw_os_error()?, &spec.device, spec.fwmark) {
        (libc::ENODEV, Some(device), _) => {
            Some(format!("through the interface {device}, which must be there"))
        }
        (libc::EPERM, _, Some(mark)) => Some(format!(
            "with the mark {mark:#x}, which takes CAP_NET_ADMIN: only a start of the daemon has it"
        )),
        (libc::EACCES, ..) if (1..1024).contains(&spec.port) => {
            Some("(a port below 1024 takes CAP_NET_BIND_SERVICE)".to_owned())
        }
        _ => None,
    }
}

fn bind(spec: &UdpSpec, ip: IpAddr) -> io::Result<(UdpSocket, Scout)> {
    let socket = unbound(spec, ip)?;
    let scout = unbound(spec, ip)?;
    if !ip.is_unspecified() {
        // Rules may go by the source.
        scout.bind(&SocketAddr::new(ip, 0).into())?;
    }
    let scout = Scout::new(scout);
    // Beyond the system's limit it takes CAP_NET_ADMIN; without, the limit is what there is.
    if setsockopt(&socket, sockopt::RcvBufForce, &KERNEL_BUFFER).is_err() {
        socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    }
    if setsockopt(&socket, sockopt::SndBufForce, &KERNEL_BUFFER).is_err() {
        socket.set_send_buffer_size(KERNEL_BUFFER)?;
    }
    socket.bind(&SocketAddr::new(ip, spec.port).into())?;
    Ok((socket.into(), scout))
}

/// Makes a socket with everything that decides which way its datagrams take.
fn unbound(spec: &UdpSpec, ip: IpAddr) -> io::Result<Socket> {
    let domain = if ip.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if ip.is_ipv6() {
        socket.set_only_v6(!spec.listen.is_empty())?;
    }
    if let Some(device) = &spec.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if let Some(mark) = spec.fwmark {
        socket.set_mark(mark)?;
    }
    Ok(socket)
}

/// Sets the socket up: the kernel joins and cuts datagrams, tells where each was sent to, and which errors came back.
pub(super) fn state(socket: &UdpSocket) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    state.enable_transport_errors(UdpSockRef::from(socket))?;
    // What is too long for the way is cut up, over IPv4 by whoever finds out, over IPv6 by this host once a router has spoken: a
    // tunnel that swallows long packets without a word is worse than fragments. Linux's own WireGuard does the same.
    let cut = match socket.local_addr()? {
        SocketAddr::V4(_) => {
            sockopt_net::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT).map_err(io::Error::from)
        }
        // A socket of both families has the options of both.
        SocketAddr::V6(_) => sockopt_net::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT)
            .and_then(|()| sockopt_net::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT))
            .map_err(io::Error::from)
            // An option of its own, which `quinn-udp` sets, and which would outweigh the others.
            .and_then(|()| Ok(setsockopt(socket, sockopt::Ipv6DontFrag, &false)?)),
    };
    if let Err(error) = cut {
        debug!(%error, "datagrams that are too long for the way are lost");
    }
    // A time stamp on each datagram, which nobody looks at, would cost every packet of the host a look at the clock.
    if let Err(error) = setsockopt(socket, sockopt::ReceiveTimestampns, &false) {
        debug!(%error, "datagrams come with time stamps");
    }
    Ok(state)
}

//! What the network says against an address: from system calls that fail at once, and from ICMP messages, which the kernel
//! keeps in the socket's error queue (ip(7), `IP_RECVERR`).

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use meshnet_proto::link::LinkAddr;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

/// Something that speaks against an address for the moment. But for [`Evidence::NoWay`] a hint, no proof: ICMP messages can be
/// forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Datagrams to this address do not arrive.
    Unreachable {
        /// The peer's.
        to: LinkAddr,
        /// Why.
        reason: Reason,
    },
    /// This host has no way to this address: its own routes say so.
    NoWay {
        /// The peer's.
        to: LinkAddr,
    },
    /// Datagrams of that length do not arrive.
    TooBig {
        /// The peer's.
        to: LinkAddr,
        /// The longest IP packet in bytes that gets through, if a router said so.
        mtu: Option<u16>,
    },
}

/// Why an address cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The host is there, and nobody listens.
    Refused,
    /// This host or a router knows no way, or its neighbour does not answer.
    NoRoute,
    /// A firewall, ours or another's, forbids it.
    Forbidden,
    /// Anything else.
    Other,
}

impl Evidence {
    /// Whom it is about.
    #[must_use]
    pub const fn to(&self) -> LinkAddr {
        match self {
            Self::Unreachable { to, .. } | Self::NoWay { to } | Self::TooBig { to, .. } => *to,
        }
    }

    /// What a failed system call says.
    pub(super) fn of_call(to: LinkAddr, error: &io::Error) -> Self {
        Self::of_number(to, error.raw_os_error().unwrap_or_default(), None)
    }

    fn of_number(to: LinkAddr, number: i32, mtu: Option<u16>) -> Self {
        let reason = match number {
            libc::EMSGSIZE => return Self::TooBig { to, mtu },
            libc::ECONNREFUSED => Reason::Refused,
            libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::ENODEV
            | libc::EADDRNOTAVAIL => Reason::NoRoute,
            libc::EPERM | libc::EACCES => Reason::Forbidden,
            _ => Reason::Other,
        };
        Self::Unreachable { to, reason }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { to, reason } => {
                let why = match reason {
                    Reason::Refused => "nobody listens there",
                    Reason::NoRoute => "no route",
                    Reason::Forbidden => "a firewall forbids it",
                    Reason::Other => "the network refuses it",
                };
                write!(f, "{to} cannot be reached: {why}")
            }
            Self::NoWay { to } => write!(f, "this host has no way to {to}"),
            Self::TooBig { to, mtu: Some(mtu) } => {
                write!(f, "packets of more than {mtu} bytes do not reach {to}")
            }
            Self::TooBig { to, mtu: None } => write!(f, "a datagram is too long for the way to {to}"),
        }
    }
}

/// Tells whether a call may have failed because of somebody's address, not because of the socket.
pub(super) fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::EMSGSIZE
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EACCES
                | libc::EPERM
                | libc::ETIMEDOUT
                | libc::ENONET
        )
    )
}

/// Tells whether a call may have failed because the source address is not this host's any more.
pub(super) fn may_be_of_source(number: i32) -> bool {
    matches!(
        number,
        libc::EINVAL
            | libc::EIO
            | libc::EADDRNOTAVAIL
            | libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENODEV
    )
}

/// Takes the oldest error out of the socket's queue; `None` inside if it says nothing of use.
///
/// # Errors
/// `WouldBlock` if there is none.
pub(super) fn read(fd: BorrowedFd<'_>) -> io::Result<Option<Evidence>> {
    // The start of the datagram comes along, of which we want nothing.
    let mut byte = [0; 1];
    let mut slices = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6, [u8; 64]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    // For an error the kernel gives the address that the datagram was for.
    let Some(to) = message.address.as_ref().and_then(address) else { return Ok(None) };
    let Ok(messages) = message.cmsgs() else { return Ok(None) };
    let error = messages.into_iter().find_map(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            Some(error)
        }
        _ => None,
    });
    Ok(error.map(|error| {
        let mtu = u16::try_from(error.ee_info).ok().filter(|&mtu| mtu > 0);
        let number = i32::try_from(error.ee_errno).unwrap_or_default();
        Evidence::of_number(LinkAddr::udp(to), number, mtu)
    }))
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddr::V4(SocketAddrV4::from(v4)));
    v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddr::V6(SocketAddrV6::from(v6))))
}

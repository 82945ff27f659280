//! Whether this host has a way to an address at all: asked of the kernel, which answers from its own routes.
//!
//! A second socket, with the mark and the device of the link's, is connected to the address: for UDP that is a look at the
//! routes and nothing else. Nothing is ever sent by it, so that nobody can answer: unlike an error of the link's own socket,
//! which an ICMP message may have left there, what it says cannot be forged.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::libc;
use rustix::net::connect_unspec;
use socket2::Socket;

use super::destination;

/// See the module's introduction.
#[derive(Debug)]
pub(super) struct Scout(Socket);

impl Scout {
    /// Takes a socket that has everything that decides which route its datagrams take, and no port.
    pub(super) const fn new(socket: Socket) -> Self {
        Self(socket)
    }

    /// Whether no route leads to an address, or only one from an address of ours that is `dark`: of interfaces that are down
    /// or have no carrier, whose routes the kernel may go on using.
    pub(super) fn finds_no_way(&self, to: SocketAddr, dark: &[IpAddr]) -> bool {
        match self.source(to) {
            Ok(source) => dark.contains(&source),
            Err(error) => matches!(
                error.raw_os_error(),
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::ENODEV)
            ),
        }
    }

    /// The address that datagrams to `to` leave from.
    fn source(&self, to: SocketAddr) -> io::Result<IpAddr> {
        // The source of before would be asked for again.
        connect_unspec(&self.0)?;
        let is_v6 = self.0.domain()? == socket2::Domain::IPV6;
        self.0.connect(&destination(to, is_v6).into())?;
        let source = self.0.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(source.ip().to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    fn scout(domain: Domain) -> Scout {
        Scout::new(Socket::new(domain, Type::DGRAM, None).unwrap())
    }

    #[test]
    fn a_way_from_an_address_without_a_carrier_is_none() {
        let (here, to) = ([127, 0, 0, 1].into(), ([127, 0, 0, 9], 7).into());
        for domain in [Domain::IPV4, Domain::IPV6] {
            let scout = scout(domain);
            // Asked twice: the first answer does not bind the second.
            for _ in 0..2 {
                assert!(!scout.finds_no_way(to, &[]));
                assert!(scout.finds_no_way(to, &[here]), "loopback datagrams leave from its first address");
            }
        }
    }
}

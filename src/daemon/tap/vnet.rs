//! The header that comes before each frame (virtio 1.2 section 5.1.6; `struct virtio_net_hdr` of <linux/virtio_net.h>), in the
//! machine's byte order, and what the kernel is told that we can do with it.
#![allow(unsafe_code, reason = "ioctls that no crate wraps")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use meshnet_proto::offload::{Checksum, Offload, SegmentKind, Segments};

/// Its length in bytes, without the field that only mergeable buffers need.
pub(super) const LEN: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;

/// What a row of segments is, in the header's words.
mod gso {
    pub const NONE: u8 = 0;
    pub const TCP_V4: u8 = 1;
    pub const TCP_V6: u8 = 4;
    pub const UDP: u8 = 5;
    /// A flag beside the others: the first segment answers a mark of congestion.
    pub const ECN: u8 = 0x80;
}

/// Bits of `TUNSETOFFLOAD` (<linux/if_tun.h>).
mod offer {
    use nix::libc::c_ulong;

    pub const CHECKSUM: c_ulong = 0x01;
    pub const TCP: c_ulong = 0x02 | 0x04;
    pub const TCP_ECN: c_ulong = 0x08;
    /// Linux 6.2 and later; for both families or none.
    pub const UDP: c_ulong = 0x20 | 0x40;
}

mod call {
    use nix::libc::{c_int, c_uint};

    // <linux/if_tun.h> defines it as _IOW('T', 208, unsigned int), but the argument is the number itself.
    nix::ioctl_write_int_bad!(set_offload, nix::request_code_write!(b'T', 208, size_of::<c_uint>()));
    nix::ioctl_write_ptr!(set_header_len, b'T', 216, c_int);
}

/// What the kernel may leave to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offloads {
    /// Nothing: every frame is one packet with its checksums.
    None,
    /// Checksums and rows of TCP segments.
    Tcp,
    /// The same and rows of UDP datagrams.
    TcpAndUdp,
}

/// Tells the kernel how long the header is.
pub(super) fn set_header_len(fd: BorrowedFd<'_>) -> io::Result<()> {
    let len = i32::try_from(LEN).expect("a header is short");
    // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel only reads the number behind the pointer.
    unsafe { call::set_header_len(fd.as_raw_fd(), &raw const len) }?;
    Ok(())
}

/// Tells the kernel what it may leave to us, or as much of it as the kernel knows; returns what that is.
pub(super) fn set_offloads(fd: BorrowedFd<'_>, wanted: Offloads) -> io::Result<Offloads> {
    let tcp = offer::CHECKSUM | offer::TCP | offer::TCP_ECN;
    let bits = match wanted {
        Offloads::None => 0,
        Offloads::Tcp => tcp,
        Offloads::TcpAndUdp => tcp | offer::UDP,
    };
    let bits = i32::try_from(bits).expect("the bits are low");
    // SAFETY: the descriptor is open for as long as it is borrowed, and the argument is a number.
    match unsafe { call::set_offload(fd.as_raw_fd(), bits) } {
        Ok(_) => Ok(wanted),
        Err(_) if wanted == Offloads::TcpAndUdp => set_offloads(fd, Offloads::Tcp),
        Err(error) => Err(error.into()),
    }
}

/// Reads a header. `None`: it says something that we did not offer to do.
pub(super) fn parse(header: [u8; LEN]) -> Option<Offload> {
    let [flags, kind, _, _, size @ .., s0, s1, o0, o1] = header;
    let checksum = (flags & NEEDS_CHECKSUM != 0)
        .then_some(Checksum { start: u16::from_ne_bytes([s0, s1]), offset: u16::from_ne_bytes([o0, o1]) });
    let kind = match kind & !gso::ECN {
        gso::NONE => None,
        gso::TCP_V4 | gso::TCP_V6 => Some(SegmentKind::Tcp),
        gso::UDP => Some(SegmentKind::Udp),
        _ => return None,
    };
    let segments = kind.map(|kind| Segments { kind, size: u16::from_ne_bytes(size) });
    Some(Offload { checksum, segments })
}

/// Writes the header of a frame. `None`: the offload does not fit the frame.
pub(super) fn emit(frame: &[u8], offload: Offload) -> Option<[u8; LEN]> {
    let mut header = [0; LEN];
    let Some(checksum) = offload.checksum else {
        // Without a checksum to complete there is nothing to be cut either.
        return offload.segments.is_none().then_some(header);
    };
    header[0] = NEEDS_CHECKSUM;
    header[6..8].copy_from_slice(&checksum.start.to_ne_bytes());
    header[8..10].copy_from_slice(&checksum.offset.to_ne_bytes());
    if let Some(segments) = offload.segments {
        let transport = frame.get(checksum.start.into()..)?;
        let (kind, len) = match (segments.kind, frame.get(14)? >> 4) {
            (SegmentKind::Tcp, version) => {
                // The offset of the data, and the flag that answers a mark of congestion.
                let (offset, flags) = (transport.get(12)?, transport.get(13)?);
                let kind = if version == 4 { gso::TCP_V4 } else { gso::TCP_V6 };
                (if flags & 0x80 == 0 { kind } else { kind | gso::ECN }, u16::from(offset >> 4) * 4)
            }
            (SegmentKind::Udp, _) => (gso::UDP, 8),
        };
        header[1] = kind;
        header[2..4].copy_from_slice(&checksum.start.checked_add(len)?.to_ne_bytes());
        header[4..6].copy_from_slice(&segments.size.to_ne_bytes());
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offload(kind: SegmentKind) -> Offload {
        let segments = Some(Segments { kind, size: 1368 });
        Offload { checksum: Some(Checksum { start: 34, offset: 16 }), segments }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut frame = [0; 100];
        (frame[14], frame[34 + 12]) = (0x45, 0x80);
        let only = Offload { segments: None, ..offload(SegmentKind::Tcp) };
        for offload in [Offload::default(), only, offload(SegmentKind::Tcp), offload(SegmentKind::Udp)] {
            assert_eq!(parse(emit(&frame, offload).unwrap()), Some(offload));
        }
    }

    #[test]
    fn it_says_what_the_kernel_wants_to_know() {
        let mut frame = [0; 100];
        (frame[14], frame[34 + 12], frame[34 + 13]) = (0x60, 0x80, 0x90);
        let header = emit(&frame, offload(SegmentKind::Tcp)).unwrap();
        assert_eq!((header[0], header[1]), (1, 4 | 0x80));
        let number = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        assert_eq!([number(2), number(4), number(6), number(8)], [34 + 32, 1368, 34, 16]);
    }

    #[test]
    fn an_offload_that_does_not_fit_is_refused() {
        let tcp = offload(SegmentKind::Tcp);
        assert_eq!(emit(&[0; 47], tcp), None, "no TCP header there");
        assert_eq!(emit(&[0; 100], Offload { checksum: None, ..tcp }), None);
        let mut header = emit(&[0; 100], tcp).unwrap();
        header[1] = 3;
        assert_eq!(parse(header), None, "fragments of UDP, which nobody offered");
    }
}

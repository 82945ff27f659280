//! What the kernel leaves to the other side of the interface, or we leave to the kernel: checksums that are not computed
//! yet, and packets that are longer than the MTU because they are a row of segments with one header (virtio 1.2 section
//! 5.1.6, the header that a TAP with `IFF_VNET_HDR` puts before each frame).
//!
//! - [`checksum`]: the Internet checksum, at the speed of the memory.
//! - [`segment`]: a frame that stands for several packets becomes those packets.
//! - [`coalesce`]: packets become frames that stand for several of them.
//!
//! Both ways are exact: what [`coalesce::Coalescer`] puts together, [`segment::Segmenter`] takes apart again to the byte.
//! Nothing here allocates per packet, and nothing trusts an offset that it has not compared with the frame.

pub mod checksum;
pub mod coalesce;
mod header;
pub mod segment;
#[cfg(test)]
mod testing;

pub use coalesce::Coalescer;
pub use segment::Segmenter;

/// What the offload says does not fit the frame that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an offload that does not fit its frame")]
pub struct Malformed;

/// A transport checksum that covers only the pseudo header so far. Whoever puts the packet on a wire completes it: the sum
/// from `start` to the end of the packet goes to `start + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// Where the transport header starts, in bytes from the start of the frame.
    pub start: u16,
    /// Where in the transport header the checksum is.
    pub offset: u16,
}

/// What a row of segments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// One TCP stream's, in order. IPv4 or IPv6 as the frame says.
    Tcp,
    /// UDP datagrams between the same two ports. IPv4 or IPv6 as the frame says.
    Udp,
}

/// A frame that stands for several packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// Of what.
    pub kind: SegmentKind,
    /// How much payload (past the TCP or UDP header) each has, in bytes; the last may have less.
    pub size: u16,
}

/// What comes along with a frame from or for the interface; by default nothing: one packet, its checksums in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// Its transport checksum is to be completed.
    pub checksum: Option<Checksum>,
    /// It is to be cut up.
    pub segments: Option<Segments>,
}

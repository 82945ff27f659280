//! The four messages of WireGuard on the wire. Integers are little-endian, the three reserved bytes are zero.
//!
//! The bodies that Noise makes ([`INIT_NOISE`] and [`RESPONSE_NOISE`] bytes) are fields of their own: another encoding of
//! the same handshake carries them, or what of them cannot be derived, without this framing.

/// Length of a handshake initiation.
pub const INIT_LEN: usize = 148;
/// Length of a handshake response.
pub const RESPONSE_LEN: usize = 92;
/// Length of a cookie reply.
pub const COOKIE_REPLY_LEN: usize = 64;
/// What precedes the ciphertext of a data message: type, receiver, counter.
pub const DATA_HEADER: usize = 16;
/// The shortest data message: an empty packet, a keepalive.
pub const KEEPALIVE_LEN: usize = DATA_HEADER + 16;
/// What Noise makes of an initiation: ephemeral key 32, encrypted static key 48, encrypted timestamp 28.
pub const INIT_NOISE: usize = 108;
/// What Noise makes of a response: ephemeral key 32, encrypted nothing 16.
pub const RESPONSE_NOISE: usize = 48;
/// Length of each of the two MACs that end a handshake message.
pub const MAC_LEN: usize = 16;
/// Length of a cookie reply's nonce.
pub const COOKIE_NONCE: usize = 24;
/// Length of a cookie with its tag.
pub const SEALED_COOKIE: usize = 32;
/// Packets are padded with zeros to a multiple of this many bytes.
pub const PADDING: usize = 16;

const INIT: u8 = 1;
const RESPONSE: u8 = 2;
const COOKIE_REPLY: u8 = 3;
const DATA: u8 = 4;

/// The bytes are no message of WireGuard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message of the WireGuard protocol")]
pub struct Malformed;

/// A message, as a view of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Somebody wants a session.
    Init(Init),
    /// And gets it.
    Response(Response),
    /// Or has to show first that it is where it says.
    CookieReply(CookieReply),
    /// A sealed packet.
    Data(Data<'a>),
}

/// The first message of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// The initiator's index of the session.
    pub sender: u32,
    /// What Noise made.
    pub noise: [u8; INIT_NOISE],
    /// Proves that the sender knows whom it speaks to.
    pub mac1: [u8; MAC_LEN],
    /// Proves that the sender receives what is sent to its address; zeros if it has no cookie.
    pub mac2: [u8; MAC_LEN],
}

/// The second message of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// The responder's index of the session.
    pub sender: u32,
    /// The initiator's, from its initiation.
    pub receiver: u32,
    /// What Noise made.
    pub noise: [u8; RESPONSE_NOISE],
    /// As in [`Init`].
    pub mac1: [u8; MAC_LEN],
    /// As in [`Init`].
    pub mac2: [u8; MAC_LEN],
}

/// The answer of a host under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieReply {
    /// The index that the message which is answered has as its sender.
    pub receiver: u32,
    /// Drawn at random.
    pub nonce: [u8; COOKIE_NONCE],
    /// The cookie, sealed.
    pub cookie: [u8; SEALED_COOKIE],
}

/// A sealed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// The receiver's index of the session.
    pub receiver: u32,
    /// The nonce.
    pub counter: u64,
    /// Ciphertext and tag, at least 16 bytes.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let ([kind, 0, 0, 0], rest) = bytes.split_first_chunk().ok_or(Malformed)? else {
            return Err(Malformed);
        };
        match (*kind, bytes.len()) {
            (INIT, INIT_LEN) => Init::read(rest).map(Self::Init),
            (RESPONSE, RESPONSE_LEN) => Response::read(rest).map(Self::Response),
            (COOKIE_REPLY, COOKIE_REPLY_LEN) => CookieReply::read(rest).map(Self::CookieReply),
            (DATA, KEEPALIVE_LEN..) => Data::read(rest).map(Self::Data),
            _ => None,
        }
        .ok_or(Malformed)
    }
}

/// Takes the next `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

/// Writes parts in a row.
fn join<const N: usize>(kind: u8, parts: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[0] = kind;
    let mut at = 4;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N);
    bytes
}

impl Init {
    fn read(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let sender = u32::from_le_bytes(take(rest)?);
        Some(Self { sender, noise: take(rest)?, mac1: take(rest)?, mac2: take(rest)? })
    }

    /// Writes the message.
    #[must_use]
    pub fn emit(&self) -> [u8; INIT_LEN] {
        join(INIT, &[&self.sender.to_le_bytes(), &self.noise, &self.mac1, &self.mac2])
    }
}

impl Response {
    fn read(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let (sender, receiver) = (u32::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?));
        Some(Self { sender, receiver, noise: take(rest)?, mac1: take(rest)?, mac2: take(rest)? })
    }

    /// Writes the message.
    #[must_use]
    pub fn emit(&self) -> [u8; RESPONSE_LEN] {
        let (sender, receiver) = (self.sender.to_le_bytes(), self.receiver.to_le_bytes());
        join(RESPONSE, &[&sender, &receiver, &self.noise, &self.mac1, &self.mac2])
    }
}

impl CookieReply {
    fn read(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        Some(Self { receiver: u32::from_le_bytes(take(rest)?), nonce: take(rest)?, cookie: take(rest)? })
    }

    /// Writes the message.
    #[must_use]
    pub fn emit(&self) -> [u8; COOKIE_REPLY_LEN] {
        join(COOKIE_REPLY, &[&self.receiver.to_le_bytes(), &self.nonce, &self.cookie])
    }
}

impl<'a> Data<'a> {
    fn read(mut rest: &'a [u8]) -> Option<Self> {
        let receiver = u32::from_le_bytes(take(&mut rest)?);
        Some(Self { receiver, counter: u64::from_le_bytes(take(&mut rest)?), body: rest })
    }

    /// Writes what precedes the ciphertext.
    #[must_use]
    pub fn header(receiver: u32, counter: u64) -> [u8; DATA_HEADER] {
        join(DATA, &[&receiver.to_le_bytes(), &counter.to_le_bytes()])
    }

    /// Writes the message. Whoever has a buffer with room writes [`Self::header`] before what it seals in place instead.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        [&Self::header(self.receiver, self.counter), self.body].concat()
    }
}

/// Returns how long a packet of `len` bytes is with its padding, which never makes it longer than the `mtu` of the
/// interface, if it was not longer before.
#[must_use]
pub const fn padded(len: usize, mtu: usize) -> usize {
    let whole = len.next_multiple_of(PADDING);
    if whole <= mtu {
        whole
    } else if len < mtu {
        mtu
    } else {
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_as_the_same() {
        let init = Init { sender: 7, noise: [1; INIT_NOISE], mac1: [2; 16], mac2: [3; 16] };
        assert_eq!(Message::parse(&init.emit()), Ok(Message::Init(init)));
        let response =
            Response { sender: 7, receiver: 8, noise: [1; RESPONSE_NOISE], mac1: [2; 16], mac2: [3; 16] };
        assert_eq!(Message::parse(&response.emit()), Ok(Message::Response(response)));
        let reply = CookieReply { receiver: 8, nonce: [4; 24], cookie: [5; 32] };
        assert_eq!(Message::parse(&reply.emit()), Ok(Message::CookieReply(reply)));
        let data = Data { receiver: 9, counter: u64::MAX, body: &[6; 16] };
        assert_eq!(Message::parse(&data.emit()), Ok(Message::Data(data)));
    }

    #[test]
    fn other_lengths_types_and_reserved_bytes_are_refused() {
        let init = Init { sender: 7, noise: [1; INIT_NOISE], mac1: [2; 16], mac2: [3; 16] }.emit();
        for len in 0..INIT_LEN {
            assert_eq!(Message::parse(&init[..len]), Err(Malformed), "{len}");
        }
        for at in 0..4 {
            let mut other = init;
            other[at] ^= 0x10;
            assert_eq!(Message::parse(&other), Err(Malformed), "byte {at}");
        }
        assert_eq!(Message::parse(&Data { receiver: 9, counter: 0, body: &[6; 15] }.emit()), Err(Malformed));
    }

    #[test]
    fn padding_fills_up_to_sixteen_and_never_beyond_the_interface() {
        assert_eq!([0, 1, 16, 17, 84].map(|len| padded(len, 1420)), [0, 16, 16, 32, 96]);
        assert_eq!(padded(1417, 1420), 1420);
        assert_eq!(padded(1420, 1420), 1420);
        assert_eq!(padded(1430, 1420), 1430);
    }
}

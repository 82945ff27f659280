//! The four datagrams and their bytes. Integers are little-endian.

/// Length of a handshake init.
pub const INIT_LEN: usize = 53;
/// Length of a handshake response.
pub const RESPONSE_LEN: usize = 57;
/// What precedes the ciphertext of a TransportData: type and counter.
pub const DATA_HEADER: usize = 9;
/// What precedes the chunk of a fragment: type, message id, index, total.
pub const FRAGMENT_HEADER: usize = 5;
/// Length of a handshake MAC.
pub const MAC_LEN: usize = 16;

const INIT: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 3;
const FRAGMENT: u8 = 4;

/// A datagram, as a view of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// Somebody wants a session.
    Init(Init),
    /// And gets it.
    Response(Response),
    /// A sealed frame.
    Data(Data<'a>),
    /// A piece of one.
    Fragment(Fragment<'a>),
}

/// The first message of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// The initiator's name for the session.
    pub session: u32,
    /// The initiator's ephemeral public key.
    pub ephemeral: [u8; 32],
    /// Proves knowledge of the two static keys' shared secret.
    pub mac: [u8; MAC_LEN],
}

/// The second message of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// The responder's name for the session.
    pub sender: u32,
    /// The initiator's, from its init.
    pub receiver: u32,
    /// The responder's ephemeral public key.
    pub ephemeral: [u8; 32],
    /// Proves knowledge of all three shared secrets.
    pub mac: [u8; MAC_LEN],
}

/// A sealed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// The nonce.
    pub counter: u64,
    /// Ciphertext and tag, at least one byte.
    pub ciphertext: &'a [u8],
}

/// A piece of `counter ‖ ciphertext`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Which message it is of.
    pub message: u16,
    /// Which piece, from 0.
    pub index: u8,
    /// Of how many, at least 1 and more than `index`.
    pub total: u8,
    /// The bytes.
    pub chunk: &'a [u8],
}

/// The bytes are no datagram of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version 1 datagram")]
pub struct Malformed;

impl<'a> Datagram<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// If the type is unknown, the length is wrong for it, or a fragment's index contradicts its total.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&kind, rest) = bytes.split_first().ok_or(Malformed)?;
        match kind {
            INIT => Init::parse(rest).map(Self::Init),
            RESPONSE => Response::parse(rest).map(Self::Response),
            DATA => {
                let (counter, ciphertext) = rest.split_first_chunk().ok_or(Malformed)?;
                if ciphertext.is_empty() {
                    return Err(Malformed);
                }
                Ok(Self::Data(Data { counter: u64::from_le_bytes(*counter), ciphertext }))
            }
            FRAGMENT => Fragment::parse(rest).map(Self::Fragment),
            _ => Err(Malformed),
        }
    }
}

impl Init {
    fn parse(rest: &[u8]) -> Result<Self, Malformed> {
        let rest: &[u8; INIT_LEN - 1] = rest.try_into().map_err(|_| Malformed)?;
        let (session, rest) = take::<4>(rest);
        let (ephemeral, mac) = take::<32>(rest);
        let mac = mac.try_into().map_err(|_| Malformed)?;
        Ok(Self { session: u32::from_le_bytes(session), ephemeral, mac })
    }

    /// Writes the datagram.
    #[must_use]
    pub fn emit(&self) -> [u8; INIT_LEN] {
        let mut out = [0; INIT_LEN];
        out[0] = INIT;
        out[1..5].copy_from_slice(&self.session.to_le_bytes());
        out[5..37].copy_from_slice(&self.ephemeral);
        out[37..].copy_from_slice(&self.mac);
        out
    }
}

impl Response {
    fn parse(rest: &[u8]) -> Result<Self, Malformed> {
        let rest: &[u8; RESPONSE_LEN - 1] = rest.try_into().map_err(|_| Malformed)?;
        let (sender, rest) = take::<4>(rest);
        let (receiver, rest) = take::<4>(rest);
        let (ephemeral, mac) = take::<32>(rest);
        let mac = mac.try_into().map_err(|_| Malformed)?;
        Ok(Self {
            sender: u32::from_le_bytes(sender),
            receiver: u32::from_le_bytes(receiver),
            ephemeral,
            mac,
        })
    }

    /// Writes the datagram.
    #[must_use]
    pub fn emit(&self) -> [u8; RESPONSE_LEN] {
        let mut out = [0; RESPONSE_LEN];
        out[0] = RESPONSE;
        out[1..5].copy_from_slice(&self.sender.to_le_bytes());
        out[5..9].copy_from_slice(&self.receiver.to_le_bytes());
        out[9..41].copy_from_slice(&self.ephemeral);
        out[41..].copy_from_slice(&self.mac);
        out
    }
}

impl Data<'_> {
    /// Writes the datagram.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DATA_HEADER + self.ciphertext.len());
        out.push(DATA);
        out.extend_from_slice(&self.counter.to_le_bytes());
        out.extend_from_slice(self.ciphertext);
        out
    }
}

impl<'a> Fragment<'a> {
    fn parse(rest: &'a [u8]) -> Result<Self, Malformed> {
        let (&[low, high, index, total], chunk) = rest.split_first_chunk().ok_or(Malformed)?;
        if index >= total {
            return Err(Malformed);
        }
        Ok(Self { message: u16::from_le_bytes([low, high]), index, total, chunk })
    }

    /// Writes the datagram.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAGMENT_HEADER + self.chunk.len());
        out.push(FRAGMENT);
        out.extend_from_slice(&self.message.to_le_bytes());
        out.extend_from_slice(&[self.index, self.total]);
        out.extend_from_slice(self.chunk);
        out
    }
}

/// Splits off an array whose presence the caller's length check guarantees.
fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = bytes.split_first_chunk().expect("the whole has been measured");
    (*head, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_parses_to_the_same() {
        let init = Init { session: 0x0102_0304, ephemeral: [5; 32], mac: [6; 16] };
        assert_eq!(Datagram::parse(&init.emit()), Ok(Datagram::Init(init)));
        let response = Response { sender: 1, receiver: 2, ephemeral: [3; 32], mac: [4; 16] };
        assert_eq!(Datagram::parse(&response.emit()), Ok(Datagram::Response(response)));
        let data = Data { counter: 9, ciphertext: &[1] };
        assert_eq!(Datagram::parse(&data.emit()), Ok(Datagram::Data(data)));
        let fragment = Fragment { message: 513, index: 1, total: 2, chunk: &[] };
        assert_eq!(Datagram::parse(&fragment.emit()), Ok(Datagram::Fragment(fragment)));
    }

    #[test]
    fn a_wrong_length_or_type_is_no_datagram() {
        let init = Init { session: 1, ephemeral: [5; 32], mac: [6; 16] }.emit();
        let mut longer = init.to_vec();
        longer.push(0);
        for bytes in
            [&init[..52], &longer, &[], &[0], &[5, 1], &[3, 0, 0, 0, 0, 0, 0, 0, 0], &[4, 0, 0, 0, 0]]
        {
            assert_eq!(Datagram::parse(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}

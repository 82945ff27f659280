//! Framing of the client API on TCP and serial lines alike: `94 C3`, a big-endian length, the message.
//!
//! A serial line also carries the device's text log between messages, and a reader may join in the middle: whatever is
//! no frame start is handed out as [`Piece::Text`] (or skipped), and a header that cannot be one (length over
//! [`MAX_LEN`]) makes the decoder hunt for the next start. A payload may itself contain `94 C3`: only the length
//! delimits. Memory is bounded by one frame.

/// First byte of a frame.
pub const START1: u8 = 0x94;
/// Second byte of a frame.
pub const START2: u8 = 0xc3;
/// The longest message that either side accepts (`StreamAPI`: 512).
pub const MAX_LEN: usize = 512;

/// A byte that is no frame start: it keeps the firmware polling fast, and wakes a sleeping serial port.
pub const FILLER: u8 = START2;

/// Frames a message for the stream.
///
/// # Panics
/// If `message` is longer than [`MAX_LEN`]; the caller has checked.
#[must_use]
pub fn frame(message: &[u8]) -> Vec<u8> {
    assert!(message.len() <= MAX_LEN, "a client API message of {} bytes", message.len());
    let len = u16::try_from(message.len()).expect("at most 512").to_be_bytes();
    let mut out = Vec::with_capacity(4 + message.len());
    out.extend_from_slice(&[START1, START2, len[0], len[1]]);
    out.extend_from_slice(message);
    out
}

/// What a [`Decoder`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A whole message.
    Message(Vec<u8>),
    /// A line of the device's text log, without its line end.
    Text(String),
}

/// Cuts a byte stream into [`Piece`]s.
#[derive(Debug, Default)]
pub struct Decoder {
    /// An unfinished frame, from its first byte; never more than a header and [`MAX_LEN`].
    partial: Vec<u8>,
    /// An unfinished line of text.
    line: Vec<u8>,
    skipped: u64,
}

/// A longer line of text is cut here: it is only ever shown.
const MAX_LINE: usize = 256;

impl Decoder {
    /// Returns how many bytes belonged to nothing so far.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Forgets an unfinished frame, as after a reconnect.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.line.clear();
    }

    /// Takes bytes and calls `found` for each piece that they complete.
    pub fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Piece)) {
        for &byte in bytes {
            self.push_byte(byte, &mut found);
        }
    }

    fn push_byte(&mut self, byte: u8, found: &mut impl FnMut(Piece)) {
        match self.partial.len() {
            0 if byte == START1 => self.partial.push(byte),
            0 => self.text(byte, found),
            1 if byte == START2 => self.partial.push(byte),
            1 => {
                self.partial.clear();
                self.skipped += 1;
                self.push_byte(byte, found);
            }
            2 => self.partial.push(byte),
            3 if usize::from(u16::from_be_bytes([self.partial[2], byte])) > MAX_LEN => {
                self.rehunt(byte, found);
            }
            _ => {
                self.partial.push(byte);
                let len = usize::from(u16::from_be_bytes([self.partial[2], self.partial[3]]));
                if self.partial.len() == 4 + len {
                    found(Piece::Message(self.partial.split_off(4)));
                    self.partial.clear();
                }
            }
        }
    }

    /// The header was none: what came after its first byte may hold the true start.
    fn rehunt(&mut self, byte: u8, found: &mut impl FnMut(Piece)) {
        let high = self.partial[2];
        self.skipped += 2;
        self.partial.clear();
        self.push_byte(high, found);
        self.push_byte(byte, found);
    }

    fn text(&mut self, byte: u8, found: &mut impl FnMut(Piece)) {
        let printable = byte == b'\t' || byte == 0x1b || (b' '..0x7f).contains(&byte);
        if printable {
            self.line.push(byte);
        } else if byte != b'\n' && byte != b'\r' {
            self.skipped += 1;
        }
        if !self.line.is_empty() && (byte == b'\n' || self.line.len() == MAX_LINE) {
            let line = std::mem::take(&mut self.line);
            found(Piece::Text(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut decoder = Decoder::default();
        decoder.push(bytes, |piece| pieces.push(piece));
        pieces
    }

    #[test]
    fn what_is_framed_comes_back_byte_by_byte() {
        let message: Vec<u8> = (0..=255).chain(0..=255).collect();
        assert_eq!(decode(&frame(&message)), [Piece::Message(message)]);
        assert_eq!(decode(&frame(&[])), [Piece::Message(Vec::new())]);
    }

    #[test]
    fn a_frame_start_inside_a_payload_is_payload() {
        let message = [1, START1, START2, 0, 2, 9, START1];
        assert_eq!(decode(&frame(&message)), [Piece::Message(message.to_vec())]);
    }

    #[test]
    fn garbage_and_log_text_between_frames_lose_no_frame() {
        let mut bytes = vec![START1, START1, 0x00, START1, START2, 0xff, START1];
        bytes.truncate(6); // a header with an impossible length
        bytes.extend(b"INFO | booting\r\n");
        bytes.extend(frame(b"one"));
        bytes.extend([FILLER; 4]);
        bytes.extend(frame(b"two"));
        let pieces = decode(&bytes);
        let messages: Vec<_> = pieces.iter().filter(|piece| matches!(piece, Piece::Message(_))).collect();
        assert_eq!(messages, [&Piece::Message(b"one".to_vec()), &Piece::Message(b"two".to_vec())]);
    }

    #[test]
    fn an_impossible_length_that_hides_a_start_does_not_hide_the_frame() {
        let mut bytes = vec![START1, START2];
        bytes.extend(frame(b"x"));
        assert_eq!(decode(&bytes), [Piece::Message(b"x".to_vec())]);
    }

    #[test]
    fn endless_text_takes_no_memory() {
        let pieces = decode(&vec![b'a'; 10_000]);
        assert_eq!(pieces.len(), 10_000 / MAX_LINE);
    }
}

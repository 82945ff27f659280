//! The state file: what a node must not forget when it restarts.
//!
//! Text, a line each, so that an operator can read it:
//!
//! ```text
//! meshnet-state 1
//! counters <lower or upper> <end of those given out>
//! symmetric <public key> <end of those given out> <first>-<highest>,... <name of the preshared key>
//! mac <public key> <twelve hexadecimal digits>
//! handshakes <public key> <end of our timestamps> <the peer's last timestamp>
//! ```
//!
//! Timestamps are those of WireGuard's initiations (TAI64N), in 24 hexadecimal digits, or `-` if there is none. Older files
//! have no `counters`, no names of keys, and no `handshakes`. Lines that make no sense are counted and left out; nothing secret
//! is in it.

use std::fmt::Write as _;

use crate::frame::Mac;
use crate::key::PublicKey;
use crate::v1::symmetric::KeyName;
use crate::wg::tai64n::Tai64n;
use crate::wg::tunnel::Stamps;

const HEADER: &str = "meshnet-state 1";

/// A line of the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// How far the counters of symmetric keys were given out.
    Counters {
        /// In which half of the range.
        upper: bool,
        /// None of it below this may be used again.
        reserved: u64,
    },
    /// Counters of a symmetric peer.
    Symmetric {
        /// Which peer.
        peer: PublicKey,
        /// No counter below this may be used again in the half of the range that is for this peer.
        reserved: u64,
        /// Runs of counters that were seen.
        seen: Vec<(u64, u64)>,
        /// Under which key; the peer's, whichever it is, if nothing is said.
        name: Option<KeyName>,
    },
    /// The MAC address of a version 1 peer.
    Mac {
        /// Which peer.
        peer: PublicKey,
        /// Its address.
        mac: Mac,
    },
    /// The timestamps of a WIREGUARD peer's handshakes.
    Handshakes {
        /// Which peer.
        peer: PublicKey,
        /// None of ours up to `sent` may be used again, none of the peer's up to `received` answered.
        stamps: Stamps,
    },
}

/// Writes the file.
pub(super) fn emit(lines: &[Line]) -> Vec<u8> {
    let mut out = format!("{HEADER}\n");
    for line in lines {
        match line {
            Line::Counters { upper, reserved } => {
                let half = if *upper { "upper" } else { "lower" };
                let _infallible = write!(out, "counters {half} {reserved}");
            }
            Line::Symmetric { peer, reserved, seen, name } => {
                let _infallible = write!(out, "symmetric {peer} {reserved} ");
                let runs: Vec<_> = seen.iter().map(|(first, highest)| format!("{first}-{highest}")).collect();
                out.push_str(&runs.join(","));
                if let Some(name) = name {
                    out.push(' ');
                    push_hex(&mut out, name);
                }
            }
            Line::Mac { peer, mac } => {
                let _infallible = write!(out, "mac {peer} ");
                push_hex(&mut out, mac);
            }
            Line::Handshakes { peer, stamps } => {
                let _infallible = write!(out, "handshakes {peer}");
                for stamp in [stamps.sent, stamps.received] {
                    out.push(' ');
                    match stamp {
                        Some(stamp) => push_hex(&mut out, stamp.as_bytes()),
                        None => out.push('-'),
                    }
                }
            }
        }
        out.push('\n');
    }
    out.into_bytes()
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _infallible = write!(out, "{byte:02x}");
    }
}

/// Reads the file; returns its lines and how many made no sense.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Line>, usize) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return (Vec::new(), usize::from(!bytes.is_empty()));
    }
    let (mut known, mut unknown) = (Vec::new(), 0);
    for line in lines {
        match parse_line(line) {
            Some(line) => known.push(line),
            None => unknown += 1,
        }
    }
    (known, unknown)
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let (kind, whose) = (words.next()?, words.next()?);
    match kind {
        "counters" => {
            let upper = match whose {
                "lower" => false,
                "upper" => true,
                _ => return None,
            };
            Some(Line::Counters { upper, reserved: words.next()?.parse().ok()? })
        }
        "symmetric" => {
            let reserved = words.next()?.parse().ok()?;
            let runs = words.next()?.split(',').filter(|run| !run.is_empty());
            let seen = runs.map(parse_run).collect::<Option<_>>()?;
            let name = words.next().map(|digits| parse_hex(digits).ok_or(())).transpose().ok()?;
            Some(Line::Symmetric { peer: whose.parse().ok()?, reserved, seen, name })
        }
        "mac" => Some(Line::Mac { peer: whose.parse().ok()?, mac: parse_hex(words.next()?)? }),
        "handshakes" => {
            let (sent, received) = (parse_stamp(words.next()?)?, parse_stamp(words.next()?)?);
            Some(Line::Handshakes { peer: whose.parse().ok()?, stamps: Stamps { sent, received } })
        }
        _ => None,
    }
}

/// A timestamp, or the sign that there is none.
#[expect(clippy::option_option, reason = "what makes no sense is another thing than what is not there")]
fn parse_stamp(word: &str) -> Option<Option<Tai64n>> {
    if word == "-" { Some(None) } else { parse_hex(word).map(|bytes| Some(Tai64n::from_bytes(bytes))) }
}

fn parse_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn parse_run(run: &str) -> Option<(u64, u64)> {
    let (first, highest) = run.split_once('-')?;
    Some((first.parse().ok()?, highest.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_file() {
        let peer = PublicKey::from_bytes([7; 32]);
        let lines = vec![
            Line::Counters { upper: false, reserved: 0 },
            Line::Counters { upper: true, reserved: u64::MAX },
            Line::Symmetric { peer, reserved: u64::MAX, seen: vec![(1, 2), (5, 500)], name: None },
            Line::Symmetric { peer, reserved: 0, seen: Vec::new(), name: Some([0, 1, 2, 3, 4, 5, 6, 0xff]) },
            Line::Mac { peer, mac: [2, 0xab, 0, 1, 2, 3] },
            Line::Handshakes { peer, stamps: Stamps::default() },
            Line::Handshakes {
                peer,
                stamps: Stamps {
                    sent: Some(Tai64n::from_unix(std::time::Duration::from_secs(1_700_000_000))),
                    received: Some(Tai64n::from_bytes([0xff; 12])),
                },
            },
        ];
        assert_eq!(parse(&emit(&lines)), (lines, 0));
    }

    #[test]
    fn a_damaged_line_costs_itself_alone() {
        let peer = PublicKey::from_bytes([7; 32]);
        let text = format!(
            "{HEADER}\nsymmetric {peer} x\ncounters middle 7\nsymmetric {peer} 0 1-2 xy\nmac {peer} 02ab00010203\nmac \
             {peer} é\n\u{0}"
        );
        assert_eq!(parse(text.as_bytes()), (vec![Line::Mac { peer, mac: [2, 0xab, 0, 1, 2, 3] }], 5));
        assert_eq!(parse(b"something else").0, []);
        for stamps in ["", "-", "- ", "- 12", "00 -", "- 4000000065e53f000000000g"] {
            let text = format!("{HEADER}\nhandshakes {peer} {stamps}\n");
            assert_eq!(parse(text.as_bytes()), (Vec::new(), 1), "{stamps}");
        }
    }
}

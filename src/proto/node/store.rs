//! The state file: what a node must not forget when it restarts.
//!
//! Text, a line each, so that an operator can read it:
//!
//! ```text
//! meshnet-state 1
//! symmetric <public key> <end of reserved counters> <first>-<highest>,...
//! mac <public key> <twelve hexadecimal digits>
//! ```
//!
//! Lines that make no sense are counted and left out; nothing secret is in it.

use std::fmt::Write as _;

use crate::frame::Mac;
use crate::key::PublicKey;

const HEADER: &str = "meshnet-state 1";

/// A line of the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Counters of a symmetric peer.
    Symmetric {
        /// Which peer.
        peer: PublicKey,
        /// No counter below this may be used again.
        reserved: u64,
        /// Runs of counters that were seen.
        seen: Vec<(u64, u64)>,
    },
    /// The MAC address of a version 1 peer.
    Mac {
        /// Which peer.
        peer: PublicKey,
        /// Its address.
        mac: Mac,
    },
}

/// Writes the file.
pub(super) fn emit(lines: &[Line]) -> Vec<u8> {
    let mut out = format!("{HEADER}\n");
    for line in lines {
        match line {
            Line::Symmetric { peer, reserved, seen } => {
                let _infallible = write!(out, "symmetric {peer} {reserved} ");
                let runs: Vec<_> = seen.iter().map(|(first, highest)| format!("{first}-{highest}")).collect();
                out.push_str(&runs.join(","));
            }
            Line::Mac { peer, mac } => {
                let _infallible = write!(out, "mac {peer} ");
                mac.iter().for_each(|byte| {
                    let _infallible = write!(out, "{byte:02x}");
                });
            }
        }
        out.push('\n');
    }
    out.into_bytes()
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
    let (kind, peer) = (words.next()?, words.next()?.parse().ok()?);
    match kind {
        "symmetric" => {
            let reserved = words.next()?.parse().ok()?;
            let runs = words.next()?.split(',').filter(|run| !run.is_empty());
            let seen = runs.map(parse_run).collect::<Option<_>>()?;
            Some(Line::Symmetric { peer, reserved, seen })
        }
        "mac" => {
            let digits = words.next().filter(|digits| digits.len() == 12 && digits.is_ascii())?;
            let mut mac = [0; 6];
            for (byte, at) in mac.iter_mut().zip((0..12).step_by(2)) {
                *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
            }
            Some(Line::Mac { peer, mac })
        }
        _ => None,
    }
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
            Line::Symmetric { peer, reserved: u64::MAX, seen: vec![(1, 2), (5, 500)] },
            Line::Symmetric { peer, reserved: 0, seen: Vec::new() },
            Line::Mac { peer, mac: [2, 0xab, 0, 1, 2, 3] },
        ];
        assert_eq!(parse(&emit(&lines)), (lines, 0));
    }

    #[test]
    fn a_damaged_line_costs_itself_alone() {
        let peer = PublicKey::from_bytes([7; 32]);
        let text = format!("{HEADER}\nsymmetric {peer} x\nmac {peer} 02ab00010203\nmac {peer} é\n\u{0}");
        assert_eq!(parse(text.as_bytes()), (vec![Line::Mac { peer, mac: [2, 0xab, 0, 1, 2, 3] }], 3));
        assert_eq!(parse(b"something else").0, []);
    }
}

//! Which TCP segments say again what others say: compared by the sequence numbers that they cover, as a sender whose path
//! has changed cuts what it repeats into other lengths than before.
//!
//! Invariant: no number is dropped that does not wait, or has not left, in another segment.

use std::collections::VecDeque;

use super::Entry;
use crate::event::DropReason;
use crate::frame::{Tcp, tcp_flag};

/// Returns a segment that is to wait, unless what waits says all of it already; where it says all that some of them say, it
/// takes their place.
pub(super) fn merge(
    waiting: &mut VecDeque<Entry>,
    entry: Entry,
    dropped: &mut impl FnMut(DropReason),
) -> Option<Entry> {
    let Some(tcp) = entry.tcp.filter(|tcp| tcp.length > 0) else { return Some(entry) };
    // What left once is older than what its sender sent since.
    let is_older = |other: &Entry| entry.original.is_some() && other.original.is_none();
    let is_said = |other: &Entry| !is_older(other) && other.tcp.is_some_and(|other| covers(&tcp, &other));
    if let Some(first) = waiting.iter().position(is_said) {
        // The newer copy bears the newer acknowledgement and timestamp, and its sender still wants it sent.
        let (before, mut at) = (waiting.len(), 0);
        waiting.retain(|other| {
            at += 1;
            at - 1 <= first || !is_said(other)
        });
        (waiting.len()..=before).for_each(|_| dropped(DropReason::TcpDuplicate));
        waiting[first] = entry;
        return None;
    }
    let others = || waiting.iter().filter_map(|other| other.tcp);
    let alone = others().any(|other| covers(&other, &tcp));
    let plain = |tcp: &Tcp| tcp.flags & (tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST) == 0;
    let together = || are_covered(span(&tcp), || others().filter(plain).map(|other| span(&other)));
    // An acknowledgement that nothing else brings is worth a copy.
    let is_news = entry.original.is_none() && others().all(|other| tcp.acknowledges_more_than(&other));
    if is_news || !(alone || plain(&tcp) && together()) {
        return Some(entry);
    }
    for other in waiting.iter_mut() {
        if other.tcp.is_some_and(|other| overlap(span(&other), span(&tcp))) {
            other.expires = other.expires.max(entry.expires);
        }
    }
    dropped(DropReason::TcpDuplicate);
    None
}

/// The first sequence number of a segment, and how many it takes.
const fn span(tcp: &Tcp) -> (u32, u32) {
    (tcp.sequence, tcp.length)
}

/// Returns whether every number of a span is in one of the others.
pub(super) fn are_covered<I: Iterator<Item = (u32, u32)>>(
    (start, length): (u32, u32),
    others: impl Fn() -> I,
) -> bool {
    let mut covered = 0;
    while covered < length {
        // How far those go that contain the first number not covered yet.
        let next = start.wrapping_add(covered);
        let reach = |(first, length): (u32, u32)| length.saturating_sub(next.wrapping_sub(first));
        match others().map(reach).max() {
            None | Some(0) => return false,
            Some(more) => covered = covered.saturating_add(more),
        }
    }
    true
}

/// Whether one segment says all that another says that takes sequence space: also where connections begin and end.
fn covers(whole: &Tcp, part: &Tcp) -> bool {
    let offset = part.sequence.wrapping_sub(whole.sequence);
    let Some(rest) = whole.length.checked_sub(offset).and_then(|rest| rest.checked_sub(part.length)) else {
        return false;
    };
    let has = |tcp: &Tcp, flag: u8| tcp.flags & flag != 0;
    part.length > 0
        && has(part, tcp_flag::RST) == has(whole, tcp_flag::RST)
        && has(part, tcp_flag::SYN) == (has(whole, tcp_flag::SYN) && offset == 0)
        && has(part, tcp_flag::FIN) == (has(whole, tcp_flag::FIN) && rest == 0)
}

const fn overlap(a: (u32, u32), b: (u32, u32)) -> bool {
    b.0.wrapping_sub(a.0) < a.1 || a.0.wrapping_sub(b.0) < b.1
}

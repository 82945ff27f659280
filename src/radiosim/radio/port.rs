//! The client port: who is connected, and when the firmware looks.
//!
//! The firmware does not wait for bytes, it polls: every 5 ms if a byte came in the last two seconds, every 250 ms
//! otherwise, and a TCP listener every 100 ms. Reading and writing happen in the same poll; only a serial port is also
//! written to at once. The polls are not simulated one by one: [`Grid`] says when the next one is, and nothing happens
//! in those that find nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use meshnet_proto::meshtastic::stream::Decoder;

/// Between polls after recent input.
const FAST: Duration = Duration::from_millis(5);
/// Between polls otherwise.
const SLOW: Duration = Duration::from_millis(250);
/// How long input counts as recent.
const RECENT: Duration = Duration::from_secs(2);
/// What a turn of the firmware's main loop takes; measured polls are 1 to 3 ms longer than their nominal interval.
const WORK: Duration = Duration::from_millis(1);
/// Between looks for a new TCP client.
pub(crate) const ACCEPT: Duration = Duration::from_millis(100);
/// A client that says nothing for longer is dropped.
pub(crate) const SILENCE: Duration = Duration::from_secs(15 * 60);
/// What the radio writes before the host has to read: the order of a small TCP stack's send buffer.
const SEND_BUFFER: usize = 16 * 1024;
/// What the host writes before the radio has to read.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// How a host reaches its radio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// One client at a time, evicted by the next.
    #[default]
    Tcp,
    /// A line that is always there; it carries the text log as well.
    Serial,
}

/// One connection of a host to a radio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    pub(crate) radio: usize,
    pub(crate) number: u64,
}

/// What a radio does to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOutput {
    /// It sends bytes.
    Bytes(Vec<u8>),
    /// It closes; nothing follows.
    Closed,
}

/// When the firmware polls.
#[derive(Debug)]
pub(crate) struct Grid {
    next: Instant,
    fast_until: Instant,
}

impl Grid {
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now, fast_until: now }
    }

    /// Returns the first poll at or after `now`.
    pub(crate) fn at(&mut self, now: Instant) -> Instant {
        self.skip(now.min(self.fast_until), FAST + WORK);
        self.skip(now, SLOW + WORK);
        self.next
    }

    /// A poll was made; it found bytes, or not.
    pub(crate) fn polled(&mut self, found: bool, now: Instant) {
        if found {
            self.fast_until = now + RECENT;
            self.next = now + WORK;
        } else {
            self.next = now + WORK + if now < self.fast_until { FAST } else { SLOW };
        }
    }

    /// Passes over the polls before `until`.
    fn skip(&mut self, until: Instant, step: Duration) {
        let behind = until.saturating_duration_since(self.next);
        let steps = behind.as_nanos().div_ceil(step.as_nanos());
        self.next += Duration::from_nanos(u64::try_from(steps * step.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// A connection as the network stack sees it.
#[derive(Debug, Default)]
struct Pipe {
    input: Vec<u8>,
    output: VecDeque<u8>,
    closed: bool,
    /// The host has closed its side.
    gone: bool,
}

/// The connection that the firmware serves.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ClientId,
    pub(crate) decoder: Decoder,
    pub(crate) grid: Grid,
    /// The poll that will find something to do.
    pub(crate) due: Option<Instant>,
    /// The host has asked for the configuration: before that, nothing is sent.
    pub(crate) talking: bool,
    /// A valid message has come in: from then on a serial port carries messages.
    pub(crate) greeted: bool,
    /// The configuration that is still to be sent.
    pub(crate) config: VecDeque<Vec<u8>>,
    pub(crate) heartbeat: bool,
    pub(crate) last_contact: Instant,
    /// Packet numbers that this host used lately.
    pub(crate) recent: VecDeque<u32>,
    /// When this host last sent on a rate-limited port.
    pub(crate) last_on_port: BTreeMap<u32, Instant>,
    /// The network between here and the host swallows everything.
    pub(crate) stalled: bool,
    pub(crate) next_message: u32,
}

/// A radio's client port.
#[derive(Debug, Default)]
pub(crate) struct Port {
    pipes: BTreeMap<ClientId, Pipe>,
    waiting: VecDeque<(ClientId, Instant)>,
    pub(crate) session: Option<Session>,
    pub(crate) transport: Transport,
    /// Clients with something to take away.
    ready: BTreeSet<ClientId>,
}

impl Port {
    /// A client knocks; a serial line is there at once.
    pub(crate) fn connect(&mut self, id: ClientId, transport: Transport, boot: Instant, now: Instant) {
        self.transport = transport;
        self.pipes.insert(id, Pipe::default());
        match transport {
            Transport::Serial => self.serve(id, now),
            Transport::Tcp => {
                let ticks = now.saturating_duration_since(boot).as_nanos().div_ceil(ACCEPT.as_nanos());
                let tick = boot + ACCEPT * u32::try_from(ticks).unwrap_or(u32::MAX);
                // One look takes in one client.
                let at = self.waiting.back().map_or(tick, |(_, last)| tick.max(*last + ACCEPT));
                self.waiting.push_back((id, at));
            }
        }
    }

    /// The host has closed its side. What it sent before is still read: it lies in the socket's buffer.
    pub(crate) fn disconnect(&mut self, id: ClientId) {
        let serves = self.session.as_ref().is_some_and(|session| session.id == id && !session.stalled);
        let comes = self.waiting.iter().any(|(waiting, _)| *waiting == id);
        match self.pipes.get_mut(&id) {
            Some(pipe) if (serves || comes) && !pipe.input.is_empty() => pipe.gone = true,
            _ => self.forget(id),
        }
    }

    fn forget(&mut self, id: ClientId) {
        self.pipes.remove(&id);
        self.ready.remove(&id);
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.session.take_if(|session| session.id == id);
    }

    /// Ends the session of a host that has gone, once all that it sent is read.
    pub(crate) fn forget_gone(&mut self) {
        let Some(id) = self.session.as_ref().map(|session| session.id) else { return };
        if self.pipes.get(&id).is_none_or(|pipe| pipe.gone) {
            self.forget(id);
        }
    }

    /// Takes bytes from the host, which wait for the next poll; returns how many there was room for.
    pub(crate) fn receive(&mut self, id: ClientId, bytes: &[u8], now: Instant) -> usize {
        let Some(pipe) = self.pipes.get_mut(&id) else { return bytes.len() };
        let taken = bytes.len().min(RECEIVE_BUFFER - pipe.input.len());
        pipe.input.extend_from_slice(&bytes[..taken]);
        if let Some(session) = self.session.as_mut().filter(|session| session.id == id) {
            session.wake(now);
        }
        taken
    }

    /// Returns how many bytes of this client the firmware has not yet read.
    pub(crate) fn unread(&self, id: ClientId) -> usize {
        self.pipes.get(&id).map_or(0, |pipe| pipe.input.len())
    }

    /// Takes what the host sent since the last poll.
    pub(crate) fn take_input(&mut self) -> Vec<u8> {
        let id = self.session.as_ref().map(|session| session.id);
        id.and_then(|id| self.pipes.get_mut(&id))
            .map(|pipe| std::mem::take(&mut pipe.input))
            .unwrap_or_default()
    }

    /// Sends bytes to the session's host.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let Some(id) = self.session.as_ref().map(|session| session.id) else { return };
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.output.extend(bytes);
            self.ready.insert(id);
        }
    }

    /// True while the session's host reads.
    pub(crate) fn has_room(&self) -> bool {
        let pipe = self.session.as_ref().and_then(|session| self.pipes.get(&session.id));
        pipe.is_some_and(|pipe| pipe.output.len() < SEND_BUFFER)
    }

    /// Returns what the radio did to a connection.
    pub(crate) fn poll(&mut self, id: ClientId, now: Instant) -> Option<ClientOutput> {
        let pipe = self.pipes.get_mut(&id)?;
        if !pipe.output.is_empty() {
            let was_full = pipe.output.len() >= SEND_BUFFER;
            let bytes = std::mem::take(&mut pipe.output).into();
            if let Some(session) = self.session.as_mut().filter(|session| was_full && session.id == id) {
                session.wake(now);
            }
            return Some(ClientOutput::Bytes(bytes));
        }
        self.ready.remove(&id);
        if pipe.closed {
            self.pipes.remove(&id);
            return Some(ClientOutput::Closed);
        }
        None
    }

    /// Returns a connection that has something to be polled for.
    pub(crate) fn poll_ready(&mut self) -> Option<ClientId> {
        self.ready.pop_first()
    }

    pub(crate) fn next_accept(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, at)| *at)
    }

    /// Serves the client that waits longest, and throws out the one before.
    pub(crate) fn accept_due(&mut self, now: Instant) {
        while self.next_accept().is_some_and(|at| at <= now) {
            if let Some((id, _)) = self.waiting.pop_front() {
                self.close();
                self.serve(id, now);
            }
        }
    }

    /// Closes the session.
    pub(crate) fn close(&mut self) {
        let Some(session) = self.session.take() else { return };
        if session.stalled {
            // The FIN is swallowed as well.
            return;
        }
        self.hang_up(session.id);
    }

    /// Closes everything, as a reset does.
    pub(crate) fn close_all(&mut self) {
        self.close();
        for (id, _) in std::mem::take(&mut self.waiting) {
            self.hang_up(id);
        }
    }

    /// Turns a client away before it was served.
    pub(crate) fn refuse(&mut self, id: ClientId) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.hang_up(id);
    }

    fn hang_up(&mut self, id: ClientId) {
        match self.pipes.get_mut(&id) {
            Some(pipe) if !pipe.gone => {
                pipe.closed = true;
                self.ready.insert(id);
            }
            _ => self.forget(id),
        }
    }

    pub(crate) fn serve(&mut self, id: ClientId, now: Instant) {
        let mut session = Session {
            id,
            decoder: Decoder::default(),
            grid: Grid::new(now),
            due: None,
            talking: false,
            greeted: false,
            config: VecDeque::new(),
            heartbeat: false,
            last_contact: now,
            recent: VecDeque::new(),
            last_on_port: BTreeMap::new(),
            stalled: false,
            next_message: 0,
        };
        session.wake(now);
        self.session = Some(session);
    }
}

impl Session {
    /// There is something to do in the next poll.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = Some(self.grid.at(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn polls_are_slow_when_idle_and_fast_for_two_seconds_after_a_byte() {
        let start = Instant::now();
        let mut grid = Grid::new(start);
        grid.polled(false, start);
        assert_eq!(grid.at(start + MS), start + 251 * MS);
        grid.polled(true, start + 251 * MS);
        let fast = start + 1000 * MS;
        assert!(grid.at(fast) - fast <= FAST + WORK);
        let slow = start + 60_000 * MS;
        let next = grid.at(slow);
        assert!(next >= slow && next - slow <= SLOW + WORK);
        grid.polled(false, next);
        assert_eq!(grid.at(next + MS), next + SLOW + WORK);
    }
}

//! Between the bus's socket and zbus: what a flood of messages may cost.
//!
//! zbus starts a task for every call, as many as come, and each keeps its message until its reply is written. So what comes
//! is counted before zbus sees it. A message longer than [`MAX_MESSAGE_LEN`] is skipped as it arrives and never held; a
//! caller's calls beyond a rate, or beyond a number that wait for their replies (because they take long, or because nobody
//! reads the replies), are refused; and where not even refusals can be written they are dropped. Reading never stops, so
//! the answers to our own questions always get through.
//!
//! Invariant: at most [`CALLS`] calls and [`REFUSALS`] refusals are held, whatever callers do.

mod socket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;
use zbus::Connection;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::Builder;
use zbus::message::{Flags, Header, Message, Type};

use self::socket::Socket;

/// The longest message, in bytes; the longest that makes sense is a tenth of it.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// How many calls may wait for their replies.
pub const CALLS: usize = 256;
/// How many of one caller.
pub const CALLS_PER_CALLER: usize = 64;
/// How many calls a second one caller may make for long.
pub const RATE: f64 = 200.0;
/// How many it may make at once.
pub const BURST: f64 = 400.0;
/// How many refusals may wait to be written, of some hundred bytes each. dbus-daemon lets a caller have 128 calls without an
/// answer, so that no single one makes another's, or its own, get lost.
pub const REFUSALS: usize = 1024;
/// How many callers' rates are known at a time.
const CALLERS: usize = 1024;
/// After how long a call whose reply was never seen is forgotten; nothing takes as long.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// What becomes of a message.
#[derive(Debug)]
enum Verdict {
    /// zbus gets it.
    Pass,
    /// It is answered with an error, if that can be written.
    Refuse(&'static str, &'static str),
    /// Nobody gets it.
    Drop,
}

const BUSY: &str = "org.meshnet1.Error.Busy";
const INVALID_ARGS: &str = "org.meshnet1.Error.InvalidArgs";

/// Counts calls and replies.
#[derive(Debug)]
struct Gate {
    state: Mutex<State>,
    refusals: mpsc::Sender<Message>,
}

#[derive(Debug, Default)]
struct State {
    /// Calls that wait for their replies, by caller: each with its serial number, which need not be another each time, and
    /// since when.
    waiting: HashMap<String, Vec<(u32, Instant)>>,
    /// What is left of each caller's rate, and when that was so.
    rates: HashMap<String, (f64, Instant)>,
}

/// Refusals that wait to be written.
#[derive(Debug)]
#[must_use]
pub struct Refusals(mpsc::Receiver<Message>);

impl Refusals {
    /// Writes them, until the connection is gone or the task is aborted.
    pub fn send_over(mut self, connection: &Connection) -> JoinHandle<()> {
        let connection = connection.clone();
        tokio::spawn(async move {
            while let Some(refusal) = self.0.recv().await {
                if connection.send(&refusal).await.is_err() {
                    return;
                }
            }
        })
    }
}

/// Prepares a connection over this socket.
pub fn over(stream: tokio::net::UnixStream) -> (Builder<'static>, Refusals) {
    let (refusals, waiting) = mpsc::channel(REFUSALS);
    let gate = Arc::new(Gate { state: Mutex::default(), refusals });
    (Builder::socket(Socket::new(stream, gate)), Refusals(waiting))
}

/// Prepares a connection to the bus at this address.
///
/// # Errors
/// If there is none, or the address is not that of a Unix socket.
pub async fn to(address: &zbus::Address) -> anyhow::Result<(Builder<'static>, Refusals)> {
    let Transport::Unix(unix) = address.transport() else {
        bail!("the bus is at {address}, which is no Unix socket");
    };
    let stream = match unix.path() {
        UnixSocket::File(path) => tokio::net::UnixStream::connect(path).await,
        UnixSocket::Abstract(name) => connect_abstract(name.as_encoded_bytes()),
        _ => bail!("the bus is at {address}, which is no Unix socket"),
    };
    Ok(over(stream.with_context(|| format!("no bus at {address}; is dbus running?"))?))
}

fn connect_abstract(name: &[u8]) -> std::io::Result<tokio::net::UnixStream> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    // A local socket: there is nothing to wait for.
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}

impl Gate {
    /// Decides about a message that came, which was cut if it was too long.
    fn judge(&self, message: &Message, too_long: bool, now: Instant) -> Verdict {
        if message.message_type() != Type::MethodCall {
            return if too_long { Verdict::Drop } else { Verdict::Pass };
        }
        let header = message.header();
        let caller = header.sender().map(ToString::to_string).unwrap_or_default();
        let wants_reply = !header.primary().flags().contains(Flags::NO_REPLY_EXPECTED);
        let refuse = |name, text| if wants_reply { Verdict::Refuse(name, text) } else { Verdict::Drop };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.spend(&caller, now) {
            return refuse(BUSY, "too many requests a second");
        }
        if too_long {
            return refuse(INVALID_ARGS, "the message is too long: at most 65536 bytes");
        }
        if state.waiting() >= CALLS {
            state.forget(now);
        }
        if state.waiting() >= CALLS {
            return refuse(BUSY, "too many requests wait already");
        }
        if state.waiting.get(&caller).is_some_and(|calls| calls.len() >= CALLS_PER_CALLER) {
            return refuse(BUSY, "too many requests of yours wait already");
        }
        if wants_reply {
            let serial = header.primary().serial_num().get();
            state.waiting.entry(caller).or_default().push((serial, now));
        }
        Verdict::Pass
    }

    /// Sees to it that the caller learns of a refusal.
    fn refuse(&self, header: &Header<'_>, name: &'static str, text: &'static str) {
        let refusal = Message::error(header, name).build(&(text,));
        if refusal.is_ok_and(|refusal| self.refusals.try_send(refusal).is_err()) {
            debug!("a call was dropped: refusals cannot be written");
        }
    }

    /// Counts a message that was written.
    fn written(&self, message: &Message) {
        if !matches!(message.message_type(), Type::MethodReturn | Type::Error) {
            return;
        }
        let header = message.header();
        if let Some(serial) = header.reply_serial() {
            let caller = header.destination().map(ToString::to_string).unwrap_or_default();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.answered(&caller, serial.get());
        }
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    fn answered(&mut self, caller: &str, serial: u32) {
        let Some(calls) = self.waiting.get_mut(caller) else { return };
        if let Some(at) = calls.iter().position(|(other, _)| *other == serial) {
            calls.swap_remove(at);
        }
        if calls.is_empty() {
            self.waiting.remove(caller);
        }
    }

    fn forget(&mut self, now: Instant) {
        self.waiting.retain(|_, calls| {
            calls.retain(|(_, since)| now.saturating_duration_since(*since) < FORGOTTEN);
            !calls.is_empty()
        });
    }

    /// Takes one call off the caller's rate; `false` if nothing is left.
    fn spend(&mut self, caller: &str, now: Instant) -> bool {
        let left = |(left, then): (f64, Instant)| {
            (left + RATE * now.saturating_duration_since(then).as_secs_f64()).min(BURST)
        };
        if self.rates.len() >= CALLERS && !self.rates.contains_key(caller) {
            // Whose rate is full again need not be known; if nobody's is, all begin anew.
            self.rates.retain(|_, rate| left(*rate) < BURST);
            if self.rates.len() >= CALLERS {
                self.rates.clear();
            }
        }
        let rate = self.rates.entry(caller.to_owned()).or_insert((BURST, now));
        let available = left(*rate);
        let enough = available >= 1.0;
        *rate = (if enough { available - 1.0 } else { available }, now);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (Gate, mpsc::Receiver<Message>) {
        let (refusals, waiting) = mpsc::channel(REFUSALS);
        (Gate { state: Mutex::default(), refusals }, waiting)
    }

    fn call(caller: &str, flags: Flags) -> Message {
        let call = Message::method_call("/org/meshnet1", "Describe").interface("org.meshnet1.Network");
        call.sender(caller).with_flags(flags).build(&()).unwrap()
    }

    fn passes(gate: &Gate, message: &Message, now: Instant) -> bool {
        matches!(gate.judge(message, false, now), Verdict::Pass)
    }

    #[test]
    fn a_call_waits_until_its_reply_is_written() {
        let (gate, _) = gate();
        let now = Instant::now();
        let calls: Vec<_> = (0..CALLS_PER_CALLER).map(|_| call(":1.1", Flags::empty())).collect();
        assert!(calls.iter().all(|call| passes(&gate, call, now)));
        assert!(!passes(&gate, &call(":1.1", Flags::empty()), now));
        assert!(passes(&gate, &call(":1.2", Flags::empty()), now), "others are not held back");

        let reply = Message::method_return(&calls[0].header()).build(&()).unwrap();
        gate.written(&reply);
        assert!(passes(&gate, &call(":1.1", Flags::empty()), now));
    }

    #[test]
    fn a_serial_number_used_again_hides_no_call() {
        let (gate, _) = gate();
        let call = call(":1.1", Flags::empty());
        let passed = (0..2 * CALLS_PER_CALLER).filter(|_| passes(&gate, &call, Instant::now())).count();
        assert_eq!(passed, CALLS_PER_CALLER);
    }

    #[test]
    fn all_callers_together_have_a_limit_that_time_lifts() {
        let (gate, _) = gate();
        let now = Instant::now();
        for caller in 0..CALLS / CALLS_PER_CALLER {
            for _ in 0..CALLS_PER_CALLER {
                assert!(passes(&gate, &call(&format!(":1.{caller}"), Flags::empty()), now));
            }
        }
        assert!(!passes(&gate, &call(":1.99", Flags::empty()), now));
        assert!(passes(&gate, &call(":1.99", Flags::empty()), now + FORGOTTEN));
    }

    #[test]
    fn a_rate_holds_for_calls_without_replies_too() {
        let (gate, _) = gate();
        let now = Instant::now();
        let call = call(":1.1", Flags::NO_REPLY_EXPECTED);
        let passed = (0..10_000).filter(|_| passes(&gate, &call, now)).count();
        assert_eq!(passed, BURST as usize);
        assert!(matches!(gate.judge(&call, false, now), Verdict::Drop), "nobody waits for an error");
        let later = now + Duration::from_secs(1);
        let passed = (0..10_000).filter(|_| passes(&gate, &call, later)).count();
        assert_eq!(passed, RATE as usize);
    }

    #[test]
    fn what_is_known_of_callers_has_a_limit() {
        let (gate, _) = gate();
        let now = Instant::now();
        for caller in 0..10 * CALLERS {
            passes(&gate, &call(&format!(":1.{caller}"), Flags::NO_REPLY_EXPECTED), now);
        }
        assert!(gate.state.lock().unwrap().rates.len() <= CALLERS);
    }

    #[test]
    fn refusals_have_a_limit() {
        let (gate, mut waiting) = gate();
        let call = call(":1.1", Flags::empty());
        for _ in 0..10 * REFUSALS {
            gate.refuse(&call.header(), BUSY, "too many");
        }
        let first = waiting.try_recv().unwrap();
        assert_eq!(first.header().error_name().unwrap().as_str(), BUSY);
        assert_eq!(first.header().reply_serial(), Some(call.primary_header().serial_num()));
        assert_eq!(waiting.len(), REFUSALS - 1);
    }
}

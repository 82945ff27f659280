//! Messages for the journal, over its own socket: one line as a reader sees it, and each field by itself besides, so that
//! `journalctl PEER=cabin` finds what concerns a peer.
//!
//! The protocol is <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. A journal that does not keep up is not waited for: a network
//! matters more than its log. What it missed is counted, and said once it listens again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, stderr};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::fields::Line;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The longest value: a message of many such fields still fits a datagram.
const MAX_VALUE_LEN: usize = 16 << 10;

/// The journal as a layer of the log.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: &'static str,
    missed: AtomicU64,
}

/// What a span or event has to say.
#[derive(Debug, Default)]
struct Said {
    line: Line,
    fields: BTreeMap<String, String>,
}

impl Journal {
    /// Opens the journal, if that is where stderr goes: whoever redirects stderr wants the log there.
    pub(super) fn open() -> io::Result<Option<Self>> {
        if !is_stderr() {
            return Ok(None);
        }
        Self::at(SOCKET).map(Some)
    }

    fn at(path: &'static str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path, missed: AtomicU64::new(0) })
    }

    fn send(&self, message: &str, priority: u8, fields: &BTreeMap<String, String>) {
        let missed = self.missed.load(Ordering::Relaxed);
        if missed > 0 {
            let text = format!("{missed} messages are not in the journal, which did not keep up");
            if self.socket.send_to(&entry(&text, WARNING, &BTreeMap::new()), self.path).is_ok() {
                self.missed.fetch_sub(missed, Ordering::Relaxed);
            }
        }
        if self.socket.send_to(&entry(message, priority, fields), self.path).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Tells whether stderr is a stream to the journal: `$JOURNAL_STREAM` names the device and inode of one.
fn is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(found) = nix::sys::stat::fstat(stderr()) else { return false };
    stream == format!("{}:{}", found.st_dev, found.st_ino)
}

/// syslog's levels, as far as they are used.
const ERR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;
const DEBUG: u8 = 7;

const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => ERR,
        Level::WARN => WARNING,
        Level::INFO => INFO,
        Level::DEBUG | Level::TRACE => DEBUG,
    }
}

/// One message in the journal's form.
fn entry(message: &str, priority: u8, fields: &BTreeMap<String, String>) -> Vec<u8> {
    let mut entry = Vec::with_capacity(message.len() + 256);
    put(&mut entry, "MESSAGE", message);
    put(&mut entry, "PRIORITY", &priority.to_string());
    put(&mut entry, "SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    for (name, value) in fields {
        put(&mut entry, name, value);
    }
    entry
}

/// A field: a value of several lines comes with its length, so that no value can pose as another field.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let mut end = value.len().min(MAX_VALUE_LEN);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = &value[..end];
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

impl Said {
    /// The journal's own names are not for fields to take.
    fn name(field: &Field) -> Option<String> {
        let name: String = field.name().chars().map(|c| c.to_ascii_uppercase()).collect();
        let fits = name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        (fits && !["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"].contains(&name.as_str())).then_some(name)
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.line.record_str(field, value);
        if let Some(name) = Self::name(field) {
            self.fields.insert(name, value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.line.record_debug(field, value);
        if let Some(name) = Self::name(field) {
            self.fields.insert(name, format!("{value:?}"));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        span.extensions_mut().insert(said);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(said) = span.extensions_mut().get_mut::<Said>() {
            values.record(said);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut message = String::new();
        let mut fields = of_place(event.metadata());
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(said) = span.extensions().get::<Said>() {
                message.push_str(span.name());
                message.push('{');
                message.push_str(&said.line.0);
                message.push_str("}: ");
                fields.extend(said.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        let mut said = Said::default();
        event.record(&mut said);
        message.push_str(&said.line.0);
        fields.extend(said.fields);
        self.send(&message, priority(*event.metadata().level()), &fields);
    }
}

/// Where in the program a message comes from.
fn of_place(metadata: &Metadata<'_>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::from([("TARGET".to_owned(), metadata.target().to_owned())]);
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        fields.insert("CODE_FILE".to_owned(), file.to_owned());
        fields.insert("CODE_LINE".to_owned(), line.to_string());
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing::{info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What a journal at a socket of the test's own hears when `log` logs: the fields of each message.
    fn heard(log: impl FnOnce(), messages: usize) -> Vec<Vec<(String, String)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket").to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let journal = Journal::at(Box::leak(path.into_boxed_str())).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), log);
        let mut buffer = [0; 8192];
        (0..messages)
            .map(|_| {
                let length = socket.recv(&mut buffer).unwrap();
                parse(&buffer[..length])
            })
            .collect()
    }

    fn parse(mut rest: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
                fields.push((text(&line[..equals]), text(&line[equals + 1..])));
            } else {
                let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
                fields.push((text(line), text(&rest[8..8 + length])));
                rest = &rest[8 + length + 1..];
            }
        }
        fields
    }

    fn get<'a>(message: &'a [(String, String)], name: &str) -> Vec<&'a str> {
        message.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn a_message_is_a_line_and_its_fields() {
        let log = || {
            info_span!("radio", link = %"roof").in_scope(|| {
                warn!(
                    message_id = "0123456789abcdef0123456789abcdef",
                    peer = "cabin",
                    attempts = 3,
                    "no answer"
                );
            });
        };
        let messages = heard(log, 1);
        let message = &messages[0];
        assert_eq!(get(message, "MESSAGE"), ["radio{link=roof}: no answer peer=\"cabin\" attempts=3"]);
        assert_eq!(get(message, "MESSAGE_ID"), ["0123456789abcdef0123456789abcdef"]);
        assert_eq!((get(message, "PEER"), get(message, "LINK")), (vec!["cabin"], vec!["roof"]));
        assert_eq!((get(message, "ATTEMPTS"), get(message, "PRIORITY")), (vec!["3"], vec!["4"]));
        assert_eq!(get(message, "SYSLOG_IDENTIFIER"), ["meshnetd"]);
    }

    #[test]
    fn no_value_poses_as_another_field() {
        let evil = "cabin\nPRIORITY=0\nMESSAGE_ID=f";
        let messages = heard(|| warn!(peer = evil, "no answer"), 1);
        assert_eq!(get(&messages[0], "PRIORITY"), ["4"]);
        assert_eq!(get(&messages[0], "PEER"), [evil]);
        assert_eq!(get(&messages[0], "MESSAGE_ID"), [""; 0]);
    }

    #[test]
    fn a_huge_value_is_cut_and_arrives() {
        let long = "é".repeat(1 << 20);
        let entry = entry(&long, WARNING, &BTreeMap::from([("PEER".to_owned(), long.clone())]));
        assert!(entry.len() < 3 * MAX_VALUE_LEN);
    }
}

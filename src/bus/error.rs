//! The errors that a daemon answers with. The list is closed: a client can match all of it.

use zbus::DBusError;

/// What went wrong, as `org.meshnet1.Error.*`; each carries a sentence for people, but for the first.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.meshnet1.Error")]
#[non_exhaustive]
pub enum Error {
    /// The bus itself failed, or answered (`org.freedesktop.DBus.Error.*`).
    #[zbus(error)]
    ZBus(zbus::Error),
    /// There is no such peer.
    NoSuchPeer(String),
    /// A peer has this public key, prefix or endpoint already.
    PeerExists(String),
    /// polkit does not let the caller do this.
    NotAuthorized(String),
    /// An argument makes no sense, or is too large.
    InvalidArgs(String),
    /// The peer is defined in the configuration file, which is not changed over the bus.
    FromConfigFile(String),
    /// The configuration file has errors; everything stays as it was.
    InvalidConfig(String),
    /// Too much is under way already; later it may work.
    Busy(String),
    /// No link reaches the peer at present.
    LinkDown(String),
    /// There was no answer in time.
    Timeout(String),
    /// The hour's airtime is spent.
    AirtimeExhausted(String),
    /// This takes a restart, or cannot be had with this peer.
    NotSupported(String),
    /// Something else; the sentence says what.
    Failed(String),
}

impl Error {
    /// Returns the sentence for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::ZBus(error) => error.to_string(),
            Self::NoSuchPeer(text)
            | Self::PeerExists(text)
            | Self::NotAuthorized(text)
            | Self::InvalidArgs(text)
            | Self::FromConfigFile(text)
            | Self::InvalidConfig(text)
            | Self::Busy(text)
            | Self::LinkDown(text)
            | Self::Timeout(text)
            | Self::AirtimeExhausted(text)
            | Self::NotSupported(text)
            | Self::Failed(text) => text.clone(),
        }
    }
}

//! The D-Bus contract of meshnet: what a client may rely on, and the daemon keeps.
//!
//! One daemon per network, each with the bus name `org.meshnet1.NETWORK` ([`names`]). Its objects hang below
//! [`names::ROOT`], where an ObjectManager lists them: the network itself, its peers, its links. [`proxy`] has an interface's
//! members as a client calls them, [`settings`] the arguments that are dictionaries, [`error`] the closed list of errors,
//! [`describe`] the JSON that `Describe` returns and `meshctl --json` prints.
//!
//! The daemon's objects are tested against the committed interface XML (`dist/dbus`), and so are these proxies. A member that is
//! added needs no new name; one that goes, or means something else, makes `org.meshnet2`.

pub mod describe;
pub mod error;
pub mod names;
pub mod proxy;
pub mod settings;

pub use error::Error;

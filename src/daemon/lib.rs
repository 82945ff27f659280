//! The meshnet daemon as a library, for the daemon itself and for the tests of its parts.
//!
//! `main` reads the [`config`], opens the [`tap`], has [`netlink`] set the interface up, gives its [`privilege`]s away,
//! and then runs one [`instance`]: the task that owns the protocol core and talks to the [`link`] drivers.

mod alarm;
pub mod backoff;
pub mod catalog;
pub mod cipher;
pub mod cli;
pub mod config;
pub mod control;
pub mod files;
pub mod instance;
pub mod link;
pub mod log;
pub mod netlink;
pub mod peers;
pub mod privilege;
pub mod resolve;
pub mod service;
pub mod status;
pub mod systemd;
pub mod tap;
pub mod wall;

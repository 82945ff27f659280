//! The WireGuard protocol, whole, as machines that do no input or output.
//!
//! - [`message`]: the four messages on the wire; [`noise`]: the handshake; [`tai64n`]: its timestamp.
//! - [`mac`]: the MACs that end handshake messages, and cookies as their receiver uses them; [`gate`]: what a stranger's
//!   handshake message passes, and cookies as their maker does.
//! - [`session`]: keys, counter and [`window`]; [`index`]: who is meant by an index;
//!   [`sign`]: what an index tells another node.
//! - [`tunnel`]: one peer's machine, which decides when handshakes are due and which session is used; [`regime`]: by which
//!   constants.
//!
//! A session is bound to the peer, not to a path: one counter and one window serve every link and every encoding.

pub mod fuzz;
pub mod gate;
pub mod index;
pub mod mac;
pub mod message;
pub mod noise;
pub mod regime;
pub mod session;
pub mod sign;
pub mod tai64n;
#[cfg(test)]
pub(crate) mod tests;
pub mod tunnel;
pub mod window;

pub use self::gate::Gate;
pub use self::mac::Cookies;
pub use self::noise::Identity;
pub use self::regime::Regime;
pub use self::tunnel::Tunnel;

//! Virtual Meshtastic radios on one simulated LoRa channel.
//!
//! [`Air`] is the simulation: sans-IO and seeded, for use in a test's own process or behind the ports of the
//! `meshnet-radiosim` command. Each radio answers the client API as the firmware does, quirk by quirk; the tests of this
//! crate claim them one by one.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use meshnet_proto::meshtastic::message::{ToRadio, to_radio};
//! use meshnet_proto::meshtastic::stream;
//! use meshnet_radiosim::{Air, AirConfig, ClientOutput, RadioConfig, Transport};
//! use prost::Message as _;
//!
//! let mut now = Instant::now();
//! let mut air = Air::new(AirConfig::default(), 1, now);
//! let radio = air.add_radio(RadioConfig::new(0xa000_0001), now);
//!
//! // A host connects, and asks for all that the radio knows.
//! let client = air.handle_client_connected(radio, Transport::Tcp, now);
//! let question = ToRadio { variant: Some(to_radio::Variant::WantConfigId(7)) };
//! air.handle_client_bytes(client, &stream::frame(&question.encode_to_vec()), now);
//!
//! // Time passes until the firmware's next poll answers.
//! let answer = loop {
//!     now = air.poll_timeout().unwrap();
//!     air.handle_timeout(now);
//!     if let Some(ClientOutput::Bytes(bytes)) = air.poll_client(client) {
//!         break bytes;
//!     }
//! };
//! assert_eq!(answer[..2], [stream::START1, stream::START2]);
//! ```

mod air;
mod chance;
mod config;
mod ledger;
mod radio;

pub use air::{Air, RadioId};
pub use config::{Acquainted, AirConfig, Burst, ChannelConfig, Faults, Hearing, RadioConfig, Role};
pub use ledger::{LedgerEntry, NodeNum, Totals};
pub use radio::frame::Kind;
pub use radio::port::{ClientId, ClientOutput, Transport};

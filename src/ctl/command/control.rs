//! `meshctl rekey`, `reload`: what disturbs traffic for a moment.

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use meshnet_bus::describe::SCHEMA;
use serde::Serialize;

use super::OneNetwork;
use super::peer::OnePeer;
use crate::bus::{self, Bus};
use crate::completion;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::runtime;

/// Agree on fresh keys with a peer, or with all
///
/// The keys in use serve until the fresh ones are agreed. A handshake takes airtime at both ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl rekey cabin
  meshctl -n mesh0 rekey")]
pub(crate) struct Rekey {
    /// The peer: its name, its public key or the beginning of it, one of its addresses or endpoints; all, if it is left out
    #[arg(value_name = "PEER", add = ArgValueCandidates::new(completion::peers))]
    peer: Option<String>,
}

/// Read a network's configuration file again
///
/// Peers and links that were added, changed or removed there are taken over; all others keep their sessions. If the file has
/// errors, nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl reload mesh0")]
pub(crate) struct Reload {
    #[command(flatten)]
    network: OneNetwork,
}

/// What `rekey` answers in JSON.
#[derive(Debug, Serialize)]
struct Rekeyed<'d> {
    schema: u32,
    network: &'d str,
    /// `None`: with all peers.
    public_key: Option<String>,
}

/// What `reload` answers in JSON.
#[derive(Debug, Serialize)]
struct Reloaded<'d> {
    schema: u32,
    network: &'d str,
}

impl Rekey {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &OneNetwork::default(), context).await?;
            let (key, what) = match self.peer {
                Some(peer) => {
                    let what = format!("cannot agree on fresh keys with {peer}");
                    (OnePeer { peer }.key(&daemon).await?.to_string(), what)
                }
                // The daemon takes this for all.
                None => (String::new(), "cannot agree on fresh keys".to_owned()),
            };
            let () = bus::change(&daemon.root().await?, "Rekey", &key, context, daemon.name.as_str())
                .await
                .map_err(|error| error.context(what))?;
            let public_key = Some(key).filter(|key| !key.is_empty());
            if context.wants_json() {
                context.print_json(&Rekeyed { schema: SCHEMA, network: daemon.name.as_str(), public_key })?;
            }
            Ok(Exit::Success)
        })
    }
}

impl Reload {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &self.network, context).await?;
            let () = bus::change(&daemon.root().await?, "Reload", &(), context, daemon.name.as_str())
                .await
                .map_err(|error| error.context(format!("cannot reload {}", daemon.name)))?;
            if context.wants_json() {
                context.print_json(&Reloaded { schema: SCHEMA, network: daemon.name.as_str() })?;
            }
            Ok(Exit::Success)
        })
    }
}

//! Which network of ours a line belongs to.

use ipnet::IpNet;
use meshnet_bus::names::Instance;

use super::setup;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::invitation::Invitation;
use crate::ours::{Host, Ours};

/// Where an inviter becomes a peer.
pub(crate) enum Target {
    /// In a network that there is.
    Ours(Box<Ours>),
    /// In one that is to be made.
    Fresh(Instance),
}

/// The network of ours that an answer is for.
pub(crate) async fn addressee(host: &Host, to: &str, context: &Context) -> Result<Ours, Error> {
    let mut untold = None;
    for name in host.networks().await? {
        if context.network.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        match host.network(&name).await {
            Ok(ours) if ours.key_start() == to => return Ok(ours),
            Ok(_) => {}
            Err(error) => untold = Some(error),
        }
    }
    Err(untold.map_or_else(
        || {
            Error::new(Exit::NoSuchObject, "this is the answer to somebody else's invitation")
                .because(format!("no network here has a public key that begins with {to}"))
        },
        |error| error.context("cannot tell which network this answers"),
    ))
}

/// The network that an inviter joins, as `join`'s beginning tells.
pub(crate) async fn inviting(
    host: &Host,
    invitation: &Invitation,
    context: &Context,
) -> Result<Target, Error> {
    let names = host.networks().await?;
    if let Some(name) = &context.network {
        return Ok(if names.contains(name) {
            Target::Ours(Box::new(host.network(name).await?))
        } else {
            Target::Fresh(name.clone())
        });
    }
    let mut matching = Vec::new();
    for name in &names {
        let ours = host.network(name).await?;
        let shared =
            |address: &IpNet| invitation.addresses.iter().any(|theirs| setup::overlap(address, theirs));
        if ours.addresses.iter().any(shared) {
            matching.push(ours);
        }
    }
    match (matching.pop(), matching.is_empty(), names.is_empty()) {
        (Some(ours), true, _) => Ok(Target::Ours(Box::new(ours))),
        (Some(_), false, _) => Err(Error::usage("several networks here share the other side's addresses")
            .hint("name the one that it shall be a peer of: -n NET")),
        (None, _, true) => Instance::new("mesh0").map(Target::Fresh).map_err(|error| Error::usage(error.to_string())),
        (None, _, false) => Err(Error::usage(format!("no network here has an address in {}", setup::list(&invitation.addresses)))
            .hint("-n NET with the name of one makes the other side a peer there; with a new name, -n makes a network")),
    }
}

//! Reads what callers give: nothing is longer than it needs to be, and every text becomes a value before anything is done.

use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use meshnet_bus::Error;
use meshnet_bus::settings::{
    MAX_ENDPOINTS, MAX_LIST_LEN, MAX_PING_LEN, MAX_PING_TIMEOUT, MAX_TEXT_LEN, PeerSettings,
};
use meshnet_proto::key::PublicKey;

use super::secret;
use crate::config::value::{self, Wrong};
use crate::config::{self, Endpoint};
use crate::control::PeerChange;

/// Reads a peer's public key.
pub(super) fn public_key(text: &str) -> Result<PublicKey, Error> {
    one("the public key", text, value::public_key)
}

/// Reads what a peer is to be, and its secret from where that is.
pub(super) async fn peer_change(settings: PeerSettings) -> Result<PeerChange, Error> {
    let name = match settings.name.as_deref() {
        None => None,
        Some("") => Some(String::new()),
        Some(name) => Some(one("Name", name, value::name)?),
    };
    let allowed_ips = settings.allowed_ips.as_deref().map(allowed_ips).transpose()?;
    let endpoints = settings.endpoints.as_deref().map(endpoints).transpose()?;
    let mode = settings.mode.as_deref().map(|mode| one("Mode", mode, value::mode)).transpose()?;
    let radio_public_keys = settings.radio_public_keys.as_deref();
    let radio_public_keys = radio_public_keys
        .map(|list| many("RadioPublicKeys", list, MAX_ENDPOINTS, value::radio_key))
        .transpose()?;
    if let (Some(keys), Some(endpoints)) = (&radio_public_keys, &endpoints)
        && !keys.is_empty()
        && let radios = endpoints.iter().filter(|endpoint| !endpoint.is_udp()).count()
        && keys.len() != radios
    {
        let what =
            format!("RadioPublicKeys: {} of them for {radios} radios; one for each, or none", keys.len());
        return Err(Error::InvalidArgs(what));
    }
    let keepalive = settings.persistent_keepalive.map(NonZeroU16::new);
    let preshared_key = match settings.preshared_key {
        Some(fd) => Some(secret::read(fd.into()).await?),
        None => None,
    };
    let persist = settings.persist;
    Ok(PeerChange {
        name,
        allowed_ips,
        endpoints,
        mode,
        preshared_key,
        radio_public_keys,
        keepalive,
        bulk_over_radio: settings.bulk_over_radio,
        persist,
    })
}

/// Reads prefixes; the same one twice counts once, and host bits do not matter.
fn allowed_ips(list: &[String]) -> Result<Vec<IpNet>, Error> {
    let mut prefixes: Vec<IpNet> = Vec::new();
    for network in many("AllowedIPs", list, MAX_LIST_LEN, value::network)? {
        let prefix = network.trunc();
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    Ok(prefixes)
}

/// Reads where a peer is, each place once; a peer that comes to us is nowhere.
fn endpoints(list: &[String]) -> Result<Vec<Endpoint>, Error> {
    let endpoints: Vec<Endpoint> = many("Endpoints", list, MAX_ENDPOINTS, config::read_endpoint)?;
    let twice = endpoints.iter().enumerate().find(|(at, endpoint)| endpoints[..*at].contains(*endpoint));
    match twice {
        Some((_, twice)) => {
            Err(Error::InvalidArgs(format!("Endpoints: {twice} is there twice; each endpoint once")))
        }
        None => Ok(endpoints),
    }
}

/// Reads how many bytes of data an echo is to carry.
pub(super) fn ping_len(bytes: u32) -> Result<u16, Error> {
    u16::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= MAX_PING_LEN)
        .ok_or_else(|| Error::InvalidArgs(format!("{bytes} bytes are too many: at most {MAX_PING_LEN}")))
}

/// Reads for how long an echo is waited for.
pub(super) fn ping_timeout(milliseconds: u32) -> Result<Duration, Error> {
    let patience = Duration::from_millis(milliseconds.into());
    if patience > MAX_PING_TIMEOUT {
        let what = format!("{milliseconds} ms are too long: at most {}", MAX_PING_TIMEOUT.as_millis());
        return Err(Error::InvalidArgs(what));
    }
    Ok(patience)
}

fn many<T>(
    what: &str,
    list: &[String],
    most: usize,
    read: impl Fn(&str) -> Result<T, Wrong>,
) -> Result<Vec<T>, Error> {
    if list.len() > most {
        return Err(Error::InvalidArgs(format!("{what}: {} are too many: at most {most}", list.len())));
    }
    list.iter().map(|text| one(what, text, &read)).collect()
}

fn one<T>(what: &str, text: &str, read: impl Fn(&str) -> Result<T, Wrong>) -> Result<T, Error> {
    if text.len() > MAX_TEXT_LEN {
        return Err(Error::InvalidArgs(format!(
            "{what}: {} bytes are too long: at most {MAX_TEXT_LEN}",
            text.len()
        )));
    }
    read(text).map_err(|(wrong, right)| Error::InvalidArgs(format!("{what}: {wrong}; {right}")))
}

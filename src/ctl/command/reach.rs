//! How the other side of an exchange of lines reaches us: by the radios and the UDP addresses that `--endpoint` names, or that
//! are found.
//!
//! The kinds are told apart: who names an address by which the host is reached from outside does not thereby hide its radio,
//! and who names a radio that was never up still has UDP.

use clap::Args;

use super::own_addresses;
use crate::conf::Udp;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::invitation::MAX_UDP;
use crate::ours::Ours;
use crate::place::{MAX_LINE_HOST, Place};

/// Where a host is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// The node numbers of its radios.
    pub radios: Vec<u32>,
    /// Where it is by UDP.
    pub udp: Vec<Place>,
}

impl Endpoints {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.radios.is_empty() && self.udp.is_empty()
    }

    /// As configurations and the bus take them.
    pub(crate) fn texts(&self) -> Vec<String> {
        let radios = self.radios.iter().map(|radio| format!("!{radio:08x}"));
        radios.chain(self.udp.iter().map(Place::to_string)).collect()
    }
}

/// What the command line says of where we are.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Where we are: our radios' node ids, udp://HOST or udp://HOST:PORT; several with commas. Else the daemon is asked for the
    /// radios, and this host's own addresses are taken
    #[arg(long, value_name = "WHERE", value_delimiter = ',')]
    endpoint: Vec<String>,
}

impl Named {
    /// Whether anything is named.
    pub(crate) fn is_some(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Where we are, for a line to tell. Without the mode WIREGUARD that is by radio alone.
    ///
    /// # Errors
    /// If what is named makes no sense or is not of this network, or a radio's node id is not known.
    pub(crate) fn endpoints(
        &self,
        ours: &Ours,
        wireguard: bool,
        context: &Context,
    ) -> Result<Endpoints, Error> {
        let named = self.read(ours, wireguard)?;
        let radios = match () {
            () if !named.radios.is_empty() || !ours.has_radio => named.radios,
            () if !ours.radios.is_empty() => ours.radios.clone(),
            () if !named.udp.is_empty() => {
                context.talk("our radio's node id is not known yet: the line names our UDP address alone");
                Vec::new()
            }
            () => return Err(unknown_radio(ours)),
        };
        let udp = match ours.udp {
            Some(link) if wireguard && named.udp.is_empty() => found(link, ours, context),
            Some(_) | None => named.udp,
        };
        Ok(Endpoints { radios, udp })
    }

    fn read(&self, ours: &Ours, wireguard: bool) -> Result<Endpoints, Error> {
        let mut named = Endpoints::default();
        for text in &self.endpoint {
            if !text.contains(':') {
                let radio = node(text)?;
                if !named.radios.contains(&radio) {
                    named.radios.push(radio);
                }
                continue;
            }
            let place = udp(text, ours)?;
            if !named.udp.contains(&place) {
                named.udp.push(place);
            }
        }
        let network = &ours.name;
        if !named.radios.is_empty() && !ours.has_radio {
            return Err(Error::usage(format!("{network} has no radio"))
                .hint(format!("MeshtasticConnect = in [Interface] of {network}'s file")));
        }
        if !named.udp.is_empty() && !wireguard && ours.udp.is_some() {
            return Err(Error::usage("the two speak version 1 of the protocol, which knows radios alone")
                .hint("invite again: a network with a udp link invites to WireGuard's protocol"));
        }
        if named.udp.len() > MAX_UDP {
            return Err(Error::usage(format!("a line has room for {MAX_UDP} UDP addresses")));
        }
        Ok(named)
    }
}

/// Reads where we are by UDP.
fn udp(text: &str, ours: &Ours) -> Result<Place, Error> {
    let network = &ours.name;
    let Some(link) = ours.udp else {
        return Err(Error::usage(format!("{network} has no udp link")).hint(format!(
            "ListenPort = 51820 in [Interface] of {network}'s file, then \"meshctl reload\""
        )));
    };
    let wrong = |hint: &str| {
        Err(Error::usage(format!("\"{}\" is nowhere that a line can name", crate::render::clean(text)))
            .hint(hint))
    };
    match Place::read(text, Some(link.port).filter(|port| *port != 0)) {
        Some(place) if place.fits_line() => Ok(place),
        Some(_) => wrong(&format!("a line has room for names of up to {MAX_LINE_HOST} characters")),
        None if link.port == 0 && Place::read(text, Some(1)).is_some() => {
            wrong(&format!("udp://HOST:PORT: {network} listens on a port that changes with each start"))
        }
        None => wrong("!d45b9db8, udp://vpn.example.org, udp://192.0.2.7:51820 or udp://[2001:db8::7]:51820"),
    }
}

/// This host's own addresses, with a word about what they are good for.
fn found(link: Udp, ours: &Ours, context: &Context) -> Vec<Place> {
    if link.port == 0 {
        context.talk(&format!(
            "{} listens on a UDP port that changes with each start: the line names no UDP address, and we call the other side; \
             else a fixed ListenPort, or --endpoint udp://HOST:PORT",
            ours.name
        ));
        return Vec::new();
    }
    let places = places(link, || own_addresses::outside(&ours.addresses));
    if places.is_empty() {
        context.talk("this host has no address that others could reach: the line names none; else --endpoint udp://HOST");
    } else {
        let list: Vec<String> = places.iter().map(Place::to_string).collect();
        context.talk(&format!(
            "We are at {}: this host's own, which serve in the local network alone, unless one is reached from outside; \
             --endpoint udp://HOST names another.",
            list.join(", ")
        ));
    }
    places
}

/// Where a udp link with a fixed port is reached.
fn places(link: Udp, own: impl FnOnce() -> Vec<std::net::IpAddr>) -> Vec<Place> {
    let addresses = link.address.map_or_else(own, |address| vec![address]);
    addresses.into_iter().filter_map(|address| Place::new(address, link.port)).take(MAX_UDP).collect()
}

fn unknown_radio(ours: &Ours) -> Error {
    let name = &ours.name;
    let (why, verb) =
        if ours.running { ("its radio was not up yet", "doctor") } else { ("it does not run", "up") };
    let error = Error::new(Exit::NotRunning, format!("the node id of {name}'s radio is unknown"))
        .because(why)
        .hint(format!("\"meshctl {verb} {name}\", or give it: --endpoint '!d45b9db8'"));
    if ours.udp.is_some() { error.hint("or leave it out: --endpoint udp://HOST") } else { error }
}

/// A node id as the apps show it.
pub(crate) fn node(text: &str) -> Result<u32, Error> {
    let digits = text.strip_prefix('!').unwrap_or(text);
    let fine = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| fine).ok_or_else(|| {
        Error::usage(format!("\"{}\" is no node id", crate::render::clean(text)))
            .hint("\"!\" and eight hexadecimal digits; or udp://HOST")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshnet_bus::names::Instance;

    fn ours(radio: bool, port: Option<u16>) -> Ours {
        Ours {
            name: Instance::new("mesh0").unwrap(),
            running: true,
            key: meshnet_proto::key::PublicKey::from_bytes([1; 32]),
            addresses: vec!["10.0.0.1/24".parse().unwrap()],
            mtu: None,
            radios: if radio { vec![7] } else { Vec::new() },
            has_radio: radio,
            udp: port.map(|port| Udp { port, address: Some("192.0.2.9".parse().unwrap()) }),
            peers: Vec::new(),
        }
    }

    fn endpoints(named: &[&str], ours: &Ours, wireguard: bool) -> Result<Vec<String>, Error> {
        let named = Named { endpoint: named.iter().map(|text| (*text).to_owned()).collect() };
        named.endpoints(ours, wireguard, &Context::plain()).map(|endpoints| endpoints.texts())
    }

    #[test]
    fn a_kind_that_is_not_named_is_found() {
        let both = ours(true, Some(51820));
        for (named, expected) in [
            (&[][..], &["!00000007", "192.0.2.9:51820"][..]),
            (&["!a0000001"], &["!a0000001", "192.0.2.9:51820"]),
            (&["udp://vpn.example.org"], &["!00000007", "vpn.example.org:51820"]),
            (
                &["udp://a:1", "udp://A:1", "!a0000001", "[2001:db8::7]:2"],
                &["!a0000001", "a:1", "[2001:db8::7]:2"],
            ),
        ] {
            assert_eq!(endpoints(named, &both, true).unwrap(), expected, "{named:?}");
        }
    }

    #[test]
    fn version_1_of_the_protocol_knows_radios_alone() {
        let both = ours(true, Some(51820));
        assert_eq!(endpoints(&[], &both, false).unwrap(), ["!00000007"]);
        assert_eq!(endpoints(&["udp://a"], &both, false).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn a_port_that_changes_has_no_address_unless_one_is_named() {
        let passing = ours(false, Some(0));
        assert_eq!(endpoints(&[], &passing, true).unwrap(), Vec::<String>::new());
        assert_eq!(endpoints(&["udp://a:5"], &passing, true).unwrap(), ["a:5"]);
        assert!(endpoints(&["udp://a"], &passing, true).is_err());
    }

    #[test]
    fn what_the_network_does_not_have_is_refused() {
        for (named, network) in [("!a0000001", ours(false, Some(1))), ("udp://a", ours(true, None))] {
            assert_eq!(endpoints(&[named], &network, true).unwrap_err().exit(), Exit::Usage, "{named}");
        }
        let never_up = Ours { radios: Vec::new(), ..ours(true, Some(1)) };
        assert_eq!(endpoints(&[], &never_up, true).unwrap_err().exit(), Exit::NotRunning);
        assert_eq!(endpoints(&["udp://a"], &never_up, true).unwrap(), ["a:1"]);
        let long = format!("udp://{}.org", "a".repeat(60));
        for named in ["udp://[fe80::1]", "tcp://a:1", long.as_str(), "nonsense"] {
            assert!(endpoints(&[named], &ours(true, Some(1)), true).is_err(), "{named}");
        }
    }

    #[test]
    fn no_more_addresses_are_taken_than_a_line_holds() {
        let many = || (1..=9).map(|n| std::net::IpAddr::from([192, 0, 2, n])).collect();
        assert_eq!(places(Udp { port: 5, address: None }, many).len(), MAX_UDP);
    }

    #[test]
    fn a_node_id_is_eight_digits() {
        assert_eq!(node("!d45b9db8").unwrap(), 0xd45b_9db8);
        assert_eq!(node("d45b9db8").unwrap(), 0xd45b_9db8);
        assert!(node("!d45b9db").is_err() && node("!+45b9db8").is_err());
    }
}

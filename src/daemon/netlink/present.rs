//! What the interface has already: what it is to have besides is added, what it is not to have any more is removed, and what is
//! as it should be is left alone. So the same settings can be applied again and again, to an interface that carries traffic.
//!
//! Addresses are all ours, but for the link-local one that a kernel may insist on. Of the routes only those with our mark are: what
//! an administrator leads through the interface besides stays.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::Settings;
use super::apply::ROUTE_METRIC;

/// The interface as it is.
pub(super) async fn link(handle: &Handle, index: u32) -> anyhow::Result<LinkMessage> {
    let mut links = handle.link().get().match_index(index).execute();
    let link = links.try_next().await.context("cannot look at the interface")?;
    link.context("the interface is gone")
}

/// Tells whether the interface has an attribute already.
pub(super) fn has(link: &LinkMessage, wanted: &LinkAttribute) -> bool {
    link.attributes.contains(wanted)
}

/// Removes the addresses that the interface is not to have, and returns the others.
///
/// It comes before anything is added: an address takes those of its network that were added after it along.
pub(super) async fn addresses(
    handle: &Handle,
    index: u32,
    settings: &Settings,
) -> anyhow::Result<Vec<IpNet>> {
    let before = read_addresses(handle, index).await?;
    let (kept, stale): (Vec<_>, Vec<_>) =
        before.into_iter().partition(|(address, _)| settings.addresses.contains(address));
    if stale.is_empty() {
        return Ok(kept.into_iter().map(|(address, _)| address).collect());
    }
    for (address, message) in stale {
        match handle.address().del(message).execute().await {
            Err(error) if !is_gone(&error) => {
                return Err(error).with_context(|| format!("cannot remove the address {address}"));
            }
            _ => {}
        }
    }
    Ok(read_addresses(handle, index).await?.into_iter().map(|(address, _)| address).collect())
}

/// Tells whether an address is gone already: another one took it along.
fn is_gone(error: &rtnetlink::Error) -> bool {
    is_answer(error, nix::libc::EADDRNOTAVAIL)
}

/// Tells whether there is no such route.
pub(super) fn is_no_route(error: &rtnetlink::Error) -> bool {
    is_answer(error, nix::libc::ESRCH)
}

fn is_answer(error: &rtnetlink::Error, number: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(answer)
        if answer.code.is_some_and(|code| code.get() == -number))
}

async fn read_addresses(handle: &Handle, index: u32) -> anyhow::Result<Vec<(IpNet, AddressMessage)>> {
    let mut request = handle.address().get().set_link_index_filter(index);
    request.message_mut().header.index = index;
    let messages: Vec<AddressMessage> =
        request.execute().try_collect().await.context("cannot read the interface's addresses")?;
    let ours = messages.into_iter().filter(|message| message.header.scope != AddressScope::Link);
    Ok(ours.filter_map(|message| Some((address(&message)?, message))).collect())
}

fn address(message: &AddressMessage) -> Option<IpNet> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = || {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    };
    IpNet::new(local.or_else(any)?, message.header.prefix_len).ok()
}

/// Removes the routes of ours that are not to be any more.
pub(super) async fn remove_stale_routes(
    handle: &Handle,
    index: u32,
    settings: &Settings,
) -> anyhow::Result<()> {
    let wanted = settings.own_routes();
    // The kernel chooses by what the request says: the main table of a busy router is long.
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index).protocol(RouteProtocol::Static);
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().output_interface(index).protocol(RouteProtocol::Static);
    for request in [v4.build(), v6.build()] {
        let family = request.header.address_family;
        let routes: Result<Vec<RouteMessage>, _> = handle.route().get(request).execute().try_collect().await;
        let routes = match routes {
            Ok(routes) => routes,
            // A kernel without IPv6.
            Err(_) if family == AddressFamily::Inet6 => continue,
            Err(error) => return Err(error).context("cannot read the interface's routes"),
        };
        for route in routes.into_iter().filter(|route| is_ours(route, index)) {
            let Some(prefix) = destination(&route) else { continue };
            if !wanted.contains(&prefix) {
                let removed = handle.route().del(route).execute().await;
                removed.with_context(|| format!("cannot remove the route to {prefix}"))?;
            }
        }
    }
    Ok(())
}

fn is_ours(route: &RouteMessage, index: u32) -> bool {
    route.header.protocol == RouteProtocol::Static
        && route.attributes.contains(&RouteAttribute::Oif(index))
        && route.attributes.contains(&RouteAttribute::Priority(ROUTE_METRIC))
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let named = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    let everything = match route.header.address_family {
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    IpNet::new(named.unwrap_or(everything), route.header.destination_prefix_length).ok()
}

//! Makes the interface what it is to be. Every step puts in place what is there already, so that all of it can be done
//! again after somebody took the interface down, which costs it routes and IPv6 addresses, and to an interface that carried
//! traffic in an earlier life of the daemon.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use tracing::debug;

use super::{Settings, Ways, is_v6, present, speaks_ipv6};

/// Routes through radios yield to whatever else leads there: usual metrics are 0 to 1024.
pub(super) const ROUTE_METRIC: u32 = 4096;
/// How many segments of a connection may be under way: enough for a lost one to show by those behind it.
const MAX_SEGMENTS: u32 = 6;
/// And how many at its start.
const FIRST_SEGMENTS: u32 = 4;
/// How many frames the kernel keeps for us. The daemon takes them at once and queues by itself, where it can choose.
const TX_QUEUE_LEN: u32 = 64;
/// And where they come at the rate of a cable: what a busy processor may leave waiting for a moment.
const TX_QUEUE_LEN_FREE: u32 = 1000;

/// Applies `settings` to the interface.
pub(super) async fn apply(handle: &Handle, index: u32, settings: &Settings) -> anyhow::Result<()> {
    let link = present::link(handle, index).await?;
    let mut change = LinkUnspec::new_with_index(index);
    let queue = if settings.ways == Ways::Radios { TX_QUEUE_LEN } else { TX_QUEUE_LEN_FREE };
    let wanted = [
        LinkAttribute::Mtu(settings.mtu.into()),
        // Setting it again would have the kernel forget its neighbours.
        LinkAttribute::Address(settings.mac.to_vec()),
        LinkAttribute::TxQueueLen(queue),
    ];
    for attribute in wanted.into_iter().filter(|attribute| !present::has(&link, attribute)) {
        change = change.append_extra_attribute(attribute);
    }
    let change = handle.link().set(change.build());
    change.execute().await.context("cannot set the interface's MTU and MAC address")?;
    if settings.ways != Ways::Radios {
        let size = LinkAttribute::GsoMaxSize(gso_max_size(settings.mtu));
        if !present::has(&link, &size) {
            bound_rows(handle, index, size).await;
        }
    }
    if speaks_ipv6(settings.mtu) {
        quieten_ipv6(handle, index).await;
    }
    let present = present::addresses(handle, index, settings).await?;
    for address in settings.addresses.iter().filter(|address| !present.contains(address)) {
        add_address(handle, index, address)
            .await
            .with_context(|| format!("cannot add the address {address}"))?;
    }
    let up = LinkUnspec::new_with_index(index).up();
    handle.link().set(up.build()).execute().await.context("cannot take the interface up")?;
    for address in settings.addresses.iter().filter(|address| address.prefix_len() < address.max_prefix_len())
    {
        let request = handle.route().add(own_network(index, address, &settings.ways)).replace();
        request.execute().await.with_context(|| format!("cannot tune the route to {}", address.trunc()))?;
    }
    for prefix in &settings.own_routes() {
        let request = handle.route().add(route(index, prefix, &settings.ways)).replace();
        request.execute().await.with_context(|| format!("cannot add the route to {prefix}"))?;
    }
    present::remove_stale_routes(handle, index, settings).await
}

/// How long a row of TCP segments may be that the kernel hands over at once, in bytes: what becomes datagrams that one call to
/// UDP takes. A few segments more would cost a call of their own, and the receiver as well.
fn gso_max_size(mtu: u16) -> u32 {
    /// Bytes, and datagrams, that one call takes.
    const CALL: (u32, u32) = (65_507, 64);
    /// What sealing adds to a packet.
    const SEALED: u32 = 32;
    /// Headers of a segment: IPv4's, TCP's with time stamps.
    const HEADERS: u32 = 20 + 32;
    /// What the kernel takes off for headers, whatever there are (`MAX_TCP_HEADER` and one).
    const RESERVED: u32 = 321;
    /// What an interface takes that asks for nothing special.
    const MOST: u32 = 65_536;
    let mtu = u32::from(mtu);
    let datagrams = (CALL.0 / (mtu + SEALED)).clamp(1, CALL.1);
    (datagrams * mtu.saturating_sub(HEADERS) + RESERVED).min(MOST)
}

/// Bounds the rows that the kernel hands over. One that does not let itself be told only costs us more calls.
async fn bound_rows(handle: &Handle, index: u32, size: LinkAttribute) {
    let link = LinkUnspec::new_with_index(index).append_extra_attribute(size);
    if let Err(error) = handle.link().set(link.build()).execute().await {
        debug!(%error, "the kernel hands over rows of segments as long as it likes");
    }
}

/// Puts the routes to these prefixes in place as `settings` have them, or removes them, and leaves everything else alone.
pub(super) async fn tune<'p>(
    handle: &Handle,
    index: u32,
    settings: &Settings,
    prefixes: impl Iterator<Item = &'p IpNet>,
) -> anyhow::Result<()> {
    for prefix in prefixes {
        let message = route(index, prefix, &settings.ways);
        if settings.has_own_route(prefix) {
            let replaced = handle.route().add(message).replace().execute().await;
            replaced.with_context(|| format!("cannot tune the route to {prefix}"))?;
        } else {
            match handle.route().del(message).execute().await {
                Err(error) if !present::is_no_route(&error) => {
                    return Err(error).with_context(|| format!("cannot remove the route to {prefix}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Keeps the kernel from giving the interface a link-local address, and with it from router solicitations and multicast
/// reports. Without IPv6 in the kernel there is nothing to quieten.
async fn quieten_ipv6(handle: &Handle, index: u32) {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let spec = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
    let link = LinkUnspec::new_with_index(index).append_extra_attribute(spec);
    if let Err(error) = handle.link().set(link.build()).execute().await {
        debug!(%error, "the kernel keeps its own IPv6 link-local address");
    }
}

/// Without duplicate address detection: nobody else has an address of ours, and the question would go over the air.
async fn add_address(handle: &Handle, index: u32, address: &IpNet) -> Result<(), rtnetlink::Error> {
    let mut request = handle.address().add(index, address.addr(), address.prefix_len()).replace();
    if is_v6(&address.addr()) {
        let message = request.message_mut();
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    request.execute().await
}

/// The route that the kernel made with the address, so that replacing it only adds what TCP is told.
fn own_network(index: u32, address: &IpNet, ways: &Ways) -> RouteMessage {
    const KERNELS_V6_METRIC: u32 = 256;
    let route = match address {
        IpNet::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address.network(), address.prefix_len())
            .output_interface(index)
            .pref_source(address.addr())
            .protocol(RouteProtocol::Kernel)
            .scope(RouteScope::Link)
            .build(),
        IpNet::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(address.network(), address.prefix_len())
            .output_interface(index)
            .priority(KERNELS_V6_METRIC)
            .protocol(RouteProtocol::Kernel)
            .build(),
    };
    if *ways == Ways::Radios { tuned(route, None) } else { route }
}

fn route(index: u32, prefix: &IpNet, ways: &Ways) -> RouteMessage {
    let route = match prefix {
        IpNet::V4(prefix) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .output_interface(index)
            .priority(ROUTE_METRIC)
            .protocol(RouteProtocol::Static)
            .scope(RouteScope::Link)
            .build(),
        IpNet::V6(prefix) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .output_interface(index)
            .priority(ROUTE_METRIC)
            .protocol(RouteProtocol::Static)
            .build(),
    };
    match ways {
        Ways::Radios => tuned(route, None),
        Ways::Mixed(by_radio) => match by_radio.get(prefix) {
            Some(mtu) => tuned(route, Some(*mtu)),
            None => route,
        },
    }
}

/// Tells TCP what the path is like. A half-duplex radio holds one packet; whatever more a sender has under way waits in our
/// queue, where it only delays what is to be sent again and keeps the receiver's acknowledgements off the air.
///
/// And how long a packet may be, where that is less than the interface takes.
fn tuned(mut route: RouteMessage, mtu: Option<u16>) -> RouteMessage {
    /// The number of the metric that the lock makes a limit (`RTAX_CWND`).
    const CWND: u32 = 7;
    let mut metrics = vec![
        RouteMetric::Lock(1 << CWND),
        RouteMetric::Cwnd(MAX_SEGMENTS),
        RouteMetric::InitCwnd(FIRST_SEGMENTS),
    ];
    metrics.extend(mtu.map(|mtu| RouteMetric::Mtu(mtu.into())));
    route.attributes.push(RouteAttribute::Metrics(metrics));
    route
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_segments_is_no_longer_than_one_call_takes() {
        for mtu in [68, 180, 576, 1280, 1420, 1500, 9000, 65_535] {
            let payload = gso_max_size(mtu) - 321;
            // The shortest headers make the most segments of the least payload.
            let segments = payload.div_ceil(u32::from(mtu) - 52).max(1);
            assert!(segments <= 64 && segments * (u32::from(mtu) + 32) <= 65_507 || segments == 1, "{mtu}");
        }
        assert_eq!((gso_max_size(1420) - 321) / (1420 - 52), 45);
    }
}

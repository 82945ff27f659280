//! What of this host lies around the interface: the addresses at which others may reach it, and the news that ways may have
//! opened or closed. The kernel tells every change of links, addresses and routes; they come in flocks (an interface that gets
//! an address gets routes too), so one look is taken when a flock has passed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::LinkFlags;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, MulticastGroup};

/// How long a flock of changes takes to pass. Short: traffic may be waiting for the way that they open.
pub(super) const FLOCK: Duration = Duration::from_millis(50);
/// How many addresses are told; a host with more has them for other purposes.
const MAX_ADDRESSES: usize = 16;

/// The groups whose messages are of interest.
pub(super) const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Whether a message may mean that another way leads out of this host than before. What concerns the interface of the
/// network itself, `ours`, does not.
pub(super) fn concerns(message: &NetlinkMessage<RouteNetlinkMessage>, ours: u32) -> bool {
    let NetlinkPayload::InnerMessage(message) = &message.payload else { return false };
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => link.header.index != ours,
        RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
            address.header.index != ours
        }
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            !goes_through(route, ours)
        }
        _ => false,
    }
}

fn goes_through(route: &RouteMessage, index: u32) -> bool {
    route.attributes.contains(&RouteAttribute::Oif(index))
}

/// Reads the addresses at which this host may be reached: those of interfaces that are up and have a carrier, other than
/// `ours` and the loopback, in the kernel's order.
///
/// # Errors
/// If the kernel does not tell.
pub(super) async fn addresses(handle: &Handle, ours: u32) -> Result<Vec<IpAddr>, rtnetlink::Error> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await?;
    let usable = LinkFlags::Up | LinkFlags::LowerUp;
    let usable: BTreeSet<u32> = links
        .iter()
        .filter(|link| link.header.index != ours && !link.header.flags.contains(LinkFlags::Loopback))
        .filter(|link| link.header.flags.contains(usable))
        .map(|link| link.header.index)
        .collect();
    let messages: Vec<_> = handle.address().get().execute().try_collect().await?;
    let reachable = messages.iter().filter(|message| usable.contains(&message.header.index));
    Ok(reachable.filter_map(address).take(MAX_ADDRESSES).collect())
}

/// The address, if somebody else can use it: none that the link alone knows, none that is not confirmed or is on its way out.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let unfit =
        AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed | AddressHeaderFlags::Deprecated;
    if message.header.scope != AddressScope::Universe || message.header.flags.intersects(unfit) {
        return None;
    }
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    local.or(any)
}

//! What of this host lies around the interface: the addresses at which others may reach it, and the news that ways may have
//! opened or closed. When to look is the `lookout`'s business.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::LinkFlags;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, MulticastGroup};

/// How many addresses are told; a host with more has them for other purposes.
const MAX_ADDRESSES: usize = 16;

/// This host's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// At which others may reach it, in the kernel's order: of interfaces that are up and have a carrier, the loopback left out.
    pub addresses: Vec<IpAddr>,
    /// Those of interfaces that are down or have no carrier, or of the network's own, and of no other: no datagram that leaves
    /// from there arrives.
    pub dark: Vec<IpAddr>,
}

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
    let message = match &message.payload {
        NetlinkPayload::InnerMessage(message) => message,
        // Some news was too much for the socket's buffer: nobody knows of what.
        NetlinkPayload::Overrun(_) => return true,
        _ => return false,
    };
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

/// Reads what lies around the interface `ours`.
///
/// # Errors
/// If the kernel does not tell.
pub(super) async fn look(handle: &Handle, ours: u32) -> Result<Surroundings, rtnetlink::Error> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await?;
    let works = LinkFlags::Up | LinkFlags::LowerUp;
    let others = links.iter().map(|link| &link.header).filter(|link| link.index != ours);
    let (bright, dark): (Vec<_>, Vec<_>) = others.partition(|link| link.flags.contains(works));
    let outward = bright.iter().filter(|link| !link.flags.contains(LinkFlags::Loopback));
    let outward: BTreeSet<u32> = outward.map(|link| link.index).collect();
    // What leaves from the network's own interface goes into the network, and not to a peer's address.
    let dark: BTreeSet<u32> = dark.iter().map(|link| link.index).chain([ours]).collect();
    let messages: Vec<_> = handle.address().get().execute().try_collect().await?;
    let on = |links: &BTreeSet<u32>, message: &&AddressMessage| links.contains(&message.header.index);
    let reachable = messages.iter().filter(|message| on(&outward, message) && is_fit(message));
    let lit: BTreeSet<IpAddr> =
        messages.iter().filter(|message| !on(&dark, message)).filter_map(address).collect();
    let unlit = messages.iter().filter(|message| on(&dark, message)).filter_map(address);
    Ok(Surroundings {
        addresses: reachable.filter_map(address).take(MAX_ADDRESSES).collect(),
        dark: unlit.filter(|address| !lit.contains(address)).collect(),
    })
}

/// Whether somebody else can use an address: none that the link alone knows, none that is not confirmed or is on its way out.
fn is_fit(message: &AddressMessage) -> bool {
    let unfit =
        AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed | AddressHeaderFlags::Deprecated;
    message.header.scope == AddressScope::Universe && !message.header.flags.intersects(unfit)
}

fn address(message: &AddressMessage) -> Option<IpAddr> {
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

//! The interface's addresses, MTU, routes and state, over rtnetlink.
//!
//! A helper thread with a runtime of its own is the only one that keeps CAP_NET_ADMIN. It takes two kinds of request,
//! [`Settings`] to apply and changes of their [`Ways`], and it applies them to one interface, whose index it looks up once at its start: whoever takes over
//! the thread that talks to strangers can ask for nothing else. It also watches that interface: it says if somebody else takes
//! it down or away, and puts back what it lost once it is up again. What changes around the interface takes no capability to
//! see: a [`Lookout`] tells it, for as long as somebody wants to know.
//!
//! Life-cycle: [`start`] while the starting thread has CAP_NET_ADMIN → [`Interface::configure`] → events → ends when the
//! [`Interface`] is dropped.
//!
//! Netlink allows one dump per socket at a time; the helper does one thing after the other, and has the kernel pick what concerns
//! its one interface.

mod apply;
mod lookout;
mod present;
mod surroundings;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;

use anyhow::{Context as _, anyhow};
use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use rtnetlink::sys::AsyncSocket as _;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

pub use lookout::Lookout;
pub use surroundings::Surroundings;
pub use watch::InterfaceEvent;

/// How many requests and events may wait.
const CHANNEL_LEN: usize = 8;

/// What the interface is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its MTU in bytes.
    pub mtu: u16,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// What is reached through it besides: everybody's AllowedIPs.
    pub routes: Vec<IpNet>,
    /// What TCP is told of the ways behind it.
    pub ways: Ways,
}

/// What TCP is told of the ways behind an interface: how much may be under way, and how long a packet may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ways {
    /// Radios and nothing else.
    Radios,
    /// The network has links where air is free too. What is reached by radio at present, and how long a packet may be there.
    Mixed(BTreeMap<IpNet, u16>),
}

impl Settings {
    /// Makes settings; of the `allowed` prefixes only those become routes that the addresses' own networks do not cover, and
    /// that the interface can speak.
    #[must_use]
    pub fn new(
        mac: [u8; 6],
        mtu: u16,
        addresses: Vec<IpNet>,
        allowed: impl IntoIterator<Item = IpNet>,
        ways: Ways,
    ) -> Self {
        let mut routes: Vec<IpNet> = allowed.into_iter().collect();
        routes.retain(|prefix| {
            let on_link = addresses.iter().any(|address| address.trunc().contains(prefix));
            let spoken = matches!(prefix, IpNet::V4(_)) || speaks_ipv6(mtu);
            spoken && !on_link
        });
        routes.sort();
        routes.dedup();
        Self { mac, mtu, addresses, routes, ways }
    }

    /// Takes over what is reached by radio from here on, or (`None`) is not any more.
    fn tune(&mut self, changes: &BTreeMap<IpNet, Option<u16>>) {
        let Ways::Mixed(by_radio) = &mut self.ways else { return };
        for (prefix, way) in changes {
            match way {
                Some(mtu) => by_radio.insert(*prefix, *mtu),
                None => by_radio.remove(prefix),
            };
        }
    }

    /// Whether a prefix is one of [`Self::own_routes`].
    fn has_own_route(&self, prefix: &IpNet) -> bool {
        let spoken = matches!(prefix, IpNet::V4(_)) || speaks_ipv6(self.mtu);
        let by_radio = matches!(&self.ways, Ways::Mixed(by_radio) if by_radio.contains_key(prefix));
        self.routes.binary_search(prefix).is_ok() || spoken && by_radio
    }

    /// Everything that has a route of its own: what `routes` says, and what is to be told apart from its surroundings.
    fn own_routes(&self) -> BTreeSet<IpNet> {
        let mut all: BTreeSet<IpNet> = self.routes.iter().copied().collect();
        if let Ways::Mixed(by_radio) = &self.ways {
            let spoken = |prefix: &&IpNet| matches!(prefix, IpNet::V4(_)) || speaks_ipv6(self.mtu);
            all.extend(by_radio.keys().filter(spoken));
        }
        all
    }
}

/// The kernel speaks IPv6 only on interfaces that carry its least MTU.
const fn speaks_ipv6(mtu: u16) -> bool {
    mtu >= crate::config::IPV6_MTU
}

/// What is asked of the helper.
enum Wanted {
    /// All of the interface.
    Configure(Settings),
    /// Routes alone.
    Tune(BTreeMap<IpNet, Option<u16>>),
}

/// A request to the helper.
struct Request {
    wanted: Wanted,
    done: oneshot::Sender<anyhow::Result<()>>,
}

/// The helper, as the rest of the daemon sees it.
pub struct Interface {
    requests: mpsc::Sender<Request>,
    index: u32,
    /// Where the helper tells its news, for a lookout to do the same. The channel is the helper's: it closes when that ends.
    events: mpsc::WeakSender<InterfaceEvent>,
}

impl Interface {
    /// Makes the interface what `settings` say, whatever it was, takes it up, and keeps it so. For threads without a
    /// runtime: it blocks.
    ///
    /// # Errors
    /// If the kernel refuses something; what came before it stays.
    pub fn configure(&self, settings: Settings) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        let request = Request { wanted: Wanted::Configure(settings), done };
        self.requests.blocking_send(request).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }

    /// Changes what the settings say of radios: which prefixes are reached by one, and how long a packet may be there, or
    /// (`None`) not any more. Only their routes are touched. Returns where the kernel's answer will come, unless the helper
    /// takes no more at present.
    #[must_use]
    pub fn tune(
        &self,
        changes: BTreeMap<IpNet, Option<u16>>,
    ) -> Option<oneshot::Receiver<anyhow::Result<()>>> {
        let (done, answer) = oneshot::channel();
        self.requests.try_send(Request { wanted: Wanted::Tune(changes), done }).ok().map(|()| answer)
    }

    /// As [`Interface::configure`], for a task.
    ///
    /// # Errors
    /// If the kernel refuses something; what came before it stays.
    pub async fn reconfigure(&self, settings: Settings) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        let request = Request { wanted: Wanted::Configure(settings), done };
        self.requests.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Has somebody tell what changes around the interface ([`InterfaceEvent::Surroundings`], among the helper's events), and
    /// how it is at the start, until the lookout is dropped. It takes no capability, and inherits what the caller has: call it
    /// once there is none left.
    ///
    /// # Errors
    /// If there is no other thread or netlink socket to be had.
    pub fn look_around(&self) -> anyhow::Result<Lookout> {
        lookout::start(self.index, self.events.clone())
    }
}

fn gone() -> anyhow::Error {
    anyhow!("the netlink helper has ended")
}

/// Starts the helper for the interface of that name.
///
/// # Errors
/// If there is no such interface, or no netlink.
pub fn start(name: &str) -> anyhow::Result<(Interface, mpsc::Receiver<InterfaceEvent>)> {
    let (requests, incoming) = mpsc::channel(CHANNEL_LEN);
    let (events, outgoing) = mpsc::channel(CHANNEL_LEN);
    let (ready, started) = oneshot::channel();
    let name = name.to_owned();
    let weak_events = events.downgrade();
    thread::Builder::new()
        .name("netlink".to_owned())
        .spawn(move || run(&name, incoming, events, ready))
        .context("cannot start the netlink helper")?;
    let index = started.blocking_recv().map_err(|_| gone())??;
    Ok((Interface { requests, index, events: weak_events }, outgoing))
}

fn run(
    name: &str,
    requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<InterfaceEvent>,
    ready: oneshot::Sender<anyhow::Result<u32>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Nobody waits for the answer only if the daemon is ending.
            let _ = ready.send(Err(anyhow!(error).context("cannot start the netlink helper's runtime")));
            return;
        }
    };
    runtime.block_on(async {
        match connect(name).await {
            Ok((handle, index, messages)) => {
                crate::wall::raise_around_netlink();
                let _ = ready.send(Ok(index));
                serve(&handle, watch::Watch::new(index, messages), requests, events).await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
}

/// Opens the socket, subscribed to news of links, and finds the interface.
async fn connect(name: &str) -> anyhow::Result<(rtnetlink::Handle, u32, watch::Messages)> {
    let (handle, messages) = subscribe(&[rtnetlink::MulticastGroup::Link])?;
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let link = links.try_next().await.with_context(|| format!("cannot find the interface {name}"))?;
    let index =
        link.map(|link| link.header.index).with_context(|| format!("there is no interface {name}"))?;
    Ok((handle, index, messages))
}

/// Opens a socket that hears news of these groups, and has the runtime that this is called in serve it.
fn subscribe(groups: &[rtnetlink::MulticastGroup]) -> anyhow::Result<(rtnetlink::Handle, watch::Messages)> {
    let (mut connection, handle, messages) =
        rtnetlink::new_multicast_connection(groups).context("cannot open netlink")?;
    let socket = connection.socket_mut().socket_mut();
    socket.set_netlink_get_strict_chk(true).context("cannot have the kernel choose what it answers")?;
    tokio::spawn(connection);
    Ok((handle, messages.map(|(message, _)| message).boxed()))
}

/// Serves requests and passes news on until nobody wants either.
async fn serve(
    handle: &rtnetlink::Handle,
    mut watch: watch::Watch,
    mut requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<InterfaceEvent>,
) {
    let index = watch.index();
    let mut current: Option<Settings> = None;
    loop {
        let event = tokio::select! {
            request = requests.recv() => {
                let Some(Request { wanted, done }) = request else { return };
                let (settings, applied) = match (wanted, &current) {
                    (Wanted::Configure(settings), _) => {
                        let applied = apply::apply(handle, index, &settings).await;
                        (settings, applied)
                    }
                    (Wanted::Tune(changes), Some(current)) => {
                        let mut settings = current.clone();
                        settings.tune(&changes);
                        let applied = apply::tune(handle, index, &settings, changes.keys()).await;
                        (settings, applied)
                    }
                    // Before it is anything there is nothing to tune.
                    (Wanted::Tune(_), None) => continue,
                };
                // Somebody who asked for what cannot be must not keep the interface from coming up again as it was.
                if applied.is_ok() {
                    current = Some(settings);
                }
                // Who asked may not be waiting.
                if let Err(Err(error)) = done.send(applied) {
                    warn!("the interface is not quite as it should be: {error:#}");
                }
                continue;
            }
            event = watch.next() => {
                let Some(event) = event else { return };
                let restored = match (&event, &current) {
                    // Going down cost it its routes and IPv6 addresses.
                    (InterfaceEvent::Up, Some(settings)) => apply::apply(handle, index, settings).await,
                    _ => Ok(()),
                };
                restored.map_or_else(|error| InterfaceEvent::Broken(format!("{error:#}")), |()| event)
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Tells whether an address is one of IPv6.
const fn is_v6(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn a_prefix_inside_our_own_network_needs_no_route() {
        let allowed = nets(&["10.42.0.2/32", "10.42.0.0/24", "10.43.0.0/16", "10.0.0.0/8", "10.43.0.0/16"]);
        let settings = Settings::new([2; 6], 180, nets(&["10.42.0.1/24"]), allowed, Ways::Radios);
        assert_eq!(settings.routes, nets(&["10.0.0.0/8", "10.43.0.0/16"]));
    }

    #[test]
    fn a_peer_inside_our_own_network_has_a_route_while_its_way_is_another() {
        let host: IpNet = "10.42.0.2/32".parse().unwrap();
        let ways = Ways::Mixed([(host, 600)].into());
        let settings = Settings::new([2; 6], 1420, nets(&["10.42.0.1/24"]), [host], ways);
        assert_eq!(settings.routes, []);
        assert_eq!(settings.own_routes(), [host].into());
    }

    #[test]
    fn a_change_of_ways_concerns_the_routes_that_it_names() {
        let allowed = nets(&["10.42.0.2/32", "10.42.0.3/32", "10.43.0.0/16", "fd43::/64"]);
        let settings =
            |ways| Settings::new([2; 6], 1000, nets(&["10.42.0.1/24"]), allowed.clone(), Ways::Mixed(ways));
        let mut tuned = settings([(allowed[0], 576)].into());
        tuned.tune(&[(allowed[0], None), (allowed[1], Some(600)), (allowed[2], Some(700))].into());
        tuned.tune(&[(allowed[1], Some(800)), (allowed[3], Some(1280))].into());
        let by_radio = [(allowed[1], 800), (allowed[2], 700), (allowed[3], 1280)];
        assert_eq!(tuned, settings(by_radio.into()));
        for prefix in &allowed {
            assert_eq!(tuned.has_own_route(prefix), tuned.own_routes().contains(prefix), "{prefix}");
        }
        assert_eq!(tuned.own_routes(), [allowed[1], allowed[2]].into(), "IPv6 is not spoken");
    }

    #[test]
    fn an_interface_too_small_for_ipv6_gets_no_route_of_it() {
        let allowed = || nets(&["fd43::/64"]);
        let routes =
            |mtu| Settings::new([2; 6], mtu, nets(&["10.42.0.1/24"]), allowed(), Ways::Radios).routes;
        assert_eq!((routes(1279), routes(1280)), (Vec::new(), allowed()));
    }
}

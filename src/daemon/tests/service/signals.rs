//! What clients hear when the network changes.

use futures_util::StreamExt as _;
use meshnet_bus::names::{PEER, RADIO, ROOT, link_path, peer_path};
use meshnet_bus::proxy::{NetworkProxy, PeerProxy};
use meshnetd::control::{CHANGES, Change};
use zbus::fdo::{ManagedObjects, ObjectManagerProxy, PropertiesProxy};
use zbus::wire::OwnedObjectPath;

use crate::fake::{Fake, key, peer, radio};
use crate::peer_to_peer::{Pair, pair};

const NAME: &str = "org.meshnet1.mesh0";

async fn manager(pair: &Pair) -> ObjectManagerProxy<'static> {
    ObjectManagerProxy::new(&pair.client, NAME, ROOT).await.unwrap()
}

fn paths(objects: &ManagedObjects) -> Vec<&str> {
    let mut paths: Vec<_> = objects
        .iter()
        .filter(|(_, interfaces)| !interfaces.is_empty())
        .map(|(path, _)| path.as_str())
        .collect();
    paths.sort_unstable();
    paths
}

#[tokio::test]
async fn the_tree_is_what_the_network_is() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let manager = manager(&pair).await;
    let objects = manager.get_managed_objects().await.unwrap();
    let (peer2, radio0) = (peer_path(key(2).as_bytes()), link_path("radio0"));
    assert_eq!(paths(&objects), [radio0.as_str(), peer2.as_str()]);
    assert!(objects[&radio0].contains_key(RADIO));
    assert!(objects[&peer2][PEER].contains_key("AllowedIPs"));

    let mut added = manager.receive_interfaces_added().await.unwrap();
    let mut removed = manager.receive_interfaces_removed().await.unwrap();
    let edit = |network: &mut meshnet_bus::describe::Network| {
        network.peers = vec![peer(3)];
        network.links.push(radio("radio-1"));
    };
    fake.change(edit, vec![Change::Network]).await;
    let gone = removed.next().await.unwrap();
    assert_eq!(gone.args().unwrap().object_path, peer2.as_ref());
    let mut came = Vec::new();
    for _ in 0..3 {
        came.push(added.next().await.unwrap().args().unwrap().object_path.to_string());
    }
    came.sort_unstable();
    let (peer3, radio1) = (peer_path(key(3).as_bytes()), link_path("radio-1"));
    assert_eq!(came, [radio1.as_str(), radio1.as_str(), peer3.as_str()]);
    let objects = manager.get_managed_objects().await.unwrap();
    assert_eq!(paths(&objects), [radio0.as_str(), radio1.as_str(), peer3.as_str()]);
}

#[tokio::test]
async fn events_are_signals_that_agree_with_the_properties() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let network = NetworkProxy::new(&pair.client, NAME).await.unwrap();
    let (mut up, mut down) =
        (network.receive_peer_up().await.unwrap(), network.receive_peer_down().await.unwrap());
    let mut path = network.receive_path_changed().await.unwrap();
    let mut link_up = network.receive_link_up().await.unwrap();
    let mut link_down = network.receive_link_down().await.unwrap();

    let edit = |network: &mut meshnet_bus::describe::Network| {
        network.peers[0].state = "idle".to_owned();
        network.peers[0].endpoint = Some("!00000009".to_owned());
        network.peers[0].path_reason = Some("silent".to_owned());
        network.links[0].fault = Some("the radio has no region".to_owned());
    };
    let news = vec![
        Change::PeerUp(key(2)),
        Change::PeerDown(key(2)),
        Change::PathChanged(key(2)),
        Change::LinkUp("radio0".to_owned()),
        Change::LinkDown("radio0".to_owned()),
    ];
    fake.change(edit, news).await;
    let peer2 = peer_path(key(2).as_bytes());
    let signal = up.next().await.unwrap();
    let args = signal.args().unwrap();
    assert_eq!((&args.peer, args.name), (&peer2.as_ref(), "peer2"));
    let builder = PeerProxy::builder(&pair.client).path(peer2.clone()).destination(NAME);
    assert_eq!(builder.build().await.unwrap().state().await.unwrap(), "idle");
    let signal = down.next().await.unwrap();
    assert_eq!(signal.args().unwrap().public_key, key(2).to_string());
    let signal = path.next().await.unwrap();
    let args = signal.args().unwrap();
    assert_eq!((args.path, args.reason), ("radio0 !00000009", "silent"));
    let signal = link_up.next().await.unwrap();
    assert_eq!(signal.args().unwrap().link, link_path("radio0").as_ref());
    let signal = link_down.next().await.unwrap();
    assert_eq!(signal.args().unwrap().reason, "the radio has no region");
}

#[tokio::test]
async fn only_what_does_not_count_is_told() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let builder = PropertiesProxy::builder(&pair.client).destination(NAME);
    let properties = builder.path(peer_path(key(2).as_bytes())).build().await.unwrap();
    let mut changed = properties.receive_properties_changed().await.unwrap();

    let edit = |network: &mut meshnet_bus::describe::Network| network.peers[0].sent.packets += 1;
    fake.change(edit, vec![Change::PeerChanged(key(2))]).await;
    let edit = |network: &mut meshnet_bus::describe::Network| {
        network.peers[0].sent.packets += 1;
        network.peers[0].state = "idle".to_owned();
        network.peers[0].mode = "SYMMETRIC".to_owned();
    };
    fake.change(edit, vec![Change::PeerChanged(key(2))]).await;
    let signal = changed.next().await.unwrap();
    let args = signal.args().unwrap();
    assert_eq!(args.interface_name.as_str(), PEER);
    let mut names: Vec<_> = args.changed_properties.keys().copied().collect();
    names.sort_unstable();
    assert_eq!(names, ["Mode", "State"], "the first signal is about the second change, and of what is told");
}

#[tokio::test]
async fn who_fell_behind_is_brought_up_to_date() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let manager = manager(&pair).await;
    let mut added = manager.receive_interfaces_added().await.unwrap();
    // More news than a listener may be behind, in one go: the last of it is lost on nobody.
    let edit = |network: &mut meshnet_bus::describe::Network| network.peers.push(peer(3));
    fake.change(edit, vec![Change::PeerUp(key(2)); CHANGES * 2]).await;
    let came = added.next().await.unwrap().args().unwrap().object_path.to_string();
    assert_eq!(came, peer_path(key(3).as_bytes()).as_str());
}

#[tokio::test]
async fn a_peer_that_is_gone_has_no_object() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let manager = manager(&pair).await;
    let mut removed = manager.receive_interfaces_removed().await.unwrap();
    fake.change(|network| network.peers.clear(), vec![Change::Network]).await;
    removed.next().await.unwrap();
    let path: OwnedObjectPath = peer_path(key(2).as_bytes());
    let peer = PeerProxy::builder(&pair.client).path(path).destination(NAME).build().await;
    let error = match peer {
        Ok(peer) => peer.ping(0, 0).await.unwrap_err().message(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("Unknown object"), "{error}");
}

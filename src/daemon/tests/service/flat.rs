//! What a piece of news about one peer has the service ask of the core does not grow with the network.

use futures_util::StreamExt as _;
use meshnet_bus::describe::Peer;
use meshnet_bus::names::peer_path;
use meshnet_proto::key::{PrivateKey, PublicKey};
use meshnetd::control::{self, Change, Command, Control, Scope};
use tokio::sync::mpsc;
use zbus::fdo::PropertiesProxy;

use crate::fake::{cut, network, peer};
use crate::peer_to_peer::pair;

fn key(number: u16) -> PublicKey {
    let mut bytes = [9; 32];
    bytes[8..10].copy_from_slice(&number.to_be_bytes());
    PrivateKey::from_random(bytes).public()
}

/// A core with so many peers, of which each piece of news is that a peer's session ended; it tells what it is asked for.
async fn core(
    peers: u16,
    mut control: Control,
    mut news: mpsc::UnboundedReceiver<PublicKey>,
    asked: mpsc::UnboundedSender<Scope>,
) {
    let mut network = network();
    let keys: Vec<_> = (0..peers).map(key).collect();
    network.peers = keys.iter().map(|key| Peer { public_key: key.to_string(), ..peer(2) }).collect();
    loop {
        tokio::select! {
            Some(command) = control.commands.recv() => match command {
                Command::Describe(scope, reply) => {
                    let _ = asked.send(scope);
                    drop(reply.send(cut(&network, scope)));
                }
                Command::Members(reply) => drop(reply.send(Ok(keys.clone()))),
                other => panic!("nobody orders {other:?}"),
            },
            Some(gone) = news.recv() => {
                let at = keys.iter().position(|key| *key == gone).unwrap();
                network.peers[at].state = "idle".to_owned();
                control.tell(Change::PeerDown(gone));
            }
            else => return,
        }
    }
}

/// What the core is asked for after news of one peer, until clients have heard of it.
async fn asked_for(peers: u16) -> Vec<Scope> {
    let (handle, control) = control::channel();
    let (news, incoming) = mpsc::unbounded_channel();
    let (asked, mut asking) = mpsc::unbounded_channel();
    tokio::spawn(core(peers, control, incoming, asked));
    let pair = pair(handle).await;
    let builder = PropertiesProxy::builder(&pair.client).destination("org.meshnet1.mesh0");
    let properties = builder.path(peer_path(key(3).as_bytes())).build().await.unwrap();
    let mut changed = properties.receive_properties_changed().await.unwrap();
    while asking.try_recv().is_ok() {}

    news.send(key(3)).unwrap();
    let signal = changed.next().await.unwrap();
    assert_eq!(signal.args().unwrap().changed_properties.keys().copied().collect::<Vec<_>>(), ["State"]);
    let mut scopes = Vec::new();
    while let Ok(scope) = asking.try_recv() {
        scopes.push(scope);
    }
    scopes
}

#[tokio::test]
async fn news_of_one_peer_is_one_look_at_that_peer_however_many_there_are() {
    for peers in [10, 1000] {
        assert_eq!(asked_for(peers).await, [Scope::Peer(key(3))], "{peers} peers");
    }
}

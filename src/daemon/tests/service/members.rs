//! Every member of every interface, through the proxies that clients use.

use std::collections::BTreeMap;

use meshnet_bus::Error;
use meshnet_bus::describe;
use meshnet_bus::names::{link_path, peer_path};
use meshnet_bus::proxy::{LinkProxy, NetworkProxy, PeerProxy, RadioProxy};
use meshnet_bus::settings::{PeerSettings, Pong};
use zbus::proxy::CacheProperties;

use crate::fake::{Fake, key, network};
use crate::peer_to_peer::pair;

fn settings() -> PeerSettings {
    PeerSettings {
        allowed_ips: Some(vec!["10.42.0.3/32".to_owned()]),
        endpoints: Some(vec!["!00000003".to_owned()]),
        ..PeerSettings::default()
    }
}

#[tokio::test]
async fn the_network_says_how_it_is() {
    let (handle, _fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::builder(&pair.client)
        .destination("org.meshnet1.mesh0")
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .unwrap();
    assert_eq!(proxy.state().await.unwrap(), "running");
    assert_eq!(proxy.state_reason().await.unwrap(), "");
    assert_eq!(proxy.interface().await.unwrap(), "mesh0");
    assert_eq!(proxy.version().await.unwrap(), "1.2.3");
    assert_eq!(proxy.public_key().await.unwrap(), key(1).to_string());
    assert_eq!(proxy.addresses().await.unwrap(), ["10.42.0.1/24"]);
    assert_eq!(proxy.mtu().await.unwrap(), 180);
    assert_eq!(proxy.packets_sent().await.unwrap(), 10);
    assert_eq!(proxy.packets_received().await.unwrap(), 9);
    assert_eq!(proxy.bytes_sent().await.unwrap(), 1000);
    assert_eq!(proxy.bytes_received().await.unwrap(), 900);
    assert_eq!(proxy.airtime_sent().await.unwrap(), 5000);
    assert_eq!(proxy.drops().await.unwrap(), BTreeMap::from([("no-peer".to_owned(), 3)]));
    let described = describe::Network::from_json(&proxy.describe().await.unwrap()).unwrap();
    assert_eq!(described, network());
}

#[tokio::test]
async fn a_peer_says_how_it_is_and_answers_pings() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let path = peer_path(key(2).as_bytes());
    let builder = PeerProxy::builder(&pair.client).path(path).destination("org.meshnet1.mesh0");
    let proxy = builder.cache_properties(CacheProperties::No).build().await.unwrap();
    assert_eq!(proxy.public_key().await.unwrap(), key(2).to_string());
    assert_eq!(proxy.name().await.unwrap(), "peer2");
    assert_eq!(proxy.endpoints().await.unwrap(), ["!d45b9db8"]);
    assert_eq!(proxy.allowed_ips().await.unwrap(), ["10.42.0.2/32"]);
    assert_eq!(proxy.mode().await.unwrap(), "PKI");
    assert_eq!(proxy.origin().await.unwrap(), "config");
    assert_eq!(proxy.state().await.unwrap(), "established");
    assert_eq!(proxy.current_path().await.unwrap(), "radio0 !d45b9db8");
    assert_eq!(proxy.path_reason().await.unwrap(), "proven");
    assert_eq!(proxy.tier().await.unwrap(), "radio");
    let paths = proxy.paths().await.unwrap();
    let [path] = paths.as_slice() else { panic!("{paths:?}") };
    let number = |key: &str| u64::try_from(&path[key]).unwrap();
    assert_eq!(<&str>::try_from(&path["Endpoint"]).unwrap(), "!d45b9db8");
    assert_eq!((number("LastHeard"), number("Rtt")), (1_000_000 - 10, 1_500_500));
    assert_eq!((number("BytesSent"), number("AirtimeSent")), (1400, 5000));
    assert!(bool::try_from(&path["Current"]).unwrap() && !path.contains_key("Loss"), "{path:?}");
    assert_eq!(proxy.last_handshake().await.unwrap(), 1_000_000 - 100);
    assert_eq!(proxy.last_seen().await.unwrap(), 0);
    assert_eq!(proxy.rtt().await.unwrap(), 1_500_500);
    assert_eq!(proxy.loss().await.unwrap(), 0.25);
    assert_eq!(proxy.packets_sent().await.unwrap(), 10);
    assert_eq!(proxy.packets_received().await.unwrap(), 9);
    assert_eq!(proxy.bytes_sent().await.unwrap(), 1000);
    assert_eq!(proxy.bytes_received().await.unwrap(), 900);
    assert_eq!(proxy.airtime_sent().await.unwrap(), 5000);
    assert_eq!(proxy.airtime_received().await.unwrap(), 4000);
    assert_eq!(proxy.drops().await.unwrap(), BTreeMap::from([("replayed".to_owned(), 1)]));

    let pong = proxy.ping(56, 0).await.unwrap();
    assert_eq!(pong, Pong { rtt_us: 2_000_000, floor_us: 1_500_000 });
    proxy.ping(0, 1500).await.unwrap();
    assert_eq!(fake.orders(), [format!("ping {} 56 None", key(2)), format!("ping {} 0 Some(1.5s)", key(2))]);
    for (bytes, milliseconds) in [(1201, 0), (u32::MAX, 0), (0, 600_001)] {
        let error = proxy.ping(bytes, milliseconds).await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgs(_)), "{error:?}");
    }
    assert!(fake.orders().is_empty());
}

#[tokio::test]
async fn a_link_and_its_radio_say_how_they_are() {
    let (handle, _fake) = Fake::start();
    let pair = pair(handle).await;
    let path = link_path("radio0");
    let builder = LinkProxy::builder(&pair.client).path(path.clone()).destination("org.meshnet1.mesh0");
    let link = builder.cache_properties(CacheProperties::No).build().await.unwrap();
    assert_eq!(link.name().await.unwrap(), "radio0");
    assert_eq!(link.kind().await.unwrap(), "meshtastic");
    assert_eq!(link.connect().await.unwrap(), "tcp://192.0.2.7:4403");
    assert_eq!(link.state().await.unwrap(), "up");
    assert_eq!(link.fault().await.unwrap(), "");
    assert_eq!(link.mtu().await.unwrap(), 231);
    assert_eq!(link.datagrams_sent().await.unwrap(), 12);
    assert_eq!(link.datagrams_received().await.unwrap(), 11);
    assert_eq!(link.datagrams_refused().await.unwrap(), 1);
    assert_eq!(link.queued().await.unwrap(), BTreeMap::from([("bulk".to_owned(), 2)]));

    let builder = RadioProxy::builder(&pair.client).path(path).destination("org.meshnet1.mesh0");
    let radio = builder.cache_properties(CacheProperties::No).build().await.unwrap();
    assert_eq!(radio.node_id().await.unwrap(), "!a0000001");
    assert_eq!(radio.radio_name().await.unwrap(), "roof");
    assert_eq!(radio.firmware().await.unwrap(), "2.7.0");
    assert_eq!(radio.region().await.unwrap(), "EU_868");
    assert_eq!(radio.preset().await.unwrap(), "LONG_FAST");
    assert_eq!(radio.channel_utilization().await.unwrap(), 12.5);
    assert_eq!(radio.airtime_used().await.unwrap(), 9000);
    assert_eq!(radio.airtime_left().await.unwrap(), u64::MAX);
    assert_eq!(radio.queue_free().await.unwrap(), 15);
    assert_eq!(radio.queue_length().await.unwrap(), 16);
    assert_eq!(radio.nodes_heard().await.unwrap(), 7);
    let neighbours = radio.neighbours().await.unwrap();
    let mut known: Vec<_> = neighbours[0].keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(known, ["Hops", "Key", "Radio", "Rssi", "Snr"], "what is unknown is not there");
    assert_eq!(f64::try_from(&neighbours[0]["Snr"]).unwrap(), 6.25);
}

#[tokio::test]
async fn orders_reach_the_core_as_values() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    let path = proxy.add_peer(&key(3).to_string(), settings()).await.unwrap();
    assert_eq!(path, peer_path(key(3).as_bytes()));
    let orders = fake.orders();
    assert!(orders[0].starts_with(&format!("add {} ", key(3))), "{orders:?}");
    assert!(orders[0].contains("[10.42.0.3/32]") && orders[0].contains("persist: None"), "{orders:?}");

    let places = ["!00000004", "CABIN.example:51820", "[2001:db8::7]:5"].map(str::to_owned).to_vec();
    let several = PeerSettings {
        endpoints: Some(places),
        mode: Some("WIREGUARD".to_owned()),
        persistent_keepalive: Some(25),
        bulk_over_radio: Some(true),
        ..settings()
    };
    proxy.add_peer(&key(4).to_string(), several).await.unwrap();
    let orders = fake.orders();
    for part in
        ["host: \"cabin.example\", port: 51820", "udp://[2001:db8::7]:5", "Some(Some(25))", "Wireguard"]
    {
        assert!(orders[0].contains(part), "{part}: {orders:?}");
    }

    let change = PeerSettings { name: Some(String::new()), persist: Some(false), ..PeerSettings::default() };
    proxy.set_peer(&key(3).to_string(), change).await.unwrap();
    let orders = fake.orders();
    assert!(orders[0].contains("name: Some(\"\"), allowed_ips: None"), "{orders:?}");
    assert!(orders[0].contains("persist: Some(false)"), "{orders:?}");

    proxy.remove_peer(&key(3).to_string()).await.unwrap();
    proxy.rekey("").await.unwrap();
    proxy.rekey(&key(2).to_string()).await.unwrap();
    proxy.reload().await.unwrap();
    let expected = [
        format!("remove {}", key(3)),
        "rekey None".to_owned(),
        format!("rekey Some({:?})", key(2)),
        "reload".to_owned(),
    ];
    assert_eq!(fake.orders(), expected);
}

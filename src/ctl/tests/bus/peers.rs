//! What is done to peers.

use meshnet_bus::Error;
use meshnet_bus::describe::Link;
use meshnet_bus::settings::Pong;
use meshnetd::control::Change;

use crate::world::{Bus, Daemon, key};

const PSK: &str = "oIslLgzomGbnGd08R0sQ7z2FQfCgPIzij0X7zMVoZEA=";

#[tokio::test]
async fn a_peer_is_added_changed_listed_and_removed() {
    let bus = Bus::start();
    let daemon = Daemon::start(&bus, "mesh0").await;
    let hut = key(3).to_string();
    let add =
        ["peer", "add", &hut, "--name", "hut", "--allowed-ips", "10.42.0.3/32", "--endpoint", "!0000abcd"];
    let done =
        bus.meshctl_with(&[&add[..], &["--preshared-key-file", "-"]].concat(), &format!("{PSK}\n")).await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    assert_eq!(daemon.table.lock().unwrap().keys, [PSK]);

    let done = bus.meshctl(&["peer", "set", "hut", "--endpoint", "!00001234"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let peers = bus.meshctl(&["peer", "list", "--json"]).await.json();
    assert_eq!(peers["peers"][1]["name"], "hut");
    assert_eq!(peers["peers"][1]["origin"], "bus");
    assert_eq!(peers["peers"][1]["endpoints"][0], "!00001234");
    let table = bus.meshctl(&["peer", "list"]).await.stdout;
    assert!(table.lines().nth(2).unwrap().starts_with("hut "), "{table}");

    let done = bus.meshctl(&["peer", "remove", &hut[..8]]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(daemon.table.lock().unwrap().network.peers.len(), 1);
}

#[tokio::test]
async fn a_phone_is_added_by_the_daemon_and_its_file_goes_to_who_asked() {
    let bus = Bus::start();
    let daemon = Daemon::start(&bus, "mesh0").await;
    let words = ["wg", "phone", "anna", "--endpoint", "vpn.example.org", "--psk", "--no-qr"];
    let refused = bus.meshctl(&words).await;
    assert!(refused.code == 1 && refused.stderr.contains("no udp link"), "{refused:?}");
    let udp0 = Link {
        name: "udp0".to_owned(),
        kind: "udp".to_owned(),
        connect: "udp://*:51820".to_owned(),
        ..Link::default()
    };
    daemon.change(|network| network.links.push(udp0), vec![Change::Network]).await;
    let done = bus.meshctl(&words).await;
    assert_eq!(done.code, 0, "{done:?}");
    let value =
        |key: &str| done.stdout.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    assert_eq!(
        (value("Endpoint"), value("PublicKey")),
        ("vpn.example.org:51820", key(1).to_string().as_str())
    );
    let private: meshnet_proto::key::PrivateKey = value("PrivateKey").parse().unwrap();
    let table = daemon.table.lock().unwrap();
    let anna = table.network.peers.last().unwrap();
    assert_eq!((anna.name.as_deref(), &anna.public_key), (Some("anna"), &private.public().to_string()));
    assert_eq!(anna.allowed_ips, [value("Address")]);
    assert_eq!(table.keys, [value("PresharedKey")]);
}

#[tokio::test]
async fn two_running_networks_exchange_lines_and_take_the_same_mode() {
    let (here, there) = (Bus::start(), Bus::start());
    let west = Daemon::start(&here, "mesh0").await;
    let east = Daemon::start(&there, "mesh0").await;
    let links = |radio: &str, address: &str| {
        let radio = meshnet_bus::describe::Radio { radio: Some(radio.to_owned()), ..Default::default() };
        let (kind, connect) = ("udp".to_owned(), format!("udp://{address}"));
        [Link { radio, ..Link::default() }, Link { kind, connect, ..Link::default() }]
    };
    let at = |links: [Link; 2], own: u8| {
        move |network: &mut meshnet_bus::describe::Network| {
            (network.links, network.peers) = (links.to_vec(), Vec::new());
            network.public_key = key(own).to_string();
            network.addresses = vec![format!("10.42.0.{own}/24")];
        }
    };
    west.change(at(links("!a0000001", "192.0.2.1:51820"), 1), vec![Change::Network]).await;
    east.change(at(links("!a0000002", "[2001:db8::2]:5"), 2), vec![Change::Network]).await;
    let line = here.meshctl(&["invite", "--no-address", "--name", "west"]).await;
    assert!(
        line.stdout.contains(",radio=a0000001,udp=192.0.2.1:51820,name=west,mtu=1280,mode=wireguard,"),
        "{line:?}"
    );
    let answer = there.meshctl(&["join", line.stdout.trim(), "--name", "east", "--psk"]).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    let done = here.meshctl_with(&["join"], &answer.stdout).await;
    assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{done:?}");

    for (daemon, name, endpoints) in [
        (&west, "east", ["!a0000002", "udp://[2001:db8::2]:5"]),
        (&east, "west", ["!a0000001", "udp://192.0.2.1:51820"]),
    ] {
        let table = daemon.table.lock().unwrap();
        let [peer] = table.network.peers.as_slice() else { panic!("{:?}", table.network.peers) };
        assert_eq!((peer.name.as_deref(), peer.mode.as_str()), (Some(name), "WIREGUARD"));
        assert_eq!(peer.endpoints, endpoints);
    }
    assert_eq!(west.table.lock().unwrap().keys, east.table.lock().unwrap().keys);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_reason() {
    let bus = Bus::start();
    let _daemon = Daemon::start(&bus, "mesh0").await;
    let done = bus.meshctl(&["peer", "remove", "attic"]).await;
    assert_eq!(done.code, 10);
    assert!(done.stderr.contains("mesh0 has: cabin"), "{done:?}");
    let done = bus.meshctl(&["peer", "remove", "cabin"]).await;
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("cannot remove peer cabin") && done.stderr.contains("/etc/meshnet/mesh0.conf"),
        "{done:?}"
    );
    for words in [&["add", "nonsense"][..], &["add", &key(3).to_string()], &["set", "cabin"]] {
        assert_eq!(bus.meshctl(&[&["peer"], words].concat()).await.code, 2, "{words:?}");
    }
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let bus = Bus::start();
    let daemon = Daemon::start_guarded(&bus, "mesh0").await;
    assert_eq!(bus.meshctl(&["show"]).await.code, 0, "reading is free");
    for words in [&["peer", "remove", "cabin"][..], &["ping", "cabin"], &["rekey"], &["reload"]] {
        let done = bus.meshctl(&[&["--no-ask-password"], words].concat()).await;
        assert_eq!(done.code, 13, "{words:?}: {done:?}");
        assert!(done.stderr.contains("sudo"), "{done:?}");
    }
    assert!(daemon.table.lock().unwrap().orders.is_empty());
}

#[tokio::test]
async fn fresh_keys_and_a_reload_reach_the_daemon() {
    let bus = Bus::start();
    let daemon = Daemon::start(&bus, "mesh0").await;
    for words in [&["rekey"][..], &["rekey", "10.42.0.2"], &["reload", "mesh0"]] {
        assert_eq!(bus.meshctl(words).await.code, 0, "{words:?}");
    }
    let orders = std::mem::take(&mut daemon.table.lock().unwrap().orders);
    assert_eq!(orders, ["rekey all".to_owned(), format!("rekey {}", key(2)), "reload".to_owned()]);
}

#[tokio::test]
async fn fresh_keys_and_a_reload_are_answered_in_json() {
    let bus = Bus::start();
    let _daemon = Daemon::start(&bus, "mesh0").await;
    for (words, expected) in [
        (&["rekey", "-j"][..], serde_json::json!({"schema": 1, "network": "mesh0", "public_key": null})),
        (
            &["rekey", "cabin", "--json"],
            serde_json::json!({"schema": 1, "network": "mesh0", "public_key": key(2).to_string()}),
        ),
        (&["reload", "--json=pretty"], serde_json::json!({"schema": 1, "network": "mesh0"})),
    ] {
        let done = bus.meshctl(words).await;
        assert_eq!((done.code, done.json()), (0, expected), "{words:?}");
    }
    assert_eq!(bus.meshctl(&["rekey"]).await.stdout, "");
}

#[tokio::test]
async fn pings_that_come_back_stand_beside_what_the_air_takes() {
    let bus = Bus::start();
    let daemon = Daemon::start(&bus, "mesh0").await;
    let pong = || Ok(Pong { rtt_us: 2_000_000, floor_us: 1_500_000 });
    daemon.table.lock().unwrap().pongs = vec![pong(), Err(Error::Timeout(String::new())), pong()];
    let done = bus.meshctl(&["ping", "cabin", "--interval", "0", "--size", "16"]).await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let expected = "\
Pinging cabin (10.42.0.2) over mesh0: 3 pings with 16 bytes of data, which cost about 3 s of air there and back.
1: 2 s (the air alone takes 1.5 s)
2: no answer
3: 2 s (the air alone takes 1.5 s)
--- cabin ---
3 sent, 2 answered, 33 % lost
round trip: least 2 s, mean 2 s, most 2 s
those answered took 3 s of air there and back, waits for a free channel included
";
    assert_eq!(done.stdout, expected);
    assert_eq!(daemon.table.lock().unwrap().orders, ["ping 16"; 3]);
}

#[tokio::test]
async fn if_nothing_comes_back_that_is_a_failure() {
    let bus = Bus::start();
    let daemon = Daemon::start(&bus, "mesh0").await;
    daemon.table.lock().unwrap().pongs = vec![Err(Error::LinkDown("no link reaches cabin".to_owned()))];
    let done = bus.meshctl(&["ping", "!d45b9db8", "-c", "2", "-i", "0", "--json"]).await;
    assert_eq!(done.code, 1);
    let pings = done.json()["pings"].clone();
    assert_eq!(pings[0]["error"], "no link reaches cabin");
    assert!(pings[1]["error"].is_null() && pings[1]["rtt_us"].is_null(), "{pings}");
}

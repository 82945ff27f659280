//! Every error, from the core to the client.

use meshnet_bus::Error;
use meshnet_bus::proxy::NetworkProxy;
use meshnet_bus::settings::{MAX_ENDPOINTS, MAX_LIST_LEN, MAX_TEXT_LEN, PeerSettings};

use crate::fake::{Fake, key};
use crate::peer_to_peer::pair;

/// Everything that the core may answer, with the name that it must have on the bus.
fn all() -> Vec<(Error, &'static str)> {
    let text = || "why".to_owned();
    vec![
        (Error::NoSuchPeer(text()), "NoSuchPeer"),
        (Error::PeerExists(text()), "PeerExists"),
        (Error::NotAuthorized(text()), "NotAuthorized"),
        (Error::InvalidArgs(text()), "InvalidArgs"),
        (Error::FromConfigFile(text()), "FromConfigFile"),
        (Error::InvalidConfig(text()), "InvalidConfig"),
        (Error::Busy(text()), "Busy"),
        (Error::LinkDown(text()), "LinkDown"),
        (Error::Timeout(text()), "Timeout"),
        (Error::AirtimeExhausted(text()), "AirtimeExhausted"),
        (Error::NotSupported(text()), "NotSupported"),
        (Error::Failed(text()), "Failed"),
    ]
}

#[tokio::test]
async fn every_error_arrives_as_what_it_is() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    for (error, name) in all() {
        let variant = std::mem::discriminant(&error);
        fake.refuse(error);
        let error = proxy.reload().await.unwrap_err();
        assert_eq!(std::mem::discriminant(&error), variant, "{error:?}");
        assert_eq!(error.message(), "why");
        assert_eq!(zbus::DBusError::name(&error).as_str(), format!("org.meshnet1.Error.{name}"));
    }
}

#[tokio::test]
async fn the_core_never_sees_what_makes_no_sense() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    let texts = |count: usize, text: &str| Some(vec![text.to_owned(); count]);
    let fine = || PeerSettings {
        allowed_ips: texts(1, "10.42.0.3/32"),
        endpoints: texts(1, "!00000003"),
        ..PeerSettings::default()
    };
    let bad = [
        PeerSettings { allowed_ips: None, ..fine() },
        PeerSettings { endpoints: texts(1, "cabin.example"), ..fine() },
        PeerSettings { endpoints: texts(1, "cabin.example:0"), ..fine() },
        PeerSettings { endpoints: texts(2, "192.0.2.7:51820"), ..fine() },
        PeerSettings { endpoints: texts(MAX_ENDPOINTS + 1, "!00000003"), ..fine() },
        PeerSettings { endpoints: texts(1, "00000003"), ..fine() },
        PeerSettings { endpoints: texts(2, "!00000003"), ..fine() },
        PeerSettings { allowed_ips: texts(MAX_LIST_LEN + 1, "10.42.0.3/32"), ..fine() },
        PeerSettings { allowed_ips: texts(1, "10.42.0.256"), ..fine() },
        PeerSettings { name: Some("a".repeat(MAX_TEXT_LEN + 1)), ..fine() },
        PeerSettings { name: Some("two words".to_owned()), ..fine() },
        PeerSettings { mode: Some("OPEN".to_owned()), ..fine() },
        PeerSettings { radio_public_keys: texts(1, "not base64"), ..fine() },
        PeerSettings { radio_public_keys: texts(2, &key(9).to_string()), ..fine() },
    ];
    for settings in bad {
        let shown = format!("{settings:?}");
        let error = proxy.add_peer(&key(3).to_string(), settings).await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgs(_)), "{shown}: {error:?}");
    }
    let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for name in ["", "x", zero, &"a".repeat(1000)] {
        let error = proxy.remove_peer(name).await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgs(_)), "{name}: {error:?}");
    }
    assert!(fake.orders().is_empty());
    proxy.add_peer(&key(3).to_string(), fine()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_setting_is_refused() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let settings = std::collections::HashMap::from([("Colour", zbus::wire::Variant::from("red"))]);
    let body = (key(3).to_string(), settings);
    let interface = Some("org.meshnet1.Network");
    let destination = Some("org.meshnet1.mesh0");
    let call = pair.client.call_method(destination, "/org/meshnet1", interface, "SetPeer", &body);
    let error = call.await.unwrap_err().to_string();
    assert!(error.contains("Colour"), "{error}");
    assert!(fake.orders().is_empty());
}

//! Nothing happens before the authorizer said yes.

use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt as _};
use meshnet_bus::Error;
use meshnet_bus::names::{ACTION_CONFIGURE, ACTION_CONTROL, ACTION_TRANSMIT, peer_path};
use meshnet_bus::proxy::{NetworkProxy, PeerProxy};
use meshnet_bus::settings::PeerSettings;
use meshnetd::service::authorizer::{Authorizer, Caller};
use zbus::wire::Variant;

use crate::fake::{Fake, key};
use crate::peer_to_peer::pair_with;

/// Refuses everything, and keeps what was asked.
#[derive(Default, Clone)]
struct Never(Arc<Mutex<Vec<(&'static str, bool)>>>);

impl Authorizer for Never {
    fn check<'a>(&'a self, caller: &'a Caller, action: &'static str) -> BoxFuture<'a, Result<(), Error>> {
        self.0.lock().unwrap().push((action, caller.interactive));
        std::future::ready(Err(Error::NotAuthorized("never".to_owned()))).boxed()
    }
}

#[tokio::test]
async fn every_order_asks_first_and_a_refusal_touches_nothing() {
    let (handle, fake) = Fake::start();
    let never = Never::default();
    let pair = pair_with(handle, Arc::new(never.clone())).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    let builder = PeerProxy::builder(&pair.client).path(peer_path(key(2).as_bytes()));
    let peer = builder.destination("org.meshnet1.mesh0").build().await.unwrap();

    // Arguments that make no sense: they are not looked at before the answer is there.
    let results = [
        proxy.add_peer("nonsense", PeerSettings::default()).await.map(drop),
        proxy.set_peer("nonsense", PeerSettings::default()).await,
        proxy.remove_peer("nonsense").await,
        proxy.rekey("nonsense").await,
        proxy.reload().await,
        peer.ping(u32::MAX, u32::MAX).await.map(drop),
    ];
    for result in results {
        assert!(matches!(result, Err(Error::NotAuthorized(_))), "{result:?}");
    }
    assert!(fake.orders().is_empty());
    let asked = std::mem::take(&mut *never.0.lock().unwrap());
    let expected = [
        (ACTION_CONFIGURE, true),
        (ACTION_CONFIGURE, true),
        (ACTION_CONFIGURE, true),
        (ACTION_CONTROL, true),
        (ACTION_CONTROL, true),
        (ACTION_TRANSMIT, true),
    ];
    assert_eq!(asked, expected, "the proxies let polkit ask the user");

    // Reading is free.
    assert_eq!(proxy.state().await.unwrap(), "running");
    proxy.describe().await.unwrap();
    assert_eq!(peer.state().await.unwrap(), "established");
    assert!(never.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_user_is_asked_only_if_the_caller_says_so() {
    let (handle, _fake) = Fake::start();
    let never = Never::default();
    let pair = pair_with(handle, Arc::new(never.clone())).await;
    let interface = Some("org.meshnet1.Network");
    let call = pair.client.call_method(Some("org.meshnet1.mesh0"), "/org/meshnet1", interface, "Reload", &());
    assert!(call.await.is_err());
    assert_eq!(*never.0.lock().unwrap(), [(ACTION_CONTROL, false)]);
}

#[tokio::test]
async fn the_log_level_is_read_by_all_and_set_by_few() {
    let (handle, _fake) = Fake::start();
    let never = Never::default();
    let pair = pair_with(handle, Arc::new(never.clone())).await;
    let refused = set(&pair.client, "LogLevel", "debug").await.unwrap_err();
    assert!(refused.contains("NotAuthorized"), "{refused}");
    assert_eq!(*never.0.lock().unwrap(), [(ACTION_CONTROL, false)], "a setter asks nobody for a password");
    for (property, value) in
        [("LogLevel", "info"), ("LogTarget", "console"), ("SyslogIdentifier", "meshnetd")]
    {
        assert_eq!(get(&pair.client, property).await, value);
    }

    let (handle, _fake) = Fake::start();
    let pair = crate::peer_to_peer::pair(handle).await;
    set(&pair.client, "LogLevel", "notice").await.unwrap();
    set(&pair.client, "LogTarget", "console").await.unwrap();
    assert!(set(&pair.client, "LogLevel", "loud").await.unwrap_err().contains("InvalidArgs"));
    assert!(set(&pair.client, "LogTarget", "kmsg").await.unwrap_err().contains("NotSupported"));
}

const PROPERTIES: Option<&str> = Some("org.freedesktop.DBus.Properties");

async fn get(client: &zbus::Connection, property: &str) -> String {
    let body = ("org.freedesktop.LogControl1", property);
    let path = "/org/freedesktop/LogControl1";
    let reply = client.call_method(Some("org.meshnet1.mesh0"), path, PROPERTIES, "Get", &body).await.unwrap();
    let value: zbus::wire::OwnedVariant = reply.body().deserialize().unwrap();
    String::try_from(value).unwrap()
}

async fn set(client: &zbus::Connection, property: &str, value: &str) -> Result<(), String> {
    let body = ("org.freedesktop.LogControl1", property, Variant::from(value));
    let path = "/org/freedesktop/LogControl1";
    let set = client.call_method(Some("org.meshnet1.mesh0"), path, PROPERTIES, "Set", &body).await;
    set.map(drop).map_err(|error| error.to_string())
}

//! Daemons on a bus with the policy that is installed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use meshnet_bus::Error;
use meshnet_bus::names::{ACTION_CONTROL, BUS_NAME, Instance};
use meshnet_bus::proxy::NetworkProxy;
use meshnetd::service::{Service, start_at};
use tempfile::TempDir;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::wire::OwnedVariant;

use crate::fake::{Fake, network};

/// What Debian's system.conf says of calls and names, and room for a polkit.
const SYSTEM_POLICY: &str = r#"
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>"#;

/// A bus of our own; ends when dropped.
struct Bus {
    process: Child,
    folder: TempDir,
}

impl Bus {
    /// Starts one whose policy has the network's daemons run as this user.
    fn start(daemon: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dist = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../dist/dbus/org.meshnet1.conf");
        let policy = std::fs::read_to_string(dist).unwrap();
        // The user meshnet is made when the package is installed.
        let changed = policy.replace("user=\"meshnet\"", &format!("user=\"{daemon}\""));
        assert_ne!(changed, policy);
        std::fs::write(folder.path().join("org.meshnet1.conf"), changed).unwrap();
        let config = format!(
            "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth>{SYSTEM_POLICY}\
             <include>org.meshnet1.conf</include></busconfig>",
            folder.path().join("bus").display()
        );
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let process = launch(folder.path());
        Self { process, folder }
    }

    fn address(&self) -> zbus::Address {
        format!("unix:path={}", self.folder.path().join("bus").display()).parse().unwrap()
    }

    async fn client(&self) -> Connection {
        Builder::address(self.address()).build().await.unwrap()
    }

    fn restart(&mut self) {
        self.stop();
        self.process = launch(self.folder.path());
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let _ = std::fs::remove_file(self.folder.path().join("bus"));
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}

fn launch(folder: &Path) -> Child {
    let mut command = Command::new("dbus-daemon");
    command.arg("--config-file").arg(folder.join("bus.conf")).args(["--nofork", "--print-address=1"]);
    let mut process = command.stdout(Stdio::piped()).spawn().expect("dbus-daemon (package dbus-daemon)");
    let mut address = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
    assert!(!address.is_empty(), "the bus did not start");
    process
}

fn us() -> u32 {
    nix::unistd::geteuid().as_raw()
}

async fn daemon(bus: &Bus, name: &str) -> (anyhow::Result<Service>, Fake) {
    let mut network = network();
    network.interface = name.to_owned();
    let (handle, fake) = Fake::start_with(network);
    (start_at(bus.address(), &Instance::new(name).unwrap(), handle).await, fake)
}

async fn proxy(client: &Connection, name: &str) -> NetworkProxy<'static> {
    let builder = NetworkProxy::builder(client).destination(name.to_owned());
    builder.cache_properties(CacheProperties::No).build().await.unwrap()
}

#[tokio::test]
async fn each_network_has_its_name_and_the_common_name_reaches_one_that_runs() {
    let bus = Bus::start(us());
    let (first, _core) = daemon(&bus, "mesh0").await;
    let (second, _other_core) = daemon(&bus, "mesh1").await;
    let (first, _second) = (first.unwrap(), second.unwrap());
    let client = bus.client().await;
    for name in ["mesh0", "mesh1"] {
        let proxy = proxy(&client, &format!("{BUS_NAME}.{name}")).await;
        assert_eq!(proxy.interface().await.unwrap(), name, "one rule of the policy covers both");
    }
    let common = proxy(&client, BUS_NAME).await;
    assert_eq!(common.interface().await.unwrap(), "mesh0");

    let names = DBusProxy::new(&client).await.unwrap();
    let mut owners = names.receive_name_owner_changed_with_args(&[(0, BUS_NAME)]).await.unwrap();
    drop(first);
    owners.next().await.unwrap();
    assert_eq!(common.interface().await.unwrap(), "mesh1");
}

#[tokio::test]
async fn a_network_that_runs_already_is_said_to() {
    let bus = Bus::start(us());
    let (first, _core) = daemon(&bus, "mesh0").await;
    let _first = first.unwrap();
    let (second, _other_core) = daemon(&bus, "mesh0").await;
    let error = format!("{:#}", second.unwrap_err());
    assert!(error.contains("org.meshnet1.mesh0") && error.contains("run already"), "{error}");
}

#[tokio::test]
async fn another_user_gets_no_name_and_learns_why() {
    let bus = Bus::start(us() + 1);
    let (service, _core) = daemon(&bus, "mesh0").await;
    let error = format!("{:#}", service.unwrap_err());
    assert!(error.contains("policy") && error.contains("the user meshnet"), "{error}");
}

#[tokio::test]
async fn the_policy_opens_the_networks_and_nothing_else() {
    let bus = Bus::start(us());
    let (service, _core) = daemon(&bus, "mesh0").await;
    let _service = service.unwrap();
    let (client, bystander) = (bus.client().await, bus.client().await);
    let interface = Some("org.freedesktop.DBus.Peer");
    client.call_method(Some("org.meshnet1.mesh0"), "/", interface, "Ping", &()).await.unwrap();
    let name: BusName<'_> = bystander.unique_name().unwrap().as_ref().into();
    let error = client.call_method(Some(name), "/", interface, "Ping", &()).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
}

#[tokio::test]
async fn the_service_comes_back_with_the_bus() {
    let mut bus = Bus::start(us());
    let (service, _core) = daemon(&bus, "mesh0").await;
    let _service = service.unwrap();
    bus.restart();
    let client = bus.client().await;
    let names = DBusProxy::new(&client).await.unwrap();
    let mut owners = names.receive_name_owner_changed_with_args(&[(0, "org.meshnet1.mesh0")]).await.unwrap();
    let name = BusName::try_from("org.meshnet1.mesh0").unwrap();
    if !names.name_has_owner(name).await.unwrap() {
        owners.next().await.unwrap();
    }
    assert_eq!(proxy(&client, "org.meshnet1.mesh0").await.state().await.unwrap(), "running");
}

/// What a polkit was asked: the subject's kind and name, the action, the flags.
type Question = (String, String, String, u32);

/// A polkit that keeps what it is asked, and lets pass who is on its list.
#[derive(Clone, Default)]
struct Authority {
    asked: Arc<Mutex<Vec<Question>>>,
    allowed: Arc<Mutex<Vec<String>>>,
}

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Authority {
    fn check_authorization(
        &self,
        subject: (String, std::collections::HashMap<String, OwnedVariant>),
        action: String,
        _details: std::collections::HashMap<String, String>,
        flags: u32,
        _cancellation: String,
    ) -> (bool, bool, std::collections::HashMap<String, String>) {
        let name = String::try_from(subject.1["name"].try_clone().unwrap()).unwrap();
        let allowed = self.allowed.lock().unwrap().contains(&name);
        self.asked.lock().unwrap().push((subject.0, name, action, flags));
        (allowed, !allowed, std::collections::HashMap::new())
    }
}

#[tokio::test]
async fn polkit_is_asked_about_the_callers_name_each_time() {
    let bus = Bus::start(us());
    let (service, core) = daemon(&bus, "mesh0").await;
    let _service = service.unwrap();
    let client = bus.client().await;
    let proxy = proxy(&client, "org.meshnet1.mesh0").await;

    let error = proxy.reload().await.unwrap_err();
    assert!(
        matches!(&error, Error::NotAuthorized(text) if text.contains("is polkitd installed")),
        "{error:?}"
    );

    let authority = Authority::default();
    let builder = Builder::address(bus.address()).name("org.freedesktop.PolicyKit1");
    let path = "/org/freedesktop/PolicyKit1/Authority";
    let _polkit = builder.serve_at(path, authority.clone()).build().await.unwrap();
    let error = proxy.reload().await.unwrap_err();
    assert!(matches!(&error, Error::NotAuthorized(text) if text.contains("password")), "{error:?}");
    assert!(core.orders().is_empty());

    let name = client.unique_name().unwrap().to_string();
    authority.allowed.lock().unwrap().push(name.clone());
    proxy.reload().await.unwrap();
    assert_eq!(core.orders(), ["reload"]);
    authority.allowed.lock().unwrap().clear();
    assert!(proxy.reload().await.is_err(), "an answer counts once");

    let question = ("system-bus-name".to_owned(), name, ACTION_CONTROL.to_owned(), 1);
    assert_eq!(*authority.asked.lock().unwrap(), [question.clone(), question.clone(), question]);
}

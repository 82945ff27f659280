//! Orders to systemd: what stands for it here has one unit and a job that ends as the test says.

use zbus::Connection;
use zbus::object_server::SignalEmitter;
use zbus::wire::OwnedObjectPath;

use crate::world::Bus;

const MANAGER: &str = "/org/freedesktop/systemd1";
const UNIT: &str = "/org/freedesktop/systemd1/unit/mesh0";

/// A unit in a list of units, as far as it says anything.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// How the job ends; `None` if it does not.
struct Manager(Option<&'static str>);

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn stop_unit(
        &self,
        unit: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> zbus::fdo::Result<OwnedObjectPath> {
        assert_eq!((unit, mode), ("meshnet@mesh0.service", "replace"));
        let ours = path("/org/freedesktop/systemd1/job/7");
        if let Some(result) = self.0 {
            // Another unit's, and then ours before the order is answered: the earliest that it can come.
            Self::job_removed(&emitter, 6, path("/org/freedesktop/systemd1/job/6"), "ssh.service", "failed")
                .await?;
            Self::job_removed(&emitter, 7, ours.clone(), unit, result).await?;
        }
        Ok(ours)
    }

    fn list_units_by_patterns(&self, _states: Vec<String>, patterns: Vec<String>) -> Vec<Row> {
        assert_eq!(patterns.into_iter().collect::<Vec<_>>(), ["meshnet@*.service"]);
        let text = str::to_owned;
        vec![(
            text("meshnet@mesh0.service"),
            text("meshnet network mesh0"),
            text("loaded"),
            text("failed"),
            text("failed"),
            String::new(),
            path(UNIT),
            0,
            String::new(),
            path("/"),
        )]
    }

    fn get_unit_file_state(&self, _unit: &str) -> &str {
        "enabled"
    }

    fn load_unit(&self, _unit: &str) -> OwnedObjectPath {
        path(UNIT)
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

struct Unit;

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn active_state(&self) -> &str {
        "inactive"
    }

    #[zbus(property)]
    fn load_state(&self) -> &str {
        "loaded"
    }

    #[zbus(property)]
    fn condition_result(&self) -> bool {
        true
    }

    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        vec![0x5a; 16]
    }
}

struct Service;

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn result(&self) -> &str {
        "timeout"
    }
}

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap()
}

async fn systemd(bus: &Bus, result: Option<&'static str>) -> Connection {
    let connection = bus.connect().await;
    connection.object_server().at(MANAGER, Manager(result)).await.unwrap();
    connection.object_server().at(UNIT, Unit).await.unwrap();
    connection.object_server().at(UNIT, Service).await.unwrap();
    connection.request_name("org.freedesktop.systemd1").await.unwrap();
    connection
}

#[tokio::test]
async fn the_jobs_outcome_is_the_verbs() {
    let bus = Bus::start();
    for (result, words, code) in [
        (Some("done"), &["down"][..], 0),
        (Some("done"), &["down", "mesh0"], 0),
        (Some("failed"), &["down"], 1),
        (None, &["down", "--timeout", "1"], 3),
        (None, &["down", "--no-wait"], 0),
    ] {
        let systemd = systemd(&bus, result).await;
        let done = bus.meshctl(words).await;
        assert_eq!(done.code, code, "{result:?} {words:?}: {done:?}");
        assert_eq!(done.stdout, "", "the talk is on stderr");
        assert_eq!(done.stderr.contains("was not ready in time"), code == 1, "{done:?}");
        systemd.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_network_that_failed_is_in_the_status_and_is_not_started_by_it() {
    let bus = Bus::start();
    let _systemd = systemd(&bus, None).await;
    let done = bus.meshctl(&["status", "--json"]).await;
    let network = &done.json()["networks"][0];
    assert_eq!((&network["name"], &network["state"]), (&"mesh0".into(), &"failed".into()));
    assert_eq!((&network["running"], &network["enabled"]), (&false.into(), &true.into()));
    assert!(network["describe"].is_null());
    assert_eq!(bus.meshctl(&["status", "mesh0"]).await.code, 8);
    assert_eq!(bus.meshctl(&["show"]).await.code, 8);
}

#[tokio::test]
async fn what_has_no_configuration_is_not_started() {
    let bus = Bus::start();
    let _systemd = systemd(&bus, None).await;
    let done = bus.meshctl(&["up", "no_such_net"]).await;
    assert_eq!(done.code, 10, "{done:?}");
    assert!(done.stderr.contains("meshctl init no_such_net"), "{done:?}");
}

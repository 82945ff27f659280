//! The task against a table of names instead of the system's resolver.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;

/// Anything that does not happen within this will not.
const PATIENCE: Duration = Duration::from_secs(20);
/// So short that no test waits, in the proportions of the real one.
const QUICK: Pace =
    Pace { gap: Duration::from_millis(5), first: Duration::from_millis(5), last: Duration::from_millis(40) };

/// As a hosts file: names and what they stand for; and what was asked.
#[derive(Clone, Default)]
struct Hosts {
    table: Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>,
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
    /// How many lookups are under way, and the most that ever were.
    at_once: Arc<Mutex<(usize, usize)>>,
    /// If there: lookups wait until it is told.
    gate: Option<Arc<Notify>>,
}

impl Hosts {
    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.table.lock().unwrap().insert(name.to_owned(), addresses);
    }

    fn times(&self, name: &str) -> Vec<Instant> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(host, _)| host == name).map(|(_, at)| *at).collect()
    }
}

impl Lookup for Hosts {
    async fn lookup(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push((host.clone(), Instant::now()));
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.at_once.lock().unwrap().0 -= 1;
        let table = self.table.lock().unwrap();
        let found = table.get(&host).ok_or_else(|| io::Error::other("unknown name"))?;
        Ok(found.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }
}

fn name(host: &str) -> HostPort {
    HostPort { host: host.to_owned(), port: 51820 }
}

fn places(addresses: &[&str]) -> Vec<LinkAddr> {
    addresses.iter().map(|address| LinkAddr::udp(address.parse().unwrap())).collect()
}

async fn next(answers: &mut mpsc::Receiver<Resolved>) -> Resolved {
    timeout(PATIENCE, answers.recv()).await.expect("an answer within the time").expect("the task runs")
}

#[tokio::test]
async fn both_families_come_in_the_resolvers_order_each_once() {
    let hosts = Hosts::default();
    hosts
        .set("cabin", &["2001:db8::7", "192.0.2.7", "::ffff:192.0.2.7", "0.0.0.0", "ff02::1", "2001:db8::8"]);
    let (resolver, mut answers) = start_at(QUICK, hosts, [1; 32]);
    resolver.watch([name("cabin")]);
    let expected = places(&["[2001:db8::7]:51820", "192.0.2.7:51820", "[2001:db8::8]:51820"]);
    assert_eq!(next(&mut answers).await, Resolved { name: name("cabin"), addresses: expected });
}

#[tokio::test]
async fn no_more_addresses_are_taken_than_anybody_tries() {
    let hosts = Hosts::default();
    let many: Vec<String> = (1..100).map(|last| format!("192.0.2.{last}")).collect();
    hosts.set("crowd", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let (resolver, mut answers) = start_at(QUICK, hosts, [1; 32]);
    resolver.watch([name("crowd")]);
    assert_eq!(next(&mut answers).await.addresses.len(), MAX_ADDRESSES);
}

#[tokio::test]
async fn a_name_that_fails_is_tried_until_it_can_be_resolved_with_waits_in_between() {
    let hosts = Hosts::default();
    let (resolver, mut answers) = start_at(QUICK, hosts.clone(), [1; 32]);
    resolver.watch([name("late")]);
    let begun = Instant::now();
    while hosts.times("late").len() < 4 {
        assert!(begun.elapsed() < PATIENCE, "it is not tried again");
        tokio::task::yield_now().await;
    }
    hosts.set("late", &["192.0.2.7"]);
    assert_eq!(next(&mut answers).await.addresses, places(&["192.0.2.7:51820"]));
    for pair in hosts.times("late").windows(2) {
        assert!(pair[1] - pair[0] >= QUICK.first / 2, "{:?}", pair[1] - pair[0]);
    }
}

#[tokio::test]
async fn a_name_that_could_be_resolved_is_left_alone_until_somebody_asks() {
    let hosts = Hosts::default();
    hosts.set("cabin", &["192.0.2.7"]);
    hosts.set("other", &["192.0.2.9"]);
    let (resolver, mut answers) = start_at(QUICK, hosts.clone(), [1; 32]);
    resolver.watch([name("cabin"), name("other")]);
    next(&mut answers).await;
    next(&mut answers).await;
    hosts.set("cabin", &["192.0.2.8"]);
    resolver.again([&name("cabin"), &name("stranger")]);
    assert_eq!(next(&mut answers).await.addresses, places(&["192.0.2.8:51820"]));
    assert_eq!(
        (hosts.times("cabin").len(), hosts.times("other").len(), hosts.times("stranger").len()),
        (2, 1, 0)
    );
}

#[tokio::test]
async fn whoever_asks_all_the_time_is_answered_no_more_often_than_the_gap_allows() {
    let hosts = Hosts::default();
    hosts.set("cabin", &["192.0.2.7"]);
    let (resolver, mut answers) = start_at(QUICK, hosts.clone(), [1; 32]);
    resolver.watch([name("cabin")]);
    for _ in 0..4 {
        next(&mut answers).await;
        for _ in 0..1000 {
            resolver.again([&name("cabin")]);
        }
    }
    let times = hosts.times("cabin");
    assert_eq!(times.len(), 4);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= QUICK.gap, "{:?}", pair[1] - pair[0]);
    }
}

#[tokio::test]
async fn however_many_names_there_are_few_are_asked_for_at_once_and_all_in_the_end() {
    let gate = Arc::new(Notify::new());
    let hosts = Hosts { gate: Some(Arc::clone(&gate)), ..Hosts::default() };
    let all: Vec<HostPort> = (0..50).map(|number| name(&format!("host{number}"))).collect();
    for name in &all {
        hosts.set(&name.host, &["192.0.2.7"]);
    }
    let (resolver, mut answers) = start_at(QUICK, hosts.clone(), [1; 32]);
    resolver.watch(all.clone());
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < all.len() {
        gate.notify_one();
        if let Ok(Some(resolved)) = timeout(Duration::from_millis(1), answers.recv()).await {
            seen.insert(resolved.name.host);
        }
    }
    assert_eq!(hosts.at_once.lock().unwrap().1, MAX_LOOKUPS);
}

#[tokio::test]
async fn a_name_that_is_gone_is_heard_of_no_more_and_the_task_ends_with_its_owner() {
    let gate = Arc::new(Notify::new());
    let hosts = Hosts { gate: Some(Arc::clone(&gate)), ..Hosts::default() };
    hosts.set("gone", &["192.0.2.7"]);
    hosts.set("there", &["192.0.2.8"]);
    let (resolver, mut answers) = start_at(QUICK, hosts.clone(), [1; 32]);
    resolver.watch([name("gone")]);
    while hosts.times("gone").is_empty() {
        tokio::task::yield_now().await;
    }
    resolver.watch([name("there")]);
    while hosts.times("there").is_empty() {
        tokio::task::yield_now().await;
    }
    gate.notify_waiters();
    assert_eq!(next(&mut answers).await.name, name("there"));
    drop(resolver);
    assert_eq!(timeout(PATIENCE, answers.recv()).await.expect("it ends"), None);
}

/// The hosts file is read behind the second wall, by the threads that the runtime starts for it.
#[test]
fn the_system_resolves_behind_the_wall() {
    let behind = std::thread::spawn(|| {
        crate::wall::raise(crate::wall::Places { read: &[], write: &[] });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (resolver, mut answers) = start(System, [1; 32]);
            resolver.watch([name("localhost")]);
            next(&mut answers).await
        })
    });
    let resolved = behind.join().unwrap();
    assert!(
        resolved
            .addresses
            .iter()
            .all(|address| address.as_udp().is_some_and(|place| place.ip().is_loopback())),
        "{resolved:?}"
    );
}

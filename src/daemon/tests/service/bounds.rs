//! What callers can make the daemon do has bounds.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use meshnet_bus::Error;
use meshnet_bus::proxy::NetworkProxy;
use meshnetd::service::authorizer::{AllowAll, Authorizer, Caller};
use meshnetd::service::{self, gate, limits};
use tokio::sync::Semaphore;
use zbus::connection::Builder;
use zbus::message::{Flags, Message};
use zbus::{Connection, Guid};

use crate::fake::Fake;
use crate::peer_to_peer::{pair, pair_with};

const NAME: &str = "org.meshnet1.mesh0";

/// Says yes when it is let; counts who waits.
struct Slow {
    arrived: Semaphore,
    gate: Semaphore,
}

impl Authorizer for Slow {
    fn check<'a>(&'a self, _: &'a Caller, _: &'static str) -> BoxFuture<'a, Result<(), Error>> {
        async {
            self.arrived.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test]
async fn who_waits_for_a_password_can_wait_few_times() {
    let (handle, fake) = Fake::start();
    let slow = Arc::new(Slow { arrived: Semaphore::new(0), gate: Semaphore::new(0) });
    let pair = pair_with(handle, slow.clone()).await;
    let proxy = NetworkProxy::new(&pair.client, NAME).await.unwrap();
    let calls: Vec<_> = (0..limits::ORDERS_PER_CALLER)
        .map(|_| {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.reload().await })
        })
        .collect();
    slow.arrived.acquire_many(u32::try_from(calls.len()).unwrap()).await.unwrap().forget();
    assert!(matches!(proxy.reload().await, Err(Error::Busy(_))));
    assert_eq!(proxy.state().await.unwrap(), "running", "reading goes on");

    slow.gate.add_permits(calls.len() + 1);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    proxy.reload().await.unwrap();
    assert_eq!(fake.orders().len(), limits::ORDERS_PER_CALLER + 1);
}

#[tokio::test]
async fn a_flood_is_answered_with_busy_and_the_daemon_stays_well() {
    let (handle, _fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, NAME).await.unwrap();
    let calls = (0..2000).map(|_| proxy.describe());
    let results = join_all(calls).await;
    let busy = results.iter().filter(|result| matches!(result, Err(Error::Busy(_)))).count();
    let served = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(busy + served, results.len(), "every call was answered, one way or the other");
    assert!(served > 0 && busy > 0, "{served} served, {busy} refused");
}

#[tokio::test]
async fn an_oversized_argument_is_refused_unread() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, NAME).await.unwrap();
    for len in [gate::MAX_MESSAGE_LEN, 1 << 20, 1 << 24] {
        let error = proxy.rekey(&"x".repeat(len)).await.unwrap_err();
        assert!(matches!(&error, Error::InvalidArgs(text) if text.contains("too long")), "{error:?}");
    }
    proxy.reload().await.unwrap();
    assert_eq!(fake.orders(), ["reload"], "what comes after it is understood");
}

#[tokio::test]
async fn who_never_reads_is_read_no_less_and_kept_no_more() {
    let (handle, _fake) = Fake::start();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (builder, refusals) = gate::over(tokio::net::UnixStream::from_std(ours).unwrap());
    let server = builder.server(Guid::generate()).p2p().build();
    let silent = theirs.try_clone().unwrap();
    let client = Builder::unix_stream(theirs).p2p().build();
    let (server, client): (Connection, Connection) = tokio::try_join!(server, client).unwrap();
    let _served = service::serve(&server, handle, Arc::new(AllowAll)).await.unwrap();
    let refusals = refusals.send_over(&server);

    // What is left of the client only writes: nobody reads what comes back.
    drop(client);
    silent.set_nonblocking(false).unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let call = Message::method_call("/org/meshnet1", "Introspect")
        .interface("org.freedesktop.DBus.Introspectable")
        .destination(NAME)
        .with_flags(Flags::empty())
        .build(&())
        .unwrap();
    let writer = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut silent = silent;
        for _ in 0..20_000 {
            silent.write_all(call.data()).unwrap();
        }
    });
    tokio::time::timeout(Duration::from_secs(60), writer).await.expect("reading stopped").unwrap();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks < before + gate::CALLS, "{before} tasks before, {tasks} after");
    refusals.abort();
}

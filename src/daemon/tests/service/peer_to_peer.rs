//! A daemon's service and a client, joined without a bus.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use meshnetd::control::Handle;
use meshnetd::service::authorizer::{AllowAll, Authorizer};
use meshnetd::service::{self, Served, gate};
use tokio::task::JoinHandle;
use zbus::connection::Builder;
use zbus::{Connection, Guid};

/// Both ends; the service's must be kept.
pub(crate) struct Pair {
    pub client: Connection,
    _server: Connection,
    _served: Served,
    refusals: JoinHandle<()>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.refusals.abort();
    }
}

/// A log of which only the level is kept.

/// Serves this core to a client that may do everything.
pub(crate) async fn pair(handle: Handle) -> Pair {
    pair_with(handle, Arc::new(AllowAll)).await
}

/// Serves this core to a client that may do what this allows.
pub(crate) async fn pair_with(handle: Handle, authorizer: Arc<dyn Authorizer>) -> Pair {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (builder, refusals) = gate::over(tokio::net::UnixStream::from_std(ours).unwrap());
    let server = builder.server(Guid::generate()).p2p().build();
    let client = Builder::unix_stream(theirs).p2p().build();
    let (server, client) = tokio::try_join!(server, client).unwrap();
    let served = service::serve(&server, handle, authorizer).await.unwrap();
    let refusals = refusals.send_over(&server);
    Pair { client, _server: server, _served: served, refusals }
}

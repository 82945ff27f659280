//! Where verbs that talk to the bus run: one thread, made when it is needed.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;

/// Runs a verb's future to its end.
///
/// # Errors
/// What the future gives, or that the kernel gives no event queue.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure("cannot wait for events").because(error))?;
    runtime.block_on(future)
}

/// Waits until the user, or whoever stops this program, wants it to end.
///
/// # Errors
/// If the kernel takes no handler.
pub(crate) async fn stopped() -> Result<(), Error> {
    let failed = |error| Error::failure("cannot wait for signals").because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
        _ = terminate.recv() => Ok(()),
    }
}

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

/// Has the user, or whoever stops this program, end what is returned instead of the process: from this call on, not only once it
/// is waited for.
///
/// # Errors
/// If the kernel takes no handler.
pub(crate) fn stopped() -> Result<impl Future<Output = ()>, Error> {
    let handler =
        |kind| signal(kind).map_err(|error| Error::failure("cannot wait for signals").because(error));
    let (mut terminate, mut interrupt) =
        (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

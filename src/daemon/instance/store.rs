//! The state file: what must survive a restart. While it cannot be written nothing may leave, for the core might repeat a
//! counter in its next life.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshnet_proto::Node;
use tracing::{error, info, warn};

use crate::files;

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The state file and what has not reached it yet.
pub(super) struct Store {
    path: PathBuf,
    unsaved: Option<(Vec<u8>, Instant)>,
    failed: bool,
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
        Ok(Self { path, unsaved: None, failed: false })
    }

    /// Writes what the core wants durable; returns whether everything is.
    pub(super) fn save(&mut self, node: &mut Node, now: Instant) -> bool {
        match (node.poll_store(), self.unsaved.take()) {
            (None, None) => true,
            (Some(text), None) => self.write(text, now),
            (newer, Some((older, retry_at))) => {
                let text = newer.unwrap_or(older);
                if now >= retry_at {
                    return self.write(text, now);
                }
                self.unsaved = Some((text, retry_at));
                false
            }
        }
    }

    /// When a failed write is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.unsaved.as_ref().map(|(_, retry_at)| *retry_at)
    }

    fn write(&mut self, text: Vec<u8>, now: Instant) -> bool {
        match files::replace(&self.path, &text, true) {
            Ok(()) => {
                if std::mem::take(&mut self.failed) {
                    info!(file = %self.path.display(), "the state is saved again");
                }
                true
            }
            Err(error) => {
                error!(file = %self.path.display(), %error, "cannot save the state: nothing is sent until it is");
                self.unsaved = Some((text, now + RETRY));
                self.failed = true;
                false
            }
        }
    }
}

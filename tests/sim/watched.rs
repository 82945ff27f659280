//! A cipher that is watched as it seals: it is the portable one, and somebody is told of each message before it is sealed.

use std::fmt;

use meshnet_proto::aead::{Aead, KEY_LEN, Portable, TAG_LEN, Unauthentic};

/// Who is told.
pub(crate) trait Watcher: fmt::Debug + Send + Sync {
    /// A message is about to be sealed under this key.
    fn seals(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8]);
}

/// See the module's introduction.
#[derive(Debug, Default)]
pub(crate) struct Watched<W>(pub(crate) W);

impl<W: Watcher> Aead for Watched<W> {
    fn seal(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
        self.0.seals(key, counter, aad);
        Portable.seal(key, counter, aad, buffer)
    }

    fn open(
        &self,
        key: &[u8; KEY_LEN],
        counter: u64,
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        Portable.open(key, counter, aad, buffer, tag)
    }
}

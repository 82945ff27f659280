//! `meshctl genkey`

use meshnet_proto::key::PrivateKey;

use super::output;

/// Writes a new private key to stdout.
pub(super) fn run() -> anyhow::Result<()> {
    output::warn_if_others_may_read()?;
    let bytes = output::random()?;
    output::write_line(&PrivateKey::from_random(*bytes).to_base64())
}

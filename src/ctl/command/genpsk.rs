//! `meshctl genpsk`

use meshnet_proto::key::PresharedKey;

use super::output;

/// Writes a new preshared key to stdout.
pub(super) fn run() -> anyhow::Result<()> {
    output::warn_if_others_may_read()?;
    let bytes = output::random()?;
    output::write_line(&PresharedKey::from_bytes(*bytes).to_base64())
}

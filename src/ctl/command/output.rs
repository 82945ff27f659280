//! How secrets get out: from the kernel's randomness to stdout, without a buffer that keeps a copy.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use zeroize::Zeroizing;

/// Permission bits of those who are neither owner nor group.
const OTHERS: u32 = 0o007;

/// 32 bytes of the operating system's randomness.
pub(super) fn random() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| anyhow::anyhow!("getrandom: {error}"))?;
    Ok(bytes)
}

/// Warns if stdout is a file that anybody may open.
pub(super) fn warn_if_others_may_read() -> anyhow::Result<()> {
    let metadata = stdout()?.metadata().context("stdout")?;
    if metadata.is_file() && metadata.permissions().mode() & OTHERS != 0 {
        eprintln!(
            "Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying again."
        );
    }
    Ok(())
}

/// Writes a line to stdout.
pub(super) fn write_line(text: &str) -> anyhow::Result<()> {
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 1));
    line.push_str(text);
    line.push('\n');
    stdout()?.write_all(line.as_bytes()).context("stdout")
}

/// Stdout without the standard library's buffer.
fn stdout() -> anyhow::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned().context("stdout")?.into())
}

//! `meshctl pubkey`

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, bail};
use meshnet_proto::key::PrivateKey;
use zeroize::Zeroizing;

use super::output;

/// A key's length in base64.
const TEXT_LEN: usize = 44;
const BAD_KEY: &str = "Key is not the correct length or format";

/// Reads a private key from stdin and writes its public key to stdout.
pub(super) fn run() -> anyhow::Result<()> {
    // Not the standard library's own handle, whose buffer would keep the secret.
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("stdin")?;
    let key = read_key(File::from(stdin))?;
    output::write_line(&key.public().to_string())
}

/// Reads a key, and after it nothing but white space or zeros to the end.
fn read_key(mut input: impl Read) -> anyhow::Result<PrivateKey> {
    let mut text = Zeroizing::new([0; TEXT_LEN]);
    match input.read_exact(&mut *text) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => bail!(BAD_KEY),
        result => result.context("stdin")?,
    }
    let mut rest = Zeroizing::new([0; 64]);
    loop {
        let length = match input.read(&mut *rest) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("stdin"),
        };
        if !rest[..length].iter().all(|&byte| is_blank(byte)) {
            bail!("Trailing characters found after key");
        }
    }
    // The parser forgives white space around a key; `wg` does not.
    let blank = text.iter().any(|&byte| is_blank(byte));
    match std::str::from_utf8(&*text).ok().filter(|_| !blank).map(str::parse) {
        Some(Ok(key)) => Ok(key),
        _ => bail!(BAD_KEY),
    }
}

/// What C's `isspace` takes for space, and zero.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}

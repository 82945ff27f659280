//! A preshared key on its way from a file, or stdin, to the daemon: never an argument, never in a message, wiped here.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use meshnet_proto::key::PresharedKey;
use zbus::wire::OwnedFd;
use zeroize::Zeroizing;

use crate::error::Error;

/// More than a key's 44 letters with white space around.
const MAX_KEY_TEXT: usize = 256;

/// Puts the preshared key of a file, or of stdin, into a pipe, for the daemon to read from.
///
/// The key is read here, not by the daemon from the file itself: it is checked before anybody is asked for a password, and the
/// daemon never waits for a terminal.
///
/// # Errors
/// If the file cannot be read, or holds no key.
pub(super) fn pipe(file: &Path) -> Result<OwnedFd, Error> {
    let named = if file.as_os_str() == "-" { Path::new("stdin") } else { file };
    let failed = |error: io::Error| {
        Error::failure("cannot read the preshared key").because(format!("{}: {error}", named.display()))
    };
    let mut text = Zeroizing::new([0; MAX_KEY_TEXT]);
    let len = if file.as_os_str() == "-" {
        // Not the standard library's own handle, whose buffer would keep the secret.
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        fill(File::from(stdin), &mut *text)
    } else {
        File::open(file).and_then(|file| fill(file, &mut *text))
    };
    let text = std::str::from_utf8(&text[..len.map_err(failed)?]).ok().map(str::trim);
    let key: Option<PresharedKey> = text.and_then(|text| text.parse().ok());
    let Some(key) = key else {
        return Err(Error::usage(format!("{} holds no preshared key", named.display()))
            .because("one line of base64 for 32 bytes is wanted")
            .hint("\"meshctl genpsk\" makes one"));
    };
    let (reader, mut writer) = io::pipe().map_err(failed)?;
    // It fits into any pipe, so that this never waits for the daemon.
    writer.write_all(key.to_base64().as_bytes()).map_err(failed)?;
    Ok(std::os::fd::OwnedFd::from(reader).into())
}

/// Reads until the end or until the room is full.
fn fill(mut input: impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < room.len() {
        match input.read(&mut room[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd as StdFd;

    use super::*;
    use crate::exit::Exit;

    const KEY: &str = "oIslLgzomGbnGd08R0sQ7z2FQfCgPIzij0X7zMVoZEA=";

    fn read_back(content: &[u8]) -> Result<String, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("psk");
        std::fs::write(&path, content).unwrap();
        let mut text = String::new();
        File::from(StdFd::from(pipe(&path)?)).read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn a_preshared_key_goes_through_a_pipe_that_ends() {
        for content in [KEY.to_owned(), format!("{KEY}\n"), format!("  {KEY}\r\n")] {
            assert_eq!(read_back(content.as_bytes()).unwrap(), KEY);
        }
    }

    #[test]
    fn what_is_no_key_is_not_sent_and_not_shown() {
        for content in [&b""[..], b"secret words", &[0xff; 44], &[b'A'; 10_000]] {
            let error = read_back(content).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            assert!(!error.to_string().contains("words"), "{error}");
        }
    }
}

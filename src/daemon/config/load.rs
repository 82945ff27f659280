//! Reads a configuration's files: the text, the private key's own file, and who may read them.
//!
//! A configuration of the Python tool that others can read is a warning, since that tool takes it and such files exist;
//! a `PrivateKeyFile` that others can read is an error, as it is for ssh.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use meshnet_proto::key::PrivateKey;
use zeroize::Zeroizing;

use super::value::Wrong;
use super::{Config, ConfigError, KeySource, Severity, parse};

/// The longest configuration in bytes: room for thousands of peers.
pub const MAX_FILE_LEN: u64 = 1 << 20;
/// The longest private key file in bytes: a key, and white space around it.
const MAX_KEY_FILE_LEN: u64 = 256;
/// Permission bits by which somebody other than the owner could read.
const OTHERS_READ: u32 = 0o044;

/// Reads and checks the configuration at `path`, its private key file included.
///
/// # Errors
/// Everything that is wrong with it, and the warnings.
pub fn load(path: &Path) -> Result<(Config, PrivateKey), Vec<ConfigError>> {
    let name = path.display().to_string();
    let (text, metadata) =
        read(path, MAX_FILE_LEN).map_err(|(what, right)| vec![ConfigError::file(&name, what, right)])?;
    let text = std::str::from_utf8(&text).map_err(|error| {
        let line = text[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        let wrong = ConfigError::file(&name, "no UTF-8 text", "a text file in UTF-8");
        vec![ConfigError { line: u32::try_from(line).ok(), ..wrong }]
    })?;
    let mut config = parse(&name, text)?;
    if let Some((line, key)) = config.secret_at
        && metadata.mode() & OTHERS_READ != 0
    {
        config.warnings.push(ConfigError {
            file: name.clone(),
            line: Some(line),
            key: Some(key.to_owned()),
            what: format!("a secret in a file that others can read (mode {:04o})", metadata.mode() & 0o7777),
            right: format!("chmod 600 {name}, or PrivateKeyFile ="),
            severity: Severity::Warning,
        });
    }
    match private_key(&config, path) {
        Ok(key) => check_own_key(config, key, &name),
        Err((line, what, right)) => {
            let error = ConfigError {
                line: Some(line),
                key: Some("PrivateKeyFile".to_owned()),
                ..ConfigError::file(&name, what, right)
            };
            config.warnings.push(error);
            Err(config.warnings)
        }
    }
}

/// A private key in a file of its own is known only here, so only here can a peer be found to have its public half.
fn check_own_key(
    config: Config,
    key: PrivateKey,
    name: &str,
) -> Result<(Config, PrivateKey), Vec<ConfigError>> {
    let own = key.public();
    let Some(peer) = config.peers.iter().find(|peer| peer.core.public_key == own) else {
        return Ok((config, key));
    };
    let error = ConfigError {
        line: Some(peer.line),
        key: Some("PublicKey".to_owned()),
        ..ConfigError::file(name, "our own public key", "the public key of the peer")
    };
    Err(config.warnings.into_iter().chain([error]).collect())
}

fn private_key(config: &Config, config_path: &Path) -> Result<PrivateKey, (u32, String, String)> {
    let (path, line) = match &config.key {
        KeySource::Inline(key) => return Ok(key.clone()),
        KeySource::File { path, line } => (path, *line),
    };
    let path = config_path.parent().unwrap_or(Path::new("")).join(path);
    let (text, metadata) = read(&path, MAX_KEY_FILE_LEN)
        .map_err(|(what, right)| (line, format!("{}: {what}", path.display()), right))?;
    if metadata.mode() & OTHERS_READ != 0 {
        let what =
            format!("{} can be read by others (mode {:04o})", path.display(), metadata.mode() & 0o7777);
        return Err((line, what, format!("chmod 600 {}", path.display())));
    }
    let parsed = std::str::from_utf8(&text).ok().map(str::trim).map(str::parse::<PrivateKey>);
    match parsed {
        Some(Ok(key)) => Ok(key),
        Some(Err(error)) => Err((
            line,
            format!("{}: {error}", path.display()),
            "one line as \"meshctl genkey\" writes it".to_owned(),
        )),
        None => Err((
            line,
            format!("{}: no text", path.display()),
            "one line as \"meshctl genkey\" writes it".to_owned(),
        )),
    }
}

/// The bytes of a regular file or pipe, wiped when dropped, and who may read it.
fn read(path: &Path, longest: u64) -> Result<(Zeroizing<Vec<u8>>, Metadata), Wrong> {
    let io = |error: std::io::Error| {
        (format!("cannot be read: {error}"), "a file that this user can read".to_owned())
    };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    // One allocation of the final size: a buffer that grows leaves copies of the secret behind.
    let room = usize::try_from(longest + 1).unwrap_or(usize::MAX);
    let size = if metadata.is_file() { metadata.len().min(longest) } else { longest };
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.min(usize::try_from(size).unwrap_or(room) + 1)));
    file.take(longest + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > longest {
        return Err(("too large".to_owned(), format!("at most {longest} bytes")));
    }
    Ok((bytes, metadata))
}

//! Reads a configuration's files: the text, the private key's own file, and who may read them.
//!
//! A configuration of the Python tool that others can read is a warning, since that tool takes it and such files exist;
//! a `PrivateKeyFile` that others can read is an error, as it is for ssh. A credential is where the service manager put it for
//! us alone: in a directory that nobody else can enter, so that its mode (an ACL's mask, often) says nothing.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use meshnet_bus::names::Instance;
use meshnet_proto::key::PrivateKey;
use zeroize::Zeroizing;

use super::interpret::{self, Given, Reading};
use super::value::Wrong;
use super::{Config, ConfigError, KeySource, Severity};
use crate::files;
use crate::privilege::Identity;

/// The longest configuration in bytes: room for thousands of peers.
pub const MAX_FILE_LEN: u64 = 1 << 20;
/// The longest private key file in bytes: a key, and white space around it.
const MAX_KEY_FILE_LEN: u64 = 256;
/// Permission bits by which somebody other than the owner could read.
const OTHERS_READ: u32 = 0o044;

/// Where a network's configuration is, and what it has to agree with.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// The name that the network was started by, if it was.
    pub instance: Option<Instance>,
    /// Where the service manager put credentials.
    pub credentials: Option<PathBuf>,
}

/// What is wrong with a file whose secret is none.
const OTHERS_CAN_READ: &str = "others can read";

/// Reads and checks the configuration at `path`, its private key file included.
///
/// # Errors
/// Everything that is wrong with it, and the warnings.
pub fn load(path: &Path) -> Result<(Config, PrivateKey), Vec<ConfigError>> {
    Source { file: path.to_owned(), instance: None, credentials: None }.load()
}

impl Source {
    /// Reads and checks the configuration, its private key file or credential included.
    ///
    /// # Errors
    /// Everything that is wrong with it, and the warnings.
    pub fn load(&self) -> Result<(Config, PrivateKey), Vec<ConfigError>> {
        let credential = self.credential();
        let given = Given {
            interface: self.instance.as_ref().map(Instance::as_str),
            credential: credential.as_deref(),
        };
        load_given(&self.file, given, self.credentials.as_deref())
    }

    /// The file of the credential that holds the private key, if it was passed.
    fn credential(&self) -> Option<PathBuf> {
        let name = format!("meshnet.{}.key", self.instance.as_ref()?);
        Some(self.credentials.as_ref()?.join(name)).filter(|path| path.exists())
    }
}

fn load_given(
    path: &Path,
    given: Given<'_>,
    credentials: Option<&Path>,
) -> Result<(Config, PrivateKey), Vec<ConfigError>> {
    let name = path.display().to_string();
    let (text, metadata) =
        read(path, MAX_FILE_LEN).map_err(|(what, right)| vec![ConfigError::file(&name, what, right)])?;
    let text = std::str::from_utf8(&text).map_err(|error| {
        let line = text[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        let wrong = ConfigError::file(&name, "no UTF-8 text", "a text file in UTF-8");
        vec![ConfigError { line: u32::try_from(line).ok(), ..wrong }]
    })?;
    let Reading { config, mut findings, key_file, run_as, secret_at } = interpret::read(&name, text, given);
    let mut tell = |severity, line: Option<u32>, key: &str, (what, right): Wrong| {
        let key = Some(key.to_owned());
        let exposes_secret = what.contains(OTHERS_CAN_READ);
        let error = ConfigError::file(&name, what, right);
        findings.push(ConfigError { line, key, severity, exposes_secret, ..error });
    };
    if let Some((line, key)) = secret_at
        && let Some((what, right)) = exposed(&metadata, &name)
    {
        let what = format!("a secret in a file that {what}");
        tell(Severity::Warning, Some(line), key, (what, format!("{right}, or PrivateKeyFile =")));
    }
    let [user, group] = run_as;
    if let Some((line, user)) = user
        && let Err(error) = Identity::look_up(Some(&user), None)
    {
        tell(Severity::Warning, Some(line), "RunAsUser", absent(&error));
    }
    if let Some((line, group)) = group
        && let Err(error) = Identity::look_up(None, Some(&group))
    {
        tell(Severity::Warning, Some(line), "RunAsGroup", absent(&error));
    }
    let mut key_of_file = None;
    if let Some((file, line)) = key_file {
        let file = path.parent().unwrap_or(Path::new("")).join(file);
        let private = credentials.is_some_and(|credentials| file.starts_with(credentials));
        match key_in_file(&file, private) {
            Ok(key) => key_of_file = Some(key),
            Err(wrong) => tell(Severity::Error, Some(line), "PrivateKeyFile", wrong),
        }
    }
    if let Some(credential) = given.credential {
        match key_in_file(credential, true) {
            Ok(key) => key_of_file = Some(key),
            Err(wrong) => tell(Severity::Error, None, "credential", wrong),
        }
    }
    // With a key file, only here can a peer be found to have its public half.
    if let (Some(key), Some(config)) = (&key_of_file, &config) {
        let own = key.public();
        if let Some(peer) = config.peers.iter().find(|peer| peer.core.public_key == own) {
            let wrong = ("our own public key".to_owned(), "the public key of the peer".to_owned());
            tell(Severity::Error, Some(peer.line), "PublicKey", wrong);
        }
    }
    findings.sort_by_key(|finding| finding.line.unwrap_or(u32::MAX));
    let fine = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let Some(config) = config.filter(|_| fine) else { return Err(findings) };
    let key = match &config.key {
        KeySource::Inline(key) => key.clone(),
        KeySource::File { .. } | KeySource::Credential => {
            key_of_file.expect("a key file without a key is an error, and there is none")
        }
    };
    Ok((Config { warnings: findings, ..config }, key))
}

/// A user or group that is not here: the file may be for another host.
fn absent(error: &anyhow::Error) -> Wrong {
    (format!("{error:#}"), "one of the host that the network runs on".to_owned())
}

/// What is wrong with a file's permissions, if others can read it.
fn exposed(metadata: &Metadata, name: &str) -> Option<Wrong> {
    let mode = metadata.mode() & 0o7777;
    (mode & OTHERS_READ != 0)
        .then(|| (format!("{OTHERS_CAN_READ} (mode {mode:04o})"), format!("chmod 600 {name}")))
}

/// The private key in a file of its own; `private` if it is where nobody else can look.
fn key_in_file(path: &Path, private: bool) -> Result<PrivateKey, Wrong> {
    let name = path.display();
    let (text, metadata) =
        read(path, MAX_KEY_FILE_LEN).map_err(|(what, right)| (format!("{name}: {what}"), right))?;
    if !private && let Some((what, right)) = exposed(&metadata, &name.to_string()) {
        return Err((format!("{name} is a file that {what}"), right));
    }
    let right = || "one line as \"meshctl genkey\" writes it".to_owned();
    let text = std::str::from_utf8(&text).map_err(|_| (format!("{name}: no text"), right()))?;
    text.trim().parse().map_err(|error| (format!("{name}: {error}"), right()))
}

/// The bytes of a regular file or pipe, wiped when dropped, and who may read it.
fn read(path: &Path, longest: u64) -> Result<(Zeroizing<Vec<u8>>, Metadata), Wrong> {
    let io = |error: std::io::Error| {
        let mend = match error.kind() {
            std::io::ErrorKind::PermissionDenied => files::denied(path),
            std::io::ErrorKind::NotFound => {
                let make = "\"meshctl init\" makes a configuration, \"meshctl genkey\" a key";
                return (format!("cannot be read: {error}"), make.to_owned());
            }
            _ => None,
        };
        match mend {
            Some((whose, command)) => (format!("cannot be read: {error} ({whose})"), command),
            None => (format!("cannot be read: {error}"), "a file that this user can read".to_owned()),
        }
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

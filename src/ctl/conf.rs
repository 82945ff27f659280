//! A network's configuration file as its user's tool sees it: what `init` and `join` write, and what `invite` and `doctor` look
//! up. Whether a file is right is for `meshnetd --check` to say; here a line that makes no sense is passed over.
//!
//! Invariants: a file is written whole or not at all, never readable by others, not even for a moment. A network's file is
//! not replaced by another network's without a copy of it staying; one that only gains a section holds all that it held,
//! and copies of it would be secrets that nobody looks after.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use meshnet_bus::names::Instance;
use nix::unistd::User;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::exit::Exit;

/// Where configurations are.
pub(crate) const DIR: &str = "/etc/meshnet";
/// As whom the daemon runs, and who owns its configuration.
pub(crate) const OWNER: &str = "meshnet";

/// The longest file in bytes, as the daemon has it.
const MAX_LEN: u64 = 1 << 20;
/// How many copies of replaced files may pile up.
const MAX_BACKUPS: u32 = 99;

/// The port of a udp link of which nothing else is said.
pub(crate) const UDP_PORT: u16 = 51820;

/// Where a udp link listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Udp {
    /// 0: another with each start.
    pub port: u16,
    /// `None`: all of the host's.
    pub address: Option<IpAddr>,
}

/// A network's file.
pub(crate) fn path(directory: &Path, network: &Instance) -> PathBuf {
    directory.join(format!("{network}.conf"))
}

/// The networks that have a file in this directory, as far as it can be read; in the order of their names.
pub(crate) fn networks(directory: &Path) -> Vec<Instance> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: fs::DirEntry| Instance::new(entry.file_name().to_str()?.strip_suffix(".conf")?).ok();
    let mut names: Vec<Instance> = entries.filter_map(Result::ok).filter_map(name).collect();
    names.sort();
    names
}

/// A file's sections. Secrets are in it: wiped when dropped.
pub(crate) struct Conf {
    text: Zeroizing<String>,
}

impl Conf {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is too large or no text.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |why: io::Error| {
            let error = Error::new(exit_of(&why), format!("cannot read {}", path.display())).because(&why);
            match why.kind() {
                io::ErrorKind::PermissionDenied => error.hint("run it with sudo"),
                _ => error,
            }
        };
        let file = File::open(path).map_err(wrong)?;
        // One allocation of the final size: a buffer that grows leaves copies of secrets behind.
        let length = file.metadata().map_err(wrong)?.len().min(MAX_LEN);
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
        file.take(MAX_LEN + 1).read_to_string(&mut text).map_err(wrong)?;
        if text.len() as u64 > MAX_LEN {
            return Err(Error::failure(format!("{} is too large", path.display()))
                .because(format!("at most {MAX_LEN} bytes")));
        }
        Ok(Self { text })
    }

    /// The values of a key in each section of a name, values that are separated by commas one by one.
    pub(crate) fn sections<'t>(&'t self, section: &str, key: &str) -> Vec<Vec<&'t str>> {
        let mut found: Vec<Vec<&str>> = Vec::new();
        let mut inside = false;
        for line in self.text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                inside = name == section;
                if inside {
                    found.push(Vec::new());
                }
                continue;
            }
            let (true, Some((name, value)), Some(values)) = (inside, line.split_once('='), found.last_mut())
            else {
                continue;
            };
            if name.trim() == key {
                let value = value.find(" #").map_or(value, |at| &value[..at]);
                values.extend(value.split(',').map(str::trim).filter(|value| !value.is_empty()));
            }
        }
        found
    }

    /// The values of a key in `[Interface]`.
    pub(crate) fn interface<'t>(&'t self, key: &str) -> Vec<&'t str> {
        self.sections("Interface", key).into_iter().flatten().collect()
    }

    /// Where the radios are.
    pub(crate) fn radios(&self) -> Vec<String> {
        let links = self.sections("Link", "Connect").into_iter().flatten();
        self.interface("MeshtasticConnect").into_iter().chain(links).map(str::to_owned).collect()
    }

    /// The first udp link, if there is one.
    pub(crate) fn udp(&self) -> Option<Udp> {
        let port = |ports: &[&str]| ports.last().map_or(Some(UDP_PORT), |port| port.parse().ok());
        let own = self.interface("ListenPort");
        if !own.is_empty() || !self.interface("FwMark").is_empty() {
            return port(&own).map(|port| Udp { port, address: None });
        }
        let [kinds, ports, addresses] =
            ["Type", "ListenPort", "Address"].map(|key| self.sections("Link", key).into_iter());
        let is_udp = |kind: &[&str]| kind.last().is_some_and(|kind| kind.eq_ignore_ascii_case("udp"));
        let links = kinds.zip(ports.zip(addresses)).filter(|(kind, _)| is_udp(kind));
        links.into_iter().find_map(|(_, (ports, addresses))| {
            let address = addresses.last().and_then(|address| address.parse().ok());
            port(&ports).map(|port| Udp { port, address })
        })
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Writes a network's file, for the daemon's user if there is one, and returns where the file that was there is kept.
///
/// # Errors
/// If there is one already (unless `replace`), or it cannot be written.
pub(crate) fn create(path: &Path, text: &str, replace: bool) -> Result<Option<PathBuf>, Error> {
    let wrong = |why: io::Error| cannot_write(path, &why);
    let draft = Draft::write(path, text, owner()).map_err(wrong)?;
    match fs::hard_link(&draft.path, path) {
        Ok(()) => return Ok(None),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(error)),
        Err(_) if !replace => {
            return Err(Error::failure(format!("{} is there already", path.display()))
                .because("nothing is overwritten")
                .hint("--force replaces it and keeps a copy"));
        }
        Err(_) => {}
    }
    let backup = keep(path).map_err(wrong)?;
    draft.replace(path).map_err(wrong)?;
    Ok(Some(backup))
}

/// Replaces a file's text by one that holds it too, its owner and mode staying as they are. No copy is kept.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn rewrite(path: &Path, text: &str) -> Result<(), Error> {
    let wrong = |why: io::Error| cannot_write(path, &why);
    let metadata = fs::metadata(path).map_err(wrong)?;
    let draft = Draft::write(path, text, Some((metadata.uid(), metadata.gid()))).map_err(wrong)?;
    fs::set_permissions(&draft.path, Permissions::from_mode(metadata.mode() & 0o7777)).map_err(wrong)?;
    draft.replace(path).map_err(wrong)
}

/// A text that is on disk beside the file that it shall become; gone if it does not become it.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(target: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let directory = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or("conf");
        let draft = Self { path: directory.join(format!(".{name}.{}", std::process::id())) };
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft.path)?;
        if let Some((user, group)) = owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }

    fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is none, which is fine.
        let _ = fs::remove_file(&self.path);
    }
}

/// Gives the file a second name, which stays when it is replaced.
fn keep(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=MAX_BACKUPS {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".~{number}~"));
        match fs::hard_link(path, &name) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("there are {MAX_BACKUPS} copies already")))
}

/// The daemon's user and group, if we may give files away and there is such a user.
fn owner() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = User::from_name(OWNER).ok().flatten()?;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::NotFound => Exit::NoSuchObject,
        io::ErrorKind::PermissionDenied => Exit::NotAuthorized,
        _ => Exit::Failure,
    }
}

fn cannot_write(path: &Path, why: &io::Error) -> Error {
    let error = Error::new(exit_of(why), format!("cannot write {}", path.display())).because(why);
    match why.kind() {
        io::ErrorKind::PermissionDenied => error.hint("run it with sudo"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[Interface]\nAddress = 10.1.2.1/24, fd42::1/64\nMeshtasticConnect = tcp://a # roof\n\
                        [Link]\nConnect = tcp://b\n[Peer]\nName = x\n[Peer]\nName=y\nAddress = 1\n";

    #[test]
    fn a_key_is_found_in_its_own_section() {
        let conf = Conf { text: Zeroizing::new(TEXT.to_owned()) };
        assert_eq!(conf.interface("Address"), ["10.1.2.1/24", "fd42::1/64"]);
        assert_eq!(conf.radios(), ["tcp://a", "tcp://b"]);
        assert_eq!(conf.sections("Peer", "Name"), [["x"], ["y"]]);
    }

    #[test]
    fn the_first_udp_link_is_where_others_reach_us() {
        let udp = |text: &str| Conf { text: Zeroizing::new(text.to_owned()) }.udp();
        let at = |port, address: Option<&str>| {
            Some(Udp { port, address: address.map(|text| text.parse().unwrap()) })
        };
        assert_eq!(udp(TEXT), None);
        assert_eq!(
            udp("[Interface]\nListenPort = 7\nAddress = 10.0.0.1/8\n[Link]\nType = udp\n"),
            at(7, None)
        );
        assert_eq!(udp("[Interface]\nFwMark = 1\n"), at(51820, None));
        let links = "[Link]\nConnect = tcp://a\n[Link]\nType = UDP\nListenPort = 0\nAddress = 192.0.2.7\n";
        assert_eq!(udp(links), at(0, Some("192.0.2.7")));
    }

    #[test]
    fn only_files_with_a_networks_name_are_networks() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["mesh0.conf", "mesh1.conf~", "README", "Big.conf", "mesh0.key"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(networks(directory.path()), [Instance::new("mesh0").unwrap()]);
        assert_eq!(networks(&directory.path().join("none")), []);
    }

    #[test]
    fn a_file_is_private_never_replaced_unasked_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/mesh0.conf");
        assert_eq!(create(&path, "one", false).unwrap(), None);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(create(&path, "two", false).unwrap_err().exit(), Exit::Failure);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        for number in 1..=2 {
            let kept = create(&path, "two", true).unwrap().unwrap();
            assert!(kept.to_str().unwrap().ends_with(&format!("mesh0.conf.~{number}~")));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_is_rewritten_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mesh0.conf");
        create(&path, "one", false).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        rewrite(&path, "two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(Conf::read(&path).unwrap().text(), "two");
    }
}

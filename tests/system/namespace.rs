//! A place of its own for a daemon: network interfaces, routes and `/run` that nothing else on this machine sees.
//!
//! A namespace has no name and no file: it is held by two descriptors, and the kernel takes it away with everything in
//! it when the last holder ends, however that ends. Threads and processes enter it by [`Namespace::run`] and
//! [`Namespace::spawn`].
//!
//! Invariant: the calling thread never changes its own namespaces; a fresh thread does, and ends.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace and a mount namespace, with an empty `/run` if it was made here.
#[derive(Debug)]
pub struct Namespace {
    net: OwnedFd,
    mnt: OwnedFd,
}

impl Namespace {
    /// Makes an empty namespace, its loopback interface up.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN` and `CAP_NET_ADMIN` (of the machine, or of a user namespace).
    pub fn new() -> Result<Self> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .context("making a namespace needs root or a user namespace")?;
            // What is mounted here must not spread to the machine.
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .context("making the mounts private")?;
            mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
                .context("mounting an empty /run")?;
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("running ip")?;
            ensure!(up.success(), "ip link set lo up: {up}");
            Ok(Self { net: open("net")?, mnt: open("mnt")? })
        })
    }

    /// Returns the network namespace of a running process, with the mounts of this one.
    ///
    /// # Errors
    /// If there is no such process, or it is not ours to look at.
    pub fn network_of(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/ns/net");
        let net = File::open(&path).with_context(|| path)?.into();
        Ok(Self { net, mnt: open("mnt")? })
    }

    /// Runs `f` in the namespace, on a thread of its own, and returns what it returns.
    ///
    /// # Errors
    /// Whatever `f` fails with.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            self.enter()?;
            f()
        })
    }

    /// Starts a program in the namespace.
    ///
    /// # Errors
    /// If it does not start.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.run(|| command.spawn().with_context(|| format!("starting {}", command.get_program().display())))
    }

    /// Returns a path by which another program can enter the network namespace while this value lives.
    #[must_use]
    pub fn net_path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.net.as_raw_fd()).into()
    }

    /// Takes the calling thread there for good: for threads that exist for nothing else.
    ///
    /// # Errors
    /// Without the capabilities that [`Namespace::new`] needs.
    pub fn enter(&self) -> Result<()> {
        // A thread shares its root and working directory with its process until it asks not to, and may not change its
        // mounts while it does.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&self.mnt, CloneFlags::CLONE_NEWNS).context("entering the mount namespace")?;
        setns(&self.net, CloneFlags::CLONE_NEWNET).context("entering the network namespace")?;
        Ok(())
    }
}

fn in_thread<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(f).join()).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        anyhow!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
    })?
}

fn open(kind: &str) -> Result<OwnedFd> {
    let path = format!("/proc/thread-self/ns/{kind}");
    Ok(File::open(&path).with_context(|| path)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story;

    #[test]
    fn a_namespace_has_a_loopback_a_run_directory_and_nothing_else() -> Result<()> {
        story(|_| {
            let namespace = Namespace::new()?;
            let interfaces = namespace.run(|| {
                std::fs::write("/run/mine", "")?;
                let ip = Command::new("ip").args(["-br", "link"]).output()?;
                Ok(String::from_utf8(ip.stdout)?)
            })?;
            assert_eq!(interfaces.lines().count(), 1, "{interfaces}");
            assert!(interfaces.starts_with("lo "), "{interfaces}");
            assert!(!std::path::Path::new("/run/mine").exists());
            Ok(())
        })
    }
}

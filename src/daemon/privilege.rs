//! Gives away what the daemon no longer needs.
//!
//! Capabilities belong to threads and go from a thread to those it starts. So the order is everything, and all of it
//! happens while the process has one thread: [`restrict`] (become the configured user, keep nothing but CAP_NET_ADMIN,
//! bar the way back), then the netlink helper's thread starts and inherits that one capability, then [`drop_all`] leaves the
//! main thread, and every thread that it starts from then on, with none.

use std::ffi::CString;

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{self, Gid, Group, Uid, User};
use tracing::warn;

use crate::config::Config;

/// Whom to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: Option<(Uid, Option<CString>)>,
    group: Option<Gid>,
}

impl Identity {
    /// Looks up `RunAsUser` and `RunAsGroup`, each a name or a number. A user without a group brings its own.
    ///
    /// # Errors
    /// If there is no such user or group.
    pub fn look_up(user: Option<&str>, group: Option<&str>) -> anyhow::Result<Self> {
        let mut identity = Self { user: None, group: None };
        if let Some(name) = user {
            let entry = match User::from_name(name).context("cannot look up users")? {
                Some(entry) => Some(entry),
                None => match name.parse() {
                    Ok(uid) => User::from_uid(Uid::from_raw(uid)).context("cannot look up users")?,
                    Err(_) => bail!("there is no user \"{name}\" here"),
                },
            };
            identity.user = Some(match entry {
                Some(entry) => {
                    identity.group = Some(entry.gid);
                    (entry.uid, CString::new(entry.name).ok())
                }
                None => (Uid::from_raw(name.parse().context("the user's number is out of range")?), None),
            });
        }
        if let Some(name) = group {
            let entry = Group::from_name(name).context("cannot look up groups")?;
            identity.group = Some(match (entry, name.parse()) {
                (Some(entry), _) => entry.gid,
                (None, Ok(gid)) => Gid::from_raw(gid),
                (None, Err(_)) => bail!("there is no group \"{name}\" here"),
            });
        }
        Ok(identity)
    }

    /// Whom a network is to become. One that the service manager runs by its name as somebody else than root is who it is to be
    /// already, and could become nobody else.
    ///
    /// # Errors
    /// If there is no such user or group.
    pub fn of(config: &Config, by_name: bool) -> anyhow::Result<Self> {
        let (user, group) = (config.run_as_user.as_deref(), config.run_as_group.as_deref());
        if by_name && !unistd::geteuid().is_root() && (user.is_some() || group.is_some()) {
            warn!("RunAsUser and RunAsGroup mean nothing here: the service manager has chosen the user");
            return Ok(Self { user: None, group: None });
        }
        Self::look_up(user, group).context("cannot become RunAsUser or RunAsGroup")
    }

    /// Returns the user to own what the daemon writes, if it is to be another than the one that started it.
    #[must_use]
    pub fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (self.user.as_ref().map(|(uid, _)| *uid), self.group)
    }

    /// Becomes it. The caller has seen to it that capabilities survive.
    fn take(&self) -> anyhow::Result<()> {
        if let Some(gid) = self.group
            && (gid != unistd::getegid()
                || self.user.as_ref().is_some_and(|(uid, _)| *uid != unistd::geteuid()))
        {
            // The user's other groups come along: one of them (dialout) may be what opens the radio's serial port.
            match &self.user {
                Some((_, Some(name))) => unistd::initgroups(name, gid),
                _ => unistd::setgroups(&[gid]),
            }
            .context("cannot set the supplementary groups (this takes root)")?;
            unistd::setresgid(gid, gid, gid).context("cannot become RunAsGroup (this takes root)")?;
        }
        if let Some((uid, _)) = self.user
            && uid != unistd::geteuid()
        {
            unistd::setresuid(uid, uid, uid).context("cannot become RunAsUser (this takes root)")?;
        }
        Ok(())
    }
}

/// Becomes `identity` and gives up everything but CAP_NET_ADMIN, for good. Call it while there is one thread.
///
/// # Errors
/// If the process may not become `identity`, or lacks CAP_NET_ADMIN.
pub fn restrict(identity: &Identity) -> anyhow::Result<()> {
    let net_admin: CapsHashSet = [Capability::CAP_NET_ADMIN].into();
    if !caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_ADMIN)? {
        bail!("CAP_NET_ADMIN is missing: without it there is no network interface to be had");
    }
    // Without CAP_SETPCAP the bounding set stays; but nothing can be gained from it under no_new_privs.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        caps::clear(None, CapSet::Bounding).context("cannot empty the bounding set")?;
    }
    caps::clear(None, CapSet::Ambient).context("cannot empty the ambient set")?;
    prctl::set_keepcaps(true).context("cannot keep capabilities across a change of user")?;
    identity.take()?;
    prctl::set_keepcaps(false).context("cannot end keeping capabilities")?;
    // A change of user empties the effective set; the permitted one must shrink last.
    caps::set(None, CapSet::Effective, &net_admin).context("cannot set the effective capabilities")?;
    caps::set(None, CapSet::Permitted, &net_admin).context("cannot set the permitted capabilities")?;
    caps::clear(None, CapSet::Inheritable).context("cannot empty the inheritable set")?;
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    Ok(())
}

/// Gives up this thread's last capability, for itself and every thread that it will start.
///
/// # Errors
/// If the kernel refuses.
pub fn drop_all() -> anyhow::Result<()> {
    caps::clear(None, CapSet::Effective).context("cannot empty the effective set")?;
    caps::clear(None, CapSet::Permitted).context("cannot empty the permitted set")?;
    Ok(())
}

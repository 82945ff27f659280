//! What the daemon keeps of its privileges.

use std::collections::BTreeMap;

use super::*;

/// CAP_NET_ADMIN's bit in /proc.
const NET_ADMIN: &str = "0000000000001000";
const NOTHING: &str = "0000000000000000";

/// The threads' names, each with the fields of its /proc status.
fn threads(pid: u32) -> Result<Vec<(String, String)>> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let name = field(&status, "Name").context("no name")?.to_owned();
        threads.push((name, status));
    }
    Ok(threads)
}

#[test]
fn only_the_netlink_helper_keeps_a_capability() -> Result<()> {
    story(|dir| {
        let site = Site::start(dir, "")?;
        ensure!(kinds_of_walled_threads(site.daemon.pid())?.contains_key("netlink"));
        Ok(())
    })
}

#[test]
fn threads_that_seal_can_do_no_more_than_the_core() -> Result<()> {
    story(|dir| {
        let site = Site::start(dir, "ListenPort = 0\nSealingThreads = 3")?;
        let kinds = kinds_of_walled_threads(site.daemon.pid())?;
        assert_eq!((kinds.get("netlink"), kinds.get("seal")), (Some(&1), Some(&2)));
        Ok(())
    })
}

/// Checks that all threads have what they need and no more; returns how many there are of each name.
fn kinds_of_walled_threads(pid: u32) -> Result<BTreeMap<String, usize>> {
    let mut kinds = BTreeMap::new();
    for (name, status) in threads(pid)? {
        let own = if name == "netlink" { NET_ADMIN } else { NOTHING };
        assert_eq!(field(&status, "CapEff"), Some(own), "{name}");
        assert_eq!(field(&status, "CapPrm"), Some(own), "{name}");
        for set in ["CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(field(&status, set), Some(NOTHING), "{name} {set}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), Some("1"), "{name}");
        let filtered = "2"; // SECCOMP_MODE_FILTER
        assert_eq!(field(&status, "Seccomp"), Some(filtered), "{name}");
        *kinds.entry(name).or_default() += 1;
    }
    Ok(kinds)
}

#[test]
fn a_daemon_that_starts_as_another_user_hands_its_one_capability_to_the_helper() -> Result<()> {
    if !is_root_of_the_machine() {
        ensure!(std::env::var_os("CI").is_none(), "needs root, and in CI nothing is skipped");
        eprintln!("SKIPPED: becoming another user needs root");
        return Ok(());
    }
    story(|dir| {
        let reach = tempfile::Builder::new().prefix("meshnetd-test").tempdir_in("/tmp")?;
        let namespace = Namespace::new()?;
        // The daemon's own directory may be out of nobody's reach.
        let program = reach.path().join("meshnetd");
        fs::copy(env!("CARGO_BIN_EXE_meshnetd"), &program)?;
        let prepared = command(reach.path(), "RunAsUser = root")?;
        let nobody = nix::unistd::User::from_name("nobody")?.context("no nobody")?;
        for path in [reach.path(), &reach.path().join("mesh7.conf")] {
            nix::unistd::chown(path, Some(nobody.uid), Some(nobody.gid))?;
        }
        // As a unit with User= and AmbientCapabilities= starts it.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", &nobody.gid.to_string(), "--clear-groups"]);
        command.args(["--inh-caps", "-all,+net_admin", "--ambient-caps", "-all,+net_admin"]);
        command.args(["--bounding-set", "-all,+net_admin"]).arg(program).args([
            "--instance",
            "mesh7",
            "--no-bus",
        ]);
        command.args(prepared.get_args());
        let mut daemon = Process::start("meshnetd", command, Some(&namespace), dir)?;
        daemon.wait_for_line("RunAsUser and RunAsGroup mean nothing here", LIMIT)?;
        daemon.wait_for_line("network is running", LIMIT)?;
        for (name, status) in threads(daemon.pid())? {
            let own = if name == "netlink" { NET_ADMIN } else { NOTHING };
            assert_eq!(field(&status, "CapEff"), Some(own), "{name}");
            assert_eq!(field(&status, "CapPrm"), Some(own), "{name}");
            for set in ["CapInh", "CapAmb"] {
                assert_eq!(field(&status, set), Some(NOTHING), "{name} {set}");
            }
            let uid = nobody.uid.to_string();
            assert_eq!(field(&status, "Uid"), Some([uid.as_str(); 4].join("\t").as_str()), "{name}");
        }
        assert_eq!(daemon.stop()?.code(), Some(0));
        Ok(())
    })
}

#[test]
fn every_thread_becomes_run_as_user_and_the_helper_still_serves() -> Result<()> {
    if !nix::unistd::User::from_name("nobody").is_ok_and(|user| user.is_some()) || !is_root_of_the_machine() {
        ensure!(std::env::var_os("CI").is_none(), "needs root, and in CI nothing is skipped");
        eprintln!("SKIPPED: becoming another user needs root");
        return Ok(());
    }
    story(|dir| {
        // The directories must be within nobody's reach.
        let reach = tempfile::Builder::new().prefix("meshnetd-test").tempdir_in("/tmp")?;
        fs::set_permissions(reach.path(), fs::Permissions::from_mode(0o755))?;
        let nobody = nix::unistd::User::from_name("nobody")?.context("no nobody")?;
        let mut site = Site::start(reach.path(), "RunAsUser = nobody")?;
        for (name, status) in threads(site.daemon.pid())? {
            let ids =
                |id: u32| Some([id.to_string(), id.to_string(), id.to_string(), id.to_string()].join("\t"));
            assert_eq!(field(&status, "Uid").map(str::to_owned), ids(nobody.uid.as_raw()), "{name}");
            assert_eq!(field(&status, "Gid").map(str::to_owned), ids(nobody.gid.as_raw()), "{name}");
            let own = if name == "netlink" { NET_ADMIN } else { NOTHING };
            assert_eq!(field(&status, "CapPrm"), Some(own), "{name}");
        }
        site.status()?;
        assert_eq!(fs::metadata(reach.path().join("run/mesh7.status.json"))?.uid(), nobody.uid.as_raw());
        down_and_up(&mut site)?;
        fs::copy(reach.path().join("meshnetd.log"), dir.join("meshnetd.log"))?;
        Ok(())
    })
}

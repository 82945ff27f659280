//! Which system calls: by seccomp(2).
//!
//! A list of what is forbidden, not of what is allowed: libc and kernel change which calls they use for the same thing, and a
//! daemon that fails for that on somebody's machine is worse than one call too many. What is on the list fails with EPERM, as it
//! would without the capability that most of it takes.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The core's, and all that are started from it: drivers, name resolution.
    Core,
    /// The one that keeps CAP_NET_ADMIN.
    Netlink,
}

/// What no thread ever does: run a program, look into another process, change what it is or what it sees, load code into the
/// kernel, or use the parts of the kernel that have let most attackers through.
const NEVER: &[libc::c_long] = &[
    // Programs and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Whom it is.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_personality,
    // What it sees.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // The kernel, the clock, the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_mknodat,
    // Large and seldom needed parts.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// What the netlink helper does not do besides, once it has its socket: open files or sockets, set up devices, start threads.
/// CAP_NET_ADMIN opens doors in many of these.
const NEVER_IN_NETLINK: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_setsockopt,
    libc::SYS_ioctl,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_kill,
];

/// The calls that only this processor has, by their old names.
#[cfg(target_arch = "x86_64")]
const OLD: &[libc::c_long] =
    &[libc::SYS_mknod, libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_modify_ldt, libc::SYS_kexec_file_load];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[libc::c_long] = &[];

#[cfg(target_arch = "x86_64")]
const OLD_IN_NETLINK: &[libc::c_long] =
    &[libc::SYS_open, libc::SYS_creat, libc::SYS_unlink, libc::SYS_rename, libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const OLD_IN_NETLINK: &[libc::c_long] = &[];

/// Forbids this thread, and those that it starts, what its kind never does.
pub(super) fn forbid(kind: Kind) -> anyhow::Result<String> {
    let arch: TargetArch = ARCH.try_into().map_err(|_| anyhow::anyhow!("no filter for {ARCH}"))?;
    let more: [&[libc::c_long]; 2] = match kind {
        Kind::Core => [&[], &[]],
        Kind::Netlink => [NEVER_IN_NETLINK, OLD_IN_NETLINK],
    };
    let numbers = [NEVER, OLD].into_iter().chain(more).flatten();
    let rules: BTreeMap<i64, Vec<_>> = numbers.map(|&number| (number, Vec::new())).collect();
    let count = rules.len();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    apply_filter(&filter)?;
    Ok(format!("{count} are forbidden"))
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Runs `f` in a thread of its own, which the filter ends with.
    fn apart<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(f).join().unwrap()
    }

    #[test]
    fn a_forbidden_call_fails_and_does_not_kill() {
        apart(|| {
            forbid(Kind::Core).unwrap();
            assert_eq!(unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
            assert!(std::process::Command::new("/bin/true").status().is_err(), "a program was run");
            // What the drivers and name resolution do.
            std::fs::read("/proc/self/stat").unwrap();
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            std::thread::spawn(|| ()).join().unwrap();
        });
    }

    #[test]
    fn the_netlink_helper_opens_nothing() {
        apart(|| {
            forbid(Kind::Netlink).unwrap();
            let refused = |result: Result<(), std::io::Error>| result.unwrap_err().raw_os_error();
            let eperm = Some(libc::EPERM);
            assert_eq!(refused(std::fs::File::open("/dev/net/tun").map(drop)), eperm);
            assert_eq!(refused(std::net::UdpSocket::bind("127.0.0.1:0").map(drop)), eperm);
            // Memory is still to be had.
            drop(vec![1_u8; 8 << 20]);
        });
    }
}

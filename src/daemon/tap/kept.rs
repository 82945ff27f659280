//! A TAP from an earlier life of the daemon: is this descriptor the interface that it is said to be?
#![allow(unsafe_code, reason = "an ioctl that no crate wraps")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, ensure};
use nix::libc;

/// Sees to it that `fd` is attached to the TAP `name`, as [`super::open`] would have made it.
pub(super) fn check(fd: BorrowedFd<'_>, name: &str) -> anyhow::Result<()> {
    let (found, flags) = attached(fd).context("it is attached to no interface any more")?;
    ensure!(found == name, "it is the interface {found}");
    let wanted = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let unwanted = libc::IFF_TUN | libc::IFF_MULTI_QUEUE;
    ensure!(
        flags & (wanted | unwanted) == wanted,
        "it is no TAP as the daemon makes them (flags {flags:#x})"
    );
    Ok(())
}

mod call {
    use nix::libc::{c_uint, ifreq};

    // <linux/if_tun.h> defines TUNGETIFF as _IOR('T', 210, unsigned int), but it writes a `struct ifreq`.
    nix::ioctl_read_bad!(get_iff, nix::request_code_read!(b'T', 210, size_of::<c_uint>()), ifreq);
}

/// The interface that a descriptor of /dev/net/tun is attached to, and its flags.
fn attached(fd: BorrowedFd<'_>) -> nix::Result<(String, i32)> {
    // SAFETY: `ifreq` is plain C data (bytes, numbers, a null pointer), for which zeros are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open for as long as it is borrowed. The number can only mean this request to /dev/net/tun: its
    // type 'T' is also that of terminals, none of whose requests has the number 210; anything else answers ENOTTY. The kernel
    // writes a `struct ifreq`, for which there is room.
    unsafe { call::get_iff(fd.as_raw_fd(), &raw mut request) }?;
    // SAFETY: the kernel filled in `ifru_flags`, and any bits are a valid `c_short`.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let name: Vec<u8> = request.ifr_name.iter().map(|&c| c.cast_unsigned()).take_while(|&c| c != 0).collect();
    Ok((String::from_utf8_lossy(&name).into_owned(), i32::from(flags.cast_unsigned())))
}

//! What all networks of a host share: the daemon's user, the kernel's TAP, the bus, the clock, who grabs serial ports.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::User;

use super::Findings;
use crate::bus::Bus;
use crate::conf;

/// 2026-01-01 in seconds since 1970: a clock before this program was made is wrong.
const MADE: u64 = 1_767_225_600;

/// Looks at the host.
pub(super) async fn check(bus: Option<&Bus>, findings: &mut Findings) {
    match User::from_name(conf::OWNER) {
        Ok(Some(_)) => findings.ok("user", format!("there is a user {}", conf::OWNER)),
        Ok(None) => findings.fail(
            "user",
            format!("there is no user {}, as which the daemon runs", conf::OWNER),
            "sudo systemd-sysusers (its file comes with the package meshnet)",
        ),
        Err(error) => {
            findings.warn("user", format!("users cannot be looked up: {error}"), "getent passwd meshnet");
        }
    }
    if Path::new("/dev/net/tun").exists() {
        findings.ok("tap", "/dev/net/tun is there");
    } else {
        findings.fail("tap", "/dev/net/tun is missing: no interface can be made", "sudo modprobe tun");
    }
    clock(findings);
    match bus {
        Some(bus) => {
            findings.ok("bus", "the system bus answers");
            modem_manager(bus, findings).await;
        }
        None => findings.fail("bus", "the system bus cannot be opened", "sudo systemctl start dbus"),
    }
}

fn clock(findings: &mut Findings) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if now < MADE {
        findings.fail(
            "clock",
            "the clock is years behind: peers that knew us refuse our handshakes as old ones",
            "sudo timedatectl set-ntp true, or sudo date --set=…",
        );
    } else {
        findings.ok("clock", "the clock is plausible");
    }
}

/// ModemManager opens serial ports that appear and talks to them, unless a udev rule tells it not to.
async fn modem_manager(bus: &Bus, findings: &mut Findings) {
    const RULES: [&str; 3] = ["/usr/lib/udev/rules.d", "/etc/udev/rules.d", "/lib/udev/rules.d"];
    let Ok(runs) = bus.is_owned("org.freedesktop.ModemManager1").await else { return };
    let ruled = RULES.iter().any(|directory| Path::new(directory).join("60-meshnet.rules").exists());
    match (runs, ruled) {
        (false, _) => findings.ok("modem-manager", "ModemManager does not run"),
        (true, true) => findings.ok("modem-manager", "ModemManager is told to leave radios alone"),
        (true, false) => findings.warn(
            "modem-manager",
            "ModemManager runs, and opens serial ports when they appear",
            "the package's udev rule 60-meshnet.rules keeps it away; or sudo systemctl mask --now ModemManager",
        ),
    }
}

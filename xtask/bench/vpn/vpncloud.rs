//! VpnCloud: a mesh VPN in Rust.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use meshnet_system::cable::ip;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::tools::Tool;
use meshnet_system::wait::wait_for;

use super::peer::{INSIDE, MTU, OUTSIDE, Peer, start_both};

const TOOL: Tool = Tool { package: "vpncloud", version: "2.3.0", program: "vpncloud" };

pub(super) struct VpnCloud;

impl Peer for VpnCloud {
    fn name(&self) -> &'static str {
        "vpncloud 2.3"
    }

    fn provision(&self) -> Result<()> {
        TOOL.provision().map(drop)
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let program = TOOL.provision()?;
        for (end, other) in ends.iter().zip([OUTSIDE[1], OUTSIDE[0]]) {
            // It asks for the route to some public address, to learn its own, and ends if there is none.
            ip(end, &["route", "add", "default", "via", other])?;
        }
        let processes = start_both(ends, dir, |end| {
            let mut command = Command::new(&program);
            command
                .args(["--type", "tun", "--mode", "router", "--device", "vpn0", "--no-port-forwarding"])
                .args(["--algorithm", "chacha20", "--password", "measured", "--listen", "3210"])
                .args(["--ip", &format!("{}/24", INSIDE[end]), "--claim", &format!("{}/32", INSIDE[end])])
                .args(["--no-auto-claim", "--peer", &format!("{}:3210", OUTSIDE[1 - end])]);
            Ok(command)
        })?;
        for (end, inside) in ends.iter().zip(INSIDE) {
            // It makes its interface by itself, with an MTU of its own.
            wait_for("an interface of vpncloud", super::START_LIMIT, || {
                Ok(ip(end, &["link", "set", "vpn0", "mtu", &MTU.to_string(), "up"]).ok())
            })?;
            // It may have set the address before, or not yet.
            ip(end, &["address", "replace", &format!("{inside}/24"), "dev", "vpn0"])?;
        }
        Ok(processes)
    }
}

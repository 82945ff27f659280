//! tinc: the oldest mesh VPN, in C.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use meshnet_system::cable::ip;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::wait::wait_for;

use super::peer::{INSIDE, MTU, OUTSIDE, Peer, output, start_both};
use crate::need;

const TOOL: need::Tool = need::Tool::new("tinc", &["tincd", "--version"], "tinc");

pub(super) struct Tinc;

impl Peer for Tinc {
    fn name(&self) -> &'static str {
        "tinc 1.0"
    }

    fn cipher(&self) -> &'static str {
        "AES-256-CBC, SHA-256"
    }

    fn provision(&self) -> Result<()> {
        need::tools(&[&TOOL])
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let home = |end: usize| dir.join(format!("end{end}"));
        for end in 0..2 {
            let other = 1 - end;
            std::fs::create_dir_all(home(end).join("hosts"))?;
            let config = format!(
                "Name = end{end}\nInterface = tinc0\nDeviceType = tun\nMode = router\nConnectTo = end{other}\n"
            );
            std::fs::write(home(end).join("tinc.conf"), config)?;
            let host = format!("Address = {}\nSubnet = {}/32\n", OUTSIDE[end], INSIDE[end]);
            std::fs::write(home(end).join(format!("hosts/end{end}")), host)?;
            // It asks where to put the keys, and takes an empty answer for where they belong.
            output(Command::new("tincd").arg("-c").arg(home(end)).args(["-K", "2048"]))?;
        }
        for end in 0..2 {
            let host = format!("hosts/end{end}");
            std::fs::copy(home(end).join(&host), home(1 - end).join(&host))?;
        }
        let processes = start_both(ends, dir, |end| {
            let mut command = Command::new("tincd");
            command.arg("-c").arg(home(end)).args(["-D", "--pidfile"]).arg(home(end).join("pid"));
            Ok(command)
        })?;
        for (end, inside) in ends.iter().zip(INSIDE) {
            wait_for("an interface of tinc", super::START_LIMIT, || {
                Ok(ip(end, &["link", "set", "tinc0", "mtu", &MTU.to_string(), "up"]).ok())
            })?;
            ip(end, &["address", "add", &format!("{inside}/24"), "dev", "tinc0"])?;
        }
        Ok(processes)
    }
}

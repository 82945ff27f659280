//! meshnet with a session of WireGuard's over one udp link, and no radio.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use meshnet_system::config::{Config, Peer as ConfigPeer, PeerMode, private_key};
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::programs::program;

use super::peer::{INSIDE, MTU, OURS, OUTSIDE, Peer, start_both};

pub(super) struct Ours;

impl Peer for Ours {
    fn name(&self) -> &'static str {
        OURS
    }

    fn provision(&self) -> Result<()> {
        program("meshnetd").map(drop)
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let keys = [private_key()?, private_key()?];
        for end in 0..2 {
            let other = 1 - end;
            let config = Config {
                private_key: keys[end].clone(),
                address: format!("{}/24", INSIDE[end]),
                mtu: MTU,
                tap_name: "mesh0".into(),
                connect: String::new(),
                more: vec!["ListenPort = 51820".into()],
                peers: vec![ConfigPeer {
                    public_key: keys[other].public(),
                    preshared_key: None,
                    allowed_ips: format!("{}/32", INSIDE[other]),
                    endpoints: vec![format!("udp://{}:51820", OUTSIDE[other])],
                    mode: PeerMode::WireGuard,
                }],
                plain: false,
            };
            config.write(&dir.join(format!("end{end}.conf")))?;
        }
        let mut processes = start_both(ends, dir, |end| {
            let mut command = Command::new(program("meshnetd")?);
            command.arg("--config").arg(dir.join(format!("end{end}.conf")));
            command.arg("--state-dir").arg(dir.join(format!("end{end}.state")));
            command.arg("--runtime-dir").arg(dir.join(format!("end{end}.run")));
            Ok(command)
        })?;
        for process in &mut processes {
            process.wait_for_line("network is running", Duration::from_secs(10))?;
        }
        Ok(processes)
    }
}

//! Nebula: a mesh VPN in Go.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;

use super::peer::{INSIDE, MTU, OUTSIDE, Peer, output, start_both};
use crate::need;

const TOOL: need::Tool = need::Tool::new("nebula", &["nebula", "-version"], "nebula");

pub(super) struct Nebula;

impl Peer for Nebula {
    fn name(&self) -> &'static str {
        "nebula 1.6"
    }

    fn cipher(&self) -> &'static str {
        "AES-256-GCM"
    }

    fn provision(&self) -> Result<()> {
        need::tools(&[&TOOL])
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let cert = |arguments: &[&str]| output(Command::new("nebula-cert").args(arguments).current_dir(dir));
        cert(&["ca", "-name", "measured"])?;
        for (end, inside) in INSIDE.iter().enumerate() {
            cert(&["sign", "-name", &format!("end{end}"), "-ip", &format!("{inside}/24")])?;
            let other = 1 - end;
            let config = format!(
                "pki: {{ca: {dir}/ca.crt, cert: {dir}/end{end}.crt, key: {dir}/end{end}.key}}\n\
                 static_host_map: {{\"{}\": [\"{}:4242\"]}}\n\
                 lighthouse: {{am_lighthouse: false}}\n\
                 listen: {{host: 0.0.0.0, port: 4242}}\n\
                 tun: {{dev: neb0, mtu: {MTU}, tx_queue: 500}}\n\
                 logging: {{level: error, format: text}}\n\
                 firewall:\n  outbound: [{{port: any, proto: any, host: any}}]\n  inbound: [{{port: any, proto: any, host: any}}]\n",
                INSIDE[other],
                OUTSIDE[other],
                dir = dir.display(),
            );
            std::fs::write(dir.join(format!("end{end}.yml")), config)?;
        }
        start_both(ends, dir, |end| {
            let mut command = Command::new("nebula");
            command.arg("-config").arg(dir.join(format!("end{end}.yml")));
            Ok(command)
        })
    }
}

//! fastd: the daemon of many community networks, in C.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use meshnet_system::cable::ip;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::wait::wait_for;

use super::peer::{INSIDE, MTU, OUTSIDE, Peer, output, start_both};
use crate::need;

const TOOL: need::Tool = need::Tool::new("fastd", &["fastd", "--version"], "fastd");

pub(super) struct Fastd;

impl Peer for Fastd {
    fn name(&self) -> &'static str {
        "fastd 22"
    }

    fn cipher(&self) -> &'static str {
        "Salsa20/12, UMAC"
    }

    fn provision(&self) -> Result<()> {
        need::tools(&[&TOOL])
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let key = || -> Result<[String; 2]> {
            let text = output(Command::new("fastd").args(["--generate-key"]))?;
            let of = |label: &str| {
                let found = text.lines().find_map(|line| line.strip_prefix(label));
                found.map(|key| key.trim().to_owned()).context("a key of fastd")
            };
            Ok([of("Secret:")?, of("Public:")?])
        };
        let keys = [key()?, key()?];
        for end in 0..2 {
            let other = 1 - end;
            let config = format!(
                "log level error;\nmode tun;\ninterface \"fastd0\";\nmtu {MTU};\nmethod \"salsa2012+umac\";\n\
                 bind 0.0.0.0:10000;\nsecret \"{}\";\npeer \"other\" {{ key \"{}\"; remote {}:10000; }}\n",
                keys[end][0], keys[other][1], OUTSIDE[other]
            );
            std::fs::write(dir.join(format!("end{end}.fastd")), config)?;
        }
        let processes = start_both(ends, dir, |end| {
            let mut command = Command::new("fastd");
            command.arg("--config").arg(dir.join(format!("end{end}.fastd")));
            Ok(command)
        })?;
        for (end, inside) in ends.iter().zip(INSIDE) {
            wait_for("an interface of fastd", super::START_LIMIT, || {
                Ok(ip(end, &["link", "set", "fastd0", "mtu", &MTU.to_string(), "up"]).ok())
            })?;
            ip(end, &["address", "add", &format!("{inside}/24"), "dev", "fastd0"])?;
        }
        Ok(processes)
    }
}

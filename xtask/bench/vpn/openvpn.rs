//! OpenVPN over UDP, without its kernel module.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;

use super::peer::{INSIDE, MTU, OUTSIDE, Peer, output, start_both};
use crate::need;

const OPENVPN: need::Tool = need::Tool::new("openvpn", &["openvpn", "--version"], "openvpn");
const OPENSSL: need::Tool = need::Tool::new("openssl", &["openssl", "version"], "openssl");

pub(super) struct OpenVpn;

impl Peer for OpenVpn {
    fn name(&self) -> &'static str {
        "openvpn 2.6"
    }

    fn cipher(&self) -> &'static str {
        "AES-256-GCM"
    }

    fn provision(&self) -> Result<()> {
        need::tools(&[&OPENVPN, &OPENSSL])
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let mut prints = Vec::new();
        for end in 0..2 {
            let [key, cert] = ["key", "crt"].map(|kind| format!("end{end}.{kind}"));
            let openssl =
                |arguments: &[&str]| output(Command::new("openssl").args(arguments).current_dir(dir));
            openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=measured",
                "-keyout",
                &key,
                "-out",
                &cert,
            ])?;
            let print = openssl(&["x509", "-in", &cert, "-noout", "-fingerprint", "-sha256"])?;
            prints.push(print.trim().rsplit('=').next().unwrap_or_default().to_owned());
        }
        start_both(ends, dir, |end| {
            let other = 1 - end;
            let mut command = Command::new("openvpn");
            command
                .args(["--dev", "tun0", "--dev-type", "tun", "--proto", "udp", "--port", "1194"])
                .args(["--remote", OUTSIDE[other], "--ifconfig", INSIDE[end], INSIDE[other]])
                .args(["--tun-mtu", &MTU.to_string(), "--mssfix", "0", "--data-ciphers", "AES-256-GCM"])
                .args([if end == 0 { "--tls-client" } else { "--tls-server" }, "--verb", "1"])
                .args(["--peer-fingerprint", &prints[other]])
                .arg("--cert")
                .arg(dir.join(format!("end{end}.crt")))
                .arg("--key")
                .arg(dir.join(format!("end{end}.key")));
            if end == 1 {
                command.args(["--dh", "none"]);
            }
            Ok(command)
        })
    }
}

//! The radio simulator as a process with two radios.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use meshnetd::link::Connect;
use tempfile::TempDir;

/// The radios' node numbers.
pub(crate) const NODES: [u32; 2] = [0xa000_0001, 0xa000_0002];

/// A running simulator; ends when dropped.
pub(crate) struct Simulator {
    process: Child,
    ports: Vec<Connect>,
    folder: TempDir,
}

impl Simulator {
    /// Starts one whose radios listen on TCP.
    pub(crate) fn tcp(options: &[&str]) -> Self {
        Self::start(|_, _| "tcp:127.0.0.1:0".to_owned(), options)
    }

    /// Starts one whose first radio listens on this address.
    pub(crate) fn tcp_at(address: &str) -> Self {
        Self::start(
            |_, at| if at == 0 { format!("tcp:{address}") } else { "tcp:127.0.0.1:0".to_owned() },
            &[],
        )
    }

    /// Starts one whose radios are on ptys.
    pub(crate) fn pty(options: &[&str]) -> Self {
        Self::start(|folder, at| format!("pty:{}/radio{at}", folder.display()), options)
    }

    fn start(port: impl Fn(&Path, usize) -> String, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program());
        for (at, node) in NODES.iter().enumerate() {
            command.arg("--radio").arg(format!("!{node:08x}={}", port(folder.path(), at)));
        }
        command.args(["--preset", "SHORT_TURBO"]);
        if !options.contains(&"--region") {
            command.args(["--region", "US"]);
        }
        command.arg("--control").arg(folder.path().join("control"));
        command.args(options).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = line.strip_prefix("ready ").unwrap_or_else(|| panic!("the simulator said {line:?}"));
        let ready: serde_json::Value = serde_json::from_str(ready).unwrap();
        let ports = ready["radios"].as_array().unwrap().iter().map(connect).collect();
        Self { process, ports, folder }
    }

    /// Returns how to reach a radio.
    pub(crate) fn port(&self, at: usize) -> Connect {
        self.ports[at].clone()
    }

    /// Gives an order and waits until it is carried out.
    pub(crate) fn order(&self, order: &str) {
        let mut control = UnixStream::connect(self.control()).unwrap();
        writeln!(control, "{order}").unwrap();
        let mut answer = String::new();
        BufReader::new(control).read_line(&mut answer).unwrap();
        assert!(answer.contains("\"ok\""), "{order}: {answer}");
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed otherwise.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(port: &serde_json::Value) -> Connect {
    if let Some(path) = port["pty"].as_str() {
        return Connect::Serial { path: path.into() };
    }
    let address: std::net::SocketAddr = port["tcp"].as_str().unwrap().parse().unwrap();
    Connect::Tcp { host: address.ip().to_string(), port: address.port() }
}

/// Builds the simulator beside this test, if it is not there in its present form, and returns where it is.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let target = profile.parent().expect("target/PROFILE");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "meshnet-radiosim", "--bin", "meshnet-radiosim"]);
    build.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.file_name() == Some("release".as_ref()) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the simulator does not build");
    Path::join(profile, "meshnet-radiosim")
}

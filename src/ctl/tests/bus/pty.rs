//! A terminal of a test's own, and a program that has it for its controlling one. What is drawn is kept as it comes, escape
//! sequences included; waiting for it ends in a panic that shows it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The terminal, with the program that runs on it; that is killed when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    /// The end that the program has, by name.
    device: PathBuf,
    output: Receiver<Vec<u8>>,
    /// What came and was not waited for yet.
    unread: String,
}

impl Terminal {
    /// Runs a program on a terminal of this size.
    pub(crate) fn run(command: &Command, width: u16, height: u16) -> Self {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let device = std::fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd())).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        // A session of its own; the program takes the place of this one.
        let mut wrapped = Command::new("setsid");
        wrapped.arg("--ctty").arg(command.get_program()).args(command.get_args());
        wrapped.env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let child =
            wrapped.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid (package util-linux)");
        let master = File::from(pty.master);
        let (sender, output) = channel();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails when nobody has the other end any longer.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, master, device, output, unread: String::new() }
    }

    /// Waits until the program has written this; returns what came up to its end.
    pub(crate) fn until(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.unread.find(what) {
                let rest = self.unread.split_off(at + what.len());
                return std::mem::replace(&mut self.unread, rest);
            }
            assert!(self.more(), "the program ended without {what:?}: {:?}", self.unread);
        }
    }

    /// Waits until the program has ended; returns its exit code, and the last that it wrote.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        while self.more() {}
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.unread))
    }

    /// Takes in what comes next; `false` at the end.
    fn more(&mut self) -> bool {
        match self.output.recv_timeout(PATIENCE) {
            Ok(bytes) => self.unread.push_str(&String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more came: {:?}", self.unread),
        }
        true
    }

    /// Types.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends the program a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Gives the terminal another size, as whoever drags its corner.
    pub(crate) fn resize(&self, width: u16, height: u16) {
        let mut stty = Command::new("stty");
        stty.args(["cols", &width.to_string(), "rows", &height.to_string()]);
        assert!(stty.stdin(File::open(&self.device).unwrap()).status().unwrap().success());
    }

    /// Whether keys reach the program one by one, unseen.
    pub(crate) fn is_raw(&self) -> bool {
        let flags = tcgetattr(&self.master).unwrap().local_flags;
        !flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

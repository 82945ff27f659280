//! `ping`, and what it found.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::namespace::Namespace;
use crate::wait::wait_for;

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Ping {
    /// Echo requests.
    pub count: u32,
    /// Time between them.
    pub interval: Duration,
    /// How long a reply may take.
    pub limit: Duration,
    /// Bytes of data in each.
    pub size: u16,
}

impl Default for Ping {
    fn default() -> Self {
        Self { count: 5, interval: Duration::from_secs(1), limit: Duration::from_secs(10), size: 56 }
    }
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Pinged {
    /// Requests sent.
    pub sent: u32,
    /// Round trips, in the order that they ended.
    pub round_trips: Vec<Duration>,
    /// Replies that came more than once.
    pub duplicates: u32,
    /// Everything that `ping` printed.
    pub output: String,
}

impl Pinged {
    /// Returns the round trip that half of the replies were quicker than.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.round_trips.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied()
    }
}

impl Ping {
    /// Sends them from `namespace` to `to`, and returns once all replies are in or their time is over.
    ///
    /// # Errors
    /// If `ping` cannot be run; lost replies are no error.
    pub fn run(&self, namespace: &Namespace, to: &str) -> Result<Pinged> {
        let mut command = Command::new("ping");
        command
            .env("LC_ALL", "C")
            .args(["-n", "-c", &self.count.to_string(), "-s", &self.size.to_string()])
            .args([
                "-i",
                &self.interval.as_secs_f64().to_string(),
                "-W",
                &self.limit.as_secs_f64().to_string(),
            ])
            .arg(to)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = namespace.spawn(&mut command)?;
        let longest = self.interval * self.count + self.limit + Duration::from_secs(10);
        if let Err(error) = wait_for("the end of ping", longest, || Ok(child.try_wait()?)) {
            // It is over if this fails.
            let _ = child.kill();
            child.wait()?;
            return Err(error);
        }
        // What it prints fits in a pipe: some 70 bytes for each reply.
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.code().is_some_and(|code| code < 2),
            "ping {to}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(parse(&text))
    }
}

/// Sends one ping after another until one is answered.
///
/// # Errors
/// If none is within `limit`.
pub fn until_answered(namespace: &Namespace, to: &str, limit: Duration) -> Result<()> {
    let one = Ping { count: 1, limit: Duration::from_secs(2), ..Ping::default() };
    wait_for(&format!("an answer of {to}"), limit, || {
        Ok((!one.run(namespace, to)?.round_trips.is_empty()).then_some(()))
    })
}

fn parse(output: &str) -> Pinged {
    let mut pinged = Pinged { output: output.to_owned(), ..Pinged::default() };
    for line in output.lines() {
        if let Some((_, time)) = line.split_once(" time=") {
            if line.contains("DUP!") {
                pinged.duplicates += 1;
            } else if let Some(ms) = time.split(' ').next().and_then(|number| number.parse::<f64>().ok()) {
                pinged.round_trips.push(Duration::from_secs_f64(ms / 1000.0));
            }
        } else if let Some((sent, _)) = line.split_once(" packets transmitted") {
            pinged.sent = sent.parse().unwrap_or(0);
        }
    }
    pinged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_ping_is_understood() {
        let pinged = parse(
            "PING 10.7.0.2 (10.7.0.2) 56(84) bytes of data.\n\
             64 bytes from 10.7.0.2: icmp_seq=1 ttl=64 time=252 ms\n\
             64 bytes from 10.7.0.2: icmp_seq=1 ttl=64 time=300 ms (DUP!)\n\
             64 bytes from 10.7.0.2: icmp_seq=3 ttl=64 time=190.5 ms\n\n\
             --- 10.7.0.2 ping statistics ---\n\
             3 packets transmitted, 2 received, +1 duplicates, 33% packet loss, time 2003ms\n",
        );
        assert_eq!((pinged.sent, pinged.duplicates), (3, 1));
        assert_eq!(pinged.round_trips, [Duration::from_millis(252), Duration::from_micros(190_500)]);
        assert_eq!(pinged.median(), Some(Duration::from_millis(252)));
    }
}

//! The network under a service manager: when it is ready, what it says of itself in one line, how it reloads.
//!
//! The line is made anew when something happened that it may tell of, and whenever the watchdog is fed, which is a wake-up that
//! there is anyway; it is sent when it reads differently. So an idle daemon wakes for nobody's curiosity.

use std::time::{Duration, Instant};

use meshnet_proto::event::LinkSnapshot;

use super::Instance;
use crate::link::LinkStatus;

impl Instance {
    /// Something happened that the line may tell of.
    pub(super) const fn note_change(&mut self) {
        self.changed = true;
    }

    /// Says that the task is alive, and how it goes, as far as either is due. Called once for each turn of the task.
    pub(super) fn report(&mut self, now: Instant) {
        let looked = self.supervisor.feed(now);
        if !self.supervisor.is_ready() || !(looked || std::mem::take(&mut self.changed)) {
            return;
        }
        self.changed = false;
        let line = self.line(now);
        self.supervisor.status(&line);
    }

    /// Says that the network runs.
    pub(super) fn ready(&mut self) {
        let line = self.line(Instant::now());
        self.supervisor.ready(&line);
    }

    /// Reads the configuration again for the service manager, which learns what came of it from the status line.
    pub(super) async fn reload_supervised(&mut self) {
        self.supervisor.reloading();
        // Over the bus it is the same, but for who waits for the outcome.
        let _ = self.reload().await;
        if self.supervisor.is_ready() {
            self.ready();
        }
    }

    /// How it goes, in one line: what is wrong first.
    fn line(&self, now: Instant) -> String {
        let mut parts = Vec::new();
        if !self.tap_is_up {
            parts.push("somebody took the interface down".to_owned());
        }
        if self.store.is_failing() {
            parts.push("cannot save the state, so nothing is sent".to_owned());
        }
        if let Some(failure) = &self.reload_failure {
            parts.push(format!("reload refused: {failure}"));
        }
        let snapshot = self.node.snapshot_without_peers(now);
        parts.push(peers(self.node.count_peers()));
        for (id, status) in self.links.status() {
            let air = snapshot.links.iter().find(|snapshot| snapshot.link == id);
            parts.push(radio(&status, air));
        }
        parts.join("; ")
    }
}

fn peers((connected, all): (usize, usize)) -> String {
    format!("{connected} of {all} peer{} connected", if all == 1 { "" } else { "s" })
}

/// A radio: its state, why it is so if it should not be, and how much of the hour's airtime is used where there is a limit.
fn radio(status: &LinkStatus, air: Option<&LinkSnapshot>) -> String {
    let LinkStatus { name, state, .. } = status;
    let reason = match *state {
        "up" => None,
        "faulty" => status.fault.as_ref(),
        _ => status.last_error.as_ref(),
    };
    let used = air.and_then(|air| Some(percent(air.airtime_used, air.airtime_left?)));
    match (reason, used) {
        (Some(reason), _) => format!("{name} {state} ({reason})"),
        (None, Some(used)) if *state == "up" => {
            format!("{name} up, {used} % of the hour's airtime used")
        }
        (None, _) => format!("{name} {state}"),
    }
}

/// The used share of what is used and left, rounded up: what is not nothing does not look like nothing.
fn percent(used: Duration, left: Duration) -> u128 {
    (used.as_micros() * 100).div_ceil((used + left).as_micros().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &'static str) -> LinkStatus {
        LinkStatus { name: "roof".to_owned(), state, ..LinkStatus::default() }
    }

    #[test]
    fn a_radio_that_does_not_serve_says_why() {
        let faulty = LinkStatus { fault: Some("it has no region".to_owned()), ..status("faulty") };
        assert_eq!(radio(&faulty, None), "roof faulty (it has no region)");
        let down = LinkStatus { last_error: Some("Connection refused".to_owned()), ..status("down") };
        assert_eq!(radio(&down, None), "roof down (Connection refused)");
        let up = LinkStatus { last_error: Some("of yesterday".to_owned()), ..status("up") };
        assert_eq!(radio(&up, None), "roof up");
    }

    #[test]
    fn used_airtime_is_a_share_of_what_the_law_gives() {
        let seconds = Duration::from_secs;
        assert_eq!(percent(seconds(0), seconds(36)), 0);
        assert_eq!(percent(Duration::from_millis(1), seconds(36)), 1);
        assert_eq!(percent(seconds(9), seconds(27)), 25);
        assert_eq!(percent(seconds(36), seconds(0)), 100);
        assert_eq!(percent(seconds(0), seconds(0)), 0);
    }
}

//! `meshctl ping`

use std::time::Duration;

use clap::Args;
use meshnet_bus::Error as DaemonError;
use meshnet_bus::describe::{Peer, SCHEMA};
use meshnet_bus::names::{PEER, peer_path};
use meshnet_bus::settings::Pong;
use serde::Serialize;
use zbus::Proxy;
use zbus::proxy::MethodFlags;

use super::OneNetwork;
use super::peer::OnePeer;
use crate::bus::{self, Bus};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::find;
use crate::render::network::peer_name;
use crate::render::style::paint;
use crate::render::{clean, style, units};
use crate::runtime;

/// Ping a peer through the tunnel
///
/// Each answer's time stands beside the least that its way over the air can take. Every ping spends airtime at both ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl ping cabin
  meshctl ping 10.42.0.2 --count 10 --interval 60")]
pub(crate) struct Ping {
    #[command(flatten)]
    peer: OnePeer,
    /// How many pings
    #[arg(long, short, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Bytes of data in each; 16 of them tell our pings from the host's own
    #[arg(long, short, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(16..=1200))]
    size: u16,
    /// Seconds from an answer, or its absence, to the next ping
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    interval: u32,
    /// Seconds to wait for an answer; 0: as long as the path may take
    #[arg(long, short = 'W', value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3600))]
    timeout: u32,
}

impl Ping {
    /// Pings.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let report = runtime::block_on(self.ping(context))?;
        if context.wants_json() {
            context.print_json(&report)?;
        } else {
            context.print(&report.summary())?;
        }
        Ok(if report.answered() > 0 { Exit::Success } else { Exit::Failure })
    }

    /// Pings until the count is reached or somebody has seen enough.
    async fn ping(&self, context: &Context) -> Result<Report, Error> {
        let bus = Bus::connect().await?;
        let daemon = Daemon::open(&bus, &OneNetwork::default(), context).await?;
        let network = daemon.describe().await?;
        let peer = find::peer(&network, &self.peer.peer)?;
        let path = peer_path(find::key(peer)?.as_bytes());
        let object = daemon.object(path.into(), PEER).await?;
        let mut report = Report {
            schema: SCHEMA,
            network: network.interface.clone(),
            peer: peer_name(peer),
            public_key: peer.public_key.clone(),
            bytes: self.size,
            pings: Vec::new(),
        };
        let live = !context.wants_json();
        if live {
            context.print(&format!("{}\n", self.announcement(&report, peer)))?;
        }
        let stop = runtime::stopped()?;
        tokio::pin!(stop);
        for number in 1..=self.count {
            let answer = tokio::select! {
                answer = self.once(&object, &report.peer, context) => answer?,
                () = &mut stop => break,
            };
            if live {
                context.print(&format!("{}\n", answer.line(number)))?;
            }
            report.pings.push(answer);
            if number < self.count {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(self.interval.into())) => {}
                    () = &mut stop => break,
                }
            }
        }
        Ok(report)
    }

    /// What is about to be done, and what it will cost as far as that is known: the air that datagrams to this peer took so far.
    fn announcement(&self, report: &Report, peer: &Peer) -> String {
        let address =
            peer.allowed_ips.first().and_then(|prefix| prefix.split('/').next()).unwrap_or_default();
        let mean = peer.sent.airtime_ms.checked_div(peer.sent.datagrams).filter(|mean| *mean > 0);
        let cost = match mean {
            Some(mean) => {
                let all = mean.saturating_mul(2 * u64::from(self.count));
                format!("about {} of air there and back", units::span_ms(all))
            }
            None => "air at both ends".to_owned(),
        };
        format!(
            "Pinging {} ({}) over {}: {} with {} of data, which cost {cost}.",
            paint(style::STRONG, &report.peer),
            clean(address),
            report.network,
            units::count(self.count.into(), "ping"),
            units::count(self.size.into(), "byte"),
        )
    }

    /// One ping.
    ///
    /// # Errors
    /// If no further one could go better.
    async fn once(&self, peer: &Proxy<'_>, name: &str, context: &Context) -> Result<Answer, Error> {
        let body = (u32::from(self.size), self.timeout.saturating_mul(1000));
        let flags = if context.ask { MethodFlags::ALLOW_INTERACTIVE_AUTH } else { MethodFlags::empty() };
        let asked: Result<Option<Pong>, _> = peer.call_with_flags("Ping", flags, &body).await;
        match asked.map_err(DaemonError::from) {
            Ok(Some(Pong { rtt_us, floor_us })) => {
                Ok(Answer { rtt_us: Some(rtt_us), floor_us: (floor_us > 0).then_some(floor_us), error: None })
            }
            Ok(None) => Err(Error::failure(format!("the daemon gave no answer about {name}"))),
            Err(DaemonError::Timeout(_)) => Ok(Answer::default()),
            // These pass.
            Err(
                error @ (DaemonError::LinkDown(_) | DaemonError::Busy(_) | DaemonError::AirtimeExhausted(_)),
            ) => Ok(Answer { error: Some(error.message()), ..Answer::default() }),
            Err(error) => Err(bus::trouble(&error, name).context(format!("cannot ping {name}"))),
        }
    }
}

/// What came of a ping.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// From the question to the answer; `None` if none came.
    rtt_us: Option<u64>,
    /// The least that the air allows; `None` if it takes no air, or nothing came back.
    floor_us: Option<u64>,
    /// Why it was not sent, if it was not.
    error: Option<String>,
}

impl Answer {
    fn line(&self, number: u32) -> String {
        let time = |microseconds| units::span(Duration::from_micros(microseconds));
        match (self.rtt_us, self.floor_us, &self.error) {
            (Some(rtt), Some(floor), _) => {
                format!("{number}: {} (the air alone takes {})", paint(style::GOOD, &time(rtt)), time(floor))
            }
            (Some(rtt), None, _) => format!("{number}: {}", paint(style::GOOD, &time(rtt))),
            (None, _, Some(why)) => format!("{number}: {}: {}", paint(style::BAD, "not sent"), clean(why)),
            (None, _, None) => format!("{number}: {}", paint(style::BAD, "no answer")),
        }
    }
}

/// What came of all of them; what `--json` answers.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    network: String,
    peer: String,
    public_key: String,
    bytes: u16,
    pings: Vec<Answer>,
}

impl Report {
    fn answered(&self) -> usize {
        self.pings.iter().filter(|answer| answer.rtt_us.is_some()).count()
    }

    fn summary(&self) -> String {
        let sent = self.pings.iter().filter(|answer| answer.error.is_none()).count();
        let answered = self.answered();
        let mut text = format!("--- {} ---\n{sent} sent, {answered} answered", self.peer);
        if let Some(lost) = (100 * (sent - answered)).checked_div(sent) {
            text.push_str(&format!(", {lost} % lost"));
        }
        let unsent = self.pings.len() - sent;
        if unsent > 0 {
            text.push_str(&format!(", {unsent} not sent"));
        }
        text.push('\n');
        let times: Vec<u64> = self.pings.iter().filter_map(|answer| answer.rtt_us).collect();
        if let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) {
            let sum = times.iter().fold(0u64, |sum, time| sum.saturating_add(*time));
            let time = |microseconds| units::span(Duration::from_micros(microseconds));
            let mean = sum / times.len() as u64;
            text.push_str(&format!(
                "round trip: least {}, mean {}, most {}\n",
                time(*least),
                time(mean),
                time(*most)
            ));
        }
        let air = self.pings.iter().filter_map(|answer| answer.floor_us);
        let air = air.fold(0u64, u64::saturating_add);
        if air > 0 {
            let air = units::span(Duration::from_micros(air));
            text.push_str(&format!(
                "those answered took {air} of air there and back, waits for a free channel included\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pings: Vec<Answer>) -> Report {
        let (network, public_key) = ("mesh0".to_owned(), String::new());
        Report { schema: SCHEMA, network, peer: "cabin".to_owned(), public_key, bytes: 8, pings }
    }

    fn answer(rtt_us: u64) -> Answer {
        Answer { rtt_us: Some(rtt_us), floor_us: Some(1_500_000), error: None }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn each_answer_stands_beside_what_the_air_takes() {
        assert_eq!(plain(&answer(1_843_000).line(1)), "1: 1.8 s (the air alone takes 1.5 s)");
        assert_eq!(plain(&Answer::default().line(2)), "2: no answer");
        let unsent = Answer { error: Some("no link reaches cabin".to_owned()), ..Answer::default() };
        assert_eq!(plain(&unsent.line(3)), "3: not sent: no link reaches cabin");
    }

    #[test]
    fn what_was_not_sent_is_not_lost() {
        let unsent = Answer { error: Some("busy".to_owned()), ..Answer::default() };
        let report = report(vec![answer(1_800_000), answer(2_400_000), Answer::default(), unsent]);
        let expected = "\
--- cabin ---
3 sent, 2 answered, 33 % lost, 1 not sent
round trip: least 1.8 s, mean 2.1 s, most 2.4 s
those answered took 3 s of air there and back, waits for a free channel included
";
        assert_eq!(plain(&report.summary()), expected);
    }

    #[test]
    fn nothing_sent_is_nothing_lost() {
        assert_eq!(plain(&report(vec![]).summary()), "--- cabin ---\n0 sent, 0 answered\n");
    }
}

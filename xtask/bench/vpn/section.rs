//! What the report says of VPNs: a table of medians, one of ratios, and the goals.

use std::fmt::Write as _;

use super::super::setup::median;
use super::super::{Goal, Section};
use super::load::{BURST, WINDOW};
use super::peer::{BASE, OURS, PEERS};
use super::{CHART, Found, IDLE, Turn};

/// Megabytes.
const MEMORY_GOAL: f64 = 20.0;
/// Times the base's.
const TCP_GOAL: f64 = 1.5;
/// Times the base's.
const SMALL_GOAL: f64 = 3.0;

/// The medians of a program's turns.
pub(super) struct Medians {
    pub(super) turn: Turn,
    wakeups: Option<f64>,
}

/// Returns everybody's medians, in the order of the list.
pub(super) fn medians(found: &Found) -> Vec<Medians> {
    let of = |name: &str| {
        let turns: Vec<&Turn> = found.turns.iter().filter(|turn| turn.peer == name).collect();
        let middle = |of: fn(&Turn) -> f64| median(turns.iter().map(|turn| of(turn)));
        (!turns.is_empty()).then(|| Medians {
            turn: Turn {
                peer: name.to_owned(),
                tcp: middle(|turn| turn.tcp),
                tcp_four: middle(|turn| turn.tcp_four),
                processor: middle(|turn| turn.processor),
                small: middle(|turn| turn.small),
                medium: middle(|turn| turn.medium),
                ping: middle(|turn| turn.ping),
                ping_p99: middle(|turn| turn.ping_p99),
                resident: middle(|turn| turn.resident),
                peak: middle(|turn| turn.peak),
            },
            wakeups: found.quiet.iter().find(|quiet| quiet.peer == name).map(|quiet| quiet.wakeups),
        })
    };
    PEERS.iter().filter_map(|peer| of(peer.name())).collect()
}

pub(super) fn write(found: &Found) -> Section {
    let all = medians(found);
    let mut section = Section { title: "On free links, beside other VPNs", ..Section::default() };
    section.body = format!(
        "Two network namespaces on one machine, joined by a veth pair with an MTU of 1500; the tunnels' MTU is 1420, encryption \
         and checksums are on. The programs take turns (rounds: {}) with TCP for {} s (`iperf3`); medians. Small packets: the highest rate of UDP \
         packets with so many bytes of data, sent {BURST} at a time to a socket that holds {WINDOW}B, of which at most 0.5 % are lost. Processor: of both ends, with one stream. \
         Memory: of the larger end, before and after all load. Wakeups: of both ends, voluntary context switches in {} s \
         without traffic. Other programs' versions are those that registries have for this system.\n\n\
         ![Throughput, small packets and processor time of each program]({CHART})\n\n",
        found.rounds,
        found.seconds,
        IDLE.as_secs()
    );
    // Writing to a string does not fail.
    section.body += "| program | cipher | TCP Gbit/s | 4 streams | s per GB | 64 B packets/s | 200 B | ping µs | p99 | MB idle | peak | wakeups/min |\n\
                     |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for Medians { turn, wakeups } in &all {
        let cipher = PEERS.iter().find(|peer| peer.name() == turn.peer).map_or("", |peer| peer.cipher());
        let _ = writeln!(
            section.body,
            "| {} | {cipher} | {:.2} | {:.2} | {:.1} | {:.0}k | {:.0}k | {:.0} | {:.0} | {:.1} | {:.1} | {} |",
            turn.peer,
            turn.tcp / 1e9,
            turn.tcp_four / 1e9,
            turn.processor,
            turn.small / 1e3,
            turn.medium / 1e3,
            turn.ping,
            turn.ping_p99,
            turn.resident,
            turn.peak,
            wakeups.map_or("?".to_owned(), |wakeups| format!("{wakeups:.0}")),
        );
    }
    let missing = PEERS.iter().map(|peer| peer.name()).filter(|name| {
        all.iter().all(|medians| medians.turn.peer != *name)
            && found.failed.iter().all(|(failed, _)| failed != name)
    });
    let missing: Vec<&str> = missing.collect();
    if !missing.is_empty() {
        let _ = writeln!(section.body, "\nNot measured in this run: {}.", missing.join(", "));
    }
    for (name, why) in &found.failed {
        let _ =
            writeln!(section.body, "\n{name} could not be measured: {}.", why.lines().next().unwrap_or("?"));
    }
    let Some(base) = all.iter().find(|medians| medians.turn.peer == BASE).map(|medians| &medians.turn) else {
        return section;
    };
    let _ = write!(
        section.body,
        "\nTimes those of {BASE} in the same run (of processor time and ping, less is better):\n\n\
         | program | TCP | 4 streams | processor | 64 B | 200 B | ping | peak memory |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for Medians { turn, .. } in &all {
        let _ = writeln!(
            section.body,
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            turn.peer,
            turn.tcp / base.tcp,
            turn.tcp_four / base.tcp_four,
            turn.processor / base.processor,
            turn.small / base.small,
            turn.medium / base.medium,
            turn.ping / base.ping,
            turn.peak / base.peak,
        );
    }
    let others: Vec<&Turn> =
        all.iter().map(|medians| &medians.turn).filter(|turn| turn.peer != OURS).collect();
    if let Some(ours) = all.iter().find(|medians| medians.turn.peer == OURS) {
        section.goals = goals(&ours.turn, base, &others);
        section.goals.extend(ours.wakeups.map(|wakeups| Goal {
            met: wakeups == 0.0,
            text: format!("nothing periodic when idle: {wakeups:.1} wakeups per minute of both ends (none)"),
        }));
    }
    section
}

fn goals(ours: &Turn, base: &Turn, others: &[&Turn]) -> Vec<Goal> {
    let most = |of: fn(&Turn) -> f64| others.iter().map(|turn| of(turn)).fold(0.0, f64::max);
    let least = |of: fn(&Turn) -> f64| others.iter().map(|turn| of(turn)).fold(f64::INFINITY, f64::min);
    let (tcp, small) = (ours.tcp / base.tcp, ours.small / base.small);
    vec![
        Goal {
            met: tcp >= TCP_GOAL && ours.tcp > most(|turn| turn.tcp),
            text: format!(
                "TCP, one stream: {tcp:.2} times {BASE} (at least {TCP_GOAL}), {:.2} times the fastest other (above)",
                ours.tcp / most(|turn| turn.tcp)
            ),
        },
        Goal {
            met: small >= SMALL_GOAL,
            text: format!("small packets: {small:.2} times {BASE} (at least {SMALL_GOAL})"),
        },
        Goal {
            met: ours.processor < least(|turn| turn.processor),
            text: format!(
                "processor time: {:.1} s per GB (lowest; the best other: {:.1})",
                ours.processor,
                least(|turn| turn.processor)
            ),
        },
        Goal {
            met: ours.ping <= least(|turn| turn.ping),
            text: format!(
                "ping: {:.0} µs (at most the best other's {:.0})",
                ours.ping,
                least(|turn| turn.ping)
            ),
        },
        Goal {
            met: ours.peak < MEMORY_GOAL,
            text: format!("memory at full load: {:.1} MB (under {MEMORY_GOAL})", ours.peak),
        },
    ]
}

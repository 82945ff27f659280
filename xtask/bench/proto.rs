//! How many packets per second one core gets through the protocol, without devices, and what a thousand peers cost it: the
//! benches of `meshnet-proto`.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::{programs, workspace};
use serde::{Deserialize, Serialize};

use super::{Goal, Section, Task};

pub(crate) const NAME: &str = "proto";
/// What a peer may take that says nothing.
const IDLE_PEER_BYTES: u64 = 4096;
/// How much longer anything may take with a thousand peers than with ten, and still be called flat.
const FLAT: f64 = 1.25;
/// What is to be flat: the benches' names, and what they are of.
const FLAT_BENCHES: [(&str, &str); 3] = [
    ("wireguard_packet_out", "a packet to one of ten busy peers"),
    ("wireguard_packet_in", "a packet of one of them"),
    ("wireguard_timer", "a timer"),
];
/// What walks through all peers' memory, and is not flat for that alone.
const ALL_BUSY: [(&str, &str); 2] =
    [("wireguard_packet_out_in_turn", "a packet out"), ("wireguard_packet_in_in_turn", "a packet in")];

/// What one bench found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    benches: Vec<Bench>,
    /// Bytes of heap per idle peer, by what it has behind it.
    #[serde(default)]
    footprints: Vec<(String, u64)>,
}

/// A bench and its median.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bench {
    name: String,
    /// As it was printed: "1.2 µs", "830 Kitem/s".
    time: String,
    rate: Option<String>,
}

pub(crate) fn tasks() -> Vec<Task> {
    if !workspace().join("src/proto/benches").exists() {
        return Vec::new();
    }
    vec![Task::new(NAME, "packets per second per core".to_owned(), 120, |_| measure()).alone()]
}

fn measure() -> Result<Found> {
    let protocol = cargo_bench("meshnet-proto", "*")?;
    let mut benches = parse(&protocol);
    benches.extend(parse(&cargo_bench("meshnetd", "cipher")?));
    let footprints = footprints(&protocol);
    ensure!(!benches.is_empty() && !footprints.is_empty(), "cargo bench printed no result");
    Ok(Found { benches, footprints })
}

fn cargo_bench(package: &str, bench: &str) -> Result<String> {
    let output = Command::new(programs::cargo())
        .current_dir(workspace())
        .args(["bench", "--quiet", "--package", package, "--bench", bench])
        .output()
        .context("running cargo bench")?;
    ensure!(output.status.success(), "cargo bench: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads what the bench of memory prints: lines such as "idle_peer 2515 bytes".
fn footprints(output: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, number) = line.strip_suffix(" bytes")?.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    output.lines().filter_map(line).collect()
}

/// Reads what divan prints: a tree of names with columns, the median third, and below a name its throughput.
fn parse(output: &str) -> Vec<Bench> {
    let mut benches: Vec<Bench> = Vec::new();
    let mut groups: Vec<(usize, String)> = Vec::new();
    for line in output.lines() {
        let columns: Vec<&str> = line.split('│').map(str::trim).collect();
        let mark = line.find(['├', '╰']);
        // A line of a nested group begins with the strokes of the groups around it.
        if let Some(mark) = mark {
            let depth = line[..mark].chars().count();
            let rest = line[mark..].trim_start_matches(['├', '╰', '─', ' ']);
            let mut words = rest.splitn(2, "  ");
            let name = words.next().unwrap_or_default().trim().to_owned();
            groups.retain(|(at, _)| *at < depth);
            let cells: Vec<&str> = rest.split('│').map(str::trim).collect();
            match cells.get(2).filter(|median| median.starts_with(|c: char| c.is_ascii_digit())) {
                Some(median) => {
                    let path = groups.iter().map(|(_, name)| name.as_str()).chain([name.as_str()]);
                    let name = path.collect::<Vec<_>>().join(" ");
                    benches.push(Bench { name, time: (*median).to_owned(), rate: None });
                }
                None => groups.push((depth, name)),
            }
        } else if let (Some(last), Some(rate)) = (benches.last_mut(), columns.iter().rev().nth(3))
            && rate.ends_with("/s")
        {
            last.rate.get_or_insert((*rate).to_owned());
        }
    }
    benches
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "The protocol alone, on one core", ..Section::default() };
    if found.is_empty() {
        return section;
    }
    section.body = "Medians of `cargo bench -p meshnet-proto` and, of the two ciphers behind one seam (`Ring` on free links, `Portable` on \
                    radios; of some bytes), `cargo bench -p meshnetd --bench cipher`: one thread, no device, no radio.\n\n\
                    | what | time | throughput |\n|---|--:|--:|\n"
        .to_owned();
    for bench in found.iter().flat_map(|found| &found.benches) {
        section.body +=
            &format!("| {} | {} | {} |\n", bench.name, bench.time, bench.rate.as_deref().unwrap_or(""));
    }
    for found in found {
        found.show_scale(&mut section);
    }
    section
}

impl Found {
    /// What a thousand peers cost.
    fn show_scale(&self, section: &mut Section) {
        let ratios: Vec<(&str, f64)> =
            FLAT_BENCHES.iter().filter_map(|(name, what)| Some((*what, self.ratio(name)?))).collect();
        if ratios.len() == FLAT_BENCHES.len() {
            let list: Vec<String> = ratios.iter().map(|(what, ratio)| format!("{what} {ratio:.2}")).collect();
            section.goals.push(Goal {
                met: ratios.iter().all(|(_, ratio)| *ratio <= FLAT),
                text: format!(
                    "1000 peers in one network, the time of it with 10: {} (at most {FLAT})",
                    list.join(", ")
                ),
            });
        }
        let busy: Vec<String> = ALL_BUSY
            .iter()
            .filter_map(|(name, what)| Some(format!("{what} {:.2}", self.ratio(name)?)))
            .collect();
        if !busy.is_empty() {
            section.body += &format!(
                "\nWhere each packet is of another peer than the one before, with a thousand in turn, none finds its state in \
                 the processor's nearest caches: times what ten in turn take, {}. The work is the same.\n",
                busy.join(", ")
            );
        }
        if self.footprints.is_empty() {
            return;
        }
        section.body += "\nBytes of heap that one of 1000 idle WIREGUARD peers takes in the core:\n\n| what | bytes |\n|---|--:|\n";
        for (name, bytes) in &self.footprints {
            section.body += &format!("| {name} | {bytes} |\n");
        }
        let most = self.footprints.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        section.goals.push(Goal {
            met: most < IDLE_PEER_BYTES,
            text: format!(
                "1000 peers in one network: an idle one takes {most} bytes of memory in the core, with its session \
                 (under {IDLE_PEER_BYTES})"
            ),
        });
    }

    /// How many times as long something takes with a thousand peers as with ten.
    fn ratio(&self, name: &str) -> Option<f64> {
        let time = |peers: u16| {
            let name = format!("{name} {peers}");
            self.benches.iter().find(|bench| bench.name == name).and_then(|bench| nanoseconds(&bench.time))
        };
        Some(time(1000)? / time(10)?)
    }
}

/// Reads a time as it was printed.
fn nanoseconds(time: &str) -> Option<f64> {
    let (number, unit) = time.split_once(' ')?;
    let scale = match unit {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_its_throughput_are_read_for_each_bench_of_the_tree() {
        let benches = parse(
            "node                           fastest       │ slowest       │ median        │ mean          │ samples │ iters\n\
             ├─ handshake                   300 µs        │ 400 µs        │ 338.8 µs      │ 340 µs        │ 100     │ 100\n\
             │                              3.3 Kitem/s   │ 2.5 Kitem/s   │ 2.951 Kitem/s │ 2.9 Kitem/s   │         │\n\
             ╰─ seal                                      │               │               │               │         │\n\
             \u{20}  ╰─ 64                       1.9 µs        │ 9 µs          │ 2.062 µs      │ 2.1 µs        │ 100     │ 100\n\
             \u{20}                              526 Kitem/s   │ 111 Kitem/s   │ 484.7 Kitem/s │ 476 Kitem/s   │         │\n",
        );
        let bench = |name: &str, time: &str, rate: &str| Bench {
            name: name.to_owned(),
            time: time.to_owned(),
            rate: Some(rate.to_owned()),
        };
        assert_eq!(
            benches,
            [bench("handshake", "338.8 µs", "2.951 Kitem/s"), bench("seal 64", "2.062 µs", "484.7 Kitem/s")]
        );
    }

    #[test]
    fn what_a_thousand_peers_cost_is_shown_beside_ten() {
        let bench =
            |name: &str, time: &str| Bench { name: name.to_owned(), time: time.to_owned(), rate: None };
        let benches = FLAT_BENCHES.iter().flat_map(|(name, _)| {
            [bench(&format!("{name} 10"), "900 ns"), bench(&format!("{name} 1000"), "1.8 µs")]
        });
        let footprints = footprints("scale   fastest\nidle_peer 2515 bytes\n");
        let found = Found { benches: benches.collect(), footprints };
        assert_eq!(found.ratio("wireguard_timer"), Some(2.0));
        let goals: Vec<bool> = section(&[found]).goals.iter().map(|goal| goal.met).collect();
        assert_eq!(goals, [false, true]);
    }
}

//! How many packets per second one core gets through the protocol, without devices: the benches of `meshnet-proto`.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::{programs, workspace};
use serde::{Deserialize, Serialize};

use super::{Section, Task};

pub(crate) const NAME: &str = "proto";

/// What one bench found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    benches: Vec<Bench>,
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
    let output = Command::new(programs::cargo())
        .current_dir(workspace())
        .args(["bench", "--quiet", "--package", "meshnet-proto", "--bench", "*"])
        .output()
        .context("running cargo bench")?;
    ensure!(output.status.success(), "cargo bench: {}", String::from_utf8_lossy(&output.stderr));
    let benches = parse(&String::from_utf8_lossy(&output.stdout));
    ensure!(!benches.is_empty(), "cargo bench printed no result");
    Ok(Found { benches })
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
    section.body = "Medians of `cargo bench -p meshnet-proto`: one thread, no device, no radio.\n\n\
                    | what | time | throughput |\n|---|--:|--:|\n"
        .to_owned();
    for bench in found.iter().flat_map(|found| &found.benches) {
        section.body +=
            &format!("| {} | {} | {} |\n", bench.name, bench.time, bench.rate.as_deref().unwrap_or(""));
    }
    section
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
}

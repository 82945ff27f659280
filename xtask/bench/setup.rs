//! What the jobs' labs have in common: two daemons of one make on an idle channel, and the first words between them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meshnet_proto::meshtastic::airtime::{Modem, Preset};
use meshnet_system::daemon::Make;
use meshnet_system::lab::{Lab, Site, Spec};
use meshnet_system::radiosim::AirSpec;

/// Ours first.
pub(crate) const MAKES: [Make; 2] = [Make::Ours, Make::Reference];

/// Returns how a make is called in the report.
pub(crate) fn name(make: Make) -> &'static str {
    match make {
        Make::Ours => "meshnet",
        Make::Reference => "reference",
    }
}

/// Starts two daemons of one make. Their radios say nothing by themselves, in a region without a duty cycle.
pub(crate) fn lab(make: Make, preset: &str, seed: u64, dir: &Path) -> Result<Lab> {
    lab_of(Spec::new(make, make), preset, seed, dir)
}

/// The same for two daemons that are set up otherwise.
pub(crate) fn lab_of(mut spec: Spec, preset: &str, seed: u64, dir: &Path) -> Result<Lab> {
    // Starting the Python tool keeps a processor busy for a second; several at once would keep each other from it.
    static STARTING: Mutex<()> = Mutex::new(());
    let _turn = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    spec.air = AirSpec { preset: preset.to_owned(), seed, ..AirSpec::default() };
    // Radios that learn next hops answer and repeat what has a hop limit: the Python tool's packets, not ours.
    spec.air.more.push("--no-next-hop".into());
    let mut lab = Lab::start(&spec, dir)?;
    // The Python tool says that it runs when its radio is there; ours runs without one.
    for site in [&mut lab.west, &mut lab.east] {
        if site.daemon.make() == Make::Ours {
            site.daemon.process()?.wait_for_line("the radio is up", Duration::from_secs(30))?;
        }
    }
    Ok(lab)
}

/// Pings once per `interval` until the first reply, and returns after how many seconds it came, if it did in `limit`.
pub(crate) fn first_reply(
    from: &Site,
    to: &Site,
    interval: Duration,
    limit: Duration,
) -> Result<Option<f64>> {
    let count = limit.as_secs_f64() / interval.as_secs_f64();
    let mut command = Command::new("ping");
    command
        .args(["-n", "-c", &format!("{count:.0}"), "-i", &interval.as_secs_f64().to_string()])
        .arg(to.address)
        .env("LC_ALL", "C")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let start = Instant::now();
    let mut ping = from.namespace.spawn(&mut command)?;
    let output = ping.stdout.take().context("the output of ping")?;
    let mut replied = None;
    for line in BufReader::new(output).lines() {
        if line?.contains(" time=") {
            replied = Some(start.elapsed().as_secs_f64());
            break;
        }
    }
    // It fails only if ping has ended by itself.
    let _ = ping.kill();
    ping.wait()?;
    Ok(replied)
}

/// The same for labs whose job only begins with two daemons that know each other.
///
/// # Errors
/// If there is no reply.
pub(crate) fn acquaint(lab: &Lab) -> Result<()> {
    let met = first_reply(&lab.west, &lab.east, Duration::from_secs(5), Duration::from_secs(120))?;
    ensure!(met.is_some(), "no reply in two minutes");
    Ok(())
}

/// Returns the modem of a preset.
///
/// # Panics
/// If there is none of this name.
pub(crate) fn modem(preset: &str) -> Modem {
    Preset::by_name(preset).expect("the jobs name presets that exist").modem(false)
}

/// Returns the middle one, or what is between the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.len() % 2, values.get(half), half.checked_sub(1).and_then(|below| values.get(below))) {
        (0, Some(above), Some(below)) => f64::midpoint(*below, *above),
        (_, middle, _) => middle.copied().unwrap_or(f64::NAN),
    }
}

/// Returns the value that `share` of all are not above.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a short list"
    )]
    let at = (share * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert!((median([4.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median([]).is_nan());
    }
}

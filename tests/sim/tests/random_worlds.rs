//! Random worlds: `MESHNET_SIM_WORLDS` of them (10 000 unless said otherwise) from the seed `MESHNET_SIM_FIRST` (0) on, or
//! the one that `MESHNET_SIM_SEED` names, with its story.

use std::sync::atomic::{AtomicU64, Ordering};

use meshnet_sim::scenario::{Outcome, run, story, tell};

/// After so many failures there is no need for more.
const ENOUGH: usize = 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

type Told = (u64, Result<Outcome, String>);

/// Runs worlds on all cores; returns what each came to, by seed.
fn run_all(first: u64, worlds: u64) -> Vec<Told> {
    let (next, failed) = (AtomicU64::new(first), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut told = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + worlds || failed.load(Ordering::Relaxed) >= ENOUGH as u64 {
                return told;
            }
            let outcome = run(&story(seed)).map_err(|failure| failure.why);
            failed.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
            told.push((seed, outcome));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("worlds catch their panics")).collect()
    })
}

#[test]
fn whatever_happens_in_a_random_world_nothing_false_is_delivered_and_traffic_flows_again() {
    if let Some(seed) = number("MESHNET_SIM_SEED") {
        let (world, told) = tell(&story(seed));
        println!("{}\n{told:?}\nwoke: {:?}", world.story(), world.watch.wakeups);
        return assert!(told.is_ok(), "{told:?}");
    }
    let mut told =
        run_all(number("MESHNET_SIM_FIRST").unwrap_or(0), number("MESHNET_SIM_WORLDS").unwrap_or(10_000));
    told.sort_by_key(|(seed, _)| *seed);
    let failed: Vec<String> = told
        .iter()
        .filter_map(|(seed, outcome)| Some(format!("MESHNET_SIM_SEED={seed}: {}", outcome.as_ref().err()?)))
        .collect();
    let outcomes = told.iter().filter_map(|(seed, outcome)| Some((*seed, *outcome.as_ref().ok()?)));
    report(&outcomes.collect::<Vec<_>>());
    assert!(failed.is_empty(), "{} of {} worlds fail:\n{}", failed.len(), told.len(), failed.join("\n"));
}

fn report(outcomes: &[(u64, Outcome)]) {
    let mut healed: Vec<_> = outcomes.iter().map(|(seed, outcome)| (outcome.healed, *seed)).collect();
    healed.sort();
    let at = |share: usize| healed[(healed.len() - 1) * share / 1000];
    println!(
        "{} worlds; healed within {:?} (half), {:?} (99 %), {:?} (99.9 %), {:?}",
        outcomes.len(),
        at(500).0,
        at(990).0,
        at(999).0,
        &healed[healed.len().saturating_sub(30)..],
    );
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(|(_, outcome)| of(outcome)).sum::<u64>();
    let (sent, arrived) = (sum(|outcome| outcome.sent), sum(|outcome| outcome.arrived));
    println!("{sent} packets, {arrived} arrived, {} steps", sum(|outcome| outcome.steps));
    let mut dear: Vec<_> = outcomes.iter().map(|(seed, outcome)| (outcome.steps, *seed)).collect();
    dear.sort();
    println!("most steps: {:?}", &dear[dear.len().saturating_sub(5)..]);
    assert!(arrived * 4 > sent, "hardly anything arrives");
}

//! Random worlds: `MESHNET_SIM_WORLDS` of them (10 000 unless said otherwise), or the one that `MESHNET_SIM_SEED` names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meshnet_sim::scenario::{Outcome, run, story};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Runs worlds on all cores; returns what each came to, by seed.
fn run_all(worlds: u64) -> Vec<(u64, Outcome)> {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds {
                return outcomes;
            }
            let outcome = std::panic::catch_unwind(|| run(&story(seed)));
            let Ok(outcome) = outcome else {
                next.store(worlds, Ordering::Relaxed);
                panic!("world {seed} fails; MESHNET_SIM_SEED={seed} runs it alone");
            };
            outcomes.push((seed, outcome));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a world failed, see above")).collect()
    })
}

#[test]
fn whatever_happens_in_a_random_world_nothing_false_is_delivered_and_traffic_flows_again() {
    if let Some(seed) = number("MESHNET_SIM_SEED") {
        println!("{:?}", run(&story(seed)));
        return;
    }
    let outcomes = run_all(number("MESHNET_SIM_WORLDS").unwrap_or(10_000));
    let (slowest, outcome) = outcomes.iter().max_by_key(|(_, outcome)| outcome.healed).expect("a world ran");
    let mut healed: Vec<Duration> = outcomes.iter().map(|(_, outcome)| outcome.healed).collect();
    healed.sort();
    let at = |share: usize| healed[(healed.len() - 1) * share / 1000];
    println!(
        "{} worlds; healed within {:?} (half), {:?} (99 %), {:?} (99.9 %), {:?} (world {slowest})",
        outcomes.len(),
        at(500),
        at(990),
        at(999),
        outcome.healed
    );
    let packets: usize = outcomes.iter().map(|(_, outcome)| outcome.packets.0).sum();
    let arrived: usize = outcomes.iter().map(|(_, outcome)| outcome.packets.1).sum();
    let steps: u64 = outcomes.iter().map(|(_, outcome)| outcome.steps).sum();
    println!("{packets} packets, {arrived} arrived, {steps} steps");
    let mut dear: Vec<_> = outcomes.iter().map(|(seed, outcome)| (outcome.steps, *seed)).collect();
    dear.sort();
    println!("most steps: {:?}", &dear[dear.len().saturating_sub(5)..]);
    assert!(arrived * 4 > packets, "hardly anything arrives");
}

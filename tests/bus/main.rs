//! RL-18 for the bus: submitters and modules that answer, refuse, hang, go away and contradict themselves,
//! over a disk that forgets and a process that is killed at random, on simulated time.
//!
//! `SEEDS=10000` runs more of them, `SEED=n` one, with its trace.

#[path = "../sim/disk.rs"]
mod disk;
mod laws;
mod module;
#[path = "../sim/random.rs"]
mod random;
#[path = "../sim/time.rs"]
mod time;
mod world;

use std::io::Write as _;

use disk::Honesty;
use world::{Tally, World};

fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run(seed: u64, honesty: Honesty) -> (Result<Tally, laws::Broken>, Vec<String>) {
    let mut world = World::new(seed, honesty);
    let result = world.run();
    (result, world.trace())
}

/// I2, I7, CL-107, CL-304, CL-407, CL-408, CL-503.
#[test]
fn no_seed_breaks_a_law() {
    if let Some(seed) = number("SEED") {
        let (result, trace) = run(seed, Honesty::Honest);
        trace.iter().for_each(|line| say(line));
        return assert!(result.is_ok(), "SEED={seed}: {result:?}");
    }
    let mut sum = Tally::default();
    for seed in 0..number("SEEDS").unwrap_or(300) {
        let (result, trace) = run(seed, Honesty::Honest);
        match result {
            Ok(tally) => sum.add(tally),
            Err(broken) => {
                trace[trace.len().saturating_sub(40)..].iter().for_each(|line| say(line));
                panic!("SEED={seed}: {broken:?}");
            }
        }
    }
    say(&format!("{sum:?}"));
    // what never happens is not tested
    let enough = sum.lives > 900 && sum.finals > 500 && sum.cancelled > 300 && sum.reopened > 50 && sum.failed > 50;
    assert!(enough || number("SEEDS").is_some(), "{sum:?}");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..5 {
        assert_eq!(run(seed, Honesty::Honest), run(seed, Honesty::Honest), "SEED={seed}");
    }
}

fn caught(honesty: Honesty) -> Option<&'static str> {
    (0..100).find_map(|seed| run(seed, honesty).0.err()).map(|broken| broken.law)
}

#[test]
fn control_a_disk_that_does_not_sync_is_caught() {
    assert_eq!(caught(Honesty::NoSync), Some("I2"));
}

#[test]
fn control_answers_before_the_commit_are_caught() {
    assert_eq!(caught(Honesty::AnswersFirst), Some("I2"));
}

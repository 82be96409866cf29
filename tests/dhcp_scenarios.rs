//! Runs `tests/scenarios/*.dhcp`: requests in, replies out, on a clock that the text moves. The format is
//! told in `tests/scenarios/README.md`.

#[path = "dhcp/world.rs"]
mod world;

use std::fs;
use std::path::Path;

use world::World;

/// Every scenario says which sentence of which RFC it shows.
#[test]
fn every_scenario_cites_a_section() {
    let cites = regex::Regex::new(r"^# .*RFC \d+ §").expect("an expression");
    for path in scenarios() {
        let text = fs::read_to_string(&path).expect("a readable scenario");
        let first = text.lines().next().unwrap_or_default();
        assert!(cites.is_match(first), "{}: {first}", path.display());
    }
}

/// Runs one file; every line that does not hold is reported.
fn run(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a readable scenario");
    let mut world = World::default();
    let mut failures = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(why) = world.line(line) {
            failures.push(format!("{}:{}: {line}\n    {why}", path.display(), number + 1));
        }
    }
    failures.extend(world.unexpected().map(|reply| format!("{}: at the end: {reply}", path.display())));
    failures
}

fn scenarios() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "dhcp"));
    files.sort();
    files
}

#[test]
fn every_scenario_holds() {
    let files = scenarios();
    assert!(files.len() >= 75, "only {} scenarios were found", files.len());
    let failures: Vec<String> = files.iter().flat_map(|path| run(path)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The runner itself must be able to fail.
#[test]
fn a_wrong_expectation_is_noticed() {
    let mut world = World::default();
    world.line("network lan interface=eth0").unwrap();
    world.line("subnet 10.0.0.0/24 pool=10.0.0.10-10.0.0.20").unwrap();
    world.line("> DISCOVER mac=02:00:00:00:00:01").unwrap();
    assert!(world.line("< OFFER ip=10.0.0.11").is_err());
    world.line("> DISCOVER mac=02:00:00:00:00:01").unwrap();
    assert!(world.line("< OFFER ip=10.0.0.10 no=1").is_err());
    world.line("> DISCOVER mac=02:00:00:00:00:01").unwrap();
    assert!(world.line("> DISCOVER mac=02:00:00:00:00:01").is_err(), "an answer that nobody expected");
    assert!(world.line("! lease 10.0.0.10").is_err());
    assert!(world.line("! nonsense").is_err());
}

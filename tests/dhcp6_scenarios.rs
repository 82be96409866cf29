//! Runs `tests/scenarios6/*.dhcp6`: DHCPv6 requests in, replies out, on a clock that the text moves. The format
//! is told in `tests/scenarios6/README.md`.

#[path = "dhcp6/world.rs"]
mod world;

use std::fs;
use std::path::Path;

use world::World;

/// Runs one file; every line that does not hold is reported.
fn run(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a readable scenario");
    let mut world = World::default();
    let mut failures = Vec::new();
    if !text.lines().next().is_some_and(|line| line.starts_with('#') && line.contains("RFC")) {
        failures.push(format!("{}: the first line cites no RFC", path.display()));
    }
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

#[test]
fn every_scenario_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios6");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "dhcp6"));
    files.sort();
    assert!(files.len() >= 25, "only {} scenarios were found", files.len());
    let failures: Vec<String> = files.iter().flat_map(|path| run(path)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The runner itself must be able to fail.
#[test]
fn a_wrong_expectation_is_noticed() {
    let mut world = World::default();
    for line in ["network lan interface=eth0", "subnet 2001:db8::/64 pool=2001:db8::10"] {
        world.line(line).unwrap();
    }
    let ask = "> SOLICIT duid=00030001020000000001 na=7";
    world.line(ask).unwrap();
    assert!(world.line("< ADVERTISE na=7[2001:db8::11]").is_err());
    world.line(ask).unwrap();
    assert!(world.line("< ADVERTISE na=7[2001:db8::10]!2").is_err());
    world.line(ask).unwrap();
    assert!(world.line("< ADVERTISE na=7[2001:db8::10] no=1").is_err());
    world.line(ask).unwrap();
    assert!(world.line(ask).is_err(), "an answer that nobody expected");
    assert!(world.line("! lease 2001:db8::10").is_err());
    assert!(world.line("! nonsense").is_err());
}

//! RL-16, DH-607: the configuration of the real daemon is loaded again and again under DHCP load, valid and
//! invalid, over the API, the command line and SIGHUP. No lease is lost, no offer is forgotten, every answer is
//! of the policy that was in force, and what is invalid changes nothing and says all of what is wrong. As root,
//! on loopback. `RELOADS=500 BAD_RELOADS=200` for the full size.

mod configuration;
mod daemon;
#[path = "../lab/dhcp.rs"]
mod dhcp;
mod load;
#[path = "../common/port.rs"]
mod port;

use std::io::Write as _;
use std::sync::Arc;

use configuration::{BAD, valid};
use daemon::Daemon;
use load::{Generations, Load};

fn bound(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Loads generation `n` in one of three ways.
fn load_valid(daemon: &Daemon, generations: &Generations, n: u32) {
    generations.written(n);
    daemon.write(&valid(n, daemon.port));
    match n % 3 {
        0 => {
            let (status, body) = daemon.reload();
            assert_eq!(status, 200, "{body}");
            let keys: Vec<&str> =
                body["changed"].as_array().expect("a list").iter().filter_map(|c| c["key"].as_str()).collect();
            assert!(keys.contains(&"network.lan.options.domain-name-servers"), "{body}");
            assert_eq!(body["restart"], serde_json::json!([]), "{body}");
        }
        1 => {
            let done = daemon.cli(&["reload"]);
            assert!(done.status.success(), "{done:?}");
            let told = String::from_utf8(done.stdout).expect("UTF-8");
            assert!(told.lines().any(|line| line == "changed\tnetwork.lan.options.domain-name-servers"), "{told}");
        }
        // nobody answers a signal: that the load sees it is the answer
        _ => {
            daemon.hangup();
            daemon.until("the signal's reload is seen", || generations.seen() >= n);
        }
    }
    generations.in_force(n);
}

/// What is invalid is refused with every place, over the API or, each fifth time, the command line.
fn load_invalid(daemon: &Daemon, n: u32) {
    let bad = &BAD[n as usize % BAD.len()];
    daemon.write(&bad.text(n, daemon.port));
    let file = daemon.file().display().to_string();
    if n % 5 == 4 {
        let done = daemon.cli(&["reload"]);
        let told = String::from_utf8(done.stderr).expect("UTF-8");
        assert_eq!(done.status.code(), Some(2), "{}: {told}", bad.what);
        let places = told.lines().filter(|line| is_place(line, &file)).count();
        assert!(places >= bad.problems && told.contains(bad.what), "{}: {told}", bad.what);
        return;
    }
    let (status, body) = daemon.reload();
    assert_eq!((status, body["status"].as_u64()), (422, Some(422)), "{}: {body}", bad.what);
    let errors = body["errors"].as_array().expect("a list");
    assert!(errors.len() >= bad.problems, "{}: {body}", bad.what);
    for error in errors {
        assert_eq!(error["file"], file.as_str(), "{body}");
        let places = [&error["line"], &error["column"]];
        assert!(places.iter().all(|number| number.as_u64().is_some_and(|n| n > 0)), "{body}");
    }
    assert!(body.to_string().contains(bad.what), "{}: {body}", bad.what);
}

/// `FILE:LINE:COLUMN: …`
fn is_place(line: &str, file: &str) -> bool {
    let Some(rest) = line.strip_prefix(file).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let mut parts = rest.splitn(3, ':');
    let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok_and(|n| n > 0));
    number() && number()
}

#[test]
fn reloads_under_load_lose_no_lease_and_invalid_ones_change_nothing() {
    assert!(nix::unistd::geteuid().is_root(), "needs root: it serves DHCP on loopback");
    let (good, bad) = (bound("RELOADS", 20), bound("BAD_RELOADS", 50));
    let daemon = Daemon::start();
    let generations = Arc::new(Generations::default());
    let load = Load::start(&daemon, &generations);
    let (mut invalid, mut before) = (0, 0);
    for n in 1..=good {
        load_valid(&daemon, &generations, n);
        let valid_before = invalid;
        // invalid ones in between, as many as are due
        while invalid * good < bad * n {
            load_invalid(&daemon, invalid);
            invalid += 1;
        }
        let expected = invalid > valid_before;
        daemon.until("the status names an invalid file, and only that", || daemon.degraded() == expected);
        daemon.until("the load goes on", || load.exchanges() >= before + 20);
        before = load.exchanges();
    }
    let book = load.stop();
    let listed = daemon.leases();
    for (mac, ip) in &book.leases {
        assert_eq!(listed.get(ip), Some(mac), "{ip}, which was acknowledged");
    }
    let line = format!(
        "{good} reloads and {invalid} invalid ones: {} exchanges, {} leases held, {} asked twice, 0 lost\n",
        book.exchanges,
        book.leases.len(),
        book.again
    );
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    assert!(book.leases.len() > 50, "what never happens is not tested: {line}");
    daemon.stop();
}

#[test]
fn the_log_follows_its_level() {
    assert!(nix::unistd::geteuid().is_root(), "needs root: it serves DHCP on loopback");
    let daemon = Daemon::start();
    let loaded = || daemon.log().contains("the configuration was loaded again");
    assert_eq!(daemon.reload().0, 200);
    assert!(!loaded(), "warnings only");
    daemon.write(&valid(0, daemon.port).replace("level = \"warn\"", "level = \"info\""));
    let (status, body) = daemon.reload();
    assert_eq!((status, &body["restart"]), (200, &serde_json::json!([])), "{body}");
    daemon.until("it tells more now", loaded);
    daemon.write(&valid(0, daemon.port).replace("level = \"warn\"", "level = \"a=b=c\""));
    let (status, body) = daemon.reload();
    assert_eq!(status, 200, "{body}");
    assert!(body["findings"][0].as_str().is_some_and(|text| text.contains("log.level")), "{body}");
    daemon.stop();
}

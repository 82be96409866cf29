//! dnsperf against each server: answers a second and the CPU of one, for names that exist and names that do not.
//!
//! Server and generator are pinned to different cores. The zone has 1,000 A records; NSD runs without its rate limit.

use crate::lan::{Lan, SERVER, Server, fresh};
use crate::report::{Column, Part};
use crate::stats::cpu_us;
use crate::{Bounds, lanlord};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

const NAMES: usize = 1_000;
const SERVER_CORE: u32 = 0;
const GENERATOR_CORE: u32 = 1;

type Start = fn(&Lan, &Path) -> Result<Server>;
const SERVERS: [(&str, Start); 3] = [("lanlord", start_lanlord), ("nsd", start_nsd), ("dnsmasq", start_dnsmasq)];

/// Runs the part.
pub fn run(bounds: &Bounds) -> Result<Part> {
    let wanted: Vec<_> = SERVERS.iter().filter(|(name, _)| bounds.wants(name)).collect();
    let mut part = Part::new(
        "DNS: dnsperf over UDP, 1,000 A records",
        &wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        &[
            Column::more("A, answers/s"),
            Column::less("CPU of one, µs"),
            Column::more("NXDOMAIN, answers/s"),
            Column::less("CPU of one, µs"),
            Column::less("lost, %"),
        ],
    );
    let queries = fresh(&bounds.scratch, "dns-queries")?;
    let present = write_queries(&queries.join("present"), "host")?;
    let absent = write_queries(&queries.join("absent"), "nobody")?;
    for round in 1..=bounds.rounds {
        for (name, start) in &wanted {
            eprintln!("dns: round {round}, {name}");
            let dir = fresh(&bounds.scratch, &format!("dns-{name}"))?;
            let lan = Lan::new("dns")?;
            let mut server = start(&lan, &dir)?;
            lan.until_answered(
                &mut server,
                &["dig", "+short", "+time=1", "+tries=1", &format!("@{SERVER}"), "host1.bench.test"],
                "10.77.",
            )?;
            let a = ask(bounds, &lan, &mut server, &present)?;
            let nx = ask(bounds, &lan, &mut server, &absent)?;
            part.push(name, &[a.rate, a.cpu_us, nx.rate, nx.cpu_us, a.lost.max(nx.lost)]);
        }
    }
    Ok(part)
}

/// One turn of dnsperf.
struct Turn {
    rate: f64,
    cpu_us: f64,
    lost: f64,
}

fn ask(bounds: &Bounds, lan: &Lan, server: &mut Server, queries: &str) -> Result<Turn> {
    server.alive()?;
    let before = cpu_us(server.pid())?;
    let seconds = bounds.seconds.to_string();
    let text = lan.generate(
        Some(GENERATOR_CORE),
        &["dnsperf", "-s", SERVER, "-d", queries, "-l", &seconds, "-c", "8", "-q", "100"],
    )?;
    let cpu = cpu_us(server.pid())? - before;
    let value = |key: &str| -> Option<f64> {
        text.lines().find_map(|l| l.trim().strip_prefix(key)?.split_whitespace().next()?.parse().ok())
    };
    let (sent, done) = (value("Queries sent:"), value("Queries completed:"));
    let (Some(sent), Some(done), Some(rate)) = (sent, done, value("Queries per second:")) else {
        anyhow::bail!("dnsperf said: {text}");
    };
    eprintln!("  {rate:.0}/s, {:.2} % lost", (1.0 - done / sent) * 100.0);
    Ok(Turn { rate, cpu_us: cpu / done, lost: (1.0 - done / sent) * 100.0 })
}

fn write_queries(path: &Path, stem: &str) -> Result<String> {
    let mut text = String::new();
    for i in 0..NAMES {
        writeln!(text, "{stem}{i}.bench.test A")?;
    }
    std::fs::write(path, text)?;
    path.to_str().map(String::from).context("a path in UTF-8")
}

/// The zone that all serve: `hostN.bench.test A 10.77.x.y`.
pub fn zone() -> String {
    let mut text = String::from(
        "$ORIGIN bench.test.\n$TTL 3600\n@ IN SOA ns hostmaster 1 3600 600 86400 300\n@ IN NS ns\nns IN A 10.77.0.1\n",
    );
    for i in 0..NAMES {
        let _ = writeln!(text, "host{i} IN A 10.77.{}.{}", 1 + i / 250, 1 + i % 250);
    }
    text
}

fn start_lanlord(lan: &Lan, dir: &Path) -> Result<Server> {
    lanlord::start(lan, dir, Some(SERVER_CORE))
}

fn start_nsd(lan: &Lan, dir: &Path) -> Result<Server> {
    let d = dir.display();
    std::fs::write(dir.join("bench.test.zone"), zone())?;
    std::fs::write(
        dir.join("nsd.conf"),
        format!(
            "server:\n  server-count: 1\n  ip-address: {SERVER}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{d}\"\n  pidfile: \"{d}/pid\"\n  database: \"\"\n  xfrdfile: \"{d}/xfrd\"\n  xfrdir: \"{d}\"\n  zonelistfile: \"{d}/zones\"\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: bench.test\n  zonefile: bench.test.zone\n"
        ),
    )?;
    lan.serve("nsd", &dir.join("out.log"), Some(SERVER_CORE), &["nsd", "-d", "-c", &format!("{d}/nsd.conf")])
}

fn start_dnsmasq(lan: &Lan, dir: &Path) -> Result<Server> {
    let mut hosts = String::new();
    for i in 0..NAMES {
        writeln!(hosts, "10.77.{}.{} host{i}.bench.test", 1 + i / 250, 1 + i % 250)?;
    }
    std::fs::write(dir.join("hosts"), hosts)?;
    let file = format!("--addn-hosts={}/hosts", dir.display());
    let command = [
        "dnsmasq",
        "-k",
        "-C",
        "/dev/null",
        "--user=root",
        "--pid-file=",
        "--no-hosts",
        "--no-resolv",
        "--local=/bench.test/",
        "--log-facility=/dev/null",
        &file,
    ];
    lan.serve("dnsmasq", &dir.join("out.log"), Some(SERVER_CORE), &command)
}

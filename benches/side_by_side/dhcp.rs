//! DHCPv4 side by side, driven by our own generator ([`crate::storm`]) on a core of its own; perfdhcp beside it shows
//! that both measure the same.
//!
//! Nobody answers from a cache of leases (`cache_fraction = 0`, `cache-threshold` near 0), nobody probes addresses: each
//! exchange is decided and written. lanlord syncs before each ACK, dhcpd too; Kea and dnsmasq do not.

use crate::lan::{GENERATOR, Lan, SERVER, Server, fresh};
use crate::report::{Column, Part};
use crate::stats::cpu_us;
use crate::storm::{Outcome, Plan};
use crate::{Bounds, lanlord};
use anyhow::{Context, Result};
use std::path::Path;

/// Rate at which the CPU of one exchange is compared: every server but the slowest bears it.
const COMMON: f64 = 1_000.0;

type Start = fn(&Lan, &Path) -> Result<Server>;
const SERVERS: [(&str, Start); 5] = [
    ("lanlord", start_lanlord),
    ("kea", start_kea),
    ("dnsmasq", start_dnsmasq),
    ("dhcpd", start_dhcpd),
    ("stub", start_stub),
];

/// Runs the part.
pub fn run(bounds: &Bounds) -> Result<Part> {
    let wanted: Vec<_> = SERVERS.iter().filter(|(name, _)| bounds.wants(name)).collect();
    let mut part = Part::new(
        "DHCPv4: 60,000 clients behind a relay, DISCOVER to ACK",
        &wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        &[
            Column::more("exchanges/s, closed loop of 256"),
            Column::less("CPU of one there, µs"),
            Column::less("CPU of one at 1,000/s, µs"),
            Column::less("REQUEST to ACK at half load, p50 ms"),
            Column::less("p99 ms"),
            Column::more("renewals/s"),
            Column::less("lost, %"),
        ],
    );
    for round in 1..=bounds.rounds {
        for (name, start) in &wanted {
            eprintln!("dhcp: round {round}, {name}");
            part.push(name, &turn(bounds, name, *start)?);
        }
    }
    part.note("`stub` answers without deciding anything: the ceiling of the wire and the generator.".into());
    if bounds.wants("perfdhcp") {
        part.note(calibrate(bounds)?);
    }
    Ok(part)
}

/// One server in one round, on a core of its own: all it can, then the common rate, then half of all it can.
fn turn(bounds: &Bounds, name: &str, start: Start) -> Result<[f64; 7]> {
    let dir = fresh(&bounds.scratch, &format!("dhcp-{name}"))?;
    let lan = Lan::new("dhcp")?;
    let mut server = start(&lan, &dir)?;
    let seconds = f64::from(bounds.seconds);
    let (all, all_cpu) = load(&lan, &mut server, &Plan { seconds, ..Plan::default() })?;
    let common = Plan { rate: Some(COMMON.min(all.per_second / 2.0)), seconds, ..Plan::default() };
    let (_, common_cpu) = load(&lan, &mut server, &common)?;
    let half = Plan { rate: Some(all.per_second / 2.0), seconds, ..Plan::default() };
    let (half, _) = load(&lan, &mut server, &half)?;
    let again = Plan { renew: true, clients: 2_000, seconds, ..Plan::default() };
    let (again, _) = load(&lan, &mut server, &again)?;
    let lost = all.loss().max(half.loss()) * 100.0;
    Ok([all.per_second, all_cpu, common_cpu, half.ack_p50_ms, half.ack_p99_ms, again.per_second, lost])
}

/// What came of a plan, and the CPU that one exchange took.
pub fn load(lan: &Lan, server: &mut Server, plan: &Plan) -> Result<(Outcome, f64)> {
    server.alive()?;
    let before = cpu_us(server.pid())?;
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let arguments = plan.arguments();
    let mut command = vec![program.as_str()];
    command.extend(arguments.iter().map(String::as_str));
    let outcome = Outcome::parse(&lan.generate(Some(lan.generator_core()), &command)?)?;
    let cpu = (cpu_us(server.pid())? - before) / outcome.completed.max(1.0);
    eprintln!(
        "  {:?}/s offered: {:.0}/s, {:.2} % lost, {cpu:.1} µs each",
        plan.rate,
        outcome.per_second,
        outcome.loss() * 100.0
    );
    Ok((outcome, cpu))
}

/// The generator beside perfdhcp, at a rate that both bear, against the stub.
fn calibrate(bounds: &Bounds) -> Result<String> {
    const RATE: f64 = 2_000.0;
    let dir = fresh(&bounds.scratch, "dhcp-calibrate")?;
    let lan = Lan::new("dhcp")?;
    let mut server = start_stub(&lan, &dir)?;
    let seconds = bounds.seconds.to_string();
    let rate = RATE.to_string();
    let command = ["perfdhcp", "-4", "-l", "eth0", "-r", &rate, "-R", "2000", "-p", &seconds, "-W", "500000", SERVER];
    let text = lan.generate(Some(lan.generator_core()), &command)?;
    let (sent, acks, delay) = perfdhcp(&text).with_context(|| format!("perfdhcp said: {text}"))?;
    let plan = Plan { rate: Some(RATE), clients: 2_000, seconds: f64::from(bounds.seconds), ..Plan::default() };
    let (ours, _) = load(&lan, &mut server, &plan)?;
    Ok(format!(
        "Calibration against the stub at {RATE:.0}/s: perfdhcp {sent:.0} begun, {acks:.0} completed, mean {delay:.2} ms; \
         our generator {:.0} begun, {:.0} completed, median {:.2} ms.",
        ours.begun, ours.completed, ours.ack_p50_ms
    ))
}

/// Exchanges begun and completed, and the mean delay of an ACK.
fn perfdhcp(text: &str) -> Option<(f64, f64, f64)> {
    let values = |key: &str| -> Vec<f64> {
        let words = |l: &str| l.strip_prefix(key)?.split_whitespace().next()?.parse().ok();
        text.lines().filter_map(words).collect()
    };
    let acks = *values("received packets:").get(1)?;
    Some((*values("sent packets:").first()?, acks, values("avg delay:").get(1).copied().unwrap_or(f64::NAN)))
}

fn start_lanlord(lan: &Lan, dir: &Path) -> Result<Server> {
    lanlord::start(lan, dir, Some(0))
}

fn start_kea(lan: &Lan, dir: &Path) -> Result<Server> {
    let config = dir.join("kea.json");
    let text = format!(
        r#"{{"Dhcp4": {{
  "interfaces-config": {{"interfaces": ["eth0"], "dhcp-socket-type": "udp"}},
  "lease-database": {{"type": "memfile", "persist": true, "name": "{dir}/leases.csv", "lfc-interval": 0}},
  "multi-threading": {{"enable-multi-threading": true, "thread-pool-size": 2, "packet-queue-size": 28}},
  "valid-lifetime": 3600,
  "cache-threshold": 0.000001,
  "subnet4": [{{"subnet": "10.77.0.0/16", "pools": [{{"pool": "10.77.1.0-10.77.250.255"}}]}}],
  "loggers": [{{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{{"output": "{dir}/kea.log"}}]}}]}}}}"#,
        dir = dir.display()
    );
    std::fs::write(&config, text)?;
    let server = lan.serve("kea", &dir.join("out.log"), Some(0), &["kea-dhcp4", "-c", &config.to_string_lossy()])?;
    settle(lan, server)
}

fn start_dnsmasq(lan: &Lan, dir: &Path) -> Result<Server> {
    let leases = format!("--dhcp-leasefile={}/leases", dir.display());
    let server = lan.serve(
        "dnsmasq",
        &dir.join("out.log"),
        Some(0),
        &[
            "dnsmasq",
            "-k",
            "-C",
            "/dev/null",
            "--user=root",
            "--pid-file=",
            "--port=0",
            "--no-ping",
            "--dhcp-authoritative",
            "--quiet-dhcp",
            "--log-facility=/dev/null",
            "--dhcp-lease-max=100000",
            "--dhcp-range=10.77.1.0,10.77.250.255,255.255.0.0,1h",
            &leases,
        ],
    )?;
    settle(lan, server)
}

fn start_dhcpd(lan: &Lan, dir: &Path) -> Result<Server> {
    let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let text = "authoritative;\nping-check false;\ndefault-lease-time 3600;\nmax-lease-time 3600;\n\
                subnet 10.77.0.0 netmask 255.255.0.0 { range 10.77.1.0 10.77.250.255; }\n";
    std::fs::write(at("dhcpd.conf"), text)?;
    std::fs::write(at("dhcpd.leases"), "")?;
    let (config, leases, pid) = (at("dhcpd.conf"), at("dhcpd.leases"), at("dhcpd.pid"));
    let command = ["dhcpd", "-4", "-f", "-q", "--no-pid", "-cf", &config, "-lf", &leases, "-pf", &pid, "eth0"];
    let server = lan.serve("dhcpd", &dir.join("out.log"), Some(0), &command)?;
    settle(lan, server)
}

fn start_stub(lan: &Lan, dir: &Path) -> Result<Server> {
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let server = lan.serve("stub", &dir.join("out.log"), Some(0), &[&program, "stub"])?;
    settle(lan, server)
}

/// Address of the server and of the generator, for the generator.
pub fn addresses() -> (std::net::Ipv4Addr, std::net::Ipv4Addr) {
    (SERVER.parse().expect("an address"), GENERATOR.parse().expect("an address"))
}

/// Waits until one exchange comes through.
pub fn settle(lan: &Lan, mut server: Server) -> Result<Server> {
    let one = ["perfdhcp", "-4", "-l", "eth0", "-r", "10", "-n", "1", "-W", "200000", SERVER];
    lan.until_answered(&mut server, &one, "received packets: 1\n")?;
    Ok(server)
}

//! perfdhcp against each server: the most exchanges a second with at most 2.5 % of them lost, and the CPU of one exchange.
//!
//! perfdhcp plays a relay, with 2,000 clients. It divides by its wait as well, so the rate is computed here: ACKs received
//! over the period in which it sent.

use crate::lan::{Lan, SERVER, Server, fresh};
use crate::report::{Column, Part};
use crate::stats::cpu_us;
use crate::{Bounds, lanlord};
use anyhow::{Context, Result};
use std::path::Path;

const CLIENTS: &str = "2000";
const MAX_LOSS: f64 = 0.025;
/// perfdhcp itself comes to its end at 5,000 to 6,000 a second on two cores; beyond it a figure would be its own.
const CEILING: f64 = 8_000.0;
const FIRST_RATE: f64 = 200.0;
const STEP: f64 = 1.5;

type Start = fn(&Lan, &Path) -> Result<Server>;
const SERVERS: [(&str, Start); 3] = [("lanlord", start_lanlord), ("kea", start_kea), ("dnsmasq", start_dnsmasq)];

/// One turn of perfdhcp.
struct Turn {
    completed: f64,
    loss: f64,
    ack_delay_ms: f64,
    cpu_us: f64,
}

/// Runs the part.
pub fn run(bounds: &Bounds) -> Result<Part> {
    let wanted: Vec<_> = SERVERS.iter().filter(|(name, _)| bounds.wants(name)).collect();
    let mut part = Part::new(
        "DHCPv4: perfdhcp, 2,000 clients behind a relay",
        &wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        &[
            Column::more("exchanges/s, at most 2.5 % lost"),
            Column::less("CPU of one, µs"),
            Column::less("REQUEST to ACK, mean ms"),
        ],
    );
    let mut rates = vec![FIRST_RATE; wanted.len()];
    for round in 1..=bounds.rounds {
        for (i, (name, start)) in wanted.iter().enumerate() {
            eprintln!("dhcp: round {round}, {name}");
            let (rate, best) = climb(bounds, name, *start, rates[i])?;
            rates[i] = rate;
            part.push(name, &[best.completed, best.cpu_us, best.ack_delay_ms]);
        }
    }
    Ok(part)
}

/// Looks for the highest rate that the server bears, beginning with the one of the round before.
fn climb(bounds: &Bounds, name: &str, start: Start, first: f64) -> Result<(f64, Turn)> {
    let dir = fresh(&bounds.scratch, &format!("dhcp-{name}"))?;
    let lan = Lan::new("dhcp")?;
    let mut server = start(&lan, &dir)?;
    let mut rate = first;
    let mut turn = offer(bounds, &lan, &mut server, rate)?;
    if turn.loss <= MAX_LOSS {
        while rate < CEILING {
            let next = offer(bounds, &lan, &mut server, rate * STEP)?;
            if next.loss > MAX_LOSS {
                break;
            }
            (rate, turn) = (rate * STEP, next);
        }
    } else {
        while turn.loss > MAX_LOSS && rate > 10.0 {
            rate /= STEP;
            turn = offer(bounds, &lan, &mut server, rate)?;
        }
    }
    Ok((rate, turn))
}

fn offer(bounds: &Bounds, lan: &Lan, server: &mut Server, rate: f64) -> Result<Turn> {
    server.alive()?;
    let before = cpu_us(server.pid())?;
    let rate = format!("{rate:.0}");
    let seconds = bounds.seconds.to_string();
    let text = lan.generate(
        None,
        &["perfdhcp", "-4", "-l", "eth0", "-r", &rate, "-R", CLIENTS, "-p", &seconds, "-W", "500000", SERVER],
    )?;
    let cpu = cpu_us(server.pid())? - before;
    let turn = parse(&text, f64::from(bounds.seconds), cpu).with_context(|| format!("perfdhcp said: {text}"))?;
    eprintln!("  {rate}/s offered: {:.0}/s completed, {:.1} % lost", turn.completed, turn.loss * 100.0);
    Ok(turn)
}

/// The two blocks of perfdhcp's report: DISCOVER-OFFER, then REQUEST-ACK.
fn parse(text: &str, seconds: f64, cpu: f64) -> Option<Turn> {
    let values = |key: &str| -> Vec<f64> {
        let words = |l: &str| l.strip_prefix(key)?.split_whitespace().next()?.parse().ok();
        text.lines().filter_map(words).collect()
    };
    let sent = *values("sent packets:").first()?;
    let acks = *values("received packets:").get(1)?;
    let ack_delay_ms = values("avg delay:").get(1).copied().unwrap_or(f64::NAN);
    let loss = if sent > 0.0 { 1.0 - acks / sent } else { 1.0 };
    Some(Turn { completed: acks / seconds, loss, ack_delay_ms, cpu_us: if acks > 0.0 { cpu / acks } else { f64::NAN } })
}

fn start_lanlord(lan: &Lan, dir: &Path) -> Result<Server> {
    lanlord::start(lan, dir, None)
}

fn start_kea(lan: &Lan, dir: &Path) -> Result<Server> {
    let config = dir.join("kea.json");
    let text = format!(
        r#"{{"Dhcp4": {{
  "interfaces-config": {{"interfaces": ["eth0"], "dhcp-socket-type": "udp"}},
  "lease-database": {{"type": "memfile", "persist": true, "name": "{dir}/leases.csv", "lfc-interval": 0}},
  "multi-threading": {{"enable-multi-threading": true, "thread-pool-size": 2, "packet-queue-size": 28}},
  "valid-lifetime": 3600,
  "subnet4": [{{"subnet": "10.77.0.0/16", "pools": [{{"pool": "10.77.1.0-10.77.250.255"}}]}}],
  "loggers": [{{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{{"output": "{dir}/kea.log"}}]}}]}}}}"#,
        dir = dir.display()
    );
    std::fs::write(&config, text)?;
    let server = lan.serve("kea", &dir.join("out.log"), None, &["kea-dhcp4", "-c", &config.to_string_lossy()])?;
    settle(lan, server)
}

fn start_dnsmasq(lan: &Lan, dir: &Path) -> Result<Server> {
    let leases = format!("--dhcp-leasefile={}/leases", dir.display());
    let server = lan.serve(
        "dnsmasq",
        &dir.join("out.log"),
        None,
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

/// Waits until one exchange comes through.
pub fn settle(lan: &Lan, mut server: Server) -> Result<Server> {
    let one = ["perfdhcp", "-4", "-l", "eth0", "-r", "10", "-n", "1", "-W", "200000", SERVER];
    lan.until_answered(&mut server, &one, "received packets: 1\n")?;
    Ok(server)
}

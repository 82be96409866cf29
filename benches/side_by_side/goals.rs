//! What lanlord does alone against the goals of the issue: load that lasts, a burst, renewals that write nothing, the
//! memory of many leases with their names, and how soon after a start the first of them is renewed.
//!
//! SUSTAIN (60) seconds of load, BURST (10) seconds at BURST_RATE (60000) exchanges a second, LEASES (100000; 1000000
//! for the full size) in memory.

use crate::dhcp::load;
use crate::lan::{Lan, fresh};
use crate::report::{Column, Part};
use crate::stats::cpu_us;
use crate::storm::Plan;
use crate::{Bounds, lanlord, number};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A round of these is one of each.
pub fn run(bounds: &Bounds) -> Result<Part> {
    let seconds = f64::from(number("SUSTAIN", 60)?);
    let mut part = Part::new(
        &format!("DHCPv4 and DNS: {seconds} s of load, a closed loop of 256"),
        &["lanlord"],
        &[
            Column::more("exchanges/s"),
            Column::less("lost, %"),
            Column::less("CPU of one, folding included, µs"),
            Column::less("REQUEST to ACK p99, ms"),
            Column::less("unfolded after a quarter of the time"),
            Column::less("at the end"),
        ],
    );
    part.push("lanlord", &sustained(bounds, seconds)?);
    part.note(burst(bounds)?);
    part.note(cached(bounds)?);
    part.note(filled(bounds)?);
    part.note(memory(bounds, number("LEASES", 100_000)?)?);
    Ok(part)
}

/// Load for as long, and how many entries wait for the tables meanwhile.
fn sustained(bounds: &Bounds, seconds: f64) -> Result<[f64; 6]> {
    eprintln!("goals: {seconds} s of load");
    let dir = fresh(&bounds.scratch, "goals-sustained")?;
    let lan = Lan::new("goals")?;
    let mut server = lanlord::start(&lan, &dir, Some(0))?;
    let socket = lanlord::socket(&dir);
    let (before, over) = (cpu_us(server.pid())?, AtomicBool::new(false));
    let (outcome, backlog) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = Vec::new();
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(500));
                seen.extend(metric(&socket, "lanlord_ledger_unfolded").ok());
            }
            seen
        });
        let outcome = load(&lan, &mut server, &Plan { seconds, ..Plan::default() });
        over.store(true, Ordering::Relaxed);
        (outcome, watch.join())
    });
    let (outcome, _) = outcome?;
    let backlog = backlog.map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
    let at = |part: usize| backlog.get(backlog.len().saturating_sub(1) * part / 4).copied().unwrap_or(f64::NAN);
    until_folded(&socket)?;
    let cpu = (cpu_us(server.pid())? - before) / outcome.completed.max(1.0);
    Ok([outcome.per_second, outcome.loss() * 100.0, cpu, outcome.ack_p99_ms, at(1), at(4)])
}

/// An open loop for ten seconds: nothing may be lost.
fn burst(bounds: &Bounds) -> Result<String> {
    let (seconds, rate) = (f64::from(number("BURST", 10)?), f64::from(number("BURST_RATE", 60_000)?));
    eprintln!("goals: a burst of {rate}/s");
    let dir = fresh(&bounds.scratch, "goals-burst")?;
    let lan = Lan::new("goals")?;
    let mut server = lanlord::start(&lan, &dir, Some(0))?;
    let (outcome, _) = load(&lan, &mut server, &Plan { seconds, rate: Some(rate), ..Plan::default() })?;
    Ok(format!(
        "Burst of {seconds} s at {rate:.0}/s: {:.0} begun, {:.0} acknowledged within a second, {:.2} % lost.",
        outcome.begun,
        outcome.completed,
        outcome.loss() * 100.0
    ))
}

/// Renewals within the threshold of the cache (DH-215).
fn cached(bounds: &Bounds) -> Result<String> {
    eprintln!("goals: renewals within the cache threshold");
    let dir = fresh(&bounds.scratch, "goals-cached")?;
    let lan = Lan::new("goals")?;
    let mut server = lanlord::start_with(&lan, &dir, Some(0), &lanlord::Shape { cache: 0.25, ..Default::default() })?;
    let socket = lanlord::socket(&dir);
    let clients = 2_000;
    let first = Plan { clients, seconds: 60.0, once: true, ..Plan::default() };
    load(&lan, &mut server, &first)?;
    let written = || metric(&socket, "lanlord_ledger_batch_changes_total");
    let (before, again) = (written()?, Plan { renew: true, clients, seconds: 3.0, ..Plan::default() });
    let (outcome, cpu) = load(&lan, &mut server, &again)?;
    // the generator is new and has no addresses: its first exchange of each client is one of four messages
    let wrote = written()? - before;
    ensure!(wrote == 0.0, "{wrote} changes were written by renewals within the threshold");
    Ok(format!(
        "Renewals within the cache threshold: {:.0}/s, {cpu:.1} µs of CPU each, {wrote:.0} changes written.",
        outcome.per_second
    ))
}

/// DH-905: the same clients renew in an empty pool and in a full one.
fn filled(bounds: &Bounds) -> Result<String> {
    const ALL: u32 = 250 * 256;
    eprintln!("goals: renewals in a full pool");
    let dir = fresh(&bounds.scratch, "goals-filled")?;
    let lan = Lan::new("goals")?;
    let mut server = lanlord::start(&lan, &dir, Some(0))?;
    let clients = 2_000;
    let again = Plan { renew: true, clients, seconds: 3.0, ..Plan::default() };
    let (empty, _) = load(&lan, &mut server, &again)?;
    let rest = Plan { clients: ALL - clients - 2, first: clients, seconds: 60.0, once: true, ..Plan::default() };
    load(&lan, &mut server, &rest)?;
    until_folded(&lanlord::socket(&dir))?;
    let (full, _) = load(&lan, &mut server, &again)?;
    Ok(format!(
        "Renewals of {clients} clients: {:.0}/s in an empty pool, {:.0}/s in a full one of {ALL}: {:.2} of it.",
        empty.per_second,
        full.per_second,
        full.per_second / empty.per_second
    ))
}

/// Resident memory of leases with their names, and the time from a start to the first ACK.
fn memory(bounds: &Bounds, leases: u32) -> Result<String> {
    eprintln!("goals: {leases} leases in memory");
    let dir = fresh(&bounds.scratch, "goals-memory")?;
    let lan = Lan::new("goals")?;
    let shape = lanlord::Shape { wide: true, ..Default::default() };
    let mut server = lanlord::start_with(&lan, &dir, Some(0), &shape)?;
    let socket = lanlord::socket(&dir);
    let idle = resident(server.pid())?;
    let head = metric(&socket, "lanlord_ledger_seq")?;
    let plan = Plan { clients: leases, seconds: 600.0, once: true, ..Plan::default() };
    load(&lan, &mut server, &plan)?;
    until_folded(&socket)?;
    let granted = metric(&socket, "lanlord_ledger_seq")? - head;
    let full = resident(server.pid())?;
    drop(server);
    let began = Instant::now();
    let mut server = lanlord::start_with(&lan, &dir, Some(0), &shape)?;
    let ready = began.elapsed();
    server.alive()?;
    let again = resident(server.pid())?;
    Ok(format!(
        "{granted:.0} leases with names: {:.1} MiB above the {idle:.1} MiB of an idle daemon, {:.0} octets each; after a \
         restart {:.1} MiB above it. From the start to an ACK {:.2} s.",
        full - idle,
        (full - idle) * f64::from(1 << 20) / granted,
        again - idle,
        ready.as_secs_f64()
    ))
}

/// MiB.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

fn until_folded(socket: &Path) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(120);
    while metric(socket, "lanlord_ledger_unfolded")? > 0.0 {
        ensure!(Instant::now() < end, "the tables are not brought up");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// One value of `/metrics`.
fn metric(socket: &Path, name: &str) -> Result<f64> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: lanlord\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.with_context(|| format!("no {name} in the metrics"))?.parse().context(name.to_owned())
}

//! CLAWS transactions against the disk below them: hosts added by 64 frontends at once, beside raw group-committed
//! `fdatasync` of records of the same size on the same file system.

use crate::lan::{Lan, Server, fresh};
use crate::report::{Column, Part};
use crate::stats::cpu_us;
use crate::{Bounds, lanlord};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FRONTENDS: u32 = 64;
/// What a transaction writes: its record, then its final event with the host.
const RECORD: usize = 2 * 1024;
const BATCH: usize = 32;

/// Runs the part.
pub fn run(bounds: &Bounds) -> Result<Part> {
    let names: Vec<&str> = ["lanlord", "fdatasync"].into_iter().filter(|n| bounds.wants(n)).collect();
    let mut part = Part::new(
        "CLAWS: host:add-host from 64 frontends, beside the disk",
        &names,
        &[Column::more("commits/s"), Column::less("p50, ms"), Column::less("CPU of one, µs")],
    );
    for round in 1..=bounds.rounds {
        for name in &names {
            eprintln!("claws: round {round}, {name}");
            let turn = match *name {
                "lanlord" => transactions(bounds)?,
                _ => raw_syncs(bounds)?,
            };
            eprintln!("  {:.0}/s, p50 {:.2} ms", turn.rate, turn.p50_ms);
            part.push(name, &[turn.rate, turn.p50_ms, turn.cpu_us]);
        }
    }
    part.note(format!(
        "`fdatasync`: {RECORD}-byte records appended {BATCH} to a sync, no parsing, no network. A transaction syncs twice (accepted, final), so 0.5 is the ceiling of the first ratio."
    ));
    Ok(part)
}

/// One turn.
struct Turn {
    rate: f64,
    p50_ms: f64,
    cpu_us: f64,
}

impl Turn {
    fn from(mut latencies: Vec<Duration>, units: usize, elapsed: Duration, cpu: f64) -> Result<Self> {
        ensure!(!latencies.is_empty(), "nothing was committed");
        latencies.sort();
        let p50_ms = latencies[latencies.len() / 2].as_secs_f64() * 1e3;
        Ok(Self { rate: units as f64 / elapsed.as_secs_f64(), p50_ms, cpu_us: cpu / units as f64 })
    }
}

fn raw_syncs(bounds: &Bounds) -> Result<Turn> {
    let path = fresh(&bounds.scratch, "claws-raw")?.join("log");
    let mut file = File::create(&path)?;
    let batch = vec![0x5au8; RECORD * BATCH];
    let me = std::process::id();
    let (start, before) = (Instant::now(), cpu_us(me)?);
    let mut latencies = Vec::new();
    while start.elapsed() < Duration::from_secs(bounds.seconds.into()) {
        let one = Instant::now();
        file.write_all(&batch)?;
        file.sync_data()?;
        latencies.push(one.elapsed());
    }
    let units = latencies.len() * BATCH;
    Turn::from(latencies, units, start.elapsed(), cpu_us(me)? - before)
}

fn transactions(bounds: &Bounds) -> Result<Turn> {
    let dir = fresh(&bounds.scratch, "claws-lanlord")?;
    let lan = Lan::new("claws")?;
    let server: Server = lanlord::start(&lan, &dir, None)?;
    let socket = lanlord::socket(&dir);
    let (start, before) = (Instant::now(), cpu_us(server.pid())?);
    let end = start + Duration::from_secs(bounds.seconds.into());
    let frontends: Vec<_> = (0..FRONTENDS)
        .map(|n| {
            let socket: PathBuf = socket.clone();
            std::thread::spawn(move || frontend(&socket, n, end))
        })
        .collect();
    let mut latencies = Vec::new();
    for frontend in frontends {
        latencies.extend(frontend.join().map_err(|_| anyhow::anyhow!("a frontend panicked"))??);
    }
    let units = latencies.len();
    Turn::from(latencies, units, start.elapsed(), cpu_us(server.pid())? - before)
}

/// Adds hosts one after the other, on one kept connection, each awaited until its final event.
fn frontend(socket: &Path, number: u32, end: Instant) -> Result<Vec<Duration>> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut latencies = Vec::new();
    let mut host = 0u32;
    while Instant::now() < end {
        let body = message(number, host);
        let one = Instant::now();
        let head = format!(
            "POST /claws/v1/messages HTTP/1.1\r\nHost: lanlord\r\nContent-Type: application/xml\r\nPrefer: wait=10\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let (status, answer) = response(&mut reader)?;
        ensure!(status == 200, "frontend {number}, host {host}: status {status}: {answer}");
        latencies.push(one.elapsed());
        host += 1;
    }
    Ok(latencies)
}

fn message(frontend: u32, host: u32) -> String {
    format!(
        r#"<claws:event xmlns:claws="urn:openclaws:ns:claws:1" xmlns:host="urn:openclaws:ns:host:1" xmlns:dns="urn:openclaws:ns:dns:1" txid="{frontend:08x}-{host:04x}-4000-8000-00000000{frontend:04x}"><claws:source>Bench {frontend}</claws:source><claws:identity>bench</claws:identity><host:add-host><host:hostname>b{frontend}-{host}</host:hostname><host:mac-addr name="ethernet">02:be:{frontend:02x}:{:02x}:{:02x}:{:02x}</host:mac-addr><dns:auto-assign-fqdn/><host:operating-system>Debian</host:operating-system><host:asset-tag>{host:06}</host:asset-tag></host:add-host></claws:event>"#,
        host >> 16 & 0xff,
        host >> 8 & 0xff,
        host & 0xff
    )
}

/// Status and body of one response with a Content-Length.
fn response(reader: &mut impl BufRead) -> Result<(u16, String)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split_whitespace()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .with_context(|| format!("no status in `{line}`"))?;
    let mut length = 0;
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the daemon closed the connection");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

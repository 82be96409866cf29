//! What a durable lease costs: rows of the journal appended one after the other as fast as the disk takes them, first
//! new leases, then renewals of them, with the tables kept up behind. Beside it the disk itself: as many octets
//! written and synced.
//!
//! `cargo bench --bench ledger_costs`; LEASES (200000), BATCH (64) and CHECKPOINT_KIB (as usual) from the environment. Needs a real disk below
//! `target/`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a bench measures real time, and reports on stdout

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lanlord::domain::change::Change;
use lanlord::domain::lease::{Cause, ClientKey, Lease};
use lanlord::domain::net::Mac;
use lanlord::domain::time::Wall;
use lanlord::store::sqlite::Checkpoints;
use lanlord::store::{self, Batch, Entry, Opened, Port as _, entries};
use nix::sys::resource::{UsageWho, getrusage};

/// Scatters hardware addresses and addresses as a real network has them.
fn scattered(n: u64) -> u64 {
    (n ^ n >> 7).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

fn lease(n: u64, at: i64, cause: Cause) -> Change {
    let id = scattered(n).to_be_bytes();
    let mac = Mac([2, id[3], id[4], id[5], id[6], id[7]]);
    Change::LeaseGranted(Box::new(Lease {
        ip: IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + u32::try_from(n).expect("small"))),
        delegated: None,
        network: "office".into(),
        subnet: "10.0.0.0/8".parse().expect("a prefix"),
        client: ClientKey::Hw(1, mac.0.to_vec()),
        mac: Some(mac),
        client_id: None,
        hostname: Some(format!("pc{n}").into_bytes()),
        fqdn: Some(format!("pc{n}.office.example")),
        vendor_class: Some(b"MSFT 5.0".to_vec()),
        user_class: None,
        requested: vec![1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252],
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))),
        interface: "eth0".into(),
        began: Wall(0),
        expires: Wall(at + 3_600_000),
        preferred: None,
        cause,
    }))
}

fn batch(first: u64, changes: Vec<Change>) -> Batch {
    let texts = changes.iter().map(|c| entries::encode(c).expect("encodes").into_boxed_str()).collect();
    let entries: Vec<Entry> =
        changes.into_iter().zip(first..).map(|(change, seq)| Entry { seq, at: Wall(0), change }).collect();
    Batch { entries: Arc::from(entries), texts }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage");
    let of = |t: nix::sys::time::TimeVal| Duration::new(t.tv_sec() as u64, t.tv_usec() as u32 * 1000);
    of(usage.user_time()) + of(usage.system_time())
}

fn quantile(times: &mut [Duration], q: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() as f64 * q) as usize).min(times.len() - 1)].as_secs_f64() * 1e3
}

fn report(what: &str, leases: u64, cpu: Duration, times: &mut [Duration]) {
    let all: f64 = times.iter().map(Duration::as_secs_f64).sum();
    println!(
        "{what}: {:.0} leases/s, {:.1} µs of CPU each; a batch p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        leases as f64 / all,
        cpu.as_secs_f64() * 1e6 / leases as f64,
        quantile(times, 0.5),
        quantile(times, 0.99),
        quantile(times, 1.0)
    );
}

async fn ledger(dir: &Path, leases: u64, size: u64) -> Result<()> {
    let Opened { mut port, .. } = store::open(dir, "bench").await?;
    let usual = Checkpoints::default();
    port.checkpoint_at(Checkpoints {
        load: (number("CHECKPOINT_KIB", usual.load as u64 >> 10) as usize) << 10,
        ..usual
    });
    let mut head = 0;
    for (what, cause) in [("new leases", Cause::New), ("renewals", Cause::Renew)] {
        let (mut times, mut spent) = (Vec::new(), Duration::ZERO);
        for first in (0..leases).step_by(size as usize) {
            let changes = (first..leases.min(first + size)).map(|n| lease(n, head as i64, cause)).collect::<Vec<_>>();
            let n = changes.len() as u64;
            let batch = batch(head + 1, changes);
            let (before, began) = (cpu(), Instant::now());
            port.append(batch).await?;
            if port.must_fold() {
                port.fold().await?;
            }
            times.push(began.elapsed());
            spent += cpu() - before;
            head += n;
        }
        let (before, left, began) = (cpu(), port.unfolded(), Instant::now());
        let mut folds = Vec::new();
        while port.unfolded() > 0 {
            let began = Instant::now();
            port.fold().await?;
            folds.push(began.elapsed());
        }
        report(what, leases, spent, &mut times);
        if left > 0 {
            println!(
                "  {left} of them folded afterwards: {:.1} µs of CPU each, {:.0}/s, p99 of a chunk {:.2} ms",
                (cpu() - before).as_secs_f64() * 1e6 / left as f64,
                left as f64 / began.elapsed().as_secs_f64(),
                quantile(&mut folds, 0.99)
            );
        }
        let wal = std::fs::metadata(dir.join("lanlord.db-wal"))?.len() >> 20;
        let db = std::fs::metadata(dir.join("lanlord.db"))?.len() >> 20;
        println!("  database {db} MiB, write-ahead log {wal} MiB");
    }
    port.close().await?;
    Ok(())
}

/// The same octets, written and synced by nobody.
fn disk(dir: &Path, leases: u64, size: u64) -> Result<()> {
    let mut file = std::fs::File::create(dir.join("plain"))?;
    let text = entries::encode(&lease(1, 0, Cause::New))?.repeat(size as usize);
    let (before, mut times) = (cpu(), Vec::new());
    for _ in 0..leases / size {
        let began = Instant::now();
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    report("the disk alone", leases, cpu() - before, &mut times);
    Ok(())
}

fn main() -> Result<()> {
    let (leases, size) = (number("LEASES", 200_000), number("BATCH", 64));
    let dir = std::env::current_dir()?.join("target/bench/ledger");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context("clearing the scratch directory")?;
    }
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ledger(&dir, leases, size))?;
    disk(&dir, leases, size)
}

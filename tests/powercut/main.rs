//! RL-2a: the power fails. A child writes a journal under strace; its log of writes and syncs is cut at many
//! points, the files are rebuilt from what was synced and a random part of what was not, and opened again.
//! Nothing that the child had acknowledged may be missing. The same without syncs must lose something, or
//! this harness proves nothing.
//!
//! `POINTS=10000` for the full size; `SEED=n` for other random parts.

mod disk;
mod log;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lanlord::domain::change::Change;
use lanlord::domain::lease::{Cause, ClientKey, End, Lease};
use lanlord::domain::time::Wall;
use lanlord::store::sqlite::Checkpoints;
use lanlord::store::{self, Batch, Entry, Opened, Port as _, PortError, entries};
use sqlx::ConnectOptions as _;

use disk::Disk;
use log::Op;

const BATCHES: u64 = 80;

/// Small and fast, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n.max(1)
    }
}

/// The entry of that number: each address is leased once, so that no later entry stands for an earlier one.
fn entry(seq: u64) -> Entry {
    let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(seq).expect("small")));
    let change = if seq.is_multiple_of(7) {
        Change::LeaseEnded { network: "voice".into(), ip, end: End::Declined { until: Wall::NEVER } }
    } else {
        Change::LeaseGranted(Box::new(Lease {
            ip,
            delegated: None,
            network: "voice".into(),
            subnet: "10.0.0.0/8".parse().expect("a prefix"),
            client: ClientKey::Hw(1, seq.to_be_bytes()[2..].to_vec()),
            mac: None,
            client_id: None,
            hostname: Some(vec![b'x'; (seq % 97) as usize * 5]),
            fqdn: Some(format!("phone-{seq}.home.arpa")),
            vendor_class: None,
            user_class: None,
            requested: vec![1, 3, 6],
            relay_info: None,
            circuit_id: None,
            remote_id: None,
            relay: None,
            interface: "eth1".into(),
            began: Wall(0),
            expires: Wall(1),
            preferred: None,
            cause: Cause::New,
        }))
    };
    Entry { seq, at: Wall(0), change }
}

fn batch(first: u64, n: u64) -> Batch {
    let entries: Vec<Entry> = (first..first + n).map(entry).collect();
    let texts = entries.iter().map(|e| entries::encode(&e.change).expect("encodes").into_boxed_str()).collect();
    Batch { entries: Arc::from(entries), texts }
}

fn say(line: &str) {
    // one write(2) a line, in the order of the journal's own system calls
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("stdout");
    std::io::stdout().flush().expect("stdout");
}

/// What runs under strace: the real port. Alone it is a small test of its own.
#[tokio::test]
async fn the_writer_acknowledges_what_it_has_committed() {
    let own = tempfile::tempdir().expect("a directory");
    let dir = std::env::var_os("POWERCUT_DIR").map_or(own.path().to_owned(), Into::into);
    if std::env::var_os("POWERCUT_UNSAFE").is_some() {
        return write_without_syncs(&dir).await;
    }
    if std::env::var_os("POWERCUT_FAULT").is_some() {
        return write_through_faults(&dir).await;
    }
    let traced = std::env::var_os("POWERCUT_DIR").is_some();
    let Opened { mut port, .. } = store::open(&dir, "test").await.expect("opens");
    port.close().await.expect("closed");
    drop(port);
    let Opened { mut port, .. } = store::open(&dir, "test").await.expect("opens again");
    port.checkpoint_at(Checkpoints { idle: 48 << 10, load: 256 << 10 });
    let (mut random, mut head) = (Random(1), 0);
    for _ in 0..BATCHES {
        let batch = batch(head + 1, 1 + random.below(4));
        head += batch.entries.len() as u64;
        port.append(batch).await.expect("appended");
        if traced {
            say(&format!("ack {head}"));
        }
        if random.below(3) == 0 {
            for _ in 0..random.below(4) {
                port.fold().await.expect("folded");
            }
        }
    }
    port.close().await.expect("closed");
    drop(port);
    let Opened { recovered, .. } = store::open(&dir, "test").await.expect("opens after all");
    assert_eq!((recovered.head, missing(&recovered.entries, head)), (head, 0));
}

/// The control: the same rows, `synchronous=OFF`.
async fn write_without_syncs(dir: &Path) {
    let Opened { mut port, .. } = store::open(dir, "test").await.expect("opens");
    port.close().await.expect("closed");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(dir.join(store::open::DATABASE))
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Off);
    let mut connection = options.connect().await.expect("connected");
    let mut head = 0_u64;
    for _ in 0..BATCHES {
        let batch = batch(head + 1, 2);
        let row = entries::row(&batch.texts);
        sqlx::query("INSERT INTO journal (seq, n, at, node, format, crc, entries) VALUES (?, 2, 0, '', 1, ?, ?)")
            .bind(i64::try_from(head + 1).expect("small"))
            .bind(i64::from(crc(row.as_bytes())))
            .bind(row)
            .execute(&mut connection)
            .await
            .expect("appended");
        head += 2;
        say(&format!("ack {head}"));
    }
}

/// Goes on as the ledger does: a refused batch is tried again as the next one, a fatal error ends it.
async fn write_through_faults(dir: &Path) {
    let Opened { mut port, .. } = store::open(dir, "test").await.expect("opens");
    port.checkpoint_at(Checkpoints { idle: 48 << 10, load: 256 << 10 });
    let (mut head, mut refused, mut fatal) = (0, 0, false);
    for _ in 0..BATCHES * 2 {
        match port.append(batch(head + 1, 2)).await {
            Ok(()) => head += 2,
            Err(PortError::Refused(_)) => refused += 1,
            Err(PortError::Fatal(_)) => fatal = true,
        }
        if !fatal {
            fatal = matches!(port.fold().await, Err(PortError::Fatal(_)));
        }
        if fatal {
            break;
        }
    }
    say(&format!("end {head} {refused} {}", u8::from(fatal)));
}

/// CRC-32, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ c >> 1 } else { c >> 1 })
    })
}

/// How many of the first `head` entries are not there as they were written.
fn missing(found: &[Entry], head: u64) -> usize {
    let found: HashMap<u64, &Entry> = found.iter().map(|e| (e.seq, e)).collect();
    (1..=head).filter(|seq| found.get(seq).is_none_or(|e| **e != entry(*seq))).count()
}

/// Runs the writer under strace and returns what it did, from its first call on.
fn record(unsafe_writer: bool) -> Vec<Op> {
    let dir = tempfile::tempdir().expect("a directory");
    let (state, trace) = (dir.path().join("state"), dir.path().join("trace"));
    std::fs::create_dir(&state).expect("created");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none", "-e"]);
    command.arg("trace=openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename").arg("-o").arg(&trace);
    command.arg(std::env::current_exe().expect("our own path"));
    command.args(["--exact", "the_writer_acknowledges_what_it_has_committed", "--nocapture"]);
    command.env("POWERCUT_DIR", &state);
    if unsafe_writer {
        command.env("POWERCUT_UNSAFE", "1");
    }
    let output = command.output().expect("strace is installed (apt install strace)");
    assert!(output.status.success(), "the writer failed: {output:?}");
    log::parse(&std::fs::read(&trace).expect("the trace"), &state)
}

/// Where the files are put together again: in memory if possible, real syncs prove nothing there.
fn rebuilt() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// What became of one cut.
#[derive(Default, Debug)]
struct Tally {
    points: usize,
    lost: usize,
    refused_to_start: usize,
    /// The first cut that went wrong.
    first: Option<String>,
}

/// Cuts the power at `points` places: at each sync, with none, all or some of the unsynced writes on the
/// disk, and anywhere.
async fn cut(ops: &[Op], points: usize, seed: u64) -> Tally {
    let syncs: Vec<usize> = (0..ops.len()).filter(|i| matches!(ops[*i], Op::Sync { .. })).collect();
    let mut random = Random(seed);
    let anywhere = |random: &mut Random| random.below(ops.len() as u64 + 1) as usize;
    let a_sync = |random: &mut Random| syncs[random.below(syncs.len() as u64) as usize] + random.below(2) as usize;
    let mut at: Vec<usize> = (0..points)
        .map(|n| if syncs.is_empty() || n % 4 == 0 { anywhere(&mut random) } else { a_sync(&mut random) })
        .collect();
    at.sort_unstable();
    let (mut disk, mut done, mut acknowledged) = (Disk::default(), 0, 0);
    let mut tally = Tally::default();
    for at in at {
        for op in &ops[done..at] {
            disk.apply(op);
            acknowledged = if let Op::Ack(head) = op { *head } else { acknowledged };
        }
        done = at;
        let dir = rebuilt();
        disk.after_power_cut(dir.path(), &mut random);
        tally.points += 1;
        match store::open(dir.path(), "test").await {
            Ok(Opened { mut port, recovered, .. }) => {
                let lost = missing(&recovered.entries, acknowledged);
                if lost > 0 {
                    tally.first.get_or_insert(format!("cut before call {at}: {lost} of {acknowledged} lost"));
                }
                tally.lost += lost;
                port.close().await.expect("closed");
            }
            Err(e) => {
                tally.first.get_or_insert(format!("cut before call {at}, {acknowledged} acknowledged: {e}"));
                tally.refused_to_start += 1;
            }
        }
    }
    tally
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// RL-2a, DH-601: 0 acknowledged lost, 0 corrupt.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let ops = record(false);
    let syncs = ops.iter().filter(|op| matches!(op, Op::Sync { .. })).count();
    assert!(syncs as u64 > BATCHES, "one sync a batch at least, {syncs} seen");
    let database_writes =
        ops.iter().filter(|op| matches!(op, Op::Write { file, .. } if file == store::open::DATABASE)).count();
    assert!(database_writes > 20, "checkpoints are part of it, {database_writes} writes of the database seen");
    let tally = cut(&ops, number("POINTS", 500) as usize, number("SEED", 1)).await;
    assert_eq!((tally.lost, tally.refused_to_start), (0, 0), "{tally:?}");
}

/// The control of RL-2a: without syncs the same harness must see loss.
#[tokio::test]
async fn control_without_syncs_acknowledged_entries_are_lost() {
    let tally = cut(&record(true), 60, 1).await;
    assert!(tally.lost > 0, "synchronous=OFF lost nothing: the harness is blind: {tally:?}");
}

/// The same for our own port: one that skips a tenth of its syncs is found out.
#[tokio::test]
async fn control_a_port_that_skips_some_syncs_is_found_out() {
    let mut random = Random(2);
    let ops = record(false);
    let lazy: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Sync { .. }) || random.below(10) > 0).collect();
    let tally = cut(&lazy, 100, 1).await;
    assert!(tally.lost + tally.refused_to_start > 0, "the harness is blind: {tally:?}");
}

/// Runs the writer while the kernel fails its calls as told; returns what it acknowledged, how many batches
/// were refused, and whether it gave up. Whatever happened, the acknowledged entries are there afterwards.
async fn under(fault: &str) -> (u64, u64, bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none", "-e", "trace=fsync,fdatasync,pwrite64,pread64", "-e"]);
    command.arg(format!("inject={fault}")).args(["-o", "/dev/null"]).arg(std::env::current_exe().expect("our path"));
    command.args(["--exact", "the_writer_acknowledges_what_it_has_committed", "--nocapture"]);
    let output = command
        .env("POWERCUT_DIR", dir.path())
        .env("POWERCUT_FAULT", "1")
        .output()
        .expect("strace is installed (apt install strace)");
    let text = String::from_utf8_lossy(&output.stdout);
    // on one core the harness has begun the line with the test's name
    let end = text.lines().find_map(|line| line.split_once("end ")).unwrap_or_else(|| panic!("{output:?}"));
    let numbers: Vec<u64> = end.1.split(' ').map(|n| n.parse().expect("a number")).collect();
    let Opened { recovered, .. } = store::open(dir.path(), "test").await.expect("opens afterwards");
    assert_eq!(missing(&recovered.entries, numbers[0]), 0, "{fault}");
    (numbers[0], numbers[1], numbers[2] == 1)
}

/// RL-104: after a failed fsync nobody knows what is on the disk, and trying again pretends to know.
#[tokio::test]
async fn a_failed_sync_ends_the_writer() {
    for at in [40, 41, 42, 43, 60, 90] {
        let (acknowledged, _, fatal) = under(&format!("fsync,fdatasync:error=EIO:when={at}")).await;
        assert!(fatal, "the failed sync {at} was passed over, {acknowledged} acknowledged");
    }
}

/// RL-104, DH-605: a full disk refuses, and the next batch tries again.
#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    for at in ["300..310", "400..401", "500..540"] {
        let (acknowledged, refused, fatal) = under(&format!("pwrite64:error=ENOSPC:when={at}")).await;
        assert!(
            !fatal && refused > 0 && acknowledged > 40,
            "{at}: {acknowledged} acknowledged, {refused} refused, {fatal}"
        );
    }
}

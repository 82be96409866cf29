//! The law of the tables: what they hold, and the tail of the journal behind them, make the views that
//! were live; whatever happened in between.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::domain::change::{Change, TxAccepted, TxKey};
use crate::domain::lease::{Cause, ClientKey, End, Lease};
use crate::domain::net::Mac;
use crate::domain::time::Wall;
use crate::store::entries::arbitrary::{change, lease_change};
use crate::store::history::Asked;
use crate::store::history::{History, SqliteHistory};
use crate::store::ledger::Recovered;
use crate::store::open::{self, Opened};

/// Views as services have them: the last state of each key. The reference that both ways must lead to.
#[derive(Debug, Default, PartialEq)]
struct Views {
    /// Active lease, or how the last one ended.
    leases: BTreeMap<String, String>,
    quarantine: BTreeMap<String, String>,
    objects: BTreeMap<(&'static str, String), String>,
    open_tx: BTreeMap<(String, String), BTreeMap<u8, String>>,
}

impl Views {
    fn of(entries: &[Entry]) -> Views {
        let mut views = Views::default();
        entries.iter().for_each(|e| views.take(e));
        views
    }

    fn take(&mut self, entry: &Entry) {
        let text = format!("{entry:?}");
        let mut step = |key: &crate::domain::change::TxKey, n| {
            let key = (key.source.clone(), key.txid.to_ascii_lowercase());
            if n < 4 {
                self.open_tx.entry(key).or_default().insert(n, text.clone());
            } else {
                self.open_tx.remove(&key);
            }
        };
        match &entry.change {
            Change::LeaseGranted(l) => {
                self.leases.insert(format!("{}/{}", l.network, l.ip), text);
            }
            Change::LeaseEnded { network, ip, end } => {
                let address = format!("{network}/{ip}");
                if matches!(end, End::Declined { .. }) {
                    self.quarantine.insert(address.clone(), text.clone());
                }
                // the end of what is not held changes nothing
                if let Some(state) = self.leases.get_mut(&address).filter(|s| !s.contains("LeaseEnded")) {
                    *state = text;
                }
            }
            Change::Quarantined { network, ip, .. } => {
                self.quarantine.insert(format!("{network}/{ip}"), text);
            }
            Change::ReservationPut(r) => drop(self.objects.insert(("reservation", r.id.clone()), text)),
            Change::HostPut(h) => drop(self.objects.insert(("host", h.id.clone()), text)),
            Change::RecordPut(r) => drop(self.objects.insert(("record", r.id.clone()), text)),
            Change::DevicePut(d) => drop(self.objects.insert(("device", d.id.clone()), text)),
            Change::ConfigPut(c) => drop(self.objects.insert(("config", c.id.clone()), text)),
            Change::TokenPut(t) => drop(self.objects.insert(("token", t.id.clone()), text)),
            Change::ReservationRemoved { id } => drop(self.objects.remove(&("reservation", id.clone()))),
            Change::HostRemoved { id } => drop(self.objects.remove(&("host", id.clone()))),
            Change::RecordRemoved { id } => drop(self.objects.remove(&("record", id.clone()))),
            Change::DeviceRemoved { id } => drop(self.objects.remove(&("device", id.clone()))),
            Change::ConfigRemoved { id } => drop(self.objects.remove(&("config", id.clone()))),
            Change::TokenRemoved { id } => drop(self.objects.remove(&("token", id.clone()))),
            Change::TxAccepted(tx) => step(&tx.key, 1),
            Change::TxReopened { key, .. } => step(key, 2),
            Change::TxFinal(tx) => step(&tx.key, 3),
            Change::TxCancelled { key, .. } => step(key, 4),
            Change::TxEnded { key, .. } => step(key, 5),
            Change::Audit { .. } | Change::Seen { .. } | Change::PoolLow { .. } | Change::UnknownClient(_) => {}
        }
    }
}

fn batch_of(first: u64, changes: &[Change]) -> Batch {
    let entry = |(change, seq): (&Change, u64)| Entry { seq, at: Wall(1000 + first as i64), change: change.clone() };
    batch(changes.iter().zip(first..).map(entry).collect()).expect("encodes")
}

/// What a start finds on the files as a kill -9 at this moment would leave them.
async fn after_a_kill(dir: &Path) -> Recovered {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["lanlord.db", "lanlord.db-wal", "initialised"] {
        std::fs::copy(dir.join(name), copy.path().join(name)).expect("copied");
    }
    let Opened { mut port, recovered, .. } = open::open(copy.path(), "test").await.expect("opens");
    port.close().await.expect("closed");
    recovered
}

async fn law(batches: &[Vec<Change>], at_ease: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, recovered, .. } = open::open(dir.path(), "test").await.expect("opens");
    let ease = move |disk: &mut Disk| {
        disk.at_ease = at_ease;
        Ok(())
    };
    port.ask(ease).await.expect("set");
    assert_eq!((recovered.head, recovered.entries.len()), (0, 0));
    let mut live: Vec<Entry> = Vec::new();
    for (i, changes) in batches.iter().enumerate() {
        let batch = batch_of(live.len() as u64 + 1, changes);
        live.extend_from_slice(&batch.entries);
        port.append(batch).await.expect("appended");
        if i % 3 != 1 {
            port.ask(Disk::fold_some).await.expect("folded");
        }
        let recovered = after_a_kill(dir.path()).await;
        assert_eq!(recovered.head, live.len() as u64);
        assert_eq!(recovered.findings, Vec::<String>::new());
        assert!(recovered.entries.is_sorted_by(|a, b| a.seq < b.seq));
        assert_eq!(Views::of(&recovered.entries), Views::of(&live), "after batch {i}");
    }
    port.close().await.expect("closed");
}

const CASES: u32 = 24;

/// Law: tables(W) + replay(W..) == the views that were live, with a crash after every step.
#[test]
fn tables_and_tail_make_the_views_that_were_live() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut runner = TestRunner::new(Config { cases: CASES, max_shrink_iters: 200, ..Config::default() });
    let any = prop_oneof![vec(vec(change(), 1..12), 1..6), vec(vec(lease_change(), 1..20), 1..6)];
    runner
        .run(&(any, prop_oneof![Just(TAIL_AT_EASE), 0usize..9]), |(batches, at_ease)| {
            runtime.block_on(law(&batches, at_ease));
            Ok(())
        })
        .expect("the law holds");
}

fn lease(client: u8, last: u8, began: i64) -> Change {
    Change::LeaseGranted(Box::new(Lease {
        ip: [10, 77, 0, last].into(),
        delegated: None,
        network: "voice".into(),
        subnet: "10.77.0.0/24".parse().expect("a prefix"),
        client: ClientKey::Hw(1, vec![2, 0, 0, 0, 0, client]),
        mac: Some(Mac([2, 0, 0, 0, 0, client])),
        client_id: None,
        hostname: Some(b"phone".to_vec()),
        fqdn: Some(format!("phone-{client}.home.arpa")),
        vendor_class: None,
        user_class: None,
        requested: vec![1, 3, 6],
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay: None,
        interface: "eth1".into(),
        began: Wall(began),
        expires: Wall(began + 3_600_000),
        preferred: None,
        cause: if began == 0 { Cause::New } else { Cause::Renew },
    }))
}

fn ended(last: u8, end: End) -> Change {
    Change::LeaseEnded { network: "voice".into(), ip: [10, 77, 0, last].into(), end }
}

/// One value of the database, as the writing connection sees it.
async fn read<T: rusqlite::types::FromSql + Send + 'static>(port: &SqlitePort, sql: &'static str) -> T {
    port.ask(move |disk| disk.connection.query_row(sql, [], |row| row.get(0)).map_err(port_error)).await.expect("read")
}

async fn fold_all(port: &mut SqlitePort) {
    while port.fold().await.expect("folded") {}
}

async fn fresh(dir: &Path) -> Opened {
    open::open(dir, "test").await.expect("opens")
}

/// I3's alarm: two active leases of one address are told apart by the partial index, and neither is lost.
#[tokio::test]
async fn an_entry_that_the_index_refuses_goes_to_quarantine_and_is_replayed() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, .. } = fresh(dir.path()).await;
    port.append(batch_of(1, &[lease(1, 100, 0)])).await.expect("appended");
    fold_all(&mut port).await;
    port.append(batch_of(2, &[lease(2, 100, 0), lease(3, 101, 0)])).await.expect("appended");
    fold_all(&mut port).await;
    let refused: String = read(&port, "SELECT group_concat(seq) FROM quarantine").await;
    assert_eq!(refused, "2");
    let active: i64 = read(&port, "SELECT count(*) FROM lease WHERE active").await;
    assert_eq!(active, 2, "the first owner and the lease of the other address");
    let seqs: Vec<u64> = after_a_kill(dir.path()).await.entries.iter().map(|e| e.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn a_journal_row_goes_once_it_is_folded_and_what_must_outlive_it_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, history, .. } = fresh(dir.path()).await;
    let audit = Change::Audit { who: "a".into(), action: "b".into(), object: "c".into(), detail: "d".into() };
    let key = TxKey { source: "ui".into(), txid: "Tx-1".into() };
    let cancelled =
        Change::TxCancelled { key: key.clone(), reason: "r".into(), message: String::new(), outcomes: Vec::new() };
    let first = [lease(1, 100, 0), lease(1, 100, 5), audit, cancelled, ended(100, End::Released)];
    port.append(batch_of(1, &first)).await.expect("appended");
    let check = async |folded: bool| {
        let events: Vec<u64> = history.events(0, 10).await.expect("read").iter().map(|e| e.seq).collect();
        // from the tables extensions of leases and the audit are left out
        assert_eq!(events, if folded { vec![1, 4, 5] } else { vec![1, 2, 3, 4, 5] });
        let events: Vec<u64> = history.events(1, 1).await.expect("read").iter().map(|e| e.seq).collect();
        assert_eq!(events, if folded { [4] } else { [2] });
        let other = TxKey { source: "UI".into(), ..key.clone() };
        let same = TxKey { txid: "tX-1".into(), ..key.clone() };
        assert_eq!(history.transaction(&same).await.expect("read").len(), 1, "txids ignore case");
        assert!(history.transaction(&other).await.expect("read").is_empty(), "sources do not");
        assert_eq!(history.oldest_event().await.expect("read"), Some(1));
    };
    check(false).await;
    fold_all(&mut port).await;
    check(true).await;
    let left: i64 = read(&port, "SELECT count(*) FROM journal").await;
    assert_eq!((left, port.unfolded()), (0, 0));
    let line = history.audit(None, 10).await.expect("read").remove(0);
    assert_eq!((line.seq, line.who.as_str(), line.detail.as_str()), (3, "a", "d"));
    let held =
        history.assignments(&Asked { mac: Some(Mac([2, 0, 0, 0, 0, 1])), ..Asked::default() }, 10).await.expect("read");
    // the extension changed `began` here, so these are two assignments, both over
    assert!(held.iter().all(|a| a.reason.as_deref() == Some("released") && a.ip == "10.77.0.100"), "{held:?}");
    port.close().await.expect("closed");
}

#[tokio::test]
async fn one_assignment_is_one_row_of_the_history_however_often_it_is_extended() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, history, .. } = fresh(dir.path()).await;
    let steps =
        [lease(1, 100, 0), lease(1, 100, 0), ended(100, End::Expired), lease(2, 100, 9), ended(100, End::Revoked)];
    for (seq, change) in (1..).zip(steps) {
        port.append(batch_of(seq, &[change])).await.expect("appended");
        fold_all(&mut port).await;
    }
    let held =
        history.assignments(&Asked { ip: Some([10, 77, 0, 100].into()), ..Asked::default() }, 10).await.expect("read");
    let told: Vec<_> = held.iter().map(|a| (a.client.as_str(), a.began.0, a.reason.as_deref())).collect();
    assert_eq!(told, [("hw:1:020000000002", 9, Some("revoked")), ("hw:1:020000000001", 0, Some("expired"))]);
    port.close().await.expect("closed");
}

#[tokio::test]
async fn folding_is_forced_beyond_the_bound_of_the_tail() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, .. } = fresh(dir.path()).await;
    let many: Vec<Change> = (0..TAIL_ENTRIES + 1).map(|n| Change::HostRemoved { id: n.to_string() }).collect();
    port.append(batch_of(1, &many)).await.expect("appended");
    assert!(port.must_fold());
    port.fold().await.expect("folded");
    assert!(!port.must_fold(), "a chunk of the row is folded, the row stays until its last entry is");
    let recovered = after_a_kill(dir.path()).await;
    assert_eq!(recovered.entries.len(), TAIL_ENTRIES + 1 - FOLD_ENTRIES);
    port.close().await.expect("closed");
}

/// A long tail does not grow: what comes in takes as much along into the tables.
#[tokio::test]
async fn an_append_folds_as_much_as_it_brings_once_the_tail_is_long() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, .. } = fresh(dir.path()).await;
    let many = |from: usize, n: usize| -> Vec<Change> {
        (from..from + n).map(|n| Change::HostRemoved { id: n.to_string() }).collect()
    };
    port.append(batch_of(1, &many(0, TAIL_AT_EASE))).await.expect("appended");
    assert_eq!(port.unfolded(), TAIL_AT_EASE);
    let mut head = TAIL_AT_EASE;
    for n in [8, 8, 8, 1] {
        port.append(batch_of(head as u64 + 1, &many(head, n))).await.expect("appended");
        head += n;
        assert!(port.unfolded() <= TAIL_AT_EASE + 8, "{}", port.unfolded());
    }
    let folded: String = read(&port, "SELECT value FROM meta WHERE key = 'folded'").await;
    assert_eq!(folded.parse::<usize>().expect("a number"), head - port.unfolded());
    let recovered = after_a_kill(dir.path()).await;
    assert_eq!((recovered.head, recovered.entries.len()), (head as u64, port.unfolded()));
    port.close().await.expect("closed");
}

/// Under load that never lets up, from the start, the write-ahead log is copied and begun anew.
#[tokio::test]
async fn the_write_ahead_log_stays_short_although_nobody_ever_has_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, .. } = fresh(dir.path()).await;
    port.checkpoint_at(Checkpoints { idle: 16 << 10, load: 256 << 10 });
    for first in (0..200).map(|n| n * 50) {
        let changes: Vec<Change> =
            (first..first + 50).map(|n| Change::HostRemoved { id: format!("{n:0200}") }).collect();
        port.append(batch_of(first + 1, &changes)).await.expect("appended");
    }
    let length = dir.path().join("lanlord.db-wal").metadata().expect("there").len();
    assert!(length < 1 << 20, "{length} octets");
    port.close().await.expect("closed");
}

/// RL-104.
#[tokio::test]
async fn a_busy_database_is_a_refusal_and_a_broken_one_is_fatal() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, .. } = fresh(dir.path()).await;
    let _: i64 = read(&port, "PRAGMA busy_timeout = 50").await;
    let other = rusqlite::Connection::open(dir.path().join("lanlord.db")).expect("connected");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let refused = port.append(batch_of(1, &[lease(1, 100, 0)])).await;
    assert!(matches!(refused, Err(PortError::Refused(_))), "{refused:?}");
    other.execute_batch("ROLLBACK").expect("unlocked");
    port.append(batch_of(1, &[lease(1, 100, 0)])).await.expect("the next batch tries again");
    assert_eq!(port.unfolded(), 1);
    for (code, is_fatal) in [("DROP TABLE lease", true), ("DROP TABLE journal", true)] {
        other.execute_batch(code).expect("dropped");
        let folded = port.fold().await;
        assert_eq!(matches!(folded, Err(PortError::Fatal(_))), is_fatal, "{code}: {folded:?}");
    }
}

/// The check value of CRC-32 in every catalogue.
#[test]
fn crc_is_the_one_of_zlib() {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
}

#[tokio::test]
async fn events_older_than_their_retention_go_and_open_transactions_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, history, .. } = fresh(dir.path()).await;
    let open = Change::TxReopened {
        key: TxKey { source: "ui".into(), txid: "open".into() },
        members: Vec::new(),
        deadline: Wall::NEVER,
    };
    let mut old: Vec<Change> = (0..2500).map(|n| Change::HostRemoved { id: n.to_string() }).collect();
    old.push(open);
    let count = old.len() as u64;
    port.append(batch_of(1, &old)).await.expect("appended");
    let newest = batch_of(count + 1, &[ended(1, End::Released)]);
    let late: Vec<Entry> = newest.entries.iter().map(|e| Entry { at: Wall(61 * 86_400_000), ..e.clone() }).collect();
    port.append(batch(late).expect("encodes")).await.expect("appended");
    fold_all(&mut port).await;
    let left: Vec<u64> = history.events(0, 10).await.expect("read").iter().map(|e| e.seq).collect();
    assert_eq!(left, [count + 1]);
    let recovered = after_a_kill(dir.path()).await;
    assert_eq!(recovered.entries.iter().filter(|e| matches!(e.change, Change::TxReopened { .. })).count(), 1);
    port.close().await.expect("closed");
}

fn accepted(txid: &str) -> Change {
    Change::TxAccepted(Box::new(TxAccepted {
        key: TxKey { source: "ui".into(), txid: txid.into() },
        digest: format!("digest of {txid}"),
        body: String::new(),
        source_name: "ui".into(),
        identity: String::new(),
        correlation_id: None,
        deadline: Wall::NEVER,
        members: Vec::new(),
    }))
}

fn over(txid: &str) -> Change {
    let key = TxKey { source: "ui".into(), txid: txid.into() };
    Change::TxCancelled { key, reason: "r".into(), message: String::new(), outcomes: Vec::new() }
}

/// CL-502: the bus asks for what it has forgotten, wherever it stands by then.
#[tokio::test]
async fn a_transaction_is_found_before_while_and_after_it_is_folded_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let Opened { mut port, history, .. } = fresh(dir.path()).await;
    // the first fold ends between the two steps of B
    let filler = |n: usize| Change::HostRemoved { id: n.to_string() };
    let mut changes = vec![accepted("A"), over("a")];
    changes.extend((0..FOLD_ENTRIES - 3).map(filler));
    changes.extend([accepted("B"), over("B")]);
    let last = changes.len() as u64;
    port.append(batch_of(1, &changes)).await.expect("appended");
    let seqs = async |history: &SqliteHistory, txid: &str| -> Vec<u64> {
        let key = TxKey { source: "ui".into(), txid: txid.into() };
        history.transaction(&key).await.expect("read").iter().map(|e| e.seq).collect()
    };
    let check = async |history: &SqliteHistory, when: &str| {
        assert_eq!(seqs(history, "A").await, [1, 2], "{when}");
        assert_eq!(seqs(history, "b").await, [last - 1, last], "{when}");
        assert!(seqs(history, "c").await.is_empty(), "{when}");
    };
    check(&history, "before it is folded").await;
    port.ask(Disk::fold_some).await.expect("folded");
    assert_eq!(port.unfolded(), 1);
    check(&history, "while it is folded").await;
    history.close().await;
    drop(port);
    let Opened { mut port, history, .. } = fresh(dir.path()).await;
    assert_eq!(port.unfolded(), 1);
    check(&history, "after a restart in the middle of folding").await;
    fold_all(&mut port).await;
    check(&history, "after it is folded").await;
    port.append(batch_of(last + 1, &[accepted("c")])).await.expect("appended");
    assert_eq!(seqs(&history, "C").await, [last + 1]);
    port.close().await.expect("closed");
}

//! What a start does with every state that a directory can be in.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::domain::change::Change;
use crate::domain::time::Wall;
use crate::store::ledger::{Entry, Port};
use crate::store::sqlite::batch;

async fn with_entries(dir: &Path, count: u64) {
    let mut opened = open(dir, "test").await.expect("opens");
    for seq in opened.recovered.head + 1..=opened.recovered.head + count {
        let entry = Entry { seq, at: Wall(seq as i64), change: Change::HostRemoved { id: seq.to_string() } };
        opened.port.append(batch(vec![entry]).expect("encodes")).await.expect("appended");
    }
    opened.port.close().await.expect("closed");
}

async fn error(dir: &Path) -> OpenError {
    match open(dir, "test").await {
        Ok(_) => panic!("opened"),
        Err(e) => e,
    }
}

#[tokio::test]
async fn a_new_directory_gets_a_database_that_only_we_can_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    with_entries(&state, 3).await;
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o750);
    for name in [DATABASE, MARKER, LOCK] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    let mut opened = open(&state, "test").await.expect("opens");
    assert_eq!((opened.recovered.head, opened.recovered.entries.len()), (3, 3));
    assert_eq!(opened.recovered.epoch.len(), 32);
    assert_eq!(mode(&state.join("lanlord.db-wal")), 0o600);
    opened.port.close().await.expect("closed");
}

/// RL-107: never start empty over what was there.
#[tokio::test]
async fn a_missing_or_truncated_database_is_not_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().expect("a directory");
    with_entries(dir.path(), 3).await;
    let path = dir.path().join(DATABASE);
    let good = std::fs::read(&path).expect("read");
    let damages: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("short", good[..1000].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("NUL", vec![0; good.len()]),
        ("text", b"not a database at all, and long enough to be looked at by someone".repeat(200)),
    ];
    for (what, bytes) in damages {
        std::fs::write(&path, &bytes).expect("written");
        let error = error(dir.path()).await;
        assert!(matches!(error, OpenError::Damaged(_)), "{what}: {error:?}");
        assert!(error.to_string().contains("backup"), "{error}");
        assert_eq!(std::fs::read(&path).expect("read"), bytes, "{what}: left as it is");
    }
    std::fs::remove_file(&path).expect("removed");
    assert!(matches!(error(dir.path()).await, OpenError::Damaged(_)));
    std::fs::write(&path, good).expect("written");
    with_entries(dir.path(), 1).await;
}

/// RL-113: nothing is skipped.
#[tokio::test]
async fn a_journal_row_with_a_wrong_checksum_or_a_gap_is_a_damaged_database() {
    for (damage, says) in [
        ("UPDATE journal SET entries = replace(entries, '\"2\"', '\"7\"') WHERE seq = 2", "checksum"),
        ("UPDATE journal SET format = 9 WHERE seq = 2", "newer"),
        ("UPDATE journal SET n = 2 WHERE seq = 3", "instead of 2"),
        ("DELETE FROM journal WHERE seq = 2", "does not follow"),
        ("UPDATE meta SET value = 'x' WHERE key = 'folded'", "no number"),
        ("DELETE FROM meta WHERE key = 'epoch'", "missing"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        with_entries(dir.path(), 3).await;
        let c = connect(&dir.path().join(DATABASE)).expect("connected");
        c.execute_batch(damage).expect("damaged");
        c.close().expect("closed");
        let error = error(dir.path()).await.to_string();
        assert!(error.contains(says), "{damage}: {error}");
    }
}

/// RL-113: a bad row of a table is set aside by name, the rest is served.
#[tokio::test]
async fn a_damaged_row_of_a_table_is_a_finding() {
    let dir = tempfile::tempdir().expect("a directory");
    with_entries(dir.path(), 3).await;
    let c = connect(&dir.path().join(DATABASE)).expect("connected");
    let row = "INSERT INTO host VALUES ('a', 0, 0, 1, '{\"host_put\":{}}')";
    c.execute_batch(row).expect("damaged");
    c.close().expect("closed");
    let mut opened = open(dir.path(), "test").await.expect("opens");
    assert_eq!(opened.recovered.head, 3);
    assert!(opened.recovered.findings[0].contains("table host"), "{:?}", opened.recovered.findings);
    opened.port.close().await.expect("closed");
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_words() {
    let dir = tempfile::tempdir().expect("a directory");
    with_entries(dir.path(), 1).await;
    let c = connect(&dir.path().join(DATABASE)).expect("connected");
    let newer = "INSERT INTO _sqlx_migrations VALUES (99, 'later', CURRENT_TIMESTAMP, 1, x'00', 0)";
    c.execute_batch(newer).expect("migrated");
    c.close().expect("closed");
    let error = error(dir.path()).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }), "{error:?}");
}

#[tokio::test]
async fn a_second_daemon_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path(), "test").await.expect("opens");
    assert!(matches!(error(dir.path()).await, OpenError::InUse(_)));
    drop(first);
    open(dir.path(), "test").await.expect("opens");
}

/// Whoever starts a process at that moment has handed it all open files on, until its exec.
#[test]
fn a_lock_is_given_back_though_another_process_has_inherited_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = lock(dir.path()).expect("locked");
    let inherited = first.0.try_clone().expect("a copy");
    assert!(matches!(lock(dir.path()), Err(OpenError::InUse(_))));
    drop(first);
    assert!(lock(dir.path()).is_ok());
    drop(inherited);
}

/// RL-102.
#[tokio::test]
async fn a_setting_that_does_not_hold_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let c = connect(&dir.path().join(DATABASE)).expect("connected");
    check_settings(&c).expect("as set");
    for (pragma, setting) in [
        ("PRAGMA synchronous = NORMAL", "synchronous"),
        ("PRAGMA foreign_keys = OFF", "foreign_keys"),
        ("PRAGMA trusted_schema = ON", "trusted_schema"),
        ("PRAGMA cell_size_check = OFF", "cell_size_check"),
        ("PRAGMA mmap_size = 4096", "mmap_size"),
        ("PRAGMA busy_timeout = 1", "busy_timeout"),
        ("PRAGMA wal_autocheckpoint = 1000", "wal_autocheckpoint"),
        ("PRAGMA journal_mode = DELETE", "journal_mode"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let c = connect(&dir.path().join(DATABASE)).expect("connected");
        c.execute_batch(pragma).expect("set");
        let checked = check_settings(&c);
        assert!(matches!(checked, Err(OpenError::Setting { setting: s, .. }) if s == setting), "{pragma}: {checked:?}");
    }
}

/// RL-106: magic numbers of statfs(2).
#[test]
fn network_filesystems_are_told_by_their_numbers() {
    assert_eq!(network_filesystem(0x6969), Some("NFS"));
    assert_eq!(network_filesystem(0xff53_4d42), Some("CIFS"));
    assert_eq!(network_filesystem(0x0102_1997), Some("9p"));
    for local in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e_u32] {
        assert_eq!(network_filesystem(local), None); // ext4, tmpfs, xfs, btrfs
    }
    assert!(parse_version("3.51.2") < OLDEST_SQLITE && parse_version("3.51.3") >= OLDEST_SQLITE);
    assert!(parse_version("3.100.0") > OLDEST_SQLITE && parse_version("nonsense") < OLDEST_SQLITE);
}

//! The ledger's port over SQLite. Owns the one writing connection; it alone checkpoints. Refuses to go
//! on after an error that leaves the state of the disk in doubt (RL-104).

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use super::entries::{self, FORMAT};
use super::fold::{self, Folding};
use super::ledger::{Batch, Entry, Port, PortError};
use super::unfolded::Unfolded;

/// The longest tail of entries that are in the journal but not in the tables.
pub const TAIL_ENTRIES: usize = 50_000;
/// The same in bytes of the journal.
pub const TAIL_BYTES: usize = 32 << 20;
/// Entries that one transaction folds: the next batch waits no longer than this takes.
pub const FOLD_ENTRIES: usize = 256;
const PAGE: usize = 4096;
/// Days that assignments are kept after their end, unless somebody says otherwise.
const HISTORY_DAYS: i64 = 365;

/// Sizes in bytes of the write-ahead log at which it is copied into the database.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints {
    /// While nobody waits.
    pub idle: usize,
    /// While entries are still to be folded.
    pub load: usize,
}

impl Default for Checkpoints {
    fn default() -> Checkpoints {
        Checkpoints { idle: 4 << 20, load: 64 << 20 }
    }
}

/// An open database. Made by [`super::open()`].
pub struct SqlitePort {
    connection: SqliteConnection,
    node: String,
    tail: Tail,
    /// Bytes written to the write-ahead log since the last checkpoint, roughly.
    wal: usize,
    checkpoints: Checkpoints,
    folded_since_pruning: usize,
    /// Days that assignments of addresses are kept after their end.
    history_days: i64,
    /// Held while the database is open: no second daemon may write to it.
    _lock: Option<File>,
}

/// What is in the journal and not yet in the tables.
#[derive(Default)]
pub(super) struct Tail {
    rows: VecDeque<Row>,
    entries: usize,
    bytes: usize,
    transactions: Unfolded,
}

/// One row of the journal; `done` of its entries are folded.
struct Row {
    batch: Batch,
    done: usize,
}

impl Tail {
    pub(super) fn push(&mut self, batch: Batch, done: usize) {
        self.entries += batch.entries.len() - done;
        self.bytes += batch.texts[done..].iter().map(|t| t.len()).sum::<usize>();
        self.transactions.add(&batch.entries, done);
        self.rows.push_back(Row { batch, done });
    }

    /// Its transactions by key, for history.
    pub(super) fn transactions(&self) -> Unfolded {
        self.transactions.clone()
    }

    /// The oldest entries, at most `limit`, with their texts.
    fn oldest(&self, limit: usize) -> impl Iterator<Item = (&Entry, &str)> {
        self.rows
            .iter()
            .flat_map(|row| row.batch.entries.iter().zip(&row.batch.texts).skip(row.done))
            .map(|(entry, text)| (entry, text.as_ref()))
            .take(limit)
    }

    /// Forgets the oldest entries, which are in the tables now.
    fn drop_oldest(&mut self, mut count: usize) {
        while count > 0
            && let Some(row) = self.rows.front_mut()
        {
            let now = count.min(row.batch.entries.len() - row.done);
            self.bytes -= row.batch.texts[row.done..row.done + now].iter().map(|t| t.len()).sum::<usize>();
            row.batch.entries[row.done..row.done + now].iter().for_each(|entry| self.transactions.remove(entry));
            self.entries -= now;
            row.done += now;
            count -= now;
            if row.done == row.batch.entries.len() {
                self.rows.pop_front();
            }
        }
    }
}

impl SqlitePort {
    pub(super) fn new(connection: SqliteConnection, node: String, tail: Tail, lock: Option<File>) -> SqlitePort {
        let checkpoints = Checkpoints::default();
        // what an earlier process left in the log is not known: it is copied when there is time
        let wal = checkpoints.idle;
        let history_days = HISTORY_DAYS;
        SqlitePort { connection, node, tail, wal, checkpoints, folded_since_pruning: 0, history_days, _lock: lock }
    }

    /// Changes when the write-ahead log is copied: for media that are unlike the usual ones, and for tests.
    pub fn checkpoint_at(&mut self, checkpoints: Checkpoints) {
        self.checkpoints = checkpoints;
    }

    /// How long it is remembered who held an address, after the end. A year unless this says otherwise.
    pub fn keep_history(&mut self, time: Duration) {
        self.history_days = i64::try_from(time.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX);
    }

    /// Entries that are in the journal and not yet in the tables.
    pub fn unfolded(&self) -> usize {
        self.tail.entries
    }

    /// Copies the write-ahead log into the database if it has grown beyond `limit`. Readers in its way make
    /// this incomplete, not wrong: the rest is copied next time.
    async fn checkpoint(&mut self, limit: usize) -> Result<bool, PortError> {
        if self.wal < limit {
            return Ok(false);
        }
        self.wal = 0;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut self.connection).await.map_err(port_error)?;
        Ok(true)
    }

    async fn fold_some(&mut self) -> Result<(), PortError> {
        let mut folding = Folding::default();
        let mut count = 0;
        for (entry, text) in self.tail.oldest(FOLD_ENTRIES) {
            folding.add(entry, text);
            count += 1;
        }
        fold::write(&mut self.connection, &folding).await.map_err(port_error)?;
        let written: usize = self.tail.oldest(count).map(|(_, text)| 3 * text.len() + 400).sum();
        self.wal += written;
        self.folded_since_pruning += count;
        self.tail.drop_oldest(count);
        Ok(())
    }
}

impl Port for SqlitePort {
    async fn append(&mut self, batch: Batch) -> Result<(), PortError> {
        let row = entries::row(&batch.texts);
        let (first, n) = (&batch.entries[0], batch.entries.len());
        let (pages, crc) = (row.len() / PAGE + 3, crc(row.as_bytes()));
        // One statement outside a transaction takes the write lock from the start, as BEGIN IMMEDIATE does,
        // and commits when it ends: one trip to the connection's thread instead of three.
        sqlx::query("INSERT INTO journal (seq, n, at, node, format, crc, entries) VALUES (?, ?, ?, ?, ?, ?, ?)")
            .bind(signed(first.seq))
            .bind(signed(n as u64))
            .bind(first.at.0)
            .bind(&self.node)
            .bind(i64::from(FORMAT))
            .bind(i64::from(crc))
            .bind(row)
            .execute(&mut self.connection)
            .await
            .map_err(port_error)?;
        self.wal += pages * PAGE;
        self.tail.push(batch, 0);
        Ok(())
    }

    async fn fold(&mut self) -> Result<bool, PortError> {
        if self.tail.entries > 0 {
            self.fold_some().await?;
            self.checkpoint(self.checkpoints.load).await?;
            return Ok(true);
        }
        if self.folded_since_pruning >= 1000 {
            if fold::prune(&mut self.connection, self.history_days).await.map_err(port_error)? {
                return Ok(true);
            }
            self.folded_since_pruning = 0;
        }
        self.checkpoint(self.checkpoints.idle).await
    }

    fn must_fold(&self) -> bool {
        self.tail.entries > TAIL_ENTRIES || self.tail.bytes > TAIL_BYTES
    }

    async fn close(&mut self) -> Result<(), PortError> {
        self.checkpoint(0).await?;
        let memory = SqliteConnection::connect("sqlite::memory:").await.map_err(port_error)?;
        std::mem::replace(&mut self.connection, memory).close().await.map_err(port_error)
    }
}

/// Sorts an error by RL-104: a refusal of this batch, or the end of trust in the disk.
pub(super) fn port_error(error: sqlx::Error) -> PortError {
    let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok());
    match code {
        Some(code) if matches!(code & 0xff, 5 | 6) => {
            crate::metrics::count("lanlord_db_busy_total", &[]);
            PortError::Refused(error.to_string())
        }
        // NOMEM, READONLY, INTERRUPT, FULL and their extensions; IOERR_WRITE
        Some(code) if matches!(code & 0xff, 7 | 8 | 9 | 13) || code == 778 => PortError::Refused(error.to_string()),
        // IOERR_FSYNC, IOERR_DIR_FSYNC, CORRUPT, NOTADB; and whatever was not foreseen
        _ => PortError::Fatal(error.to_string()),
    }
}

/// SQLite's integers are signed; sequence numbers never come near the difference.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// See [`signed`].
pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// CRC-32 as in IEEE 802.3 and zlib.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc: u32, byte| {
        let index = usize::from(u8::try_from((crc ^ u32::from(*byte)) & 0xff).unwrap_or(0));
        TABLE[index] ^ crc >> 8
    })
}

const fn table() -> [u32; 256] {
    let mut out = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ value >> 1 } else { value >> 1 };
            bit += 1;
        }
        out[i] = value;
        i += 1;
    }
    out
}

/// Rebuilds a batch from what a journal row held.
pub(super) fn batch(entries: Vec<Entry>) -> Result<Batch, entries::EntryError> {
    let texts = entries
        .iter()
        .map(|entry| entries::encode(&entry.change).map(String::into_boxed_str))
        .collect::<Result<_, _>>()?;
    Ok(Batch { entries: Arc::from(entries), texts })
}

#[cfg(test)]
mod tests;

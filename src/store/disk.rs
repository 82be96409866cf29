//! The one writing connection, on its thread, and the tail of the journal that its tables do not hold yet.
//! It alone checkpoints.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};

use super::entries::{self, FORMAT};
use super::fold;
use super::ledger::{Batch, Entry, PortError};
use super::open::Lock;
use super::sqlite::{Checkpoints, FOLD_ENTRIES, HISTORY_DAYS, Length, TAIL_AT_EASE, crc, port_error, signed};
use super::unfolded::Unfolded;

const PAGE: usize = 4096;

thread_local! {
    /// Pages in the write-ahead log after the last commit of this thread's connection.
    static PAGES: Cell<usize> = const { Cell::new(0) };
}

/// What the thread of the database owns.
pub(super) struct Disk {
    pub connection: Connection,
    node: String,
    tail: Tail,
    /// Pages of the write-ahead log that the last checkpoint found; `None` before the first: what an earlier
    /// process left there is not known.
    copied: Option<usize>,
    pub checkpoints: Checkpoints,
    /// The length of the tail from which it is kept from growing.
    pub at_ease: usize,
    folded_since_pruning: usize,
    /// Days that assignments of addresses are kept after their end.
    pub history_days: i64,
    /// Held while the database is open: no second daemon may write to it.
    _lock: Option<Lock>,
}

/// What is in the journal and not yet in the tables.
#[derive(Default)]
pub(super) struct Tail {
    rows: VecDeque<Row>,
    length: Arc<Length>,
    transactions: Unfolded,
    /// How many entries, for the metrics.
    gauge: Option<Arc<AtomicU64>>,
}

/// One row of the journal; `done` of its entries are folded.
struct Row {
    batch: Batch,
    done: usize,
}

impl Row {
    fn bytes(&self, from: usize, to: usize) -> usize {
        self.batch.texts[from..to].iter().map(|text| text.len()).sum()
    }
}

impl Tail {
    pub(super) fn push(&mut self, batch: Batch, done: usize) {
        self.transactions.add(&batch.entries, done);
        let row = Row { batch, done };
        let all = row.batch.entries.len();
        self.length.entries.fetch_add(all - done, Ordering::AcqRel);
        self.length.bytes.fetch_add(row.bytes(done, all), Ordering::AcqRel);
        self.rows.push_back(row);
        self.show();
    }

    /// Its transactions by key, for history.
    pub(super) fn transactions(&self) -> Unfolded {
        self.transactions.clone()
    }

    fn show(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.store(self.entries() as u64, Ordering::Relaxed);
        }
    }

    fn entries(&self) -> usize {
        self.length.entries.load(Ordering::Acquire)
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
            self.length.bytes.fetch_sub(row.bytes(row.done, row.done + now), Ordering::AcqRel);
            row.batch.entries[row.done..row.done + now].iter().for_each(|entry| self.transactions.remove(entry));
            self.length.entries.fetch_sub(now, Ordering::AcqRel);
            row.done += now;
            count -= now;
            if row.done == row.batch.entries.len() {
                self.rows.pop_front();
            }
        }
        self.show();
    }
}

impl Disk {
    pub fn new(connection: Connection, node: String, mut tail: Tail, lock: Option<Lock>) -> Disk {
        tail.gauge = Some(crate::metrics::counter("lanlord_ledger_unfolded", &[]));
        tail.show();
        connection.wal_hook(Some(|_, pages| {
            PAGES.set(usize::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        let checkpoints = Checkpoints::default();
        Disk {
            connection,
            node,
            tail,
            copied: None,
            checkpoints,
            at_ease: TAIL_AT_EASE,
            folded_since_pruning: 0,
            history_days: HISTORY_DAYS,
            _lock: lock,
        }
    }

    pub fn length(&self) -> Arc<Length> {
        self.tail.length.clone()
    }

    /// One row, durable when this returns. With a tail that is long already, as many entries of it are folded
    /// in the same transaction: they cost no sync of their own, and the batch waits a little for them.
    pub fn append(&mut self, batch: Batch) -> Result<(), PortError> {
        let row = entries::row(&batch.texts);
        let crc = crc(row.as_bytes());
        let n = batch.entries.len();
        let along = if self.tail.entries() > self.at_ease { (n + n.div_ceil(4)).min(4 * FOLD_ENTRIES) } else { 0 };
        if along == 0 || !self.together(along, |disk| disk.insert(&batch, &row, crc))? {
            self.insert(&batch, &row, crc).map_err(port_error)?;
        }
        self.tail.push(batch, 0);
        // The batch is durable in the write-ahead log: a disk that has no room to copy the log now must not
        // make it look lost. The copy is tried again with the next batch.
        match self.checkpoint(self.checkpoints.load) {
            Err(PortError::Refused(why)) => {
                tracing::warn!(%why, "the write-ahead log could not be copied; trying again later");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// A statement outside a transaction takes the write lock from the start, as BEGIN IMMEDIATE does, and
    /// commits when it ends.
    fn insert(&self, batch: &Batch, row: &str, crc: u32) -> rusqlite::Result<()> {
        let (first, n) = (&batch.entries[0], batch.entries.len());
        let sql = "INSERT INTO journal (seq, n, at, node, format, crc, entries) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let values = params![signed(first.seq), signed(n as u64), first.at.0, self.node, FORMAT, crc, row];
        self.connection.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Folds the oldest entries and does something else in the same transaction. False if the disk refused:
    /// then nothing has happened.
    fn together(&mut self, count: usize, also: impl FnOnce(&Disk) -> rusqlite::Result<()>) -> Result<bool, PortError> {
        let c = &self.connection;
        let run = |sql: &str| c.prepare_cached(sql)?.execute([]).map(drop);
        let all = || {
            run("BEGIN IMMEDIATE")?;
            fold::fold(c, self.tail.oldest(count))?;
            also(self)?;
            run("COMMIT")
        };
        if let Err(error) = all() {
            // a failed statement may have rolled back on its own; then there is nothing to undo
            if !c.is_autocommit()
                && let Err(error) = run("ROLLBACK")
            {
                tracing::debug!(%error, "rollback after a failed fold");
            }
            return match port_error(error) {
                PortError::Refused(why) => {
                    tracing::warn!(%why, "the tables could not be folded; trying again later");
                    Ok(false)
                }
                fatal @ PortError::Fatal(_) => Err(fatal),
            };
        }
        let count = count.min(self.tail.entries());
        self.folded_since_pruning += count;
        self.tail.drop_oldest(count);
        Ok(true)
    }

    /// A bounded piece of what there is to do while nobody waits; true if more is left.
    pub fn fold(&mut self) -> Result<bool, PortError> {
        if self.tail.entries() > 0 {
            let folded = self.fold_some()?;
            self.checkpoint(self.checkpoints.load)?;
            return Ok(folded);
        }
        if self.folded_since_pruning >= 1000 {
            if fold::prune(&self.connection, self.history_days).map_err(port_error)? {
                return Ok(true);
            }
            self.folded_since_pruning = 0;
        }
        self.checkpoint(self.checkpoints.idle)
    }

    /// One chunk of the tail; false if the disk refused.
    pub fn fold_some(&mut self) -> Result<bool, PortError> {
        self.together(FOLD_ENTRIES, |_| Ok(()))
    }

    /// Copies the write-ahead log into the database if it has grown by `limit` octets. Readers in its way make
    /// this incomplete, not wrong: the rest is copied next time.
    fn checkpoint(&mut self, limit: usize) -> Result<bool, PortError> {
        let pages = PAGES.get();
        let grown = match self.copied {
            // it is begun anew once all of it is copied and nobody reads it
            Some(copied) => pages.checked_sub(copied).unwrap_or(pages) * PAGE,
            None => (pages * PAGE).max(self.checkpoints.idle),
        };
        if grown < limit {
            return Ok(false);
        }
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(port_error)?;
        self.copied = Some(pages);
        Ok(true)
    }

    /// Copies what is left and closes the connection. Nothing may be asked of it afterwards.
    pub fn close(&mut self) -> Result<(), PortError> {
        self.checkpoint(0)?;
        let memory = Connection::open_in_memory().map_err(port_error)?;
        std::mem::replace(&mut self.connection, memory).close().map_err(|(_, error)| port_error(error))
    }
}

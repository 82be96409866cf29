//! The ledger's port over SQLite. Its connection lives on a thread of its own, since every commit waits for
//! the disk; the port sends it one piece of work at a time. Refuses to go on after an error that leaves the
//! state of the disk in doubt (RL-104).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::disk::Disk;
use super::entries;
use super::ledger::{Batch, Entry, Port, PortError};

/// The longest tail of entries that are in the journal but not in the tables.
pub const TAIL_ENTRIES: usize = 50_000;
/// The same in bytes of the journal.
pub const TAIL_BYTES: usize = 32 << 20;
/// A tail of so many entries is kept from growing: what is appended folds as much in the same transaction,
/// and a little more. Below it a burst has the disk to itself.
pub const TAIL_AT_EASE: usize = 8_192;
/// Entries that one transaction folds: the next batch waits no longer than this takes.
pub const FOLD_ENTRIES: usize = 256;
/// Days that assignments are kept after their end, unless somebody says otherwise.
pub(super) const HISTORY_DAYS: i64 = 365;

/// Sizes in bytes of the write-ahead log at which it is copied into the database.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints {
    /// While nobody waits.
    pub idle: usize,
    /// While there is something to do.
    pub load: usize,
}

impl Default for Checkpoints {
    fn default() -> Checkpoints {
        Checkpoints { idle: 1 << 20, load: 4 << 20 }
    }
}

/// How long the tail is, for those who must not wait for the disk.
#[derive(Debug, Default)]
pub(super) struct Length {
    pub entries: AtomicUsize,
    pub bytes: AtomicUsize,
}

type Job = Box<dyn FnOnce(&mut Disk) + Send>;

/// An open database. Made by [`super::open()`].
pub struct SqlitePort {
    /// To the thread; `None` only while it is ended.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    tail: Arc<Length>,
}

impl SqlitePort {
    pub(super) fn new(mut disk: Disk) -> Result<SqlitePort, std::io::Error> {
        let tail = disk.length();
        // one piece of work is waited for at a time; settings go before it
        let (jobs, queue) = sync_channel::<Job>(8);
        let thread = thread::Builder::new().name("lanlord-disk".to_owned());
        let thread = thread.spawn(move || queue.iter().for_each(|job| job(&mut disk)))?;
        Ok(SqlitePort { jobs: Some(jobs), thread: Some(thread), tail })
    }

    /// Changes when the write-ahead log is copied: for media that are unlike the usual ones, and for tests.
    pub fn checkpoint_at(&mut self, checkpoints: Checkpoints) {
        self.send(Box::new(move |disk| disk.checkpoints = checkpoints));
    }

    /// How long it is remembered who held an address, after the end. A year unless this says otherwise.
    pub fn keep_history(&mut self, time: Duration) {
        let days = i64::try_from(time.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX);
        self.send(Box::new(move |disk| disk.history_days = days));
    }

    /// Entries that are in the journal and not yet in the tables.
    pub fn unfolded(&self) -> usize {
        self.tail.entries.load(Ordering::Acquire)
    }

    /// False if the thread is gone: it panicked.
    fn send(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// Has the thread do something, and waits for what came of it.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Disk) -> Result<R, PortError> + Send + 'static,
    ) -> Result<R, PortError> {
        let (answer, heard) = oneshot::channel();
        // who asked may be gone: then nobody is told
        let sent = self.send(Box::new(move |disk| drop(answer.send(work(disk)))));
        let gone = || PortError::Fatal("the thread of the database has ended".to_owned());
        if !sent {
            return Err(gone());
        }
        heard.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for SqlitePort {
    /// The database is closed, and its lock given back, when this returns.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of the database has panicked");
        }
    }
}

impl Port for SqlitePort {
    async fn append(&mut self, batch: Batch) -> Result<(), PortError> {
        self.ask(|disk| disk.append(batch)).await
    }

    async fn fold(&mut self) -> Result<bool, PortError> {
        self.ask(Disk::fold).await
    }

    fn must_fold(&self) -> bool {
        self.unfolded() > TAIL_ENTRIES || self.tail.bytes.load(Ordering::Acquire) > TAIL_BYTES
    }

    async fn close(&mut self) -> Result<(), PortError> {
        self.ask(Disk::close).await
    }
}

/// Sorts an error by RL-104: a refusal of this batch, or the end of trust in the disk.
pub(super) fn port_error(error: rusqlite::Error) -> PortError {
    let code = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        _ => None,
    };
    match code {
        Some(code) if matches!(code & 0xff, 5 | 6) => {
            crate::metrics::count("lanlord_db_busy_total", &[]);
            PortError::Refused(error.to_string())
        }
        // NOMEM, READONLY, INTERRUPT, FULL, CANTOPEN and their extensions; IOERR_WRITE; IOERR_SHMSIZE (no room
        // for the index of the write-ahead log)
        Some(code) if matches!(code & 0xff, 7 | 8 | 9 | 13 | 14) || matches!(code, 778 | 4874) => {
            PortError::Refused(error.to_string())
        }
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

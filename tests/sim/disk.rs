//! A disk that loses what was not synced. The journal on it is bytes: a crash keeps what was synced and any
//! part of the rest, also half a row. It takes its time, refuses when it is full, and can lose trust.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lanlord::domain::time::Wall;
use lanlord::store::{Batch, Entry, Port, PortError, Recovered, entries};
use serde_json::Value;

use crate::random::Random;

/// How a disk may be broken on purpose; a good one is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Honesty {
    #[default]
    Honest,
    /// `fsync` does nothing: what was written is synced some time later, if the power lasts.
    NoSync,
    /// Says that it has committed before it has begun to write.
    AnswersFirst,
}

/// What is on it, whoever uses it at the moment.
#[derive(Clone)]
pub struct Media(Arc<Mutex<State>>);

struct State {
    synced: Vec<u8>,
    written: Vec<u8>,
    /// Entries of the rows that are synced.
    durable: Vec<Entry>,
    /// Grows with every crash: ports of an earlier life reach nothing any more.
    life: u64,
    random: Random,
    honesty: Honesty,
    full: bool,
}

impl Media {
    pub fn new(seed: u64, honesty: Honesty) -> Media {
        let random = Random::new(seed ^ 0xd15c);
        Media(Arc::new(Mutex::new(State {
            synced: Vec::new(),
            written: Vec::new(),
            durable: Vec::new(),
            life: 0,
            random,
            honesty,
            full: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// While set, nothing can be written.
    pub fn full(&self, full: bool) {
        self.state().full = full;
    }

    /// Looks at what a power cut now would leave at least.
    pub fn durable<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&self.state().durable)
    }

    /// The power fails: some part of what was not synced is there all the same.
    pub fn crash(&self) {
        let state = &mut *self.state();
        let kept = state.random.below(state.written.len() as u64 + 1) as usize;
        state.synced.extend_from_slice(&state.written[..kept]);
        state.written.clear();
        state.life += 1;
        let (rows, good) = rows(&state.synced);
        state.synced.truncate(good);
        state.durable = rows;
        state.full = false;
    }

    /// The port of a new life, and what it finds.
    pub fn open(&self) -> (Disk, Recovered) {
        let state = self.state();
        let recovered = Recovered {
            head: state.durable.last().map_or(0, |e| e.seq),
            entries: state.durable.clone(),
            epoch: "simulation".to_owned(),
            findings: Vec::new(),
        };
        (Disk { media: self.clone(), life: state.life }, recovered)
    }
}

/// The ledger's port.
pub struct Disk {
    media: Media,
    life: u64,
}

impl Disk {
    /// The state, unless this port belongs to a life that is over.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.media.state()).filter(|state| state.life == self.life)
    }

    fn random(&self, below: u64) -> u64 {
        self.state().map_or(0, |mut state| state.random.below(below))
    }

    async fn write(media: Media, life: u64, row: Vec<u8>, entries: Arc<[Entry]>) {
        let disk = Disk { media, life };
        let half = row.len() / 2;
        for part in [&row[..half], &row[half..]] {
            tokio::time::sleep(Duration::from_micros(disk.random(2_000))).await;
            if let Some(mut state) = disk.state() {
                state.written.extend_from_slice(part);
            }
        }
        let wait = if disk.state().is_some_and(|s| s.honesty == Honesty::NoSync) { 5_000_000 } else { 4_000 };
        let sync = async move {
            tokio::time::sleep(Duration::from_micros(disk.random(wait))).await;
            if let Some(mut state) = disk.state() {
                let state = &mut *state;
                let alone = state.honesty == Honesty::Honest && state.written == row;
                state.synced.append(&mut state.written);
                if alone {
                    state.durable.extend_from_slice(&entries);
                } else {
                    // rows of several batches, perhaps mixed up
                    state.durable = rows(&state.synced).0;
                }
            }
        };
        if wait > 4_000 {
            tokio::spawn(sync);
        } else {
            sync.await;
        }
    }
}

impl Port for Disk {
    async fn append(&mut self, batch: Batch) -> Result<(), PortError> {
        let (honesty, full, odd) = {
            let Some(mut state) = self.state() else { return Err(PortError::Fatal("another life".into())) };
            (state.honesty, state.full, state.random.below(1_000))
        };
        if full {
            tokio::time::sleep(Duration::from_micros(self.random(3_000))).await;
            return Err(PortError::Refused("no space left on device".into()));
        }
        if odd == 0 {
            return Err(PortError::Fatal("fsync: input/output error".into()));
        }
        let first = &batch.entries[0];
        let texts = entries::row(&batch.texts);
        let row = format!("{} {} {}\n", first.seq, first.at.0, texts).into_bytes();
        let write = Disk::write(self.media.clone(), self.life, row, batch.entries);
        if honesty == Honesty::AnswersFirst {
            tokio::spawn(write);
        } else {
            write.await;
        }
        Ok(())
    }

    async fn fold(&mut self) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn close(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

/// The entries of all whole rows, and how many bytes they take: a torn row was never acknowledged.
fn rows(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let (mut out, mut good) = (Vec::<Entry>::new(), 0);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let Some(row) = line.strip_suffix(b"\n").and_then(row) else { break };
        if row.first().is_some_and(|first| first.seq != out.last().map_or(0, |e| e.seq) + 1) {
            break;
        }
        out.extend(row);
        good += line.len();
    }
    (out, good)
}

fn row(line: &[u8]) -> Option<Vec<Entry>> {
    let text = std::str::from_utf8(line).ok()?;
    let mut parts = text.splitn(3, ' ');
    let seq: u64 = parts.next()?.parse().ok()?;
    let at = Wall(parts.next()?.parse().ok()?);
    let texts = parts.next()?;
    // a row that is cut is no JSON any more
    let _: Value = serde_json::from_str(texts).ok()?;
    let changes = entries::decode_row(entries::FORMAT, texts).ok()?;
    Some(changes.into_iter().zip(seq..).map(|(change, seq)| Entry { seq, at, change }).collect())
}

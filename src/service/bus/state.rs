//! All that the bus keeps in memory, and the view that the ledger feeds it through. One lock, held for
//! short and never across an await.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::event::Event;
use super::notices::Notices;
use super::record::{Record, index, key_of};
use crate::domain::change::{TxAccepted, TxKey};
use crate::domain::claws::Fault;
use crate::domain::claws::message::{Progress, Subscription};
use crate::domain::claws::notice;
use crate::domain::claws::transaction::{Applying, Collecting};
use crate::domain::claws::xml::Element;
use crate::domain::time::Mono;
use crate::store::{Entry, View};

/// Broadcasts that streams find in memory; older ones come from history.
pub(super) const RING: usize = 4_096;
/// Transactions that are over and still in memory; older ones come from history.
const OVER: usize = 4_096;

/// A value that others wait for. They wake in the order in which they began to wait, so that a simulated
/// run can be repeated; `watch` picks at random.
pub(super) struct Board<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Clone> Board<T> {
    pub fn new(value: T) -> Board<T> {
        Board { value: Mutex::new(value), changed: Notify::new() }
    }

    pub fn read(&self) -> T {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value;
        self.changed.notify_waiters();
    }

    /// The first value that fits.
    pub async fn wait_for(&self, fits: impl Fn(&T) -> bool) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let value = self.read();
            if fits(&value) {
                return value;
            }
            changed.await;
        }
    }
}

/// How far an open transaction has come, for those who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Milestone {
    /// J1 is on its way.
    Begun,
    /// J1 is durable.
    Accepted,
    /// J2 or J2' is durable.
    Decided,
    /// J1 failed: nothing happened.
    Lost(Fault),
}

/// What an open transaction does now.
pub(super) enum Machine {
    Collecting(Collecting),
    Applying(Applying),
    Over,
}

/// A transaction between its acceptance and its end.
pub(super) struct Open {
    pub accepted: TxAccepted,
    pub payload: Element,
    /// When it must be decided.
    pub until: Mono,
    pub machine: Mutex<Machine>,
    /// Something was said.
    pub wake: Notify,
    pub milestone: Board<Milestone>,
    /// The last progress of each module.
    pub progress: Mutex<BTreeMap<String, (Progress, Pace)>>,
}

/// How fast something comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pace {
    pub second: u64,
    pub count: u32,
}

impl Open {
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who reservations of this transaction belong to.
    pub fn holder(&self) -> String {
        format!("claws:{}/{}", self.accepted.key.source, self.accepted.key.txid)
    }
}

/// A message to one stream that is no broadcast.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    /// Broadcasts up to this number go first.
    pub after: u64,
    pub line: Arc<str>,
}

/// An open stream.
pub(super) struct Listener {
    pub name: String,
    pub frontend: bool,
    pub watch: bool,
    /// May see notices: a module, or somebody who watches.
    pub hears: bool,
    pub direct: mpsc::Sender<Direct>,
    pub end: Ending,
}

/// Ends a stream, with the code of its `bye`.
#[derive(Clone, Default)]
pub(super) struct Ending {
    pub token: CancellationToken,
    pub code: Arc<std::sync::OnceLock<&'static str>>,
}

impl Ending {
    pub fn end(&self, code: &'static str) {
        let _ = self.code.set(code);
        self.token.cancel();
    }
}

/// The one live session of a module.
pub(super) struct Session {
    pub id: String,
    pub stream: u64,
    pub seen: Mono,
    pub end: Ending,
}

#[derive(Default)]
pub(super) struct State {
    pub records: HashMap<TxKey, Record>,
    by_txid: HashMap<String, Vec<TxKey>>,
    over: VecDeque<TxKey>,
    pub open: BTreeMap<TxKey, Arc<Open>>,
    pub ring: VecDeque<Arc<Event>>,
    /// Above this number the ring has every broadcast.
    pub forgotten: u64,
    pub notices: Notices,
    pub sessions: BTreeMap<String, Session>,
    pub streams: BTreeMap<u64, Listener>,
    /// Streams that may see notices.
    pub hearing: usize,
    pub subscriptions: HashMap<String, BTreeMap<String, Subscription>>,
    /// What modules have applied, by name.
    pub applied: HashMap<String, u64>,
}

impl State {
    /// Transactions of that txid, whoever sent them.
    pub fn of_txid(&self, txid: &str) -> Vec<&Record> {
        let keys = self.by_txid.get(&txid.to_ascii_lowercase());
        keys.into_iter().flatten().filter_map(|key| self.records.get(key)).collect()
    }

    /// What was recovered is read from history; the ring begins here.
    pub fn begin(&mut self, head: u64) {
        self.ring.retain(|event| event.seq > head);
        self.forgotten = self.forgotten.max(head);
        self.notices.pass(head);
    }

    fn apply(&mut self, entry: &Entry) -> bool {
        let Some(key) = key_of(&entry.change).map(index) else { return false };
        match self.records.get_mut(&key) {
            Some(record) => record.apply(entry),
            None => {
                let Some(record) = Record::begin(entry) else { return false };
                self.by_txid.entry(key.txid.clone()).or_default().push(key.clone());
                self.records.insert(key.clone(), record);
            }
        }
        let Some(record) = self.records.get(&key) else { return false };
        if let Some(event) = Event::of(record, entry) {
            self.ring.push_back(Arc::new(event));
        }
        if record.is_over() {
            self.open.remove(&key);
            self.over.push_back(key);
        }
        while self.ring.len() > RING {
            self.forgotten = self.ring.pop_front().map_or(self.forgotten, |event| event.seq);
        }
        while self.over.len() > OVER {
            self.forget();
        }
        true
    }

    fn forget(&mut self) {
        let Some(key) = self.over.pop_front() else { return };
        self.records.remove(&key);
        if let Some(keys) = self.by_txid.get_mut(&key.txid) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_txid.remove(&key.txid);
            }
        }
    }
}

/// The state behind its lock, with the number of the newest broadcast.
pub(super) struct Shelf {
    state: Mutex<State>,
    pub head: Board<u64>,
    /// As `head`, notices included; it moves only while somebody may see them.
    pub news: Board<u64>,
    /// Numbers the streams.
    pub streams: AtomicU64,
}

impl Default for Shelf {
    fn default() -> Shelf {
        Shelf { state: Mutex::default(), head: Board::new(0), news: Board::new(0), streams: AtomicU64::new(1) }
    }
}

impl Shelf {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn next_stream(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }
}

/// Feeds the state.
pub(super) struct BusView(pub Arc<Shelf>);

impl BusView {
    /// Transactions and notices of a batch come in together: a stream that sees one sees what was before it.
    fn feed(&self, batch: &[Entry], kept: Option<&Arc<[Entry]>>) {
        let last = |is: fn(&Entry) -> bool| batch.iter().rev().find(|entry| is(entry)).map(|entry| entry.seq);
        let transaction = last(|entry| key_of(&entry.change).is_some());
        let notice = last(|entry| notice::name(&entry.change).is_some());
        if transaction.is_none() && notice.is_none() {
            return;
        }
        let (mut newest, mut heard) = (None, false);
        {
            let mut state = self.0.lock();
            for entry in batch.iter().filter(|_| transaction.is_some()) {
                if state.apply(entry) {
                    newest = Some(entry.seq);
                }
            }
            match (notice, kept) {
                (Some(_), Some(batch)) if state.hearing > 0 => {
                    state.notices.keep(batch);
                    heard = true;
                }
                (Some(seq), _) => state.notices.pass(seq),
                (None, _) => {}
            }
        }
        if let Some(seq) = newest {
            self.0.head.set(seq);
        }
        if let Some(seq) = newest.max(notice.filter(|_| heard)) {
            self.0.news.set(seq);
        }
    }
}

impl View for BusView {
    fn apply(&mut self, batch: &[Entry]) {
        self.feed(batch, None);
    }

    /// Notices are kept as they were committed, and only while somebody may see them: a lease costs no more
    /// than a pointer here.
    fn take_in(&mut self, batch: &Arc<[Entry]>) {
        self.feed(batch, Some(batch));
    }
}

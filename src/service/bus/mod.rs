//! The CLAWS bus: accepts commands, asks modules, commits the result together with the state that it
//! implies, and tells everybody in the order of the journal. Owns transactions, sessions and routing.
//! Refuses to know XML bytes, HTTP and how a credential was proved.

mod answers;
pub mod builtin;
mod drive;
mod event;
mod notices;
mod record;
mod settings;
mod state;
mod stream;
mod submit;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use answers::Heard;
pub use settings::{Credential, Module, Settings};
pub use stream::{Attach, Item, Stream};
pub use submit::Accepted;

use crate::clock::Clock;
use crate::domain::change::{Change, TxKey};
use crate::domain::claws::Fault;
use crate::domain::claws::access::Principal;
use crate::domain::claws::message::Description;
use crate::domain::time::Mono;
use crate::service::hosts::Hosts;
use crate::store::{History, Ledger, View};
use builtin::{Addresses, Ballot, Enricher};
use record::{Record, index};
use state::{BusView, Open, Pace, Shelf};

/// Open transactions in all, and per credential (CL-313).
pub const OPEN: usize = 10_000;
/// Per credential.
pub const OPEN_EACH: usize = 1_000;
/// Streams in all, and per credential (CL-906).
pub const STREAMS: usize = 1_000;
/// Per credential.
pub const STREAMS_EACH: usize = 4;

/// Refusals that leave a line in the audit.
const AUDITED: [&str; 7] =
    ["forbidden", "source-mismatch", "not-member", "denied", "wrapper-mismatch", "already-answered", "round-closed"];
/// Such lines in a second.
const AUDITS: u32 = 10;

/// Fills the slice with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What the bus works with.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub hosts: Hosts,
    pub addresses: Arc<dyn Addresses>,
    /// Built-in modules whose enrichment is on; see [`Bus::reload`].
    pub enrichers: Vec<Arc<dyn Enricher>>,
    /// Votes beside that of the hosts.
    pub ballots: Vec<Arc<dyn Ballot>>,
}

/// The service. Clones share it.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

struct Shared {
    settings: ArcSwap<Settings>,
    /// Built-in modules whose enrichment is on.
    enrichers: ArcSwap<Vec<Arc<dyn Enricher>>>,
    parts: Parts,
    shelf: Arc<Shelf>,
    ledger: OnceLock<Ledger>,
    history: OnceLock<Arc<dyn History>>,
    /// J3 entries that wait for the next batch.
    ended: Mutex<Vec<Change>>,
    ended_more: Notify,
    /// Refusals that were written down in this second.
    audited: Mutex<Pace>,
    stop: CancellationToken,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    r#final: AtomicU64,
    cancelled: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
    progress: AtomicU64,
    dropped: AtomicU64,
}

/// Name, labels, value.
pub type Metric = (&'static str, Vec<(&'static str, &'static str)>, u64);

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Bus {
    /// A bus without a ledger yet.
    pub fn new(settings: Settings, parts: Parts) -> Bus {
        Bus(Arc::new(Shared {
            settings: ArcSwap::from_pointee(settings),
            enrichers: ArcSwap::from_pointee(parts.enrichers.clone()),
            parts,
            shelf: Arc::default(),
            ledger: OnceLock::new(),
            history: OnceLock::new(),
            ended: Mutex::default(),
            ended_more: Notify::new(),
            audited: Mutex::default(),
            stop: CancellationToken::new(),
            counters: Counters::default(),
        }))
    }

    /// Takes other settings and built-in modules. Transactions that are open go on with the members that they
    /// asked; streams of credentials whose rights are others now end, and their clients come back.
    pub fn reload(&self, settings: Settings, enrichers: Vec<Arc<dyn Enricher>>) {
        let old = self.0.settings.swap(Arc::new(settings));
        self.0.enrichers.store(Arc::new(enrichers));
        let new = self.0.settings();
        let state = self.0.shelf.lock();
        for listener in state.streams.values() {
            if old.principal(&listener.name, false) != new.principal(&listener.name, false) {
                listener.end.end("reconfigured");
            }
        }
    }

    /// Its read side, for the ledger: last of all views, so that whoever sees a final event finds what it
    /// implies (CL-802).
    pub fn view(&self) -> Box<dyn View> {
        Box::new(BusView(self.0.shelf.clone()))
    }

    /// Starts working: takes up what a restart interrupted, and watches over sessions.
    pub fn start(&self, ledger: Ledger, history: Option<Arc<dyn History>>) {
        self.0.shelf.lock().begin(ledger.head());
        let _ = self.0.ledger.set(ledger);
        if let Some(history) = history {
            let _ = self.0.history.set(history);
        }
        self.0.clone().resume();
        tokio::spawn(self.0.clone().write_ended());
        tokio::spawn(self.0.clone().watch_sessions());
    }

    /// Stops: no new transactions, a goodbye on every stream. What is still collecting is taken up again
    /// at the next start.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let endings: Vec<_> = self.0.shelf.lock().streams.values().map(|listener| listener.end.clone()).collect();
        endings.iter().for_each(|end| end.end("drain"));
        self.0.flush_ended().await;
    }

    /// What somebody may do here, by credential.
    pub fn principal(&self, name: &str, administrator: bool) -> Principal {
        self.0.settings().principal(name, administrator)
    }

    /// The state of a transaction: of one's own, or of any for those who may watch (`source` tells which
    /// credential's, if several used the txid).
    pub async fn find(
        &self,
        who: &Principal,
        txid: &str,
        source: Option<&str>,
        explain: bool,
    ) -> Result<Description, Fault> {
        let unknown = || Fault::new("unknown-transaction", "there is no such transaction of yours").about(txid);
        let source = source.unwrap_or(&who.name);
        if source != who.name && !who.watch {
            return Err(unknown());
        }
        let key = TxKey { source: source.to_owned(), txid: txid.to_owned() };
        if let Some(record) = self.0.record(&key).await? {
            return Ok(record.describe(explain));
        }
        let state = self.0.shelf.lock();
        // CL-704: who may not watch learns nothing of others
        let mut others = state.of_txid(txid).into_iter().filter(|_| who.watch);
        match (others.next(), others.next()) {
            (Some(record), None) => Ok(record.describe(explain)),
            (Some(_), Some(_)) => {
                Err(Fault::new("ambiguous-txid", "several sources used it; add source=NAME").about(txid))
            }
            (None, _) => Err(unknown()),
        }
    }

    /// Newest transactions in memory, at most `limit`, for the status page and the API.
    pub fn recent(&self, limit: usize) -> Vec<Description> {
        let state = self.0.shelf.lock();
        let mut records: Vec<&Record> = state.records.values().collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.seq));
        records.into_iter().take(limit).map(|record| record.describe(false)).collect()
    }

    /// Names of the modules that are connected.
    pub fn live_modules(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.shelf.lock().sessions.keys().cloned().collect();
        names.sort();
        names
    }

    /// For the metrics page.
    pub fn counters(&self) -> Vec<Metric> {
        let c = &self.0.counters;
        let results = [
            ("accepted", &c.accepted),
            ("final", &c.r#final),
            ("cancelled", &c.cancelled),
            ("completed", &c.completed),
            ("failed", &c.failed),
            ("late", &c.late),
            ("refused", &c.refused),
        ];
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut out: Vec<_> = results
            .iter()
            .map(|(word, value)| ("lanlord_claws_events_total", vec![("result", *word)], load(value)))
            .collect();
        out.push(("lanlord_claws_progress_total", vec![("result", "routed")], load(&c.progress)));
        out.push(("lanlord_claws_progress_total", vec![("result", "dropped")], load(&c.dropped)));
        out
    }
}

impl Shared {
    fn now(&self) -> Mono {
        self.parts.clock.mono()
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    fn ledger(&self) -> Result<&Ledger, Fault> {
        self.ledger.get().ok_or_else(|| Fault::new("stopping", "the bus has not started yet; try again"))
    }

    /// A transaction from memory or history.
    async fn record(&self, key: &TxKey) -> Result<Option<Record>, Fault> {
        if let Some(record) = self.shelf.lock().records.get(&index(key)) {
            return Ok(Some(record.clone()));
        }
        let Some(history) = self.history.get() else { return Ok(None) };
        let entries = history.transaction(&index(key)).await.map_err(|error| {
            tracing::error!(%error, "history of a transaction");
            Fault::new("journal-unavailable", "the history cannot be read; try again")
        })?;
        Ok(Record::replay(&entries))
    }

    fn open(&self, key: &TxKey) -> Option<Arc<Open>> {
        self.shelf.lock().open.get(&index(key)).cloned()
    }

    /// 32 hexadecimal digits.
    fn token(&self) -> String {
        let mut bytes = [0; 16];
        (self.parts.random)(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes down who was refused what (CL-705), at most ten a second: a flood of refusals must not fill
    /// the journal.
    fn audit(&self, who: &Principal, fault: &Fault) {
        if !AUDITED.contains(&fault.code) {
            return;
        }
        let second = self.now().0 / 1_000;
        let mut pace = self.audited.lock().unwrap_or_else(PoisonError::into_inner);
        let count = if pace.second == second { pace.count + 1 } else { 1 };
        if count > AUDITS {
            return;
        }
        *pace = Pace { second, count };
        drop(pace);
        self.end_later(Change::Audit {
            who: who.name.clone(),
            action: format!("claws.{}", fault.code),
            object: fault.txid.clone().unwrap_or_default(),
            detail: fault.message.clone(),
        });
    }

    /// Queues J3: it joins the next batch.
    fn end_later(&self, change: Change) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        self.ended_more.notify_one();
    }

    fn take_ended(&self) -> Vec<Change> {
        std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_ended_back(&self, changes: Vec<Change>) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
    }

    async fn flush_ended(&self) {
        let changes = self.take_ended();
        let Ok(ledger) = self.ledger() else { return };
        if !changes.is_empty() && ledger.commit(changes.clone()).await.is_err() {
            self.put_ended_back(changes);
        }
    }

    /// Writes J3 entries that no J1 took along.
    async fn write_ended(self: Arc<Shared>) {
        loop {
            tokio::select! {
                biased;
                () = self.ended_more.notified() => {}
                () = self.stop.cancelled() => return,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.flush_ended().await;
        }
    }
}

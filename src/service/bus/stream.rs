//! What a connected client sees: a cursor over the broadcasts, in the order of the journal, and messages
//! that are only for it. A slow reader holds up nobody: it only falls behind.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::event::Event;
use super::notices::{Notice, Shown};
use super::record::{Record, index, key_of};
use super::state::{Direct, Ending, Listener, Machine, Open, Session, State};
use super::{Bus, STREAMS, STREAMS_EACH, Shared};
use crate::domain::change::Change;
use crate::domain::change::TxKey;
use crate::domain::claws::Fault;
use crate::domain::claws::access::Principal;
use crate::domain::claws::message::{Phase, Subscription, bye, progress_out, welcome};
use crate::domain::claws::notice;
use crate::domain::claws::xml::Element;

/// Messages for one stream that wait beside the broadcasts.
const DIRECT: usize = 256;
/// Broadcasts that are looked at in one go.
const PAGE: usize = 64;
/// Missed heartbeats that end a session.
const MISSES: u32 = 3;

/// A wish for a stream.
#[derive(Debug, Clone)]
pub struct Attach {
    pub principal: Principal,
    /// Broadcasts as a module sees them; the session of its credential.
    pub module: bool,
    /// Own transactions and their progress.
    pub frontend: bool,
    /// Ends an older session of the same module.
    pub takeover: bool,
    /// Resume behind this number.
    pub after: Option<u64>,
}

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where to resume after it; none for messages that are not replayed.
    pub id: Option<u64>,
    /// XML without line breaks.
    pub line: Arc<str>,
}

/// An open stream; dropping it ends the session.
pub struct Stream {
    shared: Arc<Shared>,
    number: u64,
    principal: Principal,
    module: bool,
    frontend: bool,
    /// May see notices.
    hears: bool,
    cursor: u64,
    /// Broadcasts up to this number were there before the client came back.
    floor: u64,
    /// Head of the journal when it was opened.
    joined: u64,
    /// The client said where it stands: what it was asked before that, it has seen.
    resumed: bool,
    direct: mpsc::Receiver<Direct>,
    waiting: VecDeque<Direct>,
    out: VecDeque<Item>,
    end: Ending,
    said_bye: bool,
}

impl Bus {
    /// Opens a stream; its first message is the welcome.
    pub async fn attach(&self, attach: Attach) -> Result<Stream, Fault> {
        self.0.clone().attach(attach).await
    }
}

impl Shared {
    async fn attach(self: Arc<Shared>, attach: Attach) -> Result<Stream, Fault> {
        if attach.module && attach.principal.module.is_none() {
            return Err(Fault::new("forbidden", "this credential is no module"));
        }
        if self.stop.is_cancelled() {
            return Err(Fault::new("stopping", "the daemon is stopping; try again"));
        }
        let ledger = self.ledger()?.clone();
        let high = ledger.head();
        let low = self.oldest().await?;
        if attach.after.is_some_and(|after| after > high) {
            return Err(Fault::new("ahead", "this journal is younger than your mark; start anew"));
        }
        if attach.after.is_some_and(|after| after.saturating_add(1) < low) {
            return Err(Fault::new("gone", "events that you missed are no longer kept; start anew"));
        }
        let stored = || attach.module.then(|| self.shelf.lock().applied.get(&attach.principal.name).copied()).flatten();
        let after = attach.after.or_else(stored).unwrap_or(high);
        let mut stream = self.clone().register(attach, after, high)?;
        let session = self.shelf.lock().sessions.get(&stream.principal.name).map(|session| session.id.clone());
        let session = session.filter(|_| stream.module).unwrap_or_else(|| self.token());
        let pulse = u64::try_from(self.settings().heartbeat.as_millis()).unwrap_or(u64::MAX);
        let line = welcome(&session, ledger.epoch(), after, low, high, pulse).write();
        stream.out.push_back(Item { id: None, line: line.into() });
        stream.catch_up();
        Ok(stream)
    }

    async fn oldest(&self) -> Result<u64, Fault> {
        let Some(history) = self.history.get() else { return Ok(0) };
        let oldest = history.oldest_event().await.map_err(|error| {
            tracing::error!(%error, "history");
            Fault::new("journal-unavailable", "the history cannot be read; try again")
        })?;
        Ok(oldest.unwrap_or(0))
    }

    fn register(self: Arc<Shared>, attach: Attach, after: u64, joined: u64) -> Result<Stream, Fault> {
        let (sender, direct) = mpsc::channel(DIRECT);
        let (name, end, number) = (attach.principal.name.clone(), Ending::default(), self.shelf.next_stream());
        let resumed = attach.after.is_some();
        let mut state = self.shelf.lock();
        let mine = state.streams.values().filter(|listener| listener.name == name).count();
        if state.streams.len() >= STREAMS {
            return Err(Fault::new("overloaded", "too many streams; try again"));
        }
        let old = state.sessions.get(&name).filter(|_| attach.module).map(|session| session.end.clone());
        match old {
            Some(_) if !attach.takeover => {
                return Err(Fault::new("session-live", "this module is connected already; add takeover=true"));
            }
            Some(end) => end.end("fenced"),
            None if mine >= STREAMS_EACH => {
                return Err(Fault::new("rate-limited", format!("at most {STREAMS_EACH} streams per credential")));
            }
            None => {}
        }
        if attach.module {
            let session = Session { id: self.token(), stream: number, seen: self.now(), end: end.clone() };
            state.sessions.insert(name.clone(), session);
        }
        let watch = attach.principal.watch && attach.frontend;
        let hears = attach.module || watch;
        let listener = Listener { name, frontend: attach.frontend, watch, hears, direct: sender, end: end.clone() };
        state.streams.insert(number, listener);
        state.hearing += usize::from(hears);
        drop(state);
        Ok(Stream {
            shared: self,
            number,
            principal: attach.principal,
            module: attach.module,
            frontend: attach.frontend,
            hears,
            cursor: after,
            floor: after,
            joined,
            resumed,
            direct,
            waiting: VecDeque::new(),
            out: VecDeque::new(),
            end,
            said_bye: false,
        })
    }

    /// The stream is over. If it was a module's session, nobody waits for that module any more (CL-511).
    fn leave(&self, number: u64) {
        let mut state = self.shelf.lock();
        let Some(listener) = state.streams.remove(&number) else { return };
        state.hearing -= usize::from(listener.hears);
        if state.sessions.get(&listener.name).is_none_or(|session| session.stream != number) {
            return;
        }
        state.sessions.remove(&listener.name);
        let open: Vec<Arc<Open>> = state.open.values().cloned().collect();
        drop(state);
        for open in open {
            if let Machine::Collecting(collecting) = &mut *open.machine() {
                collecting.gone(&listener.name);
            }
            open.wake.notify_one();
        }
    }

    /// Ends sessions that missed their heartbeats.
    pub(super) async fn watch_sessions(self: Arc<Shared>) {
        loop {
            let pulse = self.settings().heartbeat.max(Duration::from_millis(10));
            tokio::select! {
                biased;
                () = tokio::time::sleep(pulse) => {}
                () = self.stop.cancelled() => return,
            }
            let now = self.now();
            let silent: Vec<(u64, Ending)> = {
                let state = self.shelf.lock();
                let dead = state.sessions.values().filter(|session| now.since(session.seen) > pulse * MISSES);
                dead.map(|session| (session.stream, session.end.clone())).collect()
            };
            for (number, end) in silent {
                end.end("timed-out");
                self.leave(number);
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}

impl Stream {
    /// The next message; none once the stream is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.out.pop_front() {
                return Some(item);
            }
            if self.end.token.is_cancelled() {
                if std::mem::replace(&mut self.said_bye, true) {
                    return None;
                }
                let line = bye(self.end.code.get().copied().unwrap_or("bye")).write();
                return Some(Item { id: None, line: line.into() });
            }
            let board = if self.hears { &self.shared.shelf.news } else { &self.shared.shelf.head };
            let head = board.read();
            while let Ok(direct) = self.direct.try_recv() {
                self.waiting.push_back(direct);
            }
            if self.waiting.front().is_some_and(|direct| direct.after <= self.cursor) {
                let line = self.waiting.pop_front().map(|direct| direct.line);
                self.out.extend(line.map(|line| Item { id: None, line }));
                continue;
            }
            if self.read().await {
                continue;
            }
            // nothing is left: whatever was to come before a waiting message has come
            if let Some(direct) = self.waiting.front() {
                self.cursor = self.cursor.max(direct.after);
                continue;
            }
            let board = if self.hears { &self.shared.shelf.news } else { &self.shared.shelf.head };
            tokio::select! {
                biased;
                _ = board.wait_for(|newest| *newest != head) => {}
                direct = self.direct.recv() => self.waiting.extend(direct),
                () = self.end.token.cancelled() => {}
            }
        }
    }

    /// A module that is waited for gets what it was asked; a frontend the last progress of each module.
    fn catch_up(&mut self) {
        let open: Vec<Arc<Open>> = self.shared.shelf.lock().open.values().cloned().collect();
        for open in open {
            if self.module && self.is_asked(&open) {
                let key = index(&open.accepted.key);
                let asked = self.shared.shelf.lock().records.get(&key).map(|record| record.seq);
                // only what this client cannot have seen
                if let Some(seq) = asked.filter(|seq| *seq <= self.floor && !self.resumed) {
                    self.cursor = self.cursor.min(seq - 1);
                }
                if let Machine::Collecting(collecting) = &mut *open.machine() {
                    collecting.arrived(&self.principal.name, self.shared.now());
                }
                open.wake.notify_one();
            }
            if self.frontend && open.accepted.key.source == self.principal.name {
                let last = open.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let now = self.shared.parts.clock.wall();
                let lines = last.values().map(|(progress, _)| progress_out(progress, now).write());
                self.out.extend(lines.map(|line| Item { id: None, line: line.into() }));
            }
        }
    }

    fn is_asked(&self, open: &Open) -> bool {
        matches!(&*open.machine(), Machine::Collecting(collecting) if collecting.has(&self.principal.name))
    }

    /// Looks at the next broadcasts and notices; false if there are none.
    async fn read(&mut self) -> bool {
        let forgotten = {
            let state = self.shared.shelf.lock();
            if self.hears { state.forgotten.max(state.notices.forgotten) } else { state.forgotten }
        };
        if self.cursor < forgotten {
            self.read_history(forgotten).await;
            return true;
        }
        let (events, notices, subscriptions) = {
            let state = self.shared.shelf.lock();
            // what is forgotten since must be read first
            let forgotten = if self.hears { state.forgotten.max(state.notices.forgotten) } else { state.forgotten };
            if self.cursor < forgotten {
                return true;
            }
            let from = state.ring.partition_point(|event| event.seq <= self.cursor);
            let events: Vec<Arc<Event>> = state.ring.iter().skip(from).take(PAGE).cloned().collect();
            let notices = if self.hears { state.notices.after(self.cursor, PAGE) } else { Vec::new() };
            (events, notices, self.subscriptions(&state))
        };
        self.offer_all(&events, &notices, &subscriptions)
    }

    /// Both in the order of their numbers, as far as both are known; false if there are none.
    fn offer_all(&mut self, events: &[Arc<Event>], notices: &[Notice], subscriptions: &[Subscription]) -> bool {
        // of one that goes on behind its page only what is before the end of the page is in order
        let end = |full: bool, last: Option<u64>| if full { last.unwrap_or(u64::MAX) } else { u64::MAX };
        let limit = end(events.len() == PAGE, events.last().map(|event| event.seq));
        let limit = limit.min(end(notices.len() == PAGE, notices.last().map(Notice::seq)));
        let mut notices = notices.iter().take_while(|notice| notice.seq() <= limit).peekable();
        let any = !events.is_empty() || notices.peek().is_some();
        for event in events.iter().take_while(|event| event.seq <= limit) {
            while let Some(notice) = notices.next_if(|notice| notice.seq() < event.seq) {
                self.tell(notice.seq(), notice.change(), subscriptions, || notice.shown());
            }
            self.offer(event, subscriptions);
        }
        for notice in notices {
            self.tell(notice.seq(), notice.change(), subscriptions, || notice.shown());
        }
        any
    }

    /// Shows a notice to whoever wants it.
    fn tell<'n>(
        &mut self,
        seq: u64,
        change: &Change,
        subscriptions: &[Subscription],
        shown: impl FnOnce() -> Option<&'n Shown>,
    ) {
        self.cursor = self.cursor.max(seq);
        if seq <= self.floor || !self.may_hear(seq, change, subscriptions) {
            return;
        }
        let Some(shown) = shown() else { return };
        if self.wants_notice(&shown.payload, subscriptions) {
            self.out.push_back(Item { id: Some(seq), line: shown.line.clone() });
        }
    }

    /// What can be told without looking at what is in it.
    fn may_hear(&self, seq: u64, change: &Change, subscriptions: &[Subscription]) -> bool {
        let Some((ns, name)) = notice::name(change) else { return false };
        let allowed = match &self.principal.module {
            Some(rights) if self.module => rights.subscribe.allows(ns),
            _ => self.frontend && self.principal.watch,
        };
        // CL-501, CL-506: extensions of leases come live only, and to those who name them
        let live = name != notice::RENEWED || seq > self.joined;
        let named = name != notice::RENEWED && self.module && subscriptions.is_empty();
        let mut all = subscriptions.iter().flat_map(|subscription| &subscription.matches);
        allowed && live && (named || all.any(|one| one.names(ns, name, name == notice::RENEWED)))
    }

    fn wants_notice(&self, payload: &Element, subscriptions: &[Subscription]) -> bool {
        let mut all = subscriptions.iter().flat_map(|subscription| &subscription.matches);
        let by_name = |event: &Option<String>| payload.name != notice::RENEWED || event.is_some();
        subscriptions.is_empty() || all.any(|one| by_name(&one.event) && one.accepts(payload, Phase::Final))
    }

    fn subscriptions(&self, state: &State) -> Vec<Subscription> {
        let mine = state.subscriptions.get(&self.principal.name);
        mine.map(|mine| mine.values().cloned().collect()).unwrap_or_default()
    }

    /// Broadcasts from before the ring (CL-505).
    async fn read_history(&mut self, until: u64) {
        let shared = self.shared.clone();
        let Some(history) = shared.history.get() else {
            self.cursor = until;
            return;
        };
        let entries = match history.events(self.cursor, PAGE).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(%error, "a stream cannot be replayed");
                return self.end.end("journal-unavailable");
            }
        };
        let subscriptions = self.subscriptions(&shared.shelf.lock());
        let full = entries.len() == PAGE;
        let last = entries.last().map_or(until, |entry| entry.seq);
        let mut known: HashMap<TxKey, Option<Record>> = HashMap::new();
        for entry in entries.iter().filter(|entry| entry.seq <= until) {
            if self.hears && notice::name(&entry.change).is_some() {
                let shown = std::cell::OnceCell::new();
                self.tell(entry.seq, &entry.change, &subscriptions, || shown.get_or_init(|| Shown::of(entry)).as_ref());
                continue;
            }
            let Some(key) = key_of(&entry.change).map(index) else { continue };
            if !known.contains_key(&key) {
                let all = history.transaction(&key).await.unwrap_or_default();
                known.insert(key.clone(), Record::replay(&all));
            }
            if let Some(event) = known.get(&key).and_then(Option::as_ref).and_then(|record| Event::of(record, entry)) {
                self.offer(&event, &subscriptions);
            }
        }
        self.cursor = self.cursor.max(if full { last.min(until) } else { until });
    }

    fn offer(&mut self, event: &Event, subscriptions: &[Subscription]) {
        self.cursor = self.cursor.max(event.seq);
        if self.wants(event, subscriptions) {
            self.out.push_back(Item { id: Some(event.seq), line: event.line().into() });
        }
    }

    fn wants(&self, event: &Event, subscriptions: &[Subscription]) -> bool {
        let fresh = event.seq > self.joined;
        if !fresh && !event.is_replayed() {
            return self.module && self.is_open_for_me(event);
        }
        if event.seq <= self.floor {
            return false;
        }
        if self.frontend && (event.accepted.key.source == self.principal.name || self.principal.watch) {
            return true;
        }
        self.module && self.concerns(event, subscriptions)
    }

    fn is_open_for_me(&self, event: &Event) -> bool {
        let open = self.shared.open(&event.accepted.key);
        event.members.contains(&self.principal.name) && open.is_some_and(|open| self.is_asked(&open))
    }

    fn concerns(&self, event: &Event, subscriptions: &[Subscription]) -> bool {
        match event.phase {
            // those who saw the question, and they only
            Phase::Provisional | Phase::Cancelled => event.members.contains(&self.principal.name),
            phase => {
                let Some(payload) = event.payload() else {
                    let named = |s: &Subscription| s.matches.iter().any(|one| one.phases.contains(&phase));
                    return subscriptions.iter().any(named);
                };
                let rights = self.principal.module.as_ref();
                rights.is_some_and(|rights| rights.subscribe.allows(&payload.ns))
                    && (subscriptions.is_empty()
                        || subscriptions.iter().flat_map(|s| &s.matches).any(|one| one.accepts(payload, phase)))
            }
        }
    }
}

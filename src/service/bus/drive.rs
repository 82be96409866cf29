//! One task per open transaction: J1, waiting, merge, J2, waiting, J3. Everything that it awaits has a
//! deadline or ends with the daemon.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use super::answers::progress_of_builtin;
use super::builtin::{ADDRESS_MODULE, DNS_MODULE, Deed, HOSTS_MODULE};
use super::record::{Record, Stage, index};
use super::state::{Board, Machine, Milestone, Open};
use super::{Shared, count};
use crate::domain::change::{Change, TxFinal, TxOutcome};
use crate::domain::claws::Fault;
use crate::domain::claws::merge::{Answer, Merged, merge};
use crate::domain::claws::message::Phase;
use crate::domain::claws::orders::{Order, Which};
use crate::domain::claws::transaction::{Applying, Collecting, Decision, Member};
use crate::domain::claws::xml::decode;
use crate::domain::host::{CustomOption, Host};
use crate::domain::time::{Mono, Wall};
use crate::store::{CommitError, Outcome, Proposal, Refusal, Vote};

/// A transaction with less time left is not taken up again after a restart (CL-305).
const WORTH_REOPENING: Duration = Duration::from_secs(2);
/// How often it may be taken up again.
const REOPENINGS: u8 = 3;
/// Time for modules to come back after a restart.
const RECONNECT: Duration = Duration::from_secs(1);
/// Pause between tries to write a cancellation.
const RETRY: Duration = Duration::from_secs(1);

/// Why a transaction ends without a result.
struct Cancel {
    reason: String,
    message: String,
    /// The ledger wrote J2' itself, in the place of a J2.
    written: bool,
}

fn cancel(reason: &str, message: impl Into<String>) -> Cancel {
    Cancel { reason: reason.to_owned(), message: message.into(), written: false }
}

fn refused(error: &CommitError) -> Fault {
    match error {
        CommitError::Stopping => Fault::new("stopping", "the daemon is stopping; try again"),
        CommitError::Full => Fault::new("overloaded", "the journal's queue is full; try again"),
        CommitError::TooLarge(_) => Fault::new("too-large", error.to_string()),
        _ => Fault::new("journal-unavailable", "the journal cannot be written now; nothing happened, try again"),
    }
}

impl Shared {
    /// Takes up what a restart interrupted (CL-305).
    pub(super) fn resume(self: Arc<Shared>) {
        let records: Vec<Record> = {
            let state = self.shelf.lock();
            let mut open: Vec<&Record> = state.records.values().filter(|record| !record.is_over()).collect();
            open.sort_by_key(|record| record.seq);
            open.into_iter().cloned().collect()
        };
        for record in records {
            let Some(open) = self.reopen(&record).map(Arc::new) else {
                tracing::error!(txid = record.accepted.key.txid, "a transaction in the journal cannot be read");
                continue;
            };
            self.shelf.lock().open.insert(index(&record.accepted.key), open.clone());
            tokio::spawn(self.clone().take_up(open, record));
        }
    }

    fn reopen(&self, record: &Record) -> Option<Open> {
        let (now, wall) = (self.now(), self.parts.clock.wall());
        let payload = decode(record.accepted.body.as_bytes()).ok()?;
        let left = record.deadline.since(wall).min(self.settings().deadline);
        let machine = match (&record.stage, &record.result) {
            (Stage::Applying, Some((_, tx))) => {
                Machine::Applying(Applying::start(&tx.appliers, now.plus(self.settings().apply_timeout)))
            }
            _ => {
                let mut members = self.builtin_members(&payload);
                for name in &record.members {
                    if let Some(module) = self.settings().module(name) {
                        members.push(Member { name: name.clone(), policy: module.policy, absent: true });
                    }
                }
                Machine::Collecting(Collecting::start(members, now.plus(left), Some(RECONNECT), now))
            }
        };
        Some(Open {
            accepted: (*record.accepted).clone(),
            payload,
            until: now.plus(left),
            machine: Mutex::new(machine),
            wake: Notify::new(),
            milestone: Board::new(Milestone::Accepted),
            progress: Mutex::default(),
        })
    }

    async fn take_up(self: Arc<Shared>, open: Arc<Open>, record: Record) {
        if record.stage == Stage::Applying {
            open.milestone.set(Milestone::Decided);
            return self.apply(&open).await;
        }
        let left = record.deadline.since(self.parts.clock.wall());
        if left < WORTH_REOPENING || record.reopened >= REOPENINGS {
            let why = cancel("server-restart", "the daemon was restarted while modules were asked");
            self.cancelled(&open, why, Vec::new()).await;
            return self.finish(&open);
        }
        self.run(open, true).await;
    }

    /// A transaction from J1 (or J1r) to J3.
    pub(super) async fn run(self: Arc<Shared>, open: Arc<Open>, reopened: bool) {
        if let Err(error) = self.accept(&open, reopened).await {
            self.shelf.lock().open.remove(&index(&open.accepted.key));
            open.milestone.set(Milestone::Lost(refused(&error)));
            return;
        }
        if let Machine::Collecting(collecting) = &mut *open.machine() {
            collecting.broadcast(self.now());
        }
        open.milestone.set(Milestone::Accepted);
        count(&self.counters.accepted);
        self.ask_builtins(&open);
        let Some((decision, outcomes)) = self.collect(&open).await else { return };
        let decided = match decision {
            Decision::Merge(answers) => self.decide(&open, &answers, outcomes.clone()).await,
            Decision::Cancel { reason, message } => Err(cancel(&reason, message)),
        };
        match decided {
            Ok(()) => {
                count(&self.counters.r#final);
                self.release(&open);
                open.milestone.set(Milestone::Decided);
                self.tell_builtin_progress(&open);
                self.apply(&open).await;
            }
            Err(why) => {
                self.cancelled(&open, why, outcomes).await;
                self.finish(&open);
            }
        }
    }

    /// J1, together with the J3 entries that wait.
    async fn accept(&self, open: &Open, reopened: bool) -> Result<(), CommitError> {
        let first = if reopened {
            let members = match &*open.machine() {
                Machine::Collecting(collecting) => collecting.names(),
                _ => Vec::new(),
            };
            Change::TxReopened { key: open.accepted.key.clone(), members, deadline: open.accepted.deadline }
        } else {
            Change::TxAccepted(Box::new(open.accepted.clone()))
        };
        let ended = self.take_ended();
        let mut changes = vec![first];
        changes.extend(ended.iter().cloned());
        let ledger = self.ledger.get().ok_or(CommitError::Stopping)?;
        let written = ledger.commit(changes).await;
        if written.is_err() {
            self.put_ended_back(ended);
        }
        written.map(|_| ())
    }

    /// Calls the built-in modules, each in a task of its own, beside the external ones.
    fn ask_builtins(self: &Arc<Shared>, open: &Arc<Open>) {
        for module in self.enrichers.load().iter() {
            if !matches!(&*open.machine(), Machine::Collecting(c) if c.has(module.name())) {
                continue;
            }
            let (shared, open, module) = (self.clone(), open.clone(), module.clone());
            tokio::spawn(async move {
                let reply = module.enrich(&open.holder(), &open.payload, open.until).await;
                let heard = match &mut *open.machine() {
                    Machine::Collecting(collecting) => collecting.answer(module.name(), reply, shared.now()).is_ok(),
                    _ => false,
                };
                if !heard {
                    // too late: what it set aside would stay so
                    module.release(&open.holder());
                }
                open.wake.notify_one();
            });
        }
    }

    /// Waits until there is a decision; `None` if the daemon stops first.
    async fn collect(&self, open: &Open) -> Option<(Decision, Vec<TxOutcome>)> {
        loop {
            let now = self.now();
            let next = match &mut *open.machine() {
                Machine::Collecting(collecting) => {
                    if let Some(decision) = collecting.decide(now) {
                        return Some((decision, collecting.outcomes()));
                    }
                    collecting.next()
                }
                _ => return None,
            };
            if !self.pause(open, next, now).await {
                return None;
            }
        }
    }

    /// Until something was said or the time has come; false if the daemon stops.
    async fn pause(&self, open: &Open, next: Mono, now: Mono) -> bool {
        tokio::select! {
            biased;
            () = open.wake.notified() => true,
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(next.since(now).max(Duration::from_millis(1))) => true,
        }
    }

    /// Merge, votes, J2.
    async fn decide(
        self: &Arc<Shared>,
        open: &Arc<Open>,
        answers: &[Answer],
        mut outcomes: Vec<TxOutcome>,
    ) -> Result<(), Cancel> {
        let merged = merge(&open.payload, &open.accepted.source_name, answers, self.settings().on_conflict)
            .map_err(|conflict| cancel(conflict.reason(), conflict.to_string()))?;
        for outcome in outcomes.iter_mut().filter(|o| merged.denied.contains(&o.module)) {
            outcome.result = "denied".to_owned();
            outcome.detail = "lost a conflict".to_owned();
        }
        for (module, element) in &merged.idle {
            tracing::warn!(module, element, "a removal matched nothing");
        }
        let deed = Deed::of(&merged.payload, &open.accepted.key.source, &*self.parts.addresses)
            .map_err(|bad| cancel("invalid", bad.to_string()))?;
        // asked before, so that a refusal can be written down with its reason, and again in the ledger's order
        self.vote(&deed, self.parts.clock.wall()).map_err(|refusal| cancel(&refusal.code, refusal.message))?;
        let implied = self.implied(&deed, true).map_err(|refusal| cancel(&refusal.code, refusal.message))?;
        let appliers = self.appliers(&merged);
        // a quick module acks before this task runs again: its report must find somebody who listens
        let deadline = self.now().plus(self.settings().apply_timeout);
        *open.machine() = Machine::Applying(Applying::start(&appliers, deadline));
        let ledger = self.ledger().map_err(|fault| cancel(fault.code, fault.message))?;
        let underway = self.parts.addresses.underway(&implied);
        let proposal = self.proposal(open, merged, (deed, implied), outcomes, appliers);
        let proposed = ledger.propose(proposal).await;
        let committed = matches!(proposed, Ok(Outcome::Committed(_)));
        self.parts.addresses.settled(underway, committed).await;
        match proposed {
            Ok(Outcome::Committed(_)) => Ok(()),
            Ok(Outcome::Refused { refusal, .. }) => {
                Err(Cancel { written: true, ..cancel(&refusal.code, refusal.message) })
            }
            Err(error) => Err(cancel("journal-unavailable", error.to_string())),
        }
    }

    fn proposal(
        self: &Arc<Shared>,
        open: &Open,
        merged: Merged,
        (deed, implied): (Deed, Vec<Change>),
        outcomes: Vec<TxOutcome>,
        appliers: Vec<String>,
    ) -> Proposal {
        let key = open.accepted.key.clone();
        let otherwise = vec![Change::TxCancelled {
            key: key.clone(),
            reason: "conflict".to_owned(),
            message: "another transaction or lease was first with its MAC, address or name".to_owned(),
            outcomes: outcomes.clone(),
        }];
        let mut changes = vec![Change::TxFinal(Box::new(TxFinal {
            key,
            body: merged.payload.write(),
            digest: merged.payload.digest(),
            outcomes,
            contributions: merged.contributions,
            appliers,
        }))];
        changes.extend(implied.iter().cloned());
        let shared = self.clone();
        let vote: Option<Vote> = match deed {
            Deed::None => None,
            deed => Some(Box::new(move |at| {
                shared.vote(&deed, at)?;
                let same = shared.implied(&deed, false)? == implied;
                let changed = || Refusal {
                    code: "conflict".to_owned(),
                    message: "what it is about has changed meanwhile".to_owned(),
                };
                if same { Ok(()) } else { Err(changed()) }
            })),
        };
        Proposal { changes, vote, otherwise }
    }

    /// The state that a deed implies, as things stand.
    fn implied(&self, deed: &Deed, first: bool) -> Result<Vec<Change>, Refusal> {
        match deed {
            Deed::None => Ok(Vec::new()),
            Deed::Add(host) | Deed::Modify(host) => Ok(vec![Change::HostPut(Box::new(host.clone()))]),
            Deed::Remove(id) => Ok(vec![Change::HostRemoved { id: id.clone() }]),
            Deed::Order(Order::Set(which, options)) if which.host.is_some() => {
                let mut host = self.host(which)?;
                let same = |old: &CustomOption, new: &CustomOption| {
                    (old.family, old.number, &old.interface) == (new.family, new.number, &new.interface)
                };
                host.options.retain(|old| !options.iter().any(|new| same(old, new)));
                host.options.extend(options.iter().cloned());
                Ok(vec![Change::HostPut(Box::new(host))])
            }
            Deed::Order(Order::Unset(which, codes)) if which.host.is_some() => {
                let mut host = self.host(which)?;
                for code in codes {
                    let before = host.options.len();
                    host.options.retain(|old| (old.family, old.number) != *code);
                    if host.options.len() == before {
                        let message = format!("option {} is not set there", code.1);
                        return Err(Refusal { code: "unknown-option".to_owned(), message });
                    }
                }
                Ok(vec![Change::HostPut(Box::new(host))])
            }
            Deed::Order(order) => self.parts.addresses.plan(order, first),
        }
    }

    fn host(&self, which: &Which) -> Result<Host, Refusal> {
        let id = which.host.as_deref().unwrap_or_default();
        let found = self.parts.hosts.find(id).map(|host| (*host).clone());
        found.ok_or_else(|| Refusal { code: "unknown-host".to_owned(), message: format!("there is no host {id}") })
    }

    /// The votes of the built-in modules (CL-408).
    fn vote(&self, deed: &Deed, at: Wall) -> Result<(), Refusal> {
        let refuse = |code: &str, message: String| Err(Refusal { code: code.to_owned(), message });
        let exists = |id: &str| self.parts.hosts.find(id).is_some();
        match deed {
            Deed::None | Deed::Order(_) => Ok(()),
            Deed::Add(host) if exists(&host.id) => refuse("conflict", format!("host {} exists", host.id)),
            Deed::Modify(host) if !exists(&host.id) => refuse("unknown-host", format!("there is no host {}", host.id)),
            Deed::Remove(id) if !exists(id) => refuse("unknown-host", format!("there is no host {id}")),
            Deed::Remove(_) => Ok(()),
            Deed::Add(host) | Deed::Modify(host) => self.vote_on(host, at),
        }
    }

    fn vote_on(&self, host: &Host, at: Wall) -> Result<(), Refusal> {
        self.parts.hosts.vote(host)?;
        self.parts.ballots.iter().try_for_each(|ballot| ballot.vote(host, at))
    }

    /// Live modules with the right to apply that will see this final event (CL-310).
    fn appliers(&self, merged: &Merged) -> Vec<String> {
        let state = self.shelf.lock();
        let applies = |name: &&String| {
            self.settings().module(name).is_some_and(|module| module.apply)
                && self.subscribed(&state, name, &merged.payload, Phase::Final)
        };
        let mut names: Vec<String> = state.sessions.keys().filter(applies).cloned().collect();
        names.sort();
        names
    }

    /// J2': tried until it is durable, because members wait for it.
    async fn cancelled(&self, open: &Open, why: Cancel, outcomes: Vec<TxOutcome>) {
        tracing::info!(txid = open.accepted.key.txid, reason = why.reason, message = why.message, "cancelled");
        count(&self.counters.cancelled);
        self.release(open);
        let change =
            Change::TxCancelled { key: open.accepted.key.clone(), reason: why.reason, message: why.message, outcomes };
        while !why.written && !self.stop.is_cancelled() {
            let Some(ledger) = self.ledger.get() else { return };
            if ledger.commit(vec![change.clone()]).await.is_ok() {
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        open.milestone.set(Milestone::Decided);
    }

    fn release(&self, open: &Open) {
        let holder = open.holder();
        self.enrichers.load().iter().for_each(|module| module.release(&holder));
    }

    fn finish(&self, open: &Open) {
        *open.machine() = Machine::Over;
    }

    /// CL-605: built-in modules acted in J2, so they are done.
    fn tell_builtin_progress(&self, open: &Open) {
        if open.payload.ns == crate::domain::claws::DHCP {
            self.route(open, progress_of_builtin(ADDRESS_MODULE, &open.accepted.key));
        }
        if open.payload.ns == crate::domain::claws::HOST {
            for module in [HOSTS_MODULE, ADDRESS_MODULE, DNS_MODULE] {
                self.route(open, progress_of_builtin(module, &open.accepted.key));
            }
        }
    }

    /// From J2 to J3.
    async fn apply(&self, open: &Open) {
        loop {
            let now = self.now();
            let deadline = match &*open.machine() {
                Machine::Applying(applying) => match applying.ended(now) {
                    Some((failed, outcomes)) => {
                        count(if failed { &self.counters.failed } else { &self.counters.completed });
                        self.end_later(Change::TxEnded { key: open.accepted.key.clone(), failed, outcomes });
                        None
                    }
                    None => Some(applying.deadline()),
                },
                _ => return,
            };
            let Some(deadline) = deadline else { return self.finish(open) };
            if !self.pause(open, deadline, now).await {
                return;
            }
        }
    }
}

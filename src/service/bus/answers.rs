//! What clients say about transactions that exist: updates, rejects, acks, progress, queries; and what
//! they say about themselves: subscriptions, heartbeats.

use std::collections::btree_map::Entry as Slot;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::record::Record;
use super::state::{Direct, Machine, Open, Pace, State};
use super::{Bus, Shared, count};
use crate::domain::change::TxKey;
use crate::domain::claws::Fault;
use crate::domain::claws::access::Principal;
use crate::domain::claws::merge::{Invalid, check};
use crate::domain::claws::message::{
    Ack, Applied, Course, Description, Phase, Progress, Reject, Subscription, Update, Uplink, progress_out,
};
use crate::domain::claws::transaction::{Reply, Unheard};
use crate::domain::claws::xml::decode;

/// Subscriptions of one credential.
const SUBSCRIPTIONS: usize = 64;
/// Progress messages of one module and transaction in a second (CL-603).
const PACE: u32 = 10;

/// An answer to something that was no submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Taken in.
    Done,
    /// To a query.
    Description(Box<Description>),
}

impl Bus {
    /// Takes in a message that is no submission. `session` is what the client says its session is.
    pub async fn hear(&self, who: &Principal, session: Option<&str>, message: Uplink) -> Result<Heard, Fault> {
        let heard = self.0.hear(who, session, message).await;
        if let Err(fault) = &heard {
            count(&self.0.counters.refused);
            self.0.audit(who, fault);
        }
        heard
    }
}

impl Shared {
    async fn hear(&self, who: &Principal, session: Option<&str>, message: Uplink) -> Result<Heard, Fault> {
        match message {
            Uplink::Submission(_) => Err(Fault::new("grammar", "a submission is taken in elsewhere")),
            Uplink::Update(update) => self.update(who, session, update),
            Uplink::Reject(reject) => self.reject(who, session, reject),
            Uplink::Ack(ack) => self.ack(who, session, &ack),
            Uplink::Progress(progress) => self.progress(who, progress),
            Uplink::Subscribe(subscription) => self.subscribe(who, subscription),
            Uplink::Heartbeat { applied } => {
                self.session(who, session)?;
                self.mark(who, applied);
                Ok(Heard::Done)
            }
            Uplink::Query { txid, re } => self.query(who, &txid, re).await,
            Uplink::Bye => {
                self.session(who, session)?;
                let end = self.shelf.lock().sessions.get(&who.name).map(|session| session.end.clone());
                end.iter().for_each(|end| end.end("bye"));
                Ok(Heard::Done)
            }
        }
    }

    /// CL-512: the session that speaks is the live one; it lives on.
    fn session(&self, who: &Principal, claimed: Option<&str>) -> Result<(), Fault> {
        let mut state = self.shelf.lock();
        let Some(session) = state.sessions.get_mut(&who.name) else {
            return Err(Fault::new("no-session", "open GET /claws/v1/stream?role=module first"));
        };
        if claimed.is_some_and(|claimed| !claimed.is_empty() && claimed != session.id) {
            return Err(Fault::new("fenced", "another session of this module has taken over"));
        }
        session.seen = self.now();
        Ok(())
    }

    fn mark(&self, who: &Principal, applied: Option<u64>) {
        if let Some(seq) = applied {
            let mut state = self.shelf.lock();
            let cursor = state.applied.entry(who.name.clone()).or_default();
            *cursor = seq.max(*cursor);
        }
    }

    /// The one transaction of that txid that this module was asked about.
    fn target(&self, who: &Principal, txid: &str, re: Option<u64>) -> Result<(Record, Option<Arc<Open>>), Fault> {
        let state = self.shelf.lock();
        let all = state.of_txid(txid);
        if all.is_empty() {
            return Err(Fault::new("unknown-transaction", "there is no such transaction").about(txid));
        }
        let mine: Vec<&Record> = all.into_iter().filter(|record| record.members.contains(&who.name)).collect();
        if mine.is_empty() {
            return Err(Fault::new("not-member", "this transaction did not ask you").about(txid));
        }
        let meant: Vec<&Record> = mine.into_iter().filter(|record| record.is_meant(re)).collect();
        match meant[..] {
            [] => Err(closed(txid)),
            [record] => Ok((record.clone(), state.open.get(&super::index(&record.accepted.key)).cloned())),
            _ => Err(Fault::new("ambiguous-txid", "several sources use this txid; add re=SEQ").about(txid)),
        }
    }

    fn update(&self, who: &Principal, session: Option<&str>, update: Update) -> Result<Heard, Fault> {
        let Some(rights) = &who.module else { return Err(stranger(&update.txid)) };
        update.source.as_deref().map_or(Ok(()), |source| who.owns_source(source))?;
        self.session(who, session)?;
        let (_, open) = self.target(who, &update.txid, update.re)?;
        let open = open.filter(|_| update.round == 0).ok_or_else(|| self.late(who, &update.txid))?;
        let checked = check(&open.payload, &update.edits, &rights.grants);
        let reply = match &checked {
            Ok(()) => Reply::Update { edits: update.edits, hold_ms: update.hold_ms },
            Err(invalid) => Reply::Denied(invalid.to_string()),
        };
        self.answer(who, &open, reply)?;
        match checked {
            Ok(()) => Ok(Heard::Done),
            Err(invalid @ Invalid::Wrapper(..)) => {
                Err(Fault::new("wrapper-mismatch", invalid.to_string()).about(&update.txid))
            }
            Err(invalid) => Err(Fault::new("denied", invalid.to_string()).about(&update.txid)),
        }
    }

    fn reject(&self, who: &Principal, session: Option<&str>, reject: Reject) -> Result<Heard, Fault> {
        if who.module.is_none() {
            return Err(stranger(&reject.txid));
        }
        reject.source.as_deref().map_or(Ok(()), |source| who.owns_source(source))?;
        self.session(who, session)?;
        let (_, open) = self.target(who, &reject.txid, reject.re)?;
        let open = open.filter(|_| reject.round == 0).ok_or_else(|| self.late(who, &reject.txid))?;
        self.answer(who, &open, Reply::Reject { code: reject.code, message: reject.message })?;
        Ok(Heard::Done)
    }

    fn answer(&self, who: &Principal, open: &Open, reply: Reply) -> Result<(), Fault> {
        let txid = &open.accepted.key.txid;
        let heard = match &mut *open.machine() {
            Machine::Collecting(collecting) => collecting.answer(&who.name, reply, self.now()),
            _ => Err(Unheard::RoundClosed),
        };
        open.wake.notify_one();
        match heard {
            Ok(_) => Ok(()),
            Err(Unheard::NotMember) => Err(stranger(txid)),
            Err(Unheard::AlreadyAnswered) => {
                Err(Fault::new("already-answered", "you gave another answer before; the first one counts").about(txid))
            }
            Err(Unheard::RoundClosed) => Err(self.late(who, txid)),
        }
    }

    fn late(&self, who: &Principal, txid: &str) -> Fault {
        count(&self.counters.late);
        tracing::warn!(module = who.name, txid, "an answer came after the round");
        closed(txid)
    }

    fn ack(&self, who: &Principal, session: Option<&str>, ack: &Ack) -> Result<Heard, Fault> {
        if who.module.is_none() {
            return Err(stranger(&ack.txid));
        }
        self.session(who, session)?;
        let open = {
            let state = self.shelf.lock();
            let meant = |record: &&Record| record.result.as_ref().is_some_and(|(seq, _)| *seq == ack.seq);
            let all = state.of_txid(&ack.txid);
            let record = all.iter().copied().find(meant);
            record.and_then(|record| state.open.get(&super::index(&record.accepted.key)).cloned())
        };
        self.mark(who, Some(ack.seq));
        // one that is over, or from before our memory: the cursor moved, the state stays (CL-310)
        if let Some(open) = open {
            self.report(&open, who, ack.result, ack.message.as_deref().unwrap_or(""));
        }
        Ok(Heard::Done)
    }

    fn report(&self, open: &Open, who: &Principal, applied: Applied, message: &str) {
        if let Machine::Applying(applying) = &mut *open.machine() {
            applying.report(&who.name, applied, message);
        }
        open.wake.notify_one();
    }

    fn progress(&self, who: &Principal, progress: Progress) -> Result<Heard, Fault> {
        who.owns_source(&progress.source)?;
        let about = progress.correlation_id.clone();
        let open = {
            let state = self.shelf.lock();
            let all = state.of_txid(&about);
            if all.is_empty() {
                return Err(Fault::new("unknown-transaction", "there is no such transaction").about(&about));
            }
            let concerned = |record: &&Record| self.concerns(&state, who, record);
            let named =
                |record: &&Record| record.is_meant(progress.re) || progress.re.is_some_and(|re| of_result(record, re));
            let mine: Vec<&Record> = all.into_iter().filter(concerned).filter(named).collect();
            match mine[..] {
                [] => return Err(stranger(&about)),
                [record] => state.open.get(&super::index(&record.accepted.key)).cloned(),
                _ => {
                    return Err(Fault::new("ambiguous-txid", "several sources use this txid; add re=SEQ").about(&about));
                }
            }
        };
        // what comes after the end is dropped (CL-603)
        let Some(open) = open.filter(|open| self.paced(open, who, &progress)) else {
            count(&self.counters.dropped);
            return Ok(Heard::Done);
        };
        let result = match (progress.course, progress.percent) {
            (Some(Course::Failed), _) => Some(Applied::Failed),
            (Some(Course::Done), _) | (None, 100) => Some(Applied::Applied),
            _ => None,
        };
        let message = progress.message.clone().unwrap_or_default();
        self.route(&open, progress);
        if let Some(result) = result {
            // the sketch knows no ack: who is done, has applied
            self.report(&open, who, result, &message);
        }
        Ok(Heard::Done)
    }

    /// CL-601: members, and those who see the final event.
    fn concerns(&self, state: &State, who: &Principal, record: &Record) -> bool {
        who.module.is_some()
            && (record.members.contains(&who.name)
                || decode(record.accepted.body.as_bytes())
                    .is_ok_and(|payload| self.subscribed(state, &who.name, &payload, Phase::Final)))
    }

    /// CL-603: percent never falls, and ten a second pass; 0, 100 and failure always do.
    fn paced(&self, open: &Open, who: &Principal, progress: &Progress) -> bool {
        let failed = progress.course == Some(Course::Failed);
        let second = self.now().0 / 1_000;
        let mut last = open.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match last.entry(who.name.clone()) {
            Slot::Vacant(slot) => {
                slot.insert((progress.clone(), Pace { second, count: 1 }));
                true
            }
            Slot::Occupied(mut slot) => {
                let (before, pace) = slot.get().clone();
                let count = if pace.second == second { pace.count.saturating_add(1) } else { 1 };
                let always = failed || progress.percent == 0 || progress.percent == 100;
                if (progress.percent < before.percent && !failed) || (count > PACE && !always) {
                    return false;
                }
                slot.insert((progress.clone(), Pace { second, count }));
                true
            }
        }
    }

    /// CL-118, CL-602: to the initiator's streams and to those who may watch, to nobody else.
    pub(super) fn route(&self, open: &Open, progress: Progress) {
        count(&self.counters.progress);
        let line: Arc<str> = progress_out(&progress, self.parts.clock.wall()).write().into();
        let state = self.shelf.lock();
        let after = self.shelf.head.read();
        for listener in state.streams.values() {
            let initiator = listener.frontend && listener.name == open.accepted.key.source;
            if (initiator || listener.watch) && listener.direct.try_send(Direct { after, line: line.clone() }).is_err()
            {
                // a reader that is too slow for progress still gets the final event
                count(&self.counters.dropped);
            }
        }
    }

    fn subscribe(&self, who: &Principal, subscription: Subscription) -> Result<Heard, Fault> {
        let beyond = |ns: &&String| match &who.module {
            Some(rights) => !rights.subscribe.allows(ns),
            // who watches sees everything; what it names are notices
            None => false,
        };
        if who.module.is_none() && !who.watch {
            return Err(Fault::new("forbidden", "only modules subscribe; a frontend sees its own transactions"));
        }
        if subscription.matches.iter().filter_map(|one| one.ns.as_ref()).any(|ns| beyond(&ns)) {
            return Err(Fault::new("forbidden", "this credential may not see that namespace"));
        }
        let mut state = self.shelf.lock();
        let mine = state.subscriptions.entry(who.name.clone()).or_default();
        if subscription.matches.is_empty() {
            mine.remove(&subscription.id);
        } else if mine.len() >= SUBSCRIPTIONS && !mine.contains_key(&subscription.id) {
            return Err(Fault::new("rate-limited", format!("at most {SUBSCRIPTIONS} subscriptions")));
        } else {
            mine.insert(subscription.id.clone(), subscription);
        }
        Ok(Heard::Done)
    }

    async fn query(&self, who: &Principal, txid: &str, re: Option<u64>) -> Result<Heard, Fault> {
        if who.module.is_some() {
            match self.target(who, txid, re) {
                Ok((record, _)) => return Ok(Heard::Description(Box::new(record.describe(false)))),
                Err(fault) if fault.code == "ambiguous-txid" => return Err(fault),
                Err(_) => {}
            }
        }
        let key = TxKey { source: who.name.clone(), txid: txid.to_owned() };
        let record = self.record(&key).await?;
        // CL-307: presumed abort
        let unknown = || Description { txid: txid.to_owned(), state: "unknown", ..Description::default() };
        Ok(Heard::Description(Box::new(record.map_or_else(unknown, |record| record.describe(false)))))
    }
}

fn of_result(record: &Record, seq: u64) -> bool {
    record.result.as_ref().is_some_and(|(of, _)| *of == seq)
}

fn closed(txid: &str) -> Fault {
    Fault::new("round-closed", "the transaction is decided; nothing can be added").about(txid)
}

fn stranger(txid: &str) -> Fault {
    Fault::new("not-member", "this transaction did not ask you").about(txid)
}

/// That a built-in module is done with a transaction.
pub(super) fn progress_of_builtin(module: &str, key: &TxKey) -> Progress {
    let digest = Sha256::digest(format!("{module}\0{}\0{}", key.source, key.txid));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Progress {
        txid: format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]),
        re: None,
        source: module.to_owned(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        correlation_id: key.txid.clone(),
        percent: 100,
        message: None,
        course: Some(Course::Done),
    }
}

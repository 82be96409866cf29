//! Taking a command in: rights, idempotency, limits, the frozen set of members.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::record::{Record, index};
use super::state::{Board, Machine, Milestone, Open, State};
use super::{Bus, OPEN, OPEN_EACH, Shared, count};
use crate::domain::change::{TxAccepted, TxKey};
use crate::domain::claws::Fault;
use crate::domain::claws::access::Principal;
use crate::domain::claws::message::{Description, Match, Phase, Submission};
use crate::domain::claws::transaction::{Collecting, DEADLINE_CAP, Member, Policy, Role};
use crate::domain::claws::xml::Element;

/// How long a built-in module may take.
const BUILTIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A submission that is durable.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub description: Description,
    /// It was decided before the answer left.
    pub decided: bool,
    /// It had been submitted before.
    pub repeated: bool,
}

enum Entered {
    New(Arc<Open>),
    Running(Arc<Open>),
    Over(Box<Record>),
}

impl Bus {
    /// Accepts a command: returns once J1 is durable and, if it is decided within `wait`, with the decision.
    /// The same submission again gets the state of the first.
    pub async fn submit(&self, who: &Principal, message: Submission, wait: Duration) -> Result<Accepted, Fault> {
        let txid = message.txid.clone();
        self.0.clone().submit(who, message, wait).await.map_err(|fault| {
            count(&self.0.counters.refused);
            let fault = fault.about(&txid);
            self.0.audit(who, &fault);
            fault
        })
    }
}

impl Shared {
    async fn submit(
        self: Arc<Shared>,
        who: &Principal,
        message: Submission,
        wait: Duration,
    ) -> Result<Accepted, Fault> {
        who.may_submit(&message.source, message.identity.as_deref(), &message.payload)?;
        if self.stop.is_cancelled() {
            return Err(Fault::new("stopping", "the daemon is stopping; try again"));
        }
        self.ledger()?;
        let key = TxKey { source: who.name.clone(), txid: message.txid.clone() };
        let digest = message.payload.digest();
        let (open, repeated) = match self.enter(&key, &digest, message).await? {
            Entered::New(open) => {
                tokio::spawn(self.clone().run(open.clone(), false));
                (open, false)
            }
            Entered::Running(open) => (open, true),
            Entered::Over(record) => {
                return Ok(Accepted { description: record.describe(false), decided: true, repeated: true });
            }
        };
        let accepted = tokio::select! {
            biased;
            milestone = open.milestone.wait_for(|m| *m != Milestone::Begun) => milestone,
            () = self.stop.cancelled() => return Err(Fault::new("stopping", "the daemon is stopping; try again")),
        };
        if let Milestone::Lost(fault) = accepted {
            return Err(fault);
        }
        let decided = open.milestone.wait_for(|m| *m == Milestone::Decided);
        let decided = if wait.is_zero() {
            open.milestone.read() == Milestone::Decided
        } else {
            tokio::time::timeout(wait, decided).await.is_ok()
        };
        let record = self.record(&key).await?;
        let record = record.ok_or_else(|| Fault::new("journal-unavailable", "the transaction cannot be read"))?;
        Ok(Accepted { description: record.describe(false), decided, repeated })
    }

    /// Finds the transaction of that key, or makes it.
    async fn enter(&self, key: &TxKey, digest: &str, message: Submission) -> Result<Entered, Fault> {
        if let Some(found) = known(&self.shelf.lock(), key, digest)? {
            return Ok(found);
        }
        if let Some(record) = self.record(key).await?.filter(Record::is_over) {
            return same(&record.accepted, digest).map(|()| Entered::Over(Box::new(record)));
        }
        let mut state = self.shelf.lock();
        // somebody may have been quicker while we looked into history
        if let Some(found) = known(&state, key, digest)? {
            return Ok(found);
        }
        let first = TxKey { source: key.source.clone(), txid: String::new() };
        let mine = state.open.range(first..).take_while(|(other, _)| other.source == key.source).count();
        if state.open.len() >= OPEN {
            return Err(Fault::new("overloaded", "too many open transactions; try again"));
        }
        if mine >= OPEN_EACH {
            return Err(Fault::new("rate-limited", format!("at most {OPEN_EACH} open transactions per credential")));
        }
        let open = Arc::new(self.opened(&state, key, digest, message));
        state.open.insert(index(key), open.clone());
        Ok(Entered::New(open))
    }

    fn opened(&self, state: &State, key: &TxKey, digest: &str, message: Submission) -> Open {
        let asked = message.deadline_ms.map_or(Duration::MAX, |ms| Duration::from_millis(u64::from(ms)));
        let left = self.settings().deadline.min(DEADLINE_CAP).min(asked);
        let now = self.now();
        let members = self.members(state, &message.payload);
        let collecting = Collecting::start(members, now.plus(left), None, now);
        let accepted = TxAccepted {
            key: key.clone(),
            digest: digest.to_owned(),
            body: message.payload.write(),
            source_name: message.source,
            identity: message.identity.unwrap_or_default(),
            correlation_id: message.correlation_id,
            deadline: self.parts.clock.wall().plus(left),
            members: collecting.names(),
        };
        Open {
            accepted,
            payload: message.payload,
            until: now.plus(left),
            machine: Mutex::new(Machine::Collecting(collecting)),
            wake: Notify::new(),
            milestone: Board::new(Milestone::Begun),
            progress: Mutex::default(),
        }
    }

    /// CL-126: built-in modules that want it, live modules that subscribed to it, and modules without which
    /// there is to be no decision.
    pub(super) fn members(&self, state: &State, payload: &Element) -> Vec<Member> {
        let mut out = self.builtin_members(payload);
        for name in self.settings().module_names() {
            let Some(module) = self.settings().module(&name) else { continue };
            let absent = !state.sessions.contains_key(&name);
            let needed = module.policy.role == Role::Required || module.policy.on_down.is_some();
            let wants = self.subscribed(state, &name, payload, Phase::Provisional);
            if module.policy.role != Role::Observer && wants && (!absent || needed) {
                out.push(Member { name, policy: module.policy, absent });
            }
        }
        out
    }

    pub(super) fn builtin_members(&self, payload: &Element) -> Vec<Member> {
        let enrichers = self.enrichers.load();
        let wanting = enrichers.iter().filter(|module| module.wants(payload));
        let policy = Policy { role: Role::Required, timeout: BUILTIN_TIMEOUT, veto: true, ..Policy::default() };
        wanting.map(|module| Member { name: module.name().to_owned(), policy: policy.clone(), absent: false }).collect()
    }

    /// True if a module's rights and subscriptions cover such an event.
    pub(super) fn subscribed(&self, state: &State, module: &str, payload: &Element, phase: Phase) -> bool {
        let principal = self.settings().principal(module, false);
        if !principal.module.is_some_and(|rights| rights.subscribe.allows(&payload.ns)) {
            return false;
        }
        match state.subscriptions.get(module).filter(|all| !all.is_empty()) {
            None => Match::default().accepts(payload, phase),
            Some(all) => all.values().flat_map(|s| &s.matches).any(|one| one.accepts(payload, phase)),
        }
    }
}

fn known(state: &State, key: &TxKey, digest: &str) -> Result<Option<Entered>, Fault> {
    let key = index(key);
    if let Some(open) = state.open.get(&key) {
        return same(&open.accepted, digest).map(|()| Some(Entered::Running(open.clone())));
    }
    match state.records.get(&key) {
        Some(record) => same(&record.accepted, digest).map(|()| Some(Entered::Over(Box::new(record.clone())))),
        None => Ok(None),
    }
}

/// CL-502: a txid stands for one content.
fn same(accepted: &TxAccepted, digest: &str) -> Result<(), Fault> {
    if accepted.digest == digest {
        return Ok(());
    }
    Err(Fault::new("txid-reuse", "this txid was used for another content; choose a new one"))
}

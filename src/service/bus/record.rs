//! What the journal says about one transaction. Owns the order of its states; refuses entries that do not
//! follow from what was there.

use std::sync::Arc;

use crate::domain::change::{Change, TxAccepted, TxFinal, TxKey, TxOutcome};
use crate::domain::claws::message::Description;
use crate::domain::claws::xml::decode;
use crate::domain::time::Wall;
use crate::store::Entry;

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    Collecting,
    Applying,
    Cancelled { reason: String, message: String },
    Ended { failed: bool },
}

/// One transaction.
#[derive(Debug, Clone)]
pub struct Record {
    pub accepted: Arc<TxAccepted>,
    /// When it was accepted: the timestamp of all its broadcasts (CL-203).
    pub at: Wall,
    /// Of J1, or of the last J1r: what `re` refers to.
    pub seq: u64,
    /// Of J1.
    pub first: u64,
    pub reopened: u8,
    pub deadline: Wall,
    pub members: Vec<String>,
    pub stage: Stage,
    /// The result, with the seq of J2.
    pub result: Option<(u64, Arc<TxFinal>)>,
    pub outcomes: Vec<TxOutcome>,
}

/// Transactions are found by source and txid without regard to case.
pub fn index(key: &TxKey) -> TxKey {
    TxKey { source: key.source.clone(), txid: key.txid.to_ascii_lowercase() }
}

/// The text behind a reason: who reads "conflict" also wants to know what collided.
pub fn because(message: &str) -> TxOutcome {
    let (module, result) = ("lanlord".to_owned(), "denied".to_owned());
    TxOutcome { module, result, detail: message.to_owned(), late: false }
}

/// The key that a change is about, if it is about a transaction.
pub fn key_of(change: &Change) -> Option<&TxKey> {
    match change {
        Change::TxAccepted(tx) => Some(&tx.key),
        Change::TxFinal(tx) => Some(&tx.key),
        Change::TxReopened { key, .. } | Change::TxCancelled { key, .. } | Change::TxEnded { key, .. } => Some(key),
        _ => None,
    }
}

impl Record {
    /// A transaction begins with J1 only.
    pub fn begin(entry: &Entry) -> Option<Record> {
        let Change::TxAccepted(tx) = &entry.change else { return None };
        Some(Record {
            accepted: Arc::new((**tx).clone()),
            at: entry.at,
            seq: entry.seq,
            first: entry.seq,
            reopened: 0,
            deadline: tx.deadline,
            members: tx.members.clone(),
            stage: Stage::Collecting,
            result: None,
            outcomes: Vec::new(),
        })
    }

    /// The transaction that these entries tell of.
    pub fn replay(entries: &[Entry]) -> Option<Record> {
        let (first, rest) = entries.split_first()?;
        let mut record = Record::begin(first)?;
        rest.iter().for_each(|entry| record.apply(entry));
        Some(record)
    }

    /// Takes the next entry of this transaction in.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.change {
            Change::TxReopened { members, deadline, .. } if self.stage == Stage::Collecting => {
                self.seq = entry.seq;
                self.reopened = self.reopened.saturating_add(1);
                self.members.clone_from(members);
                self.deadline = *deadline;
            }
            Change::TxFinal(tx) if self.stage == Stage::Collecting => {
                self.stage = Stage::Applying;
                self.outcomes.clone_from(&tx.outcomes);
                self.result = Some((entry.seq, Arc::new((**tx).clone())));
            }
            Change::TxCancelled { reason, message, outcomes, .. } if self.stage == Stage::Collecting => {
                self.stage = Stage::Cancelled { reason: reason.clone(), message: message.clone() };
                self.outcomes.clone_from(outcomes);
            }
            Change::TxEnded { failed, outcomes, .. } if self.stage == Stage::Applying => {
                self.stage = Stage::Ended { failed: *failed };
                self.outcomes.extend(outcomes.iter().cloned());
            }
            _ => {}
        }
    }

    /// True if `re` names the provisional event, before or after a restart.
    pub fn is_meant(&self, re: Option<u64>) -> bool {
        re.is_none_or(|re| re == self.seq || re == self.first)
    }

    /// True once nothing more will follow.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Cancelled { .. } | Stage::Ended { .. })
    }

    /// For its submitter and for those who may watch.
    pub fn describe(&self, explain: bool) -> Description {
        let (state, reason) = match &self.stage {
            Stage::Collecting => ("collecting", None),
            Stage::Applying => ("applying", None),
            Stage::Cancelled { reason, .. } => ("cancelled", Some(reason.clone())),
            Stage::Ended { failed: false } => ("completed", None),
            Stage::Ended { failed: true } => ("failed", None),
        };
        let result = self.result.as_ref();
        let body = result.map_or(&self.accepted.body, |(_, tx)| &tx.body);
        let mut outcomes = self.outcomes.clone();
        if let Stage::Cancelled { message, .. } = &self.stage {
            outcomes.push(because(message));
        }
        Description {
            txid: self.accepted.key.txid.clone(),
            state,
            reason,
            seq: Some(result.map_or(self.seq, |(seq, _)| *seq)),
            timestamp: Some(self.at),
            digest: Some(result.map_or(&self.accepted.digest, |(_, tx)| &tx.digest).clone()),
            source: Some(self.accepted.source_name.clone()),
            identity: Some(self.accepted.identity.clone()),
            outcomes,
            payload: decode(body.as_bytes()).ok(),
            contributions: result.filter(|_| explain).map(|(_, tx)| tx.contributions.clone()).unwrap_or_default(),
        }
    }
}

//! One broadcast, made from the journal's entry when somebody first reads it, and encoded once for all.

use std::sync::{Arc, OnceLock};

use super::record::{Record, because};
use crate::domain::change::{Change, TxAccepted, TxOutcome};
use crate::domain::claws::message::{Broadcast, Phase};
use crate::domain::claws::xml::{Element, decode};
use crate::domain::time::Wall;
use crate::store::Entry;

/// A broadcast event.
#[derive(Debug)]
pub struct Event {
    pub seq: u64,
    pub phase: Phase,
    pub accepted: Arc<TxAccepted>,
    /// Those who saw, or are to see, the provisional event.
    pub members: Vec<String>,
    /// The payload as it was written to the journal.
    body: String,
    timestamp: Wall,
    deadline_ms: Option<u64>,
    reason: Option<String>,
    outcomes: Vec<TxOutcome>,
    encoded: OnceLock<Encoded>,
}

#[derive(Debug)]
struct Encoded {
    payload: Option<Element>,
    line: String,
}

impl Event {
    /// The event that an entry is, `record` standing behind it. Other entries are none.
    pub fn of(record: &Record, entry: &Entry) -> Option<Event> {
        let mut event = Event {
            seq: entry.seq,
            phase: Phase::Provisional,
            accepted: record.accepted.clone(),
            members: record.members.clone(),
            body: String::new(),
            timestamp: record.at,
            deadline_ms: None,
            reason: None,
            outcomes: Vec::new(),
            encoded: OnceLock::new(),
        };
        match &entry.change {
            Change::TxAccepted(_) | Change::TxReopened { .. } => {
                let left = record.deadline.since(entry.at).as_millis();
                event.deadline_ms = u64::try_from(left).ok();
                event.body.clone_from(&record.accepted.body);
            }
            Change::TxFinal(tx) => {
                event.phase = Phase::Final;
                event.body.clone_from(&tx.body);
            }
            Change::TxCancelled { reason, message, outcomes, .. } => {
                event.phase = Phase::Cancelled;
                event.reason = Some(reason.clone());
                event.outcomes.clone_from(outcomes);
                event.outcomes.push(because(message));
                event.body.clone_from(&record.accepted.body);
            }
            Change::TxEnded { failed, outcomes, .. } => {
                event.phase = if *failed { Phase::Failed } else { Phase::Completed };
                event.outcomes.clone_from(outcomes);
            }
            _ => return None,
        }
        Some(event)
    }

    fn encoded(&self) -> &Encoded {
        self.encoded.get_or_init(|| {
            let payload = decode(self.body.as_bytes()).ok();
            let broadcast = Broadcast {
                txid: &self.accepted.key.txid,
                phase: self.phase,
                timestamp: self.timestamp,
                seq: self.seq,
                deadline_ms: self.deadline_ms,
                reason: self.reason.as_deref(),
                source: &self.accepted.source_name,
                identity: &self.accepted.identity,
                correlation_id: self.accepted.correlation_id.as_deref(),
                outcomes: &self.outcomes,
                payload: payload.clone(),
            };
            Encoded { line: broadcast.element().write(), payload }
        })
    }

    /// The message, one line.
    pub fn line(&self) -> &str {
        &self.encoded().line
    }

    /// Its payload; none for completed and failed.
    pub fn payload(&self) -> Option<&Element> {
        self.encoded().payload.as_ref()
    }

    /// True for those that a later stream gets, too (CL-506).
    pub fn is_replayed(&self) -> bool {
        self.phase != Phase::Provisional
    }
}

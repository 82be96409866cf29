//! Entries of transactions on the bus.

use serde::{Deserialize, Serialize};

use crate::domain::change::{self, Change, Contribution, TxKey, TxOutcome};
use crate::domain::time::Wall;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    source: String,
    txid: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxAccepted {
    key: Key,
    digest: String,
    body: String,
    source_name: String,
    identity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    deadline: i64,
    members: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxReopened {
    pub key: Key,
    pub members: Vec<String>,
    pub deadline: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxFinal {
    key: Key,
    body: String,
    digest: String,
    outcomes: Vec<Outcome>,
    contributions: Vec<Contributed>,
    appliers: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxCancelled {
    key: Key,
    reason: String,
    message: String,
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TxEnded {
    key: Key,
    failed: bool,
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    module: String,
    result: String,
    detail: String,
    late: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contributed {
    op: String,
    by: Vec<String>,
    element: String,
}

impl From<&TxKey> for Key {
    fn from(key: &TxKey) -> Key {
        Key { source: key.source.clone(), txid: key.txid.clone() }
    }
}

impl From<Key> for TxKey {
    fn from(key: Key) -> TxKey {
        TxKey { source: key.source, txid: key.txid }
    }
}

fn stored(outcomes: &[TxOutcome]) -> Vec<Outcome> {
    let one = |o: &TxOutcome| Outcome {
        module: o.module.clone(),
        result: o.result.clone(),
        detail: o.detail.clone(),
        late: o.late,
    };
    outcomes.iter().map(one).collect()
}

fn outcomes(stored: Vec<Outcome>) -> Vec<TxOutcome> {
    let one = |o: Outcome| TxOutcome { module: o.module, result: o.result, detail: o.detail, late: o.late };
    stored.into_iter().map(one).collect()
}

impl From<&change::TxAccepted> for TxAccepted {
    fn from(tx: &change::TxAccepted) -> TxAccepted {
        TxAccepted {
            key: (&tx.key).into(),
            digest: tx.digest.clone(),
            body: tx.body.clone(),
            source_name: tx.source_name.clone(),
            identity: tx.identity.clone(),
            correlation_id: tx.correlation_id.clone(),
            deadline: tx.deadline.0,
            members: tx.members.clone(),
        }
    }
}

impl From<TxAccepted> for change::TxAccepted {
    fn from(tx: TxAccepted) -> change::TxAccepted {
        change::TxAccepted {
            key: tx.key.into(),
            digest: tx.digest,
            body: tx.body,
            source_name: tx.source_name,
            identity: tx.identity,
            correlation_id: tx.correlation_id,
            deadline: Wall(tx.deadline),
            members: tx.members,
        }
    }
}

impl From<TxReopened> for Change {
    fn from(tx: TxReopened) -> Change {
        Change::TxReopened { key: tx.key.into(), members: tx.members, deadline: Wall(tx.deadline) }
    }
}

impl From<&change::TxFinal> for TxFinal {
    fn from(tx: &change::TxFinal) -> TxFinal {
        let contributed =
            |c: &Contribution| Contributed { op: c.op.clone(), by: c.by.clone(), element: c.element.clone() };
        TxFinal {
            key: (&tx.key).into(),
            body: tx.body.clone(),
            digest: tx.digest.clone(),
            outcomes: stored(&tx.outcomes),
            contributions: tx.contributions.iter().map(contributed).collect(),
            appliers: tx.appliers.clone(),
        }
    }
}

impl From<TxFinal> for change::TxFinal {
    fn from(tx: TxFinal) -> change::TxFinal {
        let contribution = |c: Contributed| Contribution { op: c.op, by: c.by, element: c.element };
        change::TxFinal {
            key: tx.key.into(),
            body: tx.body,
            digest: tx.digest,
            outcomes: outcomes(tx.outcomes),
            contributions: tx.contributions.into_iter().map(contribution).collect(),
            appliers: tx.appliers,
        }
    }
}

impl TxCancelled {
    pub fn new(key: &TxKey, reason: &str, message: &str, outcomes: &[TxOutcome]) -> TxCancelled {
        TxCancelled {
            key: key.into(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            outcomes: stored(outcomes),
        }
    }
}

impl From<TxCancelled> for Change {
    fn from(tx: TxCancelled) -> Change {
        Change::TxCancelled {
            key: tx.key.into(),
            reason: tx.reason,
            message: tx.message,
            outcomes: outcomes(tx.outcomes),
        }
    }
}

impl TxEnded {
    pub fn new(key: &TxKey, failed: bool, outcomes: &[TxOutcome]) -> TxEnded {
        TxEnded { key: key.into(), failed, outcomes: stored(outcomes) }
    }
}

impl From<TxEnded> for Change {
    fn from(tx: TxEnded) -> Change {
        Change::TxEnded { key: tx.key.into(), failed: tx.failed, outcomes: outcomes(tx.outcomes) }
    }
}

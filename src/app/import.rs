//! `lanlord import --state DIR` (DH-642): leases of another server into the journal of a daemon that is
//! stopped, through the ledger, as the daemon itself writes. Refuses a folder that a daemon holds.

use std::path::Path;
use std::sync::Arc;

use super::AppError;
use crate::clock::System;
use crate::config::Config;
use crate::config::import::{Imported, LeaseRow};
use crate::domain::change::Change;
use crate::domain::dhcp::carry::{Held, Taken};
use crate::domain::time::Wall;
use crate::store::ledger::PROPOSAL_CHANGES;
use crate::store::{self, Ledger, SqlitePort};

/// Commits the leases of an import, each with its line in the report. Running it twice changes nothing.
pub async fn into_state(state: &Path, config: &Config, imported: &mut Imported, now: Wall) -> Result<(), AppError> {
    let store::Opened { port, recovered, history: _ } = store::open(state, "local").await?;
    let mut held = Held::under(&config.policy);
    recovered.entries.iter().for_each(|entry| held.apply(&entry.change));
    config.policy.reservations.iter().for_each(|reservation| held.reserve(reservation));
    let rows = std::mem::take(&mut imported.model.leases);
    let mut changes: Vec<Change> = Vec::new();
    for row in &rows {
        judge(row, &mut held, config, now, imported, &mut changes);
    }
    let (ledger, end) = Ledger::start::<SqlitePort>(port, recovered, Vec::new(), Arc::new(System));
    // one commit, unless there is more than one commit holds
    while !changes.is_empty() {
        let rest = changes.split_off(changes.len().min(PROPOSAL_CHANGES / 2));
        let committed = ledger.commit(std::mem::replace(&mut changes, rest)).await;
        committed.map_err(|e| AppError::Failed(format!("the leases are not written: {e}")))?;
    }
    ledger.stop().await;
    let ended = end.await.map_err(|_| AppError::Failed("the ledger ended early".to_owned()))?;
    ended.map_err(|e| AppError::Failed(e.to_string()))
}

fn judge(
    row: &LeaseRow,
    held: &mut Held,
    config: &Config,
    now: Wall,
    imported: &mut Imported,
    changes: &mut Vec<Change>,
) {
    let what = match row.delegated {
        Some(length) => format!("lease {}/{length}", row.ip),
        None => format!("lease {}", row.ip),
    };
    match held.take(&row.carried(), now, config.policy.rules.quarantine) {
        Taken::New(change) => changes.push(*change),
        Taken::Same => imported.report.adapted(&row.place, what, "it is here already"),
        Taken::Refused(why) => {
            imported.report.refused(
                &row.place,
                what,
                why,
                "see that the configuration has its subnet, and who holds it",
            );
        }
    }
}

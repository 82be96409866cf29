//! The laws, over what the disk holds.

use std::collections::BTreeMap;

use lanlord::domain::change::{Change, Claim, TxKey};
use lanlord::domain::claws::xml::decode;
use lanlord::domain::host::Host;
use lanlord::store::Entry;

/// A law that did not hold: its number and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub law: &'static str,
    pub what: String,
}

pub fn broken<T>(law: &'static str, what: String) -> Result<T, Broken> {
    Err(Broken { law, what })
}

/// Where a transaction stands on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Accepted,
    Final,
    Cancelled,
    Ended,
}

/// State as the durable journal has it, kept up entry by entry.
#[derive(Debug, Default)]
pub struct Durable {
    seen: usize,
    pub stages: BTreeMap<String, Stage>,
    pub hosts: BTreeMap<String, Host>,
    pub reopened: u64,
    pub failed: u64,
}

impl Durable {
    /// Takes in what was synced since, and checks each step.
    pub fn follow(&mut self, entries: &[Entry]) -> Result<(), Broken> {
        let this = self;
        let from = this.seen.min(entries.len());
        this.seen = entries.len();
        for (i, entry) in entries.iter().enumerate().skip(from) {
            match &entry.change {
                Change::TxAccepted(tx) => this.step(&tx.key, None, Stage::Accepted)?,
                Change::TxReopened { key, .. } => {
                    this.reopened += 1;
                    this.step(key, Some(Stage::Accepted), Stage::Accepted)?;
                }
                Change::TxCancelled { key, .. } => this.step(key, Some(Stage::Accepted), Stage::Cancelled)?,
                Change::TxEnded { key, failed, .. } => {
                    this.failed += u64::from(*failed);
                    this.step(key, Some(Stage::Final), Stage::Ended)?;
                }
                Change::TxFinal(tx) => {
                    this.step(&tx.key, Some(Stage::Accepted), Stage::Final)?;
                    let digest = decode(tx.body.as_bytes()).map(|body| body.digest()).unwrap_or_default();
                    if digest != tx.digest {
                        broken("L10", format!("{:?} has another digest", tx.key))?;
                    }
                    // I7: what it implies stands beside it, in one batch
                    let next = entries.get(i + 1).filter(|next| next.at == entry.at).map(|next| &next.change);
                    if !matches!(next, Some(Change::HostPut(_) | Change::HostRemoved { .. })) {
                        broken("I7", format!("{:?} is final and implies nothing", tx.key))?;
                    }
                }
                Change::HostPut(host) => this.put(host)?,
                Change::HostRemoved { id } => drop(this.hosts.remove(id)),
                _ => {}
            }
        }
        Ok(())
    }

    /// CL-304: one way through, one end.
    fn step(&mut self, key: &TxKey, from: Option<Stage>, to: Stage) -> Result<(), Broken> {
        let before = self.stages.insert(key.txid.clone(), to);
        if before == from { Ok(()) } else { broken("CL-304", format!("{key:?} goes from {before:?} to {to:?}")) }
    }

    /// CL-408: a MAC, an address and a name belong to one host.
    fn put(&mut self, host: &Host) -> Result<(), Broken> {
        let mine = Change::HostPut(Box::new(host.clone())).claims();
        for other in self.hosts.values().filter(|other| other.id != host.id) {
            let theirs = Change::HostPut(Box::new(other.clone())).claims();
            let shared = |claim: &&Claim| !matches!(claim, Claim::Object(..)) && theirs.contains(claim);
            if let Some(claim) = mine.iter().find(shared) {
                broken("CL-408", format!("{} and {} both have {claim:?}", host.id, other.id))?;
            }
        }
        self.hosts.insert(host.id.clone(), host.clone());
        Ok(())
    }

    /// True if the journal holds at least that.
    pub fn has(&self, txid: &str, stages: &[Stage]) -> bool {
        self.stages.get(txid).is_some_and(|stage| stages.contains(stage))
    }
}

//! Transactions in the tail of the journal, by key: what the table `tx` does not hold yet. Owns no truth;
//! holds as many entries as the tail does, which is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fold::tx_key;
use super::ledger::Entry;
use crate::domain::change::{Change, TxKey};

/// The transaction that a change is a step of.
pub(super) fn transaction(change: &Change) -> Option<&TxKey> {
    match change {
        Change::TxAccepted(tx) => Some(&tx.key),
        Change::TxFinal(tx) => Some(&tx.key),
        Change::TxReopened { key, .. } | Change::TxCancelled { key, .. } | Change::TxEnded { key, .. } => Some(key),
        _ => None,
    }
}

/// Where an entry stands: its batch, and its place there.
type Place = (Arc<[Entry]>, usize);
/// By source and txid in lower case.
type Index = HashMap<(String, String), Vec<Place>>;

/// The index. Clones share it: the port writes, history reads.
///
/// An entry comes in after its row is durable and goes after the table holds it. So who looks here first
/// and into the table then misses nothing, and finds twice what was folded in between.
#[derive(Debug, Clone, Default)]
pub(super) struct Unfolded(Arc<Mutex<Index>>);

impl Unfolded {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a batch from entry `first` on.
    pub fn add(&self, entries: &Arc<[Entry]>, first: usize) {
        let mut steps = entries.iter().enumerate().skip(first).filter_map(|(i, e)| Some((i, transaction(&e.change)?)));
        let Some((i, key)) = steps.next() else { return };
        let mut index = self.lock();
        for (i, key) in std::iter::once((i, key)).chain(steps) {
            index.entry(tx_key(&key.source, &key.txid)).or_default().push((entries.clone(), i));
        }
    }

    /// Forgets one entry.
    pub fn remove(&self, entry: &Entry) {
        let Some(key) = transaction(&entry.change) else { return };
        let key = tx_key(&key.source, &key.txid);
        let mut index = self.lock();
        if let Some(places) = index.get_mut(&key) {
            places.retain(|(batch, i)| batch[*i].seq != entry.seq);
            if places.is_empty() {
                index.remove(&key);
            }
        }
    }

    /// The steps of one transaction that are not in the table yet, in order.
    pub fn of(&self, key: &(String, String)) -> Vec<Entry> {
        let places = self.lock().get(key).cloned().unwrap_or_default();
        places.iter().map(|(batch, i)| batch[*i].clone()).collect()
    }
}

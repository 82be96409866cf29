//! The ledger's port without a disk: what is appended is remembered for as long as the process lives.

use std::sync::{Arc, Mutex};

use super::ledger::{Batch, Entry, Port, PortError, Recovered};

/// A journal in memory. Clones share it, so that a test can restart a ledger on what an earlier one wrote.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    entries: Arc<Mutex<Vec<Entry>>>,
    /// While set, every append is refused: a full disk.
    refuse: Arc<std::sync::atomic::AtomicBool>,
}

impl Memory {
    /// What a restart would find.
    pub fn recovered(&self) -> Recovered {
        let entries = self.entries.lock().expect("no holder panics").clone();
        Recovered {
            head: entries.last().map_or(0, |e| e.seq),
            entries,
            epoch: "memory".to_owned(),
            findings: Vec::new(),
        }
    }

    /// Makes appends fail, or work again.
    pub fn refuse(&self, on: bool) {
        self.refuse.store(on, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Port for Memory {
    async fn append(&mut self, batch: Batch) -> Result<(), PortError> {
        if self.refuse.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(PortError::Refused("the disk is full".to_owned()));
        }
        self.entries.lock().expect("no holder panics").extend_from_slice(&batch.entries);
        Ok(())
    }

    async fn fold(&mut self) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn close(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

//! What works and what does not, part by part, for `/readyz`, the status page and the watchdog. Owns the
//! words; refuses to mend anything.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has not said yet.
    Starting,
    Works,
    /// Why not, and what is done about it.
    Fails(String),
    /// Something to look at that keeps nobody from being served.
    Degraded(String),
}

/// The board that parts write on.
#[derive(Debug, Default)]
pub struct Health {
    parts: RwLock<BTreeMap<String, State>>,
}

impl Health {
    pub fn new() -> Arc<Health> {
        Arc::default()
    }

    /// How a part is from now on.
    pub fn set(&self, part: &str, state: State) {
        self.parts.write().unwrap_or_else(|e| e.into_inner()).insert(part.to_owned(), state);
    }

    /// Takes a part off the board.
    pub fn forget(&self, part: &str) {
        self.parts.write().unwrap_or_else(|e| e.into_inner()).remove(part);
    }

    /// All parts by name.
    pub fn parts(&self) -> BTreeMap<String, State> {
        self.parts.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// True if every part is there to serve.
    pub fn is_ready(&self) -> bool {
        let parts = self.parts.read().unwrap_or_else(|e| e.into_inner());
        parts.values().all(|state| matches!(state, State::Works | State::Degraded(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_no_part_starts_or_fails() {
        let health = Health::new();
        health.set("ledger", State::Works);
        health.set("dns", State::Starting);
        assert!(!health.is_ready());
        health.set("dns", State::Degraded("an upstream is silent".to_owned()));
        assert!(health.is_ready());
        health.set("dhcp4 eth1", State::Fails("no such interface".to_owned()));
        assert!(!health.is_ready());
        health.forget("dhcp4 eth1");
        assert!(health.is_ready());
    }
}

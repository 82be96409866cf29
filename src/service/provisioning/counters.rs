//! Counts of what came in and how it came out, by closed words.

use std::sync::atomic::{AtomicU64, Ordering};

use super::request::{Decision, Protocol, Reason};

/// The counters.
#[derive(Default)]
pub struct Counters {
    http: [AtomicU64; Decision::WORDS.len()],
    tftp: [AtomicU64; Decision::WORDS.len()],
    nobody: [AtomicU64; Reason::ALL.len()],
    created: AtomicU64,
    created_on_lease: AtomicU64,
    too_many_on_lease: AtomicU64,
    mismatch: AtomicU64,
    lagged: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub fn decided(&self, protocol: Protocol, word: &'static str) {
        let row = if protocol == Protocol::Http { &self.http } else { &self.tftp };
        if let Some(i) = Decision::WORDS.iter().position(|w| *w == word) {
            add(&row[i]);
        }
    }

    pub fn unidentified(&self, reason: Reason) {
        if let Some(i) = Reason::ALL.iter().position(|r| *r == reason) {
            add(&self.nobody[i]);
        }
    }

    pub fn created(&self) {
        add(&self.created);
    }

    pub fn created_on_lease(&self) {
        add(&self.created_on_lease);
    }

    pub fn too_many_on_lease(&self) {
        add(&self.too_many_on_lease);
    }

    pub fn mismatch(&self) {
        add(&self.mismatch);
    }

    pub fn lagged(&self) {
        add(&self.lagged);
    }

    #[allow(clippy::type_complexity)] // the shape that all services render their counters in
    pub fn all(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>, u64)> {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut out = Vec::new();
        for (protocol, row) in [("http", &self.http), ("tftp", &self.tftp)] {
            for (word, counter) in Decision::WORDS.iter().zip(row) {
                let labels = vec![("protocol", protocol), ("outcome", *word)];
                out.push(("lanlord_provisioning_requests_total", labels, value(counter)));
            }
        }
        for (reason, counter) in Reason::ALL.iter().zip(&self.nobody) {
            out.push(("lanlord_provisioning_unidentified_total", vec![("reason", reason.word())], value(counter)));
        }
        out.push(("lanlord_provisioning_devices_created_total", Vec::new(), value(&self.created)));
        out.push(("lanlord_provisioning_devices_created_on_lease_total", Vec::new(), value(&self.created_on_lease)));
        let too_many = value(&self.too_many_on_lease);
        out.push(("lanlord_provisioning_devices_over_ceiling_total", Vec::new(), too_many));
        out.push(("lanlord_provisioning_mac_mismatch_total", Vec::new(), value(&self.mismatch)));
        out.push(("lanlord_provisioning_follower_lagged_total", Vec::new(), value(&self.lagged)));
        out
    }
}

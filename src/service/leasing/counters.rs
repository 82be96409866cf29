//! Counters of leasing (DH-611): atomics, no labels that grow with clients.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Sighting;
use crate::domain::dhcp::v4::Silence;
use crate::domain::dhcp::wire::{Encoded, Kind, Malformed};

/// Metric, labels, value.
pub type Rendered = Vec<(&'static str, Vec<(&'static str, &'static str)>, u64)>;

const KINDS: [Kind; Kind::ALL.len()] = Kind::ALL;
const MALFORMED: [Malformed; 6] = [
    Malformed::Short,
    Malformed::Long,
    Malformed::Op,
    Malformed::HardwareLength,
    Malformed::Cookie,
    Malformed::TooManyOptions,
];

/// What happened so far.
#[derive(Debug, Default)]
pub struct Counters {
    received: [AtomicU64; KINDS.len()],
    sent: [AtomicU64; KINDS.len()],
    silent: [AtomicU64; Silence::ALL.len()],
    malformed: [AtomicU64; MALFORMED.len()],
    overloaded: AtomicU64,
    commit_failed: AtomicU64,
    options_dropped: AtomicU64,
    relay_info_dropped: AtomicU64,
    expired: AtomicU64,
    /// Probes by what they found: nobody, somebody, not to be asked.
    probed: [AtomicU64; 3],
}

impl Counters {
    pub(super) fn received(&self, kind: Kind) {
        self.received[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn sent(&self, kind: Kind) {
        self.sent[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn silent(&self, why: Silence) {
        self.silent[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn malformed(&self, why: Malformed) {
        self.malformed[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn overloaded(&self) {
        self.overloaded.fetch_add(1, Relaxed);
    }

    pub(super) fn commit_failed(&self) {
        self.commit_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn expired(&self, leases: usize) {
        self.expired.fetch_add(leases as u64, Relaxed);
    }

    pub(super) fn probed(&self, sighting: Sighting) {
        let index = match sighting {
            Sighting::Nobody => 0,
            Sighting::Somebody(_) => 1,
            Sighting::Unable => 2,
        };
        self.probed[index].fetch_add(1, Relaxed);
    }

    pub(super) fn encoded(&self, report: &Encoded) {
        self.options_dropped.fetch_add(report.dropped.len() as u64, Relaxed);
        self.relay_info_dropped.fetch_add(u64::from(report.relay_info_dropped), Relaxed);
    }

    /// All of them, as metrics.
    pub fn render(&self) -> Rendered {
        let messages = |direction: &'static str, counts: &[AtomicU64]| -> Rendered {
            let row = |kind: &Kind| {
                let labels = vec![("family", "4"), ("type", kind.name()), ("direction", direction)];
                ("lanlord_dhcp_messages_total", labels, counts[*kind as usize].load(Relaxed))
            };
            KINDS.iter().map(row).collect()
        };
        let mut out = messages("in", &self.received);
        out.extend(messages("out", &self.sent));
        let silent = |why: &'static str, count: &AtomicU64| {
            ("lanlord_dhcp_silent_total", vec![("reason", why)], count.load(Relaxed))
        };
        out.extend(Silence::ALL.iter().map(|why| silent(why.label(), &self.silent[*why as usize])));
        out.push(silent("overloaded", &self.overloaded));
        out.push(silent("commit-failed", &self.commit_failed));
        out.extend(MALFORMED.iter().map(|why| {
            let count = self.malformed[*why as usize].load(Relaxed);
            ("lanlord_dhcp_malformed_total", vec![("reason", why.label())], count)
        }));
        for (found, count) in ["free", "in-use", "unable"].into_iter().zip(&self.probed) {
            out.push(("lanlord_dhcp_probes_total", vec![("found", found)], count.load(Relaxed)));
        }
        out.push(("lanlord_dhcp_options_dropped_total", Vec::new(), self.options_dropped.load(Relaxed)));
        out.push(("lanlord_dhcp_relay_info_dropped_total", Vec::new(), self.relay_info_dropped.load(Relaxed)));
        out.push(("lanlord_dhcp_leases_expired_total", Vec::new(), self.expired.load(Relaxed)));
        out
    }
}

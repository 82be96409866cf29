//! Counters of leasing (DH-611): atomics, no labels that grow with clients.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Sighting;
use crate::domain::dhcp::v4::Silence;
use crate::domain::dhcp::v6::wire::{Kind as Kind6, Malformed as Malformed6};
use crate::domain::dhcp::wire::{Encoded, Kind, Malformed};
use crate::metrics::Histogram;

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
    received6: [AtomicU64; Kind6::ALL.len()],
    sent6: [AtomicU64; Kind6::ALL.len()],
    malformed6: [AtomicU64; Malformed6::ALL.len()],
    routes_missing: AtomicU64,
    silent: [AtomicU64; Silence::ALL.len()],
    malformed: [AtomicU64; MALFORMED.len()],
    overloaded: AtomicU64,
    lost: AtomicU64,
    /// Sights of other servers, of DHCPv4 and of DHCPv6.
    rogue: [AtomicU64; 2],
    commit_failed: AtomicU64,
    options_dropped: AtomicU64,
    relay_info_dropped: AtomicU64,
    expired: AtomicU64,
    /// Probes by what they found: nobody, somebody, not to be asked.
    probed: [AtomicU64; 3],
    /// From a decision to its reply.
    pub request: Histogram,
    /// From a decision to its commit.
    pub commit: Histogram,
}

impl Counters {
    pub(super) fn received(&self, kind: Kind) {
        self.received[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn sent(&self, kind: Kind) {
        self.sent[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn received6(&self, kind: Kind6) {
        self.received6[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn sent6(&self, kind: Kind6) {
        self.sent6[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn malformed6(&self, why: Malformed6) {
        self.malformed6[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn route_missing(&self) {
        self.routes_missing.fetch_add(1, Relaxed);
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

    pub(super) fn rogue(&self, v6: bool) {
        self.rogue[usize::from(v6)].fetch_add(1, Relaxed);
    }

    pub(super) fn lost(&self, count: usize) {
        self.lost.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn encoded(&self, report: &Encoded) {
        self.options_dropped.fetch_add(report.dropped.len() as u64, Relaxed);
        self.relay_info_dropped.fetch_add(u64::from(report.relay_info_dropped), Relaxed);
    }

    /// All of them, as metrics.
    pub fn render(&self) -> Rendered {
        let four = KINDS.map(Kind::name);
        let six = Kind6::ALL.map(Kind6::name);
        let mut out = messages("4", "in", &four, &self.received);
        out.extend(messages("4", "out", &four, &self.sent));
        out.extend(messages("6", "in", &six, &self.received6));
        out.extend(messages("6", "out", &six, &self.sent6));
        let silent = |why: &'static str, count: &AtomicU64| {
            ("lanlord_dhcp_silent_total", vec![("reason", why)], count.load(Relaxed))
        };
        out.extend(Silence::ALL.iter().map(|why| silent(why.label(), &self.silent[*why as usize])));
        out.push(silent("overloaded", &self.overloaded));
        out.push(silent("queue-full", &self.lost));
        out.push(silent("commit-failed", &self.commit_failed));
        let malformed = |family, why, count: &AtomicU64| {
            ("lanlord_dhcp_malformed_total", vec![("family", family), ("reason", why)], count.load(Relaxed))
        };
        out.extend(MALFORMED.iter().map(|why| malformed("4", why.label(), &self.malformed[*why as usize])));
        out.extend(Malformed6::ALL.iter().map(|why| malformed("6", why.label(), &self.malformed6[*why as usize])));
        for (family, count) in ["4", "6"].into_iter().zip(&self.rogue) {
            out.push(("lanlord_rogue_dhcp_seen_total", vec![("family", family)], count.load(Relaxed)));
        }
        out.push(("lanlord_dhcp_routes_missing_total", Vec::new(), self.routes_missing.load(Relaxed)));
        for (found, count) in ["free", "in-use", "unable"].into_iter().zip(&self.probed) {
            out.push(("lanlord_dhcp_probes_total", vec![("found", found)], count.load(Relaxed)));
        }
        let full = self.silent[Silence::PoolFull as usize].load(Relaxed);
        out.push(("lanlord_dhcp_allocation_failures_total", vec![("reason", Silence::PoolFull.label())], full));
        let kept = self.silent[Silence::KnownShare as usize].load(Relaxed);
        out.push(("lanlord_dhcp_allocation_failures_total", vec![("reason", Silence::KnownShare.label())], kept));
        out.push(("lanlord_dhcp_options_dropped_total", Vec::new(), self.options_dropped.load(Relaxed)));
        out.push(("lanlord_dhcp_relay_info_dropped_total", Vec::new(), self.relay_info_dropped.load(Relaxed)));
        out.push(("lanlord_dhcp_leases_expired_total", Vec::new(), self.expired.load(Relaxed)));
        out
    }
}

/// One row a kind of message.
fn messages(family: &'static str, direction: &'static str, names: &[&'static str], counts: &[AtomicU64]) -> Rendered {
    let row = |(name, count): (&&'static str, &AtomicU64)| {
        let labels = vec![("family", family), ("type", *name), ("direction", direction)];
        ("lanlord_dhcp_messages_total", labels, count.load(Relaxed))
    };
    names.iter().zip(counts).map(row).collect()
}

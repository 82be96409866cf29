//! What the server counts. Labels come from closed lists: never a client, never a name (DN-632).

use std::sync::atomic::{AtomicU64, Ordering};

/// Response codes that are told apart; the last stands for all others.
const RCODES: [&str; 8] = ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "badvers", "other"];
/// Reasons for silence.
const SILENT: [&str; 6] = ["short", "response", "source", "truncated", "queue", "send"];

/// Counters of the server.
#[derive(Debug, Default)]
pub struct Counters {
    udp: [AtomicU64; RCODES.len()],
    tcp: [AtomicU64; RCODES.len()],
    silent: [AtomicU64; SILENT.len()],
    pub(super) cache_hits: AtomicU64,
    pub(super) forwarded: AtomicU64,
    pub(super) upstream_bogus: AtomicU64,
    pub(super) upstream_failed: AtomicU64,
    pub(super) tcp_closed: AtomicU64,
}

impl Counters {
    pub(super) fn answered(&self, stream: bool, rcode: u16) {
        let slot = match rcode {
            0..=5 => usize::from(rcode),
            16 => 6,
            _ => 7,
        };
        let of = if stream { &self.tcp } else { &self.udp };
        of[slot].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn silent(&self, why: &str, n: u64) {
        if let Some(slot) = SILENT.iter().position(|s| *s == why) {
            self.silent[slot].fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Names, labels and values.
    #[allow(clippy::type_complexity)] // the shape that metrics are rendered from everywhere
    pub fn read(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>, u64)> {
        let read = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let mut all = Vec::new();
        for (proto, of) in [("udp", &self.udp), ("tcp", &self.tcp)] {
            for (rcode, n) in RCODES.iter().zip(of) {
                all.push(("lanlord_dns_queries_total", vec![("proto", proto), ("rcode", *rcode)], read(n)));
            }
        }
        for (why, n) in SILENT.iter().zip(&self.silent) {
            all.push(("lanlord_dns_silent_total", vec![("reason", *why)], read(n)));
        }
        for (name, n) in [
            ("lanlord_dns_cache_hits_total", &self.cache_hits),
            ("lanlord_dns_forwarded_total", &self.forwarded),
            ("lanlord_dns_upstream_bogus_total", &self.upstream_bogus),
            ("lanlord_dns_upstream_failed_total", &self.upstream_failed),
            ("lanlord_dns_tcp_closed_total", &self.tcp_closed),
        ] {
            all.push((name, Vec::new(), read(n)));
        }
        all
    }
}

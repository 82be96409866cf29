//! Who holds an address: ip → identity, read from the leases as they are committed, and from the kernel's
//! neighbour table where we did not lease (evidence 3 and 6 of the provisioning reference).
//!
//! Owns the answer to "whose address is this, now". Refuses to guess: two candidates, or a lease that the
//! neighbour table contradicts, are nobody. Opens no socket: `server/neighbours` pushes the table in
//! through [`Neighbourhood`] and answers its questions.
//!
//! A binding is readable when [`View::apply`] returns, so before the ACK leaves (I4, PR-3), and is gone in
//! the same commit that ends its lease (PR-4). Reads take no lock: less than 1 µs.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::change::Change;
use crate::domain::kept::{Commons, Kept};
use crate::domain::lease::{Binding, BindingSource, Lease};
use crate::domain::net::Mac;
use crate::domain::time::Wall;
use crate::store::{Entry, View};

/// A hash table whose readers take no lock and whose writers copy one bucket.
mod buckets;
/// The mirror of the kernel's neighbour table.
pub mod neighbourhood;

use buckets::Buckets;
pub use neighbourhood::{Ask, Neighbourhood, Station, Want};

/// Longest wait for the neighbour table (PR-5).
pub const PATIENCE: Duration = Duration::from_millis(200);
/// Longest wait for the station behind a lease: the kernel asks again after a second. Nothing is late by
/// this wait, since no answer of ours can reach a station before it answers the kernel.
pub const INSISTENCE: Duration = Duration::from_millis(1_500);
/// About sixty addresses a bucket at a million leases.
const LEASE_BUCKETS: usize = 1 << 14;

/// What is known about the holder of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Bound(Arc<Binding>),
    /// The address was leased to another station than the one that answers for it on the wire.
    Conflict {
        leased: Mac,
        seen: Mac,
    },
    /// Two or more live bindings match: overlapping address plans (PR-2).
    Ambiguous,
    Unknown,
}

#[derive(Clone)]
struct Slot {
    lease: Kept,
    generation: u64,
}

impl Slot {
    fn binding(&self) -> Arc<Binding> {
        Arc::new(from_lease(self.lease.lease(), self.generation))
    }
}

/// Look-ups that ended without an answer, by reason.
#[derive(Debug, Default)]
pub struct Counters {
    pub conflict: AtomicU64,
    pub ambiguous: AtomicU64,
    pub unknown: AtomicU64,
}

/// The bindings. One per daemon, shared.
pub struct Bindings {
    leases: Arc<Buckets<Slot>>,
    neighbours: Arc<Neighbourhood>,
    clock: Arc<dyn Clock>,
    counters: Counters,
}

impl Bindings {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Bindings> {
        Arc::new(Bindings {
            leases: Arc::new(Buckets::new(LEASE_BUCKETS)),
            neighbours: Arc::new(Neighbourhood::default()),
            clock,
            counters: Counters::default(),
        })
    }

    /// The write side, for `Ledger::start`; make it once.
    pub fn view(&self) -> Box<dyn View> {
        Box::new(Feed { leases: self.leases.clone(), commons: Commons::default() })
    }

    /// Where the neighbour mirror writes, and learns what to ask for.
    pub fn neighbours(&self) -> Arc<Neighbourhood> {
        self.neighbours.clone()
    }

    /// The holder of `ip`, seen from `interface` (the one that the request arrived on; `None`: unknown, then
    /// only an address that exists once has a holder). Never waits; a neighbour entry that the kernel is
    /// just replacing may read as a conflict, so requests are attributed with [`resolve`](Self::resolve).
    pub fn by_ip(&self, interface: Option<&str>, ip: IpAddr) -> Option<Arc<Binding>> {
        self.count(self.look(interface, ip))
    }

    /// As [`by_ip`](Self::by_ip), but of an on-link address the kernel's own entry is read first: a station
    /// that has just taken it over is in the kernel's table before its first request is in ours (PR-4). If
    /// there is none, or it contradicts the lease, it is resolved, and the answer waited for up to
    /// [`PATIENCE`] in all; that of the station behind a lease up to [`INSISTENCE`]. One that stays silent is
    /// nobody: else a station that leased as another one could hide until the file is on its way.
    pub async fn resolve(&self, interface: Option<&str>, ip: IpAddr) -> Option<Arc<Binding>> {
        let holder = self.settle(interface, ip).await;
        self.count(holder)
    }

    /// What [`resolve`](Self::resolve) is based on, with the reason for no answer.
    pub async fn settle(&self, interface: Option<&str>, ip: IpAddr) -> Holder {
        let began = tokio::time::Instant::now();
        if let Some(on) = self.neighbours.segment(interface, ip) {
            // out of time: the mirror is overloaded, and what it knows has to do
            let _ = tokio::time::timeout_at(began + PATIENCE, self.neighbours.confirm(on, ip)).await;
        }
        let mut asked = false;
        loop {
            let changed = self.neighbours.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let holder = self.look(interface, ip);
            let Some(on) = self.unsettled(&holder, interface, ip) else { return holder };
            let (patience, meanwhile) = match holder {
                Holder::Bound(_) => (INSISTENCE, Holder::Unknown),
                other => (PATIENCE, other),
            };
            if !asked && !self.neighbours.ask(on, ip, Want::Resolve) {
                return meanwhile;
            }
            asked = true;
            if tokio::time::timeout_at(began + patience, changed).await.is_err() {
                return meanwhile;
            }
        }
    }

    /// As [`by_ip`](Self::by_ip), with the reason for no answer.
    pub fn look(&self, interface: Option<&str>, ip: IpAddr) -> Holder {
        match self.leased(interface, ip) {
            Ok(Some(binding)) => self.compared(binding),
            Ok(None) => self.neighbour(interface, ip),
            Err(Ambiguous) => Holder::Ambiguous,
        }
    }

    /// How often a look-up ended without an answer: metric, labels, value.
    #[allow(clippy::type_complexity)] // the shape that all services render their counters in
    pub fn counters(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>, u64)> {
        let c = &self.counters;
        [("conflict", &c.conflict), ("ambiguous", &c.ambiguous), ("unknown", &c.unknown)]
            .map(|(reason, n)| {
                ("lanlord_bindings_unidentified_total", vec![("reason", reason)], n.load(Ordering::Relaxed))
            })
            .into()
    }

    /// PR-2: by receiving interface; else, for routed sources, by the one routing domain that there is.
    fn leased(&self, interface: Option<&str>, ip: IpAddr) -> Result<Option<Arc<Binding>>, Ambiguous> {
        let now = self.clock.wall();
        let slots = self.leases.read(ip);
        let live = || slots.iter().filter(|s| s.lease.expires() > now);
        let Some(interface) = interface else { return only(live()) };
        if let Some(found) = only(live().filter(|s| s.lease.interface() == interface))? {
            return Ok(Some(found));
        }
        if self.neighbours.segment(Some(interface), ip).is_some() {
            return Ok(None);
        }
        only(live().filter(|s| s.lease.relay().is_some()))
    }

    /// PR-5: the answer will go to the neighbour entry's MAC, so a lease of another MAC identifies nobody.
    /// The MAC of a DHCPv6 lease is the client's word (a DUID, which anybody can copy): where no neighbour
    /// on a segment of ours can prove it, the lease identifies nobody.
    fn compared(&self, binding: Arc<Binding>) -> Holder {
        match (binding.mac, self.neighbours.mac(&binding.interface, binding.ip)) {
            (Some(leased), Some(seen)) if leased != seen => Holder::Conflict { leased, seen },
            (Some(_), None) if binding.ip.is_ipv6() && !self.is_near(&binding) => Holder::Unknown,
            _ => Holder::Bound(binding),
        }
    }

    /// True if the address is on a segment where the kernel can resolve it.
    fn is_near(&self, binding: &Binding) -> bool {
        self.neighbours.segment(Some(&binding.interface), binding.ip).is_some()
    }

    fn neighbour(&self, interface: Option<&str>, ip: IpAddr) -> Holder {
        let mut found = self.neighbours.stations(ip);
        found.retain(|s| interface.is_none_or(|i| i == &*s.interface));
        match &found[..] {
            [] => Holder::Unknown,
            [station] => Holder::Bound(Arc::new(from_neighbour(ip, station, &self.neighbours))),
            _ => Holder::Ambiguous,
        }
    }

    /// The interface to ask on, if the neighbour table may still change this answer.
    fn unsettled(&self, holder: &Holder, interface: Option<&str>, ip: IpAddr) -> Option<Arc<str>> {
        match holder {
            Holder::Bound(b) if b.source == BindingSource::Lease => {
                let seen = self.neighbours.mac(&b.interface, ip).is_some();
                if seen { None } else { self.neighbours.segment(Some(&b.interface), ip) }
            }
            Holder::Bound(_) | Holder::Ambiguous => None,
            Holder::Conflict { .. } | Holder::Unknown => self.neighbours.segment(interface, ip),
        }
    }

    fn count(&self, holder: Holder) -> Option<Arc<Binding>> {
        let counter = match holder {
            Holder::Bound(binding) => return Some(binding),
            Holder::Conflict { .. } => &self.counters.conflict,
            Holder::Ambiguous => &self.counters.ambiguous,
            Holder::Unknown => &self.counters.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        None
    }
}

struct Ambiguous;

/// The only item, if there are not two.
fn only<'a>(mut found: impl Iterator<Item = &'a Slot>) -> Result<Option<Arc<Binding>>, Ambiguous> {
    match (found.next(), found.next()) {
        (first, None) => Ok(first.map(Slot::binding)),
        _ => Err(Ambiguous),
    }
}

fn from_neighbour(ip: IpAddr, station: &Station, neighbours: &Neighbourhood) -> Binding {
    Binding {
        ip,
        mac: Some(station.mac),
        network: String::new(),
        subnet: neighbours.prefix(&station.interface, ip),
        interface: station.interface.to_string(),
        relay: None,
        client_id: None,
        hostname: None,
        vendor_class: None,
        user_class: None,
        requested: Vec::new(),
        circuit_id: None,
        remote_id: None,
        expires: Wall::NEVER,
        generation: station.generation,
        source: BindingSource::Neighbour,
    }
}

fn from_lease(lease: Lease, generation: u64) -> Binding {
    Binding {
        ip: lease.ip,
        mac: lease.mac,
        network: lease.network,
        subnet: Some(lease.subnet),
        interface: lease.interface,
        relay: lease.relay,
        client_id: lease.client_id,
        hostname: lease.hostname,
        vendor_class: lease.vendor_class,
        user_class: lease.user_class,
        requested: lease.requested,
        circuit_id: lease.circuit_id,
        remote_id: lease.remote_id,
        expires: lease.expires,
        generation,
        source: BindingSource::Lease,
    }
}

/// The view: its writes are what readers see.
struct Feed {
    leases: Arc<Buckets<Slot>>,
    commons: Commons,
}

impl View for Feed {
    fn apply(&mut self, batch: &[Entry]) {
        for entry in batch {
            match &entry.change {
                // who holds a delegated prefix says nothing about who uses its addresses
                Change::LeaseGranted(lease) if lease.delegated.is_some() => {}
                Change::LeaseGranted(lease) => self.granted(lease, entry.seq),
                Change::LeaseEnded { network, ip, .. } | Change::Quarantined { network, ip, .. } => {
                    self.leases.remove(*ip, |slot| slot.lease.network() == *network);
                }
                _ => {}
            }
        }
    }
}

impl Feed {
    /// The generation is the number of the entry that made this client the holder.
    fn granted(&mut self, lease: &Lease, seq: u64) {
        let same = |slot: &Slot| slot.lease.network() == lease.network;
        let generation = match self.leases.read(lease.ip).iter().find(|s| same(s)) {
            Some(slot) if slot.lease.is_of(&lease.client) && slot.lease.mac() == lease.mac => slot.generation,
            _ => seq,
        };
        self.leases.put(lease.ip, Slot { lease: self.commons.keep(lease), generation }, same);
    }
}

#[cfg(test)]
mod tests;

//! What leases claim: one fact a lease, from which its claim is read. There may be a million of them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{BodyRef, Claimant, Claims, Linked, Seen, SourceRef, WhoRef};
use crate::domain::dns::naming::Rank;
use crate::domain::few::Few;
use crate::domain::lease::{ClientKey, Lease, ReservationKey};
use crate::domain::net::Mac;
use crate::service::naming::settings::Settings;

/// A lease as far as names go. There may be a million of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseFact {
    pub(super) network: Arc<str>,
    fqdn: Option<Arc<str>>,
    client: ClientKey,
    mac: Option<Mac>,
    circuit_id: Option<Box<[u8]>>,
    began: i64,
    ttl: u32,
    /// The host or reservation that the client is, as last derived.
    linked: Option<Box<Linked>>,
}

impl LeaseFact {
    pub(super) fn has(&self, key: &ReservationKey) -> bool {
        match key {
            ReservationKey::Mac(mac) => self.mac == Some(*mac),
            ReservationKey::ClientId(id) => matches!(&self.client, ClientKey::Id(own) if own == id),
            ReservationKey::CircuitId(id) => self.circuit_id.as_deref() == Some(id),
            ReservationKey::Duid { duid, iaid } => super::is_duid(&self.client, duid, *iaid),
            // their names come with the lease, which knows what was matched
            ReservationKey::RemoteId(_) | ReservationKey::Test(_) => false,
        }
    }

    /// DN-301: the name of the host or reservation that the client is, else the one in its lease. That one
    /// stays taken in the meantime: the client comes back to it when the host or reservation goes.
    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let linked = self.linked.as_ref().map(|linked| &linked.0);
        linked.into_iter().chain(self.fqdn.as_ref().filter(move |own| Some(*own) != linked))
    }

    /// What it claims on one of its names.
    pub(super) fn seen<'a>(&'a self, ip: &'a IpAddr, name: &str) -> Seen<'a> {
        let here = std::slice::from_ref(ip);
        let own = (WhoRef::Client(&self.client, self.mac), Rank::Option12);
        let ((who, rank), addresses) = match &self.linked {
            Some(linked) if *linked.0 == *name => ((linked.1.as_ref(), linked.2), here),
            Some(_) => (own, &[][..]),
            None => (own, here),
        };
        let body = BodyRef::Addresses { addresses, ttl: self.ttl, reverse: !addresses.is_empty() };
        Seen { source: SourceRef::Lease(*ip, &self.network), who, rank, since: self.began, body }
    }
}

impl Claims {
    pub fn grant(&mut self, settings: &Settings, lease: &Lease, ttl: u32) {
        let network = self.network(&lease.network);
        let facts = self.leases.get(&lease.ip).map(Few::as_slice).unwrap_or_default();
        let old = facts.iter().find(|f| f.network == network);
        // an extension nearly always says what is known
        if old.is_some_and(|old| is_of(old, lease, ttl)) {
            return;
        }
        let moved = old.is_none_or(|old| old.mac != lease.mac);
        // the name that is there is kept, so that one text serves all
        let fqdn = lease.fqdn.as_deref().map(|fqdn| match self.by_name.get_key_value(fqdn) {
            Some((known, _)) => known.clone(),
            None => Arc::from(fqdn),
        });
        if moved {
            self.forget_lease(lease.ip, &network);
        }
        let mut fact = LeaseFact {
            network: network.clone(),
            fqdn,
            client: lease.client.clone(),
            mac: lease.mac,
            circuit_id: lease.circuit_id.as_deref().map(Box::from),
            began: lease.began.0,
            ttl,
            linked: None,
        };
        let facts = self.leases.entry(lease.ip).or_default();
        match facts.as_mut_slice().iter_mut().find(|f| f.network == network) {
            Some(old) => {
                fact.linked = old.linked.take();
                let gone = std::mem::replace(old, fact);
                self.leave(gone.names(), lease.ip, &network);
            }
            None => facts.push(fact),
        }
        if let Some(mac) = lease.mac.filter(|_| moved) {
            let of = self.leases_of.entry(mac).or_default();
            if !of.as_slice().contains(&lease.ip) {
                of.push(lease.ip);
            }
        }
        self.derive(settings, lease.ip, &network, true);
    }

    pub fn end(&mut self, ip: IpAddr, network: &str) {
        let network = self.network(network);
        self.forget_lease(ip, &network);
    }

    /// Takes the fact of a lease out, with its name.
    fn forget_lease(&mut self, ip: IpAddr, network: &Arc<str>) {
        let Some(facts) = self.leases.get_mut(&ip) else { return };
        let Some(gone) = facts.as_slice().iter().find(|f| f.network == *network).cloned() else { return };
        facts.retain(|f| f.network != *network);
        let still = facts.as_slice().iter().any(|f| f.mac == gone.mac);
        if facts.is_empty() {
            self.leases.remove(&ip);
        }
        if let Some(mac) = gone.mac.filter(|_| !still)
            && let Some(of) = self.leases_of.get_mut(&mac)
        {
            of.retain(|other| *other != ip);
            if of.is_empty() {
                self.leases_of.remove(&mac);
            }
        }
        self.leave(gone.names(), ip, network);
    }

    /// Works out again what the leases of an address claim.
    pub(super) fn derive_lease(&mut self, settings: &Settings, ip: IpAddr) {
        let facts = self.leases.get(&ip).map(Few::as_slice).unwrap_or_default();
        let networks: Vec<Arc<str>> = facts.iter().map(|fact| fact.network.clone()).collect();
        networks.iter().for_each(|network| self.derive(settings, ip, network, false));
    }

    /// Works out what one lease claims. `fresh`: its fact is new, and stands at no name yet.
    fn derive(&mut self, settings: &Settings, ip: IpAddr, network: &Arc<str>, fresh: bool) {
        let facts = self.leases.get(&ip).map(Few::as_slice).unwrap_or_default();
        let Some(fact) = facts.iter().find(|f| f.network == *network) else { return };
        let linked = self.linked(settings, fact.mac, &fact.client, fact.circuit_id.as_deref(), network);
        let left: Few<Arc<str>> = fact.names().filter(|_| !fresh).cloned().collect();
        let facts = self.leases.get_mut(&ip).map(Few::as_mut_slice).unwrap_or_default();
        let Some(fact) = facts.iter_mut().find(|f| f.network == *network) else { return };
        fact.linked = linked.map(Box::new);
        let names: Few<Arc<str>> = fact.names().cloned().collect();
        self.leave(left.as_slice().iter(), ip, network);
        for name in names.as_slice() {
            self.touched.insert(name.clone());
            self.by_name.entry(name.clone()).or_default().push(Claimant::Lease(ip, network.clone()));
        }
    }

    /// A lease claims these names no more.
    fn leave<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>, ip: IpAddr, network: &Arc<str>) {
        let other = |c: &Claimant| !matches!(c, Claimant::Lease(at, on) if *at == ip && on == network);
        names.for_each(|name| self.withdraw(name.clone(), other));
    }
}

/// True if the fact is what the lease says.
fn is_of(fact: &LeaseFact, lease: &Lease, ttl: u32) -> bool {
    let same = fact.fqdn.as_deref() == lease.fqdn.as_deref() && fact.client == lease.client;
    let same = same && fact.mac == lease.mac && fact.circuit_id.as_deref() == lease.circuit_id.as_deref();
    same && fact.began == lease.began.0 && fact.ttl == ttl
}

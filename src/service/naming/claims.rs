//! Who claims which name, and what comes of it: the rules of the dns reference, section 5. Owns the facts
//! that records are derived from; knows nothing of zones.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::change::Record;
use crate::domain::dns::naming::Rank;
use crate::domain::dns::rrset::RrSet;
use crate::domain::few::Few;
use crate::domain::hash::Table;
use crate::domain::host::Host;
use crate::domain::lease::{ClientKey, Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;

use super::settings::Settings;

mod leases;
mod seen;
mod settle;

use leases::LeaseFact;
pub use seen::{BodyRef, SourceRef, WhoRef};
pub use settle::settle;

/// What a claim comes from, if that is no lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// This server itself.
    Server,
    Record(Arc<str>),
    Host(Arc<str>),
    Reservation(Arc<str>),
}

/// Whose claim it is, if that is no mere client: claims of one identity share a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    Server,
    Record,
    Host(Arc<str>),
    Reservation(Arc<str>),
}

/// What is wanted at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Addresses with their TTL; `reverse` asks for their PTR.
    Addresses { addresses: Vec<IpAddr>, ttl: u32, reverse: bool },
    /// A CNAME to that name.
    Alias { target: Arc<str>, ttl: u32 },
    /// A record made by hand.
    Set(RrSet),
}

/// One claim on one name, by anything but a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub source: Source,
    pub who: Who,
    pub rank: Rank,
    /// The earlier of two equal claims wins.
    pub since: i64,
    pub body: Body,
}

/// A claim as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub source: SourceRef<'a>,
    pub who: WhoRef<'a>,
    pub rank: Rank,
    pub since: i64,
    pub body: BodyRef<'a>,
}

/// DN-301: the name of the host or reservation that a client is.
type Linked = (Arc<str>, Who, Rank);

/// Who claims a name: a lease is looked up where it stands.
#[derive(Debug)]
enum Claimant {
    Lease(IpAddr, Arc<str>),
    Other(Box<Claim>),
}

/// All facts and the claims that follow from them.
#[derive(Debug, Default)]
pub struct Claims {
    leases: Table<IpAddr, Few<LeaseFact>>,
    leases_of: Table<Mac, Few<IpAddr>>,
    hosts: HashMap<Arc<str>, Host>,
    hosts_of: Table<Mac, BTreeSet<Arc<str>>>,
    reservations: HashMap<Arc<str>, Reservation>,
    reservations_of: Table<ReservationKey, BTreeSet<Arc<str>>>,
    by_name: Table<Arc<str>, Few<Claimant>>,
    /// Names that a source other than a lease claims.
    by_source: HashMap<Source, Vec<Arc<str>>>,
    networks: Table<String, Arc<str>>,
    /// Names whose claims changed since they were last taken.
    touched: BTreeSet<Arc<str>>,
}

impl Claims {
    pub fn put_host(&mut self, settings: &Settings, host: &Host) {
        self.remove_host(settings, &host.id);
        let id: Arc<str> = Arc::from(host.id.as_str());
        let source = Source::Host(id.clone());
        for mac in host.interfaces.iter().filter_map(|i| i.mac).filter(|m| m.is_identity()) {
            self.hosts_of.entry(mac).or_default().insert(id.clone());
        }
        self.hosts.insert(id.clone(), host.clone());
        self.replace(source, host_claims(settings, host, &id));
        self.derive_of_host(settings, host);
    }

    pub fn remove_host(&mut self, settings: &Settings, id: &str) {
        let Some((id, host)) = self.hosts.remove_entry(id) else { return };
        for mac in host.interfaces.iter().filter_map(|i| i.mac) {
            if let Some(of) = self.hosts_of.get_mut(&mac) {
                of.remove(&id);
                if of.is_empty() {
                    self.hosts_of.remove(&mac);
                }
            }
        }
        self.replace(Source::Host(id), Vec::new());
        self.derive_of_host(settings, &host);
    }

    fn derive_of_host(&mut self, settings: &Settings, host: &Host) {
        let macs = host.interfaces.iter().filter_map(|i| i.mac);
        let ips: BTreeSet<IpAddr> =
            macs.filter_map(|m| self.leases_of.get(&m)).flat_map(Few::as_slice).copied().collect();
        ips.into_iter().for_each(|ip| self.derive_lease(settings, ip));
    }

    pub fn put_reservation(&mut self, settings: &Settings, reservation: &Reservation) {
        self.remove_reservation(settings, &reservation.id);
        let id: Arc<str> = Arc::from(reservation.id.as_str());
        for key in &reservation.keys {
            self.reservations_of.entry(key.clone()).or_default().insert(id.clone());
        }
        let claims = reservation_claim(settings, reservation, &id).into_iter().collect();
        self.reservations.insert(id.clone(), reservation.clone());
        self.replace(Source::Reservation(id), claims);
        self.derive_of_reservation(settings, reservation);
    }

    pub fn remove_reservation(&mut self, settings: &Settings, id: &str) {
        let Some((id, reservation)) = self.reservations.remove_entry(id) else { return };
        for key in &reservation.keys {
            if let Some(of) = self.reservations_of.get_mut(key) {
                of.remove(&id);
                if of.is_empty() {
                    self.reservations_of.remove(key);
                }
            }
        }
        self.replace(Source::Reservation(id), Vec::new());
        self.derive_of_reservation(settings, &reservation);
    }

    fn derive_of_reservation(&mut self, settings: &Settings, reservation: &Reservation) {
        let mut ips = BTreeSet::new();
        for key in &reservation.keys {
            match key {
                ReservationKey::Mac(mac) => ips.extend(self.leases_of.get(mac).into_iter().flat_map(Few::as_slice)),
                other => {
                    let has = |facts: &Few<LeaseFact>| facts.as_slice().iter().any(|f| f.has(other));
                    ips.extend(self.leases.iter().filter(|(_, facts)| has(facts)).map(|(ip, _)| *ip));
                }
            }
        }
        ips.into_iter().for_each(|ip| self.derive_lease(settings, ip));
    }

    /// The same hosts, reservations and leases under other settings.
    pub fn under(&mut self, settings: &Settings) {
        let hosts: Vec<Host> = self.hosts.values().cloned().collect();
        hosts.iter().for_each(|host| self.put_host(settings, host));
        let reservations: Vec<Reservation> = self.reservations.values().cloned().collect();
        reservations.iter().for_each(|reservation| self.put_reservation(settings, reservation));
    }

    /// A record of rank 2 whose data was read already.
    pub fn put_record(&mut self, record: &Record, set: RrSet) {
        let source = Source::Record(Arc::from(record.id.as_str()));
        let claim =
            Claim { source: source.clone(), who: Who::Record, rank: Rank::Record, since: 0, body: Body::Set(set) };
        self.replace(source, vec![(Arc::from(record.name.as_str()), claim)]);
    }

    pub fn remove_record(&mut self, id: &str) {
        self.replace(Source::Record(Arc::from(id)), Vec::new());
    }

    /// The names of this server.
    pub fn put_server(&mut self, names: Vec<(String, bool)>, addresses: &[IpAddr], ttl: u32) {
        let claim = |reverse| Claim {
            source: Source::Server,
            who: Who::Server,
            rank: Rank::Record,
            since: 0,
            body: Body::Addresses { addresses: addresses.to_vec(), ttl, reverse },
        };
        self.replace(
            Source::Server,
            names.into_iter().map(|(name, canonical)| (Arc::from(name), claim(canonical))).collect(),
        );
    }

    /// Keeps the claims on a name for which `other` holds.
    fn withdraw(&mut self, name: Arc<str>, other: impl Fn(&Claimant) -> bool) {
        if let Some(of) = self.by_name.get_mut(&name) {
            of.retain(other);
            if of.is_empty() {
                self.by_name.remove(&name);
            }
        }
        self.touched.insert(name);
    }

    /// The host or reservation that a client is, with its name.
    pub fn linked(
        &self,
        settings: &Settings,
        mac: Option<Mac>,
        client: &ClientKey,
        circuit_id: Option<&[u8]>,
        network: &str,
    ) -> Option<Linked> {
        if self.hosts_of.is_empty() && self.reservations_of.is_empty() {
            return None;
        }
        if let Some(found) = mac.and_then(|m| self.hosts_of.get(&m)).into_iter().flatten().find_map(|id| {
            let fqdn = self.hosts.get(id)?.fqdn.as_deref()?;
            Some((Arc::from(fqdn), Who::Host(id.clone()), Rank::Host))
        }) {
            return Some(found);
        }
        let mut keys: Vec<ReservationKey> = mac.map(ReservationKey::Mac).into_iter().collect();
        if let ClientKey::Id(id) = client {
            keys.push(ReservationKey::ClientId(id.clone()));
        }
        keys.extend(duid_keys(client));
        keys.extend(circuit_id.map(|c| ReservationKey::CircuitId(c.to_vec())));
        keys.iter().filter_map(|k| self.reservations_of.get(k)).flatten().find_map(|id| {
            let reservation = self.reservations.get(id)?;
            if reservation.network.as_deref().is_some_and(|n| n != network) {
                return None;
            }
            let name = crate::domain::dns::naming::complete(reservation.name.as_deref()?, settings.domain_of(network))?;
            Some((Arc::from(name), identity(reservation, id), Rank::Reservation))
        })
    }

    /// Puts claims in the place of those that a source had, and notes the names that changed by it.
    fn replace(&mut self, source: Source, claims: Vec<(Arc<str>, Claim)>) {
        for name in self.by_source.remove(&source).unwrap_or_default() {
            self.withdraw(name, |c| !matches!(c, Claimant::Other(claim) if claim.source == source));
        }
        if claims.is_empty() {
            return;
        }
        let names: Vec<Arc<str>> = claims.iter().map(|(name, _)| name.clone()).collect();
        for (name, claim) in claims {
            self.touched.insert(name.clone());
            self.by_name.entry(name).or_default().push(Claimant::Other(Box::new(claim)));
        }
        self.by_source.insert(source, names);
    }

    pub fn touched(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.touched)
    }

    pub fn touch_all(&mut self) {
        self.touched.extend(self.by_name.keys().cloned());
    }

    /// The claims on a name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Seen<'a>> + Clone {
        let claimants = self.by_name.get(name).map(Few::as_slice).unwrap_or_default();
        claimants.iter().filter_map(|claimant| match claimant {
            Claimant::Lease(ip, network) => {
                self.leases.get(ip)?.as_slice().iter().find(|f| f.network == *network).map(|f| f.seen(ip, name))
            }
            Claimant::Other(claim) => Some(claim.seen()),
        })
    }

    /// True if nobody claims a name.
    pub fn is_free(&self, name: &str) -> bool {
        !self.by_name.contains_key(name)
    }

    fn network(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.networks.get(name) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(name);
        self.networks.insert(name.to_owned(), new.clone());
        new
    }
}

/// True if the client is that DUID, with that IAID if one is named.
fn is_duid(client: &ClientKey, duid: &[u8], iaid: Option<u32>) -> bool {
    client.duid() == Some(duid) && (iaid.is_none() || client.iaid() == iaid)
}

/// What a client's DUID selects, the more telling first.
fn duid_keys(client: &ClientKey) -> impl Iterator<Item = ReservationKey> + '_ {
    let of = |iaid| client.duid().map(|duid| ReservationKey::Duid { duid: duid.to_vec(), iaid });
    client.iaid().and_then(|iaid| of(Some(iaid))).into_iter().chain(of(None))
}

/// A reservation that a host brought along is that host.
fn identity(reservation: &Reservation, id: &Arc<str>) -> Who {
    match &reservation.origin {
        Origin::Host(host) => Who::Host(Arc::from(host.as_str())),
        Origin::Config(_) | Origin::User(_) => Who::Reservation(id.clone()),
    }
}

/// Rank 3: the host's fixed addresses, and its aliases.
fn host_claims(settings: &Settings, host: &Host, id: &Arc<str>) -> Vec<(Arc<str>, Claim)> {
    let Some(fqdn) = host.fqdn.as_deref() else { return Vec::new() };
    let fqdn: Arc<str> = Arc::from(fqdn);
    let claim =
        |body| Claim { source: Source::Host(id.clone()), who: Who::Host(id.clone()), rank: Rank::Host, since: 0, body };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in host.interfaces.iter().flat_map(|i| i.addresses.iter()) {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    // without an address, too: the name is taken
    let mut claims = vec![(fqdn.clone(), claim(Body::Addresses { addresses, ttl: settings.ttl, reverse: true }))];
    let domain = fqdn.split_once('.').map_or("", |(_, d)| d);
    let aliases = host.aliases.iter().filter_map(|a| crate::domain::dns::naming::complete(a, domain));
    for alias in aliases.filter(|a| **a != *fqdn) {
        claims.push((Arc::from(alias), claim(Body::Alias { target: fqdn.clone(), ttl: settings.ttl })));
    }
    claims
}

/// Rank 4: with or without a lease.
fn reservation_claim(settings: &Settings, reservation: &Reservation, id: &Arc<str>) -> Option<(Arc<str>, Claim)> {
    let network = reservation.network.clone().or_else(|| {
        let ip = reservation.ip.or(reservation.ip6.first().map(|ip| IpAddr::V6(*ip)))?;
        let holds = |n: &&super::settings::Domain| n.subnets.iter().any(|s| s.contains(&ip));
        settings.networks.iter().find(holds).map(|n| n.network.clone())
    });
    let domain = settings.domain_of(network.as_deref().unwrap_or_default());
    let name = crate::domain::dns::naming::complete(reservation.name.as_deref()?, domain)?;
    let six = reservation.ip6.iter().map(|ip| IpAddr::V6(*ip)).filter(|ip| Some(*ip) != reservation.ip);
    let addresses = reservation.ip.into_iter().chain(six).collect();
    let claim = Claim {
        source: Source::Reservation(id.clone()),
        who: identity(reservation, id),
        rank: Rank::Reservation,
        since: 0,
        body: Body::Addresses { addresses, ttl: settings.ttl, reverse: true },
    };
    Some((Arc::from(name), claim))
}

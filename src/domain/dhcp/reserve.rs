//! Reservations by what selects them and by address. Owns the index over those of the configuration, the
//! ledger and the hosts; refuses none of them: conflicts are judged where objects are made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::classes::{Expression, Membership};
use super::options;
use super::policy::Policy;
use crate::domain::hash::Table;
use crate::domain::host::{CustomOption, Host};
use crate::domain::lease::{Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;

/// What of a client selects reservations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits<'a> {
    pub mac: Option<Mac>,
    pub client_id: Option<&'a [u8]>,
    pub circuit_id: Option<&'a [u8]>,
    pub remote_id: Option<&'a [u8]>,
    /// DHCPv6: the identity association, as IAID and DUID.
    pub ia: Option<(u32, &'a [u8])>,
    /// The reservation whose expression the client met.
    pub met: Option<&'a str>,
}

/// Reservations with an expression: each is tried for clients that have no other.
pub const MAX_TESTED: usize = 1024;

/// The code of an option in an expression of a reservation, which knows the registry only.
pub fn option_code(name: &str) -> Option<u16> {
    options::code_of(name).map(u16::from)
}

/// Type octet of a client identifier of RFC 4361.
const RFC_4361: u8 = 255;

impl<'a> Traits<'a> {
    /// The IAID and the DUID, in DHCPv4 from a client identifier of RFC 4361 §6.1.
    pub fn duid(&self) -> Option<(u32, &'a [u8])> {
        if self.ia.is_some() {
            return self.ia;
        }
        let (kind, rest) = self.client_id?.split_first()?;
        let (iaid, duid) = rest.split_first_chunk::<4>()?;
        (*kind == RFC_4361 && !duid.is_empty()).then_some((u32::from_be_bytes(*iaid), duid))
    }

    /// The keys that these traits are found by, the most telling first.
    fn keys(self) -> impl Iterator<Item = ReservationKey> + use<'a> {
        let duid = self.duid();
        let of_duid = |iaid| duid.map(|(_, duid)| ReservationKey::Duid { duid: duid.to_vec(), iaid });
        [
            self.mac.map(ReservationKey::Mac),
            self.client_id.map(|id| ReservationKey::ClientId(id.to_vec())),
            duid.and_then(|(iaid, _)| of_duid(Some(iaid))),
            of_duid(None),
            self.circuit_id.map(|id| ReservationKey::CircuitId(id.to_vec())),
            self.remote_id.map(|id| ReservationKey::RemoteId(id.to_vec())),
        ]
        .into_iter()
        .flatten()
    }
}

/// All reservations that are in force.
#[derive(Debug, Clone, Default)]
pub struct Reservations {
    by_id: Table<String, Arc<Reservation>>,
    by_key: Table<ReservationKey, Vec<Arc<Reservation>>>,
    by_ip: Table<Ipv4Addr, Vec<Arc<Reservation>>>,
    /// IPv6 addresses, and delegated prefixes by their first address.
    by_ip6: Table<Ipv6Addr, Vec<Arc<Reservation>>>,
    /// Those that an expression selects, in the order that they came in.
    tested: Vec<(Expression, Arc<Reservation>)>,
    /// Ids of the reservations that a host stands for.
    hosts: Table<String, Vec<String>>,
}

impl Reservations {
    /// Puts one in, in place of the one with the same id. Returns the addresses whose state changed.
    pub fn put(&mut self, reservation: Reservation) -> Vec<Ipv4Addr> {
        let mut touched = self.remove(&reservation.id);
        let reservation = Arc::new(reservation);
        for key in &reservation.keys {
            if let ReservationKey::Test(text) = key
                && self.tested.len() < MAX_TESTED
                && let Ok(test) = Expression::parse(text, &option_code)
            {
                self.tested.push((test, reservation.clone()));
            }
            self.by_key.entry(key.clone()).or_default().push(reservation.clone());
        }
        if let Some(IpAddr::V4(ip)) = reservation.ip {
            self.by_ip.entry(ip).or_default().push(reservation.clone());
            touched.push(ip);
        }
        for ip in all6(&reservation) {
            self.by_ip6.entry(ip).or_default().push(reservation.clone());
        }
        self.by_id.insert(reservation.id.clone(), reservation);
        touched
    }

    /// Takes one out. Returns the addresses whose state changed.
    pub fn remove(&mut self, id: &str) -> Vec<Ipv4Addr> {
        let Some(old) = self.by_id.remove(id) else { return Vec::new() };
        self.tested.retain(|(_, reservation)| reservation.id != id);
        for key in &old.keys {
            drop_from(&mut self.by_key, key, id);
        }
        for ip in all6(&old) {
            drop_from(&mut self.by_ip6, &ip, id);
        }
        let Some(IpAddr::V4(ip)) = old.ip else { return Vec::new() };
        drop_from(&mut self.by_ip, &ip, id);
        vec![ip]
    }

    /// A host's MACs, addresses and options, as reservations.
    pub fn put_host(&mut self, host: &Host) -> Vec<Ipv4Addr> {
        let mut touched = self.remove_host(&host.id);
        let made = of_host(host);
        self.hosts.insert(host.id.clone(), made.iter().map(|r| r.id.clone()).collect());
        made.into_iter().for_each(|reservation| touched.extend(self.put(reservation)));
        touched
    }

    /// Remembers which reservations hosts stand for, as another index knew it.
    pub fn adopt_hosts(&mut self, other: &Reservations) {
        self.hosts.clone_from(&other.hosts);
    }

    pub fn remove_host(&mut self, id: &str) -> Vec<Ipv4Addr> {
        let ids = self.hosts.remove(id).unwrap_or_default();
        ids.iter().flat_map(|id| self.remove(id)).collect()
    }

    /// The reservation of a client on a network: by MAC, client identifier, DUID, circuit,
    /// remote identifier, in this order.
    pub fn find(&self, policy: &Policy, network: usize, client: Traits<'_>) -> Option<&Arc<Reservation>> {
        if self.by_key.is_empty() {
            return None;
        }
        let found = client.keys().filter_map(|key| self.by_key.get(&key));
        // one with an address on this link before one that only names or sets options
        let mut fitting = found.flatten().filter(|r| applies(policy, network, r));
        let first = fitting.next()?;
        if first.ip.is_some() { Some(first) } else { Some(fitting.find(|r| r.ip.is_some()).unwrap_or(first)) }
    }

    /// The reservation on a network whose expression the client meets.
    pub fn find_tested(&self, policy: &Policy, network: usize, member: &Membership<'_>) -> Option<&Arc<Reservation>> {
        let mut fitting = self.tested.iter().filter(|(_, reservation)| applies(policy, network, reservation));
        fitting.find(|(test, _)| member.meets(test)).map(|(_, reservation)| reservation)
    }

    /// True if the address waits for somebody on that network.
    pub fn holds(&self, network: &str, ip: Ipv4Addr) -> bool {
        self.by_ip.get(&ip).is_some_and(|list| list.iter().any(|r| on(network, r)))
    }

    /// True if the address waits for somebody else than a client with these traits.
    pub fn denies(&self, network: &str, ip: Ipv4Addr, client: Traits<'_>) -> bool {
        let Some(list) = self.by_ip.get(&ip) else { return false };
        let mut here = list.iter().filter(|r| on(network, r)).peekable();
        here.peek().is_some() && !here.any(|r| selects(r, client))
    }

    /// All reservations of a DHCPv6 client on that network, the most telling first: each may add addresses.
    pub fn all_of<'r>(
        &'r self,
        network: &'r str,
        client: Traits<'r>,
    ) -> impl Iterator<Item = &'r Arc<Reservation>> + use<'r> {
        let found = client.keys().filter_map(|key| self.by_key.get(&key)).flatten();
        found.filter(move |r| on(network, r))
    }

    /// The reservation on a network, of whatever family its addresses are, whose expression the client meets.
    pub fn tested_on(&self, network: &str, member: &Membership<'_>) -> Option<&Arc<Reservation>> {
        let mut here = self.tested.iter().filter(|(_, reservation)| on(network, reservation));
        here.find(|(test, _)| member.meets(test)).map(|(_, reservation)| reservation)
    }

    /// True if the address, or the prefix that begins with it, waits for somebody on that network.
    pub fn holds6(&self, network: &str, ip: Ipv6Addr) -> bool {
        self.by_ip6.get(&ip).is_some_and(|list| list.iter().any(|r| on(network, r)))
    }

    /// As [`denies`](Reservations::denies), for IPv6.
    pub fn denies6(&self, network: &str, ip: Ipv6Addr, client: Traits<'_>) -> bool {
        let Some(list) = self.by_ip6.get(&ip) else { return false };
        let mut here = list.iter().filter(|r| on(network, r)).peekable();
        here.peek().is_some() && !here.any(|r| selects(r, client))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Reservation>> {
        self.by_id.values()
    }
}

/// The IPv6 addresses of a reservation, and the first ones of its prefixes.
fn all6(reservation: &Reservation) -> impl Iterator<Item = Ipv6Addr> + '_ {
    let single = reservation.ip.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
    single.into_iter().chain(reservation.ip6.iter().copied()).chain(reservation.prefix6.iter().map(|p| p.network()))
}

fn drop_from<K: std::hash::Hash + Eq>(map: &mut Table<K, Vec<Arc<Reservation>>>, key: &K, id: &str) {
    if let Some(list) = map.get_mut(key) {
        list.retain(|r| r.id != id);
        if list.is_empty() {
            map.remove(key);
        }
    }
}

fn on(network: &str, reservation: &Reservation) -> bool {
    reservation.network.as_deref().is_none_or(|name| name == network)
}

fn applies(policy: &Policy, network: usize, reservation: &Reservation) -> bool {
    let here = on(&policy.networks[network].name, reservation);
    here && match reservation.ip {
        Some(IpAddr::V4(ip)) => policy.within(network, ip).is_some(),
        Some(IpAddr::V6(_)) => false,
        None => true,
    }
}

/// True if one of its keys is this client's.
pub fn selects(reservation: &Reservation, client: Traits<'_>) -> bool {
    reservation.keys.iter().any(|key| match key {
        ReservationKey::Mac(mac) => client.mac == Some(*mac),
        ReservationKey::ClientId(id) => client.client_id == Some(id),
        ReservationKey::CircuitId(id) => client.circuit_id == Some(id),
        ReservationKey::RemoteId(id) => client.remote_id == Some(id),
        ReservationKey::Duid { duid, iaid } => {
            client.duid().is_some_and(|(own, of)| of == duid && iaid.is_none_or(|wanted| wanted == own))
        }
        ReservationKey::Test(_) => client.met == Some(&reservation.id),
    })
}

/// One reservation per MAC and IPv4 address, the first with all IPv6 addresses; one without IPv4 address for a
/// MAC that has none (roaming).
fn of_host(host: &Host) -> Vec<Reservation> {
    let mut out = Vec::new();
    for (i, interface) in host.interfaces.iter().enumerate() {
        let Some(mac) = interface.mac else { continue };
        let of = |family: u8| {
            let here = |o: &&CustomOption| o.interface.as_ref().is_none_or(|name| *name == interface.name);
            host.options.iter().filter(here).filter(move |o| o.family == family)
        };
        let options: Vec<(u8, Vec<u8>)> =
            of(4).filter_map(|o| Some((u8::try_from(o.number).ok()?, o.value.clone()))).collect();
        let mut options6: Vec<(u16, Vec<u8>)> = of(6).map(|o| (o.number, o.value.clone())).collect();
        let addresses = interface.addresses.iter().filter(|ip| ip.is_ipv4()).map(|ip| Some(*ip));
        let mut addresses: Vec<Option<IpAddr>> = addresses.collect();
        if addresses.is_empty() {
            addresses.push(None);
        }
        let v6 = interface.addresses.iter().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
        let mut v6: Vec<Ipv6Addr> = v6.collect();
        for (j, ip) in addresses.into_iter().enumerate() {
            out.push(Reservation {
                keys: vec![ReservationKey::Mac(mac)],
                ip,
                ip6: std::mem::take(&mut v6),
                name: host.fqdn.clone(),
                options: options.clone(),
                options6: std::mem::take(&mut options6),
                ..Reservation::new(format!("host:{}:{i}:{j}", host.id), Origin::Host(host.id.clone()))
            });
        }
    }
    out
}

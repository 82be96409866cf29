//! Leases of another server, as ours (DH-642). Owns what must hold before one is taken over: it lies in a
//! subnet of ours, has not ended, and nobody else holds its address. Refuses to read files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::policy::{Delegation, Identify, LinkInfo, Policy};
use crate::domain::change::Change;
use crate::domain::dns::naming::{self, NameRequest};
use crate::domain::lease::{Cause, ClientKey, IaKind, Lease, Reservation, ReservationKey};
use crate::domain::net::Mac;
use crate::domain::time::Wall;

/// A lease as the other server kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    pub ip: IpAddr,
    /// Length of a delegated prefix; `None` for an address.
    pub delegated: Option<u8>,
    pub mac: Option<Mac>,
    pub client_id: Option<Vec<u8>>,
    pub duid: Option<Vec<u8>>,
    pub iaid: Option<u32>,
    pub hostname: Option<String>,
    pub circuit_id: Option<Vec<u8>>,
    pub remote_id: Option<Vec<u8>>,
    pub began: Option<Wall>,
    /// [`Wall::NEVER`] for a lease without end.
    pub expires: Wall,
    /// Found in use by somebody else: to be kept out of use.
    pub declined: bool,
}

/// What became of a carried lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// To be committed.
    New(Box<Change>),
    /// It is here already: nothing changes.
    Same,
    /// Why it cannot be taken over.
    Refused(String),
}

/// Who holds what, while leases are taken over.
#[derive(Debug)]
pub struct Held {
    links: Vec<LinkInfo>,
    /// Networks where leases hang on the hardware address.
    by_mac: HashSet<String>,
    by_ip: HashMap<(String, IpAddr, Option<u8>), Lease>,
    names: HashMap<String, ClientKey>,
    /// What may be delegated: the number of the link, what it is cut from, the delegation.
    delegations: Vec<(usize, IpNet, Delegation)>,
    /// Delegated prefixes by their first address; they never overlap (DH-706).
    prefixes: BTreeMap<Ipv6Addr, (Ipv6Net, ClientKey)>,
    /// Addresses kept out of use, by network.
    declined: HashSet<(String, IpAddr)>,
    /// Interfaces by network: clients on the link are identified by what is seen there.
    interfaces: HashMap<String, String>,
    /// Addresses that wait for somebody, by address.
    reserved: HashMap<IpAddr, Vec<Reservation>>,
}

impl Held {
    /// Nothing held yet, in the networks of that policy.
    pub fn under(policy: &Policy) -> Held {
        let by_mac = policy.networks.iter().filter(|network| network.identify == Identify::Mac);
        Held {
            links: policy.links(),
            by_mac: by_mac.map(|network| network.name.clone()).collect(),
            by_ip: HashMap::new(),
            names: HashMap::new(),
            delegations: delegations(policy),
            prefixes: BTreeMap::new(),
            declined: HashSet::new(),
            interfaces: (policy.networks.iter())
                .filter_map(|network| Some((network.name.clone(), network.interface.clone()?)))
                .collect(),
            reserved: HashMap::new(),
        }
    }

    /// Takes in what waits for a client.
    pub fn reserve(&mut self, reservation: &Reservation) {
        for ip in reservation.ip.iter().copied().chain(reservation.ip6.iter().map(|ip| IpAddr::V6(*ip))) {
            self.reserved.entry(ip).or_default().push(reservation.clone());
        }
    }

    /// A reservation of that address for somebody else.
    fn rival(&self, carried: &Carried, network: &str) -> Option<&Reservation> {
        let mine = |key: &ReservationKey| match key {
            ReservationKey::Mac(mac) => carried.mac == Some(*mac),
            ReservationKey::ClientId(id) => carried.client_id.as_ref() == Some(id),
            ReservationKey::CircuitId(id) => carried.circuit_id.as_ref() == Some(id),
            ReservationKey::RemoteId(id) => carried.remote_id.as_ref() == Some(id),
            ReservationKey::Duid { duid, .. } => carried.duid.as_ref() == Some(duid),
            // what it asks for is not known here
            ReservationKey::Test(_) => true,
        };
        let all = self.reserved.get(&carried.ip)?;
        all.iter().find(|r| r.network.as_deref().is_none_or(|n| n == network) && !r.keys.iter().any(mine))
    }

    /// Takes in what is durable already.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::LeaseGranted(lease) => self.put(lease),
            Change::LeaseEnded { network, ip, .. } => {
                let gone: Vec<_> =
                    self.by_ip.keys().filter(|(name, address, _)| name == network && address == ip).cloned().collect();
                for key in gone {
                    if let (IpAddr::V6(first), Some(_)) = (key.1, key.2) {
                        self.prefixes.remove(&first);
                    }
                    if let Some(name) = self.by_ip.remove(&key).and_then(|lease| lease.fqdn) {
                        self.names.remove(&name);
                    }
                }
            }
            Change::Quarantined { network, ip, until, .. } => {
                let at = (network.clone(), *ip);
                if *until == Wall::LONG_AGO {
                    self.declined.remove(&at)
                } else {
                    self.declined.insert(at)
                };
            }
            _ => {}
        }
    }

    /// Takes in one lease.
    pub fn put(&mut self, lease: &Lease) {
        if let Some(name) = &lease.fqdn {
            self.names.insert(name.clone(), lease.client.clone());
        }
        if let Some(prefix) = delegated(lease.ip, lease.delegated) {
            self.prefixes.insert(prefix.network(), (prefix, lease.client.clone()));
        }
        self.by_ip.insert((lease.network.clone(), lease.ip, lease.delegated), lease.clone());
    }

    /// A delegated prefix that shares addresses with this one and is another's.
    fn overlapped(&self, prefix: Ipv6Net, client: &ClientKey) -> Option<Ipv6Net> {
        let before = self.prefixes.range(..=prefix.network()).next_back();
        let after = self.prefixes.range(prefix.network()..=prefix.broadcast()).next();
        let rival = |(held, owner): &(Ipv6Net, ClientKey)| {
            let meets = held.contains(&prefix) || prefix.contains(held);
            (meets && (*held != prefix || owner != client)).then_some(*held)
        };
        before.into_iter().chain(after).find_map(|(_, held)| rival(held))
    }

    /// Judges one lease, and counts it as held if it is taken over. `quarantine` is for declined ones.
    pub fn take(&mut self, carried: &Carried, now: Wall, quarantine: Duration) -> Taken {
        if carried.expires <= now && !carried.declined {
            return Taken::Refused("it has run out".to_owned());
        }
        let prefix = delegated(carried.ip, carried.delegated);
        if carried.delegated.is_some() && prefix.is_none_or(|prefix| IpAddr::V6(prefix.network()) != carried.ip) {
            return Taken::Refused("it is no prefix".to_owned());
        }
        let Some((link, subnet)) = prefix.map_or_else(|| self.place(carried.ip), |prefix| self.place_of(prefix)) else {
            let nowhere = match prefix {
                Some(_) => "the prefix is not among those that the configuration delegates",
                None => "its address lies in no configured subnet",
            };
            return Taken::Refused(nowhere.to_owned());
        };
        let key = (link.name.clone(), carried.ip, carried.delegated);
        if carried.declined {
            let until = if carried.expires == Wall::NEVER { now.plus(quarantine) } else { carried.expires.max(now) };
            if self.by_ip.contains_key(&key) {
                return Taken::Refused("a client of ours holds the address".to_owned());
            }
            let change = Change::Quarantined { network: link.name.clone(), ip: carried.ip, until, mac: None };
            self.apply(&change);
            return Taken::New(Box::new(change));
        }
        if self.declined.contains(&(link.name.clone(), carried.ip)) {
            return Taken::Refused("the address is kept out of use: somebody else was seen at it".to_owned());
        }
        let Some(client) = client(carried, self.by_mac.contains(&link.name)) else {
            return Taken::Refused("it names no client".to_owned());
        };
        if let Some(rival) = self.rival(carried, &link.name) {
            return Taken::Refused(format!("the address is reserved for somebody else ({})", rival.id));
        }
        if let Some(held) = prefix.and_then(|prefix| self.overlapped(prefix, &client)) {
            return Taken::Refused(format!("{held} is delegated already"));
        }
        if let Some(held) = self.by_ip.get(&key) {
            let same = held.client == client && held.expires >= carried.expires;
            if same {
                return Taken::Same;
            }
            if held.client != client {
                return Taken::Refused(format!("{:?} holds the address", held.client));
            }
        }
        let lease = self.lease(carried, client, &link, subnet, now);
        self.put(&lease);
        Taken::New(Box::new(Change::LeaseGranted(Box::new(lease))))
    }

    /// The link and the subnet that an address lies in.
    fn place(&self, ip: IpAddr) -> Option<(LinkInfo, IpNet)> {
        self.links.iter().find_map(|link| {
            let subnet = link.prefixes.iter().find(|net| net.contains(&ip)).copied()?;
            Some((link.clone(), subnet))
        })
    }

    /// The link that a prefix is delegated on, and what it is cut from.
    fn place_of(&self, prefix: Ipv6Net) -> Option<(LinkInfo, IpNet)> {
        let (link, subnet, _) = self.delegations.iter().find(|(.., delegation)| delegation.gives(prefix))?;
        Some((self.links.get(*link)?.clone(), *subnet))
    }

    fn lease(&self, carried: &Carried, client: ClientKey, link: &LinkInfo, subnet: IpNet, now: Wall) -> Lease {
        let hostname = carried.hostname.as_ref().map(|name| {
            // other servers keep the full name; the client told its first label
            name.split('.').next().unwrap_or_default().as_bytes().to_vec()
        });
        let request = NameRequest {
            client: &client,
            mac: carried.mac,
            ip: carried.ip,
            domain: &link.domain,
            reserved: None,
            option81: None,
            option12: hostname.as_deref(),
            vendor_class: None,
            previous: None,
        };
        let others = |name: &str| self.names.get(name).is_some_and(|owner| *owner != client);
        let fqdn = naming::decide(&request, true, others).map(|choice| choice.fqdn);
        Lease {
            ip: carried.ip,
            delegated: carried.delegated,
            network: link.name.clone(),
            subnet,
            fqdn: fqdn.filter(|_| carried.delegated.is_none()),
            mac: carried.mac,
            client_id: carried.client_id.clone().filter(|_| carried.ip.is_ipv4()),
            hostname,
            vendor_class: None,
            user_class: None,
            requested: Vec::new(),
            relay_info: None,
            circuit_id: carried.circuit_id.clone(),
            remote_id: carried.remote_id.clone(),
            relay: None,
            // who sits behind a relay is on no link of ours
            interface: (self.interfaces.get(&link.name))
                .filter(|_| carried.circuit_id.is_none() && carried.remote_id.is_none())
                .cloned()
                .unwrap_or_default(),
            began: carried.began.unwrap_or(now).min(now),
            expires: carried.expires,
            preferred: carried.ip.is_ipv6().then_some(carried.expires),
            cause: Cause::New,
            client,
        }
    }
}

/// As `decide` would key it: the client identifier if one was sent, else the hardware address (DH-221).
fn client(carried: &Carried, by_mac: bool) -> Option<ClientKey> {
    if carried.ip.is_ipv6() {
        let kind = if carried.delegated.is_some() { IaKind::Prefix } else { IaKind::Address };
        return Some(ClientKey::Ia { duid: carried.duid.clone()?, iaid: carried.iaid?, kind });
    }
    let hardware = carried.mac.map(|mac| ClientKey::Hw(1, mac.0.to_vec()));
    let id = carried.client_id.clone().filter(|id| !id.is_empty()).map(ClientKey::Id);
    if by_mac { hardware.or(id) } else { id.or(hardware) }
}

/// The prefix, if it is one.
fn delegated(ip: IpAddr, length: Option<u8>) -> Option<Ipv6Net> {
    let IpAddr::V6(first) = ip else { return None };
    Some(Ipv6Net::new(first, length?).ok()?.trunc())
}

fn delegations(policy: &Policy) -> Vec<(usize, IpNet, Delegation)> {
    let networks = policy.networks.iter().enumerate();
    let subnets = networks.flat_map(|(n, network)| network.subnets6.iter().map(move |subnet| (n, subnet)));
    subnets.flat_map(|(n, s)| s.delegate.iter().map(move |d| (n, IpNet::V6(d.prefix), d.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dhcp::policy::{Network, Subnet, Subnet6};

    fn policy() -> Policy {
        let subnet = Subnet::new("10.0.0.0/24".parse().expect("a prefix"));
        let network =
            Network { name: "lan".to_owned(), domain: "x".to_owned(), subnets: vec![subnet], ..Network::default() };
        Policy::new(vec![network])
    }

    fn carried(ip: &str, mac: u8) -> Carried {
        Carried {
            ip: ip.parse().expect("an address"),
            delegated: None,
            mac: Some(Mac([2, 0, 0, 0, 0, mac])),
            client_id: None,
            duid: None,
            iaid: None,
            hostname: Some("pc.old.example".to_owned()),
            circuit_id: None,
            remote_id: None,
            began: None,
            expires: Wall(5_000),
            declined: false,
        }
    }

    #[test]
    fn a_lease_is_taken_over_once_and_never_from_another_client() {
        let (policy, now, day) = (policy(), Wall(1_000), Duration::from_secs(86_400));
        let mut held = Held::under(&policy);
        let Taken::New(change) = held.take(&carried("10.0.0.7", 1), now, day) else { panic!("taken over") };
        let Change::LeaseGranted(lease) = *change else { panic!("a lease") };
        assert_eq!((lease.fqdn.as_deref(), lease.network.as_str()), (Some("pc.x"), "lan"));
        assert_eq!(held.take(&carried("10.0.0.7", 1), now, day), Taken::Same);
        assert!(matches!(held.take(&carried("10.0.0.7", 2), now, day), Taken::Refused(_)));
        assert!(matches!(held.take(&carried("10.9.0.7", 2), now, day), Taken::Refused(_)));
        assert!(matches!(held.take(&carried("10.0.0.8", 2), Wall(9_000), day), Taken::Refused(_)));
        // a second client of the same name gets a suffix
        let Taken::New(change) = held.take(&carried("10.0.0.9", 3), now, day) else { panic!("taken over") };
        let Change::LeaseGranted(lease) = *change else { panic!("a lease") };
        assert_eq!(lease.fqdn.as_deref(), Some("pc-0003.x"));
    }

    #[test]
    fn a_lease_of_an_address_that_waits_for_somebody_else_is_not_taken_over() {
        let mut held = Held::under(&policy());
        let owner = ReservationKey::Mac(Mac([2, 0, 0, 0, 0, 1]));
        held.reserve(&Reservation {
            keys: vec![owner],
            ip: Some("10.0.0.7".parse().expect("an address")),
            ..Reservation::new("t.toml:7".to_owned(), crate::domain::lease::Origin::Config("t.toml:7".to_owned()))
        });
        let (now, day) = (Wall(1_000), Duration::from_secs(86_400));
        let Taken::Refused(why) = held.take(&carried("10.0.0.7", 2), now, day) else { panic!("taken over") };
        assert!(why.contains("somebody else (t.toml:7)"), "{why}");
        assert!(matches!(held.take(&carried("10.0.0.7", 1), now, day), Taken::New(_)));
    }

    #[test]
    fn a_lease_on_the_link_gets_its_interface() {
        let mut policy = policy();
        policy.networks[0].interface = Some("eth1".to_owned());
        let mut held = Held::under(&policy);
        let (now, day) = (Wall(1_000), Duration::from_secs(86_400));
        let mut interface = |carried: &Carried| match held.take(carried, now, day) {
            Taken::New(change) => match *change {
                Change::LeaseGranted(lease) => lease.interface,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(interface(&carried("10.0.0.7", 1)), "eth1");
        assert_eq!(interface(&Carried { circuit_id: Some(vec![1]), ..carried("10.0.0.8", 2) }), "");
    }

    #[test]
    fn a_declined_address_is_quarantined() {
        let mut held = Held::under(&policy());
        let declined = Carried { declined: true, ..carried("10.0.0.7", 1) };
        let taken = held.take(&declined, Wall(1_000), Duration::from_secs(1));
        assert!(matches!(taken, Taken::New(change) if matches!(*change, Change::Quarantined { .. })));
    }

    fn prefix(ip: &str, length: u8, iaid: u32) -> Carried {
        Carried {
            delegated: Some(length),
            duid: Some(vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 9]),
            iaid: Some(iaid),
            hostname: None,
            ..carried(ip, 9)
        }
    }

    fn policy6(prefix: &str) -> Policy {
        let delegation = |length| Delegation { prefix: prefix.parse().expect("a prefix"), length, exclude: None };
        let subnet = Subnet6::new("2001:db8:1::/64".parse().expect("a prefix"));
        let subnets6 = vec![Subnet6 { delegate: vec![delegation(48), delegation(56)], ..subnet }];
        Policy::new(vec![Network { name: "lan".to_owned(), domain: "x".to_owned(), subnets6, ..Network::default() }])
    }

    #[test]
    fn prefixes_that_overlap_are_not_both_taken_over() {
        let mut held = Held::under(&policy6("2001:db8:7000::/36"));
        let (now, day) = (Wall(1_000), Duration::from_secs(86_400));
        assert!(matches!(held.take(&prefix("2001:db8:7700::", 48, 1), now, day), Taken::New(_)));
        assert!(matches!(held.take(&prefix("2001:db8:7700:100::", 56, 2), now, day), Taken::Refused(_)));
        assert!(matches!(held.take(&prefix("2001:db8:7701::", 56, 2), now, day), Taken::New(_)));
        assert!(matches!(held.take(&prefix("2001:db8:7701::", 48, 3), now, day), Taken::Refused(_)));
        assert_eq!(held.take(&prefix("2001:db8:7700::", 48, 1), now, day), Taken::Same);
        assert!(matches!(held.take(&prefix("2001:db8:9900::", 48, 4), now, day), Taken::Refused(_)), "not ours");
        assert!(matches!(held.take(&prefix("2001:db8:7702:1::", 48, 4), now, day), Taken::Refused(_)), "no prefix");
    }

    #[test]
    fn an_address_declined_in_this_import_is_not_taken_over() {
        let mut held = Held::under(&policy());
        let (now, day) = (Wall(1_000), Duration::from_secs(86_400));
        let declined = Carried { declined: true, ..carried("10.0.0.7", 1) };
        assert!(matches!(held.take(&declined, now, day), Taken::New(_)));
        assert!(matches!(held.take(&carried("10.0.0.7", 2), now, day), Taken::Refused(_)));
    }
}

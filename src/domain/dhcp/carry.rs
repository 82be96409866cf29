//! Leases of another server, as ours (DH-642). Owns what must hold before one is taken over: it lies in a
//! subnet of ours, has not ended, and nobody else holds its address. Refuses to read files.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::policy::{Identify, LinkInfo, Policy};
use crate::domain::change::Change;
use crate::domain::dns::naming::{self, NameRequest};
use crate::domain::lease::{Cause, ClientKey, IaKind, Lease};
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
        }
    }

    /// Takes in what is durable already.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::LeaseGranted(lease) => self.put(lease),
            Change::LeaseEnded { network, ip, .. } => {
                let gone: Vec<_> =
                    self.by_ip.keys().filter(|(name, address, _)| name == network && address == ip).cloned().collect();
                for key in gone {
                    if let Some(name) = self.by_ip.remove(&key).and_then(|lease| lease.fqdn) {
                        self.names.remove(&name);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes in one lease.
    pub fn put(&mut self, lease: &Lease) {
        if let Some(name) = &lease.fqdn {
            self.names.insert(name.clone(), lease.client.clone());
        }
        self.by_ip.insert((lease.network.clone(), lease.ip, lease.delegated), lease.clone());
    }

    /// Judges one lease, and counts it as held if it is taken over. `quarantine` is for declined ones.
    pub fn take(&mut self, carried: &Carried, now: Wall, quarantine: Duration) -> Taken {
        if carried.expires <= now && !carried.declined {
            return Taken::Refused("it has run out".to_owned());
        }
        let Some((link, subnet)) = self.place(carried.ip) else {
            return Taken::Refused("its address lies in no configured subnet".to_owned());
        };
        let key = (link.name.clone(), carried.ip, carried.delegated);
        if carried.declined {
            let until = if carried.expires == Wall::NEVER { now.plus(quarantine) } else { carried.expires.max(now) };
            return match self.by_ip.contains_key(&key) {
                true => Taken::Refused("a client of ours holds the address".to_owned()),
                false => Taken::New(Box::new(Change::Quarantined {
                    network: link.name.clone(),
                    ip: carried.ip,
                    until,
                    mac: None,
                })),
            };
        }
        let Some(client) = client(carried, self.by_mac.contains(&link.name)) else {
            return Taken::Refused("it names no client".to_owned());
        };
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
            interface: String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dhcp::policy::{Network, Subnet};

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
    fn a_declined_address_is_quarantined() {
        let mut held = Held::under(&policy());
        let declined = Carried { declined: true, ..carried("10.0.0.7", 1) };
        let taken = held.take(&declined, Wall(1_000), Duration::from_secs(1));
        assert!(matches!(taken, Taken::New(change) if matches!(*change, Change::Quarantined { .. })));
    }
}

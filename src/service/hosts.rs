//! Hosts that were declared through CLAWS: a read side over the ledger, and the vote on MACs, addresses and
//! names that one host holds alone.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::change::Change;
use crate::domain::host::Host;
use crate::domain::net::Mac;
use crate::store::{Entry, Refusal, View};

/// The read side. Clones share it.
#[derive(Clone, Default)]
pub struct Hosts {
    tables: Arc<RwLock<Tables>>,
}

#[derive(Default)]
struct Tables {
    hosts: BTreeMap<String, Arc<Host>>,
    macs: HashMap<Mac, String>,
    addresses: HashMap<IpAddr, String>,
    names: HashMap<String, String>,
}

impl Hosts {
    /// Its view, for the ledger.
    pub fn view(&self) -> Box<dyn View> {
        Box::new(self.clone())
    }

    /// The host of that id (its lower-case name).
    pub fn find(&self, id: &str) -> Option<Arc<Host>> {
        self.read().hosts.get(id).cloned()
    }

    /// The host with that hardware address.
    pub fn by_mac(&self, mac: Mac) -> Option<Arc<Host>> {
        let tables = self.read();
        tables.macs.get(&mac).and_then(|id| tables.hosts.get(id)).cloned()
    }

    /// Hosts by id, behind `after`, at most `limit`.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Host>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.read().hosts.range::<str, _>((from, Unbounded)).take(limit).map(|(_, host)| host.clone()).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.read().hosts.len()
    }

    /// The vote of `lanlord-hosts`: no other host has one of its MACs, addresses or names. A host of the
    /// same id is this host as it was. A nil MAC identifies nobody, so many may have it (CL-214).
    pub fn vote(&self, host: &Host) -> Result<(), Refusal> {
        let tables = self.read();
        let other = |id: Option<&String>| id.filter(|id| **id != host.id).cloned();
        let names = host.fqdn.iter().chain(&host.aliases);
        for name in names {
            if let Some(id) = other(tables.names.get(name)) {
                return Err(taken(&format!("name {name}"), &id));
            }
        }
        for interface in &host.interfaces {
            if let Some(mac) = interface.mac.filter(|mac| mac.is_identity())
                && let Some(id) = other(tables.macs.get(&mac))
            {
                return Err(taken(&format!("MAC address {mac}"), &id));
            }
            for ip in &interface.addresses {
                if let Some(id) = other(tables.addresses.get(ip)) {
                    return Err(taken(&format!("address {ip}"), &id));
                }
            }
        }
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken(what: &str, id: &str) -> Refusal {
    Refusal { code: "conflict".to_owned(), message: format!("{what} belongs to host {id}") }
}

impl Tables {
    fn put(&mut self, host: &Host) {
        self.remove(&host.id);
        for name in host.fqdn.iter().chain(&host.aliases) {
            self.names.insert(name.clone(), host.id.clone());
        }
        for interface in &host.interfaces {
            if let Some(mac) = interface.mac.filter(|mac| mac.is_identity()) {
                self.macs.insert(mac, host.id.clone());
            }
            self.addresses.extend(interface.addresses.iter().map(|ip| (*ip, host.id.clone())));
        }
        self.hosts.insert(host.id.clone(), Arc::new(host.clone()));
    }

    fn remove(&mut self, id: &str) {
        let Some(host) = self.hosts.remove(id) else { return };
        host.fqdn.iter().chain(&host.aliases).for_each(|name| {
            self.names.remove(name);
        });
        for interface in &host.interfaces {
            if let Some(mac) = interface.mac {
                self.macs.remove(&mac);
            }
            interface.addresses.iter().for_each(|ip| {
                self.addresses.remove(ip);
            });
        }
    }
}

impl View for Hosts {
    fn apply(&mut self, batch: &[Entry]) {
        let relevant = |e: &Entry| matches!(e.change, Change::HostPut(_) | Change::HostRemoved { .. });
        if !batch.iter().any(relevant) {
            return;
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for entry in batch {
            match &entry.change {
                Change::HostPut(host) => tables.put(host),
                Change::HostRemoved { id } => tables.remove(id),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::Interface;
    use crate::domain::time::Wall;

    fn host(id: &str, mac: u8, ip: &str) -> Host {
        let interface = Interface {
            name: "eth".to_owned(),
            mac: Some(Mac([2, 0, 0, 0, 0, mac])),
            roaming: false,
            vlan: None,
            networks: Vec::new(),
            addresses: vec![ip.parse().unwrap()],
        };
        Host {
            id: id.to_owned(),
            hostname: id.to_owned(),
            fqdn: Some(format!("{id}.example.com")),
            aliases: Vec::new(),
            interfaces: vec![interface],
            options: Vec::new(),
            properties: Vec::new(),
        }
    }

    fn put(hosts: &mut Hosts, change: Change) {
        hosts.apply(&[Entry { seq: 1, at: Wall(0), change }]);
    }

    #[test]
    fn a_mac_an_address_and_a_name_belong_to_one_host() {
        let mut hosts = Hosts::default();
        put(&mut hosts, Change::HostPut(Box::new(host("a", 1, "10.0.0.1"))));
        let says = |host: &Host| hosts.vote(host).map_err(|refusal| refusal.message);
        assert_eq!(says(&host("a", 1, "10.0.0.1")), Ok(()), "itself");
        assert_eq!(says(&host("b", 2, "10.0.0.2")), Ok(()));
        assert!(says(&host("b", 1, "10.0.0.2")).unwrap_err().contains("MAC"));
        assert!(says(&host("b", 2, "10.0.0.1")).unwrap_err().contains("address"));
        let named = Host { fqdn: Some("a.example.com".to_owned()), ..host("b", 2, "10.0.0.2") };
        assert!(says(&named).unwrap_err().contains("name"));
        put(&mut hosts, Change::HostRemoved { id: "a".to_owned() });
        assert_eq!(hosts.vote(&named), Ok(()), "what a removed host held is free");
        assert_eq!(hosts.count(), 0);
    }

    #[test]
    fn a_nil_mac_identifies_nobody() {
        let mut hosts = Hosts::default();
        let nil = |id, ip| {
            let mut host = host(id, 0, ip);
            host.interfaces[0].mac = Some(Mac([0; 6]));
            host
        };
        put(&mut hosts, Change::HostPut(Box::new(nil("a", "10.0.0.1"))));
        assert_eq!(hosts.vote(&nil("b", "10.0.0.2")), Ok(()));
        assert_eq!(hosts.by_mac(Mac([0; 6])), None);
    }
}

//! Addresses set aside for hosts that are about to be added (DH-503): a soft offer of another kind, one per
//! family, until a deadline.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::{Core, Leasing};
use crate::domain::change::Change;
use crate::domain::dhcp::book::Hold;
use crate::domain::dhcp::policy::Place;
use crate::domain::dhcp::reserve::Traits;
use crate::domain::lease::ClientKey;
use crate::domain::net::Mac;
use crate::domain::time::Mono;

/// One address that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub ip: IpAddr,
    pub prefix: IpNet,
    pub network: String,
}

/// Why nothing could be set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    #[error("there is no network named {0}; the configuration's [[network]] tables say which there are")]
    NoNetwork(String),
    #[error("no network is configured")]
    NoNetworks,
    #[error("no address is free on network {0}")]
    Full(String),
}

/// IPv6 addresses in use: those of hosts, and those set aside.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: HashMap<Ipv6Addr, Hold>,
    hosts: HashMap<String, Vec<Ipv6Addr>>,
    used: HashSet<Ipv6Addr>,
}

impl Leasing {
    /// Sets aside one address per family that the network has (`None`: the first network), for the holder,
    /// until the deadline. A client with this MAC keeps the address that it has.
    pub fn hold(
        &self,
        holder: &str,
        network: Option<&str>,
        mac: Option<Mac>,
        until: Mono,
    ) -> Result<Vec<Held>, HoldError> {
        let mut core = self.core();
        let network = core.network(network)?;
        let hold = Hold { holder: holder.to_owned(), mac, until };
        let policy = core.book.policy().clone();
        let link = &policy.networks[network];
        let mut out = Vec::new();
        if let Some(ip) = core.vacancy(network, mac) {
            core.book.hold(network, ip, hold.clone());
            let subnet = policy.within(network, ip).map(|subnet| link.subnets[subnet].prefix);
            out.extend(subnet.map(|prefix| Held { ip: ip.into(), prefix: prefix.into(), network: link.name.clone() }));
        } else if !link.subnets.is_empty() {
            return Err(HoldError::Full(link.name.clone()));
        }
        let like = out.iter().find_map(|held| if let IpAddr::V4(ip) = held.ip { Some(ip) } else { None });
        if let Some(prefix) = link.prefixes6.first() {
            let ip = core.holds.take(*prefix, like, hold).ok_or_else(|| HoldError::Full(link.name.clone()))?;
            out.push(Held { ip: ip.into(), prefix: (*prefix).into(), network: link.name.clone() });
        }
        Ok(out)
    }

    /// Gives back all that a holder holds; what a committed host has taken meanwhile stays its own.
    pub fn unhold(&self, holder: &str) {
        let mut core = self.core();
        core.book.unhold(holder);
        core.holds.held.retain(|_, hold| hold.holder != holder);
    }
}

impl Core {
    /// A network by name, or by VLAN id written in decimal.
    fn network(&self, name: Option<&str>) -> Result<usize, HoldError> {
        let policy = self.book.policy();
        let Some(name) = name else {
            return if policy.networks.is_empty() { Err(HoldError::NoNetworks) } else { Ok(0) };
        };
        let vlan = name.parse::<u16>().ok();
        let by_vlan = || policy.networks.iter().position(|network| vlan.is_some() && network.vlan == vlan);
        policy.by_name(name).or_else(by_vlan).ok_or_else(|| HoldError::NoNetwork(name.to_owned()))
    }

    /// The address that this MAC has or is reserved for it, else the next free one.
    fn vacancy(&self, network: usize, mac: Option<Mac>) -> Option<Ipv4Addr> {
        let traits = Traits { mac, ..Traits::default() };
        let place = Place { network, subnet: 0 };
        let next = || self.book.next_free(place);
        let Some(mac) = mac else { return next() };
        let keys = [
            ClientKey::Hw(1, mac.0.to_vec()),
            // RFC 2132 §9.14: most clients send hardware type and address as their identifier
            ClientKey::Id([&[1][..], &mac.0].concat()),
        ];
        let reserved = self.book.reservations().find(self.book.policy(), network, traits).and_then(|r| r.ip);
        let known = keys.iter().flat_map(|key| {
            let lease = self.book.lease_of(network, key).map(|lease| lease.ip);
            lease.into_iter().chain(reserved).map(move |ip| (key, ip))
        });
        let known = known.filter_map(|(key, ip)| if let IpAddr::V4(ip) = ip { Some((key, ip)) } else { None });
        let mut usable = known.filter(|(key, ip)| self.book.available(network, *ip, key, traits));
        usable.next().map(|(_, ip)| ip).or_else(next)
    }
}

impl Holds {
    /// Follows the hosts, whose addresses are taken.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::HostPut(host) => {
                self.forget_host(&host.id);
                let all = host.interfaces.iter().flat_map(|interface| &interface.addresses);
                let mine: Vec<Ipv6Addr> =
                    all.filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }).collect();
                self.used.extend(&mine);
                self.hosts.insert(host.id.clone(), mine);
            }
            Change::HostRemoved { id } => self.forget_host(id),
            _ => {}
        }
    }

    fn forget_host(&mut self, id: &str) {
        for ip in self.hosts.remove(id).unwrap_or_default() {
            self.used.remove(&ip);
        }
    }

    pub(super) fn sweep(&mut self, now: Mono) {
        self.held.retain(|_, hold| hold.until > now);
    }

    /// A free address of the prefix; with the host number of the IPv4 address beside it, if that is free.
    fn take(&mut self, prefix: Ipv6Net, like: Option<Ipv4Addr>, hold: Hold) -> Option<Ipv6Addr> {
        let base = u128::from(prefix.network());
        let size = 128 - u32::from(prefix.prefix_len());
        let last = if size >= 64 { u128::from(u64::MAX) } else { (1u128 << size) - 1 };
        // number 0 is the subnet-router anycast address (RFC 4291 §2.6.1)
        let start = like.map_or(0x1000, |ip| u128::from(u32::from(ip) & 0xffff)).clamp(1, last.max(1));
        let numbers = (start..=last).chain(1..start).take(65_536);
        let free = |ip: &Ipv6Addr| !self.used.contains(ip) && !self.held.contains_key(ip);
        let ip = numbers.map(|number| Ipv6Addr::from(base | number)).find(free)?;
        self.held.insert(ip, hold);
        Some(ip)
    }
}

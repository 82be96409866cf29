//! Addresses set aside for hosts that are about to be added (DH-503): a soft offer of another kind, one per
//! family, until a deadline.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Core, Leasing};
use crate::domain::dhcp::book::Hold;
use crate::domain::dhcp::policy::{Place, Subnet6};
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
        if let Some(subnet) = link.subnets6.first() {
            let ip = core.vacancy6(network, subnet, mac, like).ok_or_else(|| HoldError::Full(link.name.clone()))?;
            core.book6.hold(network, ip, hold);
            out.push(Held { ip: ip.into(), prefix: subnet.prefix.into(), network: link.name.clone() });
        }
        Ok(out)
    }

    /// Gives back all that a holder holds; what a committed host has taken meanwhile stays its own.
    pub fn unhold(&self, holder: &str) {
        let mut core = self.core();
        core.book.unhold(holder);
        core.book6.unhold(holder);
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
            let lease = self.book.address_of(network, key).map(IpAddr::V4);
            lease.into_iter().chain(reserved).map(move |ip| (key, ip))
        });
        let known = known.filter_map(|(key, ip)| if let IpAddr::V4(ip) = ip { Some((key, ip)) } else { None });
        let mut usable = known.filter(|(key, ip)| self.book.available(network, *ip, key, traits));
        usable.next().map(|(_, ip)| ip).or_else(next)
    }

    /// A free address of the IPv6 prefix; with the host number of the IPv4 address beside it, if that is free.
    fn vacancy6(&self, network: usize, subnet: &Subnet6, mac: Option<Mac>, like: Option<Ipv4Addr>) -> Option<Ipv6Addr> {
        let base = u128::from(subnet.prefix.network());
        let size = 128 - u32::from(subnet.prefix.prefix_len());
        let last = if size >= 64 { u128::from(u64::MAX) } else { (1u128 << size) - 1 };
        let start = like.map_or(0x1000, |ip| u128::from(u32::from(ip) & 0xffff)).clamp(1, last.max(1));
        let numbers = (start..=last).chain(1..start).take(65_536);
        // nobody's key: what any client holds or waits for is not free for a host
        let nobody = ClientKey::Hw(0, Vec::new());
        let name = &self.book.policy().networks[network].name;
        let free = |ip: &Ipv6Addr| {
            let unreserved = !self.book.reservations().holds6(name, *ip);
            subnet.usable(*ip) && unreserved && self.book6.available(network, *ip, 128, &nobody, mac)
        };
        numbers.map(|number| Ipv6Addr::from(base | number)).find(free)
    }
}

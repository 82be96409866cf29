//! From a packet's interface, relay or address to its place, in constant time (DH-311).

use std::net::Ipv4Addr;

use super::Network;
use crate::domain::hash::Table;

/// Index of a network in [`Policy::networks`](super::Policy::networks) and of a subnet within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub network: usize,
    pub subnet: usize,
}

/// Packets to places in constant time, whatever the number of subnets (DH-311).
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) interfaces: Table<String, usize>,
    pub(super) names: Table<String, usize>,
    pub(super) relays: Table<Ipv4Addr, Place>,
    /// By prefix length, longest first; several networks may use one prefix.
    prefixes: Vec<(u8, Table<u32, Vec<Place>>)>,
}

fn mask(ip: Ipv4Addr, length: u8) -> u32 {
    u32::from(ip) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

impl Index {
    /// The place with the longest prefix around the address; of several networks, `preferred` or the first.
    pub(super) fn by_address(&self, ip: Ipv4Addr, preferred: Option<usize>) -> Option<Place> {
        self.prefixes.iter().find_map(|(length, places)| {
            let found = places.get(&mask(ip, *length))?;
            let own = found.iter().find(|place| Some(place.network) == preferred);
            own.or(found.first()).copied()
        })
    }

    pub(super) fn over(networks: &[Network]) -> Index {
        let mut index = Index::default();
        let mut prefixes: Table<u8, Table<u32, Vec<Place>>> = Table::default();
        for (n, network) in networks.iter().enumerate() {
            index.names.entry(network.name.clone()).or_insert(n);
            if let Some(interface) = &network.interface {
                index.interfaces.entry(interface.clone()).or_insert(n);
            }
            for (s, subnet) in network.subnets.iter().enumerate() {
                let place = Place { network: n, subnet: s };
                let first = s == 0;
                let relays = subnet.relays.iter().chain(network.relays.iter().filter(|_| first));
                relays.for_each(|relay| {
                    index.relays.entry(*relay).or_insert(place);
                });
                let length = subnet.prefix.prefix_len();
                let start = u32::from(subnet.prefix.network());
                prefixes.entry(length).or_default().entry(start).or_default().push(place);
            }
        }
        index.prefixes = prefixes.into_iter().collect();
        index.prefixes.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        index
    }
}

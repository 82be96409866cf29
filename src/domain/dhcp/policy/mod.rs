//! What the configuration says about DHCP, in meaning, not in spelling. Owns the networks with their
//! subnets, pools and options, and which of them a packet belongs to. Refuses to hold any state.

/// Boot fields and boot rules.
mod boot;
/// From packets to places.
mod index;
/// Links, subnets, pools.
mod network;
/// What vendors' devices get.
mod recipe;
/// Options with their values.
mod setting;
/// The same for DHCPv6.
mod v6;

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::IpNet;

pub use boot::{Boot, BootRule, Menu, Server};
pub use index::Place;
pub use network::{ClassOptions, Identify, LinkInfo, Network, Pool, Subnet};
pub use recipe::{Match, Recipe};
pub use setting::{Placeholders, Setting, Value, settable};
pub use v6::{Delegation, Placeholders6, Pool6, Rules6, Setting6, Subnet6, Times6, Value6};

use super::classes::Classes;
use super::guard::Rates;
use crate::domain::lease::Reservation;
use index::Index;

/// Everything that decisions depend on and that only a reload changes.
#[derive(Debug, Clone)]
pub struct Policy {
    pub networks: Vec<Network>,
    /// For every network.
    pub options: Vec<Setting>,
    /// Boot fields of all networks.
    pub boot_fields: Boot,
    /// First match wins, in this order (DH-404).
    pub recipes: Vec<Recipe>,
    pub classes: Classes,
    /// The first that fits counts.
    pub boot: Vec<BootRule>,
    pub menu: Menu,
    /// Reservations of the configuration; those of the ledger are in the [`Book`](super::book::Book).
    pub reservations: Vec<Reservation>,
    /// Base of the provisioning URLs, for `${http_url}`; `${server_ip}` in it is replaced too.
    pub http_url: String,
    pub times: LeaseTimes,
    pub rules: Rules,
    /// DHCPv6 options for every network.
    pub options6: Vec<Setting6>,
    pub rules6: Rules6,
    index: Index,
    index6: v6::Index6,
}

/// Lease times, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    pub default: u32,
    pub min: u32,
    pub max: u32,
    /// Whether a client may have a lease without end.
    pub infinite: bool,
}

impl Default for LeaseTimes {
    /// Twelve hours; clients may ask for ten minutes to seven days.
    fn default() -> LeaseTimes {
        LeaseTimes { default: 43_200, min: 600, max: 604_800, infinite: false }
    }
}

/// Knobs of behaviour.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// ACK a REQUEST with neither option 50 nor ciaddr, as Kea does (DH-201).
    pub accept_bare_request: bool,
    /// Send option 61 back (RFC 6842).
    pub echo_client_id: bool,
    /// Serve clients of BOOTP, whose messages have no option 53 (RFC 951).
    pub bootp: bool,
    /// Relays (giaddr) that may ask who holds what (RFC 4388).
    pub leasequery: Vec<Ipv4Addr>,
    /// A client that comes back under another identifier takes over the lease of its MAC (DH-222).
    pub one_lease_per_mac: bool,
    /// Look whether a dynamic address is in use before a newcomer is offered it (DH-505).
    pub probe: bool,
    /// Answer DISCOVER with option 80 by an ACK (RFC 4039).
    pub rapid_commit: bool,
    /// A renewal within this part of the lease's time writes nothing (DH-215).
    pub cache_fraction: f64,
    /// How long an offer waits for its REQUEST.
    pub offer_hold: Duration,
    /// How long a declined address is kept out of use.
    pub quarantine: Duration,
    /// How long an ended lease is remembered for its client.
    pub affinity: Duration,
    /// When a stranger loses an address that a reservation waits for (DH-308).
    pub steal: Steal,
    /// How often may be asked (DH-811).
    pub rates: Rates,
    /// The part of each pool that only clients which are known may have (DH-811).
    pub known_share: f64,
    /// Ask now and then whether another DHCP server is there (DH-813).
    pub rogue_probe: bool,
    /// Other servers that belong there.
    pub known_servers: Vec<Ipv4Addr>,
}

/// When a stranger loses an address that a reservation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Steal {
    /// Its next renewal is refused.
    #[default]
    NextRenewal,
    /// Its renewals are granted, but not beyond the end that the lease has already.
    Expiry,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            accept_bare_request: false,
            echo_client_id: true,
            bootp: false,
            leasequery: Vec::new(),
            one_lease_per_mac: false,
            probe: true,
            rapid_commit: false,
            cache_fraction: 0.1,
            offer_hold: Duration::from_secs(30),
            quarantine: Duration::from_secs(24 * 3600),
            affinity: Duration::from_secs(30 * 24 * 3600),
            steal: Steal::default(),
            rates: Rates::default(),
            known_share: 0.1,
            rogue_probe: true,
            known_servers: Vec::new(),
        }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::new(Vec::new())
    }
}

impl Policy {
    /// A policy over these networks; everything else at its default and free to be set.
    pub fn new(networks: Vec<Network>) -> Policy {
        let index = Index::over(&networks);
        let index6 = v6::Index6::over(&networks);
        Policy {
            networks,
            options: Vec::new(),
            boot_fields: Boot::default(),
            recipes: Vec::new(),
            classes: Classes::default(),
            boot: Vec::new(),
            menu: Menu::default(),
            reservations: Vec::new(),
            http_url: String::new(),
            times: LeaseTimes::default(),
            rules: Rules::default(),
            options6: Vec::new(),
            rules6: Rules6::default(),
            index,
            index6,
        }
    }

    /// The network on that interface.
    pub fn by_interface(&self, interface: &str) -> Option<usize> {
        self.index.interfaces.get(interface).copied()
    }

    /// The network of that name.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.index.names.get(name).copied()
    }

    /// The subnet that a relay serves: by the lists of relays, else by the prefix that it lies in.
    pub fn by_relay(&self, relay: Ipv4Addr) -> Option<Place> {
        self.index.relays.get(&relay).copied().or_else(|| self.by_address(relay, None))
    }

    /// True if the configuration names this relay.
    pub fn names_relay(&self, relay: Ipv4Addr) -> bool {
        self.index.relays.contains_key(&relay)
    }

    /// The subnet whose prefix holds the address; of several networks, `preferred` or the first.
    pub fn by_address(&self, ip: Ipv4Addr, preferred: Option<usize>) -> Option<Place> {
        self.index.by_address(ip, preferred)
    }

    /// The subnet of one network whose prefix holds the address.
    pub fn within(&self, network: usize, ip: Ipv4Addr) -> Option<usize> {
        let subnets = &self.networks.get(network)?.subnets;
        match subnets.as_slice() {
            [] => None,
            [only] => only.prefix.contains(&ip).then_some(0),
            _ => self.index.by_address(ip, Some(network)).filter(|p| p.network == network).map(|place| place.subnet),
        }
    }

    pub fn subnet(&self, place: Place) -> &Subnet {
        &self.networks[place.network].subnets[place.subnet]
    }

    /// The lease times of a subnet.
    pub fn times(&self, place: Place) -> LeaseTimes {
        self.subnet(place).times.unwrap_or(self.times)
    }

    /// Names, prefixes, VLAN and domain of all networks, for those who place hosts.
    pub fn links(&self) -> Vec<LinkInfo> {
        self.networks
            .iter()
            .map(|network| LinkInfo {
                name: network.name.clone(),
                vlan: network.vlan,
                domain: network.domain.clone(),
                prefixes: (network.subnets.iter().map(|s| IpNet::V4(s.prefix)))
                    .chain(network.subnets6.iter().map(|s| IpNet::V6(s.prefix)))
                    .collect(),
            })
            .collect()
    }
}

//! Links, their subnets and pools, as decisions see them. Owns what an address may be used for; refuses to
//! know who uses it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net};

use super::{Boot, LeaseTimes, Setting, Setting6, Subnet6};
use crate::domain::dhcp::classes::Effects;

/// A named link: its subnets, and how packets of it are known.
#[derive(Debug, Clone, Default)]
pub struct Network {
    pub name: String,
    /// The interface on the link, if we are on it.
    pub interface: Option<String>,
    /// Addresses of relays on the link, beside those that lie in its prefixes.
    pub relays: Vec<Ipv4Addr>,
    /// Domain of the link's clients; option 15.
    pub domain: String,
    pub vlan: Option<u16>,
    pub subnets: Vec<Subnet>,
    /// IPv6 prefixes of the link.
    pub subnets6: Vec<Subnet6>,
    /// IPv6 addresses of relays on the link, beside those that lie in its prefixes.
    pub relays6: Vec<Ipv6Addr>,
    /// Interface-ids (option 18) of relays that name no link address.
    pub interface_ids: Vec<Vec<u8>>,
    pub options6: Vec<Setting6>,
    pub options: Vec<Setting>,
    /// Whether we may say no to clients that we do not know (DH-205).
    pub authoritative: bool,
    /// What a client's lease hangs on (DH-221).
    pub identify: Identify,
    /// Whether option 82 with giaddr 0 is believed: the switches are ours (DH-302).
    pub trusted: bool,
    /// Whether vendor recipes apply here.
    pub recipes: bool,
    /// Whether another server gives the addresses, and we only say what is booted (DH-414).
    pub proxy: bool,
    /// Classes that the link is for; for everybody if there are none.
    pub guard: Vec<String>,
    /// RFC 8925: seconds without IPv4 for clients that offer to go without.
    pub ipv6_only: Option<u32>,
}

/// What a client's lease hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Identify {
    /// Option 61 if there is one, else the hardware address (RFC 2131 §4.2).
    #[default]
    ClientId,
    /// The hardware address, whatever option 61 says: PXE ROM and system share one lease (DH-222).
    Mac,
    /// Both together: machines that were cloned with one client identifier are still told apart.
    Both,
}

/// One prefix of a link.
#[derive(Debug, Clone)]
pub struct Subnet {
    pub prefix: Ipv4Net,
    pub pools: Vec<Pool>,
    /// Option 3 if not set otherwise; never leased.
    pub router: Option<Ipv4Addr>,
    pub options: Vec<Setting>,
    pub times: Option<LeaseTimes>,
    /// Relays (giaddr) that serve this subnet although they lie outside it.
    pub relays: Vec<Ipv4Addr>,
    /// Our address towards its clients, if not the one that the packet came to.
    pub server_id: Option<Ipv4Addr>,
    pub boot: Boot,
    /// Classes that the subnet is for; for everybody if there are none.
    pub guard: Vec<String>,
    /// What members of a class get here (DH-310: above recipes).
    pub class_options: Vec<ClassOptions>,
}

impl Subnet {
    /// A subnet of that prefix with everything else unset.
    pub fn new(prefix: Ipv4Net) -> Subnet {
        Subnet {
            prefix: prefix.trunc(),
            pools: Vec::new(),
            router: None,
            options: Vec::new(),
            times: None,
            relays: Vec::new(),
            server_id: None,
            boot: Boot::default(),
            guard: Vec::new(),
            class_options: Vec::new(),
        }
    }

    /// True if subnet and pools are for everybody.
    pub fn is_open(&self) -> bool {
        self.guard.is_empty() && self.pools.iter().all(|pool| pool.guard.is_empty())
    }

    /// The pool that the address lies in.
    pub fn pool_of(&self, ip: Ipv4Addr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.holds(ip))
    }

    /// True if the pools give this address to anybody who asks.
    pub fn pooled(&self, ip: Ipv4Addr) -> bool {
        self.usable(ip) && self.pools.iter().any(|pool| pool.holds(ip))
    }

    /// True if a client may have it at all: inside the prefix, not network, broadcast, router or ours.
    pub fn usable(&self, ip: Ipv4Addr) -> bool {
        let whole = self.prefix.prefix_len() >= 31;
        self.prefix.contains(&ip)
            && (whole || (ip != self.prefix.network() && ip != self.prefix.broadcast()))
            && self.router != Some(ip)
            && self.server_id != Some(ip)
    }
}

/// A range of addresses for anybody.
#[derive(Debug, Clone)]
pub struct Pool {
    pub range: RangeInclusive<Ipv4Addr>,
    pub exclude: Vec<RangeInclusive<Ipv4Addr>>,
    pub options: Vec<Setting>,
    pub times: Option<LeaseTimes>,
    /// Classes that the pool is for; for everybody if there are none.
    pub guard: Vec<String>,
}

/// What members of a class get in one subnet.
#[derive(Debug, Clone, Default)]
pub struct ClassOptions {
    pub class: String,
    pub effects: Effects,
}

impl Pool {
    /// A pool without exclusions and options.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Pool {
        Pool { range: first..=last, exclude: Vec::new(), options: Vec::new(), times: None, guard: Vec::new() }
    }

    fn holds(&self, ip: Ipv4Addr) -> bool {
        self.range.contains(&ip) && !self.exclude.iter().any(|range| range.contains(&ip))
    }
}

/// What others may know of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    pub name: String,
    pub vlan: Option<u16>,
    pub domain: String,
    pub prefixes: Vec<IpNet>,
}

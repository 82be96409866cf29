//! What the configuration says about DHCPv6: prefixes with pools and delegations, times, knobs. Owns which
//! addresses and prefixes may be given to whom; refuses to know who has them.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::super::v6::options::{self, Problem};
use super::{Network, Policy};
use crate::domain::net::Mac;

/// Knobs of DHCPv6 for all networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules6 {
    /// Addresses and prefixes are given; otherwise only INFORMATION-REQUEST is answered.
    pub stateful: bool,
    /// Answer SOLICIT with option 14 by a REPLY.
    pub rapid_commit: bool,
    /// Tell clients that unicast to use multicast, as RFC 8415 had it; RFC 9915 drops their messages.
    pub use_multicast: bool,
    /// Clients may register addresses that they made themselves (RFC 9686).
    pub register: bool,
    /// Option 7; none is sent if 0.
    pub preference: u8,
    pub times: Times6,
    /// Our DUID: the same for the life of the installation.
    pub server_id: Vec<u8>,
    /// DUIDs of other servers that belong there.
    pub known_servers: Vec<Vec<u8>>,
    /// Secret of the keyed hash that addresses are chosen by (DH-704).
    pub secret: [u8; 32],
    /// Where clients, and servers and relays, listen.
    pub client_port: u16,
    pub server_port: u16,
}

impl Default for Rules6 {
    fn default() -> Rules6 {
        Rules6 {
            stateful: true,
            rapid_commit: false,
            use_multicast: false,
            register: true,
            preference: 0,
            times: Times6::default(),
            known_servers: Vec::new(),
            server_id: vec![0, 4],
            secret: [0; 32],
            client_port: 546,
            server_port: 547,
        }
    }
}

/// Lifetimes in seconds; `preferred` is not longer than `valid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times6 {
    pub preferred: u32,
    pub valid: u32,
}

impl Default for Times6 {
    /// Valid for twelve hours, preferred for the first seven and a half of them.
    fn default() -> Times6 {
        Times6::of(Duration::from_secs(43_200), None)
    }
}

impl Times6 {
    /// Without a preferred lifetime: five eighths of the valid one.
    pub fn of(valid: Duration, preferred: Option<Duration>) -> Times6 {
        // infinity is a word of its own on the wire, and none that a configuration can say
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
        let valid = seconds(valid);
        let preferred = preferred.map_or(valid - valid / 8 * 3, seconds);
        Times6 { preferred: preferred.min(valid), valid }
    }
}

/// One IPv6 prefix of a link.
#[derive(Debug, Clone)]
pub struct Subnet6 {
    pub prefix: Ipv6Net,
    pub pools: Vec<Pool6>,
    /// Prefixes for routers on this link.
    pub delegate: Vec<Delegation>,
    pub options: Vec<Setting6>,
    pub times: Option<Times6>,
    /// Classes that it is for; for everybody if there are none.
    pub guard: Vec<String>,
}

impl Subnet6 {
    /// A subnet of that prefix with everything else unset.
    pub fn new(prefix: Ipv6Net) -> Subnet6 {
        Subnet6 {
            prefix: prefix.trunc(),
            pools: Vec::new(),
            delegate: Vec::new(),
            options: Vec::new(),
            times: None,
            guard: Vec::new(),
        }
    }

    /// True if a client may have the address at all: inside the prefix, and none of its anycast addresses.
    pub fn usable(&self, ip: Ipv6Addr) -> bool {
        // RFC 4291 §2.6.1: number 0 is the routers'; RFC 2526 §2: the topmost 128 of 64 bits are reserved
        let number = u128::from(ip) & u128::from(self.prefix.hostmask());
        let reserved =
            self.prefix.prefix_len() == 64 && (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&number);
        self.prefix.contains(&ip) && (number != 0 || self.prefix.prefix_len() >= 127) && !reserved
    }

    /// True if the pools give this address to anybody who asks.
    pub fn pooled(&self, ip: Ipv6Addr) -> bool {
        self.usable(ip) && self.pools.iter().any(|pool| pool.holds(ip))
    }
}

/// A range of addresses for anybody.
#[derive(Debug, Clone)]
pub struct Pool6 {
    pub range: RangeInclusive<Ipv6Addr>,
    pub exclude: Vec<RangeInclusive<Ipv6Addr>>,
}

impl Pool6 {
    fn holds(&self, ip: Ipv6Addr) -> bool {
        self.range.contains(&ip) && !self.exclude.iter().any(|range| range.contains(&ip))
    }
}

/// A prefix that is delegated in blocks of one size; each block has one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    pub prefix: Ipv6Net,
    /// Length of a block. Who hints at a longer prefix, up to 64, gets that at the begin of a block.
    pub length: u8,
    /// What the holder of the block around it is told to leave alone (RFC 6603).
    pub exclude: Option<Ipv6Net>,
}

impl Delegation {
    /// The length that a hint leads to (DH-706): its own within bounds, else the nearest bound.
    pub fn length_for(&self, hint: Option<u8>) -> u8 {
        hint.filter(|hint| *hint != 0).map_or(self.length, |hint| hint.clamp(self.length, self.length.max(64)))
    }

    /// True if this prefix is the begin of a block of ours.
    pub fn gives(&self, prefix: Ipv6Net) -> bool {
        let block = Ipv6Net::new(prefix.network(), self.length).map(|block| block.network());
        let sized = (self.length..=self.length.max(64)).contains(&prefix.prefix_len());
        self.prefix.contains(&prefix) && sized && block == Ok(prefix.network())
    }
}

/// An option that a level of the configuration sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting6 {
    pub code: u16,
    pub value: Value6,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value6 {
    /// Ready bytes.
    Wire(Vec<u8>),
    /// Text with placeholders, encoded per reply.
    Text(String),
}

/// What `${..}` stands for in one reply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placeholders6<'a> {
    pub mac: Option<Mac>,
    /// One of our addresses that the client can reach.
    pub server_ip: Option<Ipv6Addr>,
    pub http_url: &'a str,
}

impl Placeholders6<'_> {
    /// The text with its placeholders replaced; `None` if one of them stands for nothing here.
    fn fill(&self, text: &str) -> Option<String> {
        let mut out = text.replace("${http_url}", self.http_url);
        if out.contains("${server_ip}") {
            let ip = self.server_ip?.to_string();
            // in a URL an address stands in brackets
            out = out.replace("//${server_ip}", &format!("//[{ip}]")).replace("${server_ip}", &ip);
        }
        if out.contains("${mac}") {
            out = out.replace("${mac}", &self.mac?.to_string());
        }
        Some(out)
    }
}

impl Setting6 {
    /// A setting from text, checked now.
    pub fn parse(code: u16, text: &str) -> Result<Setting6, Problem> {
        if !text.contains("${") {
            return Ok(Setting6 { code, value: Value6::Wire(options::parse_value(code, text)?) });
        }
        let example = Placeholders6 {
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            server_ip: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
            http_url: "http://[2001:db8::1]:8667",
        };
        options::parse_value(code, &example.fill(text).unwrap_or_default())?;
        Ok(Setting6 { code, value: Value6::Text(text.to_owned()) })
    }

    /// The bytes for one reply; `None` if a placeholder stands for nothing there.
    pub fn wire<'s>(&'s self, fill: &Placeholders6<'_>) -> Option<std::borrow::Cow<'s, [u8]>> {
        match &self.value {
            Value6::Wire(bytes) => Some(bytes.into()),
            Value6::Text(text) => options::parse_value(self.code, &fill.fill(text)?).ok().map(Into::into),
        }
    }
}

/// From addresses and interface-ids to networks.
#[derive(Debug, Clone, Default)]
pub(super) struct Index6 {
    /// By prefix length, longest first.
    prefixes: Vec<(u8, HashMap<u128, Vec<usize>>)>,
    interface_ids: HashMap<Vec<u8>, usize>,
    relays: HashMap<Ipv6Addr, usize>,
    /// First addresses of all prefixes on links.
    starts: BTreeSet<Ipv6Addr>,
}

impl Index6 {
    pub(super) fn over(networks: &[Network]) -> Index6 {
        let mut index = Index6::default();
        let mut prefixes: HashMap<u8, HashMap<u128, Vec<usize>>> = HashMap::new();
        for (n, network) in networks.iter().enumerate() {
            for id in &network.interface_ids {
                index.interface_ids.entry(id.clone()).or_insert(n);
            }
            for relay in &network.relays6 {
                index.relays.entry(*relay).or_insert(n);
            }
            index.starts.extend(network.subnets6.iter().map(|subnet| subnet.prefix.network()));
            for subnet in &network.subnets6 {
                let start = u128::from(subnet.prefix.network());
                prefixes.entry(subnet.prefix.prefix_len()).or_default().entry(start).or_default().push(n);
            }
        }
        index.prefixes = prefixes.into_iter().collect();
        index.prefixes.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        index
    }

    /// The networks with the longest prefix around the address.
    fn around(&self, ip: Ipv6Addr) -> Option<&[usize]> {
        self.prefixes.iter().find_map(|(length, nets)| {
            let mask = u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
            nets.get(&(u128::from(ip) & mask)).map(Vec::as_slice)
        })
    }
}

impl Policy {
    /// The network that an IPv6 address is on: by the lists of relays, else by the longest prefix around it.
    /// Of several networks with that prefix, `preferred` or the first.
    pub fn by_address6(&self, ip: Ipv6Addr, preferred: Option<usize>) -> Option<usize> {
        let listed = self.index6.relays.get(&ip).copied();
        listed.or_else(|| {
            let found = self.index6.around(ip)?;
            found.iter().find(|net| Some(**net) == preferred).or(found.first()).copied()
        })
    }

    /// True if the prefix shares an address with one that is on a link.
    pub fn touches_link6(&self, prefix: Ipv6Net) -> bool {
        let inside = self.index6.starts.range(prefix.network()..=prefix.broadcast()).next().is_some();
        inside || self.index6.around(prefix.network()).is_some()
    }

    /// The network that a relay means by its interface-id.
    pub fn by_interface_id(&self, id: &[u8]) -> Option<usize> {
        self.index6.interface_ids.get(id).copied()
    }

    /// The IPv6 subnet of one network whose prefix holds the address.
    pub fn within6(&self, network: usize, ip: Ipv6Addr) -> Option<usize> {
        self.networks.get(network)?.subnets6.iter().position(|subnet| subnet.prefix.contains(&ip))
    }

    /// The longest valid lifetime that any subnet gives.
    pub fn longest6(&self) -> Duration {
        let all = self.networks.iter().flat_map(|network| &network.subnets6).map(|subnet| self.times6(subnet).valid);
        Duration::from_secs(all.max().unwrap_or(self.rules6.times.valid).into())
    }

    /// Lifetimes of a subnet.
    pub fn times6(&self, subnet: &Subnet6) -> Times6 {
        subnet.times.unwrap_or(self.rules6.times)
    }

    /// True if clients of this network get addresses or prefixes by DHCPv6 from anybody's pool: the M flag of
    /// router advertisements.
    pub fn stateful6(&self, network: usize) -> bool {
        let gives = |subnet: &Subnet6| !subnet.pools.is_empty() || !subnet.delegate.is_empty();
        self.rules6.stateful && self.networks.get(network).is_some_and(|net| net.subnets6.iter().any(gives))
    }
}

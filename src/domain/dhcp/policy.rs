//! What the configuration says about DHCP, in meaning, not in spelling. Owns the networks with their
//! subnets, pools and options, and which of them a packet belongs to. Refuses to hold any state.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::value::{self, Problem};
use super::wire::code;
use crate::domain::lease::Reservation;
use crate::domain::net::Mac;

/// Everything that decisions depend on and that only a reload changes.
#[derive(Debug, Clone)]
pub struct Policy {
    pub networks: Vec<Network>,
    /// For every network.
    pub options: Vec<Setting>,
    /// First match wins, in this order (DH-404).
    pub recipes: Vec<Recipe>,
    /// Reservations of the configuration; those of the ledger are in the [`Book`](super::book::Book).
    pub reservations: Vec<Reservation>,
    /// Base of the provisioning URLs, for `${http_url}`; `${server_ip}` in it is replaced too.
    pub http_url: String,
    pub times: LeaseTimes,
    pub rules: Rules,
    index: Index,
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
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            accept_bare_request: false,
            echo_client_id: true,
            rapid_commit: false,
            cache_fraction: 0.1,
            offer_hold: Duration::from_secs(30),
            quarantine: Duration::from_secs(24 * 3600),
            affinity: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

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
    /// IPv6 prefixes of the link, for the addresses of hosts.
    pub prefixes6: Vec<ipnet::Ipv6Net>,
    pub options: Vec<Setting>,
    /// Whether we may say no to clients that we do not know (DH-205).
    pub authoritative: bool,
    /// What a client's lease hangs on (DH-221).
    pub identify: Identify,
    /// Whether option 82 with giaddr 0 is believed: the switches are ours (DH-302).
    pub trusted: bool,
    /// Whether vendor recipes apply here.
    pub recipes: bool,
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
    /// siaddr, if no recipe says otherwise.
    pub next_server: Option<Ipv4Addr>,
    /// Boot file name, if no recipe says otherwise.
    pub file: Option<String>,
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
            next_server: None,
            file: None,
        }
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
}

impl Pool {
    /// A pool without exclusions and options.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Pool {
        Pool { range: first..=last, exclude: Vec::new(), options: Vec::new() }
    }

    fn holds(&self, ip: Ipv4Addr) -> bool {
        self.range.contains(&ip) && !self.exclude.iter().any(|range| range.contains(&ip))
    }
}

/// An option that a level of the configuration sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub code: u8,
    pub value: Value,
    /// Sent even if the client did not ask for it.
    pub force: bool,
}

impl Setting {
    /// A setting from text, checked now if it holds no `${..}`.
    pub fn parse(code: u8, text: &str, force: bool) -> Result<Setting, Problem> {
        let value = if text.contains("${") {
            // every placeholder stands for something of the right type in its place, or for text
            value::parse_value(code, &Placeholders::example().fill(text))?;
            Value::Text(text.to_owned())
        } else {
            Value::Wire(value::parse_value(code, text)?)
        };
        Ok(Setting { code, value, force })
    }
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Ready bytes.
    Wire(Vec<u8>),
    /// Text with `${mac}`, `${ip}`, `${server_ip}`, `${http_url}`, encoded per client.
    Text(String),
    /// Option 43 and its like: sub-options with text (escapes and placeholders allowed) each.
    Sub(Vec<(u8, String)>),
}

impl Value {
    /// The bytes for one client; `None` if a placeholder makes the text no value of that option.
    pub fn wire(&self, code: u8, placeholders: &Placeholders) -> Option<Vec<u8>> {
        match self {
            Value::Wire(bytes) => Some(bytes.clone()),
            Value::Text(text) => value::parse_value(code, &placeholders.fill(text)).ok(),
            Value::Sub(subs) => {
                let mut out = Vec::new();
                for (sub, text) in subs {
                    let bytes = value::unescape(&placeholders.fill(text))?;
                    out.extend([*sub, u8::try_from(bytes.len()).ok()?]);
                    out.extend(bytes);
                }
                Some(out)
            }
        }
    }
}

/// What `${..}` stands for in one reply.
#[derive(Debug, Clone)]
pub struct Placeholders<'a> {
    pub mac: Option<Mac>,
    pub ip: Ipv4Addr,
    pub server_ip: Ipv4Addr,
    pub http_url: &'a str,
}

impl Placeholders<'_> {
    fn example() -> Placeholders<'static> {
        let ip = Ipv4Addr::new(192, 0, 2, 1);
        Placeholders { mac: Some(Mac([2, 0, 0, 0, 0, 1])), ip, server_ip: ip, http_url: "http://192.0.2.1:8667" }
    }

    /// The text with its placeholders replaced; unknown ones stay as they are.
    pub fn fill(&self, text: &str) -> String {
        let mac = self.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let hex = self.mac.map(Mac::hex).unwrap_or_default();
        text.replace("${http_url}", self.http_url)
            .replace("${server_ip}", &self.server_ip.to_string())
            .replace("${ip}", &self.ip.to_string())
            .replace("${mac}", &mac)
            .replace("${mac_hex}", &hex)
    }
}

/// What a vendor's devices get (DH-404, DH-406). Plugin data; none is in the code.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// For explanations, e.g. the plugin's name.
    pub name: String,
    pub when: Match,
    pub settings: Vec<Setting>,
    /// An address, or `${server_ip}`.
    pub siaddr: Option<String>,
    /// The header's `file`; placeholders allowed.
    pub file: Option<String>,
}

/// All that is given must hold; an empty match never does.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// Beginnings of option 60, case ignored; any of them.
    pub vendor_class: Vec<String>,
    /// Over option 60 as text, unanchored.
    pub vendor_class_regex: Option<regex::bytes::Regex>,
    /// Vendor blocks of the hardware address; any of them.
    pub oui: Vec<[u8; 3]>,
}

impl Match {
    /// True for a client of that vendor class and hardware address.
    pub fn holds(&self, vendor_class: Option<&[u8]>, mac: Option<Mac>) -> bool {
        let class = vendor_class.unwrap_or_default();
        let begins = |prefix: &String| {
            class.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let by_class = self.vendor_class.is_empty() || self.vendor_class.iter().any(begins);
        let by_regex = self.vendor_class_regex.as_ref().is_none_or(|regex| regex.is_match(class));
        let by_oui = self.oui.is_empty() || mac.is_some_and(|mac| self.oui.contains(&mac.oui()));
        let empty = self.vendor_class.is_empty() && self.vendor_class_regex.is_none() && self.oui.is_empty();
        !empty && by_class && by_regex && by_oui
    }
}

/// Index of a network in [`Policy::networks`] and of a subnet within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub network: usize,
    pub subnet: usize,
}

/// Packets to places in constant time, whatever the number of subnets (DH-311).
#[derive(Debug, Clone, Default)]
struct Index {
    interfaces: HashMap<String, usize>,
    names: HashMap<String, usize>,
    relays: HashMap<Ipv4Addr, Place>,
    /// By prefix length, longest first; several networks may use one prefix.
    prefixes: Vec<(u8, HashMap<u32, Vec<Place>>)>,
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
        Policy {
            networks,
            options: Vec::new(),
            recipes: Vec::new(),
            reservations: Vec::new(),
            http_url: String::new(),
            times: LeaseTimes::default(),
            rules: Rules::default(),
            index,
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
        self.index.prefixes.iter().find_map(|(length, places)| {
            let found = places.get(&mask(ip, *length))?;
            let own = found.iter().find(|place| Some(place.network) == preferred);
            own.or(found.first()).copied()
        })
    }

    /// The subnet of one network whose prefix holds the address.
    pub fn within(&self, network: usize, ip: Ipv4Addr) -> Option<usize> {
        self.networks.get(network)?.subnets.iter().position(|subnet| subnet.prefix.contains(&ip))
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
                    .chain(network.prefixes6.iter().map(|p| IpNet::V6(*p)))
                    .collect(),
            })
            .collect()
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

fn mask(ip: Ipv4Addr, length: u8) -> u32 {
    u32::from(ip) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

impl Index {
    fn over(networks: &[Network]) -> Index {
        let mut index = Index::default();
        let mut prefixes: HashMap<u8, HashMap<u32, Vec<Place>>> = HashMap::new();
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

/// Options that the server makes itself and no setting may carry, beside those the registry calls owned.
pub fn settable(code: u8) -> bool {
    !matches!(code, code::PAD | code::END) && !super::options::by_code(code).is_some_and(|entry| entry.owned)
}

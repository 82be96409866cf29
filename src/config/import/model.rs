//! What a configuration of another server says, without its spelling. Each importer fills it, one emitter
//! writes it down. Everything knows its line. Refuses to know which server it came from.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};

use super::expr::Expr;
use super::source::Place;
use crate::domain::dhcp::carry::Carried;
use crate::domain::net::Mac;
use crate::domain::time::Wall;

/// DHCPv4 or DHCPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

/// Everything of one import.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Whether it serves DHCPv4 at all, and DHCPv6.
    pub v4: bool,
    pub v6: bool,
    /// Interfaces of this machine with their addresses.
    pub addresses: Vec<(String, IpNet)>,
    /// Now, in Unix seconds: leases that have ended are left behind.
    pub now: i64,
    /// Whether it is a whole configuration, not only lease files.
    pub configured: bool,
    /// Domain of all clients, if one is set for all.
    pub domain: Option<String>,
    pub global: Scope,
    pub networks: Vec<Network>,
    /// In the order that decides.
    pub classes: Vec<Class>,
    pub reservations: Vec<Reservation>,
    /// Options of DHCPv4 that are sent unasked wherever they have a value, beside those that say so.
    pub forced: Vec<(u16, Place)>,
    pub definitions: Vec<Definition>,
    pub knobs: Knobs,
    pub dns: Dns,
    /// Folder whose files everybody is given over TFTP.
    pub boot_folder: Option<String>,
    /// Interfaces that it serves, `*` for all, with the address that is meant if one is named.
    pub interfaces: Vec<(String, Option<IpAddr>, Place)>,
    pub leases: Vec<LeaseRow>,
}

impl Model {
    /// Kea takes the boot fields of a class before those of subnet and network, other than with options.
    pub fn lift_boot(&mut self) {
        let boot = |scope: &Scope| Scope {
            next_server: scope.next_server,
            boot_file: scope.boot_file.clone(),
            server_name: scope.server_name.clone(),
            ..Scope::default()
        };
        let classes: Vec<(String, Scope)> = self.classes.iter().map(|c| (c.name.clone(), boot(&c.scope))).collect();
        for network in &mut self.networks {
            let Network { scope: above, subnets, .. } = network;
            for subnet in subnets {
                for (class, scope) in &classes {
                    let part = scope.collisions(&[&*above, &subnet.scope]);
                    if !part.is_empty() {
                        subnet.for_class(class, &part);
                    }
                }
            }
        }
    }

    /// dhcpd and dnsmasq ask classes before pool, subnet and network; here a class of all networks comes
    /// after these. So what a class and such a level both set is told where it must win. `weak` are classes
    /// that come after subnets there, too.
    pub fn lift_classes(&mut self, weak: &[String]) {
        let classes = self.classes.iter().filter(|class| !weak.contains(&class.name));
        let classes: Vec<(String, Scope)> = classes.map(|class| (class.name.clone(), class.scope.clone())).collect();
        for network in &mut self.networks {
            let Network { scope: above, subnets, .. } = network;
            for subnet in subnets {
                for (class, scope) in &classes {
                    let pools = subnet.pools.iter().map(|pool| &pool.scope);
                    let levels: Vec<&Scope> = [&*above, &subnet.scope].into_iter().chain(pools).collect();
                    let part = scope.collisions(&levels);
                    if !part.is_empty() {
                        subnet.for_class(class, &part);
                    }
                }
            }
        }
    }
}

/// Settings of the daemon that others have too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Knobs {
    pub rapid_commit: Option<bool>,
    pub rapid_commit6: Option<bool>,
    pub echo_client_id: Option<bool>,
    pub quarantine: Option<u32>,
    /// DHCPv6: information only, no addresses.
    pub stateless: Option<bool>,
    pub probe: Option<bool>,
}

/// What a DNS server beside DHCP does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    pub enabled: bool,
    pub port: Option<u16>,
    pub listen: Vec<IpAddr>,
    pub forward: Vec<String>,
    /// Records as lines of a zone file.
    pub records: Vec<(Place, String)>,
}

/// What may stand at every level.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    pub options: Vec<Opt>,
    pub next_server: Option<Ipv4Addr>,
    /// The TFTP server is the DHCP server itself, whatever its address towards the client is.
    pub next_is_self: bool,
    pub boot_file: Option<String>,
    pub server_name: Option<String>,
    /// DHCPv4.
    pub times: Times,
    /// DHCPv6.
    pub times6: Times,
    pub authoritative: Option<bool>,
}

impl Scope {
    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Scope::default()
    }

    /// The option of that code, if it is set here.
    pub fn option(&self, family: Family, code: u16) -> Option<&Opt> {
        self.options.iter().find(|o| o.family == family && o.code == code)
    }

    /// Sets an option; a later one replaces an earlier of the same code, as all three servers have it.
    pub fn set(&mut self, option: Opt) {
        self.options.retain(|o| (o.family, o.code) != (option.family, option.code));
        self.options.push(option);
    }

    /// What of this one of the levels says too.
    pub fn collisions(&self, levels: &[&Scope]) -> Scope {
        let said = |f: &dyn Fn(&Scope) -> bool| levels.iter().any(|level| f(level));
        let options = self.options.iter().filter(|o| said(&|level| level.option(o.family, o.code).is_some()));
        let next = said(&|level| level.next_server.is_some() || level.next_is_self);
        Scope {
            options: options.cloned().collect(),
            next_server: self.next_server.filter(|_| next),
            next_is_self: self.next_is_self && next,
            boot_file: self.boot_file.clone().filter(|_| said(&|level| level.boot_file.is_some())),
            server_name: self.server_name.clone().filter(|_| said(&|level| level.server_name.is_some())),
            ..Scope::default()
        }
    }

    /// Fills what is not said here from `outer`.
    pub fn inherit(&mut self, outer: &Scope) {
        for option in &outer.options {
            if self.option(option.family, option.code).is_none() {
                self.options.push(option.clone());
            }
        }
        if self.next_server.is_none() && !self.next_is_self {
            (self.next_server, self.next_is_self) = (outer.next_server, outer.next_is_self);
        }
        self.boot_file = self.boot_file.take().or_else(|| outer.boot_file.clone());
        self.server_name = self.server_name.take().or_else(|| outer.server_name.clone());
        self.authoritative = self.authoritative.or(outer.authoritative);
        self.times = self.times.or(outer.times);
        self.times6 = self.times6.or(outer.times6);
    }
}

/// Lease times in seconds; `u32::MAX` is without end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    pub default: Option<u32>,
    pub min: Option<u32>,
    pub max: Option<u32>,
    /// DHCPv6.
    pub preferred: Option<u32>,
}

impl Times {
    /// What is not said here is said by `outer`.
    pub fn or(self, outer: Times) -> Times {
        Times {
            default: self.default.or(outer.default),
            min: self.min.or(outer.min),
            max: self.max.or(outer.max),
            preferred: self.preferred.or(outer.preferred),
        }
    }
}

/// An option with the bytes that clients must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    pub family: Family,
    pub code: u16,
    pub wire: Vec<u8>,
    /// Instead of `wire`: our own text, where the value depends on the client, such as `${server_ip}`.
    pub text: Option<&'static str>,
    /// Sent even if not asked for.
    pub force: bool,
    pub place: Place,
}

impl Opt {
    /// An option that is sent to whoever asks for it.
    pub fn new(family: Family, code: u16, wire: Vec<u8>, place: &Place) -> Opt {
        Opt { family, code, wire, text: None, force: false, place: place.clone() }
    }
}

/// A link.
#[derive(Debug, Clone, Default)]
pub struct Network {
    pub name: String,
    pub interface: Option<String>,
    pub relays: Vec<Ipv4Addr>,
    /// Interface-ids (DHCPv6 option 18) of relays that speak for it.
    pub interface_ids: Vec<Vec<u8>>,
    pub by_mac: bool,
    /// Another server gives the addresses.
    pub proxy: bool,
    /// What switches on the link put into option 82 is believed.
    pub trusted: bool,
    pub scope: Scope,
    /// Only for clients of one of these classes.
    pub guard: Vec<String>,
    pub subnets: Vec<Subnet>,
    pub reservations: Vec<Reservation>,
    pub ra: Option<Ra>,
    pub place: Place,
}

/// Router advertisements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ra {
    /// Addresses and other settings come by DHCPv6.
    pub managed: bool,
    pub other: bool,
    /// Clients may make addresses themselves.
    pub autonomous: bool,
}

/// A prefix.
#[derive(Debug, Clone)]
pub struct Subnet {
    pub prefix: IpNet,
    pub pools: Vec<Pool>,
    pub delegate: Vec<Delegate>,
    pub relays: Vec<IpAddr>,
    pub guard: Vec<String>,
    pub scope: Scope,
    /// Options for members of a class, stronger than those of pool and subnet.
    pub for_class: Vec<ClassScope>,
    pub place: Place,
}

impl Default for Pool {
    fn default() -> Pool {
        let ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Pool { first: ip, last: ip, guard: Vec::new(), scope: Scope::default(), place: Place::default() }
    }
}

impl Subnet {
    /// Adds what members of a class get here; what they get already stays.
    pub fn for_class(&mut self, class: &str, scope: &Scope) {
        match self.for_class.iter_mut().find(|known| known.class == class) {
            Some(known) => known.scope.inherit(scope),
            None => self.for_class.push(ClassScope { class: class.to_owned(), scope: scope.clone() }),
        }
    }

    pub fn new(prefix: IpNet, place: Place) -> Subnet {
        Subnet {
            prefix: prefix.trunc(),
            pools: Vec::new(),
            delegate: Vec::new(),
            relays: Vec::new(),
            guard: Vec::new(),
            scope: Scope::default(),
            for_class: Vec::new(),
            place,
        }
    }
}

/// Prefixes to delegate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegate {
    pub prefix: Ipv6Net,
    pub length: u8,
    /// What the holder of the part around it leaves alone (RFC 6603).
    pub exclude: Option<Ipv6Net>,
    pub place: Place,
}

/// What a class gets at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScope {
    pub class: String,
    pub scope: Scope,
}

/// Addresses for anybody, or for some.
#[derive(Debug, Clone)]
pub struct Pool {
    pub first: IpAddr,
    pub last: IpAddr,
    /// Members of any of these only; empty for everybody.
    pub guard: Vec<String>,
    pub scope: Scope,
    pub place: Place,
}

/// A class of clients.
#[derive(Debug, Clone)]
pub struct Class {
    pub name: String,
    /// `None`: only reservations make members.
    pub test: Option<Expr>,
    pub scope: Scope,
    pub place: Place,
}

/// The name of a class as it is written here: one that has none there gets one.
pub fn class_name(name: &str) -> &str {
    if name.is_empty() { "nameless" } else { name }
}

/// What selects a reservation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Mac(Mac),
    ClientId(Vec<u8>),
    Duid(Vec<u8>),
    Circuit(Vec<u8>),
    Remote(Vec<u8>),
    Test(Expr),
}

/// What waits for one client.
#[derive(Debug, Clone, Default)]
pub struct Reservation {
    pub keys: Vec<Key>,
    pub ips: Vec<IpAddr>,
    pub prefixes: Vec<Ipv6Net>,
    pub name: Option<String>,
    pub classes: Vec<String>,
    pub scope: Scope,
    pub place: Place,
}

/// A name for an option that has none here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub family: Family,
    pub code: u16,
    pub name: String,
    /// One of our types' names, e.g. `ip4`.
    pub kind: &'static str,
    pub list: bool,
    pub place: Place,
}

/// A lease that stood in a lease file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    pub ip: IpAddr,
    /// Length of a delegated prefix; `None` for an address.
    pub delegated: Option<u8>,
    pub mac: Option<Mac>,
    pub client_id: Option<Vec<u8>>,
    pub duid: Option<Vec<u8>>,
    pub iaid: Option<u32>,
    pub hostname: Option<String>,
    /// Option 82 sub-options 1 and 2.
    pub circuit_id: Option<Vec<u8>>,
    pub remote_id: Option<Vec<u8>>,
    /// Unix seconds; `None` if it is not said.
    pub began: Option<i64>,
    /// Unix seconds; `None` for a lease without end.
    pub expires: Option<i64>,
    pub state: LeaseState,
    pub place: Place,
}

impl LeaseRow {
    /// As the daemon takes it over.
    pub fn carried(&self) -> Carried {
        let wall = |seconds: i64| Wall(seconds.saturating_mul(1000));
        Carried {
            ip: self.ip,
            delegated: self.delegated,
            mac: self.mac,
            client_id: self.client_id.clone(),
            duid: self.duid.clone(),
            iaid: self.iaid,
            hostname: self.hostname.clone(),
            circuit_id: self.circuit_id.clone(),
            remote_id: self.remote_id.clone(),
            began: self.began.map(wall),
            expires: self.expires.map_or(Wall::NEVER, wall),
            declined: self.state == LeaseState::Declined,
        }
    }
}

/// How a lease stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    Active,
    /// Found in use by somebody else.
    Declined,
}

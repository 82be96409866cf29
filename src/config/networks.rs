//! `[[network]]` with its subnets and reservations. Owns what must hold among them: unique names,
//! prefixes that do not overlap on one link, pools and reservations inside a prefix.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::dhcp6::{self, Six};
use super::follow::{self, Follows};
use super::ra::{self, Ra};
use super::raw::{At, Section};
use super::reservations::{self, Reservation};
use super::services::{domain, lease_time};
use crate::domain::dhcp::policy::Identify;

/// One link.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Network {
    pub name: String,
    pub interface: Option<String>,
    pub relays: Vec<Ipv4Addr>,
    /// The IPv6 addresses among them.
    pub relays6: Vec<Ipv6Addr>,
    /// Interface-ids (DHCPv6 option 18) of relays that name no link.
    pub interface_ids: Vec<Vec<u8>>,
    pub vlan: Option<u16>,
    pub domain: String,
    pub authoritative: Option<bool>,
    /// What a client's lease hangs on.
    pub identify: Identify,
    pub trust_relay_info: bool,
    pub vendor_recipes: bool,
    /// Another server gives the addresses.
    pub proxy: bool,
    pub ipv6_only: Option<u32>,
    /// Name or number, and value.
    pub options: Vec<(At<String>, At<String>)>,
    /// The same for DHCPv6.
    pub options6: Vec<(At<String>, At<String>)>,
    /// Router advertisements, if the file has the table.
    pub ra: Option<Ra>,
    /// Classes that it is for.
    pub guard: Vec<At<String>>,
    /// Interfaces whose prefixes some of its subnets are parts of; these stand below once the prefix is known.
    pub follows: Vec<Follows>,
    pub subnets: Vec<Subnet>,
    pub reservations: Vec<Reservation>,
}

/// One prefix of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    pub prefix: IpNet,
    pub pools: Vec<Pool>,
    pub exclude: Vec<RangeInclusive<Ipv4Addr>>,
    pub router: Option<Ipv4Addr>,
    pub dns: Option<Vec<Ipv4Addr>>,
    pub ntp: Vec<Ipv4Addr>,
    pub lease_time: Option<Duration>,
    /// What a client may ask for: the least and the most.
    pub lease_bounds: Bounds,
    pub server_id: Option<Ipv4Addr>,
    /// Only boot fields.
    pub boot: Effects,
    pub relays: Vec<Ipv4Addr>,
    /// Classes that it is for.
    pub guard: Vec<At<String>>,
    pub class_options: Vec<ClassOptions>,
    /// Of the family of the prefix.
    pub options: Vec<(At<String>, At<String>)>,
    /// Its prefix is an interface's, and may change (DH-708).
    pub followed: bool,
    /// What an IPv6 subnet says to DHCPv6.
    pub six: Option<Six>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// A range of addresses for anybody, or for some classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    pub range: RangeInclusive<Ipv4Addr>,
    pub exclude: Vec<RangeInclusive<Ipv4Addr>>,
    pub guard: Vec<At<String>>,
    pub lease_time: Option<Duration>,
    pub lease_bounds: Bounds,
    pub options: Vec<(At<String>, At<String>)>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// What members of a class get in one subnet.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassOptions {
    pub class: At<String>,
    pub effects: Effects,
}

/// What a class, or a rule, gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    pub options: Vec<(At<String>, At<String>)>,
    pub next_server: Option<At<String>>,
    pub server_name: Option<At<String>>,
    pub boot_file: Option<At<String>>,
    pub lease_time: Option<Duration>,
}

/// The least and the most that a client may ask for.
pub type Bounds = (Option<Duration>, Option<Duration>);

/// An address, or two with a hyphen between them.
struct Addresses(RangeInclusive<Ipv4Addr>);

impl FromStr for Addresses {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Addresses, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: Ipv4Addr = first.trim().parse().map_err(|_| "no address")?;
        let last: Ipv4Addr = last.trim().parse().map_err(|_| "no address")?;
        if first <= last { Ok(Addresses(first..=last)) } else { Err("the range runs backwards") }
    }
}

const IPV4: &str = "an IPv4 address such as 10.77.0.1";
const RANGE: &str = "a range such as 10.77.0.100-10.77.0.199, or an address";

/// All networks of the file.
pub(super) fn read(top: &Section<'_>, default_domain: &str) -> Vec<Network> {
    let sections = top.tables("network", "network");
    let mut names = HashMap::new();
    let mut interfaces = HashMap::new();
    let mut out = Vec::new();
    for section in &sections {
        let network = network(section, default_domain);
        unique(section, &mut names, "name", &network.name);
        if let Some(interface) = &network.interface {
            unique(section, &mut interfaces, "interface", interface);
        }
        out.push(network);
    }
    dhcp6::check(top.doc, &out);
    out
}

/// A network's name and its interface belong to one network only.
fn unique(section: &Section<'_>, seen: &mut HashMap<String, String>, key: &str, value: &str) {
    let Some(text) = section.text(key) else { return };
    let place = section.doc.place(&text.span);
    if let Some(first) = seen.insert(value.to_owned(), place) {
        section.doc.complain(
            &text.span,
            format!("`{key}` is `{value}` as in {first}"),
            Some("each network needs its own".to_owned()),
        );
    }
}

fn network(section: &Section<'_>, default_domain: &str) -> Network {
    let identify = [("client_id", Identify::ClientId), ("mac", Identify::Mac), ("both", Identify::Both)];
    let mut network = Network {
        name: needed(section, "name").unwrap_or_default(),
        interface: interface(section),
        interface_ids: dhcp6::interface_ids(section),
        vlan: section.number("vlan", 1..=4094).and_then(|vlan| u16::try_from(vlan).ok()),
        domain: domain(section, "domain").unwrap_or_else(|| default_domain.to_owned()),
        authoritative: section.flag("authoritative"),
        identify: section.choice("identify", &identify).unwrap_or_default(),
        trust_relay_info: section.flag("trust_relay_info").unwrap_or(false),
        proxy: section.flag("proxy").unwrap_or(false),
        vendor_recipes: section.flag("vendor_recipes").unwrap_or(true),
        ipv6_only: section.number("ipv6_only", 300..=u64::from(u32::MAX)).and_then(|s| u32::try_from(s).ok()),
        options: section.pairs("options"),
        options6: section.pairs("options6"),
        guard: section.texts("class").unwrap_or_default(),
        ..Network::default()
    };
    for relay in section.list::<IpAddr>("relays", "an IP address such as 10.77.0.1").unwrap_or_default() {
        match relay.value {
            IpAddr::V4(ip) => network.relays.push(ip),
            IpAddr::V6(ip) => network.relays6.push(ip),
        }
    }
    network.ra = ra::read(section, &network.domain);
    for below in section.tables("subnet", "network.subnet") {
        let place = follow::read(&below);
        let waits = place.as_ref().is_some_and(|place| place.follows.prefix.is_none());
        let subnet = subnet(&below, &network.subnets, place.as_ref());
        network.subnets.extend(subnet.filter(|_| !waits));
        network.follows.extend(place.map(|place| place.follows));
    }
    if let Some(pool) = network.subnets.iter().flat_map(|subnet| &subnet.pools).next().filter(|_| network.proxy) {
        let hint = Some("leave out `proxy`, or the pool".to_owned());
        section.doc.complain(&pool.span, "another server gives the addresses of a network with `proxy`", hint);
    }
    for below in section.tables("reservation", "network.reservation") {
        network.reservations.extend(reservations::read(&below, Some(&network)));
    }
    network
}

fn needed(section: &Section<'_>, key: &str) -> Option<String> {
    if !section.has(key) {
        section.doc.complain(&section.span, format!("`{key}` is missing"), None);
    }
    let text = section.text(key)?;
    if text.value.is_empty() || text.value.len() > 128 || text.value.contains(char::is_control) {
        section.doc.complain(&text.span, format!("`{key}` must be 1 to 128 printable characters"), None);
    }
    Some(text.value)
}

/// IFNAMSIZ: 15 bytes; no slash, no white space.
fn interface(section: &Section<'_>) -> Option<String> {
    let name = section.text("interface")?;
    let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    if name.value.is_empty() || name.value.len() > 15 || name.value.contains(bad) {
        let message = format!("`interface` is `{}`, which cannot be the name of one", name.value);
        section.doc.complain(&name.span, message, None);
    }
    Some(name.value)
}

pub(super) fn ipv4s(section: &Section<'_>, key: &str) -> Vec<Ipv4Addr> {
    section.list::<Ipv4Addr>(key, IPV4).unwrap_or_default().into_iter().map(|at| at.value).collect()
}

fn subnet(section: &Section<'_>, others: &[Subnet], place: Option<&follow::Place>) -> Option<Subnet> {
    if !section.has("prefix") && !section.has("prefix_from") {
        section.doc.complain(
            &section.span,
            "`prefix` is missing",
            Some("such as prefix = \"10.77.0.0/24\"".to_owned()),
        );
    }
    let prefix = match place {
        Some(place) => At { value: IpNet::V6(place.part), span: place.span.clone() },
        None => section.parsed::<IpNet>("prefix", "a prefix such as 10.77.0.0/24")?,
    };
    check_prefix(section, &prefix, if place.is_some_and(|p| p.follows.prefix.is_none()) { &[] } else { others });
    let inside = |key, at: At<Ipv4Addr>| {
        if !prefix.value.contains(&IpAddr::V4(at.value)) {
            section.doc.complain(&at.span, format!("`{key}` {} lies outside {}", at.value, prefix.value), None);
        }
        at.value
    };
    let six = dhcp6::subnet(section, &prefix.value, place.map(|place| place.whole));
    let four = |key| if six.is_none() { ipv4s(section, key) } else { Vec::new() };
    Some(Subnet {
        pools: pools(section, &prefix.value),
        exclude: ranges(section, "exclude", &prefix.value).into_iter().map(|at| at.value).collect(),
        router: section.parsed::<Ipv4Addr>("router", IPV4).map(|at| inside("router", at)),
        dns: section.has("dns").then(|| four("dns")),
        ntp: four("ntp"),
        lease_time: lease_time(section, "lease_time"),
        lease_bounds: lease_bounds(section),
        server_id: section.parsed::<Ipv4Addr>("server_id", IPV4).map(|at| at.value),
        boot: boot_fields(section),
        relays: ipv4s(section, "relays"),
        guard: section.texts("class").unwrap_or_default(),
        class_options: section
            .tables("class_options", "network.subnet.class_options")
            .iter()
            .filter_map(class_options)
            .collect(),
        options: section.pairs("options"),
        followed: place.is_some(),
        six,
        prefix: prefix.value,
        span: section.span.clone(),
    })
}

fn check_prefix(section: &Section<'_>, prefix: &At<IpNet>, others: &[Subnet]) {
    let whole = prefix.value.trunc();
    if whole != prefix.value {
        let hint = Some(format!("write {whole}"));
        section.doc.complain(&prefix.span, format!("{} has bits beyond its length", prefix.value), hint);
    }
    for other in others.iter().filter(|o| o.prefix.contains(&whole) || whole.contains(&o.prefix)) {
        let message = format!("{whole} overlaps {} of the same network", other.prefix);
        section.doc.complain(&prefix.span, message, None);
    }
}

/// `pool = [..]` and `[[network.subnet.pools]]`; no two of them may overlap (DH-305).
fn pools(section: &Section<'_>, prefix: &IpNet) -> Vec<Pool> {
    let plain = ranges(section, "pool", prefix).into_iter().map(|at| Pool {
        range: at.value,
        exclude: Vec::new(),
        guard: Vec::new(),
        lease_time: None,
        lease_bounds: (None, None),
        options: Vec::new(),
        span: at.span,
    });
    let mut out: Vec<Pool> = plain.collect();
    for below in section.tables("pools", "network.subnet.pools") {
        if !below.has("range") {
            section.doc.complain(&below.span, "`range` is missing", Some(RANGE.to_owned()));
        }
        let exclude: Vec<_> = ranges(&below, "exclude", prefix).into_iter().map(|at| at.value).collect();
        let guard = below.texts("class").unwrap_or_default();
        let (lease_time, options) = (lease_time(&below, "lease_time"), below.pairs("options"));
        let lease_bounds = lease_bounds(&below);
        for At { value: range, span } in ranges(&below, "range", prefix) {
            let (exclude, guard, options) = (exclude.clone(), guard.clone(), options.clone());
            out.push(Pool { range, exclude, guard, lease_time, lease_bounds, options, span });
        }
    }
    refuse_overlaps(section, &out);
    out
}

fn refuse_overlaps(section: &Section<'_>, pools: &[Pool]) {
    let mut order: Vec<&Pool> = pools.iter().collect();
    order.sort_by_key(|pool| (*pool.range.start(), *pool.range.end()));
    for pair in order.windows(2).filter(|pair| pair[1].range.start() <= pair[0].range.end()) {
        let (first, second) = if pair[0].span.start < pair[1].span.start { (0, 1) } else { (1, 0) };
        let (first, second) = (pair[first], pair[second]);
        let show = |pool: &Pool| format!("{}-{}", pool.range.start(), pool.range.end());
        let place = section.doc.place(&first.span);
        let message = format!("the pool {} overlaps {} of {place}", show(second), show(first));
        section.doc.complain(&second.span, message, None);
    }
}

fn class_options(section: &Section<'_>) -> Option<ClassOptions> {
    if !section.has("class") {
        section.doc.complain(&section.span, "`class` is missing", None);
    }
    let effects = effects(section);
    Some(ClassOptions { class: section.text("class")?, effects })
}

/// The keys that classes, boot rules and options of a class in a subnet have in common.
pub(super) fn effects(section: &Section<'_>) -> Effects {
    Effects {
        options: section.pairs("options"),
        lease_time: section.known("lease_time").then(|| lease_time(section, "lease_time")).flatten(),
        ..boot_fields(section)
    }
}

/// The boot fields among them.
pub(super) fn boot_fields(section: &Section<'_>) -> Effects {
    Effects {
        next_server: section.text("next_server"),
        server_name: section.text("server_name"),
        boot_file: section.text("boot_file"),
        ..Effects::default()
    }
}

fn lease_bounds(section: &Section<'_>) -> Bounds {
    let bounds = (lease_time(section, "min_lease_time"), lease_time(section, "max_lease_time"));
    if let (Some(least), Some(most)) = bounds
        && least > most
    {
        section.doc.complain(&section.span, "`min_lease_time` is above `max_lease_time`", None);
    }
    bounds
}

fn ranges(section: &Section<'_>, key: &str, prefix: &IpNet) -> Vec<At<RangeInclusive<Ipv4Addr>>> {
    // pools of IPv6 subnets are read by dhcp6
    if prefix.addr().is_ipv6() {
        return Vec::new();
    }
    let mut out: Vec<At<RangeInclusive<Ipv4Addr>>> = Vec::new();
    for At { value: Addresses(range), span } in section.list::<Addresses>(key, RANGE).unwrap_or_default() {
        let (first, last) = (*range.start(), *range.end());
        if !prefix.contains(&IpAddr::V4(first)) || !prefix.contains(&IpAddr::V4(last)) {
            section.doc.complain(&span, format!("`{key}` {first}-{last} lies outside {prefix}"), None);
        } else {
            out.push(At { value: range, span });
        }
    }
    out
}

//! `[[network]]` with its subnets and reservations. Owns what must hold among them: unique names,
//! prefixes that do not overlap on one link, pools and reservations inside a prefix.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::dhcp6::{self, Six};
use super::ra::{self, Ra};
use super::raw::{At, Section};
use super::services::{domain, lease_time};
use crate::domain::dhcp::policy::Identify;
use crate::domain::hex;
use crate::domain::lease::ReservationKey;
use crate::domain::net::Mac;

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
    pub ipv6_only: Option<u32>,
    /// Name or number, and value.
    pub options: Vec<(At<String>, At<String>)>,
    /// The same for DHCPv6.
    pub options6: Vec<(At<String>, At<String>)>,
    /// Router advertisements, if the file has the table.
    pub ra: Option<Ra>,
    pub subnets: Vec<Subnet>,
    pub reservations: Vec<Reservation>,
}

/// One prefix of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    pub prefix: IpNet,
    pub pools: Vec<RangeInclusive<Ipv4Addr>>,
    pub exclude: Vec<RangeInclusive<Ipv4Addr>>,
    pub router: Option<Ipv4Addr>,
    pub dns: Option<Vec<Ipv4Addr>>,
    pub ntp: Vec<Ipv4Addr>,
    pub lease_time: Option<Duration>,
    pub server_id: Option<Ipv4Addr>,
    pub next_server: Option<Ipv4Addr>,
    pub boot_file: Option<String>,
    pub relays: Vec<Ipv4Addr>,
    /// Of the family of the prefix.
    pub options: Vec<(At<String>, At<String>)>,
    /// What an IPv6 subnet says to DHCPv6.
    pub six: Option<Six>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// What waits for one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    /// `file:line`.
    pub place: String,
    pub keys: Vec<ReservationKey>,
    pub ip: Option<IpAddr>,
    pub name: Option<String>,
    pub options: Vec<(At<String>, At<String>)>,
    pub span: Range<usize>,
}

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
        vendor_recipes: section.flag("vendor_recipes").unwrap_or(true),
        ipv6_only: section.number("ipv6_only", 300..=u64::from(u32::MAX)).and_then(|s| u32::try_from(s).ok()),
        options: section.pairs("options"),
        options6: section.pairs("options6"),
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
        network.subnets.extend(subnet(&below, &network.subnets));
    }
    for below in section.tables("reservation", "network.reservation") {
        network.reservations.extend(reservation(&below, &network));
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

fn subnet(section: &Section<'_>, others: &[Subnet]) -> Option<Subnet> {
    if !section.has("prefix") {
        section.doc.complain(
            &section.span,
            "`prefix` is missing",
            Some("such as prefix = \"10.77.0.0/24\"".to_owned()),
        );
    }
    let prefix = section.parsed::<IpNet>("prefix", "a prefix such as 10.77.0.0/24")?;
    check_prefix(section, &prefix, others);
    let inside = |key, at: At<Ipv4Addr>| {
        if !prefix.value.contains(&IpAddr::V4(at.value)) {
            section.doc.complain(&at.span, format!("`{key}` {} lies outside {}", at.value, prefix.value), None);
        }
        at.value
    };
    let six = dhcp6::subnet(section, &prefix.value);
    let four = |key| if six.is_none() { ipv4s(section, key) } else { Vec::new() };
    Some(Subnet {
        pools: ranges(section, "pool", &prefix.value),
        exclude: ranges(section, "exclude", &prefix.value),
        router: section.parsed::<Ipv4Addr>("router", IPV4).map(|at| inside("router", at)),
        dns: section.has("dns").then(|| four("dns")),
        ntp: four("ntp"),
        lease_time: lease_time(section, "lease_time"),
        server_id: section.parsed::<Ipv4Addr>("server_id", IPV4).map(|at| at.value),
        next_server: section.parsed::<Ipv4Addr>("next_server", IPV4).map(|at| at.value),
        boot_file: section.text("boot_file").map(|at| at.value),
        relays: ipv4s(section, "relays"),
        options: section.pairs("options"),
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

fn ranges(section: &Section<'_>, key: &str, prefix: &IpNet) -> Vec<RangeInclusive<Ipv4Addr>> {
    if prefix.addr().is_ipv6() {
        return Vec::new();
    }
    let mut out: Vec<RangeInclusive<Ipv4Addr>> = Vec::new();
    for At { value: Addresses(range), span } in section.list::<Addresses>(key, RANGE).unwrap_or_default() {
        let (first, last) = (*range.start(), *range.end());
        if !prefix.contains(&IpAddr::V4(first)) || !prefix.contains(&IpAddr::V4(last)) {
            section.doc.complain(&span, format!("`{key}` {first}-{last} lies outside {prefix}"), None);
        } else if out.iter().any(|o| *o.start() <= last && first <= *o.end()) {
            section.doc.complain(&span, format!("`{key}` {first}-{last} overlaps another of the same subnet"), None);
        } else {
            out.push(range);
        }
    }
    out
}

fn reservation(section: &Section<'_>, network: &Network) -> Option<Reservation> {
    let ip = section.parsed::<IpAddr>("ip", "an IP address such as 10.77.0.20");
    let keys = reservation_keys(section);
    if keys.is_empty() {
        let hint = Some("set mac, client_id, circuit_id, remote_id or duid".to_owned());
        section.doc.complain(&section.span, "the reservation is for nobody", hint);
    }
    if let Some(at) = ip.as_ref().filter(|at| !network.subnets.iter().any(|s| s.prefix.contains(&at.value))) {
        let message = format!("{} lies in no subnet of the network `{}`", at.value, network.name);
        section.doc.complain(&at.span, message, None);
    }
    let taken = |at: &&At<IpAddr>| network.reservations.iter().any(|r| r.ip == Some(at.value));
    if let Some(at) = ip.as_ref().filter(taken) {
        section.doc.complain(&at.span, format!("{} is reserved twice", at.value), None);
    }
    for key in keys.iter().filter(|key| network.reservations.iter().any(|r| r.keys.contains(key))) {
        section.doc.complain(&section.span, format!("{key:?} has a reservation already in this network"), None);
    }
    Some(Reservation {
        place: section.doc.place(&section.span),
        keys,
        ip: ip.map(|at| at.value),
        name: domain(section, "name"),
        options: section.pairs("options"),
        span: section.span.clone(),
    })
}

fn reservation_keys(section: &Section<'_>) -> Vec<ReservationKey> {
    let mut keys = Vec::new();
    for mac in section.list::<Mac>("mac", "a MAC address such as 80:5e:c0:00:00:01").unwrap_or_default() {
        if !mac.value.is_identity() {
            section.doc.complain(&mac.span, format!("{} cannot belong to one device", mac.value), None);
        }
        keys.push(ReservationKey::Mac(mac.value));
    }
    if let Some(id) = section.text("client_id") {
        match hexadecimal(&id.value) {
            Some(bytes) if (2..=255).contains(&bytes.len()) => keys.push(ReservationKey::ClientId(bytes)),
            _ => {
                let message = format!("`client_id` must be hexadecimal such as 01805ec0000001, not `{}`", id.value);
                section.doc.complain(&id.span, message, None);
            }
        }
    }
    for name in ["circuit_id", "remote_id"] {
        let key = if name == "circuit_id" { ReservationKey::CircuitId } else { ReservationKey::RemoteId };
        let Some(id) = section.text(name) else { continue };
        let bytes = id.value.strip_prefix("0x").map_or(Some(id.value.clone().into_bytes()), hexadecimal);
        match bytes {
            Some(bytes) if (1..=255).contains(&bytes.len()) => keys.push(key(bytes)),
            _ => section.doc.complain(&id.span, format!("`{name}` must be text, or hexadecimal after 0x"), None),
        }
    }
    keys.extend(duid(section));
    keys
}

/// `duid = "0001.."`, with `iaid` if only one interface of that host is meant.
fn duid(section: &Section<'_>) -> Option<ReservationKey> {
    let iaid = section.number("iaid", 0..=u64::from(u32::MAX)).and_then(|iaid| u32::try_from(iaid).ok());
    let Some(text) = section.text("duid") else {
        if section.has("iaid") {
            section.doc.complain(&section.span, "`iaid` needs a `duid`", None);
        }
        return None;
    };
    // RFC 9915 §11.1: two octets of type, and at most 128 more
    let duid = hexadecimal(&text.value).filter(|duid| (3..=130).contains(&duid.len()));
    if duid.is_none() {
        let message = format!("`duid` must be hexadecimal such as 000300010800270000aa, not `{}`", text.value);
        section.doc.complain(&text.span, message, None);
    }
    Some(ReservationKey::Duid { duid: duid?, iaid })
}

/// Bytes from hexadecimal digits, with or without colons between the octets.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    hex::read(&text.bytes().filter(|b| *b != b':').collect::<Vec<u8>>())
}

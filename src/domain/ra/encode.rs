//! An advertisement as bytes. Options that would not fit a packet of the smallest IPv6 MTU together with
//! the others are left out from the end, never cut.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{ADVERTISEMENT, Preference, Prefix, Resolver, Route, Settings};
use crate::domain::net::Mac;

/// RFC 8200 §5: what every link carries, less the IPv6 header.
const ROOM: usize = 1280 - 40;

/// What an advertisement of these settings says. `ending`: the last words of a router that stops (RFC 4861
/// §6.2.5), with router lifetime 0 and nothing else that has a lifetime of ours withdrawn but RDNSS and
/// its kin, which lead to us.
pub fn encode(settings: &Settings, mac: Option<Mac>, ending: bool) -> Vec<u8> {
    let lifetime = if ending { 0 } else { settings.router_lifetime() };
    let mut flags = preference(settings.preference);
    if lifetime == 0 {
        // RFC 4191 §2.2: with a zero lifetime the preference must be zero
        flags = 0;
    }
    flags |= u8::from(settings.flags.managed) << 7 | u8::from(settings.flags.other) << 6;
    let mut out = vec![ADVERTISEMENT, 0, 0, 0, settings.hop_limit, flags];
    out.extend_from_slice(&lifetime.to_be_bytes());
    out.extend_from_slice(&[0; 8]); // reachable time and retransmission timer: not ours to say
    let rest = if ending { 0 } else { settings.options_lifetime() };
    for option in options(settings, mac, rest) {
        if out.len() + option.len() <= ROOM {
            out.extend_from_slice(&option);
        }
    }
    out
}

/// In the order of their importance.
fn options(settings: &Settings, mac: Option<Mac>, lifetime: u32) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(mac.map(|mac| option(1, &mac.0)));
    out.extend(settings.mtu.map(|mtu| option(5, &[&[0, 0], &mtu.to_be_bytes()[..]].concat())));
    out.extend(settings.prefixes.iter().map(prefix));
    out.extend(settings.routes.iter().map(|r| route(r, lifetime)));
    if !settings.dns.is_empty() {
        out.push(option(25, &[&[0, 0], &lifetime.to_be_bytes()[..], &addresses(&settings.dns)].concat()));
    }
    if !settings.search.is_empty() {
        out.push(option(31, &[&[0, 0], &lifetime.to_be_bytes()[..], &names(&settings.search)].concat()));
    }
    out.extend(settings.nat64.and_then(|net| nat64(net, lifetime)));
    out.extend(settings.captive_portal.as_ref().map(|url| option(37, url.as_bytes())));
    out.extend(settings.resolvers.iter().map(|r| resolver(r, lifetime)));
    // RFC 4861 §4.6: the length counts eight octets, up to 255 times
    out.retain(|o| o.len() <= 255 * 8);
    out
}

/// Type, length in eight octets, value, padding.
fn option(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = (value.len() + 2).next_multiple_of(8);
    let mut out = vec![kind, u8::try_from(len / 8).unwrap_or(u8::MAX)];
    out.extend_from_slice(value);
    out.resize(len, 0);
    out
}

fn preference(preference: Preference) -> u8 {
    match preference {
        Preference::High => 0b01 << 3,
        Preference::Medium => 0,
        Preference::Low => 0b11 << 3,
    }
}

fn prefix(p: &Prefix) -> Vec<u8> {
    let mut value = vec![p.net.prefix_len(), u8::from(p.on_link) << 7 | u8::from(p.autonomous) << 6];
    value.extend_from_slice(&p.valid.to_be_bytes());
    // RFC 4861 §4.6.2: preferred must not exceed valid
    value.extend_from_slice(&p.preferred.min(p.valid).to_be_bytes());
    value.extend_from_slice(&[0; 4]);
    value.extend_from_slice(&p.net.network().octets());
    option(3, &value)
}

/// RFC 4191 §2.3: only as many octets of the prefix as its length needs.
fn route(r: &Route, lifetime: u32) -> Vec<u8> {
    let octets = match r.net.prefix_len() {
        0 => 0,
        1..=64 => 8,
        _ => 16,
    };
    let mut value = vec![r.net.prefix_len(), preference(r.preference)];
    value.extend_from_slice(&lifetime.to_be_bytes());
    value.extend_from_slice(&r.net.network().octets()[..octets]);
    option(24, &value)
}

fn addresses(all: &[Ipv6Addr]) -> Vec<u8> {
    all.iter().flat_map(Ipv6Addr::octets).collect()
}

/// RFC 1035 §3.1, uncompressed; a name that is none is left out.
fn names(all: &[String]) -> Vec<u8> {
    all.iter().filter_map(|text| name(text)).flatten().collect()
}

fn name(text: &str) -> Option<Vec<u8>> {
    Some(crate::domain::dns::name::Name::parse(text).ok()?.as_wire().to_vec())
}

/// RFC 8781 §4: lifetime in units of eight seconds, rounded up, with the length's code below it.
fn nat64(net: Ipv6Net, lifetime: u32) -> Option<Vec<u8>> {
    let code = match net.prefix_len() {
        96 => 0,
        64 => 1,
        56 => 2,
        48 => 3,
        40 => 4,
        32 => 5,
        _ => return None,
    };
    let scaled = lifetime.div_ceil(8).min(8_191) as u16;
    let value = [&(scaled << 3 | code).to_be_bytes()[..], &net.network().octets()[..12]].concat();
    Some(option(38, &value))
}

/// RFC 9463 §6. Without addresses nothing follows the name, and the host looks it up.
fn resolver(r: &Resolver, lifetime: u32) -> Vec<u8> {
    let name = name(&r.name).unwrap_or_default();
    let part = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let mut value = [&r.priority.to_be_bytes()[..], &lifetime.to_be_bytes(), &part(&name)].concat();
    if !r.addresses.is_empty() {
        value.extend(part(&addresses(&r.addresses)));
        value.extend(part(&r.parameters));
    }
    option(144, &value)
}

//! Zones that nobody has to write: those of the domains and subnets, the special names of RFC 6761 and its
//! followers, the reverse zones of RFC 6303 (DN-331).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::settings::Settings;
use crate::domain::dns::name::Name;
use crate::domain::dns::rrset::{RrSet, rtype};
use crate::domain::dns::zone::{Kind, Layer, Soa, State, Zone};

/// MINIMUM of generated zones: a long one hides a host that boots a second later (DN-211).
const MINIMUM: u32 = 60;

/// Reverse zones that exist empty and are never asked outside (RFC 6303 §4, RFC 7793).
fn rfc6303() -> Vec<String> {
    let v4 = |name: &str| format!("{name}.in-addr.arpa");
    let mut all: Vec<String> = (16..32).map(|n| v4(&format!("{n}.172"))).collect();
    all.extend((64..128).map(|n| v4(&format!("{n}.100"))));
    let single = ["10", "168.192", "0", "127", "254.169", "2.0.192", "100.51.198", "113.0.203", "255.255.255.255"];
    all.extend(single.map(v4));
    let zeros = "0.".repeat(31);
    all.extend([format!("0.{zeros}ip6.arpa"), format!("1.{zeros}ip6.arpa")]);
    all.extend(["d.f", "8.e.f", "9.e.f", "a.e.f", "b.e.f", "8.b.d.0.1.0.0.2"].map(|n| format!("{n}.ip6.arpa")));
    all
}

/// Names in which nothing exists unless there is a real zone.
const DENIED: [&str; 7] = ["invalid", "onion", "alt", "local", "test", "example", "internal"];

/// The reverse zone of a subnet: cut at octets or nibbles, the shorter way (DN-316).
pub fn reverse_zone(subnet: IpNet) -> Name {
    let bits = if subnet.addr().is_ipv4() { subnet.prefix_len().min(24) } else { subnet.prefix_len().min(124) };
    Name::reverse_of(subnet.network(), bits)
}

/// A zone without a file.
pub fn generated(settings: &Settings, apex: Name, kind: Kind, serial: u32) -> Zone {
    let apex = Arc::new(apex);
    let mut zone = Zone::new(settings.seed, apex.clone(), kind, soa(settings, serial), None);
    zone.dynamic.put(&apex, &[name_server(settings)]);
    zone
}

fn server_name(settings: &Settings) -> Name {
    Name::parse(&settings.server_name).unwrap_or_else(|_| Name::root())
}

fn soa(settings: &Settings, serial: u32) -> Soa {
    let server = server_name(settings);
    let host = server.child(b"hostmaster").unwrap_or_else(|_| Name::root());
    let numbers = [serial, 3_600, 600, 604_800, MINIMUM].map(u32::to_be_bytes).concat();
    let rdata = [server.as_wire(), host.as_wire(), &numbers].concat();
    Soa::new(3_600, rdata, None).expect("two names and five numbers")
}

/// NS of a generated zone, and of a cut between two zones of ours.
pub fn name_server(settings: &Settings) -> RrSet {
    RrSet { rtype: rtype::NS, ttl: 3_600, soft: true, rdata: vec![server_name(settings).as_wire().to_vec()] }
}

/// All zones that are there without a file. The real ones come first and keep the others away.
pub fn base(settings: &Settings, serial: u32) -> State {
    let mut state = State::new(settings.seed);
    let mut add = |apex: Result<Name, _>, kind: Kind| {
        if let Some(apex) = apex.ok().filter(|apex| state.zone(apex).is_none()) {
            state.put(generated(settings, apex, kind, serial));
        }
    };
    settings.all_domains().into_iter().for_each(|d| add(Name::parse(d), Kind::Data));
    let subnets = settings.networks.iter().flat_map(|n| n.subnets.iter());
    subnets.for_each(|s| add(Ok(reverse_zone(*s)), Kind::Data));
    rfc6303().iter().for_each(|z| add(Name::parse(z), Kind::Data));
    add(Name::parse("home.arpa"), Kind::Data);
    DENIED.into_iter().for_each(|z| add(Name::parse(z), Kind::Denied));
    add(Name::parse("resolver.arpa"), Kind::Nothing);
    with_addresses(settings, &mut state, serial, &["localhost", "*.localhost"], &["127.0.0.1", "::1"]);
    // RFC 8880: without NAT64 just the two well-known addresses
    with_addresses(settings, &mut state, serial, &["ipv4only.arpa"], &["192.0.0.170", "192.0.0.171"]);
    state
}

/// A zone whose first name is the apex, all names with the same addresses.
fn with_addresses(settings: &Settings, state: &mut State, serial: u32, names: &[&str], addresses: &[&str]) {
    let names: Vec<Name> = names.iter().filter_map(|n| Name::parse(n).ok()).collect();
    let Some(apex) = names.first().filter(|a| state.zone(a).is_none()) else { return };
    let addresses: Vec<IpAddr> = addresses.iter().filter_map(|a| a.parse().ok()).collect();
    let mut layer = Layer::new(settings.seed, Arc::new(apex.clone()));
    let sets = address_sets(&addresses, 86_400, false);
    for name in &names {
        let ns = (name == apex).then(|| name_server(settings));
        layer.put(name, &sets.iter().cloned().chain(ns).collect::<Vec<_>>());
    }
    let mut zone = generated(settings, apex.clone(), Kind::Data, serial);
    zone.fixed = Some(Arc::new(layer));
    state.put(zone);
}

/// A and AAAA of a name.
pub fn address_sets(addresses: &[IpAddr], ttl: u32, soft: bool) -> Vec<RrSet> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            IpAddr::V4(ip) => v4.push(ip.octets().to_vec()),
            IpAddr::V6(ip) => v6.push(ip.octets().to_vec()),
        }
    }
    let sets = [(rtype::A, v4), (rtype::AAAA, v6)];
    sets.into_iter().filter(|(_, d)| !d.is_empty()).map(|(rtype, rdata)| RrSet { rtype, ttl, soft, rdata }).collect()
}

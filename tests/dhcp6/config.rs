//! Lines that configure, as the things that they describe.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use lanlord::domain::change::Change;
use lanlord::domain::dhcp::classes::{Class, Classes, Expression};
use lanlord::domain::dhcp::policy::{Delegation, Network, Policy, Pool6, Setting6, Subnet6, Times6};
use lanlord::domain::dhcp::reserve::option_code;
use lanlord::domain::host::{CustomOption, Host, Interface};
use lanlord::domain::lease::{Origin, Reservation, ReservationKey};

use super::words::{Step, Words, bytes, hex, mac};

/// The policy with one more line.
pub fn line(old: &Policy, head: &str, rest: &str, words: &Words<'_>) -> Result<Policy, String> {
    let mut networks = old.networks.clone();
    let mut next = old.clone();
    match head {
        "network" => networks.push(network(words)),
        "subnet" => networks.last_mut().ok_or("no network yet")?.subnets6.push(subnet(words)),
        "option" => next.options6.push(setting(rest)?),
        "network-option" => networks.last_mut().ok_or("no network")?.options6.push(setting(rest)?),
        "subnet-option" => last(&mut networks)?.options.push(setting(rest)?),
        "reserve" => next.reservations.push(reservation(words, next.reservations.len())),
        "forget-reservations" => next.reservations.clear(),
        "forget-networks" => networks.clear(),
        "class" => {
            let (name, text) = rest.split_once(' ').ok_or("NAME EXPRESSION")?;
            let test = Some(Expression::parse(text, &option_code).map_err(|e| e.to_string())?);
            let class = Class { name: name.to_owned(), test, ..Class::default() };
            next.classes = Classes::new([next.classes.list(), &[class]].concat());
        }
        "rule" => rule(&mut next, words)?,
        _ => return Err(format!("no such line: {head}")),
    }
    let mut policy = Policy::new(networks);
    policy.options6 = next.options6;
    policy.classes = next.classes;
    policy.reservations = next.reservations;
    policy.rules = next.rules;
    policy.rules6 = next.rules6;
    Ok(policy)
}

fn network(words: &Words<'_>) -> Network {
    Network {
        name: words.0[0].to_owned(),
        interface: words.value("interface").map(str::to_owned),
        domain: words.value("domain").unwrap_or_default().to_owned(),
        authoritative: words.has("authoritative"),
        guard: words.values("class").map(str::to_owned).collect(),
        relays6: words.values("relay").map(ip).collect(),
        interface_ids: words.values("interface-id").map(bytes).collect(),
        ..Network::default()
    }
}

fn subnet(words: &Words<'_>) -> Subnet6 {
    let mut subnet = Subnet6::new(net(words.0[0]));
    let exclude: Vec<_> = words.values("exclude").map(range).collect();
    subnet.pools = words.values("pool").map(|pool| Pool6 { range: range(pool), exclude: exclude.clone() }).collect();
    for delegate in words.values("delegate") {
        // PREFIX>LENGTH, or PREFIX>LENGTH-EXCLUDED
        let (prefix, rest) = delegate.split_once('>').expect("PREFIX>LENGTH");
        let (length, exclude) = rest.split_once('-').map_or((rest, None), |(length, out)| (length, Some(net(out))));
        let length = length.parse().expect("a length");
        subnet.delegate.push(Delegation { prefix: net(prefix), length, exclude });
    }
    subnet.guard = words.values("class").map(str::to_owned).collect();
    subnet.times = words.value("time").map(|text| {
        let (preferred, valid) = text.split_once('/').expect("PREFERRED/VALID");
        Times6 { preferred: preferred.parse().unwrap(), valid: valid.parse().unwrap() }
    });
    subnet
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no address"))
}

fn net(text: &str) -> Ipv6Net {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no prefix"))
}

fn range(text: &str) -> std::ops::RangeInclusive<Ipv6Addr> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    ip(first)..=ip(last)
}

fn last(networks: &mut [Network]) -> Result<&mut Subnet6, String> {
    networks.last_mut().and_then(|n| n.subnets6.last_mut()).ok_or("no subnet yet".to_owned())
}

fn setting(rest: &str) -> Result<Setting6, String> {
    let (code, text) = rest.split_once(' ').ok_or("no value")?;
    Setting6::parse(code.parse().map_err(|_| "no code")?, text).map_err(|e| e.to_string())
}

fn reservation(words: &Words<'_>, number: usize) -> Reservation {
    let mut keys: Vec<ReservationKey> = words.values("mac").map(|m| ReservationKey::Mac(mac(m))).collect();
    let iaid = words.value("iaid").map(|n| n.parse().unwrap());
    keys.extend(words.values("duid").map(|duid| ReservationKey::Duid { duid: hex(duid), iaid }));
    keys.extend(words.value("test").map(|test| ReservationKey::Test(test.replace('_', " "))));
    keys.extend(words.values("remote").map(|id| ReservationKey::RemoteId(bytes(id))));
    Reservation {
        network: words.value("network").map(str::to_owned),
        keys,
        ip6: words.values("ip").map(ip).collect(),
        prefix6: words.values("prefix").map(net).collect(),
        name: words.value("name").map(str::to_owned),
        ..Reservation::new(format!("r{number}"), Origin::Config("scenario".to_owned()))
    }
}

pub fn host(words: &Words<'_>) -> Change {
    let interface = Interface {
        name: "ethernet".to_owned(),
        mac: words.value("mac").map(mac),
        roaming: false,
        vlan: None,
        networks: Vec::new(),
        addresses: words.values("ip").map(|text| text.parse().expect("an address")).collect(),
    };
    let options = words.0.iter().filter_map(|w| w.split_once('='));
    let option = |(number, value): (&str, &str)| {
        Some(CustomOption { number: number.parse().ok()?, interface: None, family: 6, value: bytes(value) })
    };
    Change::HostPut(Box::new(Host {
        id: words.0[1].to_owned(),
        hostname: words.0[1].to_owned(),
        fqdn: words.value("fqdn").map(str::to_owned),
        aliases: Vec::new(),
        interfaces: vec![interface],
        options: options.filter_map(option).collect(),
        properties: Vec::new(),
    }))
}

fn rule(policy: &mut Policy, words: &Words<'_>) -> Step {
    for word in &words.0 {
        match word.split_once('=').unwrap_or((word, "")) {
            ("rapid-commit", _) => policy.rules6.rapid_commit = true,
            ("stateless", _) => policy.rules6.stateful = false,
            ("use-multicast", _) => policy.rules6.use_multicast = true,
            ("no-register", _) => policy.rules6.register = false,
            ("preference", rank) => policy.rules6.preference = rank.parse().unwrap(),
            ("cache", part) => policy.rules.cache_fraction = part.parse().unwrap(),
            (other, _) => return Err(format!("no such rule: {other}")),
        }
    }
    Ok(())
}

//! What follows from a configuration as a whole: which network is on which interface, that one link is one
//! network for both families, that names are unique, and that nothing contradicts. Owns the refusal of
//! objects that our configuration would refuse, so that what is written can be served at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::model::{Class, Family, Key, Model, Network, Reservation, Scope, Subnet, Times};
use super::report::Report;
use super::source::Place;

/// Brings the model into a form that can be written.
pub fn settle(model: &mut Model, report: &mut Report) {
    times(model, report);
    links(model, report);
    interfaces(model, report);
    trust(model, report);
    one_link(model, report);
    names(model);
    for network in &mut model.networks {
        let prefix_order = std::mem::take(&mut network.subnets);
        for subnet in prefix_order {
            add_subnet(network, subnet, report);
        }
        network.subnets.iter_mut().for_each(|subnet| pools(subnet, report));
    }
    reservations(model, report);
    delegations(model, report);
    classes(model, report);
    domains(model, report);
}

/// DH-706: what is delegated lies on no link, and is delegated once.
fn delegations(model: &mut Model, report: &mut Report) {
    let on_link: Vec<ipnet::Ipv6Net> = (model.networks.iter().flat_map(|network| &network.subnets))
        .filter_map(|subnet| if let ipnet::IpNet::V6(net) = subnet.prefix { Some(net) } else { None })
        .collect();
    let meet = |a: &ipnet::Ipv6Net, b: &ipnet::Ipv6Net| a.contains(b) || b.contains(a);
    let mut kept: Vec<ipnet::Ipv6Net> = Vec::new();
    for subnet in model.networks.iter_mut().flat_map(|network| &mut network.subnets) {
        subnet.delegate.retain(|delegate| {
            let rival = on_link.iter().chain(&kept).find(|net| meet(net, &delegate.prefix)).copied();
            match rival {
                Some(net) => {
                    let why = format!("it overlaps {net}, which is on a link or delegated already");
                    let todo = "delegate a prefix that is used for nothing else";
                    report.refused(&delegate.place, format!("delegation of {}", delegate.prefix), why, todo);
                }
                None => kept.push(delegate.prefix),
            }
            rival.is_none()
        });
    }
}

/// Names of interfaces that cannot be any.
fn links(model: &mut Model, report: &mut Report) {
    let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    let good = |name: &str| !name.is_empty() && name.len() <= 15 && !name.contains(bad);
    model.interfaces.retain(|(name, _, place)| {
        if !good(name) {
            report.refused(place, format!("interface {name}"), "it cannot be the name of one", "correct it");
        }
        good(name)
    });
    for network in &mut model.networks {
        if let Some(name) = network.interface.take_if(|name| !good(name)) {
            report.refused(&network.place, format!("interface {name}"), "it cannot be the name of one", "correct it");
        }
    }
}

/// Networks without an interface get the one that has an address of theirs.
fn interfaces(model: &mut Model, report: &mut Report) {
    let any = model.interfaces.iter().any(|(name, ..)| name == "*");
    let served =
        |name: &str| any || model.interfaces.is_empty() || model.interfaces.iter().any(|(own, ..)| own == name);
    let mut taken: HashSet<(String, bool)> = HashSet::new();
    for network in &model.networks {
        if let Some(interface) = &network.interface {
            taken.insert((interface.clone(), is_six(network)));
        }
    }
    for network in &mut model.networks {
        if network.interface.is_some() {
            continue;
        }
        let six = is_six(network);
        let own = model.addresses.iter().find(|(name, net)| {
            served(name)
                && !taken.contains(&(name.clone(), six))
                && network.subnets.iter().any(|subnet| subnet.prefix.contains(&net.addr()))
        });
        if let Some((name, net)) = own {
            let why = format!("{name} has the address {} here", net.addr());
            report.adapted(&network.place, format!("network {} on {name}", network.name), why);
            taken.insert((name.clone(), six));
            network.interface = Some(name.clone());
        }
    }
    join_six(model);
    // one interface and one network that no relay speaks for: they belong together
    let names: BTreeSet<&String> = model.interfaces.iter().map(|(name, ..)| name).filter(|name| *name != "*").collect();
    for six in [false, true] {
        let free: Vec<usize> = (0..model.networks.len())
            .filter(|n| {
                let network = &model.networks[*n];
                let relayed = !network.relays.is_empty() || network.subnets.iter().any(|s| !s.relays.is_empty());
                network.interface.is_none() && !relayed && is_six(network) == six
            })
            .collect();
        if let (Some(name), [one]) = (names.first().filter(|_| names.len() == 1), &free[..])
            && taken.insert(((*name).clone(), six))
        {
            model.networks[*one].interface = Some((*name).clone());
        }
    }
    for network in model.networks.iter().filter(|network| network.interface.is_none()) {
        let why = "which interface it is on depends on the addresses of the machine";
        let todo = format!("set interface of the network {}, unless only relays speak for it", network.name);
        report.look(&network.place, format!("network {}", network.name), why, todo);
    }
}

/// What switches that do not relay put into option 82 is believed by the other servers. Here it is only where
/// the configuration asks for it, and the report tells.
fn trust(model: &mut Model, report: &mut Report) {
    let asks = |test: &super::expr::Expr| test.spelled().contains("option[82]");
    let by_relay = |host: &Reservation| {
        host.keys.iter().any(|key| match key {
            Key::Circuit(_) | Key::Remote(_) => true,
            Key::Test(test) => asks(test),
            Key::Mac(_) | Key::ClientId(_) | Key::Duid(_) => false,
        })
    };
    let hosts = model.reservations.iter().chain(model.networks.iter().flat_map(|network| &network.reservations));
    if !model.v4 || !(model.classes.iter().filter_map(|class| class.test.as_ref()).any(asks) || { hosts }.any(by_relay))
    {
        return;
    }
    for network in model.networks.iter_mut().filter(|network| network.interface.is_some() && !is_six(network)) {
        network.trusted = true;
        let why = "classes or reservations ask for it, and whoever is on the link can send it";
        let todo = "set trust_relay_info = false, unless a switch writes it there";
        report.look(&network.place, format!("option 82 on the network {}", network.name), why, todo);
    }
}

/// IPv6 prefixes of a server with one interface are all on that link, for no relay speaks for them.
fn join_six(model: &mut Model) {
    let named: BTreeSet<&String> = model.interfaces.iter().map(|(name, ..)| name).collect();
    if named.len() != 1 || named.contains(&"*".to_owned()) {
        return;
    }
    let alone = |n: &Network| is_six(n) && n.interface.is_none() && n.subnets.iter().all(|s| s.relays.is_empty());
    let (six, rest): (Vec<Network>, Vec<Network>) = std::mem::take(&mut model.networks).into_iter().partition(alone);
    model.networks = rest;
    let joined = six.into_iter().reduce(|mut first, mut other| {
        first.subnets.append(&mut other.subnets);
        first.reservations.append(&mut other.reservations);
        first.scope.inherit(&other.scope);
        first.ra = first.ra.or(other.ra);
        first
    });
    model.networks.extend(joined);
}

fn is_six(network: &Network) -> bool {
    network.subnets.iter().all(|subnet| subnet.prefix.addr().is_ipv6())
}

/// IPv4 and IPv6 of one interface, or of one name, are one network; a second network of one family on an
/// interface is served by relays only, as its first match wins elsewhere.
fn one_link(model: &mut Model, report: &mut Report) {
    let mut out: Vec<Network> = Vec::new();
    for mut network in std::mem::take(&mut model.networks) {
        let same = out.iter_mut().find(|known| {
            let by_link = known.interface.is_some() && known.interface == network.interface;
            let by_name = known.name == network.name && (known.interface.is_none() || network.interface.is_none());
            (by_link || by_name) && is_six(known) != is_six(&network)
        });
        if let Some(known) = same {
            known.subnets.append(&mut network.subnets);
            known.reservations.append(&mut network.reservations);
            known.scope.inherit(&network.scope);
            known.interface = known.interface.take().or(network.interface);
            known.ra = known.ra.or(network.ra);
            continue;
        }
        if let Some(known) = out.iter().find(|known| known.interface.is_some() && known.interface == network.interface)
        {
            let why = format!("its interface is that of the network {}, which clients on it are given", known.name);
            report.adapted(&network.place, format!("network {}", network.name), why);
            network.interface = None;
        }
        out.push(network);
    }
    model.networks = out;
}

fn names(model: &mut Model) {
    let mut seen = HashSet::new();
    for network in &mut model.networks {
        let clean: String = network.name.chars().map(|c| if c.is_control() { '-' } else { c }).take(100).collect();
        let mut name = if clean.is_empty() { "network".to_owned() } else { clean };
        while !seen.insert(name.clone()) {
            name.push('x');
        }
        network.name = name;
    }
}

/// Prefixes of one network must not overlap.
fn add_subnet(network: &mut Network, subnet: Subnet, report: &mut Report) {
    let prefix = subnet.prefix;
    match network.subnets.iter().find(|known| known.prefix.contains(&prefix) || prefix.contains(&known.prefix)) {
        Some(known) => {
            let why = format!("it overlaps {} ({})", known.prefix, known.place);
            report.refused(&subnet.place, format!("subnet {prefix}"), why, "join them, or make networks of their own");
        }
        None => network.subnets.push(subnet),
    }
}

/// Pools of one subnet must not overlap.
fn pools(subnet: &mut Subnet, report: &mut Report) {
    let mut kept: Vec<super::model::Pool> = Vec::new();
    for pool in std::mem::take(&mut subnet.pools) {
        match kept.iter().find(|known| known.first <= pool.last && pool.first <= known.last) {
            Some(known) => {
                let why = format!("it overlaps that of {}", known.place);
                let todo = "give each pool its own addresses, or one pool all the classes";
                report.refused(&pool.place, format!("pool {}-{}", pool.first, pool.last), why, todo);
            }
            None => kept.push(pool),
        }
    }
    subnet.pools = kept;
}

/// Of two reservations that want one thing the second is refused; so are those for no subnet of ours.
fn reservations(model: &mut Model, report: &mut Report) {
    let all: Vec<ipnet::IpNet> = model.networks.iter().flat_map(|n| &n.subnets).map(|s| s.prefix).collect();
    let mut seen: HashMap<(usize, String), Place> = HashMap::new();
    for (n, network) in model.networks.iter_mut().enumerate() {
        let prefixes: Vec<ipnet::IpNet> = network.subnets.iter().map(|s| s.prefix).collect();
        network.reservations.retain_mut(|host| fits(host, &prefixes, n + 1, &mut seen, report));
    }
    model.reservations.retain_mut(|host| fits(host, &all, 0, &mut seen, report));
}

fn fits(
    host: &mut Reservation,
    prefixes: &[ipnet::IpNet],
    level: usize,
    seen: &mut HashMap<(usize, String), Place>,
    report: &mut Report,
) -> bool {
    let what = host.ips.first().map_or_else(|| "reservation".to_owned(), |ip| format!("reservation {ip}"));
    host.keys.retain(|key| match key {
        Key::Mac(mac) if !mac.is_identity() => {
            report.refused(
                &host.place,
                format!("hardware address {mac}"),
                "it cannot belong to one device",
                "correct it",
            );
            false
        }
        Key::ClientId(id) | Key::Duid(id) | Key::Circuit(id) | Key::Remote(id) if id.is_empty() => {
            report.refused(&host.place, "an empty identifier", "it selects nobody", "say which client is meant");
            false
        }
        _ => true,
    });
    if host.keys.is_empty() {
        return false;
    }
    if let Some(ip) = host.ips.iter().find(|ip| !prefixes.iter().any(|net| net.contains(*ip))) {
        report.refused(&host.place, what, format!("{ip} lies in no subnet"), "correct the address, or add the subnet");
        return false;
    }
    if let Some(name) = host.name.take_if(|name| !is_domain(name)) {
        report.refused(&host.place, format!("name {name}"), "it cannot be one in DNS", "give the client another name");
    }
    let wants = host.ips.iter().map(ToString::to_string).chain(host.keys.iter().map(|key| format!("{key:?}")));
    for want in wants.collect::<Vec<_>>() {
        if let Some(rival) = seen.get(&(level, want.clone())) {
            // one client may have an address in each of several subnets
            let several = !host.ips.is_empty() && level == 0 && !want.contains('.') && !want.contains(':');
            if !several {
                report.refused(
                    &host.place,
                    what,
                    format!("{rival} has the same client or address"),
                    "keep one of them",
                );
                return false;
            }
        }
        seen.insert((level, want), host.place.clone());
    }
    true
}

/// Classes that are named and not defined have no members but those of reservations.
fn classes(model: &mut Model, report: &mut Report) {
    let mut named: Vec<(String, Place)> = Vec::new();
    for network in &model.networks {
        let mut note =
            |names: &[String], place: &Place| named.extend(names.iter().map(|name| (name.clone(), place.clone())));
        note(&network.guard, &network.place);
        for subnet in &network.subnets {
            note(&subnet.guard, &subnet.place);
            subnet.pools.iter().for_each(|pool| note(&pool.guard, &pool.place));
        }
        network.reservations.iter().for_each(|host| note(&host.classes, &host.place));
    }
    named.extend(
        model.reservations.iter().flat_map(|host| host.classes.iter().map(|name| (name.clone(), host.place.clone()))),
    );
    for class in &model.classes {
        let members = class.test.iter().flat_map(|test| test.members());
        named.extend(members.map(|name| (name.to_owned(), class.place.clone())));
    }
    for (name, place) in named {
        let known =
            ["ALL", "KNOWN", "UNKNOWN"].contains(&name.as_str()) || model.classes.iter().any(|c| c.name == name);
        if !known {
            let why = "it is defined nowhere: only reservations make members of it";
            report.adapted(&place, format!("class {name}"), why);
            model.classes.push(Class { name, test: None, scope: Scope::default(), place });
        }
    }
}

/// The domain that all networks get is the domain.
fn domains(model: &mut Model, report: &mut Report) {
    let text = |scope: &Scope| {
        let option = scope.option(Family::V4, 15)?;
        String::from_utf8(option.wire.clone()).ok().filter(|name| is_domain(name))
    };
    if let Some(name) = text(&model.global) {
        model.global.options.retain(|o| (o.family, o.code) != (Family::V4, 15));
        model.domain = Some(name);
    }
    if let Some(name) = model.domain.take_if(|name| !is_domain(name)) {
        let place = model.networks.first().map(|network| network.place.clone()).unwrap_or_default();
        report.refused(&place, format!("domain {name}"), "it cannot be one", "set server.domain");
    }
}

/// True for what can be a domain of ours.
pub fn is_domain(name: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() < 250 && name.trim_end_matches('.').split('.').all(label)
}

/// The longest lease time of ours (a year); dhcpd's and dnsmasq's endless ones are given for as long.
const YEAR: u32 = 366 * 86_400;

/// Lease times of every level within our bounds, the least not above the most.
fn times(model: &mut Model, report: &mut Report) {
    let top = Place { file: "".into(), line: 0 };
    let first = model.networks.first().map_or(top, |network| network.place.clone());
    sound(&mut model.global.times, &first, report);
    sound(&mut model.global.times6, &first, report);
    for network in &mut model.networks {
        let place = network.place.clone();
        sound(&mut network.scope.times, &place, report);
        sound(&mut network.scope.times6, &place, report);
        for subnet in &mut network.subnets {
            sound(&mut subnet.scope.times, &subnet.place, report);
            sound(&mut subnet.scope.times6, &subnet.place, report);
            subnet.pools.iter_mut().for_each(|pool| {
                sound(&mut pool.scope.times, &pool.place, report);
                sound(&mut pool.scope.times6, &pool.place, report);
            });
        }
        network.reservations.iter_mut().for_each(|host| sound(&mut host.scope.times, &host.place, report));
    }
    model.classes.iter_mut().for_each(|class| sound(&mut class.scope.times, &class.place, report));
    model.reservations.iter_mut().for_each(|host| sound(&mut host.scope.times, &host.place, report));
}

fn sound(times: &mut Times, place: &Place, report: &mut Report) {
    for seconds in [&mut times.default, &mut times.min, &mut times.max, &mut times.preferred] {
        match *seconds {
            Some(0) => {
                report.refused(place, "lease time 0", "leases last a second at least", "set lease_time");
                *seconds = None;
            }
            Some(long) if long > YEAR => {
                let what =
                    if long == u32::MAX { "lease time without end".to_owned() } else { format!("lease time {long}") };
                report.adapted(place, what, "leases last a year, and are extended when their clients renew them");
                *seconds = Some(YEAR);
            }
            _ => {}
        }
    }
    if let (Some(preferred), Some(whole)) = (times.preferred, times.default)
        && preferred > whole
    {
        let what = format!("preferred lifetime {preferred}");
        report.adapted(place, what, format!("it is longer than the lease time, and holds for {whole}"));
        times.preferred = Some(whole);
    }
    if let (Some(min), Some(max)) = (times.min, times.max)
        && min > max
    {
        report.adapted(
            place,
            format!("lease times from {min} to {max}"),
            "the least is above the most: the most holds",
        );
        times.min = times.max;
    }
}

//! What is odd about networks, pools and reservations although it can be served (DH-613). Owns the rules;
//! refuses to stop anything: each finding says what to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::policy::{Network, Policy, Setting, Subnet, Value};
use super::wire::code;
use crate::domain::lease::Reservation;

/// Findings of one review, at most; the rest are a count.
const MOST: usize = 100;

/// Something that an administrator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Names the cause: the same as long as the cause is the same.
    pub id: String,
    /// Whether somebody goes without service because of it.
    pub grave: bool,
    pub text: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    pub fn new(id: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { id: id.into(), grave: false, text: text.into(), fix: fix.into() }
    }
}

/// Looks through a policy and the reservations in force. `own` tells our addresses, as far as they are
/// known; without any, what points elsewhere is not judged.
pub fn review<'a>(
    policy: &Policy,
    reservations: impl Iterator<Item = &'a Reservation>,
    own: &[Ipv4Addr],
) -> Vec<Finding> {
    let reservations: Vec<&Reservation> = reservations.collect();
    let mut out = Vec::new();
    for network in &policy.networks {
        for subnet in &network.subnets {
            pools(network, subnet, own, &mut out);
            exhausted(network, subnet, &reservations, &mut out);
            elsewhere(network, &subnet.options, &subnet.prefix.to_string(), own, &mut out);
        }
        elsewhere(network, &network.options, "all subnets", own, &mut out);
    }
    outside(policy, &reservations, &mut out);
    twice(&reservations, &mut out);
    let more = out.len().saturating_sub(MOST);
    out.truncate(MOST);
    if more > 0 {
        out.push(Finding::new("more-findings", format!("{more} more findings"), "mend the ones above first"));
    }
    out
}

/// Pools that hold addresses which are never given out.
fn pools(network: &Network, subnet: &Subnet, own: &[Ipv4Addr], out: &mut Vec<Finding>) {
    let inside = |ip: &Ipv4Addr| {
        let in_range = |pool: &super::policy::Pool| {
            pool.range.contains(ip) && !pool.exclude.iter().any(|range| range.contains(ip))
        };
        subnet.prefix.contains(ip) && subnet.pools.iter().any(in_range)
    };
    let named = [("the router", subnet.router), ("this server's address", subnet.server_id)];
    let named = named.into_iter().filter_map(|(what, ip)| Some((what, ip?)));
    let own = own.iter().filter(|ip| subnet.server_id != Some(**ip)).map(|ip| ("this server's address", *ip));
    for (what, ip) in named.chain(own).filter(|(_, ip)| inside(ip)) {
        out.push(Finding::new(
            format!("pool-holds {} {ip}", network.name),
            format!("a pool of {} on {} holds {ip}, {what}; it is never given out", subnet.prefix, network.name),
            format!("leave {ip} out of the pool, or name it in `exclude`"),
        ));
    }
}

/// A pool of which nothing is left for newcomers.
fn exhausted(network: &Network, subnet: &Subnet, reservations: &[&Reservation], out: &mut Vec<Finding>) {
    let size: u64 =
        subnet.pools.iter().map(|p| u64::from(u32::from(*p.range.end()) - u32::from(*p.range.start())) + 1).sum();
    let on = |r: &&&Reservation| r.network.as_ref().is_none_or(|name| *name == network.name);
    let reserved = reservations.iter().filter(on).filter_map(|r| match r.ip {
        Some(IpAddr::V4(ip)) => Some(ip),
        _ => None,
    });
    let reserved = reserved.filter(|ip| subnet.pooled(*ip)).count() as u64;
    if size > 0 && reserved >= size {
        out.push(Finding {
            grave: true,
            ..Finding::new(
                format!("pool-reserved {} {}", network.name, subnet.prefix),
                format!("reservations take all {size} addresses of the pool of {} on {}", subnet.prefix, network.name),
                "enlarge the pool, or reserve addresses outside it",
            )
        });
    }
}

/// Option 66 or 150 that sends phones to another server than this one.
fn elsewhere(network: &Network, options: &[Setting], place: &str, own: &[Ipv4Addr], out: &mut Vec<Finding>) {
    for setting in options.iter().filter(|s| [code::TFTP_SERVER, code::TFTP_ADDRESSES].contains(&s.code)) {
        let Some(ip) = address(setting).filter(|ip| !own.is_empty() && !own.contains(ip)) else { continue };
        out.push(Finding::new(
            format!("boot-elsewhere {} {place} {}", network.name, setting.code),
            format!(
                "option {} of {place} on {} sends phones to {ip}, which is not this server",
                setting.code, network.name
            ),
            "leave the option out, and they are sent here; or turn [provisioning] off",
        ));
    }
}

fn address(setting: &Setting) -> Option<Ipv4Addr> {
    let Value::Wire(bytes) = &setting.value else { return None };
    if setting.code == code::TFTP_ADDRESSES {
        return Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let host = text.split("://").last()?.split(['/', ':']).next()?;
    host.parse().ok()
}

/// Addresses that wait for somebody where nobody can get them.
fn outside(policy: &Policy, reservations: &[&Reservation], out: &mut Vec<Finding>) {
    for reservation in reservations {
        let Some(IpAddr::V4(ip)) = reservation.ip.filter(|_| !reservation.id.starts_with("host:")) else { continue };
        let gone = reservation.network.as_ref().is_some_and(|name| policy.by_name(name).is_none());
        if gone || policy.by_address(ip, None).is_none() {
            out.push(Finding::new(
                format!("reservation-outside {}", reservation.id),
                format!("the reservation {} is for {ip}, which lies in no configured subnet", reservation.id),
                "remove it, change its address, or configure the subnet again",
            ));
        }
    }
}

/// One name for two clients.
fn twice(reservations: &[&Reservation], out: &mut Vec<Finding>) {
    let mut names: BTreeMap<(&Option<String>, &str), Vec<&Reservation>> = BTreeMap::new();
    for reservation in reservations.iter().filter(|r| !r.id.starts_with("host:")) {
        if let Some(name) = &reservation.name {
            names.entry((&reservation.network, name)).or_default().push(reservation);
        }
    }
    for ((_, name), same) in names {
        let (first, rest) = (same[0], &same[1..]);
        for other in rest.iter().filter(|r| !r.keys.iter().any(|key| first.keys.contains(key))) {
            out.push(Finding::new(
                format!("name-twice {name} {}", other.id),
                format!("the reservations {} and {} have one name, {name}; the second gets none", first.id, other.id),
                "give one of them another name",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dhcp::policy::Pool;
    use crate::domain::lease::{Origin, ReservationKey};
    use crate::domain::net::Mac;

    fn reservation(n: u8, ip: Option<&str>, name: Option<&str>) -> Reservation {
        Reservation {
            keys: vec![ReservationKey::Mac(Mac([2, 0, 0, 0, 0, n]))],
            ip: ip.map(|ip| ip.parse().unwrap()),
            name: name.map(str::to_owned),
            ..Reservation::new(format!("r{n}"), Origin::User("x".to_owned()))
        }
    }

    fn policy() -> Policy {
        let at = |n| Ipv4Addr::new(10, 0, 0, n);
        let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap());
        subnet.pools = vec![Pool::new(at(1), at(3))];
        subnet.router = Some(at(1));
        subnet.options = vec![Setting::parse(66, "http://192.0.2.9:8667", false).unwrap()];
        Policy::new(vec![Network { name: "lan".to_owned(), subnets: vec![subnet], ..Network::default() }])
    }

    #[test]
    fn what_is_odd_is_told_with_what_to_do() {
        let reserved = [
            reservation(1, Some("10.0.0.2"), Some("desk")),
            reservation(2, Some("10.9.0.9"), None),
            reservation(3, None, Some("desk")),
        ];
        let found = review(&policy(), reserved.iter(), &[Ipv4Addr::new(10, 0, 0, 2)]);
        let ids: Vec<&str> = found.iter().map(|finding| finding.id.as_str()).collect();
        let wanted = [
            "pool-holds lan 10.0.0.1",
            "pool-holds lan 10.0.0.2",
            "boot-elsewhere lan 10.0.0.0/24 66",
            "reservation-outside r2",
            "name-twice desk r3",
        ];
        assert_eq!(ids, wanted);
        assert!(found.iter().all(|finding| !finding.fix.is_empty()));
    }

    #[test]
    fn a_pool_that_reservations_take_whole_is_grave() {
        let mut policy = policy();
        policy.networks[0].subnets[0].router = None;
        let reserved: Vec<_> = (1..=3).map(|n| reservation(n, Some(&format!("10.0.0.{n}")), None)).collect();
        let found = review(&policy, reserved.iter(), &[]);
        assert_eq!(
            found.iter().map(|f| (f.id.as_str(), f.grave)).collect::<Vec<_>>(),
            [("pool-reserved lan 10.0.0.0/24", true)]
        );
    }
}

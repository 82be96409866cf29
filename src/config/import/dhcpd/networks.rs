//! `shared-network`, `subnet`, `subnet6`, `pool`, ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::model::{Delegate, Network, Pool, Subnet};
use super::super::registry::address;
use super::tree::{Statement, Tok};
use super::{At, Dhcpd, Level};

impl Dhcpd<'_> {
    /// A subnet that shares its link with no other.
    pub fn lone_subnet(&mut self, statement: &Statement, outer: &Level) {
        let mut network = Network { place: statement.place.clone(), ..Network::default() };
        self.subnet(statement, outer, &mut network);
        if let Some(subnet) = network.subnets.first() {
            let name = subnet.prefix.addr().to_string().replace([':', '.'], "-");
            network.name = format!("net-{}", name.trim_end_matches('-'));
            self.model.networks.push(network);
        }
    }

    pub fn shared(&mut self, statement: &Statement, outer: &Level) {
        let name = statement.name(1).unwrap_or_else(|| "shared".to_owned());
        self.report.imported(&statement.place, format!("shared network {name}"));
        let mut network = Network { name, place: statement.place.clone(), ..Network::default() };
        let mut level = Level::default();
        self.level(statement.body(), &mut level, At::Shared);
        level.inherit(outer);
        level.conditional.extend(outer.conditional.iter().cloned());
        self.interface(statement, &mut network);
        let inside = Level { vendor: level.vendor.clone(), conditional: level.conditional.clone(), ..Level::default() };
        for inner in statement.body().iter().filter(|s| s.body.is_some()) {
            match inner.word(0) {
                "subnet" | "subnet6" => self.subnet(inner, &inside, &mut network),
                "group" => {
                    let mut group = Level::default();
                    self.level(inner.body(), &mut group, At::Group);
                    group.conditional.extend(inside.conditional.iter().cloned());
                    for subnet in inner.body().iter().filter(|s| matches!(s.word(0), "subnet" | "subnet6")) {
                        self.subnet(subnet, &group, &mut network);
                    }
                    self.objects(&without_subnets(inner.body()), &group);
                }
                "pool" | "pool6" | "if" | "elsif" | "else" => {}
                _ => self.objects(std::slice::from_ref(inner), &inside),
            }
        }
        // a pool of the shared network lies in one of its subnets, wherever that stands
        for pool in statement.body().iter().filter(|s| matches!(s.word(0), "pool" | "pool6")) {
            self.pool(pool, &mut network);
        }
        network.guard = self.guard(&level, &statement.place).unwrap_or_default();
        network.scope = level.scope;
        // the first pool of the link that has room is used, in the order of the file
        let first = |subnet: &Subnet| subnet.pools.iter().map(|pool| pool.place.line).min().unwrap_or(usize::MAX);
        let one_file = network.subnets.iter().flat_map(|s| &s.pools).all(|pool| pool.place.file == network.place.file);
        if one_file {
            network.subnets.sort_by_key(first);
        }
        self.model.networks.push(network);
    }

    fn interface(&mut self, statement: &Statement, network: &mut Network) {
        for inner in statement.body().iter().filter(|s| s.word(0) == "interface") {
            network.interface = inner.name(1);
            self.report.imported(&inner.place, inner.shown());
        }
    }

    fn subnet(&mut self, statement: &Statement, outer: &Level, network: &mut Network) {
        let what = statement.shown();
        let Some(prefix) = prefix(statement) else {
            self.report.refused(
                &statement.place,
                what,
                "it is no prefix",
                "write one such as 10.0.0.0 netmask 255.255.255.0",
            );
            return;
        };
        self.report.imported(&statement.place, what);
        let mut level = Level::default();
        self.level(statement.body(), &mut level, At::Subnet);
        level.inherit(outer);
        let mut subnet = Subnet::new(prefix, statement.place.clone());
        subnet.guard = self.guard(&level, &statement.place).unwrap_or_default();
        subnet.for_class = level.conditional;
        subnet.for_class.extend(outer.conditional.iter().cloned());
        subnet.scope = level.scope;
        network.scope.authoritative = network.scope.authoritative.or(subnet.scope.authoritative);
        self.interface(statement, network);
        network.subnets.push(subnet);
        self.ranges(statement.body(), network, &Pool::default());
        for inner in statement.body().iter().filter(|s| s.body.is_some()) {
            match inner.word(0) {
                "pool" | "pool6" => self.pool(inner, network),
                "if" | "elsif" | "else" => {}
                _ => self.objects(std::slice::from_ref(inner), &Level::default()),
            }
        }
    }

    fn pool(&mut self, statement: &Statement, network: &mut Network) {
        let mut level = Level::default();
        self.level(statement.body(), &mut level, At::Pool);
        self.report.imported(&statement.place, "pool");
        let guard = self.guard(&level, &statement.place).unwrap_or_default();
        let template = Pool { guard, scope: level.scope, ..Pool::default() };
        for statement in statement.body().iter().filter(|s| s.word(0) == "failover") {
            let why = "one server answers; its leases are in one journal";
            self.report.refused(
                &statement.place,
                statement.shown(),
                why,
                "stop the partner before lanlord serves the network",
            );
        }
        let before = network.subnets.iter().map(|s| s.pools.len()).collect::<Vec<_>>();
        self.ranges(statement.body(), network, &template);
        // a condition of a pool holds in the subnets that the pool lies in
        for (subnet, before) in network.subnets.iter_mut().zip(before) {
            if subnet.pools.len() > before {
                subnet.for_class.extend(level.conditional.iter().cloned());
            }
        }
    }

    /// `range`, `range6` and `prefix6` of one level, each into the subnet that it lies in.
    fn ranges(&mut self, body: &[Statement], network: &mut Network, template: &Pool) {
        for statement in body.iter().filter(|s| s.body.is_none()) {
            let what = statement.shown();
            let place = &statement.place;
            let words: Vec<&str> = statement.head[1..]
                .iter()
                .filter_map(Tok::word)
                .filter(|w| !matches!(*w, "dynamic-bootp" | "temporary"))
                .collect();
            let found = match statement.word(0) {
                "range" | "range6" => range(&words),
                "prefix6" => {
                    self.delegated(statement, network);
                    continue;
                }
                _ => continue,
            };
            let Some((first, last)) = found else {
                self.report.refused(place, what, "it is no range", "write its first and its last address");
                continue;
            };
            match network.subnets.iter_mut().rev().find(|s| s.prefix.contains(&first) && s.prefix.contains(&last)) {
                Some(subnet) => {
                    subnet.pools.push(Pool { first, last, place: place.clone(), ..template.clone() });
                    self.report.imported(place, what);
                }
                None => self.report.refused(place, what, "it lies in no subnet of its network", "correct it"),
            }
        }
    }

    /// `prefix6 FIRST LAST /LENGTH`: the block from the first to the last prefix must be one prefix itself.
    fn delegated(&mut self, statement: &Statement, network: &mut Network) {
        let what = statement.shown();
        let length = statement.word(3).trim_start_matches('/').parse::<u8>().ok().filter(|n| *n <= 128);
        let ends = (statement.word(1).parse::<Ipv6Addr>().ok(), statement.word(2).parse::<Ipv6Addr>().ok());
        let (Some(length), (Some(first), Some(last))) = (length, ends) else {
            self.report.refused(
                &statement.place,
                what,
                "it is no block of prefixes",
                "write prefix6 FIRST LAST /LENGTH",
            );
            return;
        };
        let blocks = blocks(u128::from(first), u128::from(last), length);
        match network.subnets.last_mut() {
            Some(subnet) if !blocks.is_empty() && blocks.len() <= 64 => {
                let place = statement.place.clone();
                subnet.delegate.extend(blocks.into_iter().map(|prefix| Delegate {
                    prefix,
                    length,
                    exclude: None,
                    place: place.clone(),
                }));
                self.report.imported(&place, what);
            }
            _ => self.report.refused(
                &statement.place,
                what,
                "it is no block of prefixes",
                "write prefix6 FIRST LAST /LENGTH",
            ),
        }
    }
}

/// The fewest prefixes that hold all delegations from `first` to `last`; none if there is no end to them.
fn blocks(first: u128, last: u128, length: u8) -> Vec<Ipv6Net> {
    let Some(step) = 1u128.checked_shl(128 - u32::from(length)) else { return Vec::new() };
    let mut out = Vec::new();
    let mut at = first;
    if !first.is_multiple_of(step) || !last.is_multiple_of(step) {
        return out;
    }
    while at <= last && out.len() <= 64 {
        let mut wide = length;
        while wide > 1 {
            let size = 1u128.checked_shl(128 - u32::from(wide - 1)).unwrap_or(0);
            if size == 0 || !at.is_multiple_of(size) || at.checked_add(size - step).is_none_or(|end| end > last) {
                break;
            }
            wide -= 1;
        }
        match Ipv6Net::new(at.into(), wide) {
            Ok(net) => out.push(net),
            Err(_) => return Vec::new(),
        }
        let size = 1u128.checked_shl(128 - u32::from(wide)).unwrap_or(0);
        match at.checked_add(size) {
            Some(next) if size > 0 => at = next,
            _ => break,
        }
    }
    out
}

/// `subnet NET netmask MASK`, `subnet6 NET/LENGTH`.
fn prefix(statement: &Statement) -> Option<IpNet> {
    if statement.word(0) == "subnet6" {
        return statement.word(1).parse::<Ipv6Net>().ok().map(IpNet::V6);
    }
    let net: Ipv4Addr = statement.word(1).parse().ok()?;
    let mask: Ipv4Addr = statement.word(3).parse().ok()?;
    Ipv4Net::with_netmask(net, mask).ok().map(IpNet::V4)
}

fn range(words: &[&str]) -> Option<(IpAddr, IpAddr)> {
    match words {
        [one] if one.contains('/') => match one.parse().ok()? {
            IpNet::V4(net) => Some((net.network().into(), net.broadcast().into())),
            IpNet::V6(net) => Some((net.network().into(), net.broadcast().into())),
        },
        [one] => Some((address(one)?, address(one)?)),
        [first, last] => Some((address(first)?, address(last)?)).filter(|(a, b)| a <= b && a.is_ipv4() == b.is_ipv4()),
        _ => None,
    }
}

fn without_subnets(body: &[Statement]) -> Vec<Statement> {
    body.iter().filter(|s| !matches!(s.word(0), "subnet" | "subnet6")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_prefixes_is_told_with_as_few_as_possible() {
        let told = |first: &str, last: &str, length| {
            let ends = [first, last].map(|text| u128::from(text.parse::<Ipv6Addr>().expect("an address")));
            blocks(ends[0], ends[1], length).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            told("2001:db8:0:100::", "2001:db8:0:f00::", 56),
            ["2001:db8:0:100::/56", "2001:db8:0:200::/55", "2001:db8:0:400::/54", "2001:db8:0:800::/53"]
        );
        assert_eq!(told("2001:db8::", "2001:db8:ff00::", 40), ["2001:db8::/32"]);
        assert!(told("2001:db8::1", "2001:db8::2", 64).is_empty());
    }
}

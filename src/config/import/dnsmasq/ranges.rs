//! `dhcp-range`: pools, the prefixes that they lie in, their lease times and modes.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::model::{Network, Pool, Ra, Scope, Subnet, Times};
use super::super::registry::address;
use super::Dnsmasq;
use super::lines::Line;
use super::tags;

/// Words that stand where an end of the range could stand.
const MODES: [&str; 9] =
    ["static", "proxy", "ra-only", "ra-names", "ra-stateless", "slaac", "ra-advrouter", "off-link", "link"];

/// `12h`, `45m`, `3600`, `infinite`.
pub fn time(text: &str) -> Option<u32> {
    if text == "infinite" {
        return Some(u32::MAX);
    }
    let (digits, factor) = match text.strip_suffix(['s', 'm', 'h', 'd', 'w']) {
        Some(digits) => (digits, [1, 60, 3600, 86_400, 604_800]["smhdw".find(text.chars().last()?)?]),
        None => (text, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(factor)
}

impl Dnsmasq<'_> {
    /// True if the line was a range.
    pub fn range(&mut self, line: &Line) -> bool {
        if line.key != "dhcp-range" {
            return false;
        }
        let mut parts = line.parts();
        let asked = tags::asked(&mut parts);
        let tag = tags::set(&mut parts);
        // the old form has the tag bare, in front
        let old = parts.first().filter(|part| address(part).is_none() && !part.contains(':')).cloned();
        if old.is_some() {
            parts.remove(0);
        }
        let tag = tag.or(old);
        match parts.first().and_then(|text| address(text)) {
            Some(IpAddr::V4(first)) => self.range4(line, first, &parts[1..], &asked, tag),
            Some(IpAddr::V6(first)) => self.range6(line, first, &parts[1..], &asked, tag),
            None => self.report.refused(
                &line.place,
                line.shown(),
                "it begins with no address",
                "write the first and the last address",
            ),
        }
        true
    }

    fn range4(&mut self, line: &Line, first: Ipv4Addr, parts: &[String], asked: &tags::Tags, tag: Option<String>) {
        self.model.v4 = true;
        let last = parts.iter().find_map(|part| part.parse::<Ipv4Addr>().ok());
        let mode = parts.iter().find(|part| MODES.contains(&part.as_str())).map(String::as_str);
        if mode == Some("proxy") {
            return self.proxy(line, first, parts);
        }
        let masks: Vec<Ipv4Addr> = parts
            .iter()
            .skip(usize::from(last.is_some() || mode.is_some()))
            .filter_map(|part| part.parse().ok())
            .collect();
        let (mask, mode) = (masks.first().copied(), mode);
        let last = if mode == Some("static") { None } else { last };
        let Some(prefix) = self.prefix(line, first, mask) else { return };
        let seconds = parts.iter().skip(1).chain(parts.first().filter(|_| last.is_none())).find_map(|part| time(part));
        let at = self.place_of(IpNet::V4(prefix), line);
        if let Some(tag) = tag {
            self.places.push((tag, IpNet::V4(prefix)));
        }
        if let Some(broadcast) = masks.get(1).filter(|b| **b != prefix.broadcast()) {
            let option = super::Opt::new(super::Family::V4, 28, broadcast.octets().to_vec(), &line.place);
            self.subnet(at).scope.set(option);
        }
        self.pool(line, at, first.into(), last.map(IpAddr::V4), seconds, asked);
    }

    /// `dhcp-range=PREFIX,proxy[,MASK]`: another server gives the addresses.
    fn proxy(&mut self, line: &Line, first: Ipv4Addr, parts: &[String]) {
        let mask = parts.iter().find_map(|part| part.parse::<Ipv4Addr>().ok());
        let Some(prefix) = self.prefix(line, first, mask) else { return };
        let (network, _) = self.place_of(IpNet::V4(prefix), line);
        self.model.networks[network].proxy = true;
        self.report.imported(&line.place, line.shown());
    }

    /// The mask is that of the interface unless one is given.
    fn prefix(&mut self, line: &Line, first: Ipv4Addr, mask: Option<Ipv4Addr>) -> Option<Ipv4Net> {
        if let Some(mask) = mask {
            let net = Ipv4Net::with_netmask(first, mask).ok().map(|net| net.trunc());
            if net.is_none() {
                self.report.refused(&line.place, line.shown(), format!("{mask} is no netmask"), "correct it");
            }
            return net;
        }
        let own = self.model.addresses.iter().find_map(|(_, net)| match net {
            IpNet::V4(net) if net.contains(&first) => Some(net.trunc()),
            _ => None,
        });
        if own.is_none() {
            let why = "its netmask is that of an interface which this machine does not have; /24 is assumed";
            self.report.look(&line.place, line.shown(), why, "see that prefix is right");
        }
        own.or_else(|| Ipv4Net::new(first, 24).ok().map(|net| net.trunc()))
    }

    fn range6(
        &mut self,
        line: &Line,
        first: std::net::Ipv6Addr,
        parts: &[String],
        asked: &tags::Tags,
        tag: Option<String>,
    ) {
        self.model.v6 = true;
        let last = parts.first().and_then(|part| address(part)).filter(IpAddr::is_ipv6);
        let modes: Vec<&str> = parts.iter().map(String::as_str).filter(|part| MODES.contains(part)).collect();
        let constructor = parts.iter().find_map(|part| part.strip_prefix("constructor:"));
        let after = usize::from(last.is_some());
        let length =
            parts.iter().skip(after).find_map(|part| part.parse::<u8>().ok().filter(|n| (1..=128).contains(n)));
        let seconds = parts.iter().skip(after).filter(|part| part.parse::<u8>().is_err()).find_map(|part| time(part));
        let mut base = first;
        if let Some(interface) = constructor {
            let found = self.model.addresses.iter().find_map(|(name, net)| match net {
                IpNet::V6(net) if name == interface && !net.addr().is_unicast_link_local() => Some(*net),
                _ => None,
            });
            let Some(net) = found else {
                let why = format!("the prefix comes from {interface}, which has none here now");
                return self.report.refused(
                    &line.place,
                    line.shown(),
                    why,
                    "write the prefix, or prefix_from of the network",
                );
            };
            base = (u128::from(net.trunc().addr()) | u128::from(first)).into();
        }
        let Ok(prefix) = Ipv6Net::new(base, length.unwrap_or(64)).map(|net| net.trunc()) else { return };
        let at = self.place_of(IpNet::V6(prefix), line);
        if let Some(tag) = tag {
            self.places.push((tag, IpNet::V6(prefix)));
        }
        let host = u128::from(first);
        let whole = |ip: u128| IpAddr::V6((u128::from(prefix.addr()) | ip).into());
        let network = &mut self.model.networks[at.0];
        let only = modes.contains(&"ra-only") || modes.contains(&"ra-stateless");
        if !modes.is_empty() {
            let autonomous =
                modes.iter().any(|mode| matches!(*mode, "slaac" | "ra-only" | "ra-stateless" | "ra-names"));
            let managed = !only && last.is_some();
            network.ra = Some(Ra { managed, other: managed || modes.contains(&"ra-stateless"), autonomous });
        }
        if only && !modes.contains(&"ra-only") {
            self.model.knobs.stateless = Some(true);
        }
        let last = last.map(|last| match last {
            IpAddr::V6(last) if constructor.is_some() => whole(u128::from(last)),
            other => other,
        });
        let first = if constructor.is_some() { whole(host) } else { IpAddr::V6(first) };
        self.pool(line, at, first, last.filter(|_| !only), seconds, asked);
    }

    fn subnet(&mut self, (network, subnet): (usize, usize)) -> &mut Subnet {
        &mut self.model.networks[network].subnets[subnet]
    }

    fn pool(
        &mut self,
        line: &Line,
        at: (usize, usize),
        first: IpAddr,
        last: Option<IpAddr>,
        seconds: Option<u32>,
        asked: &tags::Tags,
    ) {
        let six = first.is_ipv6();
        let seconds = seconds.unwrap_or(if six { 86_400 } else { 3600 });
        // dnsmasq takes a client's wish from two minutes up to its own time
        let preferred = six.then_some(seconds);
        let times = Times { default: Some(seconds), min: Some(seconds.min(120)), max: Some(seconds), preferred };
        let guard = match asked.is_empty() {
            true => Vec::new(),
            false => match self.class_of(asked, &line.place) {
                Some(class) => vec![class],
                None => {
                    let why = "a range cannot ask for the tag of another one";
                    return self.report.refused(&line.place, line.shown(), why, "put it into a network of its own");
                }
            },
        };
        let subnet = self.subnet(at);
        let (prefix, mut scope) = (subnet.prefix, Scope::default());
        let own = if six { &mut subnet.scope.times6 } else { &mut subnet.scope.times };
        if own.default.is_none() {
            *own = times;
        } else if *own != times {
            *(if six { &mut scope.times6 } else { &mut scope.times }) = times;
        }
        if let Some(last) = last {
            if !prefix.contains(&last) || last < first {
                return self.report.refused(
                    &line.place,
                    line.shown(),
                    format!("it does not fit into {prefix}"),
                    "correct it",
                );
            }
            subnet.pools.push(Pool { first, last, guard, scope, place: line.place.clone() });
        }
        self.report.imported(&line.place, line.shown());
    }

    /// The subnet of that prefix, made if need be.
    fn place_of(&mut self, prefix: IpNet, line: &Line) -> (usize, usize) {
        for (n, network) in self.model.networks.iter().enumerate() {
            if let Some(s) = network.subnets.iter().position(|subnet| subnet.prefix == prefix) {
                return (n, s);
            }
        }
        let name = prefix.addr().to_string().replace([':', '.'], "-");
        let name = format!("net-{}", name.trim_end_matches('-'));
        let subnets = vec![Subnet::new(prefix, line.place.clone())];
        self.model.networks.push(Network { name, subnets, place: line.place.clone(), ..Network::default() });
        (self.model.networks.len() - 1, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_units() {
        assert_eq!(
            ["12h", "45m", "90", "1w", "infinite", "x", "99999999w"].map(time),
            [Some(43_200), Some(2700), Some(90), Some(604_800), Some(u32::MAX), None, None]
        );
    }
}

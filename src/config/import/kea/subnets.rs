//! `shared-networks`, `subnet4`, `subnet6`, pools, delegated prefixes.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::super::model::{ClassScope, Delegate, Family, Network, Pool, Subnet};
use super::super::source::Place;
use super::Kea;
use super::json::Node;
use super::walk::Table;

/// Keys that restrict a level to members of a class, in all versions.
const GUARDS: [&str; 2] = ["client-class", "client-classes"];
/// Keys that ask further classes, in all versions.
const REQUIRED: [&str; 2] = ["require-client-classes", "evaluate-additional-classes"];

impl Kea<'_> {
    /// All links of a server.
    pub fn networks(&mut self, family: Family, server: &Table<'_>) {
        let key = match family {
            Family::V4 => "subnet4",
            Family::V6 => "subnet6",
        };
        for node in server.list("shared-networks") {
            self.shared(family, key, node);
        }
        for node in server.list(key) {
            let mut network = Network { place: node.place.clone(), by_mac: self.by_mac, ..Network::default() };
            self.subnet(family, node, &mut network);
            if let Some(subnet) = network.subnets.first() {
                network.name =
                    format!("net-{}", subnet.prefix.addr()).replace([':', '.'], "-").trim_end_matches('-').to_owned();
                self.model.networks.push(network);
            }
        }
    }

    fn shared(&mut self, family: Family, key: &str, node: &Node) {
        let table = Table::new(node);
        let name = table.filled("name").unwrap_or("shared").to_owned();
        let mut network =
            Network { name: name.clone(), place: node.place.clone(), by_mac: self.by_mac, ..Network::default() };
        self.report.imported(&node.place, format!("shared network {name}"));
        self.scope(family, &table, &mut network.scope);
        self.link(&table, &mut network);
        network.guard = self.guard(&table);
        let relays = self.relays(&table);
        self.required(&table, &network.place);
        for node in table.list(key) {
            self.subnet(family, node, &mut network);
        }
        for relay in relays {
            match relay {
                IpAddr::V4(ip) => network.relays.push(ip),
                IpAddr::V6(_) => network.subnets.iter_mut().for_each(|subnet| subnet.relays.push(relay)),
            }
        }
        table.finish(self.report);
        self.model.networks.push(network);
    }

    /// `interface` and what else says how a link is known.
    fn link(&mut self, table: &Table<'_>, network: &mut Network) {
        if let Some(interface) = table.filled("interface") {
            match &network.interface {
                Some(other) if other != interface => {
                    let why = format!("its network is on {other}, and a network is on one interface");
                    self.report.refused(
                        &table.at("interface"),
                        format!("interface {interface}"),
                        why,
                        "make it a network of its own",
                    );
                }
                _ => {
                    network.interface = Some(interface.to_owned());
                    self.report.imported(&table.at("interface"), format!("interface {interface}"));
                }
            }
        }
        if let Some(flag) = table.flag("match-client-id") {
            network.by_mac = !flag;
            self.report.imported(&table.at("match-client-id"), format!("match-client-id {flag}"));
        }
        if let Some(flag) = table.flag("authoritative") {
            network.scope.authoritative = Some(flag);
            self.report.imported(&table.at("authoritative"), format!("authoritative {flag}"));
        }
        if let Some(flag) = table.flag("rapid-commit") {
            self.report.imported(&table.at("rapid-commit"), format!("rapid-commit {flag}"));
            self.model.knobs.rapid_commit6 = Some(self.model.knobs.rapid_commit6.unwrap_or(false) || flag);
        }
        if let Some(id) = table.filled("interface-id") {
            self.report.imported(&table.at("interface-id"), format!("interface-id {id}"));
            network.interface_ids.push(id.as_bytes().to_vec());
        }
        table.refuse(
            &[
                ("4o6-subnet", "", "DHCPv4 over DHCPv6 is not served", ""),
                ("4o6-interface", "", "DHCPv4 over DHCPv6 is not served", ""),
                ("4o6-interface-id", "", "DHCPv4 over DHCPv6 is not served", ""),
            ],
            self.report,
        );
    }

    fn guard(&mut self, table: &Table<'_>) -> Vec<String> {
        let mut out = Vec::new();
        for key in GUARDS {
            for class in table.texts(key) {
                self.report.imported(&table.at(key), format!("{key} {class}"));
                out.push(class.to_owned());
            }
        }
        out
    }

    fn relays(&mut self, table: &Table<'_>) -> Vec<IpAddr> {
        let Some(node) = table.get("relay") else { return Vec::new() };
        let relay = Table::new(node);
        let mut out = Vec::new();
        for text in relay.texts("ip-addresses").into_iter().chain(relay.filled("ip-address")) {
            match text.parse() {
                Ok(ip) => {
                    self.report.imported(&node.place, format!("relay {text}"));
                    out.push(ip);
                }
                Err(_) => self.report.refused(&node.place, format!("relay {text}"), "it is no address", "correct it"),
            }
        }
        relay.finish(self.report);
        out
    }

    /// Classes that are asked only here: what they give holds here.
    fn required(&mut self, table: &Table<'_>, place: &Place) -> Vec<ClassScope> {
        let mut out = Vec::new();
        for key in REQUIRED {
            for name in table.texts(key) {
                let late = self.late.iter().find(|(late, _)| late == name).map(|(_, scope)| scope.clone());
                let plain =
                    || self.model.classes.iter().find(|class| class.name == name).map(|class| class.scope.clone());
                match late.or_else(plain) {
                    Some(scope) => {
                        self.report.adapted(place, format!("{key} {name}"), "members get its options here");
                        out.push(ClassScope { class: name.to_owned(), scope });
                    }
                    None => self.report.refused(place, format!("{key} {name}"), "there is no such class", "define it"),
                }
            }
        }
        out
    }

    fn subnet(&mut self, family: Family, node: &Node, network: &mut Network) {
        let table = Table::new(node);
        let written = table.filled("subnet").unwrap_or_default();
        let place = node.place.clone();
        let Ok(prefix) = written.parse::<IpNet>() else {
            self.report.refused(
                &place,
                format!("subnet {written}"),
                "it is no prefix",
                "write one such as 10.0.0.0/24",
            );
            return;
        };
        self.report.imported(&place, format!("subnet {}", prefix.trunc()));
        let mut subnet = Subnet::new(prefix, place.clone());
        table.needless(&[("id", "subnets are known by their prefix")], self.report);
        self.scope(family, &table, &mut subnet.scope);
        self.link(&table, network);
        subnet.guard = self.guard(&table);
        subnet.relays = self.relays(&table);
        subnet.for_class = self.required(&table, &place);
        for pool in table.list("pools") {
            self.pool(family, pool, &mut subnet);
        }
        for pool in table.list("pd-pools") {
            self.delegate(family, pool, &mut subnet);
        }
        let hosts = self.hosts(family, table.list("reservations"));
        network.reservations.extend(hosts);
        if network.scope.authoritative.is_none() {
            network.scope.authoritative = subnet.scope.authoritative;
        }
        table.finish(self.report);
        network.subnets.push(subnet);
    }

    fn pool(&mut self, family: Family, node: &Node, subnet: &mut Subnet) {
        let table = Table::new(node);
        let written = table.filled("pool").unwrap_or_default();
        let what = format!("pool {written}");
        let Some((first, last)) = range(written) else {
            self.report.refused(&node.place, what, "it is no range", "write one such as 10.0.0.10-10.0.0.99");
            return;
        };
        if !(subnet.prefix.contains(&first) && subnet.prefix.contains(&last)) || first > last {
            self.report.refused(&node.place, what, format!("it lies outside {}", subnet.prefix), "correct it");
            return;
        }
        let mut pool =
            Pool { first, last, guard: self.guard(&table), scope: Default::default(), place: node.place.clone() };
        self.options(family, table.list("option-data"), &mut pool.scope);
        self.report.imported(&node.place, what);
        for class in self.required(&table, &node.place) {
            if !subnet.for_class.iter().any(|known| known.class == class.class) {
                let why = format!("members get its options in all of {}, not in this pool only", subnet.prefix);
                self.report.adapted(&node.place, format!("class {}", class.class), why);
                subnet.for_class.push(class);
            }
        }
        table.needless(&[("pool-id", "pools are known by their range")], self.report);
        table.finish(self.report);
        subnet.pools.push(pool);
    }

    fn delegate(&mut self, family: Family, node: &Node, subnet: &mut Subnet) {
        let table = Table::new(node);
        let (text, long) = (table.filled("prefix").unwrap_or_default(), table.number("prefix-len").unwrap_or(0));
        let length = table.number("delegated-len").and_then(|n| u8::try_from(n).ok()).unwrap_or(64);
        let what = format!("pd-pool {text}/{long}");
        match format!("{text}/{long}").parse::<Ipv6Net>() {
            Ok(prefix) if length >= prefix.prefix_len() && length <= 128 => {
                self.report.imported(&node.place, format!("{what} delegated as /{length}"));
                let exclude = self.excluded(&table, prefix, length);
                let place = node.place.clone();
                subnet.delegate.push(Delegate { prefix: prefix.trunc(), length, exclude, place });
            }
            _ => self.report.refused(&node.place, what, "it is no prefix that can be divided so", "correct it"),
        }
        let guard = self.guard(&table);
        if !guard.is_empty() {
            let todo = "put the pool into a network that has the guard";
            self.report.refused(
                &node.place,
                format!("guard of pd-pool {text}"),
                "prefixes are delegated to every client of the link",
                todo,
            );
        }
        let mut scope = Default::default();
        self.options(family, table.list("option-data"), &mut scope);
        if !scope.is_empty() {
            self.report.refused(
                &node.place,
                format!("options of pd-pool {text}"),
                "they cannot stand there",
                "set them for the subnet",
            );
        }
        table.needless(&[("pool-id", "pools are known by their range")], self.report);
        table.finish(self.report);
    }
}

impl Kea<'_> {
    /// RFC 6603: what the holder of a delegated part leaves alone.
    fn excluded(&mut self, table: &Table<'_>, prefix: Ipv6Net, length: u8) -> Option<Ipv6Net> {
        let (text, long) = (table.filled("excluded-prefix"), table.number("excluded-prefix-len"));
        let (text, long) = (text?, long.filter(|long| *long > 0)?);
        let what = format!("excluded-prefix {text}/{long}");
        let net = format!("{text}/{long}").parse::<Ipv6Net>().ok().map(|net| net.trunc());
        let fits = |net: &Ipv6Net| prefix.contains(net) && net.prefix_len() > length;
        match net.filter(fits) {
            Some(net) => {
                self.report.imported(&table.at("excluded-prefix"), what);
                Some(net)
            }
            None => {
                let why = format!("it lies in no /{length} of {prefix}");
                self.report.refused(&table.at("excluded-prefix"), what, why, "correct it");
                None
            }
        }
    }
}

/// `first - last`, or a prefix.
pub fn range(text: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((first, last)) = text.split_once('-') {
        return Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
            .filter(|(a, b): &(IpAddr, IpAddr)| a.is_ipv4() == b.is_ipv4());
    }
    match text.trim().parse::<IpNet>().ok()? {
        IpNet::V4(net) => Some((net.network().into(), net.broadcast().into())),
        IpNet::V6(net) => Some((net.network().into(), net.broadcast().into())),
    }
}

//! `reservations` and `client-classes`.

use std::net::IpAddr;

use ipnet::Ipv6Net;

use super::super::expr::Expr;
use super::super::model::{Class, Family, Key, Reservation, Scope};
use super::super::registry;
use super::super::source::Place;
use super::json::Node;
use super::walk::Table;
use super::{Kea, expr};

/// Classes that every server of Kea knows without a definition.
const BUILT_IN: [&str; 5] = ["ALL", "KNOWN", "UNKNOWN", "DROP", "BOOTP"];

impl Kea<'_> {
    /// `client-classes`, in their order.
    pub fn classes(&mut self, family: Family, nodes: &[Node]) {
        for node in nodes {
            let table = Table::new(node);
            let name = table.filled("name").unwrap_or_default().to_owned();
            let what = format!("class {name}");
            self.definitions(family, table.list("option-def"));
            let mut scope = Scope::default();
            self.scope(family, &table, &mut scope);
            let late = ["only-if-required", "only-in-additional-list"].iter().any(|key| table.flag(key) == Some(true));
            if late {
                self.late.push((name.clone(), std::mem::take(&mut scope)));
                self.report.adapted(
                    &node.place,
                    format!("{what} only if required"),
                    "its options stand where it is required",
                );
            }
            let test = self.test(family, &table, &node.place, &what);
            let template = table.filled("template-test");
            table.finish(self.report);
            if let Some(template) = template {
                let why = "classes that are made of values cannot be defined here";
                let todo = "write a class for each value";
                self.report.refused(&node.place, format!("{what}: template-test {template}"), why, todo);
                continue;
            }
            let Ok(test) = test else { continue };
            if BUILT_IN.contains(&name.as_str()) && name != "DROP" {
                self.report.refused(&node.place, what, "that name is built in", "give the class another name");
                continue;
            }
            self.report.imported(&node.place, what);
            self.model.classes.push(Class { name, test, scope, place: node.place.clone() });
        }
    }

    fn test(&mut self, family: Family, table: &Table<'_>, place: &Place, what: &str) -> Result<Option<Expr>, ()> {
        let Some(text) = table.filled("test") else { return Ok(None) };
        let parsed = expr::parse(family, text, &|name| self.code_of(family, name));
        parsed.map(Some).map_err(|why| {
            let todo = "write the class anew, with the words of lanlord-dhcp(7)";
            self.report.refused(place, format!("{what}: test {text}"), why, todo);
        })
    }

    /// `reservations` of one level.
    pub fn hosts(&mut self, family: Family, nodes: &[Node]) -> Vec<Reservation> {
        nodes.iter().filter_map(|node| self.host(family, node)).collect()
    }

    fn host(&mut self, family: Family, node: &Node) -> Option<Reservation> {
        let table = Table::new(node);
        let place = &node.place;
        let mut host = Reservation { place: place.clone(), ..Reservation::default() };
        for key in ["hw-address", "client-id", "duid", "circuit-id", "flex-id"] {
            if let Some(text) = table.filled(key) {
                let found = self.key(key, text, place);
                host.keys.extend(found);
            }
        }
        let mut addresses: Vec<&str> = table.filled("ip-address").into_iter().collect();
        addresses.extend(table.texts("ip-addresses"));
        for text in addresses {
            match text.parse::<IpAddr>() {
                Ok(ip) => host.ips.push(ip),
                Err(_) => {
                    self.report.refused(place, format!("reservation of {text}"), "it is no address", "correct it")
                }
            }
        }
        for text in table.texts("prefixes") {
            match text.parse::<Ipv6Net>() {
                Ok(net) => host.prefixes.push(net.trunc()),
                Err(_) => self.report.refused(place, format!("reservation of {text}"), "it is no prefix", "correct it"),
            }
        }
        table.refuse(
            &[("excluded-prefixes", "", "a part of what is delegated cannot be kept back here", "")],
            self.report,
        );
        host.name = table.filled("hostname").map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        host.classes = table.texts("client-classes").into_iter().map(str::to_owned).collect();
        self.options(family, table.list("option-data"), &mut host.scope);
        if let Some(ip) = table.filled("next-server").and_then(|text| text.parse().ok()) {
            host.scope.next_server = Some(ip).filter(|ip: &std::net::Ipv4Addr| !ip.is_unspecified());
        }
        host.scope.boot_file = table.filled("boot-file-name").map(str::to_owned);
        host.scope.server_name = table.filled("server-hostname").map(str::to_owned);
        table.finish(self.report);
        if host.keys.is_empty() {
            self.report.refused(
                place,
                "reservation",
                "it is for nobody",
                "give it a hw-address, client-id, duid or circuit-id",
            );
            return None;
        }
        self.report.imported(place, format!("reservation {}", shown(&host)));
        Some(host)
    }

    fn key(&mut self, key: &str, text: &str, place: &Place) -> Option<Key> {
        // identifiers are hexadecimal, or text in single quotes
        let quoted = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).map(|t| t.as_bytes().to_vec());
        let bytes = quoted.or_else(|| registry::bytes(text)).filter(|bytes| !bytes.is_empty());
        let found = match key {
            "hw-address" => text.parse().ok().map(Key::Mac),
            "client-id" => bytes.map(Key::ClientId),
            "duid" => bytes.map(Key::Duid),
            "circuit-id" => bytes.map(Key::Circuit),
            _ => {
                let why = "what identifies the client stands in a hook's configuration";
                let todo = "reserve by mac, client_id, circuit_id or test";
                self.report.refused(place, format!("{key} {text}"), why, todo);
                return None;
            }
        };
        if found.is_none() {
            self.report.refused(place, format!("{key} {text}"), "it cannot be read", "correct it");
        }
        found
    }
}

/// A reservation in a word, for the report.
fn shown(host: &Reservation) -> String {
    let ips = host.ips.iter().map(ToString::to_string).chain(host.prefixes.iter().map(ToString::to_string));
    let ips: Vec<String> = ips.collect();
    match (&host.name, ips.is_empty()) {
        (Some(name), true) => name.clone(),
        (Some(name), false) => format!("{} ({name})", ips.join(", ")),
        (None, false) => ips.join(", "),
        (None, true) => "of options".to_owned(),
    }
}

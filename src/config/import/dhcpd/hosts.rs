//! `host`: reservations, wherever they stand.

use std::net::IpAddr;

use ipnet::Ipv6Net;

use super::super::model::{Key, Reservation};
use super::super::registry;
use super::tree::{Statement, Tok};
use super::{At, Dhcpd, Level};

impl Dhcpd<'_> {
    /// A host. What its group says is stronger than what its subnet says, as the host itself is.
    pub fn host(&mut self, statement: &Statement, group: &Level) {
        let Some(name) = statement.name(1) else {
            return self.report.refused(&statement.place, "host", "it has no name", "name it");
        };
        let mut level = Level::default();
        self.level(statement.body(), &mut level, At::Host);
        level.inherit(group);
        let mut host = Reservation { place: statement.place.clone(), ..Reservation::default() };
        for inner in statement.body().iter().filter(|s| s.body.is_none()) {
            self.identity(inner, &mut host);
        }
        // the identifier is what selects the host, no option for it
        if let Some(option) = level.scope.options.iter().find(|o| o.code == 61).cloned() {
            level.scope.options.retain(|o| o.code != 61);
            host.keys.push(Key::ClientId(option.wire));
        }
        host.name = told_name(&mut level).or_else(|| label(&name));
        host.scope = level.scope;
        if host.keys.is_empty() {
            let why = "it names neither hardware nor an identifier";
            self.report.refused(&statement.place, format!("host {name}"), why, "give it a hardware address");
            return;
        }
        self.report.imported(&statement.place, format!("host {name}"));
        self.model.reservations.push(host);
    }

    fn identity(&mut self, statement: &Statement, host: &mut Reservation) {
        let (place, what) = (&statement.place, statement.shown());
        let rest = statement.head.get(1..).unwrap_or_default();
        let found = match statement.word(0) {
            "hardware" => match statement.word(2).parse() {
                Ok(mac) if statement.word(1) == "ethernet" => {
                    host.keys.push(Key::Mac(mac));
                    true
                }
                _ => false,
            },
            "fixed-address" | "fixed-address6" => {
                let texts = rest.iter().filter_map(Tok::word);
                let addresses: Vec<Option<IpAddr>> = texts.map(registry::address).collect();
                host.ips.extend(addresses.iter().flatten());
                !addresses.is_empty() && addresses.iter().all(Option::is_some)
            }
            "fixed-prefix6" => match statement.word(1).parse::<Ipv6Net>() {
                Ok(prefix) => {
                    host.prefixes.push(prefix.trunc());
                    true
                }
                Err(_) => false,
            },
            "host-identifier" => self.identifier(rest).map(|key| host.keys.push(key)).is_some(),
            _ => return,
        };
        if found {
            self.report.imported(place, what);
        } else {
            self.report.refused(
                place,
                what,
                "it cannot be read; names of addresses are not looked up",
                "write addresses",
            );
        }
    }

    /// `host-identifier option NAME VALUE`.
    fn identifier(&self, words: &[Tok]) -> Option<Key> {
        let [Tok::Word(kind), Tok::Word(name), value] = words else { return None };
        let bytes = match value {
            Tok::Text(bytes) => bytes.clone(),
            Tok::Word(word) => registry::bytes(word)?,
            Tok::Sign(_) => return None,
        };
        match (kind.as_str(), name.as_str()) {
            ("option", "agent.circuit-id") => Some(Key::Circuit(bytes)),
            ("option", "agent.remote-id") => Some(Key::Remote(bytes)),
            ("option", "dhcp6.client-id") => Some(Key::Duid(bytes)),
            ("option", "dhcp-client-identifier") => Some(Key::ClientId(bytes)),
            ("option", name) => {
                let (code, sub) = self.code_of(name)?;
                let asked = match sub {
                    Some(sub) => super::super::expr::Expr::Sub(code, sub),
                    None => super::super::expr::Expr::Option(code),
                };
                Some(Key::Test(asked.equals(super::super::expr::Expr::Text(bytes))))
            }
            _ => None,
        }
    }
}

/// `option host-name` of a host is its name here.
fn told_name(level: &mut Level) -> Option<String> {
    let option = level.scope.options.iter().find(|o| o.code == 12 && o.family == super::super::model::Family::V4)?;
    label(&String::from_utf8_lossy(&option.wire))
}

/// A host's name, if it can be one in DNS.
fn label(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let good = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
    };
    name.split('.').all(good).then_some(name)
}

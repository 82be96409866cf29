//! `dhcp-host` in all of its forms.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::super::expr::Expr;
use super::super::model::{Key, Reservation};
use super::super::registry;
use super::lines::Line;
use super::{Dnsmasq, ranges, tags};
use crate::domain::net::Mac;

impl Dnsmasq<'_> {
    /// One host.
    pub fn host(&mut self, line: &Line) {
        let mut parts = line.parts();
        let mut host = Reservation { place: line.place.clone(), ..Reservation::default() };
        let mut ignored = false;
        while let Some(tag) = tags::set(&mut parts) {
            host.classes.push(tag);
        }
        let mut wanted = Vec::new();
        parts.retain(|part| match part.strip_prefix("tag:") {
            Some(tag) => {
                wanted.push((tag.trim_start_matches('!').to_owned(), tag.starts_with('!')));
                false
            }
            None => !part.is_empty(),
        });
        let mut patterns = Vec::new();
        let mut seconds = None;
        for part in &parts {
            if part == "ignore" {
                ignored = true;
            } else if let Some(id) = part.strip_prefix("id:") {
                match id {
                    "*" => self.report.adapted(
                        &line.place,
                        format!("id:* of {}", line.shown()),
                        "a reservation by MAC holds for every client identifier",
                    ),
                    id => host.keys.extend(identifier(id)),
                }
            } else if let Some(inner) = part.strip_prefix('[').and_then(|p| p.strip_suffix(']')) {
                self.address6(inner, line, &mut host);
            } else if let Ok(ip) = part.parse::<IpAddr>() {
                host.ips.push(ip);
            } else if let Some(mac) = hardware(part) {
                host.keys.push(Key::Mac(mac));
            } else if let Some(pattern) = Some(part).filter(|p| p.contains('*')).and_then(|p| tags::mac_pattern(p)) {
                patterns.push(pattern);
            } else if let Some(time) = ranges::time(part) {
                seconds = Some(time);
            } else if host.name.is_none() && name(part) {
                host.name = Some(part.to_ascii_lowercase());
            } else {
                self.report.refused(&line.place, line.shown(), format!("`{part}` cannot be read"), "correct it");
                return;
            }
        }
        host.keys.extend(patterns.into_iter().map(Key::Test));
        if host.keys.is_empty() {
            // a host that is known by the name that it tells
            let Some(name) = &host.name else {
                return self.report.refused(
                    &line.place,
                    line.shown(),
                    "it is for nobody",
                    "give it a hardware address",
                );
            };
            host.keys.push(Key::Test(Expr::Word("hostname").equals(Expr::text(name.as_str()))));
        }
        if ignored {
            return self.ignored(line, &host);
        }
        if !self.restrict(&wanted, &mut host, line) {
            return;
        }
        for tag in host.classes.clone() {
            if !self.model.classes.iter().any(|class| class.name == tag) {
                self.member_never(&tag, &line.place);
            }
        }
        host.scope.times.default = seconds;
        self.report.imported(&line.place, line.shown());
        self.model.reservations.push(host);
    }

    /// `tag:x`: the host counts only for clients that have the tag.
    fn restrict(&mut self, wanted: &tags::Tags, host: &mut Reservation, line: &Line) -> bool {
        if wanted.is_empty() || wanted.iter().all(|(tag, absent)| !absent && self.is_place(tag)) {
            return true;
        }
        let Some(condition) = self.condition(wanted) else {
            self.report.refused(
                &line.place,
                line.shown(),
                "it asks for the tag of a range among others",
                "write a reservation by test",
            );
            return false;
        };
        let test = host.keys.iter().map(|key| match key {
            Key::Mac(mac) => Some(Expr::Word("mac").equals(Expr::Text(mac.0.to_vec()))),
            Key::ClientId(id) => Some(Expr::Option(61).equals(Expr::Text(id.clone()))),
            Key::Test(test) => Some(test.clone()),
            _ => None,
        });
        let test: Option<Vec<Expr>> = test.collect();
        match test.and_then(|tests| tests.into_iter().reduce(Expr::or)) {
            Some(test) => {
                host.keys = vec![Key::Test(test.and(condition))];
                true
            }
            None => {
                self.report.refused(
                    &line.place,
                    line.shown(),
                    "its identifier cannot be asked together with a tag",
                    "write a reservation by test",
                );
                false
            }
        }
    }

    fn ignored(&mut self, line: &Line, host: &Reservation) {
        for key in &host.keys {
            let test = match key {
                Key::Mac(mac) => Expr::Word("mac").equals(Expr::Text(mac.0.to_vec())),
                Key::ClientId(id) => Expr::Option(61).equals(Expr::Text(id.clone())),
                Key::Test(test) => test.clone(),
                _ => continue,
            };
            self.member_if("DROP", test, &line.place);
        }
        self.report.adapted(&line.place, line.shown(), "its client is in the class DROP");
    }

    /// `fd00::1`, `::1` within a prefix of ours, `fd00::/64`.
    fn address6(&mut self, text: &str, line: &Line, host: &mut Reservation) {
        if let Ok(prefix) = text.parse::<Ipv6Net>() {
            let why = "an address is chosen within the prefix";
            host.prefixes.retain(|known| *known != prefix);
            return self.report.refused(&line.place, format!("[{text}]"), why, "write one address");
        }
        let Ok(ip) = text.parse::<Ipv6Addr>() else {
            return self.report.refused(&line.place, format!("[{text}]"), "it is no address", "correct it");
        };
        if ip.octets()[..8] != [0; 8] {
            host.ips.push(ip.into());
            return;
        }
        // only the host part is given: it holds in every prefix of ours
        let prefixes = self.model.networks.iter().flat_map(|n| &n.subnets).filter_map(|subnet| match subnet.prefix {
            ipnet::IpNet::V6(prefix) => Some(prefix),
            ipnet::IpNet::V4(_) => None,
        });
        host.ips.extend(prefixes.map(|prefix| IpAddr::V6((u128::from(prefix.addr()) | u128::from(ip)).into())));
    }
}

/// `11:22:33:44:55:66`, or `06-..` with the type of the link in front.
fn hardware(text: &str) -> Option<Mac> {
    let mac =
        text.split_once('-').filter(|(kind, rest)| kind.len() == 2 && rest.contains(':')).map_or(text, |(_, mac)| mac);
    if mac.contains(':') || mac.matches('-').count() == 5 { mac.parse().ok() } else { None }
}

/// A text holds with and without an octet 0 before it, as some clients send it.
fn identifier(text: &str) -> Vec<Key> {
    let octets = text.contains(':').then(|| registry::bytes(text)).flatten();
    match octets {
        // an identifier that begins as a DUID does is one of DHCPv6
        Some(octets) if octets.len() >= 8 && octets[0] == 0 && (1..=4).contains(&octets[1]) => vec![Key::Duid(octets)],
        Some(octets) => vec![Key::ClientId(octets)],
        None => {
            let prefixed = [&[0], text.as_bytes()].concat();
            vec![
                Key::ClientId(text.as_bytes().to_vec()),
                Key::Test(Expr::Word("client_id").equals(Expr::Text(prefixed))),
            ]
        }
    }
}

fn name(text: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.trim_end_matches('.').split('.').all(label)
}

//! `[network.ra]`: router advertisements of one network. Owns their keys and defaults, and what RFC 4861
//! §6.2.1 allows; M and O are not here, they follow the DHCPv6 server.

use std::net::Ipv6Addr;
use std::str::FromStr;

use ipnet::Ipv6Net;

use super::raw::{At, Section};
use crate::domain::dns::name::Name;
use crate::domain::ra::{Preference, Resolver, Route, Settings};

/// What a network says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ra {
    pub enabled: bool,
    /// Without prefixes and flags: those follow the subnets and the DHCPv6 server.
    pub said: Settings,
    /// L of the prefixes.
    pub on_link: bool,
    /// A of the prefixes; `None`: unless the DHCPv6 server gives addresses of them.
    pub autonomous: Option<bool>,
    pub valid: u32,
    pub preferred: u32,
    /// False if the configuration names resolvers, or none at all.
    pub own_dns: bool,
    /// Link-local addresses of other routers that are meant to be there.
    pub known_routers: Vec<Ipv6Addr>,
}

const PREFIX: &str = "an IPv6 prefix such as 2001:db8:2::/48";
const DAY: u32 = 86_400;

/// The table below a network; `None` if it is not there.
pub(super) fn read(network: &Section<'_>, domain: &str) -> Option<Ra> {
    let s = network.table("ra", "network.ra")?;
    let enabled = s.flag("enabled").unwrap_or(false);
    if enabled && !network.has("interface") {
        let hint = Some("name the `interface` of the network".to_owned());
        s.doc.complain(&s.span, "router advertisements need an interface", hint);
    }
    let dns = s.list::<Ipv6Addr>("dns", "an IPv6 address such as 2001:db8::53");
    let valid = seconds(&s, "valid_lifetime").unwrap_or(DAY);
    let preferred = seconds(&s, "preferred_lifetime").unwrap_or(DAY / 6).min(valid);
    Some(Ra {
        enabled,
        on_link: s.flag("on_link").unwrap_or(true),
        autonomous: s.flag("autonomous"),
        valid,
        preferred,
        own_dns: dns.is_none(),
        known_routers: known_routers(&s),
        said: said(&s, dns, domain),
    })
}

fn said(s: &Section<'_>, dns: Option<Vec<At<Ipv6Addr>>>, domain: &str) -> Settings {
    let levels = [("high", Preference::High), ("medium", Preference::Medium), ("low", Preference::Low)];
    let max = s.number("max_interval", 4..=1_800).map_or(600, short);
    // RFC 4861 §6.2.1: at least 3 s, at most three quarters of the longest
    let most = u64::from(max) * 3 / 4;
    let min = s.number("min_interval", 3..=most.max(3)).map_or(Settings::default_min_interval(max), short);
    Settings {
        router: s.flag("router").unwrap_or(true),
        lifetime: lifetime(s, max),
        max_interval: max,
        min_interval: min,
        preference: s.choice("preference", &levels).unwrap_or_default(),
        hop_limit: s.number("hop_limit", 0..=255).and_then(|n| u8::try_from(n).ok()).unwrap_or(64),
        mtu: s.number("mtu", 1_280..=65_535).and_then(|n| u32::try_from(n).ok()),
        routes: s.list::<Said>("routes", PREFIX).into_iter().flatten().map(|at| at.value.0).collect(),
        dns: dns.into_iter().flatten().map(|at| at.value).collect(),
        search: search(s, domain),
        captive_portal: url(s),
        nat64: nat64(s),
        resolvers: s.list::<Encrypted>("resolvers", ENCRYPTED).into_iter().flatten().map(|at| at.value.0).collect(),
        ..Settings::default()
    }
}

fn known_routers(s: &Section<'_>) -> Vec<Ipv6Addr> {
    let all = s.list::<Ipv6Addr>("known_routers", "a link-local address such as fe80::1").unwrap_or_default();
    for at in all.iter().filter(|at| !at.value.is_unicast_link_local()) {
        let hint = Some("routers speak from addresses in fe80::/10".to_owned());
        s.doc.complain(&at.span, format!("`known_routers` holds {}", at.value), hint);
    }
    all.into_iter().map(|at| at.value).collect()
}

fn short(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn seconds(s: &Section<'_>, key: &str) -> Option<u32> {
    s.duration(key).map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}

/// 0, or from the longest interval to 9000 s.
fn lifetime(s: &Section<'_>, max: u16) -> Option<u16> {
    let time = s.duration("lifetime")?.as_secs();
    if time != 0 && !(u64::from(max)..=9_000).contains(&time) {
        let message = format!("`lifetime` is {time} s; 0, or {max} (`max_interval`) to 9000 s are possible");
        s.doc.complain(&s.span, message, None);
    }
    Some(short(time))
}

fn search(s: &Section<'_>, domain: &str) -> Vec<String> {
    let Some(texts) = s.texts("search") else { return vec![domain.to_owned()] };
    let mut out = Vec::new();
    for text in texts {
        match Name::parse(&text.value) {
            Ok(_) => out.push(text.value.trim_end_matches('.').to_ascii_lowercase()),
            Err(why) => s.doc.complain(&text.span, format!("`search` holds `{}`: {why}", text.value), None),
        }
    }
    out
}

fn url(s: &Section<'_>) -> Option<String> {
    let url = s.text("captive_portal")?;
    if !url.value.starts_with("https://") || url.value.len() > 1_000 || url.value.contains(char::is_whitespace) {
        // RFC 8908 §4.1: the API is only reached over TLS
        let message = format!("`captive_portal` must be a URL such as https://portal.example/api, not `{}`", url.value);
        s.doc.complain(&url.span, message, None);
    }
    Some(url.value)
}

fn nat64(s: &Section<'_>) -> Option<Ipv6Net> {
    let net = s.parsed::<Ipv6Net>("nat64", "an IPv6 prefix such as 64:ff9b::/96")?;
    if ![32, 40, 48, 56, 64, 96].contains(&net.value.prefix_len()) {
        let message = format!("`nat64` is {}; its length must be 32, 40, 48, 56, 64 or 96", net.value);
        s.doc.complain(&net.span, message, None);
    }
    Some(net.value)
}

/// `PREFIX [high|medium|low]`.
struct Said(Route);

impl FromStr for Said {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Said, Self::Err> {
        let mut words = text.split_whitespace();
        let net: Ipv6Net = words.next().and_then(|word| word.parse().ok()).ok_or("no prefix")?;
        let preference = match words.next() {
            None | Some("medium") => Preference::Medium,
            Some("high") => Preference::High,
            Some("low") => Preference::Low,
            Some(_) => return Err("no preference"),
        };
        if words.next().is_some() || net.trunc() != net {
            return Err("more than a prefix and its preference");
        }
        Ok(Said(Route { net, preference }))
    }
}

const ENCRYPTED: &str = "a resolver such as \"1 dns.example 2001:db8::53 alpn=dot port=853\"";

/// `PRIORITY NAME [ADDRESS ..] [alpn=A,B] [port=N] [dohpath=PATH]`.
struct Encrypted(Resolver);

impl FromStr for Encrypted {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Encrypted, Self::Err> {
        let mut words = text.split_whitespace();
        let priority = words.next().and_then(|word| word.parse().ok()).ok_or("no priority")?;
        let name = words.next().filter(|name| Name::parse(name).is_ok()).ok_or("no name")?;
        let mut resolver = Resolver {
            priority,
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            addresses: Vec::new(),
            parameters: Vec::new(),
        };
        let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => parameters.push(parameter(key, value).ok_or("no parameter")?),
                None => resolver.addresses.push(word.parse().map_err(|_| "no address")?),
            }
        }
        // RFC 9460 §2.2: in ascending order, each once
        parameters.sort();
        parameters.dedup_by_key(|(key, _)| *key);
        for (key, value) in parameters {
            resolver.parameters.extend_from_slice(&key.to_be_bytes());
            resolver.parameters.extend_from_slice(&u16::try_from(value.len()).map_err(|_| "too long")?.to_be_bytes());
            resolver.parameters.extend_from_slice(&value);
        }
        Ok(Encrypted(resolver))
    }
}

/// RFC 9460 §7 and RFC 9461 §5.
fn parameter(key: &str, value: &str) -> Option<(u16, Vec<u8>)> {
    match key {
        "alpn" => {
            let mut wire = Vec::new();
            for protocol in value.split(',') {
                wire.push(u8::try_from(protocol.len()).ok().filter(|len| *len > 0)?);
                wire.extend_from_slice(protocol.as_bytes());
            }
            Some((1, wire))
        }
        "port" => value.parse::<u16>().ok().map(|port| (3, port.to_be_bytes().to_vec())),
        "dohpath" => Some((7, value.as_bytes().to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn ra(keys: &str) -> Result<Ra, String> {
        let text = format!("[[network]]\nname = \"a\"\ninterface = \"eth1\"\n[network.ra]\nenabled = true\n{keys}\n");
        let config = parse(Path::new("t.toml"), &text).map_err(|problems| problems.to_string())?;
        Ok(config.networks[0].ra.clone().expect("it stands there"))
    }

    #[test]
    fn says_nothing_unless_told_to() {
        let text = "[[network]]\nname = \"a\"\n[network.ra]\nmtu = 1280\n";
        let config = parse(Path::new("t.toml"), text).expect("valid");
        assert!(!config.networks[0].ra.as_ref().expect("it stands there").enabled);
        let plain = ra("").expect("valid");
        assert_eq!((plain.valid, plain.preferred, plain.own_dns, plain.on_link), (86_400, 14_400, true, true));
        assert_eq!(plain.said, Settings { search: vec!["home.arpa".to_owned()], ..Settings::default() });
    }

    #[test]
    fn everything_can_be_said() {
        let ra = ra("router = false\nmax_interval = 4\nmin_interval = 3\npreference = \"low\"\nmtu = 1400\n\
                     routes = [\"2001:db8:2::/48 high\"]\ndns = [\"2001:db8::53\"]\nsearch = [\"Lab.Example.\"]\n\
                     captive_portal = \"https://portal.example/api\"\nnat64 = \"64:ff9b::/96\"\n\
                     resolvers = [\"1 dns.example 2001:db8::53 port=853 alpn=dot,doq\", \"2 far.example\"]\n\
                     valid_lifetime = 90\npreferred_lifetime = 100")
        .expect("valid");
        assert_eq!((ra.valid, ra.preferred, ra.own_dns), (90, 90, false));
        assert_eq!((ra.said.min_interval, ra.said.max_interval, ra.said.router_lifetime()), (3, 4, 0));
        assert_eq!(ra.said.routes[0].preference, Preference::High);
        assert_eq!(ra.said.search, ["lab.example"]);
        assert_eq!(ra.said.resolvers[0].parameters, *b"\0\x01\0\x08\x03dot\x03doq\0\x03\0\x02\x03\x55");
        assert!(ra.said.resolvers[1].addresses.is_empty());
    }

    #[test]
    fn what_the_rfc_forbids_is_a_problem_at_its_place() {
        for (keys, problem) in [
            ("max_interval = 3", "`max_interval` must be a number from 4 to 1800, not 3"),
            ("min_interval = 500", "`min_interval` must be a number from 3 to 450, not 500"),
            ("lifetime = 100", "`lifetime` is 100 s; 0, or 600 (`max_interval`) to 9000 s are possible"),
            ("nat64 = \"64:ff9b::/95\"", "its length must be 32, 40, 48, 56, 64 or 96"),
            ("captive_portal = \"http://x\"", "`captive_portal` must be a URL such as"),
            ("resolvers = [\"dns.example\"]", "`resolvers` must be a resolver such as"),
            ("routes = [\"2001:db8:2::1/48\"]", "`routes` must be an IPv6 prefix"),
        ] {
            let found = ra(keys).expect_err(keys);
            assert!(found.contains(problem), "{found}");
        }
        let text = "[[network]]\nname = \"a\"\n[network.ra]\nenabled = true\n";
        let found = parse(Path::new("t.toml"), text).expect_err("no interface").to_string();
        assert!(found.contains("router advertisements need an interface"), "{found}");
    }
}

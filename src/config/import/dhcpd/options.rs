//! Options of dhcpd: definitions, spaces, values, and the plain statements of every level.

use super::super::model::{Definition, Family, Opt};
use super::super::registry::{self, Kind};
use super::tree::{Statement, Tok};
use super::values::wire;
use super::{At, Dhcpd, Level};

/// Option 55.
const PARAMETER_REQUEST_LIST: u16 = 55;

/// An option that the site defined.
#[derive(Debug, Clone)]
pub struct Own {
    pub space: String,
    pub name: String,
    pub code: u16,
    /// More than one for a record.
    pub kinds: Vec<Kind>,
    pub array: bool,
    pub encapsulates: Option<String>,
}

/// What a value looks like.
pub struct Meaning {
    pub family: Family,
    /// Empty for the options of the protocol itself.
    pub space: String,
    pub code: u16,
    /// More than one for a record.
    pub kinds: Vec<Kind>,
    pub array: bool,
    /// It carries another space.
    pub carries: bool,
}

fn kind(words: &[Tok]) -> Option<Kind> {
    let words: Vec<&str> = words.iter().filter_map(Tok::word).collect();
    Some(match words[..] {
        ["ip-address"] => Kind::Ip4,
        ["ip6-address"] => Kind::Ip6,
        ["text"] => Kind::Text,
        ["string"] => Kind::Bytes,
        ["boolean" | "flag"] => Kind::Bool,
        ["integer", width] | ["unsigned", "integer", width] => match width {
            "8" => Kind::U8,
            "16" => Kind::U16,
            "32" => Kind::U32,
            _ => return None,
        },
        ["signed", "integer", width] => match width {
            "8" => Kind::I8,
            "16" => Kind::I16,
            "32" => Kind::I32,
            _ => return None,
        },
        ["domain-name"] => Kind::Fqdn,
        ["domain-list", "compressed"] => Kind::Fqdns,
        ["domain-list"] => Kind::FqdnRow,
        _ => return None,
    })
}

/// `array of X`, `{ X, Y }`, `encapsulate SPACE`, or one type.
fn form(words: &[Tok]) -> Option<(Vec<Kind>, bool, Option<String>)> {
    let is = |at: usize, word: &str| words.get(at).and_then(Tok::word) == Some(word);
    if is(0, "encapsulate") {
        return Some((vec![Kind::Bytes], false, words.get(1)?.name()));
    }
    if is(0, "array") && is(1, "of") {
        let (kinds, _, _) = form(&words[2..])?;
        return Some((kinds, true, None));
    }
    if words.first() == Some(&Tok::Sign('{')) {
        let inner = words.get(1..words.len().checked_sub(1)?)?;
        let kinds: Option<Vec<Kind>> = inner.split(|tok| *tok == Tok::Sign(',')).map(kind).collect();
        return Some((kinds?, false, None));
    }
    Some((vec![kind(words)?], false, None))
}

fn our_type(kinds: &[Kind]) -> Option<&'static str> {
    Some(match kinds {
        [Kind::Ip4] => "ip4",
        [Kind::U8] => "u8",
        [Kind::U16] => "u16",
        [Kind::U32] => "u32",
        [Kind::Text] => "text",
        [Kind::Bool] => "bool",
        [Kind::Fqdn] => "fqdn",
        [Kind::Bytes] => "bytes",
        _ => return None,
    })
}

impl Dhcpd<'_> {
    /// `option space X` and `option X code N = TYPE`, wherever they stand.
    pub fn definitions(&mut self, tree: &[Statement]) {
        for statement in tree {
            if statement.word(0) == "option" && statement.word(1) == "space" {
                self.spaces.push(statement.word(2).to_owned());
                self.report.adapted(
                    &statement.place,
                    statement.shown(),
                    "its options become part of the option that carries them",
                );
            } else if statement.word(0) == "option" && statement.word(2) == "code" {
                self.definition(statement);
            } else if statement.word(0) == "vendor-option-space" {
                self.vendor.push(statement.word(1).to_owned());
            }
            self.definitions(statement.body());
        }
    }

    fn definition(&mut self, statement: &Statement) {
        let what = statement.shown();
        let full = statement.word(1).to_owned();
        let code = statement.word(3).parse::<u16>().ok();
        let words = statement.head.get(5..).unwrap_or_default();
        let (Some(code), Some((kinds, array, encapsulates))) = (code, form(words)) else {
            let why = "its type is not known here";
            self.report.refused(
                &statement.place,
                what,
                why,
                "set the option by its number, with its value in hexadecimal after 0x",
            );
            return;
        };
        let (space, name) =
            full.split_once('.').map_or((String::new(), full.clone()), |(s, n)| (s.to_owned(), n.to_owned()));
        let plain = space.is_empty() && encapsulates.is_none() && registry::by_code(self.family, code).is_none();
        match our_type(&kinds).filter(|_| plain) {
            Some(kind) => {
                let (family, place) = (self.family, statement.place.clone());
                self.model.definitions.push(Definition { family, code, name: name.clone(), kind, list: array, place });
                self.report.imported(&statement.place, what);
            }
            None if space.is_empty() && encapsulates.is_none() => self.report.imported(&statement.place, what),
            None => {
                self.report.adapted(&statement.place, what, "its values become part of the option that carries them")
            }
        }
        self.own.push(Own { space, name, code, kinds, array, encapsulates });
    }

    /// Code, and sub-option if it has one, of an option that a condition asks for.
    pub fn code_of(&self, name: &str) -> Option<(u16, Option<u16>)> {
        if let Some(sub) = name.strip_prefix("agent.") {
            let code = match sub {
                "circuit-id" => 1,
                "remote-id" => 2,
                "DOCSIS-device-class" => 4,
                "link-selection" => 5,
                "subscriber-id" => 6,
                "relay-id" => 12,
                _ => return None,
            };
            return Some((82, Some(code)));
        }
        let name = name.strip_prefix("dhcp.").or_else(|| name.strip_prefix("dhcp6.")).unwrap_or(name);
        let own = self.own.iter().rev().find(|own| own.space.is_empty() && own.name == name);
        own.map(|own| (own.code, None)).or_else(|| {
            let known = registry::by_name(self.family, name, |k| k.dhcpd);
            known.map(|known| (known.code, None))
        })
    }

    fn meaning(&self, full: &str) -> Option<Meaning> {
        let (family, full) = match full.split_once('.') {
            Some(("dhcp6", name)) => (Family::V6, name),
            Some(("dhcp", name)) => (Family::V4, name),
            _ => (self.family, full),
        };
        let (space, name) = full.split_once('.').unwrap_or(("", full));
        if let Some(own) = self.own.iter().rev().find(|own| own.space == space && own.name == name) {
            return Some(Meaning {
                family,
                space: space.to_owned(),
                code: own.code,
                kinds: own.kinds.clone(),
                array: own.array,
                carries: own.encapsulates.is_some(),
            });
        }
        // `unknown-N` and `option-N` name a number
        let number =
            name.strip_prefix("unknown-").or_else(|| name.strip_prefix("option-")).and_then(|n| n.parse().ok());
        let known = registry::by_name(family, name, |k| k.dhcpd).or_else(|| registry::by_code(family, number?));
        match known.filter(|_| space.is_empty()) {
            Some(known) => Some(Meaning {
                family,
                space: String::new(),
                code: known.code,
                kinds: vec![known.kind],
                array: known.list,
                carries: false,
            }),
            None => Some(Meaning {
                family,
                space: space.to_owned(),
                code: number?,
                kinds: vec![Kind::Bytes],
                array: false,
                carries: false,
            }),
        }
    }

    /// `option NAME VALUE;`
    pub fn option(&mut self, statement: &Statement, level: &mut Level) {
        if statement.word(1) == "space" || statement.word(2) == "code" {
            return;
        }
        let name = statement.word(1).to_owned();
        let (what, place) = (statement.shown(), statement.place.clone());
        let Some(meaning) = self.meaning(&name) else {
            let why = format!("there is no option `{name}`");
            self.report.refused(&place, what, why, "set it by its number, with its value in hexadecimal after 0x");
            return;
        };
        let words = statement.head.get(2..).unwrap_or_default();
        if (meaning.family, meaning.code) == (Family::V4, PARAMETER_REQUEST_LIST) && meaning.space.is_empty() {
            return self.parameters(statement, words);
        }
        match wire(&meaning, words) {
            Ok(wire) if meaning.space.is_empty() => {
                self.report.imported(&place, what);
                level.scope.set(Opt::new(meaning.family, meaning.code, wire, &place));
            }
            Ok(wire) => {
                let space = meaning.space;
                self.report.imported(&place, what);
                level.inner.retain(|(s, code, _, _)| !(*s == space && *code == meaning.code));
                level.inner.push((space, meaning.code, wire, place));
            }
            Err(why) if meaning.carries => self.report.adapted(&place, what, why),
            Err(why) => {
                self.report.refused(&place, what, why, "set it by its number, with its value in hexadecimal after 0x");
            }
        }
    }

    /// A list of what clients are said to ask for: what is in it is sent unasked. Within `concat` octets are
    /// hexadecimal.
    fn parameters(&mut self, statement: &Statement, words: &[Tok]) {
        let computed = words.first() == Some(&Tok::Sign('='));
        let radix = if computed { 16 } else { 10 };
        let octets = words.iter().filter_map(Tok::word).flat_map(|word| word.split(':'));
        let codes: Vec<u16> = octets.filter_map(|octet| u16::from_str_radix(octet, radix).ok()).collect();
        let (place, what) = (&statement.place, statement.shown());
        if codes.is_empty() {
            return self.report.refused(place, what, "it names no option", "see always_send of [[option]]");
        }
        let why = "what is in the list is sent to all clients that there is a value for";
        self.report.adapted(place, what, why);
        self.model.forced.extend(codes.into_iter().map(|code| (code, place.clone())));
    }

    /// Options of other spaces become the value of the option that carries them.
    pub fn carry(&mut self, level: &mut Level) {
        let mut spaces: Vec<String> = level.inner.iter().map(|(space, ..)| space.clone()).collect();
        spaces.dedup();
        for space in spaces {
            let carrier = self.own.iter().find(|own| own.encapsulates.as_deref() == Some(&space)).map(|own| own.code);
            let vendor = (level.vendor.as_deref() == Some(&space) || carrier.is_none() && self.vendor_space(&space))
                .then_some(43);
            let inner: Vec<_> = level.inner.iter().filter(|(s, ..)| *s == space).cloned().collect();
            let Some((_, _, _, place)) = inner.first().cloned() else { continue };
            let Some(code) = carrier.or(vendor) else {
                let todo = "set option 43 for the clients that need it";
                self.report.refused(&place, format!("options of the space {space}"), "no option carries them", todo);
                continue;
            };
            let mut wire = Vec::new();
            for (_, code, bytes, _) in &inner {
                let length = bytes.len().min(255);
                wire.push(*code as u8);
                wire.push(length as u8);
                wire.extend(&bytes[..length]);
            }
            level.scope.set(Opt::new(Family::V4, code, wire, &place));
        }
        level.inner.clear();
    }

    /// True if some level sends that space as vendor options.
    fn vendor_space(&self, space: &str) -> bool {
        self.vendor.iter().any(|known| known == space)
    }

    /// One plain statement of a level.
    pub fn setting(&mut self, statement: &Statement, level: &mut Level, at: At) {
        let place = &statement.place;
        let what = statement.shown();
        let number = || statement.word(1).parse::<u32>().ok();
        let times = match self.family {
            Family::V4 => &mut level.scope.times,
            Family::V6 => &mut level.scope.times6,
        };
        match statement.word(0) {
            "option" | "supersede" | "send" => return self.option(statement, level),
            "default-lease-time" => times.default = number(),
            "min-lease-time" => times.min = number(),
            "max-lease-time" => times.max = number(),
            "preferred-lifetime" => times.preferred = number(),
            "filename" => level.scope.boot_file = statement.name(1),
            "server-name" => level.scope.server_name = statement.name(1),
            "next-server" => match statement.word(1).parse() {
                Ok(ip) => level.scope.next_server = Some(ip),
                Err(_) => {
                    self.report.refused(place, what, "names are not looked up", "write the address of the TFTP server");
                    return;
                }
            },
            "vendor-option-space" => level.vendor = Some(statement.word(1).to_owned()),
            "authoritative" => level.scope.authoritative = Some(true),
            "not" if statement.word(1) == "authoritative" => level.scope.authoritative = Some(false),
            "allow" | "deny" | "ignore" => return self.permission(statement, level, at),
            _ => return self.elsewhere(statement, at),
        }
        self.report.imported(place, what);
    }

    /// Statements that belong to one kind of level, which reads them itself, and those with no use here.
    fn elsewhere(&mut self, statement: &Statement, at: At) {
        let what = statement.shown();
        let place = &statement.place;
        let read = match at {
            At::Host => {
                matches!(
                    statement.word(0),
                    "hardware" | "fixed-address" | "fixed-address6" | "fixed-prefix6" | "host-identifier"
                )
            }
            At::Pool | At::Subnet => {
                matches!(statement.word(0), "range" | "range6" | "prefix6" | "failover" | "interface")
            }
            At::Class => matches!(statement.word(0), "match" | "lease" | "spawn" | "subclass"),
            At::Shared => statement.word(0) == "interface",
            At::Top | At::Group => statement.word(0) == "subclass",
        };
        if read {
            return;
        }
        match needless(statement.word(0)) {
            Some(why) => self.report.adapted(place, what, why),
            None => self.refused_setting(statement),
        }
    }

    fn refused_setting(&mut self, statement: &Statement) {
        let (what, place) = (statement.shown(), &statement.place);
        match statement.word(0) {
            "get-lease-hostnames" => {
                self.report.refused(place, what, "names of addresses are not looked up", "reserve the names")
            }
            "use-host-decl-names" if statement.word(1) == "off" => self.report.imported(place, what),
            "use-host-decl-names" => {
                self.report.adapted(place, what, "reservations have the names of their hosts anyway")
            }
            "always-broadcast" | "dynamic-bootp-lease-length" | "dynamic-bootp-lease-cutoff" => {
                self.report.refused(place, what, "it cannot be said here", "see whether your clients need it");
            }
            "site-option-space" => self.report.adapted(place, what, "options above 127 are in one space"),
            "log" | "set" | "unset" | "eval" | "execute" => {
                self.report.refused(
                    place,
                    what,
                    "programs and variables are not known here",
                    "follow the events of the CLAWS bus",
                );
            }
            _ => self.unknown(statement),
        }
    }
}

/// Why a statement is not needed, if it is not.
fn needless(word: &str) -> Option<&'static str> {
    let log = "lanlord logs to the journal";
    let names = "names of leases are in lanlord's DNS at once";
    Some(match word {
        "log-facility" | "log-threshold-low" | "log-threshold-high" => log,
        "ddns-update-style"
        | "ddns-updates"
        | "ddns-hostname"
        | "ddns-domainname"
        | "ddns-rev-domainname"
        | "ddns-ttl"
        | "update-static-leases"
        | "update-optimization"
        | "update-conflict-detection"
        | "do-forward-updates"
        | "do-reverse-updates"
        | "fqdn-reply"
        | "ddns-guard-id-must-match"
        | "ddns-other-guard-is-dynamic" => names,
        "lease-file-name"
        | "pid-file-name"
        | "dhcpv6-lease-file-name"
        | "dhcpv6-pid-file-name"
        | "delayed-ack"
        | "max-ack-delay"
        | "lease-id-format"
        | "db-time-format" => "leases are kept in lanlord's own state folder",
        "local-port" | "local-address" | "remote-port" => "see dhcp4.port",
        "omapi-port" | "omapi-key" => "lanlord has its own API",
        "one-lease-per-client" => "a client has one lease in a network",
        "ping-check" | "ping-timeout" | "ping-cltt-secs" => "addresses new to a client are probed",
        "stash-agent-options" => "option 82 is kept with each lease",
        "server-identifier" => "the address that a client reaches is told to it",
        "adaptive-lease-time-threshold" | "min-secs" | "dhcp-cache-threshold" => "see dhcp4.cache_fraction",
        "abandon-lease-time" => "see dhcp4.quarantine",
        "infinite-is-reserved" | "use-lease-addr-for-default-route" | "server-duid" | "echo-client-id" => {
            "lanlord does this its own way"
        }
        "prefix-length-mode" => "a prefix length that a client wishes is honoured within bounds",
        "boot-unknown-clients" => "see the guards of pools",
        _ => return None,
    })
}

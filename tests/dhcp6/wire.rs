//! Messages from words, and replies against words.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddrV6};

use lanlord::domain::dhcp::v6::wire::encode::Leased;
use lanlord::domain::dhcp::v6::wire::{IaReply, Item, Kind, Packet, Reply, code, encode};

use super::SERVER;
use super::words::{Step, Words, bytes, hex};

pub fn show(value: &[u8]) -> String {
    value.iter().fold("0x".to_owned(), |out, b| out + &format!("{b:02x}"))
}

pub fn equal(what: &str, want: String, have: String) -> Step {
    if want == have { Ok(()) } else { Err(format!("{what}: wanted {want}, got {have}")) }
}

/// A RELAY-REPL as the RELAY-FORW that it mirrors, so that the walker of requests reads it.
pub fn as_request(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while out.get(at) == Some(&13) {
        out[at] = 12;
        at += 34;
        while let Some(head) = out.get(at..at + 4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            at += 4;
            if head[..2] == [0, 9] {
                break;
            }
            at += length;
        }
    }
    out
}

pub fn kind(bytes: &[u8]) -> String {
    let bytes = as_request(bytes);
    Packet::walk(&bytes).map_or("nothing".to_owned(), |packet| packet.message.kind.name().to_owned())
}

/// `IAID`, or `IAID[ADDRESS@PREFERRED/VALID,PREFIX/LENGTH]`.
fn ia(code: u16, text: &str) -> Item<'static> {
    let (iaid, rest) = text.split_once('[').unwrap_or((text, ""));
    let leased = rest.trim_end_matches(']').split(',').filter(|part| !part.is_empty()).map(|part| {
        let (what, times) = part.split_once('@').unwrap_or((part, "0/0"));
        let (ip, length) = what.split_once('/').unwrap_or((what, "128"));
        let (preferred, valid) = times.split_once('/').expect("PREFERRED/VALID");
        Leased {
            ip: ip.parse().unwrap_or_else(|_| panic!("`{ip}` is no address")),
            length: length.parse().unwrap(),
            preferred: preferred.parse().unwrap(),
            valid: valid.parse().unwrap(),
            exclude: None,
        }
    });
    Item::Ia(IaReply {
        code,
        iaid: iaid.parse().expect("an IAID"),
        t1: 0,
        t2: 0,
        leased: leased.collect(),
        status: None,
    })
}

pub fn datagram(words: &Words<'_>, xid: u32) -> Result<Vec<u8>, String> {
    let name = words.0.first().copied().unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or(format!("no such message: {name}"))?;
    let mut items = Vec::new();
    let mut raw = |code: u16, value: Vec<u8>| items.push(Item::Raw(code, value.into()));
    if let Some(duid) = words.value("duid") {
        raw(code::CLIENT_ID, hex(duid));
    }
    let named = matches!(kind, Kind::Request | Kind::Renew | Kind::Release | Kind::Decline);
    match words.value("server") {
        Some("none") => {}
        Some("ours") => raw(code::SERVER_ID, SERVER.to_vec()),
        Some(other) => raw(code::SERVER_ID, hex(other)),
        None if named => raw(code::SERVER_ID, SERVER.to_vec()),
        None => {}
    }
    if let Some(codes) = words.value("oro") {
        let codes = codes.split(',').map(|n| n.parse::<u16>().unwrap().to_be_bytes());
        raw(code::ORO, codes.flatten().collect());
    }
    if words.has("rapid") {
        raw(code::RAPID_COMMIT, Vec::new());
    }
    if let Some(text) = words.value("fqdn") {
        // FLAGS:NAME, partial names too
        let (flags, name) = text.split_once(':').ok_or("fqdn=FLAGS:NAME")?;
        let mut value = vec![flags.parse().map_err(|_| "flags")?];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            value.push(label.len() as u8);
            value.extend(label.as_bytes());
        }
        raw(code::FQDN, value);
    }
    if let Some(text) = words.value("address") {
        let (ip, times) = text.split_once('@').unwrap_or((text, "0/0"));
        let (preferred, valid) = times.split_once('/').ok_or("PREFERRED/VALID")?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| "address")?;
        let times = [preferred, valid].map(|n| n.parse::<u32>().unwrap().to_be_bytes());
        raw(code::IA_ADDRESS, [&ip.octets()[..], &times.concat()].concat());
    }
    for word in &words.0[1..] {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "na" => items.push(ia(code::IA_NA, value)),
            "pd" => items.push(ia(code::IA_PD, value)),
            "ta" => items.push(ia(code::IA_TA, value)),
            _ => items.extend(key.parse::<u16>().ok().map(|code| Item::Raw(code, bytes(value).into()))),
        }
    }
    let mut out = Vec::new();
    encode(&Reply { kind, xid, items }, &[], &mut out);
    let relays: Vec<&str> = words.values("relay").collect();
    Ok(relays.into_iter().rev().fold(out, relayed))
}

/// `LINK;PEER;N=VALUE;..`: what one relay makes of a message.
fn relayed(inner: Vec<u8>, text: &str) -> Vec<u8> {
    let mut parts = text.split(';');
    let address = |part: Option<&str>| part.unwrap_or("::").parse::<Ipv6Addr>().expect("an address").octets();
    let (link, peer) = (address(parts.next()), address(parts.next()));
    let mut out = vec![12, u8::from(inner[0] == 12)];
    out.extend(link);
    out.extend(peer);
    let mut option = |code: u16, value: &[u8]| {
        out.extend(code.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    };
    for (code, value) in parts.filter_map(|part| part.split_once('=')) {
        option(code.parse().expect("a code"), &bytes(value));
    }
    option(code::RELAY_MESSAGE, &inner);
    out
}

pub fn compare(
    packet: &Packet<'_>,
    to: SocketAddrV6,
    key: &str,
    value: &str,
    names: &mut HashMap<String, String>,
) -> Step {
    let message = &packet.message;
    let have = match key {
        "na" => return associations(packet, code::IA_NA, value, names),
        "pd" => return associations(packet, code::IA_PD, value, names),
        "ta" => return associations(packet, code::IA_TA, value, names),
        // the number of all associations
        "ias" => message.ias().count().to_string(),
        "status" => status(message.options.find(code::STATUS)),
        "t" => {
            let (iaid, _) = value.split_once(':').ok_or("IAID:T1/T2")?;
            let number: u32 = iaid.parse().map_err(|_| "IAID")?;
            let found = message
                .options
                .filter(|(code, v)| matches!(*code, code::IA_NA | code::IA_PD) && v[..4] == number.to_be_bytes());
            let times = |v: &[u8]| [4, 8].map(|at| u32::from_be_bytes(v[at..at + 4].try_into().unwrap()));
            let [t1, t2] = { found }.next().map(|(_, v)| times(v)).ok_or("no such IA")?;
            format!("{iaid}:{t1}/{t2}")
        }
        "to" => to.to_string().replace("%2", ""),
        "codes" => message.options.map(|(code, _)| code.to_string()).collect::<Vec<_>>().join(","),
        "hops" => packet.relays.iter().map(|r| r.hops.to_string()).collect::<Vec<_>>().join(","),
        "links" => packet.relays.iter().map(|r| r.link.to_string()).collect::<Vec<_>>().join(","),
        "peers" => packet.relays.iter().map(|r| r.peer.to_string()).collect::<Vec<_>>().join(","),
        "relay-codes" => {
            let codes =
                packet.relays.iter().map(|r| r.options.map(|(c, _)| c.to_string()).collect::<Vec<_>>().join(","));
            codes.collect::<Vec<_>>().join(";")
        }
        "writes" => return Ok(()),
        "no" => {
            let there: Vec<&str> =
                value.split(',').filter(|c| message.options.find(c.parse().unwrap()).is_some()).collect();
            return if there.is_empty() { Ok(()) } else { Err(format!("has {there:?}")) };
        }
        code => {
            let code: u16 = code.parse().map_err(|_| format!("no such field: {code}"))?;
            let have = message.options.find(code).ok_or(format!("no option {code}"))?;
            return equal(&format!("option {code}"), show(&self::value(value)), show(have));
        }
    };
    equal(key, value.to_owned(), have)
}

/// `ours`, addresses separated by commas, or as `bytes`.
fn value(text: &str) -> Vec<u8> {
    if text == "ours" {
        return SERVER.to_vec();
    }
    let addresses: Result<Vec<Ipv6Addr>, _> = text.split(',').map(str::parse).collect();
    addresses.map_or_else(|_| bytes(text), |list| list.iter().flat_map(|ip: &Ipv6Addr| ip.octets()).collect())
}

fn status(value: Option<&[u8]>) -> String {
    value.map_or("none".to_owned(), |value| u16::from_be_bytes([value[0], value[1]]).to_string())
}

/// `IAID[..]` with `!STATUS` if there is one; `$NAME` stands for an address or a prefix and is learnt here.
fn associations(packet: &Packet<'_>, code: u16, wanted: &str, names: &mut HashMap<String, String>) -> Step {
    let (iaid, rest) = wanted.split_once('[').ok_or("IAID[..]")?;
    let number: u32 = iaid.parse().map_err(|_| "IAID")?;
    let mut found = packet.message.ias().filter(|ia| (ia.code, ia.iaid) == (code, number));
    let found = found.next().ok_or_else(|| format!("no IA {iaid}"))?;
    let (items, fate) = rest.split_once(']').ok_or("no closing bracket")?;
    let have: Vec<_> = found.items().collect();
    let want: Vec<&str> = items.split(',').filter(|part| !part.is_empty()).collect();
    equal("items", want.len().to_string(), have.len().to_string())?;
    for (want, have) in want.into_iter().zip(have) {
        let (what, times) = want.split_once('@').map_or((want, None), |(what, times)| (what, Some(times)));
        let is = if have.length == 128 { have.ip.to_string() } else { format!("{}/{}", have.ip, have.length) };
        let what = if what.starts_with('$') {
            names.entry(what.to_owned()).or_insert(is.clone()).clone()
        } else {
            what.to_owned()
        };
        equal("item", what, is)?;
        if let Some(times) = times {
            equal("lifetimes", times.to_owned(), format!("{}/{}", have.preferred, have.valid))?;
        }
    }
    let have = found.options.find(code::STATUS).map_or(String::new(), |value| format!("!{}", status(Some(value))));
    equal("status", fate.to_owned(), have)
}

//! DHCPv6 clients on the link or behind a relay: what both servers are asked, and what is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use ipnet::Ipv6Net;
use lanlord::config;
use lanlord::config::import::Format;
use lanlord::domain::hex;

use super::example::{Client6, Example};
use super::space::{Lab, now};

const SOLICIT: u8 = 1;
const REQUEST: u8 = 3;
const REPLY: u8 = 7;
const INFORMATION_REQUEST: u8 = 11;
const RELAY_FORW: u8 = 12;
const IA_NA: u16 = 3;
const IA_PD: u16 = 25;
const RELAY_MSG: u16 = 9;
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const TRIES: usize = 8;
const AGAIN: Duration = Duration::from_millis(1500);

/// One answer: what is in its identity associations, and its other options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Address or prefix with its preferred and valid lifetime.
    held: Vec<(String, u32, u32)>,
    /// Status codes, at the top and within.
    status: Vec<u16>,
    options: BTreeMap<u16, Vec<u8>>,
}

/// The answers to SOLICIT, REQUEST and INFORMATION-REQUEST.
pub type Answers = Vec<(&'static str, Option<Answer>)>;

type Options = Vec<(u16, Vec<u8>)>;

fn put(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

fn read(mut bytes: &[u8]) -> Options {
    let mut out = Vec::new();
    while let [a, b, c, d, rest @ ..] = bytes {
        let Some((value, after)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*c, *d]))) else { break };
        out.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
        bytes = after;
    }
    out
}

/// Has all clients ask, in their order.
pub fn ask_all(lab: &Lab, example: &Example) -> Vec<Answers> {
    if example.clients6.is_empty() {
        return Vec::new();
    }
    let index = lab.inside("c1", || nix::net::if_::if_nametoindex("eth0").expect("eth0"));
    let open = |port: u16| {
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        lab.inside("c1", || UdpSocket::bind(any).expect("a socket"))
    };
    let (client_port, relay_port) = (open(546), open(547));
    let to = SocketAddrV6::new(SERVERS, 547, 0, index);
    let mut out = Vec::new();
    let mut xid = 0x10;
    for client in &example.clients6 {
        let socket = if client.relay.is_some() { &relay_port } else { &client_port };
        let mut ask = |kind: u8, server: Option<&[u8]>, parts: &Options| {
            xid += 1;
            let message = message(client, kind, xid, server, parts);
            exchange(socket, to, client, &message, xid)
        };
        let associations = associations(client);
        let mut answers = Vec::new();
        let advertised = ask(SOLICIT, None, &associations);
        let server = advertised.as_ref().and_then(|options| value(options, 2));
        answers.push(("SOLICIT", advertised.as_ref().map(|options| answer(example, options))));
        if let (Some(options), Some(server)) = (&advertised, server) {
            let wanted: Options = options.iter().filter(|(code, _)| [IA_NA, IA_PD].contains(code)).cloned().collect();
            let reply = ask(REQUEST, Some(&server), &wanted);
            answers.push(("REQUEST", reply.map(|options| answer(example, &options))));
            let told = ask(INFORMATION_REQUEST, None, &Vec::new());
            answers.push(("INFORMATION-REQUEST", told.map(|options| answer(example, &options))));
        }
        out.push(answers);
    }
    out
}

fn value(options: &Options, code: u16) -> Option<Vec<u8>> {
    options.iter().find(|(c, _)| *c == code).map(|(_, value)| value.clone())
}

fn associations(client: &Client6) -> Options {
    let mut body = 1u32.to_be_bytes().to_vec();
    body.extend([0; 8]);
    let na = client.address.then(|| (IA_NA, body.clone()));
    let pd = client.prefix.then(|| (IA_PD, body.clone()));
    na.into_iter().chain(pd).collect()
}

fn message(client: &Client6, kind: u8, xid: u32, server: Option<&[u8]>, parts: &Options) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(&xid.to_be_bytes()[1..]);
    put(&mut out, 1, &client.duid);
    server.iter().for_each(|server| put(&mut out, 2, server));
    put(&mut out, 8, &[0, 0]);
    let asked: Vec<u8> = client.ask.iter().flat_map(|code| code.to_be_bytes()).collect();
    put(&mut out, 6, &asked);
    parts.iter().for_each(|(code, value)| put(&mut out, *code, value));
    let Some(link) = client.relay else { return out };
    let mut outer = vec![RELAY_FORW, 0];
    outer.extend(link.octets());
    outer.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99).octets());
    put(&mut outer, RELAY_MSG, &out);
    if let Some(id) = &client.interface_id {
        put(&mut outer, 18, id);
    }
    outer
}

/// Sends until an answer to `xid` comes; its options.
fn exchange(socket: &UdpSocket, to: SocketAddrV6, client: &Client6, message: &[u8], xid: u32) -> Option<Options> {
    let mut buffer = [0; 4096];
    for _ in 0..TRIES {
        socket.send_to(message, to).expect("sent");
        let end = now() + AGAIN;
        while let Some(left) = end.checked_duration_since(now()) {
            socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
            let Ok(n) = socket.recv(&mut buffer) else { break };
            let outer = buffer[..n].to_vec();
            let inner = match client.relay {
                Some(_) => outer.get(34..).and_then(|options| value(&read(options), RELAY_MSG)),
                None => Some(outer),
            };
            if let Some([kind @ (2 | REPLY), a, b, c, options @ ..]) = inner.as_deref()
                && u32::from_be_bytes([0, *a, *b, *c]) == xid
            {
                assert!(*kind == 2 || *kind == REPLY);
                return Some(read(options));
            }
        }
    }
    None
}

fn answer(example: &Example, options: &Options) -> Answer {
    let mut out = Answer::default();
    let word =
        |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let status = |value: &[u8]| value.first_chunk::<2>().map_or(0, |code| u16::from_be_bytes(*code));
    for (code, value) in options {
        match *code {
            // who we are, who they are, and a success that may be said or not
            1 | 2 => {}
            13 => out.status.extend(Some(status(value)).filter(|code| *code != 0)),
            IA_NA | IA_PD => {
                for (code, inner) in read(value.get(12..).unwrap_or_default()) {
                    match code {
                        5 if inner.len() >= 24 => {
                            let ip = inner.first_chunk::<16>().map(|o| Ipv6Addr::from(*o)).expect("an address");
                            out.held.push((place(example, ip), word(&inner, 16), word(&inner, 20)));
                        }
                        26 if inner.len() >= 25 => {
                            let ip: [u8; 16] = inner[9..25].try_into().expect("a prefix");
                            let net = Ipv6Net::new(ip.into(), inner[8]).expect("a length");
                            out.held.push((block(example, net), word(&inner, 0), word(&inner, 4)));
                        }
                        13 => out.status.extend(Some(status(&inner)).filter(|code| *code != 0)),
                        _ => {}
                    }
                }
            }
            code => {
                out.options.insert(code, value.clone());
            }
        }
    }
    out
}

fn expected(example: &Example) -> config::Config {
    let path = example.folder.join("expected.toml");
    let toml = std::fs::read_to_string(&path).expect("what it becomes");
    config::parse(&path, &toml).expect("a configuration")
}

/// An address of a pool stands for all of it, unless it is reserved.
fn place(example: &Example, ip: Ipv6Addr) -> String {
    let config = expected(example);
    let reserved = config.policy.reservations.iter().any(|r| r.ip == Some(IpAddr::V6(ip)) || r.ip6.contains(&ip));
    let pools = config.policy.networks.iter().flat_map(|n| &n.subnets6).flat_map(|s| &s.pools);
    let pool = pools.map(|pool| pool.range.clone()).find(|range| range.contains(&ip));
    match pool.filter(|_| !reserved) {
        Some(range) => format!("{}-{}", range.start(), range.end()),
        None => ip.to_string(),
    }
}

/// A delegated prefix of a block stands for all of it, unless it is reserved.
fn block(example: &Example, net: Ipv6Net) -> String {
    let config = expected(example);
    let reserved = config.policy.reservations.iter().any(|r| r.prefix6.contains(&net));
    let blocks = config.policy.networks.iter().flat_map(|n| &n.subnets6).flat_map(|s| &s.delegate);
    let whole = blocks.map(|d| d.prefix).find(|prefix| prefix.contains(&net));
    match whole.filter(|_| !reserved) {
        Some(prefix) => format!("a /{} of {prefix}", net.prefix_len()),
        None => net.to_string(),
    }
}

/// Peers, what differs, and why it is ours.
type Fits = fn(code: u16, theirs: Option<&Vec<u8>>, own: Option<&Vec<u8>>) -> bool;

const CHOICES: &[(&[Format], Fits, &str)] = &[
    (
        &[Format::Kea, Format::Dhcpd],
        |code, theirs, own| code == 24 && theirs.is_none() && own.is_some_and(|v| v == b"\x04home\x04arpa\0"),
        "every client is in a domain, home.arpa if none is configured: its name is in our DNS (DH-621)",
    ),
    (
        &[Format::Dnsmasq],
        |code, theirs, own| code == 7 && theirs.is_some_and(|v| v == &[0]) && own.is_none(),
        "a preference of 0 is what its absence means (RFC 9915 §18.2.1)",
    ),
    (
        &[Format::Dnsmasq],
        |code, theirs, own| code == 32 && theirs.is_some() && own.is_none(),
        "when to ask again is said if it is configured: a day is what its absence means (RFC 9915 §21.23)",
    ),
    (
        &[Format::Dnsmasq],
        |code, theirs, own| code == 39 && theirs.is_some() && own.is_none(),
        "option 39 goes to those who sent it (RFC 4704 §6)",
    ),
];

/// What is not the same and no choice of ours, in words.
pub fn differences(example: &Example, theirs: &Answers, own: &Answers) -> Vec<String> {
    let mut out = Vec::new();
    if theirs.len() != own.len() {
        out.push(format!("{} answers of theirs, {} of ours", theirs.len(), own.len()));
    }
    for ((what, theirs), (_, own)) in theirs.iter().zip(own) {
        let (Some(theirs), Some(own)) = (theirs, own) else {
            out.push(format!("{what}: theirs {}, ours {}", theirs.is_some(), own.is_some()));
            continue;
        };
        if (&theirs.held, &theirs.status) != (&own.held, &own.status) {
            out.push(format!(
                "{what}: theirs {:?} {:?}, ours {:?} {:?}",
                theirs.held, theirs.status, own.held, own.status
            ));
        }
        let codes: BTreeSet<u16> = theirs.options.keys().chain(own.options.keys()).copied().collect();
        for code in codes {
            let (theirs, own) = (theirs.options.get(&code), own.options.get(&code));
            let chosen =
                CHOICES.iter().any(|(peers, fits, _)| peers.contains(&example.format) && fits(code, theirs, own));
            if theirs != own && !chosen {
                let shown = |value: Option<&Vec<u8>>| value.map_or("none".to_owned(), |v| hex::write(v));
                out.push(format!("{what}: option {code}: theirs {}, ours {}", shown(theirs), shown(own)));
            }
        }
    }
    out
}

//! DHCPv4 clients on one wire, on the link or behind relays: what both servers are asked, and what is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use lanlord::config;
use lanlord::domain::hex;

use super::choices::{self, Part, Seen};
use super::dhcp::{ACK, DISCOVER, INFORM, Message, OFFER};
use super::example::{Client, Example};
use super::space::{Lab, now};
use super::wire::{BROADCAST, Mac, Packet, Wire};

/// How often a client repeats itself, and after what time.
pub const TRIES: usize = 8;
const AGAIN: Duration = Duration::from_secs(4);
/// The router that relays are behind.
const ROUTER: Mac = [2, 0, 0x5e, 0, 0, 254];
const SERVER: Mac = [2, 0x77, 0, 0, 0, 1];

/// What is compared of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub kind: u8,
    pub yiaddr: Ipv4Addr,
    pub siaddr: Ipv4Addr,
    pub sname: Vec<u8>,
    pub file: Vec<u8>,
    pub flags: u16,
    pub to: (Ipv4Addr, u16),
    pub options: BTreeMap<u8, Vec<u8>>,
}

/// The answers to DISCOVER, REQUEST and INFORM; none to a silent client.
pub type Answers = Vec<(&'static str, Option<Answer>)>;

/// Has all clients ask, in their order; INFORM at most `tries` times.
pub fn ask_all(lab: &Lab, example: &Example, tries: usize) -> Vec<Answers> {
    if example.clients.is_empty() {
        return Vec::new();
    }
    let mut wire = Wire::open(lab, "c1");
    wire.held.insert(example.gateway(), ROUTER);
    wire.held.extend(example.clients.iter().filter_map(|client| Some((client.relay?, ROUTER))));
    let canary = example.clients.iter().find(|client| !client.silent).expect("one that is answered");
    let mut xid = 100;
    let mut out = Vec::new();
    for client in &example.clients {
        xid += 10;
        let discover = message(client, DISCOVER, xid);
        if client.silent {
            send(&mut wire, example, client, &discover);
            // whoever was asked before has answered before
            let later = message(canary, DISCOVER, xid + 1);
            let heard = until(&mut wire, example, canary, &later, OFFER);
            assert!(heard.is_some(), "no answer to {}", canary.name);
            let quiet = answer(&mut wire, xid, now() + Duration::from_millis(300));
            out.push(vec![("DISCOVER", quiet.map(|(_, answer)| answer))]);
            continue;
        }
        let mut answers = Vec::new();
        let offer = until(&mut wire, example, client, &discover, OFFER);
        answers.push(("DISCOVER", offer.as_ref().map(|(_, answer)| answer.clone())));
        if let Some((offer, _)) = offer {
            let request = offer.request(&discover);
            let ack = until(&mut wire, example, client, &request, ACK);
            if let Some((ack, _)) = &ack {
                wire.held.insert(ack.yiaddr, client.mac);
                let mut inform = message(client, INFORM, xid + 2);
                inform.ciaddr = ack.yiaddr;
                answers.push(("INFORM", informed(&mut wire, example, client, canary, &inform, tries)));
            }
            answers.insert(1, ("REQUEST", ack.map(|(_, answer)| answer)));
        }
        out.push(answers);
    }
    out
}

fn message(client: &Client, kind: u8, xid: u32) -> Message {
    let mut message = Message::new(kind, xid, client.mac);
    if !client.options.iter().any(|(code, _)| *code == 55) {
        let written = [0, 50, 51, 52, 53, 54, 55, 56, 57, 61, 82, 255];
        message = message.with(55, (1..=254).filter(|code| !written.contains(code)).collect::<Vec<u8>>());
    }
    message = message.with(57, 1472u16.to_be_bytes());
    for (code, value) in client.options.iter().filter(|(code, _)| *code != 82) {
        message = message.with(*code, value);
    }
    // a relay's option comes last
    for (code, value) in client.options.iter().filter(|(code, _)| *code == 82) {
        message = message.with(*code, value);
    }
    message.giaddr = client.relay.unwrap_or(Ipv4Addr::UNSPECIFIED);
    message.hops = u8::from(client.relay.is_some());
    message
}

fn send(wire: &mut Wire, example: &Example, client: &Client, m: &Message) {
    let packet = match client.relay {
        Some(giaddr) => Packet {
            from_mac: ROUTER,
            to_mac: SERVER,
            from: (giaddr, 67),
            to: (example.server(), 67),
            payload: m.to_bytes(),
        },
        None => Packet {
            from_mac: m.chaddr,
            to_mac: BROADCAST,
            from: (m.ciaddr, 68),
            to: (Ipv4Addr::BROADCAST, 67),
            payload: m.to_bytes(),
        },
    };
    wire.send(&packet);
}

/// An INFORM, and a DISCOVER of a client that is known: once that is answered, so is the INFORM, or never.
fn informed(
    wire: &mut Wire,
    example: &Example,
    client: &Client,
    canary: &Client,
    inform: &Message,
    tries: usize,
) -> Option<Answer> {
    // who answers all of them needs no such witness
    let later = (tries < TRIES).then(|| message(canary, DISCOVER, inform.xid + 1));
    for _ in 0..tries {
        send(wire, example, client, inform);
        later.iter().for_each(|later| send(wire, example, canary, later));
        let (end, mut heard) = (now() + AGAIN, false);
        let mut found = None;
        while !heard && found.is_none() {
            let Some((m, answer)) = any_answer(wire, end) else { break };
            heard = later.as_ref().is_some_and(|later| m.xid == later.xid);
            found = (m.xid == inform.xid).then_some(answer);
        }
        if found.is_some() {
            return found;
        }
    }
    None
}

fn until(wire: &mut Wire, example: &Example, client: &Client, m: &Message, kind: u8) -> Option<(Message, Answer)> {
    for _ in 0..TRIES {
        send(wire, example, client, m);
        if let Some((message, found)) = answer(wire, m.xid, now() + AGAIN)
            && found.kind == kind
        {
            return Some((message, found));
        }
    }
    None
}

fn answer(wire: &mut Wire, xid: u32, end: Instant) -> Option<(Message, Answer)> {
    loop {
        let (m, answer) = any_answer(wire, end)?;
        if m.xid == xid {
            return Some((m, answer));
        }
    }
}

/// The next answer to anybody.
fn any_answer(wire: &mut Wire, end: Instant) -> Option<(Message, Answer)> {
    loop {
        let packet = wire.receive(end)?;
        let Some(m) = Message::parse(&packet.payload).filter(|m| m.op == 2) else { continue };
        let text = |from: usize, to: usize| {
            let field = packet.payload.get(from..to).unwrap_or_default();
            field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
        };
        let found = Answer {
            kind: m.kind(),
            yiaddr: m.yiaddr,
            siaddr: m.siaddr,
            sname: text(44, 108),
            file: text(108, 236),
            flags: m.flags,
            to: packet.to,
            options: m.options.iter().cloned().collect(),
        };
        return Some((m, found));
    }
}

/// Pools and reserved addresses: an address of a pool stands for all of it.
fn place(example: &Example, ip: Ipv4Addr) -> String {
    let toml = std::fs::read_to_string(example.folder.join("expected.toml")).expect("what it becomes");
    let config = config::parse(&example.folder.join("expected.toml"), &toml).expect("a configuration");
    let reserved = config.policy.reservations.iter().any(|r| r.ip == Some(IpAddr::V4(ip)));
    let pools = config.networks.iter().flat_map(|n| &n.subnets).flat_map(|s| &s.pools);
    let pool: Option<RangeInclusive<Ipv4Addr>> = pools.map(|p| p.range.clone()).find(|range| range.contains(&ip));
    match pool.filter(|_| !reserved) {
        Some(range) => format!("{}-{}", range.start(), range.end()),
        None => ip.to_string(),
    }
}

/// What is not the same and no choice of ours, in words. Choices that were needed are noted in `used`.
pub fn differences(
    example: &Example,
    client: &Client,
    theirs: &Answers,
    own: &Answers,
    used: &mut BTreeSet<usize>,
) -> Vec<String> {
    let mut out = Vec::new();
    if theirs.len() != own.len() {
        out.push(format!("{} answers of theirs, {} of ours", theirs.len(), own.len()));
    }
    for ((what, theirs), (_, own)) in theirs.iter().zip(own) {
        let mut seen = Seen { format: example.format, client, what, part: Part::Whole, theirs, own };
        let mut note = |part: Part, theirs: String, own: String| {
            seen.part = part;
            match choices::of(&seen) {
                _ if theirs == own => {}
                Some(choice) => drop(used.insert(choice)),
                None => out.push(format!("{what}: {part:?}: theirs {theirs}, ours {own}")),
            }
        };
        let (Some(theirs), Some(own)) = (theirs, own) else {
            let heard = |answer: &Option<Answer>| if answer.is_some() { "answered" } else { "silent" };
            // who shall be answered is answered by both
            let nobody = if client.silent { "silent" } else { "both silent" };
            let found = (heard(theirs).to_owned(), heard(own).to_owned());
            let theirs = if found.0 == found.1 { nobody.to_owned() } else { found.0 };
            note(Part::Whole, theirs, found.1);
            continue;
        };
        note(Part::Address, place(example, theirs.yiaddr), place(example, own.yiaddr));
        note(Part::NextServer, theirs.siaddr.to_string(), own.siaddr.to_string());
        note(Part::ServerName, show(&theirs.sname), show(&own.sname));
        note(Part::File, show(&theirs.file), show(&own.file));
        note(Part::Flags, theirs.flags.to_string(), own.flags.to_string());
        let codes: BTreeSet<u8> = theirs.options.keys().chain(own.options.keys()).copied().collect();
        for code in codes {
            let shown = |answer: &Answer| answer.options.get(&code).map_or("none".to_owned(), |v| show(v));
            note(Part::Option(code), shown(theirs), shown(own));
        }
    }
    out
}

fn show(value: &[u8]) -> String {
    let mut out = hex::write(value);
    if value.len() > 1 && value.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        let _ = write!(out, " `{}`", String::from_utf8_lossy(value));
    }
    out
}

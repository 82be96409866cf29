//! What the DHCPv4 targets do with their input. Every assertion here is a promise to the rest of the daemon.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lanlord::domain::dhcp::book::Book;
use lanlord::domain::dhcp::policy::{Boot, BootRule, Match, Network, Policy, Pool, Recipe, Setting, Subnet, Value};
use lanlord::domain::dhcp::v4::{Arrival, Facts, Now, Outcome, Request, decide, decide_boot};
use lanlord::domain::dhcp::value::{has_default_route, parse_value, show_value};
use lanlord::domain::dhcp::wire::{Kind, Packet, encode, relay};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::time::{Mono, Wall};

struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

fn network(interface: &str, third: u8) -> Network {
    let ip = |n| Ipv4Addr::new(10, 0, third, n);
    let prefix = ipnet::Ipv4Net::new(ip(0), 24).expect("a prefix");
    let mut subnet = Subnet::new(prefix);
    subnet.pools = vec![Pool::new(ip(10), ip(13))];
    subnet.router = Some(ip(1));
    Network {
        name: interface.to_owned(),
        interface: Some(interface.to_owned()),
        domain: "lan.example".to_owned(),
        subnets: vec![subnet],
        authoritative: third.is_multiple_of(2),
        trusted: true,
        recipes: true,
        ipv6_only: (third == 1).then_some(1800),
        ..Network::default()
    }
}

/// Two links, options of every shape; the first of them beside another server, with a menu; and nothing at all.
fn policies() -> &'static [Arc<Policy>; 3] {
    static POLICIES: OnceLock<[Arc<Policy>; 3]> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let mut policy = Policy::new(vec![network("eth0", 0), network("eth1", 1)]);
        for (code, text) in [(6, "10.0.0.1"), (121, "10.9.0.0/16 via 10.0.0.7"), (119, "a.example, b.example")] {
            policy.options.push(Setting::parse(code, text, code == 119).expect("a value"));
        }
        let recipe = Setting {
            code: 43,
            value: Value::Sub(vec![(2, "http://${server_ip}/".to_owned())]),
            force: true,
            at: None,
        };
        policy.recipes = vec![Recipe {
            when: Match { vendor_class: vec!["A".to_owned()], ..Match::default() },
            settings: vec![recipe],
            boot: Boot { file: Some("${mac_hex}.cfg".to_owned()), ..Boot::default() },
            ..Recipe::default()
        }];
        policy.rules.rapid_commit = true;
        [Arc::new(policy.clone()), Arc::new(beside(policy)), Arc::new(Policy::default())]
    })
}

fn beside(mut policy: Policy) -> Policy {
    policy.networks[0].proxy = true;
    let rule = |n: usize| BootRule {
        boot: Boot { file: (n > 0).then(|| format!("{n}.0")), ..Boot::default() },
        menu: Some("x".repeat(n)),
        ..BootRule::default()
    };
    policy.boot = (0..30).map(rule).collect();
    policy
}

/// The input is a sequence of steps: one octet of circumstances, two of length, that many of a datagram.
pub fn session(mut data: &[u8]) {
    for policy in policies() {
        let mut book = Book::new(policy.clone());
        let mut rest = data;
        let mut tick = 0;
        while let [how, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
            step(policy, &mut book, *how, &after[..length], tick);
            rest = &after[length..];
            tick += 1;
            if tick == 16 {
                break;
            }
        }
    }
    // the whole input as one datagram, too
    data = data.get(..1500).unwrap_or(data);
    if let Ok(packet) = Packet::walk(data) {
        packet.codes().for_each(|code| assert!(packet.option(code).is_some()));
    }
}

fn step(policy: &Arc<Policy>, book: &mut Book, how: u8, datagram: &[u8], tick: u64) {
    let local = Ipv4Addr::new(10, 0, how & 1, 1);
    let arrival = Arrival {
        interface: ["eth0", "eth1", "eth9", "eth0"][usize::from(how & 3)],
        local,
        source: Ipv4Addr::new(10, 0, how & 1, 10 + (how >> 5)),
        source_port: 68,
        destination: if how & 4 == 0 { Ipv4Addr::BROADCAST } else { local },
    };
    let now = Now { wall: Wall(1_700_000_000_000).plus(Duration::from_secs(tick * 100)), mono: Mono(tick * 100_000) };
    let Ok(packet) = Packet::walk(datagram) else { return };
    let Ok(request) = Request::read(packet, arrival) else { return };
    book.sweep(now.mono);
    book.sweep_quarantines(now.wall);
    let facts = Facts { book, names: &PlainNames, sightings: None };
    let asked_what_to_boot = decide_boot(&request, &facts, policy, now);
    assert!(
        asked_what_to_boot.changes.is_empty() && asked_what_to_boot.effects.is_empty(),
        "port 4011 changes nothing"
    );
    if let Outcome::Send(reply, _) = &asked_what_to_boot.outcome {
        check_reply(reply, &request);
        assert!(reply.yiaddr.is_unspecified(), "an address from port 4011");
    }
    let decision = decide(&request, &facts, policy, now);
    let place = request.place(policy).ok();
    if place.is_some_and(|place| policy.networks[place.network].proxy) && request.kind != Kind::LeaseQuery {
        assert!(decision.changes.is_empty() && decision.effects.is_empty(), "a lease beside another server");
    }
    if policy.networks.is_empty() {
        assert!(matches!(decision.outcome, Outcome::Silent(_)), "an answer without a subnet");
        assert!(decision.changes.is_empty(), "a change without a subnet");
    }
    if let Outcome::Send(reply, _) = &decision.outcome {
        check_reply(reply, &request);
        if reply.kind == Kind::Ack && request.kind == Kind::Request && decision.changes.is_empty() {
            let held =
                book.leases().map(|kept| kept.lease()).any(|lease| lease.ip == std::net::IpAddr::V4(reply.yiaddr));
            assert!(held, "an ACK for what is not durable");
        }
    }
    decision.effects.into_iter().for_each(|effect| book.affect(effect, now.mono));
    let ticket = book.begin(&decision.changes);
    if how & 8 == 0 {
        decision.changes.iter().for_each(|change| book.apply(change, now.wall, now));
    }
    book.settle(ticket);
    one_holder_each(book);
}

fn check_reply(reply: &lanlord::domain::dhcp::wire::Reply, request: &Request<'_>) {
    let mut bytes = Vec::new();
    let report = encode(reply, 1500, &mut bytes);
    assert!((300..=1472).contains(&bytes.len()), "{} octets", bytes.len());
    let back = Packet::walk(&bytes).expect("what we write can be read");
    assert_eq!(back.xid(), request.packet.xid());
    assert_eq!(back.option(53).as_deref(), Some(&[reply.kind.number()][..]));
    if !report.relay_info_dropped {
        assert_eq!(back.option(82).as_deref(), request.relay_info.as_deref(), "82 as received");
    }
    for (code, value) in &reply.options {
        if !report.dropped.contains(code) {
            assert_eq!(back.option(*code).as_deref(), Some(value.as_slice()), "option {code}");
        }
    }
}

fn one_holder_each(book: &Book) {
    let mut seen = std::collections::HashSet::new();
    for lease in book.leases().map(|kept| kept.lease()) {
        assert!(seen.insert((lease.network.clone(), lease.ip)), "{} twice", lease.ip);
    }
}

/// The first octet is a code, the rest a text and a value.
pub fn value(data: &[u8]) {
    let Some((code, rest)) = data.split_first() else { return };
    if let Ok(wire) = parse_value(*code, &String::from_utf8_lossy(rest)) {
        let shown = show_value(*code, &wire);
        assert!(shown.bytes().all(|b| !b.is_ascii_control()), "{shown:?} would break a terminal");
    }
    let shown = show_value(*code, rest);
    assert!(shown.bytes().all(|b| !b.is_ascii_control()), "{shown:?} would break a terminal");
    has_default_route(rest);
    let parts = relay::instances(rest);
    assert_eq!(parts.concat(), rest);
    assert!(parts.iter().all(|part| part.len() <= 255));
    relay::pieces(rest).for_each(|piece| assert_eq!(piece.len(), 2 + usize::from(piece[1])));
}

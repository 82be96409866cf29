//! What an exchange of four messages costs in each family, from datagram to datagram: walk, decide, take in the
//! committed lease, encode. No socket, no disk. The goal: DHCPv6 within 1.5 times DHCPv4.
//!
//! `cargo bench --bench dhcp_families`; CLIENTS and ROUNDS from the environment.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::dhcp::book::Book;
use lanlord::domain::dhcp::policy::{Network, Policy, Pool, Pool6, Setting, Setting6, Subnet, Subnet6};
use lanlord::domain::dhcp::v4::{self, Arrival, Facts, Outcome, Request};
use lanlord::domain::dhcp::v6::book::{Book6, Effect6};
use lanlord::domain::dhcp::v6::{self, Arrival6, Facts6, Outcome6, Request6};
use lanlord::domain::dhcp::{v6::wire as wire6, wire};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::time::{Mono, Now, Wall};

struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

const NOW: Now = Now { wall: Wall(1_700_000_000_000), mono: Mono(1_000_000) };

fn policy() -> Arc<Policy> {
    let mut subnet = Subnet::new("10.0.0.0/8".parse().expect("a prefix"));
    subnet.pools = vec![Pool::new(Ipv4Addr::new(10, 1, 0, 0), Ipv4Addr::new(10, 4, 255, 255))];
    let mut subnet6 = Subnet6::new("2001:db8::/64".parse().expect("a prefix"));
    let ip = |n: u128| Ipv6Addr::from(0x2001_0db8_u128 << 96 | n);
    subnet6.pools = vec![Pool6 { range: ip(0x1_0000)..=ip(0x4_ffff), exclude: Vec::new() }];
    let network = Network {
        name: "lan".to_owned(),
        interface: Some("eth0".to_owned()),
        domain: "lan.example".to_owned(),
        subnets: vec![subnet],
        subnets6: vec![subnet6],
        options: vec![Setting::parse(6, "10.0.0.1", false).expect("a value")],
        options6: vec![Setting6::parse(23, "2001:db8::1").expect("a value")],
        ..Network::default()
    };
    Arc::new(Policy::new(vec![network]))
}

fn message4(kind: u8, n: u32, options: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0u8; 240];
    out[..3].copy_from_slice(&[1, 1, 6]);
    out[4..8].copy_from_slice(&n.to_be_bytes());
    out[28] = 2;
    out[30..34].copy_from_slice(&n.to_be_bytes());
    out[236..].copy_from_slice(&wire::COOKIE);
    out.extend([53, 1, kind, 55, 5, 1, 3, 6, 15, 51, 12, 6]);
    out.extend(format!("pc{:04}", n % 10_000).bytes());
    options.iter().for_each(|option| out.extend(*option));
    out.push(255);
    out
}

/// One message in, one out.
fn answer4(policy: &Policy, book: &mut Book, datagram: &[u8], out: &mut Vec<u8>) -> Ipv4Addr {
    let arrival = Arrival {
        interface: "eth0",
        local: Ipv4Addr::new(10, 0, 0, 1),
        source: Ipv4Addr::UNSPECIFIED,
        source_port: 68,
        destination: Ipv4Addr::BROADCAST,
    };
    let packet = wire::Packet::walk(datagram).expect("a message");
    let request = Request::read(packet, arrival).expect("a request");
    let decision = v4::decide(&request, &Facts { book, names: &PlainNames, sightings: None }, policy, NOW);
    decision.effects.into_iter().for_each(|effect| book.affect(effect, NOW.mono));
    let ticket = book.begin(&decision.changes);
    decision.changes.iter().for_each(|change| book.apply(change, NOW.wall, NOW));
    book.settle(ticket);
    let Outcome::Send(reply, _) = decision.outcome else { panic!("{:?}", decision.outcome) };
    out.clear();
    wire::encode(&reply, 1500, out);
    reply.yiaddr
}

fn exchange4(policy: &Policy, book: &mut Book, n: u32, out: &mut Vec<u8>) {
    let ip = answer4(policy, book, &message4(1, n, &[]), out);
    let wanted = [&[50, 4][..], &ip.octets()].concat();
    assert_eq!(answer4(policy, book, &message4(3, n, &[&[54, 4, 10, 0, 0, 1], &wanted]), out), ip);
}

fn message6(kind: u8, n: u32, server: Option<&[u8]>, leased: Option<Ipv6Addr>) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(&n.to_be_bytes()[1..]);
    let mut option = |code: u16, value: &[u8]| {
        out.extend(code.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    };
    option(1, &[&[0, 3, 0, 1, 2, 0][..], &n.to_be_bytes()].concat());
    if let Some(server) = server {
        option(2, server);
    }
    option(6, &[0, 23, 0, 24]);
    option(39, &[&[1, 6][..], format!("pc{:04}", n % 10_000).as_bytes()].concat());
    let mut ia = [&n.to_be_bytes()[..], &[0; 8]].concat();
    if let Some(ip) = leased {
        ia.extend([0, 5, 0, 24]);
        ia.extend(ip.octets());
        ia.extend([0; 8]);
    }
    option(3, &ia);
    out
}

fn answer6(policy: &Policy, books: &mut (Book6, Book), datagram: &[u8], out: &mut Vec<u8>) -> Ipv6Addr {
    let arrival = Arrival6 {
        interface: "eth0",
        index: 2,
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9),
        source_port: 546,
        destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2),
        multicast: true,
    };
    let packet = wire6::Packet::walk(datagram).expect("a message");
    let request = Request6::read(packet, arrival, None);
    let (book, shared) = books;
    let decision = v6::decide(&request, &Facts6 { book, shared, names: &PlainNames }, policy, NOW);
    let v6::Decision6 { outcome, changes, effects } = decision;
    let Outcome6::Send(reply, _) = outcome else { panic!("{outcome:?}") };
    out.clear();
    wire6::encode(&reply, &request.relays, out);
    for effect in effects {
        if let Effect6::Offer { network, client, items, until } = effect {
            book.offer(network, &client, &items, until);
        }
    }
    let ticket = book.begin(&changes);
    changes.iter().for_each(|change| book.apply(change, NOW.wall, NOW));
    book.settle(ticket);
    let packet = wire6::Packet::walk(out).expect("a reply");
    let ia = packet.message.ias().next().expect("an association");
    ia.items().next().expect("an address").ip
}

fn exchange6(policy: &Policy, books: &mut (Book6, Book), n: u32, out: &mut Vec<u8>) {
    let ip = answer6(policy, books, &message6(1, n, None, None), out);
    let server = &policy.rules6.server_id;
    assert_eq!(answer6(policy, books, &message6(3, n, Some(server), Some(ip)), out), ip);
}

#[allow(clippy::disallowed_methods)] // a measurement needs a clock
fn measured(clients: u32, mut one: impl FnMut(u32)) -> Duration {
    let began = std::time::Instant::now();
    (0..clients).for_each(&mut one);
    began.elapsed() / clients
}

#[allow(clippy::disallowed_macros)] // its output is what it is for
fn main() {
    let number = |name: &str, default: u32| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (clients, rounds) = (number("CLIENTS", 50_000), number("ROUNDS", 5));
    let mut out = Vec::with_capacity(1500);
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let policy = policy();
        let mut book = Book::new(policy.clone());
        let v4 = measured(clients, |n| exchange4(&policy, &mut book, n, &mut out));
        let mut books = (Book6::new(policy.clone()), Book::new(policy.clone()));
        let v6 = measured(clients, |n| exchange6(&policy, &mut books, n, &mut out));
        ratios.push(v6.as_secs_f64() / v4.as_secs_f64());
        println!("round {round}: DHCPv4 {v4:?}, DHCPv6 {v6:?} an exchange, {clients} clients");
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("DHCPv6 costs {median:.2} times DHCPv4 (median of {rounds}; the goal is 1.5)");
    assert!(median <= 1.5, "DHCPv6 costs more than 1.5 times DHCPv4");
}

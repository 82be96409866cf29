//! What single steps of DHCPv4 cost, from datagram to datagram, without socket and disk:
//! walking and encoding (DH-113), a full pool against an empty one and a DISCOVER without hope against an
//! OFFER (DH-905), many subnets and reservations against few (DH-311).
//!
//! `cargo bench --bench dhcp_costs`; ROUNDS (5), CLIENTS (30000), SUBNETS (10000) and RESERVATIONS (100000) from
//! the environment. Figures are medians over the rounds; the two sides of a comparison take turns.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::dhcp::book::Book;
use lanlord::domain::dhcp::policy::{Network, Policy, Pool, Setting, Subnet};
use lanlord::domain::dhcp::v4::{self, Arrival, Facts, Outcome, Request};
use lanlord::domain::dhcp::wire::{self, Kind, Reply};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::lease::{Origin, Reservation, ReservationKey};
use lanlord::domain::net::Mac;
use lanlord::domain::time::{Mono, Now, Wall};

struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

const NOW: Now = Now { wall: Wall(1_700_000_000_000), mono: Mono(1_000_000) };
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn network(subnets: Vec<Subnet>) -> Network {
    Network {
        name: "lan".to_owned(),
        domain: "lan.example".to_owned(),
        subnets,
        options: vec![Setting::parse(6, "10.0.0.1", false).expect("a value")],
        ..Network::default()
    }
}

/// One subnet with a pool of 65,536 addresses.
fn wide() -> Arc<Policy> {
    let mut subnet = Subnet::new("10.0.0.0/8".parse().expect("a prefix"));
    subnet.pools = vec![Pool::new(Ipv4Addr::new(10, 1, 0, 0), Ipv4Addr::new(10, 1, 255, 255))];
    Arc::new(Policy::new(vec![network(vec![subnet])]))
}

/// The relay, and the prefix's first address, of one of many subnets.
fn base(n: u32) -> u32 {
    u32::from(Ipv4Addr::new(10, 0, 0, 0)) + n * 256
}

fn many(subnets: u32, reservations: u32) -> Arc<Policy> {
    let subnet = |n: u32| {
        let first = Ipv4Addr::from(base(n));
        let mut subnet = Subnet::new(ipnet::Ipv4Net::new(first, 24).expect("a length"));
        subnet.pools = vec![Pool::new(Ipv4Addr::from(base(n) + 10), Ipv4Addr::from(base(n) + 249))];
        subnet
    };
    let mut policy = Policy::new(vec![network((0..subnets).map(subnet).collect())]);
    policy.reservations = (0..reservations)
        .map(|n| Reservation {
            keys: vec![ReservationKey::Mac(Mac([2, 1, (n >> 24) as u8, (n >> 16) as u8, (n >> 8) as u8, n as u8]))],
            name: Some(format!("fixed-{n}.lan.example")),
            ..Reservation::new(format!("r{n}"), Origin::Config(String::new()))
        })
        .collect();
    Arc::new(policy)
}

/// A message of client `n` through a relay.
fn message(kind: u8, n: u32, relay: Ipv4Addr, options: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0u8; 240];
    out[..4].copy_from_slice(&[1, 1, 6, 1]);
    out[4..8].copy_from_slice(&n.to_be_bytes());
    out[24..28].copy_from_slice(&relay.octets());
    out[28] = 2;
    out[30..34].copy_from_slice(&n.to_be_bytes());
    out[236..].copy_from_slice(&wire::COOKIE);
    out.extend([53, 1, kind, 57, 2, 5, 192, 55, 7, 1, 3, 6, 15, 51, 58, 59, 12, 6]);
    out.extend(format!("pc{:04}", n % 10_000).bytes());
    options.iter().for_each(|option| out.extend(*option));
    out.push(255);
    out
}

struct Server {
    policy: Arc<Policy>,
    book: Book,
    out: Vec<u8>,
}

impl Server {
    fn new(policy: Arc<Policy>) -> Server {
        Server { book: Book::new(policy.clone()), policy, out: Vec::with_capacity(1500) }
    }

    /// One message in, one out, or none.
    fn answer(&mut self, datagram: &[u8]) -> Option<Ipv4Addr> {
        let arrival =
            Arrival { interface: "eth0", local: SERVER, source: SERVER, source_port: 67, destination: SERVER };
        let packet = wire::Packet::walk(datagram).expect("a message");
        let request = Request::read(packet, arrival).expect("a request");
        let facts = Facts { book: &self.book, names: &PlainNames, sightings: None };
        let decision = v4::decide(&request, &facts, &self.policy, NOW);
        decision.effects.into_iter().for_each(|effect| self.book.affect(effect, NOW.mono));
        let ticket = self.book.begin(&decision.changes);
        decision.changes.iter().for_each(|change| self.book.apply(change, NOW.wall, NOW));
        self.book.settle(ticket);
        let Outcome::Send(reply, _) = decision.outcome else { return None };
        wire::encode(&reply, 1500, &mut self.out);
        Some(reply.yiaddr)
    }

    fn request(&mut self, n: u32, relay: Ipv4Addr, ip: Ipv4Addr) {
        let wanted = [&[50, 4][..], &ip.octets()].concat();
        let server = [&[54, 4][..], &SERVER.octets()].concat();
        let granted = self.answer(&message(3, n, relay, &[&server, &wanted]));
        assert_eq!(granted, Some(ip));
    }

    /// Four messages.
    fn exchange(&mut self, n: u32, relay: Ipv4Addr) -> Ipv4Addr {
        let ip = self.answer(&message(1, n, relay, &[])).expect("an offer");
        self.request(n, relay, ip);
        ip
    }
}

#[allow(clippy::disallowed_methods)] // a measurement needs a clock
fn timed(work: impl FnOnce()) -> Duration {
    let began = std::time::Instant::now();
    work();
    began.elapsed()
}

/// Nanoseconds of one of many.
fn each(times: u32, mut one: impl FnMut(u32)) -> f64 {
    let all = timed(|| (0..times).for_each(&mut one));
    all.as_secs_f64() * 1e9 / f64::from(times)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[allow(clippy::disallowed_macros)] // its output is what it is for
fn say(what: &str, value: f64, unit: &str, goal: f64) -> bool {
    let good = value <= goal;
    println!("{} {what}: {value:.3} {unit} (goal: at most {goal})", if good { "ok  " } else { "MISS" });
    good
}

/// DH-113.
fn wire_costs(rounds: u32) -> bool {
    let relay = Ipv4Addr::new(10, 0, 0, 2);
    let discover = message(
        1,
        7,
        relay,
        &[&[61, 7, 1, 2, 0, 0, 0, 0, 7], &[60, 8, b'M', b'S', b'F', b'T', b' ', b'5', b'.', b'0']],
    );
    let option = |code: u8, len: usize| (code, vec![code; len]);
    let lengths = [(54, 4), (51, 4), (58, 4), (59, 4), (1, 4), (3, 4), (6, 8), (15, 11), (28, 4), (42, 4), (12, 6)];
    let offer = Reply {
        kind: Kind::Offer,
        htype: 1,
        hlen: 6,
        xid: 7,
        flags: 0,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::new(10, 1, 0, 9),
        siaddr: SERVER,
        giaddr: relay,
        chaddr: [2; 16],
        sname: Vec::new(),
        file: Vec::new(),
        options: lengths.iter().map(|(code, len)| option(*code, *len)).collect(),
        relay_info: None,
        requested: vec![1, 3, 6, 15, 28, 42, 12, 51, 58, 59],
        max_size: Some(1472),
    };
    let mut out = Vec::with_capacity(1500);
    let (mut walks, mut encodes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        walks.push(each(200_000, |_| {
            std::hint::black_box(wire::Packet::walk(std::hint::black_box(&discover)).expect("a message"));
        }));
        encodes.push(each(200_000, |_| {
            std::hint::black_box(wire::encode(std::hint::black_box(&offer), 1500, &mut out));
        }));
    }
    let walk = say("walk of a DISCOVER", median(walks), "ns", 150.0);
    say("encoding of an OFFER of 12 options", median(encodes), "ns", 400.0) & walk
}

/// DH-905, and a full /16 against an empty one.
fn fill_costs(rounds: u32) -> bool {
    const FEW: u32 = 2_000;
    let relay = Ipv4Addr::new(10, 0, 0, 2);
    let (mut new, mut hopeless) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut server = Server::new(wide());
        let empty = each(FEW, |n| assert!(!server.exchange(n, relay).is_unspecified()));
        for n in FEW..65_536 - FEW {
            server.exchange(n, relay);
        }
        let offer = each(FEW, |n| assert!(server.answer(&message(1, 70_000 + n, relay, &[])).is_some()));
        // those offers stand: the addresses that are left are found among 65,000 that are taken
        let full = each(FEW, |n| assert!(!server.exchange(70_000 + n, relay).is_unspecified()));
        let nothing = each(FEW, |n| assert_eq!(server.answer(&message(1, 90_000 + n, relay, &[])), None));
        new.push(full / empty);
        hopeless.push(nothing / offer);
    }
    let new = say("allocation from a nearly full /16 ÷ from an empty one", median(new), "", 1.1);
    say("DISCOVER without hope ÷ one with an OFFER", median(hopeless), "", 1.0) & new
}

/// DH-311: p99 over exchanges.
fn size_costs(rounds: u32) -> bool {
    let (clients, subnets) = (number("CLIENTS", 30_000), number("SUBNETS", 10_000));
    let reservations = number("RESERVATIONS", 100_000);
    let relay = |n: u32, of: u32| Ipv4Addr::from(base(n % of) + 1);
    let p99 = |policy: &Arc<Policy>, of: u32| {
        let mut server = Server::new(policy.clone());
        let mut times: Vec<f64> = (0..clients)
            .map(|n| timed(|| assert!(!server.exchange(n, relay(n, of)).is_unspecified())).as_secs_f64() * 1e9)
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    };
    // as many subnets as the clients need, and as many as there may be
    let (small, large) = (many(200, 0), many(subnets, reservations));
    let ratios = (0..rounds).map(|_| p99(&large, subnets) / p99(&small, 200)).collect();
    say(
        &format!("p99 with {subnets} subnets and {reservations} reservations ÷ with 200 and none"),
        median(ratios),
        "",
        1.1,
    )
}

fn main() -> std::process::ExitCode {
    let rounds = number("ROUNDS", 5);
    let good = [wire_costs(rounds), fill_costs(rounds), size_costs(rounds)];
    if good.contains(&false) { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
}

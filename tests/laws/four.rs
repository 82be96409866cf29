//! DHCPv4.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::change::Change;
use lanlord::domain::dhcp::book::Book;
use lanlord::domain::dhcp::policy::{LeaseTimes, Network, Policy, Pool, Subnet};
use lanlord::domain::dhcp::v4::{Arrival, Facts, Outcome, Request, decide};
use lanlord::domain::dhcp::wire::{Kind, Packet, code};
use lanlord::domain::lease::{Lease, Origin, Reservation, ReservationKey};
use lanlord::domain::net::Mac;
use proptest::prelude::*;

use super::dhcp::{DECLINE, DISCOVER, INFORM, Message, RELEASE, REQUEST};
use super::model::{Model, PlainNames};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Of the pool of the first configuration.
const POOL: std::ops::Range<u8> = 10..16;

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn mac(client: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, client])
}

/// Three configurations: a pool, a smaller one, and the first with addresses that wait for clients 1 and 2.
fn policy(number: u8) -> Arc<Policy> {
    let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap());
    let first = if number == 1 { POOL.start + 3 } else { POOL.start };
    subnet.pools = vec![Pool::new(ip(first), ip(POOL.end - 1))];
    subnet.pools[0].exclude = vec![ip(12)..=ip(12)];
    subnet.router = Some(ip(14));
    let network = Network {
        name: "lan".to_owned(),
        interface: Some("eth0".to_owned()),
        subnets: vec![subnet],
        authoritative: number == 0,
        ..Network::default()
    };
    let mut policy = Policy::new(vec![network]);
    policy.times = LeaseTimes { default: 600, min: 60, max: 3_600, infinite: false };
    policy.rules.quarantine = Duration::from_secs(300);
    if number == 2 {
        policy.reservations = [(1, 11), (2, 40)].map(|(client, last)| reserved(client, last)).to_vec();
    }
    Arc::new(policy)
}

fn reserved(client: u8, last: u8) -> Reservation {
    let keys = vec![ReservationKey::Mac(mac(client))];
    Reservation {
        keys,
        ip: Some(ip(last).into()),
        ..Reservation::new(format!("r{client}"), Origin::Config("t".into()))
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Kind, client, last octet of the address that it names, how it names it, whether the disk refuses.
    Ask(u8, u8, u8, u8, bool),
    Pass(u16),
    Restart,
    Configure(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = prop::sample::select(vec![DISCOVER, REQUEST, REQUEST, REQUEST, RELEASE, DECLINE, INFORM]);
    let named = prop_oneof![8 => POOL, 1 => Just(1u8), 1 => Just(40u8), 1 => any::<u8>()];
    prop_oneof![
        20 => (kinds, 0u8..5, named, 0u8..8, prop::bool::weighted(0.1)).prop_map(|(k, c, n, h, f)| Step::Ask(k, c, n, h, f)),
        3 => (1u16..900).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        1 => (0u8..3).prop_map(Step::Configure),
    ]
}

struct World {
    policy: Arc<Policy>,
    book: Book,
    model: Model,
}

impl World {
    fn new() -> World {
        let mut world = World { policy: policy(0), book: Book::new(policy(0)), model: Model::default() };
        world.book.set_own([SERVER].into());
        world
    }

    fn commit(&mut self, changes: &[Change]) {
        let now = self.model.now();
        for change in changes {
            let policy = self.policy.clone();
            self.model.commit(change, |lease| gives(&policy, lease));
            self.book.apply(change, now.wall, now);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Ask(kind, client, named, how, fails) => {
                self.ask(&message(*kind, *client, *named, *how), *how, *fails)
            }
            Step::Pass(seconds) => {
                self.model.elapsed += Duration::from_secs((*seconds).into());
                let now = self.model.now();
                self.book.sweep(now.mono);
                self.book.sweep_quarantines(now.wall);
                let over = self.book.expired(now.mono, 100);
                self.commit(&over);
            }
            Step::Restart => {
                let now = self.model.now();
                let mut book = Book::new(self.policy.clone());
                book.set_own([SERVER].into());
                self.model.journal.iter().for_each(|(at, change)| book.apply(change, *at, now));
                self.book = book;
            }
            Step::Configure(number) => {
                self.policy = policy(*number);
                self.book = self.book.under(self.policy.clone());
            }
        }
        self.model.check(self.book.leases().map(|kept| kept.lease()));
    }

    fn ask(&mut self, message: &Message, how: u8, fails: bool) {
        let bytes = message.to_bytes();
        let unicast = how & 4 != 0 && !message.ciaddr.is_unspecified();
        let arrival = Arrival {
            interface: "eth0",
            local: SERVER,
            source: message.ciaddr,
            source_port: 68,
            destination: if unicast { SERVER } else { Ipv4Addr::BROADCAST },
        };
        let request = Request::read(Packet::walk(&bytes).expect("a message"), arrival).expect("a request");
        let now = self.model.now();
        self.book.sweep(now.mono);
        let facts = Facts { book: &self.book, names: &PlainNames, sightings: None };
        let decision = decide(&request, &facts, &self.policy, now);
        decision.effects.into_iter().for_each(|effect| self.book.affect(effect, now.mono));
        let ticket = self.book.begin(&decision.changes);
        if !fails {
            self.commit(&decision.changes);
        }
        self.book.settle(ticket);
        let unwritten = fails && !decision.changes.is_empty();
        let Outcome::Send(reply, _) = &decision.outcome else { return };
        let seconds = reply.option(code::LEASE_TIME).map(|value| u32::from_be_bytes(value.try_into().unwrap()));
        if let (Kind::Ack, Some(seconds), false) = (reply.kind, seconds, unwritten) {
            self.model.promised(reply.yiaddr.into(), seconds, |lease| lease.mac == Some(Mac(message.chaddr)));
        }
    }
}

/// True if the configuration gives this address to this client.
fn gives(policy: &Policy, lease: &Lease) -> bool {
    let IpAddr::V4(ip) = lease.ip else { return false };
    let subnet = &policy.networks[0].subnets[0];
    let waits =
        |r: &Reservation| r.ip == Some(lease.ip) && lease.mac.is_some_and(|m| r.keys == [ReservationKey::Mac(m)]);
    let foreign = policy.reservations.iter().any(|r| r.ip == Some(lease.ip) && !waits(r));
    ip != SERVER && subnet.usable(ip) && !foreign && (subnet.pooled(ip) || policy.reservations.iter().any(waits))
}

fn message(kind: u8, client: u8, named: u8, how: u8) -> Message {
    let mut message = Message::new(kind, u32::from(how) + 1, mac(client).0).with(55, [1, 3, 51]);
    let named = ip(named);
    match (kind, how & 3) {
        // SELECTING, with us or another server; RENEWING and REBINDING; INIT-REBOOT
        (REQUEST, 0) => message = message.with(50, named.octets()).with(54, SERVER.octets()),
        (REQUEST, 1) if how & 4 == 0 => message = message.with(50, named.octets()),
        (REQUEST, 2) if how == 2 => message = message.with(50, named.octets()).with(54, [10, 0, 0, 9]),
        (REQUEST, _) | (RELEASE | INFORM, _) => message.ciaddr = named,
        (DECLINE, _) => message = message.with(50, named.octets()).with(54, SERVER.octets()),
        (_, 0 | 1) => message = message.with(50, named.octets()),
        _ => {}
    }
    message
}

proptest! {
    #[test]
    fn no_conversation_of_dhcpv4_breaks_a_law(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
    }
}

/// The conversations are not all about nothing: an exchange in them leads to a lease.
#[test]
fn an_exchange_of_dhcpv4_makes_a_lease_and_a_stranger_cannot_have_it() {
    let mut world = World::new();
    world.take(&Step::Ask(DISCOVER, 3, 13, 0, false));
    world.take(&Step::Ask(REQUEST, 3, 13, 0, false));
    assert_eq!(world.model.leases.keys().copied().collect::<Vec<_>>(), [IpAddr::V4(ip(13))]);
    world.take(&Step::Ask(REQUEST, 4, 13, 0, false));
    assert_eq!(world.model.leases.len(), 1);
    world.take(&Step::Pass(601));
    assert!(world.model.leases.is_empty());
}

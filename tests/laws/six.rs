//! DHCPv6.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use lanlord::domain::change::Change;
use lanlord::domain::dhcp::book::{Book, Effect};
use lanlord::domain::dhcp::policy::{Delegation, Network, Policy, Pool6, Subnet6, Times6};
use lanlord::domain::dhcp::v6::book::{Book6, Effect6};
use lanlord::domain::dhcp::v6::wire::encode::Leased;
use lanlord::domain::dhcp::v6::wire::{IaReply, Item, Kind, Packet, Reply, code, encode};
use lanlord::domain::dhcp::v6::{Arrival6, Facts6, Outcome6, Request6, decide};
use lanlord::domain::lease::{ClientKey, Lease, Origin, Reservation, ReservationKey};
use proptest::prelude::*;

use super::model::{Model, PlainNames};

const POOL: std::ops::Range<u16> = 0x10..0x15;

fn address(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number)
}

/// A block of the delegated prefix.
fn block(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100, number << 8, 0, 0, 0, 0)
}

fn duid(client: u8) -> Vec<u8> {
    vec![0, 4, client, client]
}

/// Three configurations: pools and blocks, fewer and larger ones, and the first with what waits for client 1.
fn policy(number: u8) -> Arc<Policy> {
    let mut subnet = Subnet6::new("2001:db8::/64".parse().unwrap());
    let first = if number == 1 { POOL.start + 2 } else { POOL.start };
    let exclude = vec![address(0x12)..=address(0x12)];
    subnet.pools = vec![Pool6 { range: address(first)..=address(POOL.end - 1), exclude }];
    let length = if number == 1 { 55 } else { 56 };
    subnet.delegate = vec![Delegation { prefix: "2001:db8:100::/54".parse().unwrap(), length, exclude: None }];
    let network = Network {
        name: "lan".to_owned(),
        interface: Some("eth0".to_owned()),
        subnets6: vec![subnet],
        authoritative: number == 0,
        ..Network::default()
    };
    let mut policy = Policy::new(vec![network]);
    policy.rules6.times = Times6 { preferred: 400, valid: 600 };
    policy.rules6.rapid_commit = number == 0;
    policy.rules.quarantine = Duration::from_secs(300);
    if number == 2 {
        policy.reservations = vec![Reservation {
            keys: vec![ReservationKey::Duid { duid: duid(1), iaid: None }],
            ip6: vec![address(0x11), address(0x77)],
            prefix6: vec![Ipv6Net::new(block(2), 56).unwrap()],
            ..Reservation::new("r1", Origin::Config("t".into()))
        }];
    }
    Arc::new(policy)
}

#[derive(Debug, Clone)]
enum Step {
    /// Kind, client, associations, whether the disk refuses.
    Ask(Kind, u8, Vec<Asked>, bool),
    Pass(u16),
    Restart,
    Configure(u8),
}

/// One association: a prefix or an address, its IAID, what it names.
#[derive(Debug, Clone)]
struct Asked {
    prefix: bool,
    iaid: u32,
    named: Option<(Ipv6Addr, u8)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let addresses = prop_oneof![6 => POOL, 1 => Just(0x77u16), 1 => any::<u16>()].prop_map(|n| (address(n), 128));
    let blocks = (0u16..4, 54u8..66).prop_map(|(n, length)| (block(n), length));
    let hints = (50u8..66).prop_map(|length| (Ipv6Addr::UNSPECIFIED, length));
    prop_oneof![
        3 => (0u32..2, prop::option::of(addresses)).prop_map(|(iaid, named)| Asked { prefix: false, iaid, named }),
        2 => (0u32..2, prop::option::of(prop_oneof![blocks, hints]))
            .prop_map(|(iaid, named)| Asked { prefix: true, iaid, named }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = prop::sample::select(vec![
        Kind::Solicit,
        Kind::Request,
        Kind::Request,
        Kind::Renew,
        Kind::Renew,
        Kind::Rebind,
        Kind::Release,
        Kind::Decline,
        Kind::Confirm,
    ]);
    let ias = prop::collection::vec(asked(), 1..4);
    prop_oneof![
        20 => (kinds, 0u8..4, ias, prop::bool::weighted(0.1)).prop_map(|(k, c, i, f)| Step::Ask(k, c, i, f)),
        3 => (1u16..700).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        1 => (0u8..3).prop_map(Step::Configure),
    ]
}

struct World {
    policy: Arc<Policy>,
    book: Book6,
    shared: Book,
    model: Model,
}

impl World {
    fn new() -> World {
        let policy = policy(0);
        World { book: Book6::new(policy.clone()), shared: Book::new(policy.clone()), policy, model: Model::default() }
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
            Step::Ask(kind, client, ias, fails) => self.ask(*kind, *client, ias, *fails),
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
                let mut book = Book6::new(self.policy.clone());
                self.model.journal.iter().for_each(|(at, change)| book.apply(change, *at, now));
                self.book = book;
            }
            Step::Configure(number) => {
                self.policy = policy(*number);
                self.book = std::mem::take(&mut self.book).under(self.policy.clone());
                self.shared = self.shared.under(self.policy.clone());
            }
        }
        self.model.check(self.book.leases().map(|lease| lease.as_ref().clone()));
    }

    fn ask(&mut self, kind: Kind, client: u8, ias: &[Asked], fails: bool) {
        let bytes = message(kind, client, ias);
        let arrival = Arrival6 {
            interface: "eth0",
            index: 2,
            source: "fe80::1234".parse().unwrap(),
            source_port: 546,
            destination: "ff02::1:2".parse().unwrap(),
            multicast: true,
        };
        let request = Request6::read(Packet::walk(&bytes).expect("a message"), arrival, None);
        let now = self.model.now();
        self.book.sweep(now.mono);
        let (book, shared, policy) = (self.book.clone(), self.shared.clone(), self.policy.clone());
        let facts = Facts6 { book: &book, shared: &shared, names: &PlainNames };
        let decision = decide(&request, &facts, &policy, now);
        for effect in decision.effects {
            match effect {
                Effect6::Offer { network, client, items, until } => self.book.offer(network, &client, &items, until),
                Effect6::Forget { network, client } => self.book.forget_offers(network, &client),
                Effect6::CountDecline { client } => self.shared.affect(Effect::CountDecline { client }, now.mono),
            }
        }
        let ticket = self.book.begin(&decision.changes);
        if !fails {
            self.commit(&decision.changes);
        }
        self.book.settle(ticket);
        if fails && !decision.changes.is_empty() {
            return;
        }
        let Outcome6::Send(reply, _) = &decision.outcome else { return };
        for (ia, leased) in reply.ias().flat_map(|ia| ia.leased.iter().map(move |leased| (ia, leased))) {
            if reply.kind == Kind::Reply && leased.valid > 0 {
                assert!(leased.preferred <= leased.valid && ia.t1 <= ia.t2, "{ia:?}");
                let length = (ia.code == code::IA_PD).then_some(leased.length);
                self.model.promised(leased.ip.into(), leased.valid, |lease| {
                    lease.client.duid() == Some(&duid(client))
                        && lease.client.iaid() == Some(ia.iaid)
                        && lease.delegated == length
                });
            }
        }
    }
}

/// True if the configuration gives this address or prefix to this client.
fn gives(policy: &Policy, lease: &Lease) -> bool {
    let IpAddr::V6(ip) = lease.ip else { return false };
    let subnet = &policy.networks[0].subnets6[0];
    let own = |r: &&Reservation| {
        r.keys.iter().any(|key| matches!(key, ReservationKey::Duid { duid, .. } if lease.client.duid() == Some(duid)))
    };
    let ClientKey::Ia { .. } = &lease.client else { return false };
    match lease.prefix() {
        Some(IpNet::V6(prefix)) => {
            let waits = policy.reservations.iter().filter(own).any(|r| r.prefix6.contains(&prefix));
            waits || subnet.delegate.iter().any(|delegation| delegation.gives(prefix))
        }
        _ => {
            let waits = policy.reservations.iter().filter(own).any(|r| r.ip6.contains(&ip));
            let foreign = policy.reservations.iter().filter(|r| !own(r)).any(|r| r.ip6.contains(&ip));
            subnet.usable(ip) && !foreign && (waits || subnet.pooled(ip))
        }
    }
}

fn message(kind: Kind, client: u8, ias: &[Asked]) -> Vec<u8> {
    let mut items = vec![Item::Raw(code::CLIENT_ID, duid(client).into())];
    if matches!(kind, Kind::Request | Kind::Renew | Kind::Release | Kind::Decline) {
        items.push(Item::Raw(code::SERVER_ID, vec![0, 4].into()));
    }
    if kind == Kind::Solicit && client == 0 {
        items.push(Item::Raw(code::RAPID_COMMIT, Vec::new().into()));
    }
    for ia in ias {
        let leased = |(ip, length)| Leased { ip, length, preferred: 0, valid: 0, exclude: None };
        items.push(Item::Ia(IaReply {
            code: if ia.prefix { code::IA_PD } else { code::IA_NA },
            iaid: ia.iaid,
            t1: 0,
            t2: 0,
            leased: ia.named.map(leased).into_iter().collect(),
            status: None,
        }));
    }
    let mut out = Vec::new();
    encode(&Reply { kind, xid: 7, items }, &[], &mut out);
    out
}

proptest! {
    #[test]
    fn no_conversation_of_dhcpv6_breaks_a_law(steps in prop::collection::vec(step(), 1..100)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
    }
}

/// The conversations are not all about nothing.
#[test]
fn an_exchange_of_dhcpv6_makes_leases_and_a_stranger_cannot_have_them() {
    let mut world = World::new();
    let both = |named| {
        let prefix = Asked { prefix: true, iaid: 1, named: None };
        vec![Asked { prefix: false, iaid: 1, named: Some((address(named), 128)) }, prefix]
    };
    world.take(&Step::Ask(Kind::Request, 2, both(0x13), false));
    assert_eq!(world.model.leases.len(), 2);
    assert!(world.model.leases.contains_key(&address(0x13).into()));
    world.take(&Step::Ask(Kind::Request, 3, both(0x13), false));
    assert_eq!(world.model.leases.len(), 4);
    world.take(&Step::Pass(601));
    assert!(world.model.leases.is_empty());
}

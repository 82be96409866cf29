use proptest::prelude::*;

use super::*;
use crate::domain::dhcp::policy::{Network, Pool, Subnet};
use crate::domain::lease::Cause;

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn client(n: u8) -> ClientKey {
    ClientKey::Hw(1, vec![2, 0, 0, 0, 0, n])
}

fn policy() -> Arc<Policy> {
    let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap());
    subnet.pools = vec![Pool::new(ip(10), ip(19))];
    let network = Network { name: "lan".to_owned(), subnets: vec![subnet], ..Network::default() };
    Arc::new(Policy::new(vec![network]))
}

fn lease(n: u8, at: u8, expires: Wall) -> Lease {
    Lease {
        ip: IpAddr::V4(ip(at)),
        delegated: None,
        network: "lan".to_owned(),
        subnet: "10.0.0.0/24".parse().unwrap(),
        client: client(n),
        mac: Some(Mac([2, 0, 0, 0, 0, n])),
        client_id: None,
        hostname: None,
        fqdn: None,
        vendor_class: None,
        user_class: None,
        requested: Vec::new(),
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay: None,
        interface: "eth0".to_owned(),
        began: Wall(0),
        expires,
        preferred: None,
        cause: Cause::New,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u8, u8),
    Grant(u8, u8),
    FailGrant(u8, u8),
    End(u8),
    Quarantine(u8),
    Hold(u8),
    Reserve(u8, u8),
    Unreserve(u8),
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let (who, at) = (0u8..6, 10u8..20);
    prop_oneof![
        (who.clone(), at.clone()).prop_map(|(c, a)| Step::Offer(c, a)),
        (who.clone(), at.clone()).prop_map(|(c, a)| Step::Grant(c, a)),
        (who.clone(), at.clone()).prop_map(|(c, a)| Step::FailGrant(c, a)),
        at.clone().prop_map(Step::End),
        at.clone().prop_map(Step::Quarantine),
        at.clone().prop_map(Step::Hold),
        (who, at.clone()).prop_map(|(c, a)| Step::Reserve(c, a)),
        at.prop_map(Step::Unreserve),
        Just(Step::Pass),
    ]
}

fn reservation(n: u8, at: u8) -> crate::domain::lease::Reservation {
    use crate::domain::lease::{Origin, Reservation};
    Reservation {
        keys: vec![crate::domain::lease::ReservationKey::Mac(Mac([2, 0, 0, 0, 0, n]))],
        ip: Some(IpAddr::V4(ip(at))),
        ..Reservation::new(format!("r{at}"), Origin::User("test".to_owned()))
    }
}

fn traits(n: u8) -> Traits<'static> {
    Traits { mac: Some(Mac([2, 0, 0, 0, 0, n])), ..Traits::default() }
}

/// Does a step as the service would: an address is only given where it is available.
fn take(book: &mut Book, journal: &mut Vec<(Wall, Change)>, step: Step, tick: u64) {
    let (wall, mono) = (Wall(tick as i64 * 1000), Mono(tick * 1000));
    let ended = |at: u8| Change::LeaseEnded { network: "lan".to_owned(), ip: ip(at).into(), end: End::Released };
    let mut changes = Vec::new();
    let mut fails = false;
    match step {
        Step::Offer(c, a) if book.available(0, ip(a), &client(c), traits(c)) => {
            let until = mono.plus(Duration::from_secs(5));
            book.affect(Effect::Offer { network: 0, ip: ip(a), client: client(c), until }, mono);
        }
        Step::Grant(c, a) | Step::FailGrant(c, a) if book.available(0, ip(a), &client(c), traits(c)) => {
            fails = matches!(step, Step::FailGrant(..));
            if let Some(old) = book.lease_of(0, &client(c)).filter(|old| old.ip != IpAddr::V4(ip(a))) {
                changes.push(Change::LeaseEnded { network: "lan".to_owned(), ip: old.ip, end: End::Revoked });
            }
            let expires = if a % 2 == 0 { Wall::NEVER } else { wall.plus(Duration::from_secs(20)) };
            changes.push(Change::LeaseGranted(Box::new(lease(c, a, expires))));
        }
        Step::End(a) if book.lease(0, ip(a)).is_some() => changes.push(ended(a)),
        Step::Quarantine(a) if book.lease(0, ip(a)).is_none() => {
            let until = wall.plus(Duration::from_secs(10));
            changes.push(Change::Quarantined { network: "lan".to_owned(), ip: ip(a).into(), until, mac: None });
        }
        Step::Hold(a) if book.available(0, ip(a), &client(99), Traits::default()) => {
            let until = mono.plus(Duration::from_secs(3));
            book.hold(0, ip(a), Hold { holder: "h".to_owned(), mac: None, until });
        }
        Step::Reserve(c, a) => changes.push(Change::ReservationPut(Box::new(reservation(c, a)))),
        Step::Unreserve(a) => changes.push(Change::ReservationRemoved { id: format!("r{a}") }),
        _ => changes.extend(book.expired(mono, 3)),
    }
    let ticket = book.begin(&changes);
    if !fails {
        for change in changes {
            book.apply(&change, wall, Now { wall, mono });
            journal.push((wall, change));
        }
    }
    book.settle(ticket);
    book.sweep(mono);
    book.sweep_holds(mono);
    book.sweep_quarantines(wall);
}

fn durable(book: &Book) -> Vec<(IpAddr, ClientKey)> {
    let mut all: Vec<_> = book.leases().map(|kept| (kept.lease().ip, kept.client())).collect();
    all.sort();
    all
}

fn check(book: &Book) {
    let mut seen = HashSet::new();
    for lease in book.leases().map(Kept::lease) {
        assert!(seen.insert(lease.client.clone()), "two addresses for one client");
        assert_eq!(book.lease_of(0, &lease.client).map(|l| l.ip), Some(lease.ip));
    }
    let stranger = client(200);
    let given = (10..20).filter(|n| {
        let reserved = book.reservations.holds("lan", ip(*n));
        book.pooled(0, ip(*n))
            && !reserved
            && book.available(0, ip(*n), &stranger, traits(200))
            && book.lease(0, ip(*n)).is_none()
    });
    let free = given.count();
    assert_eq!(book.usage()[0].free, free, "the free set is a function of the state");
    assert_eq!(book.next_free(Place { network: 0, subnet: 0 }).is_some(), free > 0);
    let next = book.next_free(Place { network: 0, subnet: 0 });
    assert!(next.is_none_or(|ip| book.available(0, ip, &stranger, traits(200))));
}

proptest! {
    /// DH-510: one active holder per address; the free set and a restart are functions of what is durable.
    #[test]
    fn one_active_holder_per_address_and_a_restart_changes_nothing(steps in prop::collection::vec(step(), 1..120)) {
        let mut book = Book::new(policy());
        let mut journal = Vec::new();
        for (tick, step) in steps.into_iter().enumerate() {
            take(&mut book, &mut journal, step, tick as u64);
            check(&book);
        }
        let mut again = Book::new(policy());
        journal.iter().for_each(|(at, change)| again.apply(change, *at, Now { wall: *at, mono: Mono(0) }));
        prop_assert_eq!(durable(&again), durable(&book));
        check(&book.under(policy()));
    }
}

#[test]
fn offers_are_bounded_and_the_oldest_is_forgotten() {
    let mut subnet = Subnet::new("10.0.0.0/8".parse().unwrap());
    subnet.pools = vec![Pool::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 2, 0, 0))];
    let network = Network { name: "lan".to_owned(), subnets: vec![subnet], ..Network::default() };
    let mut book = Book::new(Arc::new(Policy::new(vec![network])));
    let key = |n: usize| ClientKey::Hw(1, n.to_be_bytes().to_vec());
    for n in 0..MAX_OFFERS + 1 {
        let ip = book.next_free(Place { network: 0, subnet: 0 }).unwrap();
        let until = Mono(n as u64 + 30_000);
        book.affect(Effect::Offer { network: 0, ip, client: key(n), until }, Mono(n as u64));
    }
    assert_eq!(book.offers.len(), MAX_OFFERS);
    assert_eq!(book.offer_of(0, &key(0)), None);
    assert!(book.offer_of(0, &key(1)).is_some());
    book.sweep(Mono(u64::MAX));
    assert_eq!((book.offers.len(), book.nets[0].cells.len(), book.nets[0].clients.len()), (0, 0, 0));
}

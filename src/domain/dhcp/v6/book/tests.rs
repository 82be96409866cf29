//! The book against a plain model: random moves, then everything that must hold.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::change::Change;
use crate::domain::dhcp::policy::{Delegation, Network, Pool6};
use crate::domain::lease::{Cause, End, IaKind};
use crate::domain::time::Now;

const POOL: u16 = 8;

fn at(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10 + n)
}

/// The first address of a block; `long` ones are nested in what a shorter one would be.
fn block(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100, n << 8, 0, 0, 0, 0)
}

fn policy(length: u8) -> Arc<Policy> {
    let mut subnet = Subnet6::new("2001:db8::/64".parse().unwrap());
    subnet.pools = vec![Pool6 { range: at(0)..=at(POOL - 1), exclude: Vec::new() }];
    subnet.delegate = vec![Delegation { prefix: "2001:db8:100::/53".parse().unwrap(), length, exclude: None }];
    let network = Network { name: "lan".to_owned(), subnets6: vec![subnet], ..Network::default() };
    Arc::new(Policy::new(vec![network]))
}

fn client(n: u8, kind: IaKind) -> ClientKey {
    ClientKey::Ia { duid: vec![0, 4, n], iaid: 1, kind }
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u8, u16),
    Grant(u8, u16, bool),
    /// A prefix of length 56 - the last number, where nothing else is.
    Delegate(u8, u16, u8),
    Fail(u8, u16),
    End(u16, u8),
    EndBlock(u16),
    Quarantine(u16),
    Hold(u16),
    Pass(u16),
    Reload(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, place, part) = (0u8..5, 0..POOL, 0u16..8);
    prop_oneof![
        3 => (who.clone(), place.clone()).prop_map(|(w, p)| Step::Offer(w, p)),
        5 => (who.clone(), place.clone(), any::<bool>()).prop_map(|(w, p, short)| Step::Grant(w, p, short)),
        4 => (who.clone(), part.clone(), 0u8..3).prop_map(|(w, p, up)| Step::Delegate(w, p, up)),
        1 => (who, place.clone()).prop_map(|(w, p)| Step::Fail(w, p)),
        3 => (place.clone(), 0u8..3).prop_map(|(p, how)| Step::End(p, how)),
        2 => part.prop_map(Step::EndBlock),
        1 => place.clone().prop_map(Step::Quarantine),
        1 => place.prop_map(Step::Hold),
        2 => (1u16..400).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Reload),
    ]
}

struct Bench {
    book: Book6,
    journal: Vec<(Wall, Change)>,
    now: Now,
}

impl Bench {
    fn commit(&mut self, change: Change) {
        let ticket = self.book.begin(std::slice::from_ref(&change));
        self.book.apply(&change, self.now.wall, self.now);
        self.book.settle(ticket);
        self.journal.push((self.now.wall, change));
    }

    fn grant(&mut self, who: ClientKey, ip: Ipv6Addr, delegated: Option<u8>, seconds: u64) {
        let length = delegated.unwrap_or(128);
        if !self.book.available(0, ip, length, &who, None) {
            return;
        }
        let expires = self.now.wall.plus(Duration::from_secs(seconds));
        let lease = Lease {
            ip: ip.into(),
            delegated,
            network: "lan".to_owned(),
            client: who,
            cause: Cause::New,
            ..crate::domain::dhcp::v6::lease::blank(expires, expires)
        };
        self.commit(Change::LeaseGranted(Box::new(lease)));
    }

    fn end(&mut self, ip: Ipv6Addr, end: End) {
        if self.book.lease(0, ip).is_some() {
            self.commit(Change::LeaseEnded { network: "lan".to_owned(), ip: ip.into(), end });
        }
    }

    fn run(&mut self, step: &Step) {
        let until = self.now.mono.plus(Duration::from_secs(30));
        match step {
            Step::Offer(who, n) => {
                let who = client(*who, IaKind::Address);
                if self.book.available(0, at(*n), 128, &who, None) {
                    self.book.offer(0, &who, &[(at(*n), 128)], until);
                }
            }
            Step::Grant(who, n, short) => {
                self.grant(client(*who, IaKind::Address), at(*n), None, if *short { 60 } else { 3600 });
            }
            Step::Delegate(who, n, up) => {
                let prefix = Ipv6Net::new(block(*n), 56 - up).unwrap().trunc();
                self.grant(client(*who, IaKind::Prefix), prefix.network(), Some(56 - up), 600);
            }
            Step::Fail(who, n) => {
                let who = client(*who, IaKind::Address);
                if self.book.available(0, at(*n), 128, &who, None) {
                    let expires = self.now.wall.plus(Duration::from_secs(60));
                    let blank = crate::domain::dhcp::v6::lease::blank(expires, expires);
                    let lease = Lease { ip: at(*n).into(), network: "lan".to_owned(), client: who, ..blank };
                    let ticket = self.book.begin(&[Change::LeaseGranted(Box::new(lease))]);
                    assert!(self.book.is_address_pending(0, at(*n)));
                    self.book.settle(ticket);
                }
            }
            Step::End(n, how) => {
                let until = self.now.wall.plus(Duration::from_secs(100));
                let end = [End::Released, End::Revoked, End::Declined { until }][usize::from(*how)];
                self.end(at(*n), end);
            }
            Step::EndBlock(n) => {
                for up in 0..3 {
                    self.end(Ipv6Net::new(block(*n), 56 - up).unwrap().network(), End::Released);
                }
            }
            Step::Quarantine(n) => {
                if self.book.lease(0, at(*n)).is_none() {
                    let until = self.now.wall.plus(Duration::from_secs(100));
                    let change = Change::Quarantined { network: "lan".to_owned(), ip: at(*n).into(), until, mac: None };
                    self.commit(change);
                }
            }
            Step::Hold(n) => {
                if self.book.available(0, at(*n), 128, &ClientKey::Hw(0, Vec::new()), None) {
                    self.book.hold(0, at(*n), Hold { holder: "h".to_owned(), mac: None, until });
                }
            }
            Step::Pass(seconds) => {
                let by = Duration::from_secs(u64::from(*seconds));
                self.now = Now { wall: self.now.wall.plus(by), mono: self.now.mono.plus(by) };
                self.book.sweep(self.now.mono);
                self.book.sweep_holds(self.now.mono);
                self.book.sweep_quarantines(self.now.wall);
                self.book.expired(self.now.mono, 100).into_iter().for_each(|change| self.commit(change));
            }
            Step::Reload(longer) => {
                self.book = std::mem::take(&mut self.book).under(policy(if *longer { 56 } else { 55 }));
            }
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        let leases: Vec<&Arc<Lease>> = self.book.leases().collect();
        let places: HashSet<IpAddr> = leases.iter().map(|lease| lease.ip).collect();
        assert_eq!(places.len(), leases.len(), "an address has one holder");
        for who in 0..5 {
            for kind in [IaKind::Address, IaKind::Prefix] {
                let who = client(who, kind);
                let mut of: Vec<IpAddr> = self.book.leases_of(0, &who).map(|lease| lease.ip).collect();
                let mut all: Vec<IpAddr> = leases.iter().filter(|l| l.client == who).map(|l| l.ip).collect();
                of.sort();
                all.sort();
                assert_eq!(of, all, "{who:?}");
            }
        }
        let prefixes: Vec<_> = leases.iter().filter_map(|lease| lease.prefix()).collect();
        for (i, one) in prefixes.iter().enumerate() {
            assert!(!prefixes[..i].iter().any(|o| o.contains(one) || one.contains(o)), "{one} overlaps");
        }
        assert_eq!(self.book.delegated.len(), prefixes.len());
        self.check_free();
        assert!(leases.iter().all(|lease| lease.expires > self.now.wall), "what is over has ended");
    }

    /// A newcomer finds an address exactly if nobody has, is offered, holds or may not use one.
    fn check_free(&self) {
        let nobody = client(99, IaKind::Address);
        let fits = |ip| self.book.available(0, ip, 128, &nobody, None);
        let free: Vec<Ipv6Addr> = (0..POOL).map(at).filter(|ip| fits(*ip)).collect();
        for hash in 0..u128::from(POOL) {
            let found = self.book.next_address(0, 0, hash, fits);
            assert_eq!(found.is_some(), !free.is_empty(), "{free:?}");
            assert!(found.is_none_or(|found| free.contains(&found)));
            let marked = self.book.next_address(0, 0, hash, |_| true);
            assert_eq!(marked.is_some(), !free.is_empty(), "the bitmap says what the cells say");
        }
    }

    /// A restart finds the same: the state is a function of what was committed.
    fn check_replay(&self) {
        let mut again = Book6::new(self.book.policy().clone());
        self.journal.iter().for_each(|(at, change)| again.apply(change, *at, Now { wall: *at, mono: Mono(0) }));
        let sorted = |book: &Book6| {
            let mut all: Vec<(IpAddr, String, Wall)> =
                book.leases().map(|l| (l.ip, format!("{:?}", l.client), l.expires)).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&again), sorted(&self.book));
        assert_eq!(again.delegated, self.book.delegated);
    }
}

proptest! {
    #[test]
    fn never_two_owners_and_never_two_overlapping_prefixes(steps in prop::collection::vec(step(), 1..80)) {
        let now = Now { wall: Wall(1_000_000_000), mono: Mono(1_000) };
        let mut bench = Bench { book: Book6::new(policy(56)), journal: Vec::new(), now };
        for step in &steps {
            bench.run(step);
            bench.check();
        }
        bench.check_replay();
    }
}

/// DH-607: leases of a network that is gone are kept, and end when their time is over.
#[test]
fn a_network_that_is_gone_keeps_its_leases() {
    let now = Now { wall: Wall(1_000_000_000), mono: Mono(1_000) };
    let mut bench = Bench { book: Book6::new(policy(56)), journal: Vec::new(), now };
    bench.run(&Step::Grant(1, 3, true));
    let other = Network { name: "other".to_owned(), ..Network::default() };
    bench.book = std::mem::take(&mut bench.book).under(Arc::new(Policy::new(vec![other])));
    assert_eq!(bench.book.lease_on("lan", at(3)).map(|lease| lease.ip), Some(at(3).into()));
    bench.run(&Step::Pass(61));
    assert_eq!(bench.book.leases().count(), 0);
    assert_eq!(bench.journal.len(), 2);
}

/// DH-503: offers are bounded, and the oldest goes first.
#[test]
fn offers_are_bounded() {
    let mut subnet = Subnet6::new("2001:db8::/64".parse().unwrap());
    let last = Ipv6Addr::from(u128::from(at(0)) + 100_000);
    subnet.pools = vec![Pool6 { range: at(0)..=last, exclude: Vec::new() }];
    let network = Network { name: "lan".to_owned(), subnets6: vec![subnet], ..Network::default() };
    let mut book = Book6::new(Arc::new(Policy::new(vec![network])));
    for n in 0..(MAX_OFFERS + 10) as u32 {
        let who = ClientKey::Ia { duid: n.to_be_bytes().to_vec(), iaid: 1, kind: IaKind::Address };
        let ip = Ipv6Addr::from(u128::from(at(0)) + u128::from(n));
        book.offer(0, &who, &[(ip, 128)], Mono(u64::from(n) + 30_000));
    }
    assert_eq!(book.offers.len(), MAX_OFFERS);
    assert_eq!(book.nets[0].cells.len(), MAX_OFFERS);
    let first = ClientKey::Ia { duid: 0u32.to_be_bytes().to_vec(), iaid: 1, kind: IaKind::Address };
    assert!(book.offers_of(0, &first).is_empty());
    book.sweep(Mono(u64::MAX));
    assert!(book.nets[0].cells.is_empty() && book.nets[0].clients.is_empty());
}

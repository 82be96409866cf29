use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicI64;

use proptest::prelude::*;

use super::*;
use crate::domain::lease::{Cause, ClientKey, End};
use crate::domain::time::Mono;

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn wall(&self) -> Wall {
        Wall(self.0.load(Ordering::Relaxed))
    }
    fn mono(&self) -> Mono {
        Mono(0)
    }
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

fn ip(n: u8) -> IpAddr {
    Ipv4Addr::new(10, 77, 0, n).into()
}

fn lease(network: &str, interface: &str, ip: IpAddr, client: u8, relay: Option<IpAddr>) -> Change {
    Change::LeaseGranted(Box::new(Lease {
        ip,
        delegated: None,
        network: network.into(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        client: ClientKey::Hw(1, mac(client).0.to_vec()),
        mac: Some(mac(client)),
        client_id: Some(vec![client]),
        hostname: None,
        fqdn: None,
        vendor_class: Some(b"LINKSYS SPA-3102".to_vec()),
        user_class: None,
        requested: Vec::new(),
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay,
        interface: interface.into(),
        began: Wall(0),
        expires: Wall(1_000),
        preferred: None,
        cause: Cause::New,
    }))
}

fn ended(network: &str, ip: IpAddr) -> Change {
    Change::LeaseEnded { network: network.into(), ip, end: End::Released }
}

fn bindings() -> (Arc<Bindings>, Box<dyn View>, Arc<Hand>) {
    let clock = Arc::new(Hand::default());
    let bindings = Bindings::new(clock.clone());
    let view = bindings.view();
    (bindings, view, clock)
}

fn apply(view: &mut Box<dyn View>, seq: u64, change: Change) {
    view.apply(&[Entry { seq, at: Wall(0), change }]);
}

/// A DUID can be copied from a phone's frames: only a neighbour on the link proves the MAC in it.
#[test]
fn pr_5_a_dhcpv6_lease_that_no_neighbour_can_prove_identifies_nobody() {
    let (b, mut view, _) = bindings();
    let six: IpAddr = "2001:db8::9".parse().unwrap();
    apply(&mut view, 1, lease("a", "eth0", six, 1, None));
    assert_eq!(b.look(Some("eth0"), six), Holder::Unknown, "no address of ours there");
    apply(&mut view, 2, lease("a", "eth0", six, 1, Some("2001:db8:5::1".parse().unwrap())));
    assert_eq!(b.look(Some("eth0"), six), Holder::Unknown, "behind a relay");
    b.neighbours().set_segments(vec![("eth0".into(), "2001:db8::1/64".parse().unwrap())]);
    b.neighbours().learn("eth0", six, Some(mac(1)));
    assert!(matches!(b.look(Some("eth0"), six), Holder::Bound(_)));
    b.neighbours().learn("eth0", six, Some(mac(2)));
    assert!(matches!(b.look(Some("eth0"), six), Holder::Conflict { .. }));
}

#[test]
fn pr_2_overlapping_plans_do_not_mix() {
    let (b, mut view, _) = bindings();
    apply(&mut view, 1, lease("a", "eth0.10", ip(9), 1, None));
    apply(&mut view, 2, lease("b", "eth0.20", ip(9), 2, None));
    assert_eq!(b.by_ip(Some("eth0.10"), ip(9)).unwrap().mac, Some(mac(1)));
    assert_eq!(b.by_ip(Some("eth0.20"), ip(9)).unwrap().mac, Some(mac(2)));
    assert_eq!(b.look(None, ip(9)), Holder::Ambiguous);
    assert_eq!(b.look(Some("eth9"), ip(9)), Holder::Unknown);
}

#[test]
fn pr_2_a_routed_source_is_found_by_its_relay_unless_two_match() {
    let (b, mut view, _) = bindings();
    apply(&mut view, 1, lease("far", "eth0", ip(9), 1, Some(ip(2))));
    assert_eq!(b.by_ip(Some("eth1"), ip(9)).unwrap().mac, Some(mac(1)));
    apply(&mut view, 2, lease("farther", "eth2", ip(9), 2, Some(ip(3))));
    assert_eq!(b.look(Some("eth1"), ip(9)), Holder::Ambiguous);
    assert_eq!(b.by_ip(Some("eth2"), ip(9)).unwrap().mac, Some(mac(2)));
    // on our own segment there the address is somebody else's
    b.neighbours().set_segments(vec![("eth1".into(), "10.77.0.1/24".parse().unwrap())]);
    assert_eq!(b.look(Some("eth1"), ip(9)), Holder::Unknown);
}

#[test]
fn pr_4_the_end_of_a_lease_ends_the_binding() {
    let (b, mut view, clock) = bindings();
    apply(&mut view, 1, lease("a", "eth0", ip(9), 1, None));
    clock.0.store(999, Ordering::Relaxed);
    assert!(b.by_ip(None, ip(9)).is_some());
    clock.0.store(1_000, Ordering::Relaxed);
    assert_eq!(b.look(None, ip(9)), Holder::Unknown, "expired, though no entry says so yet");
    clock.0.store(0, Ordering::Relaxed);
    apply(&mut view, 2, ended("other", ip(9)));
    assert!(b.by_ip(None, ip(9)).is_some());
    apply(&mut view, 3, ended("a", ip(9)));
    assert_eq!(b.look(None, ip(9)), Holder::Unknown);
    assert_eq!(b.counters()[2].2, 0, "look does not count");
}

#[test]
fn pr_5_a_lease_that_the_wire_contradicts_identifies_nobody() {
    let (b, mut view, _) = bindings();
    apply(&mut view, 1, lease("a", "eth0", ip(9), 1, None));
    b.neighbours().learn("eth0", ip(9), Some(mac(1)));
    assert!(b.by_ip(Some("eth0"), ip(9)).is_some());
    b.neighbours().learn("eth0", ip(9), Some(mac(7)));
    assert_eq!(b.look(Some("eth0"), ip(9)), Holder::Conflict { leased: mac(1), seen: mac(7) });
    assert_eq!(b.by_ip(Some("eth0"), ip(9)), None);
    assert_eq!(b.counters()[0], ("lanlord_bindings_unidentified_total", vec![("reason", "conflict")], 1));
    b.neighbours().replace(&[]);
    assert!(b.by_ip(Some("eth0"), ip(9)).is_some(), "no entry contradicts nothing");
}

#[test]
fn a_static_station_is_known_by_the_neighbour_table() {
    let (b, ..) = bindings();
    b.neighbours().set_segments(vec![("eth0".into(), "10.77.0.1/24".parse().unwrap())]);
    b.neighbours().replace(&[("eth0".into(), ip(9), mac(5))]);
    let first = b.by_ip(Some("eth0"), ip(9)).unwrap();
    assert_eq!((first.mac, first.source), (Some(mac(5)), BindingSource::Neighbour));
    assert_eq!(first.subnet, Some("10.77.0.0/24".parse().unwrap()));
    assert_eq!(b.look(Some("eth1"), ip(9)), Holder::Unknown, "never behind a router");
    b.neighbours().replace(&[("eth0".into(), ip(9), mac(5))]);
    assert_eq!(b.by_ip(None, ip(9)).unwrap().generation, first.generation);
    b.neighbours().learn("eth0", ip(9), Some(mac(6)));
    assert!(b.by_ip(None, ip(9)).unwrap().generation > first.generation);
}

/// The next question that wants an address resolved; nobody confirms anything here.
async fn probe(asks: &mut tokio::sync::mpsc::Receiver<Ask>) -> IpAddr {
    loop {
        let ask = asks.recv().await.expect("a question");
        if let Want::Resolve = ask.want {
            assert_eq!(&*ask.interface, "eth0");
            return ask.ip;
        }
    }
}

/// PR-4: the kernel knew the new holder before its request arrived; the notice had not reached us yet.
#[tokio::test]
async fn what_the_kernel_says_now_counts_and_not_what_it_said_last() {
    let (b, ..) = bindings();
    let table = b.neighbours();
    table.set_segments(vec![("eth0".into(), "10.77.0.1/24".parse().unwrap())]);
    table.learn("eth0", ip(9), Some(mac(1)));
    let mut asks = table.asks();
    let waiting = tokio::spawn({
        let b = b.clone();
        async move { b.resolve(Some("eth0"), ip(9)).await }
    });
    let Some(Ask { want: Want::Confirm(done), .. }) = asks.recv().await else { panic!("no question") };
    table.learn("eth0", ip(9), Some(mac(2)));
    done.send(()).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().mac, Some(mac(2)));
}

#[tokio::test]
async fn resolve_asks_and_waits_but_not_longer_than_its_patience() {
    let (b, mut view, _) = bindings();
    let table = b.neighbours();
    table.set_segments(vec![("eth0".into(), "10.77.0.1/24".parse().unwrap())]);
    assert_eq!(b.resolve(Some("eth0"), ip(9)).await, None, "nobody to ask");

    let mut asks = table.asks();
    let resolve = |host: u8| {
        let b = b.clone();
        tokio::spawn(async move { b.resolve(Some("eth0"), ip(host)).await })
    };
    let waiting = resolve(9);
    assert_eq!(probe(&mut asks).await, ip(9));
    table.learn("eth0", ip(8), Some(mac(8)));
    table.learn("eth0", ip(9), Some(mac(9)));
    assert_eq!(waiting.await.unwrap().unwrap().mac, Some(mac(9)));

    // a lease is compared with what the wire says a moment later
    apply(&mut view, 1, lease("a", "eth0", ip(7), 7, None));
    // the entry of an earlier holder is replaced while we wait
    table.learn("eth0", ip(7), Some(mac(1)));
    let waiting = resolve(7);
    assert_eq!(probe(&mut asks).await, ip(7));
    table.learn("eth0", ip(7), Some(mac(7)));
    assert_eq!(waiting.await.unwrap().unwrap().source, BindingSource::Lease);
    // our own address and what lies behind routers are not asked for
    assert_eq!(b.resolve(Some("eth0"), ip(1)).await, None);
    assert_eq!(b.resolve(Some("eth0"), "192.0.2.1".parse().unwrap()).await, None);
    assert!(asks.try_recv().is_err());
}

/// A station leases with another one's hardware address, keeps silent while the kernel asks who it is, and
/// answers once the file is on its way to it.
#[tokio::test(start_paused = true)]
async fn pr_5_a_leased_address_whose_station_keeps_silent_is_nobodys() {
    let (b, mut view, _) = bindings();
    let table = b.neighbours();
    let mut asks = table.asks();
    apply(&mut view, 1, lease("a", "eth0", ip(7), 7, None));
    assert!(b.resolve(Some("eth0"), ip(7)).await.is_some(), "no segment of ours: there is nothing to compare with");
    table.set_segments(vec![("eth0".into(), "10.77.0.1/24".parse().unwrap())]);
    let start = tokio::time::Instant::now();
    assert_eq!(b.resolve(Some("eth0"), ip(7)).await, None);
    assert_eq!(start.elapsed(), INSISTENCE);
    assert!(asks.recv().await.is_some());

    // one that was slow, as a phone on Wi-Fi that slept, is itself
    let slow = tokio::spawn({
        let b = b.clone();
        async move { b.resolve(Some("eth0"), ip(7)).await }
    });
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    table.learn("eth0", ip(7), Some(mac(7)));
    assert_eq!(slow.await.unwrap().unwrap().source, BindingSource::Lease);
}

#[test]
fn a_reader_never_sees_half_of_a_binding() {
    let (b, mut view, _) = bindings();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (b, stop) = (b.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    if let Some(found) = b.by_ip(Some("eth0"), ip(9)) {
                        assert_eq!(found.client_id.as_ref().unwrap()[0], found.mac.unwrap().0[5]);
                        assert!(found.generation >= last, "an older holder came back");
                        last = found.generation;
                    }
                }
            })
        })
        .collect();
    for seq in 1..4_000u64 {
        apply(&mut view, 2 * seq, lease("a", "eth0", ip(9), (seq % 250) as u8, None));
        if seq % 3 == 0 {
            apply(&mut view, 2 * seq + 1, ended("a", ip(9)));
        }
    }
    stop.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|r| r.join().expect("reader"));
}

proptest! {
    /// After any history, a look-up names the last holder of that network's address and nobody else, and
    /// the generation has changed exactly when the holder has.
    #[test]
    fn the_holder_is_the_last_one_granted(
        steps in proptest::collection::vec((0u8..2, 0u8..6, 0u8..4, proptest::bool::weighted(0.3)), 1..200)
    ) {
        let (b, mut view, _) = bindings();
        let mut model: BTreeMap<(u8, u8), (u8, u64)> = BTreeMap::new();
        for (seq, (network, host, client, end)) in (1u64..).zip(steps) {
            let (name, interface) = (["a", "b"][network as usize], ["eth0", "eth1"][network as usize]);
            if end {
                apply(&mut view, seq, ended(name, ip(host)));
                model.remove(&(network, host));
            } else {
                apply(&mut view, seq, lease(name, interface, ip(host), client, None));
                let slot = model.entry((network, host)).or_insert((client, seq));
                if slot.0 != client {
                    *slot = (client, seq);
                }
            }
            for network in 0..2u8 {
                for host in 0..6u8 {
                    let found = b.by_ip(Some(["eth0", "eth1"][network as usize]), ip(host));
                    let found = found.map(|f| (f.mac.unwrap().0[5], f.generation));
                    prop_assert_eq!(found, model.get(&(network, host)).copied());
                }
            }
        }
    }
}

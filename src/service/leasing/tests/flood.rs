//! DH-811: who is heard when too much is asked, and who hears of it.

use super::*;
use crate::domain::dhcp::guard::Rates;
use crate::domain::dhcp::meters::Rate;
use crate::domain::phone::update;

fn stranger(n: u32, kind: Kind, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = message(kind, 0, n, options);
    out[28..34].copy_from_slice(&[[6, 0].as_slice(), &n.to_be_bytes()].concat());
    out
}

/// A hundred addresses, of which ten are kept for known clients.
fn wide(rates: Rates) -> Policy {
    let mut policy = policy("lan");
    let mut networks = std::mem::take(&mut policy.networks);
    networks[0].subnets[0].pools = vec![Pool::new(ip(100), ip(199))];
    let mut policy = Policy::new(networks);
    policy.rules.rates = rates;
    policy
}

fn silent(b: &Bench, reason: &'static str) -> u64 {
    let mut all = b.leasing.counters().into_iter();
    all.find(|(name, labels, _)| *name == "lanlord_dhcp_silent_total" && labels == &[("reason", reason)])
        .map_or(0, |(_, _, count)| count)
}

fn found(b: &Bench, id: &str) -> bool {
    b.leasing.findings().iter().any(|finding| finding.id == id && !finding.fix.is_empty())
}

/// "DISCOVER per MAC: 2/s burst 5", and renewals have their own share.
#[tokio::test]
async fn a_client_that_asks_too_often_is_heard_at_its_rate_and_its_renewals_always() {
    let mut b = bench(Memory::default(), 1000);
    let at = b.bind(1).await;
    let heard =
        (0..100).filter(|n| b.push(&message(Kind::Discover, 1, 50 + n, &[])) == Received::Answered(Kind::Offer));
    assert_eq!(heard.count(), 4, "five at once, with the one before");
    for n in 0..100 {
        let renewal = b.push(&message(Kind::Request, 1, 500 + n, &[(50, &at.octets())]));
        assert_eq!(renewal, Received::Answered(Kind::Ack));
    }
    assert!(matches!(b.push(&message(Kind::Discover, 2, 1, &[])), Received::Answered(_)), "nobody else suffers");
    assert_eq!(silent(&b, "client-rate"), 96);
    assert!(found(&b, "dhcp-client-rate"));
    let told = b.leasing.steps(|step| matches!(step.verdict, Verdict::Silent { reason: "client-rate", .. }), 1000);
    assert_eq!(told.len(), 96, "the packet log says why");
    b.clock.forward(Duration::from_secs(61));
    assert!(!found(&b, "dhcp-client-rate"), "an alarm is over a minute after its cause");
    assert!(matches!(b.push(&message(Kind::Discover, 1, 1, &[])), Received::Answered(_)));
}

/// "circuit-id 20/s burst 50": newcomers only.
#[tokio::test]
async fn newcomers_at_one_relay_port_are_heard_at_its_rate_and_known_clients_always() {
    let mut b = bench(Memory::default(), 1000);
    b.leasing.reload(wide(Rates { port: Rate::of(4), ..Rates::default() }));
    let at = b.bind(1).await;
    let relayed = |mut datagram: Vec<u8>| {
        datagram[24..28].copy_from_slice(&ip(2).octets());
        datagram
    };
    let port: &[u8] = &[1, 3, b'g', b'e', b'1'];
    let (one, other) = ([(82, port)], [(82, &[1, 3, b'g', b'e', b'2'][..])]);
    let send = |b: &Bench, n: u32, option: &[(u8, &[u8])]| {
        b.push(&relayed(stranger(n, Kind::Discover, option))) == Received::Answered(Kind::Offer)
    };
    assert_eq!((0..40).filter(|n| send(&b, *n, &one)).count(), 10);
    assert_eq!((40..45).filter(|n| send(&b, *n, &other)).count(), 5, "another port has its own");
    let known = [(82, port), (50, &at.octets()[..])];
    for n in 0..40 {
        let reboot = relayed(message(Kind::Request, 1, 900 + n, &known));
        // the first one writes down where the client is now
        assert!(matches!(b.push(&reboot), Received::Committing | Received::Deferred | Received::Answered(Kind::Ack)));
        while b.leasing.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(silent(&b, "port-rate"), 30);
    assert!(found(&b, "dhcp-port-rate"));
}

/// "unknown clients per interface: only while the queue is more than half full".
#[tokio::test]
async fn a_flood_is_cut_only_while_the_queue_is_long() {
    let mut b = bench(Memory::default(), 1000);
    b.leasing.reload(wide(Rates { strangers: Rate { per_second: 10, burst: 10 }, ..Rates::default() }));
    let at = b.bind(1).await;
    let send = |n: u32, pressed| b.leasing.receive_from_queue(&arrival(), &stranger(n, Kind::Discover, &[]), pressed);
    let answered = |received: &Received| *received == Received::Answered(Kind::Offer);
    assert_eq!((0..30).map(|n| send(n, false)).filter(answered).count(), 30);
    assert_eq!((30..60).map(|n| send(n, true)).filter(answered).count(), 10);
    assert_eq!((60..80).map(|n| send(n, false)).filter(answered).count(), 20);
    let renewal = message(Kind::Request, 1, 7, &[(50, &at.octets())]);
    assert_eq!(b.leasing.receive_from_queue(&arrival(), &renewal, true), Received::Answered(Kind::Ack));
    assert_eq!(silent(&b, "flood"), 20);
    assert!(found(&b, "dhcp-flood"));
    // as long as a client has been offered something its REQUEST is part of that exchange
    let taken = stranger(5, Kind::Request, &[(54, &ip(1).octets()), (50, &ip(106).octets())]);
    assert!(!matches!(b.leasing.receive_from_queue(&arrival(), &taken, true), Received::Silent(Silence::Flood)));
}

/// "`known_share` of a pool (default 10 %) that strangers cannot take": a device, a former holder and a reserved
/// client get an address when strangers get none.
#[tokio::test]
async fn strangers_leave_a_tenth_of_the_pool_to_those_who_are_known() {
    let mut b = bench(Memory::default(), 10_000);
    b.leasing.reload(wide(Rates::default()));
    let former = b.bind(9).await;
    let released = Change::LeaseEnded { network: "lan".to_owned(), ip: former.into(), end: End::Released };
    b.ledger.commit(vec![released]).await.unwrap();
    let reservation = Reservation {
        keys: vec![ReservationKey::Mac(Mac([2, 0, 0, 0, 0, 8]))],
        ..Reservation::new("by name only", Origin::User("alice".to_owned()))
    };
    b.leasing.put_reservation(reservation).await.unwrap();
    let mac = Some(Mac([2, 0, 0, 0, 0, 7]));
    let device = update::new_device("phone".to_owned(), mac, None, crate::domain::device::Added::Manual);
    b.ledger.commit(vec![Change::DevicePut(Box::new(device))]).await.unwrap();
    let mut given = HashSet::new();
    for n in 0..120 {
        if b.push(&stranger(n, Kind::Discover, &[])) == Received::Answered(Kind::Offer) {
            let at = b.reply().await.1;
            let select = stranger(n, Kind::Request, &[(54, &ip(1).octets()), (50, &at.octets())]);
            assert_eq!(b.push(&select), Received::Committing);
            assert_eq!(b.reply().await, (Kind::Ack, at));
            given.insert(at);
        }
    }
    assert_eq!(given.len(), 90);
    assert_eq!(silent(&b, "known-share"), 30);
    assert!(found(&b, "dhcp-known-share"), "told at once");
    // nor by asking for one of them without an offer
    let last = (100..200u32).map(|n| ip(n as u8)).find(|at| !given.contains(at) && *at != former).unwrap();
    let greedy = stranger(500, Kind::Request, &[(54, &ip(1).octets()), (50, &last.octets())]);
    assert_eq!(b.push(&greedy), Received::Answered(Kind::Nak));
    assert_eq!(b.reply().await.0, Kind::Nak);
    for known in [7, 8, 9] {
        b.bind(known).await;
    }
}

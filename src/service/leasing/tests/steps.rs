use super::*;

/// DH-612: the reason for each decision or silence, for those who ask why a phone did not come up.
#[tokio::test]
async fn the_packet_log_tells_each_message_its_answer_and_why() {
    let mut b = bench(Memory::default(), 9);
    let at = b.bind(1).await;
    b.push(&message(Kind::Request, 2, 7, &[(code::REQUESTED_IP, &ip(77).octets())]));
    let elsewhere = Arrival { interface: "eth9", ..arrival() };
    b.leasing.receive(&elsewhere, &message(Kind::Discover, 3, 8, &[]));
    let of = |n: u8| {
        let mac = Some(Mac([2, 0, 0, 0, 0, n]));
        b.leasing.steps(|step| step.mac == mac, 10).iter().map(|step| step.text()).collect::<Vec<_>>()
    };
    let granted = "leased, and written down before the answer left";
    assert_eq!(
        of(1),
        [
            format!("DHCPDISCOVER via eth0 -> DHCPOFFER {at} for 600 s: set aside for this client until it decides"),
            format!("DHCPREQUEST for {at} via eth0 -> DHCPACK {at} for 600 s: {granted}"),
        ]
    );
    assert!(of(2)[0].starts_with("DHCPREQUEST for 10.0.0.77 via eth0 -> "), "{:?}", of(2));
    assert_eq!(of(3), ["DHCPDISCOVER via eth9 -> no answer: no network is configured on the interface eth9"]);
    assert_eq!(b.leasing.steps(|step| step.is_about(at.into()), 10).len(), 2);
    b.cancel.cancel();
}

/// DH-213: an answer that could not be written down did not leave, and the log says so.
#[tokio::test]
async fn the_packet_log_tells_of_a_commit_that_failed() {
    let mut b = bench(Memory::default(), 0);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    let (_, at) = b.reply().await;
    b.push(&select(1, 2, at));
    b.disk.refuse(true);
    b.gate.add_permits(1);
    b.quiet().await;
    let steps = b.leasing.steps(|_| true, 10);
    let last = steps.last().expect("a step");
    assert!(last.text().contains("no answer: it could not be written down, so it was not sent"), "{}", last.text());
    b.cancel.cancel();
}

/// A flood of strangers washes nothing out of what is known about those who have a lease.
#[tokio::test]
async fn the_packet_log_is_bounded_and_strangers_cannot_empty_it() {
    let mut b = bench(Memory::default(), 9);
    b.bind(1).await;
    let elsewhere = Arrival { interface: "eth9", ..arrival() };
    for n in 0..6_000u32 {
        let mut datagram = message(Kind::Discover, 9, n, &[]);
        datagram[30..34].copy_from_slice(&n.to_be_bytes());
        b.leasing.receive(&elsewhere, &datagram);
    }
    let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    let known = b.leasing.steps(|step| step.mac == mac, 100);
    assert!(known.iter().any(|step| step.text().contains("DHCPACK")), "{known:?}");
    assert!(b.leasing.steps(|_| true, 100_000).len() < 4_200);
    b.cancel.cancel();
}

/// AP-105: the parts of a pool add up to its size, whatever happens.
#[tokio::test]
async fn the_parts_of_a_pool_add_up() {
    let mut b = bench(Memory::default(), 99);
    let at = b.bind(1).await;
    b.push(&message(Kind::Discover, 2, 1, &[]));
    b.reply().await;
    b.push(&message(Kind::Decline, 1, 3, &[(code::REQUESTED_IP, &at.octets())]));
    let origin = Origin::User("alice".to_owned());
    let reservation = Reservation {
        keys: vec![ReservationKey::Mac(Mac([2, 0, 0, 0, 0, 5]))],
        ip: Some(ip(109).into()),
        ..Reservation::new("r", origin)
    };
    b.leasing.put_reservation(reservation).await.expect("reserved");
    let pools = b.leasing.pools();
    let pool = &pools[0];
    assert_eq!((pool.size, pool.quarantined, pool.offered, pool.reserved, pool.leased), (10, 1, 1, 1, 0), "{pool:?}");
    assert_eq!(pool.free + pool.leased + pool.offered + pool.quarantined + pool.reserved, pool.size);
    assert_eq!(pool.percent(), 30);
    b.leasing.lift("lan", at.into()).await.expect("lifted");
    assert!(b.leasing.lift("lan", ip(3).into()).await.is_err());
    let ledger = b.ledger.clone();
    b.leasing.end_what_is_over(&ledger).await;
    assert_eq!(b.leasing.pools()[0].quarantined, 0);
    b.cancel.cancel();
}

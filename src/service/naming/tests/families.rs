//! Names of a host that has leases of both families.

use super::*;
use crate::domain::lease::IaKind;

const DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 7];

fn of(client: ClientKey, mac: Option<Mac>, ip: &str) -> Change {
    Change::LeaseGranted(Box::new(Lease { client, mac, ..lease(ip, 7, Some("pc.lan.example")) }))
}

fn ia(iaid: u32, kind: IaKind) -> ClientKey {
    ClientKey::Ia { duid: DUID.to_vec(), iaid, kind }
}

/// RFC 4361 §4: a client identifier with a DUID names the same client as that DUID in DHCPv6 (DH-223).
#[test]
fn leases_of_one_duid_in_both_families_form_one_host() {
    let mut bench = Bench::new(settings());
    let rfc4361 = [&[255, 0, 0, 0, 9], &DUID[..]].concat();
    bench.apply(vec![of(ClientKey::Id(rfc4361), Some(mac_of(1)), "10.0.0.50")]);
    bench.apply(vec![of(ia(9, IaKind::Address), Some(mac_of(2)), "fd00:1::50")]);
    assert_eq!(bench.ask("pc.lan.example", "A"), "10.0.0.50");
    assert_eq!(bench.ask("pc.lan.example", "AAAA"), "fd00:1::50");
}

/// DH-705: the hardware address of a DHCPv6 client joins it to its DHCPv4 lease; that of two DHCPv4 clients
/// does not.
#[test]
fn a_hardware_address_joins_the_families_and_nothing_else() {
    let mut bench = Bench::new(settings());
    bench.apply(vec![of(ClientKey::Hw(1, mac_of(7).0.to_vec()), Some(mac_of(7)), "10.0.0.50")]);
    bench.apply(vec![of(ia(9, IaKind::Address), Some(mac_of(7)), "fd00:1::50")]);
    let other = ClientKey::Ia { duid: vec![0, 4, 1], iaid: 9, kind: IaKind::Address };
    bench.apply(vec![of(other, Some(mac_of(8)), "fd00:1::60")]);
    bench.apply(vec![of(ClientKey::Id(vec![1, 2, 3]), Some(mac_of(7)), "10.0.0.60")]);
    assert_eq!(bench.ask("pc.lan.example", "A"), "10.0.0.50");
    assert_eq!(bench.ask("pc.lan.example", "AAAA"), "fd00:1::50");
}

#[test]
fn a_delegated_prefix_is_no_address_of_its_client() {
    let mut bench = Bench::new(settings());
    let delegated =
        Lease { client: ia(1, IaKind::Prefix), delegated: Some(64), ..lease("fd00:1::", 7, Some("pc.lan.example")) };
    bench.apply(vec![Change::LeaseGranted(Box::new(delegated))]);
    assert_eq!(bench.ask("pc.lan.example", "AAAA"), "nxdomain");
}

/// A reservation by DUID names the leases of both families, and its addresses resolve before the first one.
#[test]
fn a_reservation_by_duid_names_both_families() {
    let mut bench = Bench::new(settings());
    let duid = |iaid| ReservationKey::Duid { duid: DUID.to_vec(), iaid };
    let base = Reservation::new("r", Origin::User("admin".to_owned()));
    let reservation = Reservation {
        network: Some("lan".to_owned()),
        keys: vec![duid(None)],
        name: Some("desk".to_owned()),
        ip6: vec!["fd00:1::77".parse().unwrap()],
        ..base.clone()
    };
    bench.apply(vec![Change::ReservationPut(Box::new(reservation))]);
    assert_eq!(bench.ask("desk.lan.example", "AAAA"), "fd00:1::77");
    let rfc4361 = [&[255, 0, 0, 0, 9], &DUID[..]].concat();
    bench.apply(vec![of(ClientKey::Id(rfc4361), None, "10.0.0.50")]);
    bench.apply(vec![of(ia(9, IaKind::Address), None, "fd00:1::50")]);
    assert_eq!(bench.ask("desk.lan.example", "A"), "10.0.0.50");
    assert_eq!(bench.ask("desk.lan.example", "AAAA"), "fd00:1::50 fd00:1::77");
    // one for another IAID names nothing of this one
    let other = Reservation { id: "s".into(), keys: vec![duid(Some(8))], name: Some("x".to_owned()), ..base };
    bench.apply(vec![Change::ReservationRemoved { id: "r".to_owned() }, Change::ReservationPut(Box::new(other))]);
    assert_eq!(bench.ask("pc.lan.example", "AAAA"), "fd00:1::50");
}

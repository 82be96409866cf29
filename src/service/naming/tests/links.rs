//! Names of clients that are a host or a reservation for a time.

use super::*;

/// DN-301, DN-302: the name that a lease was given stays that client's while a host names it otherwise, so
/// nobody is told a name that would be taken from it again.
#[test]
fn a_client_that_is_a_host_for_a_time_keeps_the_name_of_its_lease() {
    let mut b = Bench::new(settings());
    b.apply(vec![granted("10.0.0.50", 7, "pc.lan.example")]);
    b.apply(vec![host("h", "desk.lan.example", 7, &[], &[])]);
    assert_eq!(b.ask("desk.lan.example", "A"), "10.0.0.50");
    assert_eq!(b.ask("pc.lan.example", "A"), "nxdomain");
    let newcomer = b.choose(8, "pc", None);
    assert_ne!(newcomer, "pc.lan.example");
    b.apply(vec![granted("10.0.0.60", 8, &newcomer)]);
    b.apply(vec![Change::HostRemoved { id: "h".into() }]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.50");
    assert_eq!(b.ask("50.0.0.10.in-addr.arpa", "PTR"), "pc.lan.example.");
    assert_eq!(b.ask("60.0.0.10.in-addr.arpa", "PTR"), format!("{newcomer}."));
    b.apply(vec![ended("10.0.0.50")]);
    assert_eq!(b.choose(9, "pc", None), "pc.lan.example");
}

/// A name that is only kept hides nobody who has it already.
#[test]
fn a_name_that_is_kept_masks_no_address() {
    let mut b = Bench::new(settings());
    b.apply(vec![host("h", "desk.lan.example", 7, &[], &[])]);
    b.apply(vec![granted("10.0.0.50", 7, "pc.lan.example"), granted("10.0.0.60", 8, "pc.lan.example")]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.60");
}

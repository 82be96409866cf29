use super::*;

#[test]
fn the_names_of_this_server_follow_its_addresses() {
    let b = Bench::new(settings());
    assert_eq!(b.ask("lanlord.lan.example", "A"), "10.0.0.1");
    let serial = b.serial("lan.example");
    b.naming.set_server_addresses(&["10.0.0.1".parse().unwrap()], T0);
    assert_eq!(b.serial("lan.example"), serial, "nothing has changed");
    b.naming.set_server_addresses(&["10.0.0.2".parse().unwrap(), "fd00:1::2".parse().unwrap()], T0);
    assert_eq!(b.ask("provision.lan.example", "A"), "10.0.0.2");
    assert_eq!(b.ask("lanlord.lan.example", "AAAA"), "fd00:1::2");
    assert_eq!(b.ask("2.0.0.10.in-addr.arpa", "PTR"), "lanlord.lan.example.");
    assert_eq!(b.ask("1.0.0.10.in-addr.arpa", "PTR"), "nxdomain");
    b.naming.set_server_addresses(&[], T0);
    assert_eq!(b.ask("lanlord.lan.example", "A"), "nxdomain");
}

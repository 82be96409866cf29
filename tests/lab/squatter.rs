//! Conflict detection against a host that took an address without asking: on the link by ARP (RFC 5227),
//! behind a relay by ICMP echo; RFC 2131 §3.1 point 2, §4.4.1.

use super::client::{Client, Kind};
use super::daemon::{Daemon, config, text};
use super::dhcp::OFFER;
use super::space::{Lab, SERVER, need};
use super::station::{ask, bind, discover};
use super::wire::Wire;

/// The texts of all conflicts so far.
fn conflicts(daemon: &Daemon) -> Vec<String> {
    let all = daemon.list("/api/v1/events?after=0");
    all.iter().filter(|e| text(e, "type") == "address-conflict").map(|e| text(e, "summary").to_owned()).collect()
}

#[test]
fn an_address_that_a_host_on_the_link_uses_is_not_offered() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    lab.address("c2", "eth0", "10.77.1.0/16");
    let mut client = Client::start(&lab, Kind::Udhcpc, "c1", "pc1", &[]);
    assert_eq!(client.bound().ip, "10.77.1.1");
    daemon.until("the conflict is told", |d| !conflicts(d).is_empty());
    let told = conflicts(&daemon);
    assert!(told[0].starts_with("10.77.1.0 on voice is used by 02:77:00:00:01:02"), "{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(daemon.metric("lanlord_dhcp_probes_total", "in-use"), 1);
    // DH-506: the holder of a lease is never sent away for answering, and the asker itself is no conflict
    let mut wire = Wire::open(&lab, "c3");
    let station = discover([2, 0x99, 0, 0, 1, 1], 7);
    let (ack, _) = bind(&mut wire, &station);
    let (offer, _) = ask(&mut wire, &discover([2, 0x99, 0, 0, 1, 1], 8), OFFER).expect("an OFFER");
    assert_eq!(offer.yiaddr, ack.yiaddr);
}

#[test]
fn an_address_that_a_host_behind_the_relay_uses_is_not_offered() {
    need(&[("dhcrelay", "isc-dhcp-relay")]);
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let argv = ["dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "eth1", "-iu", "eth0", SERVER];
    let _relay = lab.start("dhcrelay", "relay", &argv);
    lab.ip("relay", &["addr", "add", "10.78.0.100/24", "dev", "eth1"]);
    let mut client = Client::start(&lab, Kind::Udhcpc, "far", "faraway", &[]);
    assert_eq!(client.bound().ip, "10.78.0.101");
    daemon.until("the conflict is told", |d| !conflicts(d).is_empty());
    let told = conflicts(&daemon);
    assert!(told[0].starts_with("10.78.0.100 on far is kept out of use until"), "{told:?}");
}

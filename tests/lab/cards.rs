//! DH-804: "late, flapping, renamed, renumbered interfaces served <= 3 s without restart; a missing interface
//! never blocks the start".

use std::time::Duration;

use super::daemon::{Daemon, config};
use super::dhcp::{ACK, Message, OFFER, REQUEST};
use super::space::{Lab, PATIENCE, SERVER, due, need, now, wait};
use super::station::{ask, bind, discover, resolve, tftp};
use super::wire::Wire;

const SERVER_MAC: &str = "02:77:00:00:00:01";

/// The next DISCOVER is answered within 3 s of `since`, whatever happened before.
fn served_again(wire: &mut Wire, xid: u32, what: &str) {
    let since = now();
    let hello = discover([2, 0x99, 0, 0, 2, xid as u8], xid);
    loop {
        super::station::broadcast(wire, &hello);
        let again = now() + Duration::from_millis(200);
        if super::station::answer(wire, xid, again).is_some_and(|(m, _)| m.kind() == OFFER) {
            return;
        }
        assert!(since.elapsed() < due(Duration::from_secs(3)), "{what}: no OFFER within 3 s");
    }
}

#[test]
fn a_card_that_comes_late_goes_and_returns_is_served() {
    let lab = Lab::up();
    lab.unplug("srv");
    let daemon = Daemon::start_waiting(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    lab.plug("srv", SERVER_MAC);
    lab.address("srv", "eth0", "10.77.0.1/16");
    served_again(&mut wire, 1, "late");
    let (held, _) = bind(&mut wire, &discover([2, 0x99, 0, 0, 2, 50], 50).with(12, "held"));

    lab.unplug("srv");
    lab.plug("srv", SERVER_MAC);
    lab.address("srv", "eth0", "10.77.0.1/16");
    served_again(&mut wire, 2, "another card of that name");

    for xid in 3..10 {
        lab.ip("srv", &["link", "set", "eth0", "down"]);
        lab.ip("srv", &["link", "set", "eth0", "up"]);
        served_again(&mut wire, xid, "flapping");
    }
    lab.ip("srv", &["link", "set", "eth0", "down"]);
    lab.ip("srv", &["link", "set", "eth0", "name", "spare0"]);
    lab.ip("srv", &["link", "set", "spare0", "name", "eth0", "up"]);
    served_again(&mut wire, 10, "renamed and back");
    // what was leased is still held, and names and files are served on the address that came back
    let reboot = Message::new(REQUEST, 60, [2, 0x99, 0, 0, 2, 50]).with(50, held.yiaddr.octets());
    let (ack, _) = ask(&mut wire, &reboot, ACK).expect("an ACK");
    assert_eq!(ack.yiaddr, held.yiaddr);
    lab.address("c2", "eth0", "10.77.0.50/16");
    assert_eq!(resolve(&lab, "c2", "held.home.arpa"), [held.yiaddr]);
    tftp(&lab, "c2", "/spa3102.cfg").unwrap_or_else(|e| panic!("from {SERVER}: {e:?}"));
    daemon.until("ready again", |d| d.get("/readyz")["ready"] == true);
}

/// A server that moves to another address serves from there: leases, names, and its own name.
#[test]
fn a_renumbered_interface_is_served_at_its_new_address() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    served_again(&mut wire, 1, "before");
    lab.address("c2", "eth0", "10.77.0.50/16");
    assert_eq!(resolve(&lab, "c2", "lanlord.home.arpa"), [SERVER.parse::<std::net::Ipv4Addr>().expect("an address")]);
    lab.ip("srv", &["addr", "del", "10.77.0.1/16", "dev", "eth0"]);
    // the first that anybody would be given: it must not be, for it is ours now
    lab.address("srv", "eth0", "10.77.1.0/16");
    let since = now();
    let mut xid = 1;
    let offer = loop {
        xid += 1;
        super::station::broadcast(&mut wire, &discover([2, 0x99, 0, 0, 3, xid as u8], xid));
        let reply = super::station::answer(&mut wire, xid, now() + Duration::from_millis(200));
        if let Some((m, _)) = reply.filter(|(m, _)| m.ip(54) == Some("10.77.1.0".parse().expect("an address"))) {
            break m;
        }
        assert!(since.elapsed() < due(Duration::from_secs(3)), "no OFFER from the new address within 3 s");
    };
    assert_ne!(offer.yiaddr.to_string(), "10.77.1.0", "our own address");
    let new = "10.77.1.0".parse().expect("an address");
    daemon.until("names are served at the new address", |_| {
        super::station::resolve_at(&lab, "c2", new, "lanlord.home.arpa").as_deref() == Some(&[new])
    });
    let gone = SERVER.parse().expect("an address");
    assert_eq!(super::station::resolve_at(&lab, "c2", gone, "lanlord.home.arpa"), None, "the old listener is closed");
    let parts = daemon.get("/readyz").to_string();
    assert!(!parts.contains("dns 10.77.0.1:53"), "the old address is off the board: {parts}");
}

/// DH-804: "200 flaps leak nothing". Each round takes carrier and addresses away, gives them back, and swaps the card
/// by name. FLAPS=200 in `make soak`.
#[test]
fn flapping_leaks_no_descriptor() {
    let lab = Lab::up();
    let flaps: u32 = std::env::var("FLAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    served_again(&mut wire, 1, "before");
    let before = daemon.descriptors();
    for round in 0..flaps {
        match round % 3 {
            0 => {
                lab.ip("srv", &["link", "set", "eth0", "down"]);
                lab.ip("srv", &["link", "set", "eth0", "up"]);
            }
            1 => {
                lab.flush("srv");
                std::thread::sleep(Duration::from_millis(60));
                lab.address("srv", "eth0", "10.77.0.1/16");
            }
            _ => {
                lab.unplug("srv");
                std::thread::sleep(Duration::from_millis(60));
                lab.plug("srv", SERVER_MAC);
                lab.address("srv", "eth0", "10.77.0.1/16");
            }
        }
        if round % 10 == 9 {
            served_again(&mut wire, 2 + round, "flapping");
        }
    }
    served_again(&mut wire, 2 + flaps, "after the flaps");
    daemon.until("as many descriptors as before", |d| d.descriptors() <= before);
}

/// A card of the configured name that is another kind of device, and whose parent goes by another name.
#[test]
fn a_macvlan_is_served_and_a_renamed_card_is_let_go() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    served_again(&mut wire, 1, "before");
    lab.ip("srv", &["link", "set", "eth0", "down"]);
    lab.ip("srv", &["link", "set", "eth0", "name", "trunk0"]);
    lab.ip("srv", &["addr", "flush", "dev", "trunk0"]);
    lab.ip("srv", &["link", "set", "trunk0", "up"]);
    daemon.until("the log names what is missing", |d| {
        d.log().contains("DHCPv4 is not served on eth0: waiting for the interface, which does not exist")
    });
    lab.ip("srv", &["link", "add", "eth0", "link", "trunk0", "type", "macvlan", "mode", "bridge"]);
    lab.ip("srv", &["link", "set", "eth0", "up"]);
    lab.address("srv", "eth0", "10.77.0.1/16");
    served_again(&mut wire, 2, "a macvlan");
    daemon.until("ready again", |d| d.get("/readyz")["ready"] == true);
}

/// Issue 3 §6: "nothing needs a restart", neither a network that a reload adds nor one that it takes away.
#[test]
fn a_reload_serves_another_interface_and_lets_it_go() {
    let lab = Lab::up();
    let plain = config(600);
    let daemon = Daemon::start(&lab, &plain);
    let sockets = || {
        lab.inside("srv", || {
            let text = std::fs::read_to_string("/proc/thread-self/net/udp").expect("udp");
            text.lines().filter(|l| l.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0043"))).count()
        })
    };
    daemon.until("eth0, and one for answers to relays", |_| sockets() == 2);
    lab.ip("srv", &["link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
    lab.ip("srv", &["link", "set", "late0", "up"]);
    lab.ip("srv", &["addr", "add", "10.90.0.1/24", "dev", "late0"]);
    let more = "\n[[network]]\nname = \"late\"\ninterface = \"late0\"\n[[network.subnet]]\nprefix = \"10.90.0.0/24\"\n\
                pool = [\"10.90.0.100-10.90.0.199\"]\n";
    daemon.reload(&format!("{plain}{more}"));
    let own = "10.90.0.1".parse().expect("an address");
    daemon.until("served", |_| sockets() == 3);
    daemon.until("ready", |d| d.is_ready());
    daemon.until("names are served there", |_| {
        super::station::resolve_at(&lab, "srv", own, "lanlord.home.arpa").is_some_and(|all| all.contains(&own))
    });
    let mut wire = Wire::open(&lab, "c1");
    served_again(&mut wire, 1, "the first network goes on");
    daemon.reload(&plain);
    daemon.until("let go", |d| sockets() == 2 && !d.get("/readyz").to_string().contains("late0"));
    daemon.until("no names there either", |_| {
        super::station::resolve_at(&lab, "srv", own, "lanlord.home.arpa").is_none()
    });
    served_again(&mut wire, 2, "the first network goes on");
}

/// A left-over server is named in the log, and waited out.
#[test]
fn another_dhcp_server_of_this_machine_is_named() {
    need(&[("dnsmasq", "dnsmasq-base")]);
    let lab = Lab::up();
    let argv = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--port=0",
        "--pid-file=",
        "--log-facility=-",
        "--dhcp-range=10.77.9.1,10.77.9.9,2m",
        &format!("--dhcp-leasefile={}", lab.dir().join("leases").display()),
    ];
    let other = lab.start("dnsmasq", "srv", &argv);
    assert!(wait(PATIENCE, || other.output().contains("IP range")), "{}", other.output());
    let daemon = Daemon::start_waiting(&lab, &config(600));
    let named = format!("0.0.0.0:67/udp is already in use by dnsmasq (pid {})", other.pid());
    daemon.until("the other is named", |d| d.log().contains(&named));
    other.kill();
    let mut wire = Wire::open(&lab, "c1");
    daemon.until("served once the other is gone", |_| {
        ask(&mut wire, &discover([2, 0x99, 0, 0, 2, 1], 1), OFFER).is_some()
    });
}

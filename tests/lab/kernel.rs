//! The net module and the neighbour mirror against the real kernel, on interfaces of our own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lanlord::clock::System;
use lanlord::domain::lease::BindingSource;
use lanlord::domain::net::Mac;
use lanlord::net::routes::{RouteTable, Way};
use lanlord::net::{Frames, Inbox, LinkWatch, Outbox, Udp, links};
use lanlord::server::neighbours;
use lanlord::service::bindings::{Bindings, Holder};
use tokio_util::sync::CancellationToken;

use super::space::{Lab, PATIENCE, due, now, wait};
use super::wire::{BROADCAST, Packet, Wire};

/// Runs a future in a namespace.
fn within<T: Send>(lab: &Lab, name: &str, work: impl AsyncFnOnce() -> T + Send) -> T {
    lab.inside(name, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, work()).await.expect("in time") })
    })
}

async fn until(watch: &LinkWatch, what: &str, done: impl Fn(&links::Links) -> bool) {
    let mut changes = watch.changes();
    let wait = async {
        while !done(&watch.links()) {
            changes.changed().await.expect("followed");
        }
    };
    tokio::time::timeout(due(Duration::from_secs(3)), wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// DH-804: "late, flapping, renamed, renumbered interfaces served <= 3 s without restart".
#[test]
fn interfaces_are_followed() {
    let lab = Lab::up();
    within(&lab, "srv", async || {
        let cancel = CancellationToken::new();
        let watch = links::watch(cancel.clone()).await.expect("a watch");
        let eth0 = watch.links().by_name("eth0").expect("eth0").clone();
        assert_eq!((eth0.ipv4(), eth0.up), (Some(Ipv4Addr::new(10, 77, 0, 1)), true));
        assert!(eth0.on_link("10.77.200.1".parse().expect("an address")));
        lab.address("srv", "eth0", "10.99.0.1/24");
        until(&watch, "renumbered", |l| l.owner_of([10, 99, 0, 1].into()).is_some()).await;
        lab.ip("srv", &["link", "set", "eth0", "down"]);
        until(&watch, "down", |l| !l.by_index(eth0.index).expect("it stays").up).await;
        lab.ip("srv", &["link", "set", "eth0", "name", "lan0", "up"]);
        until(&watch, "renamed", |l| l.by_name("lan0").is_some_and(|l| l.up && l.index == eth0.index)).await;
        assert!(watch.links().by_name("eth0").is_none());
        lab.ip("srv", &["link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
        until(&watch, "late", |l| l.by_name("late0").is_some()).await;
        cancel.cancel();
    });
}

/// DH-801, DH-802: a broadcast comes in on its interface; an answer goes to a hardware address by frame.
#[test]
fn a_client_without_address_is_heard_and_answered() {
    let lab = Lab::up();
    let mut wire = Wire::open(&lab, "c1");
    let mac = [2, 0x99, 0, 0, 0, 7];
    let offered = Ipv4Addr::new(10, 77, 1, 1);
    let server = Ipv4Addr::new(10, 77, 0, 1);
    within(&lab, "srv", async || {
        let socket = Udp::dhcp4("eth0", 67).expect("a socket");
        let routed = Udp::send_only(67).expect("a second socket");
        let (mut inbox, mut outbox) = (Inbox::new(32, 1500), Outbox::new());
        let payload = vec![1; 300];
        let (none, all) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        wire.send(&Packet { from_mac: mac, to_mac: BROADCAST, from: (none, 68), to: (all, 67), payload });
        socket.receive(&mut inbox).await.expect("a broadcast");
        let got = inbox.iter().next().expect("one");
        assert_eq!((got.bytes.len(), got.source), (300, SocketAddr::from(([0, 0, 0, 0], 68))));
        assert_eq!(got.destination, Some(IpAddr::V4(all)));
        assert_eq!(got.local, Some(IpAddr::V4(server)));
        let from = std::net::SocketAddrV4::new(server, 67);
        let to = std::net::SocketAddrV4::new(offered, 68);
        outbox.push_frame(got.ifindex, Mac(mac), from, to, b"offer");
        let sent = Frames::open().expect("a packet socket").send(&mut outbox).await;
        assert_eq!((sent.sent, sent.failed), (1, 0), "{:?}", sent.last_error);
        let packet = wire.receive(now() + PATIENCE).expect("a frame");
        assert_eq!((packet.to_mac, packet.from, packet.to), (mac, (server, 67), (offered, 68)));
        assert_eq!(packet.payload, b"offer");
        // to everybody, from the address of our choice; and to a relay, by the routing table
        outbox.push(SocketAddr::from((all, 68)), Some(server.into()), 0, b"all");
        assert_eq!(socket.send(&mut outbox).await.sent, 1);
        let packet = wire.receive(now() + PATIENCE).expect("a broadcast");
        assert_eq!((packet.to_mac, packet.from, packet.to), (BROADCAST, (server, 67), (all, 68)));
        wire.held.insert(offered, mac);
        outbox.push(SocketAddr::from((offered, 67)), Some(server.into()), 0, b"relay");
        assert_eq!(routed.send(&mut outbox).await.sent, 1);
        let end = now() + PATIENCE;
        let packet = loop {
            let packet = wire.receive(end).expect("a datagram");
            if packet.to.1 == 67 {
                break packet;
            }
        };
        assert_eq!((packet.to_mac, packet.from, packet.to), (mac, (server, 67), (offered, 67)));
    });
}

/// PR-5, PR-22: a station with a fixed address is known by its MAC, at once, also after the address changed hands.
#[test]
fn a_static_station_is_known_by_its_neighbour_entry() {
    let lab = Lab::up();
    let ip: IpAddr = [10, 77, 0, 101].into();
    lab.address("c1", "eth0", "10.77.0.101/16");
    within(&lab, "srv", async || {
        let cancel = CancellationToken::new();
        let bindings = Bindings::new(Arc::new(System));
        let watch = links::watch(cancel.clone()).await.expect("a watch");
        let mirror = neighbours::run(bindings.neighbours(), watch, cancel.clone());
        let tests = async {
            assert_eq!(bindings.look(Some("eth0"), ip), Holder::Unknown, "nobody has spoken yet");
            let found = bindings.resolve(Some("eth0"), ip).await.expect("it answers ARP");
            assert_eq!(found.mac, Some("02:77:00:00:01:01".parse().expect("a MAC")));
            assert_eq!(found.source, BindingSource::Neighbour);
            assert_eq!(bindings.by_ip(Some("lo"), ip), None);
            // another station takes the address and says so by speaking to us
            lab.flush("c1");
            lab.address("c2", "eth0", "10.77.0.101/16");
            lab.inside("c2", || {
                let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
                socket.send_to(b"hello", "10.77.0.1:9").expect("a datagram");
            });
            let want: Mac = "02:77:00:00:01:02".parse().expect("a MAC");
            let end = tokio::time::Instant::now() + PATIENCE;
            while bindings.by_ip(Some("eth0"), ip).and_then(|b| b.mac) != Some(want) {
                assert!(tokio::time::Instant::now() < end, "the new holder is not seen");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(bindings.by_ip(None, ip).expect("known").generation > found.generation);
            let start = now();
            assert_eq!(bindings.resolve(Some("eth0"), [10, 77, 9, 9].into()).await, None, "nobody is there");
            assert!(start.elapsed() < due(Duration::from_secs(1)));
            cancel.cancel();
        };
        let (ran, ()) = tokio::join!(mirror, tests);
        ran.expect("the mirror");
    });
}

/// PR-5 for IPv6: neighbour discovery tells whose an address is, be it global or of the link.
#[test]
fn an_ipv6_station_is_known_by_its_neighbour_entry() {
    let lab = Lab::up6();
    lab.enable6("c1");
    lab.address("c1", "eth0", "fd77::101/64");
    within(&lab, "srv", async || {
        let cancel = CancellationToken::new();
        let bindings = Bindings::new(Arc::new(System));
        let watch = links::watch(cancel.clone()).await.expect("a watch");
        let eth0 = watch.links().by_name("eth0").expect("eth0").clone();
        assert_eq!(eth0.link_local(), Some("fe80::77:ff:fe00:1".parse().expect("an address")), "EUI-64 of its MAC");
        let mirror = neighbours::run(bindings.neighbours(), watch, cancel.clone());
        let tests = async {
            // its addresses are tried for duplicates first
            let tentative = || lab.ip("c1", &["-6", "addr", "show", "dev", "eth0"]).contains("tentative");
            assert!(wait(PATIENCE, || !tentative()), "{}", lab.ip("c1", &["-6", "addr"]));
            for ip in ["fd77::101", "fe80::77:ff:fe00:101"] {
                let ip: IpAddr = ip.parse().expect("an address");
                let found = bindings.resolve(Some("eth0"), ip).await.unwrap_or_else(|| panic!("{ip} does not answer"));
                assert_eq!(found.mac, Some("02:77:00:00:01:01".parse().expect("a MAC")), "{ip}");
                assert_eq!(bindings.neighbours().mac("eth0", ip), found.mac);
            }
            cancel.cancel();
        };
        let (ran, ()) = tokio::join!(mirror, tests);
        ran.expect("the mirror");
    });
}

/// More changes than a netlink socket has room for, while nobody reads it: what was lost is read again, and nothing
/// older than that counts.
#[test]
fn changes_that_come_faster_than_they_are_read_are_known_in_the_end() {
    let lab = Lab::up();
    let ip: IpAddr = [10, 77, 0, 101].into();
    let batch = lab.dir().join("batch");
    let entry = |last: u16| {
        let [high, low] = last.to_be_bytes();
        format!("neigh replace 10.77.0.101 lladdr 02:77:00:02:{high:02x}:{low:02x} dev eth0 nud permanent\n")
    };
    within(&lab, "srv", async || {
        let cancel = CancellationToken::new();
        let bindings = Bindings::new(Arc::new(System));
        let watch = links::watch(cancel.clone()).await.expect("a watch");
        let mirror = neighbours::run(bindings.neighbours(), watch.clone(), cancel.clone());
        let tests = async {
            let known = async |mac: Mac| {
                while bindings.neighbours().mac("eth0", ip) != Some(mac) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            lab.ip("srv", &["neigh", "replace", "10.77.0.101", "lladdr", "02:77:00:01:00:00", "dev", "eth0"]);
            known("02:77:00:01:00:00".parse().expect("a MAC")).await;
            for round in 0..3u16 {
                let last = round * 10_000 + 9_999;
                let flood: String = (round * 10_000..=last).map(entry).collect();
                let moves = format!("addr add 10.99.{round}.1/24 dev eth0\naddr del 10.99.{round}.1/24 dev eth0\n");
                std::fs::write(&batch, format!("{flood}{}", moves.repeat(500))).expect("a batch");
                // one thread: nothing is read before this returns
                lab.ip("srv", &["-batch", &batch.display().to_string()]);
                lab.ip("srv", &["addr", "add", &format!("10.98.{round}.1/24"), "dev", "eth0"]);
                // also while an answer is waited for that may have been lost
                bindings.resolve(Some("eth0"), [10, 77, 0, 102].into()).await;
                let [high, low] = last.to_be_bytes();
                known(Mac([2, 0x77, 0, 2, high, low])).await;
                until(&watch, "the last address", |l| l.owner_of([10, 98, round as u8, 1].into()).is_some()).await;
            }
            cancel.cancel();
        };
        let (ran, ()) = tokio::join!(mirror, tests);
        ran.expect("the mirror");
    });
}

/// DH-707: our routes have a protocol number of their own, and nobody else's are touched.
#[test]
fn our_routes_are_told_from_all_others() {
    let lab = Lab::up6();
    let hand = ["-6", "route", "add", "fd90:2::/56", "via", "fe80::99", "dev", "eth0", "metric", "1024"];
    lab.ip("srv", &hand);
    within(&lab, "srv", async || {
        let table = RouteTable::open().expect("netlink");
        let eth0 = nix::net::if_::if_nametoindex("eth0").expect("eth0");
        let way = |prefix: &str, via: &str| Way {
            prefix: prefix.parse().expect("a prefix"),
            via: via.parse().expect("an address"),
            ifindex: eth0,
        };
        assert_eq!(table.ours().await.expect("a table"), []);
        let (one, two) = (way("fd90:1::/56", "fe80::1"), way("fd90:2::/56", "fe80::2"));
        table.replace(one).await.expect("a route");
        table.replace(two).await.expect("another");
        table.replace(two).await.expect("the same again");
        let moved = way("fd90:1::/56", "fe80::7");
        table.replace(moved).await.expect("its client has moved");
        let mut ours = table.ours().await.expect("a table");
        ours.sort();
        assert_eq!(ours, [moved, two]);
        // the one made by hand is in force
        let shown = lab.ip("srv", &["-6", "route", "get", "fd90:2::1"]);
        assert!(shown.contains("fe80::99"), "{shown}");
        let relay = "fd77::2".parse().expect("an address");
        assert_eq!(table.toward(relay).await.expect("an answer"), Some((relay, eth0)));
        let beyond = "fd78::9".parse().expect("an address");
        assert_eq!(table.toward(beyond).await.expect("an answer"), Some((relay, eth0)), "by the router before it");
        assert_eq!(table.toward("2001:db8::1".parse().expect("an address")).await.expect("an answer"), None);
        table.remove(two.prefix).await.expect("removed");
        table.remove(two.prefix).await.expect("nothing to remove is no failure");
        assert_eq!(table.ours().await.expect("a table"), [moved]);
        assert!(lab.ip("srv", &["-6", "route"]).contains("fd90:2::/56 via fe80::99"), "the other one stays");
    });
}

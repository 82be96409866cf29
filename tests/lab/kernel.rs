//! The net module and the neighbour mirror against the real kernel, on interfaces of our own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lanlord::clock::System;
use lanlord::domain::lease::BindingSource;
use lanlord::domain::net::Mac;
use lanlord::net::{Frames, Inbox, LinkWatch, Outbox, Udp, links};
use lanlord::server::neighbours;
use lanlord::service::bindings::{Bindings, Holder};
use tokio_util::sync::CancellationToken;

use super::space::{Lab, now};
use super::wire::{BROADCAST, Packet, Wire};

const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a future in a namespace.
fn within<T: Send>(lab: &Lab, name: &str, work: impl AsyncFnOnce() -> T + Send) -> T {
    lab.inside(name, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), work()).await.expect("in time") })
    })
}

async fn until(watch: &LinkWatch, what: &str, done: impl Fn(&links::Links) -> bool) {
    let mut changes = watch.changes();
    let wait = async {
        while !done(&watch.links()) {
            changes.changed().await.expect("followed");
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in 3 s: {what}"));
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
            // let the mirror read the table first
            tokio::time::sleep(Duration::from_millis(100)).await;
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
            assert!(start.elapsed() < Duration::from_secs(1));
            cancel.cancel();
        };
        let (ran, ()) = tokio::join!(mirror, tests);
        ran.expect("the mirror");
    });
}

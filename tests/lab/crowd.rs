//! Many clients at once, and a server that goes away in between.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::daemon::{Daemon, config};
use super::dhcp::{ACK, Message, NAK, OFFER};
use super::space::{Lab, PATIENCE, now};
use super::station::{answer, ask, bind, broadcast, discover};
use super::wire::{Mac, Wire};

fn mac(n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    [2, 0x99, 0, 0, high, low]
}

/// Issue 2: "one of 200 clients at once". All speak in the same instant; each repeats itself every 2 s.
#[test]
fn two_hundred_clients_at_once_get_two_hundred_addresses() {
    const CLIENTS: u16 = 200;
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let mut want: HashMap<u32, Message> =
        (0..CLIENTS).map(|n| (u32::from(n) + 1, discover(mac(n), u32::from(n) + 1))).collect();
    let mut got: HashMap<Mac, Ipv4Addr> = HashMap::new();
    let start = now();
    let limit = start + PATIENCE;
    while got.len() < usize::from(CLIENTS) {
        assert!(now() < limit, "{} of {CLIENTS} got an address in {PATIENCE:?}", got.len());
        for m in want.values() {
            broadcast(&mut wire, m);
        }
        let again = now() + Duration::from_secs(2);
        while got.len() < usize::from(CLIENTS)
            && let Some(packet) = wire.receive(again)
        {
            let Some(m) = Message::parse(&packet.payload).filter(|m| m.op == 2) else { continue };
            let Some(last) = want.get(&m.xid).cloned() else { continue };
            assert_eq!(m.chaddr, last.chaddr);
            match m.kind() {
                OFFER if last.kind() == super::dhcp::DISCOVER => {
                    let request = m.request(&last);
                    broadcast(&mut wire, &request);
                    want.insert(m.xid, request);
                }
                ACK => {
                    got.insert(m.chaddr, m.yiaddr);
                    want.remove(&m.xid);
                }
                NAK => panic!("a NAK for {:02x?}", m.chaddr),
                _ => {}
            }
        }
    }
    eprintln!("{CLIENTS} clients in {:?}", start.elapsed());
    let distinct: HashSet<Ipv4Addr> = got.values().copied().collect();
    assert_eq!(distinct.len(), usize::from(CLIENTS), "every address once");
    let leased: HashSet<Ipv4Addr> = daemon.leased().iter().map(|ip| ip.parse().expect("an address")).collect();
    assert_eq!(leased, distinct, "and the server says so too");
}

/// DH-204: "Offer lost by a restart: grant if free and permitted."
#[test]
fn a_restart_between_offer_and_request_costs_nobody_anything() {
    let lab = Lab::up();
    let mut daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    // somebody who holds a lease before the restart must hold it after
    let (held, _) = bind(&mut wire, &discover(mac(1), 1));
    let first = discover(mac(2), 2);
    let (offer, _) = ask(&mut wire, &first, OFFER).expect("an OFFER");
    for (round, end) in [Daemon::stop, Daemon::kill].into_iter().enumerate() {
        end(&mut daemon);
        daemon.again();
        assert!(daemon.leased().contains(&held.yiaddr.to_string()), "the lease survived");
        if round == 0 {
            let (ack, _) = ask(&mut wire, &offer.request(&first), ACK).expect("an ACK");
            assert_eq!(ack.yiaddr, offer.yiaddr);
        }
    }
    assert_eq!(daemon.leased().len(), 2);
    // INIT-REBOOT after the server's own restart: the record is there
    let reboot = Message::new(super::dhcp::REQUEST, 3, mac(2)).with(50, offer.yiaddr.octets());
    let (ack, _) = ask(&mut wire, &reboot, ACK).expect("an ACK");
    assert_eq!(ack.yiaddr, offer.yiaddr);
}

/// RFC 2131 §4.1: with the broadcast bit clear the answer goes to the hardware address; with it set, to all.
#[test]
fn answers_reach_clients_that_have_no_address() {
    let lab = Lab::up();
    let _daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let (ack, packet) = bind(&mut wire, &discover(mac(7), 7));
    assert_eq!((packet.to_mac, packet.to), (mac(7), (ack.yiaddr, 68)));
    assert_eq!(packet.from, (super::station::server(), 67));
    assert!(packet.payload.len() >= 300);
    let mut shy = discover(mac(8), 8);
    shy.flags = 0x8000;
    let (ack, packet) = bind(&mut wire, &shy);
    assert_eq!((packet.to_mac, packet.to), (super::wire::BROADCAST, (Ipv4Addr::BROADCAST, 68)));
    assert_eq!(ack.flags, 0x8000);
    // renewing by unicast from the bound address
    let mut renew = Message::new(super::dhcp::REQUEST, 9, mac(8));
    renew.ciaddr = ack.yiaddr;
    let server = super::wire::Packet {
        from_mac: mac(8),
        to_mac: packet.from_mac,
        from: (ack.yiaddr, 68),
        to: (super::station::server(), 67),
        payload: renew.to_bytes(),
    };
    wire.send(&server);
    let (renewed, packet) = answer(&mut wire, 9, now() + PATIENCE).expect("an ACK");
    assert_eq!((renewed.kind(), renewed.yiaddr, packet.to), (ACK, ack.yiaddr, (ack.yiaddr, 68)));
}

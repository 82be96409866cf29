//! Invariant I4: the binding and the name are there before the ACK leaves.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::daemon::{Daemon, config};
use super::space::{Lab, PATIENCE, now};
use super::station::{addresses, bind, discover, question, release, rrq, server};
use super::wire::{Mac, Packet, Wire};

const TFTP: u16 = 4_000;
const DNS: u16 = 5_000;

/// PR-3, DH-621: a phone's first request and the first question for its name, fired the moment that its ACK
/// is received; each station is new. `RACE=10000` for the long run.
#[test]
fn a_request_fired_on_the_ack_is_never_a_miss() {
    let rounds: u32 = std::env::var("RACE").map_or(500, |n| n.parse().expect("RACE is a number"));
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let (mut slowest, mut seen) = (Duration::ZERO, HashSet::new());
    for round in 1..=rounds {
        let [_, a, b, c] = round.to_be_bytes();
        let mac: Mac = [0x00, 0x0e, 0x08, a, b, c]; // a Linksys block
        let hostname = format!("spa{round}");
        let hello = discover(mac, round).with(60, "LINKSYS SPA-3102").with(12, &hostname);
        let (ack, packet) = bind(&mut wire, &hello);
        let fired = now();
        // a stack resolves the server first; not always waiting for that is harder than life. An address that
        // another station had is announced: its entry in the server's neighbour table names the other one
        if !seen.insert(ack.yiaddr) || round % 2 == 0 {
            wire.who_has(server(), ack.yiaddr, mac);
        }
        let file: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        for (port, to, payload) in [
            (TFTP, 69, rrq(&format!("/{file}.xml"))),
            (DNS, 53, question(round as u16, &format!("{hostname}.home.arpa"), 1)),
        ] {
            let to_mac = packet.from_mac;
            wire.send(&Packet { from_mac: mac, to_mac, from: (ack.yiaddr, port), to: (server(), to), payload });
        }
        let (file, name) = answers(&mut wire, ack.yiaddr, round);
        slowest = slowest.max(fired.elapsed());
        assert!(file.payload.starts_with(&[0, 3, 0, 1]), "round {round}: {:?}", String::from_utf8_lossy(&file.payload));
        assert_eq!(addresses(&name.payload), [ack.yiaddr], "round {round}: the name");
        fetch_the_rest(&mut wire, &file, packet.from_mac);
        release(&mut wire, mac, ack.yiaddr, packet.from_mac, round);
        // the kernel has room for 1024 neighbours in all namespaces together (gc_thresh3): beyond it datagrams are
        // dropped, those of other tests, too
        if round % 50 == 0 {
            lab.ip("srv", &["neigh", "flush", "dev", "eth0"]);
        }
    }
    eprintln!("{rounds} rounds, slowest answer {slowest:?}");
    assert_eq!(daemon.list("/api/v1/devices?limit=20000").len(), rounds as usize, "one device a phone, no junk");
    assert_eq!(daemon.metric("lanlord_bindings_unidentified_total", ""), 0);
}

/// RFC 1350: acknowledges block after block until the short one.
fn fetch_the_rest(wire: &mut Wire, first: &Packet, server_mac: Mac) {
    let (mut block, mut len) = (1u16, first.payload.len());
    let end = now() + PATIENCE;
    loop {
        let payload = [&[0, 4], &block.to_be_bytes()[..]].concat();
        let (from_mac, from, to) = (first.to_mac, first.to, first.from);
        wire.send(&Packet { from_mac, to_mac: server_mac, from, to, payload });
        if len < 516 {
            return;
        }
        let next = loop {
            let packet = wire.receive(end).expect("the next block");
            if packet.from == first.from
                && packet.payload.starts_with(&[0, 3])
                && packet.payload[2..4] > block.to_be_bytes()[..]
            {
                break packet;
            }
        };
        (block, len) = (block + 1, next.payload.len());
    }
}

/// The TFTP and the DNS answer, in any order.
fn answers(wire: &mut Wire, ip: Ipv4Addr, round: u32) -> (Packet, Packet) {
    let (mut file, mut name) = (None, None);
    let end = now() + PATIENCE;
    loop {
        match (file, name) {
            (Some(file), Some(name)) => return (file, name),
            halves => (file, name) = halves,
        }
        let missing =
            format!("{}{}", if file.is_none() { " file" } else { "" }, if name.is_none() { " name" } else { "" });
        let packet = wire.receive(end).unwrap_or_else(|| panic!("round {round}: no answer for the{missing}"));
        match packet.to {
            (to, TFTP) if to == ip => file = file.or(Some(packet)),
            (to, DNS) if to == ip => name = name.or(Some(packet)),
            _ => {}
        }
    }
}

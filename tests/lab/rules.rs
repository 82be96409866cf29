//! RFC 2131 on the wire, from raw stations; and bytes that are nobody's protocol.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::daemon::{Daemon, config};
use super::dhcp::{ACK, DECLINE, INFORM, Message, NAK, OFFER, REQUEST};
use super::space::{Lab, due, now};
use super::station::{ask, bind, broadcast, discover, question, rrq, server};
use super::wire::{BROADCAST, Mac, Packet, Wire};

fn mac(n: u8) -> Mac {
    [2, 0x99, 0, 0, 1, n]
}

/// RFC 2131 §4.3.5: "unicast to the address given in 'ciaddr'", "MUST NOT send a lease expiration time".
#[test]
fn inform_is_answered_with_options_only() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let fixed = Ipv4Addr::new(10, 77, 0, 50);
    wire.held.insert(fixed, mac(1));
    let mut inform = Message::new(INFORM, 1, mac(1)).with(55, [1, 3, 6, 15]);
    inform.ciaddr = fixed;
    let (ack, packet) = ask(&mut wire, &inform, ACK).expect("an ACK");
    assert_eq!((packet.to, ack.yiaddr), ((fixed, 68), Ipv4Addr::UNSPECIFIED));
    assert_eq!((ack.option(51), ack.option(58), ack.option(59)), (None, None, None));
    assert_eq!((ack.ip(1), ack.ip(3)), (Some(Ipv4Addr::new(255, 255, 0, 0)), Some(server())));
    assert!(daemon.leased().is_empty());
}

/// RFC 2131 §4.3.3: "the server MUST mark the network address as not available".
#[test]
fn a_declined_address_is_not_offered_again() {
    let lab = Lab::up();
    let mut daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let (ack, _) = bind(&mut wire, &discover(mac(2), 2));
    wire.held.remove(&ack.yiaddr);
    let decline = Message::new(DECLINE, 3, mac(2)).with(50, ack.yiaddr.octets()).with(54, server().octets());
    broadcast(&mut wire, &decline);
    daemon.until("the lease is gone", |d| d.leased().is_empty());
    let wish = discover(mac(2), 4).with(50, ack.yiaddr.octets());
    let (offer, _) = ask(&mut wire, &wish, OFFER).expect("an OFFER");
    assert_ne!(offer.yiaddr, ack.yiaddr);
    // and not after a restart either
    daemon.kill();
    daemon.again();
    let wish = discover(mac(3), 5).with(50, ack.yiaddr.octets());
    let (offer, _) = ask(&mut wire, &wish, OFFER).expect("an OFFER");
    assert_ne!(offer.yiaddr, ack.yiaddr);
}

/// RFC 2131 §4.3.2, INIT-REBOOT: "the server SHOULD send a DHCPNAK message to the client" on the wrong network.
#[test]
fn a_client_that_moved_here_is_told_so() {
    let lab = Lab::up();
    let _daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let elsewhere = Message::new(REQUEST, 6, mac(4)).with(50, [192, 0, 2, 9]);
    let (nak, packet) = ask(&mut wire, &elsewhere, NAK).expect("a NAK");
    assert_eq!((packet.to, nak.yiaddr), ((Ipv4Addr::BROADCAST, 68), Ipv4Addr::UNSPECIFIED));
    assert_eq!((nak.ip(54), nak.option(51)), (Some(server()), None));
}

/// Issue 2, bad input: "a clear error or documented silence, a counter, nothing lost, nobody else disturbed".
#[test]
fn junk_disturbs_nobody() {
    const PACKETS: usize = 30_000;
    let lab = Lab::up();
    let mut daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let (held, packet) = bind(&mut wire, &discover(mac(5), 7));
    let server_mac = packet.from_mac;
    let mut random = Random(0x1a2b_3c4d_5e6f_7081);
    let whole = [
        (67, discover(mac(6), 8).with(12, "name").with(82, [1, 2, 3, 4]).with(61, [255, 1, 2, 3]).to_bytes()),
        (67, Message::new(REQUEST, 9, mac(6)).with(50, [10, 77, 1, 9]).to_bytes()),
        (69, rrq("/../../../etc/passwd")),
        (69, rrq("/spa3102.cfg")),
        (53, question(1, "pc1.home.arpa", 1)),
        (53, question(2, "9.1.77.10.in-addr.arpa", 12)),
    ];
    for round in 0..PACKETS {
        let (port, bytes) = &whole[random.below(whole.len())];
        let mut payload = bytes.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(payload.len());
            payload[at] = random.below(256) as u8;
        }
        match random.below(4) {
            0 => payload.truncate(random.below(payload.len() + 1)),
            1 => payload.extend((0..random.below(900)).map(|_| 0xff)),
            _ => {}
        }
        let to_mac = if *port == 67 { BROADCAST } else { server_mac };
        let to = if *port == 67 { Ipv4Addr::BROADCAST } else { server() };
        let from = (held.yiaddr, 1024 + (round % 60_000) as u16);
        wire.send(&Packet { from_mac: mac(5), to_mac, from, to: (to, *port), payload });
    }
    let start = now();
    let (ack, _) = bind(&mut wire, &discover(mac(7), 10).with(12, "orderly"));
    assert!(start.elapsed() < due(Duration::from_secs(6)), "{:?}", start.elapsed());
    let leased = daemon.leased();
    assert!(leased.contains(&held.yiaddr.to_string()) && leased.contains(&ack.yiaddr.to_string()), "{leased:?}");
    // the same process, and what it wrote is readable
    daemon.stop();
    daemon.again();
    assert!(daemon.leased().contains(&ack.yiaddr.to_string()));
    let kept = Message::new(REQUEST, 11, mac(5)).with(50, held.yiaddr.octets());
    // asked again like any client would: thirty thousand packets may have pushed one off a queue
    let (again, _) = ask(&mut wire, &kept, ACK).expect("an ACK");
    assert_eq!(again.yiaddr, held.yiaddr);
}

/// xorshift64*: the same bytes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % n.max(1)
    }
}

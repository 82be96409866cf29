//! What a phone does, from raw stations on a [`Wire`]: get a lease, ask for files and names.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::dhcp::{ACK, DISCOVER, Message, OFFER, RELEASE};
use super::space::{Lab, SERVER, now};
use super::wire::{BROADCAST, Mac, Packet, Wire};

/// How long a client waits before it repeats itself.
const AGAIN: Duration = Duration::from_secs(2);

pub fn server() -> Ipv4Addr {
    SERVER.parse().expect("an address")
}

/// A DISCOVER that asks for what phones ask for.
pub fn discover(mac: Mac, xid: u32) -> Message {
    Message::new(DISCOVER, xid, mac).with(55, [1, 3, 6, 15, 66])
}

/// Sends a client's broadcast.
pub fn broadcast(wire: &mut Wire, m: &Message) {
    let none = Ipv4Addr::UNSPECIFIED;
    let from = (m.ciaddr, 68);
    debug_assert!(m.ciaddr == none || wire.held.contains_key(&m.ciaddr));
    let payload = m.to_bytes();
    wire.send(&Packet { from_mac: m.chaddr, to_mac: BROADCAST, from, to: (Ipv4Addr::BROADCAST, 67), payload });
}

/// The next answer of a DHCP server to `xid`.
pub fn answer(wire: &mut Wire, xid: u32, end: Instant) -> Option<(Message, Packet)> {
    loop {
        let packet = wire.receive(end)?;
        if packet.from.1 != 67 || packet.to.1 != 68 {
            continue;
        }
        match Message::parse(&packet.payload) {
            Some(m) if m.op == 2 && m.xid == xid => return Some((m, packet)),
            _ => {}
        }
    }
}

/// Broadcasts until an answer of that kind comes, every two seconds, for half a minute.
pub fn ask(wire: &mut Wire, m: &Message, kind: u8) -> Option<(Message, Packet)> {
    for _ in 0..15 {
        broadcast(wire, m);
        let end = now() + AGAIN;
        while let Some((reply, packet)) = answer(wire, m.xid, end) {
            if reply.kind() == kind {
                return Some((reply, packet));
            }
        }
    }
    None
}

/// DISCOVER to ACK; from here on the wire answers ARP for the address.
pub fn bind(wire: &mut Wire, discover: &Message) -> (Message, Packet) {
    let (offer, _) = ask(wire, discover, OFFER).expect("an OFFER");
    let (ack, packet) = ask(wire, &offer.request(discover), ACK).expect("an ACK");
    assert_eq!(ack.yiaddr, offer.yiaddr);
    wire.held.insert(ack.yiaddr, discover.chaddr);
    (ack, packet)
}

/// Unicasts a RELEASE, as RFC 2131 §4.4.6 wants it.
pub fn release(wire: &mut Wire, mac: Mac, ip: Ipv4Addr, server_mac: Mac, xid: u32) {
    let mut m = Message::new(RELEASE, xid, mac).with(54, server().octets());
    m.ciaddr = ip;
    wire.send(&Packet { from_mac: mac, to_mac: server_mac, from: (ip, 68), to: (server(), 67), payload: m.to_bytes() });
    wire.held.remove(&ip);
}

/// RFC 1350: a read request.
pub fn rrq(file: &str) -> Vec<u8> {
    [b"\0\x01", file.as_bytes(), b"\0octet\0"].concat()
}

/// Gets a file by TFTP with the namespace's own stack; an error packet is (code, message).
pub fn tftp(lab: &Lab, name: &str, file: &str) -> Result<Vec<u8>, (u16, String)> {
    lab.inside(name, || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(AGAIN)).expect("a timeout");
        let (mut last, mut to) = (rrq(file), SocketAddr::from((server(), 69)));
        socket.send_to(&last, to).expect("a request");
        let (mut out, mut block, mut buffer, mut repeated) = (Vec::new(), 1u16, [0; 1024], 0);
        loop {
            let Ok((n, from)) = socket.recv_from(&mut buffer) else {
                repeated += 1;
                assert!(repeated < 15, "TFTP {file}: no answer");
                socket.send_to(&last, to).expect("the same again");
                continue;
            };
            // RFC 1350 §4: of a request that was repeated, one transfer goes on
            if to.port() != 69 && from != to {
                continue;
            }
            match (buffer[..n].get(..4), n) {
                (Some([0, 5, high, low]), _) => {
                    let text = String::from_utf8_lossy(&buffer[4..n]).trim_end_matches('\0').to_owned();
                    return Err((u16::from_be_bytes([*high, *low]), text));
                }
                (Some([0, 3, high, low]), _) if [*high, *low] == block.to_be_bytes() => {
                    (last, to) = (vec![0, 4, *high, *low], from);
                    out.extend_from_slice(&buffer[4..n]);
                    socket.send_to(&last, to).expect("an acknowledgement");
                    block += 1;
                    if n < 516 {
                        return Ok(out);
                    }
                }
                _ => {}
            }
        }
    })
}

/// RFC 1035: a question, with recursion desired.
pub fn question(id: u16, name: &str, rtype: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&rtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

/// The A records of an answer whose names are pointers or spelled out.
pub fn addresses(answer: &[u8]) -> Vec<Ipv4Addr> {
    let mut out = Vec::new();
    let count = usize::from(answer.get(7).copied().unwrap_or(0));
    let mut at = skip_name(answer, 12).map(|at| at + 4);
    for _ in 0..count {
        let Some(start) = at.and_then(|at| skip_name(answer, at)) else { break };
        let Some(fixed) = answer.get(start..start + 10) else { break };
        let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let Some(data) = answer.get(start + 10..start + 10 + len) else { break };
        if fixed[..2] == [0, 1] && len == 4 {
            out.push(Ipv4Addr::new(data[0], data[1], data[2], data[3]));
        }
        at = Some(start + 10 + len);
    }
    out
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}

/// Asks the server for the A records of a name with the namespace's own stack, again and again as resolvers do.
pub fn resolve(lab: &Lab, name: &str, host: &str) -> Vec<Ipv4Addr> {
    let answer = (0..15).find_map(|_| resolve_at(lab, name, server(), host));
    answer.unwrap_or_else(|| panic!("no answer about {host}"))
}

/// The same once, at any address; `None` if nobody answers there.
pub fn resolve_at(lab: &Lab, name: &str, server: Ipv4Addr, host: &str) -> Option<Vec<Ipv4Addr>> {
    lab.inside(name, || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(AGAIN)).expect("a timeout");
        socket.connect((server, 53)).and_then(|()| socket.send(&question(7, host, 1))).ok()?;
        let mut buffer = [0; 1500];
        let n = socket.recv(&mut buffer).ok()?;
        Some(addresses(&buffer[..n]))
    })
}

//! A raw Ethernet port in a namespace: many stations behind one interface, each with its own MAC. It answers
//! ARP for the addresses that its stations hold, as they would.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use socket2::{Domain, Protocol, Socket, Type};

use super::space::{Lab, now};

pub type Mac = [u8; 6];
pub const BROADCAST: Mac = [0xff; 6];
const ETH_P_ALL: u16 = 0x0003;

/// An IPv4 UDP datagram on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub from_mac: Mac,
    pub to_mac: Mac,
    pub from: (Ipv4Addr, u16),
    pub to: (Ipv4Addr, u16),
    pub payload: Vec<u8>,
}

pub struct Wire {
    socket: Socket,
    /// Who answers ARP for what.
    pub held: HashMap<Ipv4Addr, Mac>,
}

impl Wire {
    /// Opens `eth0` of a namespace.
    pub fn open(lab: &Lab, name: &str) -> Wire {
        let socket = lab.inside(name, || {
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ETH_P_ALL.to_be()))))
                .expect("a packet socket");
            let all = getifaddrs().expect("interfaces");
            let eth0 = all
                .filter(|i| i.interface_name == "eth0")
                .find_map(|i| i.address.as_ref().and_then(|a| a.as_link_addr().copied()))
                .expect("the link address of eth0");
            // its protocol is 0: the socket keeps the one that it was opened with
            nix::sys::socket::bind(socket.as_raw_fd(), &eth0).expect("bind to eth0");
            socket
        });
        socket.set_recv_buffer_size(8 << 20).expect("a large buffer");
        Wire { socket, held: HashMap::new() }
    }

    pub fn send(&mut self, p: &Packet) {
        let mut frame = ethernet(p.to_mac, p.from_mac, 0x0800);
        let total = 28 + p.payload.len() as u16;
        let mut ip = vec![0x45, 0];
        ip.extend_from_slice(&total.to_be_bytes());
        ip.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
        ip.extend_from_slice(&p.from.0.octets());
        ip.extend_from_slice(&p.to.0.octets());
        let sum = fold(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend_from_slice(&ip);
        for word in [p.from.1, p.to.1, total - 20, 0] {
            frame.extend_from_slice(&word.to_be_bytes()); // UDP checksum 0: none
        }
        frame.extend_from_slice(&p.payload);
        self.write(&frame);
    }

    /// Asks who has `target`, as a stack does before its first datagram; whoever hears it learns who asks.
    pub fn who_has(&mut self, target: Ipv4Addr, from: Ipv4Addr, mac: Mac) {
        let mut frame = ethernet(BROADCAST, mac, 0x0806);
        frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend_from_slice(&mac);
        frame.extend_from_slice(&from.octets());
        frame.extend_from_slice(&[0; 6]);
        frame.extend_from_slice(&target.octets());
        self.write(&frame);
    }

    /// The next UDP datagram until `end`, answering ARP meanwhile.
    pub fn receive(&mut self, end: Instant) -> Option<Packet> {
        let mut buffer = [0u8; 2048];
        loop {
            let left = end.checked_duration_since(now())?;
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
            let Ok(n) = (&self.socket).read(&mut buffer) else { continue };
            let frame = &buffer[..n];
            match frame.get(12..14) {
                Some([0x08, 0x06]) => self.arp(frame),
                Some([0x08, 0x00]) => {
                    if let Some(packet) = parse(frame) {
                        return Some(packet);
                    }
                }
                _ => {}
            }
        }
    }

    fn arp(&mut self, frame: &[u8]) {
        let Some(body) = frame.get(14..42) else { return };
        let target = Ipv4Addr::new(body[24], body[25], body[26], body[27]);
        let Some(mac) = self.held.get(&target).copied().filter(|_| body[..8] == [0, 1, 8, 0, 6, 4, 0, 1]) else {
            return;
        };
        let mut asker = [0; 6];
        asker.copy_from_slice(&body[8..14]);
        let mut reply = ethernet(asker, mac, 0x0806);
        reply.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
        reply.extend_from_slice(&mac);
        reply.extend_from_slice(&target.octets());
        reply.extend_from_slice(&body[8..18]);
        self.write(&reply);
    }

    fn write(&mut self, frame: &[u8]) {
        // a full transmit queue drops, as a wire does; the protocols above repeat
        if let Err(e) = (&self.socket).write(frame) {
            eprintln!("wire: {e}");
        }
    }
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    let mut out = to.to_vec();
    out.extend_from_slice(&from);
    out.extend_from_slice(&kind.to_be_bytes());
    out
}

fn parse(frame: &[u8]) -> Option<Packet> {
    let (ip, body) = (frame.get(14..)?, frame.get(14 + 4 * usize::from(frame.get(14)? & 15)..)?);
    if ip.len() < 20 || ip[9] != 17 || fold(&ip[..20]) != 0 {
        return None;
    }
    let word = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
    Some(Packet {
        from_mac: frame[6..12].try_into().ok()?,
        to_mac: frame[..6].try_into().ok()?,
        from: (address(12), word(0)?),
        to: (address(16), word(2)?),
        payload: body.get(8..usize::from(word(4)?))?.to_vec(),
    })
}

fn fold(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(*p.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

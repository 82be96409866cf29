//! What DHCP servers say on a link (DH-813), whomever they say it to: an AF_PACKET socket with a filter for
//! their answers. A socket on the clients' port would take answers away from a DHCP client of this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::SockFilter;

use super::NetError;
use super::ether::{Ether, HEADER};
use super::frames;
use crate::domain::net::Mac;

/// EtherType of IPv4.
const IPV4: u16 = 0x0800;
/// No DHCP message is longer, with its headers.
const FRAME: usize = 1_600;
/// RFC 951: the op of an answer.
const BOOTREPLY: u32 = 2;

/// Hears and asks on one link.
pub struct Overhear {
    ether: Ether,
    own: Mac,
    buffer: Box<[u8; FRAME]>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overheard<'a> {
    pub mac: Mac,
    pub source: Ipv4Addr,
    pub bytes: &'a [u8],
}

impl Overhear {
    /// On an interface with that hardware address; servers speak from `port`. Needs CAP_NET_RAW.
    pub fn open(interface: &str, own: Mac, port: u16) -> Result<Overhear, NetError> {
        let ether = Ether::open(interface, IPV4, &answers(port))?;
        Ok(Overhear { ether, own, buffer: Box::new([0; FRAME]) })
    }

    /// Broadcasts a client's message, as one without an address does.
    pub async fn ask(&self, message: &[u8], from: u16, to: u16) -> io::Result<()> {
        let mut frame = Vec::with_capacity(HEADER + 28 + message.len());
        frame.extend([0xff; 6]);
        frame.extend(self.own.0);
        frame.extend(IPV4.to_be_bytes());
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, from);
        frames::write_datagram(&mut frame, from, SocketAddrV4::new(Ipv4Addr::BROADCAST, to), message);
        self.ether.send(&frame).await
    }

    /// The next answer of a server. May be dropped while it waits.
    pub async fn heard(&mut self) -> io::Result<Overheard<'_>> {
        let (mac, source, range) = loop {
            let length = self.ether.receive(&mut self.buffer[..]).await?;
            if let Some(found) = read(&self.buffer[..length.min(FRAME)]) {
                break found;
            }
        };
        Ok(Overheard { mac, source, bytes: &self.buffer[range] })
    }
}

/// Who sent it, and where in the frame the message lies.
fn read(frame: &[u8]) -> Option<(Mac, Ipv4Addr, std::ops::Range<usize>)> {
    let ip = frame.get(HEADER..)?;
    let header = usize::from(ip.first()? & 15) * 4;
    let source: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
    let mac: [u8; 6] = frame[6..12].try_into().ok()?;
    let udp = ip.get(header..)?;
    let length = usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]));
    let start = HEADER + header + 8;
    let end = (HEADER + header + length).min(frame.len());
    (start <= end).then(|| (Mac(mac), Ipv4Addr::from(source), start..end))
}

/// BPF over whole frames: IPv4, UDP, no later fragment, from the servers' port, BOOTREPLY.
fn answers(port: u16) -> [SockFilter; 13] {
    let step = |code, yes, no, value| SockFilter::new(code, yes, no, value);
    [
        step(0x28, 0, 0, 12),
        step(0x15, 0, 10, IPV4.into()),
        step(0x30, 0, 0, 23),
        step(0x15, 0, 8, 17),
        step(0x28, 0, 0, 20),
        step(0x45, 6, 0, 0x1fff),
        // the length of the IP header
        step(0xb1, 0, 0, HEADER as u32),
        step(0x48, 0, 0, HEADER as u32),
        step(0x15, 0, 3, port.into()),
        step(0x50, 0, 0, HEADER as u32 + 8),
        step(0x15, 0, 1, BOOTREPLY),
        step(0x06, 0, 0, u32::MAX),
        step(0x06, 0, 0, 0),
    ]
}

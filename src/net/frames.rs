//! Datagrams for stations that cannot answer ARP yet: an AF_PACKET socket that only sends (DH-802).

use std::net::SocketAddrV4;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::NetError;
use super::batch::{Outbox, Sent};

/// Sends whole IPv4 datagrams to hardware addresses, on any interface. Receives nothing.
pub struct Frames {
    // tokio's type for a datagram descriptor: only its readiness is used, none of its addresses
    socket: UdpSocket,
}

impl Frames {
    /// Needs CAP_NET_RAW.
    pub fn open() -> Result<Frames, NetError> {
        // protocol 0: the kernel queues nothing to us
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(Protocol::from(0)))
            .map_err(NetError::io("open a packet socket"))?;
        let socket = UdpSocket::from_std(socket.into()).map_err(NetError::io("register a packet socket"))?;
        Ok(Frames { socket })
    }

    /// Sends all of `out`, which must hold frames only.
    pub async fn send(&self, out: &mut Outbox) -> Sent {
        super::udp::send_all(&self.socket, out).await
    }
}

/// Appends IPv4 and UDP headers, with checksums, and `payload`.
pub(super) fn write_datagram(out: &mut Vec<u8>, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
    let udp_len = 8u16.saturating_add(u16::try_from(payload.len()).unwrap_or(u16::MAX));
    let total = 20u16.saturating_add(udp_len);
    let (source, target) = (from.ip().octets(), to.ip().octets());
    let start = out.len();
    // version 4, 5 words; precedence internetwork control, as DHCP servers mark their answers; id 0 with DF
    out.extend_from_slice(&[0x45, 0xc0]);
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    out.extend_from_slice(&source);
    out.extend_from_slice(&target);
    let sum = checksum(&[&out[start..start + 20]]);
    out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());

    let udp = out.len();
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&udp_len.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    let pseudo = [&source[..], &target[..], &[0, 17], &udp_len.to_be_bytes()].concat();
    // RFC 768: a sum of zero is sent as all ones, for zero means that there is none
    let sum = match checksum(&[&pseudo, &out[udp..]]) {
        0 => 0xffff,
        sum => sum,
    };
    out[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071, over parts of which all but the last have even length.
pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_1071_a_checked_header_sums_to_zero() {
        for len in [0, 1, 2, 299, 300, 1472] {
            let mut out = vec![9; 3];
            let payload: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let (from, to) = ("10.77.0.1:67".parse().unwrap(), "10.77.0.100:68".parse().unwrap());
            write_datagram(&mut out, from, to, &payload);
            let ip = &out[3..];
            assert_eq!(ip.len(), 28 + payload.len());
            assert_eq!(checksum(&[&ip[..20]]), 0);
            let pseudo = [&ip[12..20], &[0, 17], &ip[24..26]].concat();
            assert_eq!(checksum(&[&pseudo, &ip[20..]]), 0, "{len}");
            assert_eq!(&ip[28..], &payload[..]);
        }
    }
}

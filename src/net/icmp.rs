//! ICMP echo (RFC 792): does an address answer behind a router? Nothing is known of who answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use super::NetError;
use super::frames::checksum;

/// Octets of answers that may wait in the kernel.
const BUFFER: usize = 256 << 10;

/// Asks whatever the routing table leads to.
pub struct Echo {
    // tokio's type for a datagram descriptor: addresses are IPv4 without a port
    socket: UdpSocket,
    ident: u16,
}

impl Echo {
    /// Needs CAP_NET_RAW. Answers are told from others' by `ident`.
    pub fn open(ident: u16) -> Result<Echo, NetError> {
        let doing = || NetError::io("open a socket for ICMP echo");
        let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::ICMPV4)).map_err(doing())?;
        socket.attach_filter(&replies(ident)).map_err(doing())?;
        socket.set_recv_buffer_size(BUFFER).map_err(doing())?;
        Ok(Echo { socket: UdpSocket::from_std(socket.into()).map_err(doing())?, ident })
    }

    /// Forgets answers to earlier questions, a bounded number.
    pub fn drain(&self) {
        let mut scrap = [0; 64];
        for _ in 0..4096 {
            if self.socket.try_recv(&mut scrap).is_err() {
                return;
            }
        }
    }

    /// Sends one echo request.
    pub async fn ask(&self, ip: Ipv4Addr) -> io::Result<()> {
        let mut message = [8, 0, 0, 0, 0, 0, 0, 1, b'p', b'r', b'o', b'b'];
        message[4..6].copy_from_slice(&self.ident.to_be_bytes());
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.socket.send_to(&message, SocketAddr::from((ip, 0))).await.map(drop)
    }

    /// The next address that answered.
    pub async fn heard(&self) -> io::Result<Ipv4Addr> {
        let mut scrap = [0; 64];
        loop {
            match self.socket.recv_from(&mut scrap).await {
                Ok((_, from)) => {
                    if let IpAddr::V4(ip) = from.ip() {
                        return Ok(ip);
                    }
                }
                // what a router said of an earlier question
                Err(e) if e.kind() == io::ErrorKind::HostUnreachable => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// BPF over the IP datagram: echo replies with that identifier pass, all else is dropped unread.
fn replies(ident: u16) -> [SockFilter; 7] {
    [
        // X = 4 * (header length), A = type
        SockFilter::new(0xb1, 0, 0, 0),
        SockFilter::new(0x50, 0, 0, 0),
        SockFilter::new(0x15, 0, 3, 0),
        // A = identifier
        SockFilter::new(0x48, 0, 0, 4),
        SockFilter::new(0x15, 0, 1, u32::from(ident)),
        SockFilter::new(0x06, 0, 0, 64),
        SockFilter::new(0x06, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_address_of_ours_answers_and_strangers_replies_are_not_heard() {
        let (echo, other) = (Echo::open(0x4c4c).unwrap(), Echo::open(0x4c4d).unwrap());
        echo.ask(Ipv4Addr::new(127, 0, 0, 9)).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(60), echo.heard()).await.expect("in time").unwrap();
        assert_eq!(heard, Ipv4Addr::new(127, 0, 0, 9));
        let silence = tokio::time::timeout(Duration::from_millis(50), other.heard()).await;
        assert!(silence.is_err());
    }
}

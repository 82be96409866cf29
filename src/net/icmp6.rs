//! Neighbour discovery as a router hears and speaks it: a raw ICMPv6 socket of one interface (DH-806).

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::NetError;
use super::batch::{Inbox, Outbox, Sent};
use super::udp;

/// ff02::1 and ff02::2 (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Hears the message types that it was opened for, on one interface, and sends with hop limit 255. The
/// kernel makes and checks the checksums (RFC 3542 §3.1). Needs CAP_NET_RAW.
pub struct Icmp6 {
    // tokio's type for a datagram descriptor: only its readiness is used, none of its addresses
    socket: UdpSocket,
    index: u32,
}

impl Icmp6 {
    /// A member of ff02::2 on that interface, which hears nothing but these types.
    pub fn router(interface: &str, index: u32, types: &[u8]) -> Result<Icmp6, NetError> {
        let doing = || NetError::io(format!("set up ICMPv6 on {interface}"));
        let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))
            .map_err(NetError::io("open a raw ICMPv6 socket"))?;
        filter(&socket, types).map_err(doing())?;
        udp::bind_device(&socket, interface)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).map_err(io::Error::from).map_err(doing())?;
        socket.set_recv_hoplimit_v6(true).map_err(doing())?;
        socket.set_multicast_hops_v6(255).map_err(doing())?;
        socket.set_unicast_hops_v6(255).map_err(doing())?;
        socket.set_multicast_loop_v6(false).map_err(doing())?;
        socket.join_multicast_v6(&ALL_ROUTERS, index).map_err(doing())?;
        let socket = UdpSocket::from_std(socket.into()).map_err(NetError::io("register a raw ICMPv6 socket"))?;
        Ok(Icmp6 { socket, index })
    }

    /// Waits for messages and takes as many as there are and fit; each with the hop limit that it came with.
    pub async fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        udp::receive(&self.socket, inbox).await
    }

    /// Sends one message from one of our addresses there, or counts it as failed if the socket is full.
    pub fn send(&self, from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Sent {
        let mut out = Outbox::new();
        let to = SocketAddr::V6(SocketAddrV6::new(to, 0, 0, self.index));
        out.push(to, Some(IpAddr::V6(from)), self.index, message);
        udp::send_now(&self.socket, &mut out)
    }
}

/// RFC 3542 §3.2: a set bit keeps a type away.
#[allow(unsafe_code)]
fn filter(socket: &Socket, types: &[u8]) -> io::Result<()> {
    /// `ICMP6_FILTER` of <netinet/icmp6.h> on Linux.
    const ICMP6_FILTER: libc::c_int = 1;
    let mut blocked = [u32::MAX; 8];
    for kind in types {
        blocked[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    }
    // SAFETY: the option takes 256 bits, which live on this stack frame for the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMP6_FILTER,
            blocked.as_ptr().cast(),
            std::mem::size_of_val(&blocked) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! Whole Ethernet frames of one protocol on one interface: an AF_PACKET socket that is bound by an address
//! which the kernel itself gave, so that nothing here is unsafe.

use std::io;
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use super::NetError;

/// Octets in front of the payload: two addresses and the protocol.
pub(super) const HEADER: usize = 14;
/// Octets of frames that may wait in the kernel.
const BUFFER: usize = 256 << 10;

/// Sends and receives frames on one interface. Frames that we send ourselves are not received.
pub(super) struct Ether {
    // tokio's type for a datagram descriptor: its readiness, `send` and `recv` are used
    socket: UdpSocket,
}

impl Ether {
    /// Needs CAP_NET_RAW. The filter runs over whole frames.
    pub fn open(interface: &str, protocol: u16, filter: &[SockFilter]) -> Result<Ether, NetError> {
        let doing = || NetError::io(format!("open a packet socket on {interface}"));
        // protocol 0: nothing is queued before the filter stands and the interface is bound
        let number = Protocol::from(i32::from(protocol.to_be()));
        let address = getifaddrs().map_err(io::Error::from).map_err(doing())?.find_map(|entry| {
            let address = entry.address.filter(|_| entry.interface_name == interface)?;
            address.as_link_addr().copied()
        });
        let Some(address) = address else { return Err(NetError::NoInterface(interface.to_owned())) };
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(number)).map_err(doing())?;
        if !filter.is_empty() {
            socket.attach_filter(filter).map_err(doing())?;
        }
        socket.set_recv_buffer_size(BUFFER).map_err(doing())?;
        bind(socket.as_raw_fd(), &address).map_err(io::Error::from).map_err(doing())?;
        let ether = Ether { socket: UdpSocket::from_std(socket.into()).map_err(doing())? };
        // what came in between, of other interfaces too
        ether.drain();
        Ok(ether)
    }

    pub async fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).await.map(drop)
    }

    /// Waits for the next frame; its length in `buffer`.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer).await
    }

    /// Forgets what has arrived so far, a bounded number of frames.
    pub fn drain(&self) {
        let mut scrap = [0; 64];
        for _ in 0..4096 {
            if self.socket.try_recv(&mut scrap).is_err() {
                return;
            }
        }
    }
}

//! UDP sockets that tell where a datagram was sent to, and let the answer leave from there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::NetError;
use super::batch::{Inbox, Outbox, Sent};

/// Socket buffers of DHCP sockets: thousands of phones that power up at once.
const DHCP_BUFFER: usize = 4 << 20;
/// RFC 9915 §7.1: All_DHCP_Relay_Agents_and_Servers, and All_DHCP_Servers, which relays may use.
const ALL_RELAYS_AND_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, 3);

/// A non-blocking UDP socket with packet information on.
pub struct Udp {
    socket: UdpSocket,
}

impl Udp {
    /// The socket of one served interface (DH-801): 0.0.0.0:`port`, bound to the device, may broadcast.
    /// Sees every unicast and broadcast to that port on that interface and nothing else.
    pub fn dhcp4(interface: &str, port: u16) -> Result<Udp, NetError> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let socket = open(address, DHCP_BUFFER)?;
        bind_device(&socket, interface)?;
        // beside our own send_only socket; strangers are looked for by claim() at start
        let doing = || NetError::io(format!("set up {address}/udp on {interface}"));
        socket.set_reuse_address(true).map_err(doing())?;
        socket.set_broadcast(true).map_err(doing())?;
        bind(&socket, address, Some(interface))?;
        Udp::register(socket, address)
    }

    /// Cuts DHCPv4 messages of clients on this link short whose frame comes from another hardware address than
    /// the one that they name (see [`source`](super::source)); `on_link` are the prefixes of the interface.
    pub fn check_source(&self, on_link: &[ipnet::Ipv4Net]) -> Result<(), NetError> {
        let attached = socket2::SockRef::from(&self.socket).attach_filter(&super::source::program(on_link));
        attached.map_err(NetError::io("check where DHCP messages come from"))
    }

    /// A socket on 0.0.0.0:`port` that receives nothing: its datagrams follow the routing table, whichever
    /// interface that leads to (DH-211: answers to relays).
    pub fn send_only(port: u16) -> Result<Udp, NetError> {
        Udp::deaf(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    /// The same on [::]:`port`.
    pub fn send_only6(port: u16) -> Result<Udp, NetError> {
        Udp::deaf(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
    }

    fn deaf(address: SocketAddr) -> Result<Udp, NetError> {
        let socket = open(address, DHCP_BUFFER)?;
        let doing = || NetError::io(format!("set up {address}/udp for sending"));
        // BPF `ret #0`: drop whatever arrives, before it is queued
        socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).map_err(doing())?;
        socket.set_reuse_address(true).map_err(doing())?;
        if address.is_ipv4() {
            socket.set_broadcast(true).map_err(doing())?;
        }
        bind(&socket, address, None)?;
        Udp::register(socket, address)
    }

    /// The DHCPv6 socket of one served interface (DH-806): [::]:`port`, bound to the device, a member of the
    /// groups of servers there. Its own multicast does not come back.
    pub fn dhcp6(interface: &str, index: u32, port: u16) -> Result<Udp, NetError> {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let socket = open(address, DHCP_BUFFER)?;
        bind_device(&socket, interface)?;
        let doing = || NetError::io(format!("set up {address}/udp on {interface}"));
        // beside our own send_only socket; strangers are looked for by claim() at start
        socket.set_reuse_address(true).map_err(doing())?;
        socket.set_multicast_loop_v6(false).map_err(doing())?;
        for group in [ALL_RELAYS_AND_SERVERS, ALL_SERVERS] {
            socket.join_multicast_v6(&group, index).map_err(doing())?;
        }
        bind(&socket, address, Some(interface))?;
        Udp::register(socket, address)
    }

    /// One socket that shares its port with nobody; `buffer` octets each way.
    pub fn bind(address: SocketAddr, buffer: usize) -> Result<Udp, NetError> {
        let socket = open(address, buffer)?;
        bind(&socket, address, None)?;
        Udp::register(socket, address)
    }

    /// `n` sockets (at least one) on one address, between which the kernel spreads the clients. A foreign
    /// holder is an error, never a silent share (DN-603). Port 0 is chosen once for all.
    pub fn group(address: SocketAddr, n: usize, buffer: usize) -> Result<Vec<Udp>, NetError> {
        let address = claim(address, None)?;
        (0..n.max(1))
            .map(|_| {
                let socket = open(address, buffer)?;
                socket.set_reuse_port(true).map_err(NetError::io(format!("share {address}/udp")))?;
                bind(&socket, address, None)?;
                Udp::register(socket, address)
            })
            .collect()
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits for datagrams and takes as many as there are and fit. Never `Ok(0)`. An error that the network
    /// reported for an earlier answer (such as port unreachable) is passed over.
    pub async fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        receive(&self.socket, inbox).await
    }

    /// As [`receive`](Udp::receive), without waiting: `Ok(0)` if there are none.
    pub fn receive_now(&self, inbox: &mut Inbox) -> io::Result<usize> {
        match self.socket.try_io(Interest::READABLE, || inbox.fill(self.socket.as_raw_fd())) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || is_echo(&e) => Ok(0),
            other => other,
        }
    }

    /// Sends all of `out`, waiting while the socket's buffer is full.
    pub async fn send(&self, out: &mut Outbox) -> Sent {
        send_all(&self.socket, out).await
    }

    /// Sends what the socket takes now and drops the rest, counting it as failed.
    pub fn send_now(&self, out: &mut Outbox) -> Sent {
        send_now(&self.socket, out)
    }

    fn register(socket: Socket, address: SocketAddr) -> Result<Udp, NetError> {
        let socket = UdpSocket::from_std(socket.into()).map_err(NetError::io(format!("register {address}/udp")))?;
        Ok(Udp { socket })
    }
}

/// Fails if another socket holds the address (on the interface), naming who does; returns it with its port
/// resolved. Call it before the first of our own sockets there.
pub fn claim(address: SocketAddr, interface: Option<&str>) -> Result<SocketAddr, NetError> {
    let socket = open(address, 0)?;
    if let Some(name) = interface {
        bind_device(&socket, name)?;
    }
    bind(&socket, address, interface)?;
    let bound = socket.local_addr().map_err(NetError::io(format!("read the address of {address}/udp")))?;
    Ok(bound.as_socket().unwrap_or(address))
}

pub(super) async fn receive(socket: &UdpSocket, inbox: &mut Inbox) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        match socket.try_io(Interest::READABLE, || inbox.fill(socket.as_raw_fd())) {
            Ok(0) => {}
            Ok(n) => return Ok(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || is_echo(&e) => {}
            Err(e) => return Err(e),
        }
    }
}

pub(super) fn send_now(socket: &UdpSocket, out: &mut Outbox) -> Sent {
    let mut report = Sent::default();
    if let Err(e) = out.flush(socket.as_raw_fd(), &mut report) {
        report.failed += out.len();
        report.last_error = Some(e);
        out.clear();
    }
    report
}

pub(super) async fn send_all(socket: &UdpSocket, out: &mut Outbox) -> Sent {
    let mut report = Sent::default();
    while !out.is_empty() {
        let flushed = socket.try_io(Interest::WRITABLE, || out.flush(socket.as_raw_fd(), &mut report));
        if let Err(e) = flushed
            && (e.kind() != io::ErrorKind::WouldBlock || socket.writable().await.is_err())
        {
            report.failed += out.len();
            report.last_error = Some(e);
            out.clear();
        }
    }
    report
}

/// ICMP errors for earlier answers surface at the next call on a socket; they say nothing about it.
fn is_echo(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, Interrupted, NetworkUnreachable};
    matches!(e.kind(), ConnectionRefused | HostUnreachable | Interrupted | NetworkUnreachable)
}

fn open(address: SocketAddr, buffer: usize) -> Result<Socket, NetError> {
    let doing = || NetError::io(format!("open a socket for {address}/udp"));
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP)).map_err(doing())?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(doing())?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).map_err(io::Error::from).map_err(doing())?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).map_err(io::Error::from).map_err(doing())?;
    }
    if buffer > 0 {
        // the kernel clamps both to its rmem_max and wmem_max
        socket.set_recv_buffer_size(buffer).map_err(doing())?;
        socket.set_send_buffer_size(buffer).map_err(doing())?;
    }
    Ok(socket)
}

pub(super) fn bind_device(socket: &Socket, interface: &str) -> Result<(), NetError> {
    socket.bind_device(Some(interface.as_bytes())).map_err(|e| match e.raw_os_error() {
        Some(libc::ENODEV) => NetError::NoInterface(interface.to_owned()),
        _ => NetError::io(format!("bind to interface {interface}"))(e),
    })
}

fn bind(socket: &Socket, address: SocketAddr, interface: Option<&str>) -> Result<(), NetError> {
    socket.bind(&address.into()).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => {
            NetError::Taken { address, interface: interface.map(str::to_owned), holder: holder(address) }
        }
        _ => NetError::io(format!("bind {address}/udp"))(e),
    })
}

/// Who holds that UDP port, as far as /proc lets us see.
fn holder(address: SocketAddr) -> Option<String> {
    let table = if address.is_ipv6() { "/proc/net/udp6" } else { "/proc/net/udp" };
    let text = std::fs::read_to_string(table).ok()?;
    let port = format!(":{:04X}", address.port());
    let inodes: Vec<String> = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|f| f.get(1).is_some_and(|local| local.ends_with(&port)))
        .filter_map(|f| f.get(9).map(|inode| format!("socket:[{inode}]")))
        .collect();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut open = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        open.find(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|l| inodes.iter().any(|i| l.as_os_str() == i.as_str()))
        })?;
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BUFFER: usize = 1 << 20;

    async fn take(socket: &Udp, inbox: &mut Inbox) -> usize {
        tokio::time::timeout(Duration::from_secs(60), socket.receive(inbox)).await.expect("in time").expect("received")
    }

    #[tokio::test]
    async fn answers_from_the_address_that_was_asked() {
        for (any, asked) in [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "::1")] {
            let server = Udp::bind(any.parse().unwrap(), BUFFER).unwrap();
            let port = server.local_addr().unwrap().port();
            let asked = SocketAddr::new(asked.parse().unwrap(), port);
            let client = std::net::UdpSocket::bind(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            client.send_to(b"who", asked).unwrap();
            let (mut inbox, mut outbox) = (Inbox::new(8, 64), Outbox::new());
            assert_eq!(take(&server, &mut inbox).await, 1);
            let d = inbox.iter().next().unwrap();
            assert_eq!((d.bytes, d.source), (&b"who"[..], client.local_addr().unwrap()));
            assert_eq!((d.destination, d.local, d.ifindex), (Some(asked.ip()), Some(asked.ip()), 1));
            outbox.push(d.source, d.local, 0, b"me");
            let sent = server.send(&mut outbox).await;
            assert_eq!((sent.sent, sent.failed), (1, 0), "{:?}", sent.last_error);
            let mut answer = [0; 8];
            assert_eq!(client.recv_from(&mut answer).unwrap(), (2, asked));
        }
    }

    #[tokio::test]
    async fn moves_more_than_a_batch_in_order() {
        let (a, b) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
        let (a, b) = (Udp::bind(a, BUFFER).unwrap(), Udp::bind(b, BUFFER).unwrap());
        let to = b.local_addr().unwrap();
        let mut outbox = Outbox::new();
        for i in 0..150u8 {
            outbox.push_with(to, None, 0, |out| out.extend_from_slice(&[i; 5]));
        }
        assert_eq!(a.send(&mut outbox).await.sent, 150);
        assert!(outbox.is_empty());
        let (mut inbox, mut seen) = (Inbox::new(64, 16), Vec::new());
        while seen.len() < 150 {
            take(&b, &mut inbox).await;
            seen.extend(inbox.iter().map(|d| d.bytes[0]));
        }
        assert_eq!(seen, (0..150).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn a_datagram_that_cannot_be_sent_does_not_hold_up_the_others() {
        let a = Udp::bind("127.0.0.1:0".parse().unwrap(), BUFFER).unwrap();
        let b = Udp::bind("127.0.0.1:0".parse().unwrap(), BUFFER).unwrap();
        let to = b.local_addr().unwrap();
        let mut outbox = Outbox::new();
        outbox.push(to, None, 0, b"one");
        outbox.push(to, None, 0, &vec![0; 70_000]);
        outbox.push(to, Some("192.0.2.77".parse().unwrap()), 0, b"not our address");
        outbox.push(to, Some("::1".parse().unwrap()), 0, b"two");
        let sent = a.send(&mut outbox).await;
        assert_eq!((sent.sent, sent.failed), (2, 2));
        let (mut inbox, mut seen) = (Inbox::new(2, 64), Vec::new());
        while seen.len() < 2 {
            take(&b, &mut inbox).await;
            seen.extend(inbox.iter().map(|d| d.bytes.to_vec()));
        }
        assert_eq!(seen, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[tokio::test]
    async fn a_long_datagram_is_marked_truncated_and_an_empty_one_is_seen() {
        let socket = Udp::bind("127.0.0.1:0".parse().unwrap(), BUFFER).unwrap();
        let to = socket.local_addr().unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(&[7; 100], to).unwrap();
        client.send_to(&[], to).unwrap();
        let (mut inbox, mut seen) = (Inbox::new(4, 32), Vec::new());
        while seen.len() < 2 {
            take(&socket, &mut inbox).await;
            seen.extend(inbox.iter().map(|d| (d.bytes.len(), d.truncated)));
        }
        assert_eq!(seen, [(32, true), (0, false)]);
    }

    #[tokio::test]
    async fn dn_603_a_foreign_holder_is_named_and_a_group_shares_one_port() {
        let mut group = Udp::group("127.0.0.1:0".parse().unwrap(), 3, BUFFER).unwrap();
        let address = group[0].local_addr().unwrap();
        assert!(group.iter().all(|s| s.local_addr().unwrap() == address));
        let taken = Udp::group(address, 1, BUFFER).err().expect("refused").to_string();
        assert!(
            taken.contains(&address.to_string()) && taken.contains(&format!("pid {}", std::process::id())),
            "{taken}"
        );
        group.clear();
        // a process that another test starts has inherited the sockets until its exec
        let free = async {
            while Udp::group(address, 1, BUFFER).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), free).await.expect("free again");
    }

    #[tokio::test]
    async fn a_missing_interface_is_named() {
        let error = Udp::dhcp4("nosuchif0", 0).err().expect("refused").to_string();
        assert_eq!(error, "interface nosuchif0 does not exist");
    }

    #[tokio::test]
    async fn a_send_only_socket_receives_nothing() {
        let deaf = Udp::send_only(0).unwrap();
        let port = deaf.local_addr().unwrap().port();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"hello", ("127.0.0.1", port)).unwrap();
        let mut inbox = Inbox::new(1, 16);
        assert!(tokio::time::timeout(Duration::from_millis(50), deaf.receive(&mut inbox)).await.is_err());
        let mut outbox = Outbox::new();
        outbox.push(client.local_addr().unwrap(), None, 0, b"speaks");
        assert_eq!(deaf.send(&mut outbox).await.sent, 1);
        let mut bytes = [0; 16];
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(client.recv(&mut bytes).unwrap(), 6);
    }
}

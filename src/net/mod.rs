//! Sockets: the only module that speaks to the kernel's network API, and the only one with unsafe code
//! (in [`batch`], around `recvmmsg`, `sendmmsg` and their control messages; in [`icmp6`], for one socket option).
//!
//! Owns descriptors, addresses, interface facts. Refuses to know a protocol above UDP: it moves bytes.
//!
//! How a shell uses it:
//!
//! ```text
//! let socket = Udp::dhcp4("eth1", 67)?;                  // one per served interface, all of its broadcasts
//! let routed = Udp::send_only(67)?;                      // answers to relays: by the routing table
//! let frames = Frames::open()?;                          // answers to clients that have no address yet
//! let mut inbox = Inbox::new(32, 1500);                  // at most BATCH datagrams of at most 1500 octets
//! let mut outbox = Outbox::new();
//! loop {
//!     socket.receive(&mut inbox).await?;
//!     for d in inbox.iter() {                            // d.bytes, d.source, d.destination, d.local, d.ifindex
//!         outbox.push(d.source, d.local, 0, reply);      // a source address of our choice
//!         frames_out.push_frame(d.ifindex, mac, from, to, reply);
//!     }
//!     socket.send(&mut outbox).await;                    // a datagram that fails is counted, not fatal
//!     frames.send(&mut frames_out).await;
//! }
//! let workers = Udp::group("0.0.0.0:53".parse()?, 4, 1 << 20)?;   // SO_REUSEPORT, after a foreign holder is ruled out
//! let watch = links::watch(cancel).await?;               // watch.links(): names, indices, addresses, carrier
//! ```
//!
//! Cancel safety: `receive` and `send` may be dropped at any await; a dropped `send` keeps what was not sent.

/// Waiting for an exact time.
pub mod alarm;
/// Who uses an address on a link: ARP probes.
pub mod arp;
/// What was received and not looked at yet.
pub mod backlog;
/// Many datagrams per system call: buffers, control messages, the unsafe code.
#[allow(unsafe_code)]
pub mod batch;
/// Ethernet frames of one protocol on one interface.
mod ether;
/// IPv4 datagrams to a hardware address: AF_PACKET, own IP and UDP headers.
pub mod frames;
/// Does an address answer behind a router: ICMP echo.
pub mod icmp;
/// Neighbour discovery, as routers speak it.
pub mod icmp6;
/// Interfaces and their addresses, followed through rtnetlink.
pub mod links;
/// The kernel's neighbour table, followed through rtnetlink.
pub mod neighbours;
/// What DHCP servers say on a link.
pub mod overhear;
/// Serving an interface whenever it is there.
pub mod presence;
/// Our own routes.
pub mod routes;
/// Whether a message comes from the hardware address that it names.
pub mod source;
/// UDP sockets for DHCP, DNS and TFTP.
pub mod udp;

pub use arp::Arp;
pub use batch::{BATCH, Datagram, Inbox, Outbox, Sent};
pub use frames::Frames;
pub use icmp::Echo;
pub use icmp6::Icmp6;
pub use links::{Link, LinkWatch, Links};
pub use overhear::{Overhear, Overheard};
pub use presence::{Place, Presence, Watcher, attend_all};
pub use udp::Udp;

use std::io;
use std::net::SocketAddr;

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// DN-603: somebody else answers there; sharing the port would lose queries at random.
    #[error("{address}/udp is already in use{on}{by}; stop that server, or configure another address or port",
            on = .interface.as_ref().map(|i| format!(" on {i}")).unwrap_or_default(),
            by = .holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    Taken {
        address: SocketAddr,
        interface: Option<String>,
        /// `name (pid N)`, if it may be seen.
        holder: Option<String>,
    },
    #[error("interface {0} does not exist")]
    NoInterface(String),
    #[error("cannot {doing}: {source}{hint}", hint = hint(source))]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
}

impl NetError {
    /// A socket of that interface can receive no more.
    pub fn receiving(interface: &str) -> impl FnOnce(io::Error) -> NetError {
        NetError::io(format!("receive on {interface}"))
    }

    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> NetError {
        let doing = doing.into();
        move |source| NetError::Io { doing, source }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (needs CAP_NET_BIND_SERVICE for ports below 1024 and CAP_NET_RAW for DHCP)"
        }
        _ => "",
    }
}

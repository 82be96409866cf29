//! The shells of DNS: sockets in, answers of the snapshot out, foreign names to the forwarder. Owns
//! listeners, connections and their limits; refuses to know where names come from.
//!
//! hickory's server is not used: a task per packet, no packet information, no cap on connections
//! (dns reference, section 2). Its resolver is not either: a forwarder of a few hundred lines keeps the
//! question's case, DO and CD, asks equal questions once, and shares the codec that the fuzzer tries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod cache;
mod counters;
mod forward;
mod tcp;
mod udp;

pub use counters::Counters;
pub use forward::Forwarder;

use crate::domain::dns::respond::Asker;
use crate::net::{NetError, Udp};
use crate::service::naming::Naming;

/// Settings of the DNS server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses to listen on, UDP and TCP alike. Name them one by one: a wildcard may clash with a stub
    /// resolver on loopback.
    pub listen: Vec<SocketAddr>,
    /// Sockets that share an address, each with its task; default: cores, at most 4.
    pub workers: usize,
    /// Servers that foreign names are asked of, in this order. Empty: they are refused.
    pub forward: Vec<SocketAddr>,
    /// Who may have foreign names resolved. Default: loopback; the composition root adds the private and
    /// ULA subnets that are connected (DN-501).
    pub recursion: Vec<IpNet>,
    /// Where it counts; several servers may share them.
    pub counters: Arc<Counters>,
}

impl Settings {
    /// On these addresses, for loopback clients only, without upstreams.
    pub fn new(listen: Vec<SocketAddr>) -> Settings {
        let loopback = ["127.0.0.0/8", "::1/128"].map(|n| n.parse::<IpNet>().expect("a network"));
        let (forward, counters) = (Vec::new(), Arc::default());
        Settings { listen, workers: 2, forward, recursion: loopback.to_vec(), counters }
    }
}

/// Socket buffers (DN-601).
const BUFFER: usize = 1 << 20;

/// A running server.
pub struct Dns {
    addresses: Vec<SocketAddr>,
    counters: Arc<Counters>,
}

/// Sockets for one address. For port 0 both get the port that UDP was given; another one is tried if
/// somebody has that on TCP.
fn bind(wanted: SocketAddr, workers: usize) -> Result<(Vec<Udp>, TcpListener, SocketAddr), StartError> {
    let mut tries = if wanted.port() == 0 { 32 } else { 1 };
    loop {
        let group = Udp::group(wanted, workers, BUFFER)?;
        let address = group.first().and_then(|s| s.local_addr().ok()).unwrap_or(wanted);
        tries -= 1;
        match tcp::listen(address) {
            Ok(listener) => return Ok((group, listener, address)),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(source) => return Err(StartError::Tcp { address, source }),
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Udp(#[from] NetError),
    #[error("cannot listen on {address}/tcp: {source}")]
    Tcp {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// What every task of the server shares.
struct Server {
    naming: Naming,
    forwarder: Forwarder,
    recursion: Vec<IpNet>,
    counters: Arc<Counters>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Server {
    fn asker(&self, ip: IpAddr, stream: bool) -> Asker {
        let ip = ip.to_canonical();
        let recursion = self.forwarder.is_configured() && self.recursion.iter().any(|net| net.contains(&ip));
        Asker { stream, recursion }
    }
}

impl Dns {
    /// Binds all addresses, then serves until `cancel`; its tasks run in `tasks`.
    pub fn start(
        settings: &Settings,
        naming: Naming,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Dns, StartError> {
        let mut sockets = Vec::new();
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for address in &settings.listen {
            let (group, listener, address) = bind(*address, settings.workers.clamp(1, 16))?;
            sockets.extend(group);
            listeners.push(listener);
            addresses.push(address);
        }
        let counters = settings.counters.clone();
        // never ask ourselves
        let upstreams = settings.forward.iter().filter(|u| !addresses.contains(u)).copied().collect();
        let server = Arc::new(Server {
            naming,
            forwarder: Forwarder::new(upstreams, counters.clone()),
            recursion: settings.recursion.clone(),
            counters: counters.clone(),
            tasks: tasks.clone(),
            cancel: cancel.clone(),
        });
        for socket in sockets {
            tasks.spawn(udp::serve(server.clone(), Arc::new(socket)));
        }
        let connections = Arc::new(tcp::Connections::default());
        for listener in listeners {
            tasks.spawn(tcp::serve(server.clone(), listener, connections.clone()));
        }
        Ok(Dns { addresses, counters })
    }

    /// The addresses that it serves, ports resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Numbers for metrics.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests;

//! Phone files over HTTP, on a listener of their own, apart from UI and API (PR-41). Owns connections and
//! the form of requests and answers; asks [`Provisioning`] for the bytes. Refuses every method but GET and
//! HEAD, and to tell a missing file from a denied one.
//!
//! Limits (PR-61): 4,096 connections, 64 per peer; first byte within 5 s, header within 10 s, 16 KiB and
//! 100 fields; a connection lives at most five minutes, or as long as it takes in a boot file.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::net::LinkWatch;
use crate::service::provisioning::Provisioning;

/// From request to response.
mod answer;
/// Bodies of responses.
mod body;
#[cfg(test)]
mod tests;

use body::Life;

/// What the shell is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Own addresses to listen on. Default: `0.0.0.0`.
    pub listen: Vec<IpAddr>,
    /// Default: 8667.
    pub port: u16,
    /// Peers whose `X-Forwarded-For` is believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at once. Default: 4,096.
    pub connections: usize,
    /// Connections at once from one address. Default: 64.
    pub connections_per_peer: usize,
    /// Wait for the first byte of a connection. Default: 5 s.
    pub first_byte: Duration,
    /// Wait for a whole header. Default: 10 s.
    pub header: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec![IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)],
            port: 8667,
            trusted_proxies: Vec::new(),
            connections: 4096,
            connections_per_peer: 64,
            first_byte: Duration::from_secs(5),
            header: Duration::from_secs(10),
        }
    }
}

/// Bytes of a request's header.
const HEADER_BYTES: usize = 16 << 10;
/// Fields of a request's header.
const HEADER_FIELDS: usize = 100;
/// Longest life of a connection; a boot file that is being taken in prolongs it.
const LIFE: Duration = Duration::from_secs(300);
/// Time that open connections get when the daemon stops.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a failed accept, e.g. when descriptors ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the shell cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve phone files on {address}: {error}")]
pub struct FilesError {
    pub address: SocketAddr,
    pub error: std::io::Error,
}

/// The shell.
pub struct Files {
    listeners: Vec<TcpListener>,
    shop: Arc<Shop>,
}

/// What all connections share.
struct Shop {
    settings: Settings,
    phones: Arc<Provisioning>,
    links: LinkWatch,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

impl Files {
    pub async fn bind(settings: Settings, phones: Arc<Provisioning>, links: LinkWatch) -> Result<Files, FilesError> {
        let mut listeners = Vec::new();
        for ip in &settings.listen {
            let address = SocketAddr::new(*ip, settings.port);
            listeners.push(TcpListener::bind(address).await.map_err(|error| FilesError { address, error })?);
        }
        Ok(Files { listeners, shop: Arc::new(Shop { settings, phones, links, open: Mutex::default() }) })
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|l| l.local_addr().ok()).collect()
    }

    /// Serves until `stop`; then open requests get a grace period.
    pub async fn run(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let accepting = self.listeners.into_iter().map(|listener| {
            let (shop, stop, connections) = (self.shop.clone(), stop.clone(), connections.clone());
            tokio::spawn(accept(listener, shop, stop, connections))
        });
        futures_util::future::join_all(accepting.collect::<Vec<_>>()).await;
        connections.close();
        if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "phone file connections did not end in time");
        }
    }
}

async fn accept(listener: TcpListener, shop: Arc<Shop>, stop: CancellationToken, connections: TaskTracker) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                // Beyond a cap the connection is closed at once: the phone tries again.
                if let Some(place) = Place::take(&shop, peer.ip().to_canonical()) {
                    connections.spawn(serve(stream, peer, place, stop.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, place: Place, stop: CancellationToken) {
    let shop = place.shop.clone();
    let Ok(local) = stream.local_addr() else { return };
    if !matches!(tokio::time::timeout(shop.settings.first_byte, stream.readable()).await, Ok(Ok(()))) {
        return;
    }
    let life = Life::new(LIFE);
    let ends = answer::Ends { peer: peer.ip().to_canonical(), local: local.ip().to_canonical() };
    let service = service_fn(|request| {
        let (shop, life) = (shop.clone(), life.clone());
        async move { Ok::<_, Infallible>(answer::answer(&shop, ends, &life, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shop.settings.header)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a phone file connection ended early");
            }
            return;
        }
        () = life.over() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(GRACE, connection).await;
}

/// One open connection's place under the caps.
struct Place {
    shop: Arc<Shop>,
    peer: IpAddr,
}

impl Place {
    fn take(shop: &Arc<Shop>, peer: IpAddr) -> Option<Place> {
        let mut open = shop.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, peers) = &mut *open;
        let own = peers.get(&peer).copied().unwrap_or(0);
        if *all >= shop.settings.connections || own >= shop.settings.connections_per_peer {
            return None;
        }
        *all += 1;
        peers.insert(peer, own + 1);
        Some(Place { shop: shop.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.shop.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, peers) = &mut *open;
        *all -= 1;
        if let Some(own) = peers.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

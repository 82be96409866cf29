//! Phone files over TFTP (RFC 1350, 2347-2349, 7440), read only. Owns which addresses are served and how
//! many transfers run; asks [`Provisioning`] for the bytes. Refuses writes.
//!
//! One server per local address, so that a reply comes from the address that was asked (PR-47); the set
//! follows the interfaces. The engine is async-tftp, seen by [`engine`] only.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::net::{LinkWatch, Links};
use crate::service::provisioning::Provisioning;

/// The adapter of async-tftp.
mod engine;
#[cfg(test)]
mod tests;
/// How many transfers run, and for whom.
mod transfers;

use transfers::Transfers;

/// Between two attempts to bind an address that was refused.
const RETRY: Duration = Duration::from_secs(2);

/// What the shell is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Own addresses to serve; an unspecified one stands for all of its family. Default: `0.0.0.0`.
    pub listen: Vec<IpAddr>,
    /// Default: 69. Zero, for tests, takes a free one per address.
    pub port: u16,
    /// Largest block, bytes. Default: 1468, which fits an Ethernet frame.
    pub block_size: u16,
    /// Largest window, blocks. Default: 16.
    pub window_size: u16,
    /// Wait for an acknowledgement. Default: 2 s; six sendings make 12 s, below the 15 s of idleness.
    pub timeout: Duration,
    /// Transfers at once. Default: 1,000.
    pub transfers: usize,
    /// Transfers at once with one peer address. Default: 8.
    pub transfers_per_peer: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec![IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)],
            port: 69,
            block_size: 1468,
            window_size: 16,
            timeout: Duration::from_secs(2),
            transfers: 1000,
            transfers_per_peer: 8,
        }
    }
}

/// Why the shell cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve TFTP on {address}: {error}")]
pub struct TftpError {
    pub address: SocketAddr,
    pub error: std::io::Error,
}

struct Running {
    at: SocketAddr,
    task: JoinHandle<()>,
}

/// The shell.
pub struct Tftp {
    settings: Settings,
    phones: Arc<Provisioning>,
    links: LinkWatch,
    transfers: Arc<Transfers>,
    running: HashMap<IpAddr, Running>,
}

impl Tftp {
    /// Binds every address that is there now; an address that is refused is an error.
    pub async fn bind(settings: Settings, phones: Arc<Provisioning>, links: LinkWatch) -> Result<Tftp, TftpError> {
        let transfers = Transfers::new(settings.transfers, settings.transfers_per_peer);
        let mut tftp = Tftp { settings, phones, links, transfers, running: HashMap::new() };
        for address in wanted(&tftp.settings.listen, &tftp.links.links()) {
            tftp.start(address).await?;
        }
        Ok(tftp)
    }

    /// The addresses that are served.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.running.values().map(|r| r.at).collect()
    }

    /// Transfers that run now.
    pub fn active(&self) -> usize {
        self.transfers.active()
    }

    /// Follows the interfaces until `stop`; then transfers under way end with it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.links.changes();
        let mut followed = true;
        loop {
            let complete = self.reconcile().await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed(), if followed => followed = changed.is_ok(),
                () = tokio::time::sleep(RETRY), if !complete => {}
            }
        }
        self.running.drain().for_each(|(_, running)| running.task.abort());
    }

    /// Starts what is missing, stops what is gone; false if an address was refused.
    async fn reconcile(&mut self) -> bool {
        let wanted = wanted(&self.settings.listen, &self.links.links());
        self.running.retain(|address, running| {
            let keep = wanted.contains(address) && !running.task.is_finished();
            if !keep {
                running.task.abort();
            }
            keep
        });
        let mut complete = true;
        for address in wanted {
            if !self.running.contains_key(&address)
                && let Err(error) = self.start(address).await
            {
                tracing::warn!(%error, "trying again");
                complete = false;
            }
        }
        complete
    }

    async fn start(&mut self, address: IpAddr) -> Result<(), TftpError> {
        let asked = SocketAddr::new(address, self.settings.port);
        let interface = self.links.links().owner_of(address).map(|l| Arc::from(l.name.as_str()));
        let door =
            engine::Door { phones: self.phones.clone(), transfers: self.transfers.clone(), local: address, interface };
        let (at, serving) =
            engine::open(asked, door, &self.settings).await.map_err(|error| TftpError { address: asked, error })?;
        self.running.insert(address, Running { at, task: tokio::spawn(serving) });
        Ok(())
    }
}

/// The own addresses that `listen` stands for. An address that we do not have is waited for.
fn wanted(listen: &[IpAddr], links: &Links) -> Vec<IpAddr> {
    let own = |ip: IpAddr| links.owner_of(ip).is_some();
    let mut out: Vec<IpAddr> = listen.iter().copied().filter(|ip| !ip.is_unspecified() && own(*ip)).collect();
    for any in listen.iter().filter(|ip| ip.is_unspecified()) {
        let family = links.iter().flat_map(|l| &l.addresses).map(|a| a.addr()).filter(|a| a.is_ipv4() == any.is_ipv4());
        out.extend(family.filter(|a| !link_local(*a)));
    }
    out.sort();
    out.dedup();
    out
}

/// fe80::/10 needs a scope to be bound.
fn link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

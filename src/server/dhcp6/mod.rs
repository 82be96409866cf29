//! The DHCPv6 shell: sockets in front of `service::leasing` (DH-806). Owns one receiving socket for each served
//! interface, a member of ff02::1:2 and ff05::1:3 there, and one socket for answers; refuses to read a
//! packet: it passes bytes on with where they came from.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::net::{LinkWatch, NetError, Udp, Watcher};
use crate::service::bindings::Neighbourhood;
use crate::service::leasing::{Leasing, Replies6};

/// Datagrams in.
mod intake;
/// Replies out.
mod outlet;
/// Routes to delegated prefixes.
mod routes;

pub use routes::KernelRoutes;

/// What the shell is told.
#[derive(Clone)]
pub struct Settings {
    /// Names of the interfaces to serve, each once; those that do not exist yet are waited for.
    pub interfaces: Vec<String>,
    /// Where servers and relays listen. Default 547; another one is for tests and benches.
    pub server_port: u16,
    /// Hears how each interface fares.
    pub state: Watcher,
}

/// The shell.
pub struct Dhcp6 {
    pub settings: Settings,
    pub leasing: Arc<Leasing>,
    /// Who answers for which address on a link: a client's hardware address may be known from there (DH-705).
    pub neighbours: Arc<Neighbourhood>,
    pub links: LinkWatch,
}

impl Dhcp6 {
    /// Serves until `cancel`, then lets out what is in flight. Fails only if answers could not be sent at
    /// all: the server port is not to be had.
    pub async fn run(self, replies: Replies6, cancel: CancellationToken) -> Result<(), NetError> {
        let routed = Udp::send_only6(self.settings.server_port)?;
        let (shell, tasks) = (Arc::new(self), TaskTracker::new());
        for interface in shell.settings.interfaces.clone() {
            let intake = intake::Intake { shell: shell.clone(), interface };
            let cancel = cancel.clone();
            tasks.spawn(async move { intake.run(&cancel).await });
        }
        let outlet = outlet::Outlet { routed, links: shell.links.clone() };
        outlet.run(replies, &shell.leasing, &cancel).await;
        tasks.close();
        tasks.wait().await;
        Ok(())
    }
}

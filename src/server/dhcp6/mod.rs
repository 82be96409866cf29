//! The DHCPv6 shell: sockets in front of `service::leasing` (DH-806). Owns one receiving socket for each served
//! interface, a member of ff02::1:2 and ff05::1:3 there, and one socket for answers; refuses to read a
//! packet: it passes bytes on with where they came from.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::net::{LinkWatch, NetError, Udp, Watcher, attend_all};
use crate::service::bindings::Neighbourhood;
use crate::service::leasing::{Leasing, Replies6};

/// Datagrams in.
mod intake;
/// Replies out.
mod outlet;
/// Routes to delegated prefixes.
mod routes;

pub use routes::KernelRoutes;

/// The shell.
pub struct Dhcp6 {
    /// Where servers and relays listen: 547, or another port for tests and benches.
    pub port: u16,
    /// Names of the interfaces to serve, each once; those that do not exist yet are waited for.
    pub interfaces: watch::Receiver<Vec<String>>,
    pub leasing: Arc<Leasing>,
    /// Who answers for which address on a link: a client's hardware address may be known from there (DH-705).
    pub neighbours: Arc<Neighbourhood>,
    pub links: LinkWatch,
    /// Hears how each interface fares.
    pub state: Watcher,
}

impl Dhcp6 {
    /// Serves until `cancel`, then lets out what is in flight. Fails only if answers could not be sent at
    /// all: the server port is not to be had.
    pub async fn run(self, replies: Replies6, cancel: CancellationToken) -> Result<(), NetError> {
        let outlet = outlet::Outlet { routed: Udp::send_only6(self.port)?, links: self.links.clone() };
        let shell = Arc::new(self);
        let intakes = attend_all(shell.interfaces.clone(), cancel.clone(), |interface, stop| {
            let shell = shell.clone();
            async move {
                intake::Intake { shell: &shell, interface: &interface }.run(&stop).await;
                (shell.state)(&interface, None);
            }
        });
        tokio::join!(intakes, outlet.run(replies, &shell.leasing, &cancel));
        Ok(())
    }
}

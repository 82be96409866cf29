//! The DHCPv4 shell: sockets in front of `service::leasing`. Owns one receiving socket per served interface,
//! one socket for answers and one packet socket for clients without an address; refuses to read a packet:
//! it passes bytes on with where they came from.
//!
//! Interfaces may be missing, come late, flap or be replaced: each has a task that follows it (DH-804).

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::net::{Frames, LinkWatch, NetError, Udp, Watcher, attend_all};
use crate::service::leasing::{Leasing, Replies};

/// Datagrams in.
mod intake;
/// Looking out for other DHCP servers.
mod lookout;
/// Replies out.
mod outlet;
/// Asking links whether an address is in use.
mod probe;

use intake::Door;

/// Ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where servers and relays listen. Default 67; another one is for tests and benches.
    pub server_port: u16,
    /// Where clients listen. Default 68.
    pub client_port: u16,
    /// Where clients with an address of another server ask what to boot (PXE 2.1 §2.2.3). Default 4011.
    pub boot_port: u16,
    /// Drop what a client on the link sends from another hardware address than it names. Default off.
    pub check_source_mac: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { server_port: 67, client_port: 68, boot_port: 4011, check_source_mac: false }
    }
}

/// The shell.
pub struct Dhcp4 {
    pub settings: Settings,
    /// Names of the interfaces to serve, each once; those that do not exist yet are waited for.
    pub interfaces: watch::Receiver<Vec<String>>,
    /// Those on which another server gives the addresses.
    pub boot_interfaces: watch::Receiver<Vec<String>>,
    pub leasing: Arc<Leasing>,
    pub links: LinkWatch,
    /// Hears how each interface fares.
    pub state: Watcher,
    /// The same for the boot port.
    pub boot_state: Watcher,
}

impl Dhcp4 {
    /// Serves until `cancel`, then lets out what is in flight. Fails only if answers could not be sent at
    /// all: no CAP_NET_RAW, or the server port is not to be had.
    pub async fn run(self, replies: Replies, cancel: CancellationToken) -> Result<(), NetError> {
        let routed = Udp::send_only(self.settings.server_port)?;
        let frames = Frames::open()?;
        let prober = Arc::new(probe::Prober::new(self.links.clone(), cancel.clone()));
        drop(self.leasing.probe_with(prober, cancel.clone()));
        let outlet = outlet::Outlet { settings: self.settings, routed, boot: None, frames, links: self.links.clone() };
        let shell = Arc::new(self);
        let intakes = attend_all(shell.interfaces.clone(), cancel.clone(), |interface, stop| {
            let shell = shell.clone();
            async move {
                let intake = intake::Intake { shell: &shell, interface: &interface, door: Door::Server };
                let lookout = lookout::Lookout { shell: &shell, interface: &interface };
                tokio::join!(intake.run(&stop), lookout.run(&stop));
                (shell.state)(&interface, None);
            }
        });
        let boot_intakes = attend_all(shell.boot_interfaces.clone(), cancel.clone(), |interface, stop| {
            let shell = shell.clone();
            async move {
                intake::Intake { shell: &shell, interface: &interface, door: Door::Boot }.run(&stop).await;
                (shell.boot_state)(&interface, None);
            }
        });
        tokio::join!(intakes, boot_intakes, outlet.run(replies, &shell.leasing, &cancel));
        Ok(())
    }
}

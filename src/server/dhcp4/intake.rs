//! One served interface: waits for it, opens its socket, passes datagrams on in the order of arrival.

use std::net::{IpAddr, Ipv4Addr};

use tokio_util::sync::CancellationToken;

use super::Dhcp4;
use crate::domain::dhcp::v4::Arrival;
use crate::domain::dhcp::wire::MAX_DATAGRAM;
use crate::net::{BATCH, Datagram, Inbox, Link, NetError, Place, Presence, Udp};

pub(super) struct Intake<'a> {
    pub shell: &'a Dhcp4,
    pub interface: &'a str,
    pub door: Door,
}

/// Which of our ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Where clients ask for addresses.
    Server,
    /// Where clients with an address of another server ask what to boot.
    Boot,
}

impl Intake<'_> {
    /// Serves the interface whenever it is there, until `cancel`.
    pub async fn run(self, cancel: &CancellationToken) {
        let place = Place { links: &self.shell.links, interface: self.interface, cancel };
        let note = |presence| self.note(presence);
        place.attend(ready, note, |_| self.serve(cancel)).await;
    }

    async fn serve(&self, cancel: &CancellationToken) -> Result<(), NetError> {
        let port = match self.door {
            Door::Server => self.shell.settings.server_port,
            Door::Boot => self.shell.settings.boot_port,
        };
        let socket = Udp::dhcp4(self.interface, port)?;
        self.note(Presence::Serving);
        let mut inbox = Inbox::new(BATCH, MAX_DATAGRAM + 1);
        while let Some(received) = cancel.run_until_cancelled(socket.receive(&mut inbox)).await {
            received.map_err(NetError::receiving(self.interface))?;
            inbox.iter().for_each(|datagram| self.pass(&datagram));
        }
        Ok(())
    }

    fn note(&self, presence: Presence) {
        match self.door {
            Door::Server => (self.shell.state)(self.interface, Some(presence)),
            Door::Boot => (self.shell.boot_state)(self.interface, Some(presence)),
        }
    }

    fn pass(&self, datagram: &Datagram<'_>) {
        let v4 = |ip: Option<IpAddr>| match ip {
            Some(IpAddr::V4(ip)) => ip,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let links = self.shell.links.links();
        let first = || links.by_name(self.interface).and_then(|link| link.ipv4());
        let local = Some(v4(datagram.local)).filter(|ip| !ip.is_unspecified()).or_else(first);
        // too long to be read whole is counted as malformed by the walker
        let Some(local) = local else { return };
        let arrival = Arrival {
            interface: self.interface,
            local,
            source: v4(Some(datagram.source.ip())),
            source_port: datagram.source.port(),
            destination: v4(datagram.destination),
        };
        match self.door {
            Door::Server => self.shell.leasing.receive(&arrival, datagram.bytes),
            Door::Boot => self.shell.leasing.receive_boot(&arrival, datagram.bytes),
        };
    }
}

/// Index of the interface, once it has an address: another one of that name needs another socket.
fn ready(link: &Link) -> Result<u32, &'static str> {
    link.ipv4().map(|_| link.index).ok_or("an IPv4 address of the interface")
}

//! One served interface: waits for it, opens its socket, passes datagrams on in the order of arrival.

use std::net::{IpAddr, Ipv6Addr};

use tokio_util::sync::CancellationToken;

use super::Dhcp6;
use crate::domain::dhcp::v6::Arrival6;
use crate::domain::dhcp::v6::wire::MAX_DATAGRAM;
use crate::net::{Datagram, Link, NetError, Place, Presence, Udp, backlog};

pub(super) struct Intake<'a> {
    pub shell: &'a Dhcp6,
    pub interface: &'a str,
}

impl Intake<'_> {
    /// Serves the interface whenever it is there, until `cancel`.
    pub async fn run(self, cancel: &CancellationToken) {
        let place = Place { links: &self.shell.links, interface: self.interface, cancel };
        let note = |presence| (self.shell.state)(self.interface, Some(presence));
        place.attend(ready, note, |(index, _)| self.serve(index, cancel)).await;
    }

    async fn serve(&self, index: u32, cancel: &CancellationToken) -> Result<(), NetError> {
        let socket = Udp::dhcp6(self.interface, index, self.shell.port)?;
        (self.shell.state)(self.interface, Some(Presence::Serving));
        let pass = |datagram: &Datagram<'_>, _| self.pass(index, datagram);
        let lost = |count| self.shell.leasing.lost(count);
        backlog::serve(&socket, self.interface, MAX_DATAGRAM + 1, cancel, pass, lost).await
    }

    fn pass(&self, index: u32, datagram: &Datagram<'_>) {
        // one that is longer than a datagram may be is counted as malformed by the walker
        let (IpAddr::V6(source), Some(IpAddr::V6(destination))) = (datagram.source.ip(), datagram.destination) else {
            return;
        };
        let arrival = Arrival6 {
            interface: self.interface,
            index,
            source,
            source_port: datagram.source.port(),
            destination,
            multicast: destination.is_multicast(),
        };
        let neighbour = self.shell.neighbours.mac(self.interface, source.into());
        self.shell.leasing.receive6(&arrival, neighbour, datagram.bytes);
    }
}

/// Clients are answered from our link-local address (RFC 9915 §18.4).
fn ready(link: &Link) -> Result<(u32, Ipv6Addr), &'static str> {
    link.link_local().map(|ip| (link.index, ip)).ok_or("an IPv6 link-local address of the interface")
}

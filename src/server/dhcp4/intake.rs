//! One served interface: waits for it, opens its socket, passes datagrams on in the order of arrival.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use tokio_util::sync::CancellationToken;

use super::Dhcp4;
use crate::domain::dhcp::v4::Arrival;
use crate::domain::dhcp::wire::MAX_DATAGRAM;
use crate::net::{Datagram, Link, NetError, Place, Presence, Udp, backlog, source};

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
        let checks = self.shell.settings.check_source_mac;
        place.attend(|link| ready(link, checks), note, |(_, on_link)| self.serve(on_link, cancel)).await;
    }

    async fn serve(&self, on_link: OnLink, cancel: &CancellationToken) -> Result<(), NetError> {
        let port = match self.door {
            Door::Server => self.shell.settings.server_port,
            Door::Boot => self.shell.settings.boot_port,
        };
        let socket = Udp::dhcp4(self.interface, port)?;
        if self.shell.settings.check_source_mac {
            let on_link: Vec<Ipv4Net> = on_link.into_iter().flatten().collect();
            socket.check_source(&on_link)?;
        }
        self.note(Presence::Serving);
        let pass = |datagram: &Datagram<'_>, pressed| self.pass(datagram, pressed);
        let lost = |count| self.shell.leasing.lost(count);
        backlog::serve(&socket, self.interface, MAX_DATAGRAM + 1, cancel, pass, lost).await
    }

    fn note(&self, presence: Presence) {
        match self.door {
            Door::Server => (self.shell.state)(self.interface, Some(presence)),
            Door::Boot => (self.shell.boot_state)(self.interface, Some(presence)),
        }
    }

    fn pass(&self, datagram: &Datagram<'_>, pressed: bool) {
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
        let (leasing, bytes) = (&self.shell.leasing, datagram.bytes);
        // RFC 2131 §4.1: a whole message ends with option 255, and is longer
        let forged = self.shell.settings.check_source_mac && bytes.len() <= source::CUT;
        match self.door {
            _ if forged => leasing.refuse_forged(&arrival, bytes),
            Door::Server => leasing.receive_from_queue(&arrival, bytes, pressed),
            Door::Boot => leasing.receive_boot(&arrival, bytes),
        };
    }
}

/// Prefixes of an interface, where it matters which they are.
type OnLink = [Option<Ipv4Net>; source::PREFIXES];

/// Index of the interface, once it has an address: another one of that name needs another socket. So do other
/// prefixes where the sources of messages are checked.
fn ready(link: &Link, checks: bool) -> Result<(u32, OnLink), &'static str> {
    link.ipv4().ok_or("an IPv4 address of the interface")?;
    let mut on_link = OnLink::default();
    let prefixes =
        link.addresses.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net.trunc()) } else { None });
    on_link.iter_mut().zip(prefixes.filter(|_| checks)).for_each(|(slot, net)| *slot = Some(net));
    Ok((link.index, on_link))
}

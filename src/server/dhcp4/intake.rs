//! One served interface: waits for it, opens its socket, passes datagrams on in the order of arrival.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Dhcp4, RETRY, State};
use crate::domain::dhcp::v4::Arrival;
use crate::domain::dhcp::wire::MAX_DATAGRAM;
use crate::net::{BATCH, Datagram, Inbox, LinkWatch, Udp};
use crate::service::leasing::Leasing;

pub(super) struct Intake {
    pub shell: Arc<Dhcp4>,
    pub interface: String,
    pub leasing: Arc<Leasing>,
    pub links: LinkWatch,
}

impl Intake {
    /// Serves the interface whenever it is there; never ends by itself.
    pub async fn run(self) {
        let mut changes = self.links.changes();
        loop {
            changes.mark_unchanged();
            match self.ready() {
                Err(what) => self.shell.note(&self.interface, State::Waiting(what)),
                Ok(index) => self.serve(index).await,
            }
            // woken by a change of the links, or tried again anyway
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { tokio::time::sleep(RETRY).await },
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Index of the interface, once it has an address; else what is missing.
    fn ready(&self) -> Result<u32, &'static str> {
        let links = self.links.links();
        let link = links.by_name(&self.interface).ok_or("the interface, which does not exist")?;
        link.ipv4().map(|_| link.index).ok_or("an IPv4 address of the interface")
    }

    /// Until the socket fails or the interface of that name is another one.
    async fn serve(&self, index: u32) {
        let socket = match Udp::dhcp4(&self.interface, self.shell.settings.server_port) {
            Ok(socket) => socket,
            Err(why) => return self.shell.note(&self.interface, State::Failing(why.to_string())),
        };
        self.shell.note(&self.interface, State::Serving);
        let mut inbox = Inbox::new(BATCH, MAX_DATAGRAM + 1);
        let mut changes = self.links.changes();
        let mut watched = true;
        loop {
            tokio::select! {
                received = socket.receive(&mut inbox) => {
                    if let Err(why) = received {
                        return self.shell.note(&self.interface, State::Failing(why.to_string()));
                    }
                    inbox.iter().for_each(|datagram| self.pass(&datagram));
                }
                changed = changes.changed(), if watched => {
                    // a watch that has ended: the socket alone decides
                    watched = changed.is_ok();
                    match self.ready() {
                        Ok(same) if same == index => {}
                        // another one of that name: the caller serves it at once
                        Ok(_) => return,
                        Err(what) => return self.shell.note(&self.interface, State::Waiting(what)),
                    }
                }
            }
        }
    }

    fn pass(&self, datagram: &Datagram<'_>) {
        let v4 = |ip: Option<IpAddr>| match ip {
            Some(IpAddr::V4(ip)) => ip,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let links = self.links.links();
        let first = || links.by_name(&self.interface).and_then(|link| link.ipv4());
        let local = Some(v4(datagram.local)).filter(|ip| !ip.is_unspecified()).or_else(first);
        // too long to be read whole is counted as malformed by the walker
        let Some(local) = local else { return };
        let arrival = Arrival {
            interface: &self.interface,
            local,
            source: v4(Some(datagram.source.ip())),
            source_port: datagram.source.port(),
            destination: v4(datagram.destination),
        };
        self.leasing.receive(&arrival, datagram.bytes);
    }
}

//! Other DHCP servers (DH-813): from what is overheard and from what clients say to whom the administrator
//! hears of. The event goes through the ledger, a few an hour at most.

use std::net::{IpAddr, Ipv4Addr};

use super::Leasing;
use crate::domain::change::{Change, Sight};
use crate::domain::dhcp::foreign::{self, Heard, Server};
use crate::domain::dhcp::policy::Policy;
use crate::domain::dhcp::review::Finding;
use crate::domain::dhcp::v4::Request;
use crate::domain::dhcp::v6::Request6;
use crate::domain::dhcp::v6::wire::{Ia, Kind as Kind6};
use crate::domain::dhcp::wire::{Kind, code};
use crate::domain::net::Mac;

/// DH-414: another server gives the addresses there, and that is as it should be.
fn beside_another(policy: &Policy, interface: &str) -> bool {
    policy.by_interface(interface).is_some_and(|network| policy.networks[network].proxy)
}

/// Octets of a DUID (RFC 9915 §11.1).
const DUID: std::ops::RangeInclusive<usize> = 3..=130;

impl Leasing {
    /// Takes in the answer of a server that was heard on an interface; our own and known ones are passed over.
    pub fn overheard(&self, interface: &str, mac: Mac, source: Ipv4Addr, datagram: &[u8]) {
        let Some(answer) = foreign::answer(datagram, source) else { return };
        let core = self.core();
        let policy = core.book.policy();
        if beside_another(policy, interface) {
            return;
        }
        let ours = |ip: Ipv4Addr| {
            let configured = || policy.networks.iter().flat_map(|n| &n.subnets).any(|s| s.server_id == Some(ip));
            core.book.is_own(ip) || policy.rules.known_servers.contains(&ip) || configured()
        };
        // RFC 5107: a relay may call itself the server
        let relays = |ip: Ipv4Addr| answer.relay == Some(ip) && policy.names_relay(ip);
        let known = [answer.server, source].into_iter().any(ours) || relays(answer.server);
        drop(core);
        if !known {
            let (server, gives) = (Server::V4(answer.server), answer.gives.map(IpAddr::V4));
            self.note_foreign(Heard { server, interface: interface.into(), mac: Some(mac), gives });
        }
    }

    /// A client says which server it chose, and that is not this one.
    pub(super) fn chose_another(&self, request: &Request<'_>, policy: &Policy) {
        let chosen = request.packet.ip(code::SERVER_ID).filter(|_| request.kind == Kind::Request);
        let known = &policy.rules.known_servers;
        if beside_another(policy, request.arrival.interface) {
            return;
        }
        let Some(ip) = chosen.filter(|ip| !ip.is_unspecified() && !known.contains(ip)) else { return };
        let gives = request.packet.ip(code::REQUESTED_IP).map(IpAddr::V4);
        self.note_foreign(Heard {
            server: Server::V4(ip),
            interface: request.arrival.interface.into(),
            mac: None,
            gives,
        });
    }

    /// The same in DHCPv6, where answers are for their clients alone.
    pub(super) fn chose_another6(&self, request: &Request6<'_>, policy: &Policy) {
        let chosen = request.server().filter(|duid| request.kind == Kind6::Request && DUID.contains(&duid.len()));
        let Some(duid) = chosen.filter(|duid| !policy.rules6.known_servers.iter().any(|known| known == duid)) else {
            return;
        };
        let gives = request.ias.iter().flat_map(Ia::items).map(|item| IpAddr::V6(item.ip)).next();
        self.note_foreign(Heard {
            server: Server::V6(duid.to_vec()),
            interface: request.arrival.interface.into(),
            mac: None,
            gives,
        });
    }

    fn note_foreign(&self, heard: Heard) {
        self.counters.rogue(matches!(heard.server, Server::V6(_)));
        let object = format!("interface/{}", heard.interface);
        let told = self.foreign().hear(heard, self.now().mono);
        let Some(detail) = told else { return };
        tracing::warn!("{detail}");
        if let Some(ledger) = self.ledger.get() {
            // without room in the queue it stays a finding
            let _ = ledger.submit(vec![Change::Seen { what: Sight::ForeignDhcp, object, detail }].into());
        }
    }

    /// Servers that are there and should not be.
    pub(super) fn foreign_findings(&self) -> Vec<Finding> {
        let policy = self.policy();
        let belongs = |server: &Server| match server {
            Server::V4(ip) => policy.rules.known_servers.contains(ip),
            Server::V6(duid) => policy.rules6.known_servers.contains(duid),
        };
        self.foreign().findings(belongs, self.now().mono)
    }
}

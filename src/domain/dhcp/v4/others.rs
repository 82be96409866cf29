//! DECLINE, RELEASE and INFORM (RFC 2131 §4.3.3 to §4.3.5).

use std::net::{IpAddr, Ipv4Addr};

use super::{Case, Decision, Silence};
use crate::domain::change::Change;
use crate::domain::dhcp::book::Effect;
use crate::domain::dhcp::wire::code;
use crate::domain::lease::{End, Lease};

impl Case<'_> {
    /// The address is in use by another station: kept out of use, if this client had any claim to it.
    pub(super) fn decline(&self) -> Decision {
        let (book, network, client) = (self.facts.book, self.place.network, self.client());
        if self.for_another_server() {
            return Decision::silent(Silence::OtherServer);
        }
        let Some(ip) = self.request.packet.ip(code::REQUESTED_IP) else {
            return Decision::silent(Silence::NoAddress);
        };
        let bound = self.bound() == Some(ip);
        if !bound && book.offer_of(network, client) != Some(ip) {
            return Decision::silent(Silence::NotOwner);
        }
        if book.declines_too_often(client, self.now.mono) {
            return Decision::silent(Silence::Declines);
        }
        let until = self.now.wall.plus(self.policy.rules.quarantine);
        let (network, ip) = (self.policy.networks[network].name.clone(), IpAddr::V4(ip));
        let change = if bound {
            Change::LeaseEnded { network, ip, end: End::Declined { until } }
        } else {
            Change::Quarantined { network, ip, until, mac: None }
        };
        Decision::silent(Silence::Done)
            .with_change(vec![change])
            .with_effect(Effect::CountDecline { client: client.clone() })
    }

    /// The lease ends, if it is its owner who says so.
    pub(super) fn release(&self) -> Decision {
        let network = self.place.network;
        if self.for_another_server() {
            return Decision::silent(Silence::OtherServer);
        }
        let ip = self.request.packet.ciaddr();
        let lease = self.facts.book.lease(network, ip).filter(|lease| lease.client == *self.client());
        if !lease.is_some_and(|lease| self.speaks_for(ip, &lease)) {
            return Decision::silent(Silence::NotOwner);
        }
        let network = self.policy.networks[network].name.clone();
        let ended = Change::LeaseEnded { network, ip: IpAddr::V4(ip), end: End::Released };
        Decision::silent(Silence::Done).with_change(vec![ended])
    }

    /// DH-208: the packet comes from the address itself, or by the circuit that the lease was granted on.
    fn speaks_for(&self, ip: Ipv4Addr, lease: &Lease) -> bool {
        let info = self.request.relay_info.as_deref();
        let same_circuit = self.request.relayed() && info.is_some() && lease.relay_info.as_deref() == info;
        self.request.arrival.source == ip || same_circuit
    }

    fn for_another_server(&self) -> bool {
        self.request.packet.ip(code::SERVER_ID).is_some_and(|server| !self.names_us(server))
    }

    /// Options for a client that has its address from elsewhere; no lease is made or looked at.
    pub(super) fn inform(&self) -> Decision {
        let ciaddr = self.request.packet.ciaddr();
        let ip = if ciaddr.is_unspecified() { self.request.arrival.source } else { ciaddr };
        if ip.is_unspecified() {
            return Decision::silent(Silence::NoAddress);
        }
        Decision::send(self.inform_ack(ip))
    }
}

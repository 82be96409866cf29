//! DISCOVER: which address a client is offered, and what it means for an address to be grantable.

use std::net::Ipv4Addr;

use super::{Case, Decision, Silence};
use crate::domain::dhcp::book::Effect;
use crate::domain::dhcp::wire::code;
use crate::domain::lease::Cause;

impl Case<'_> {
    pub(super) fn discover(&self) -> Decision {
        if let Some(wait) = self.goes_without_ipv4() {
            return Decision::send(self.ipv6_only(wait));
        }
        let Some(ip) = self.choose() else { return Decision::silent(Silence::PoolFull) };
        // RFC 4039 §3.1: the server commits first, and answers with an ACK that holds option 80
        if self.policy.rules.rapid_commit && self.request.packet.option(code::RAPID_COMMIT).is_some() {
            return self.grant(ip, Cause::New, true);
        }
        let until = self.now.mono.plus(self.policy.rules.offer_hold);
        let offer = Effect::Offer { network: self.place.network, ip, client: self.client(), until };
        Decision::send(self.offer(ip)).with_effect(offer)
    }

    /// RFC 8925 §3.3.2: a client that lists option 108 can do without an address.
    fn goes_without_ipv4(&self) -> Option<u32> {
        let wait = self.policy.networks[self.place.network].ipv6_only?;
        self.request.requested.contains(&code::IPV6_ONLY).then_some(wait)
    }

    /// DH-202: reservation, current lease, soft offer, last lease, option 50, next free.
    fn choose(&self) -> Option<Ipv4Addr> {
        let (book, network, client) = (self.facts.book, self.place.network, self.client());
        if let Some(ip) = self.reserved_ip().filter(|ip| self.grantable(*ip)) {
            return Some(ip);
        }
        let current = book.lease_of(network, &client).and_then(|lease| match lease.ip {
            std::net::IpAddr::V4(ip) => Some(ip),
            std::net::IpAddr::V6(_) => None,
        });
        let known = [current, book.offer_of(network, &client), book.past_of(network, &client)];
        let wished = self.request.packet.ip(code::REQUESTED_IP);
        let wishes = known.into_iter().chain([wished]).flatten();
        wishes.into_iter().find(|ip| self.grantable(*ip)).or_else(|| self.newcomer())
    }

    /// The next free address; one that only this client may have is found by its reservation.
    fn newcomer(&self) -> Option<Ipv4Addr> {
        self.facts.book.next_free(self.place).filter(|ip| self.grantable(*ip))
    }

    /// True if policy lets this client have the address and nobody else has it.
    pub(super) fn grantable(&self, ip: Ipv4Addr) -> bool {
        self.fits(ip) && (self.available(ip) || self.takes_over(ip))
    }

    /// In a pool, or reserved for this client; always on this link.
    pub(super) fn fits(&self, ip: Ipv4Addr) -> bool {
        let network = self.place.network;
        let reserved = self.reserved_ip() == Some(ip) && !self.facts.book.is_own(ip);
        self.facts.book.pooled(network, ip) || reserved && self.policy.within(network, ip).is_some()
    }

    pub(super) fn available(&self, ip: Ipv4Addr) -> bool {
        self.facts.book.available(self.place.network, ip, &self.client(), self.traits())
    }

    /// DH-222: a reservation by MAC holds for every client identifier of that MAC, so the boot ROM's lease
    /// passes to the system that it started.
    pub(super) fn takes_over(&self, ip: Ipv4Addr) -> bool {
        let (book, network) = (self.facts.book, self.place.network);
        let Some(lease) = book.lease(network, ip) else { return false };
        let same = lease.mac.is_some() && lease.mac == self.request.mac && self.reserved_ip() == Some(ip);
        same && !book.is_address_pending(network, ip) && !book.is_pending(network, &lease.client)
    }
}

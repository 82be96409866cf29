//! DISCOVER: which address a client is offered, and what it means for an address to be grantable.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Case, Decision, Silence};
use crate::domain::dhcp::book::Effect;
use crate::domain::dhcp::policy::Place;
use crate::domain::dhcp::reserve::{self, Traits};
use crate::domain::dhcp::wire::code;
use crate::domain::lease::{Cause, Lease, ReservationKey};

/// Candidates that are looked at beyond the next one.
pub const STOCK: usize = 64;
/// Who left an address less long ago finds it as it was.
const RECENT: Duration = Duration::from_secs(600);

impl Case<'_> {
    pub(super) fn discover(&self) -> Decision {
        if let Some(wait) = self.goes_without_ipv4() {
            return Decision::send(self.ipv6_only(wait));
        }
        let Some(ip) = self.choose() else {
            if let Some(decision) = self.auto_configure() {
                return decision;
            }
            let kept = self.next_free().is_some_and(|ip| self.kept_back(ip));
            return Decision::silent(if kept { Silence::KnownShare } else { Silence::PoolFull });
        };
        let until = self.now.mono.plus(self.policy.rules.offer_hold);
        let offer = Effect::Offer { network: self.place.network, ip, client: self.client().clone(), until };
        if self.must_look(ip) {
            return Decision::look(ip).with_effect(offer);
        }
        // RFC 4039 §3.1: the server commits first, and answers with an ACK that holds option 80
        if self.policy.rules.rapid_commit && self.request.packet.option(code::RAPID_COMMIT).is_some() {
            return self.grant(ip, Cause::New, true);
        }
        Decision::send(self.offer(ip)).with_effect(offer)
    }

    /// RFC 8925 §3.3.2: a client that lists option 108 can do without an address.
    fn goes_without_ipv4(&self) -> Option<u32> {
        let wait = self.policy.networks[self.place.network].ipv6_only?;
        self.request.requested.contains(&code::IPV6_ONLY).then_some(wait)
    }

    /// DH-202: reservation, current lease, soft offer, last lease, option 50, next free.
    pub(super) fn choose(&self) -> Option<Ipv4Addr> {
        let (book, network, client) = (self.facts.book, self.place.network, self.client());
        if let Some(ip) = self.reserved_ip().filter(|ip| self.grantable(*ip)) {
            return Some(ip);
        }
        let current = book.address_of(network, client);
        let known = [current, self.of_same_mac(), book.offer_of(network, client), book.past_of(network, client)];
        let wished = self.request.packet.ip(code::REQUESTED_IP);
        let wishes = known.into_iter().chain([wished]).flatten();
        let mut wishes = wishes.into_iter();
        wishes.find(|ip| self.grantable(*ip) && !self.taken(*ip)).or_else(|| self.newcomer())
    }

    /// The next free address; one that only this client may have is found by its reservation. One that a
    /// station was seen to use is passed over while there are others nearby.
    fn newcomer(&self) -> Option<Ipv4Addr> {
        let next = self.next_free()?;
        let next = Some(next).filter(|ip| self.grantable(*ip)).or_else(|| self.beside(next))?;
        if !self.taken(next) {
            return Some(next);
        }
        let ahead = self.facts.book.ahead(self.place, STOCK);
        ahead.into_iter().find(|ip| self.grantable(*ip) && !self.taken(*ip)).or(Some(next))
    }

    fn taken(&self, ip: Ipv4Addr) -> bool {
        let name = self.facts.book.network_name(self.place.network);
        let seen = self.facts.sightings.zip(name);
        seen.is_some_and(|(seen, name)| seen.taken(&name, ip, self.request.mac, self.now.mono))
    }

    /// DH-505: whether somebody must look at the link first: before an address of a pool that is new to this
    /// client, or that it left more than ten minutes ago.
    fn must_look(&self, ip: Ipv4Addr) -> bool {
        let (book, network) = (self.facts.book, self.place.network);
        let Some((seen, name)) = self.facts.sightings.zip(book.network_name(network)) else { return false };
        let current = book.lease(network, ip).is_some();
        let recent = book.past_of(network, self.client()) == Some(ip)
            && book.left_at(network, ip).is_some_and(|left| self.now.wall.since(left) < RECENT);
        let mine = self.reserved_ip() == Some(ip) || current || recent;
        !mine && !seen.clear(&name, ip, self.request.mac, self.now.mono)
    }

    /// True if policy lets this client have the address and nobody else has it.
    pub(super) fn grantable(&self, ip: Ipv4Addr) -> bool {
        self.fits(ip) && (self.available(ip) || self.takes_over(ip)) && !self.kept_back(ip)
    }

    /// DH-811: true if so little is left of the address's pool that only clients which are known get it.
    fn kept_back(&self, ip: Ipv4Addr) -> bool {
        let (book, network) = (self.facts.book, self.place.network);
        if !book.is_scarce(network, ip) || self.reserved.is_some() {
            return false;
        }
        !book.knows(network, self.client(), self.request.mac)
    }

    /// The next free address of another pool, where what is left of this one is kept back.
    fn beside(&self, next: Ipv4Addr) -> Option<Ipv4Addr> {
        if !self.kept_back(next) {
            return None;
        }
        let network = self.place.network;
        let subnets = self.policy.networks[network].subnets.iter().enumerate();
        let mut free = subnets.flat_map(|(subnet, prefix)| {
            let of = move |pool| self.facts.book.next_free_of(Place { network, subnet }, pool);
            prefix.pools.iter().filter_map(of)
        });
        free.find(|ip| self.grantable(*ip))
    }

    /// In a pool, or reserved for this client; always on this link.
    pub(super) fn fits(&self, ip: Ipv4Addr) -> bool {
        let network = self.place.network;
        let reserved = self.reserved_ip() == Some(ip) && !self.facts.book.is_own(ip);
        self.pooled(ip) || reserved && self.policy.within(network, ip).is_some()
    }

    pub(super) fn available(&self, ip: Ipv4Addr) -> bool {
        self.facts.book.available(self.place.network, ip, self.client(), self.traits())
    }

    /// DH-222: the address that this hardware holds under another identifier, where it may hold one only.
    fn of_same_mac(&self) -> Option<Ipv4Addr> {
        let mac = self.request.mac.filter(|_| self.policy.rules.one_lease_per_mac)?;
        let held = self.facts.book.leases_of_mac(mac).into_iter().find(|(n, _)| *n == self.place.network)?;
        if let std::net::IpAddr::V4(ip) = held.1.ip { Some(ip) } else { None }
    }

    /// DH-222: a reservation by MAC holds for every client identifier of that MAC, so the boot ROM's lease
    /// passes to the system that it started; with `one_lease_per_mac` any lease does. A reservation by relay
    /// port passes to whatever stands at that port now.
    pub(super) fn takes_over(&self, ip: Ipv4Addr) -> bool {
        let (book, network) = (self.facts.book, self.place.network);
        let Some(lease) = book.lease(network, ip) else { return false };
        let reserved = self.reserved_ip() == Some(ip);
        let same_mac = lease.mac.is_some() && lease.mac == self.request.mac;
        let by_mac = same_mac && (reserved || self.policy.rules.one_lease_per_mac);
        let by_port = reserved && self.at_port_of(&lease);
        (by_mac || by_port || self.shares(&lease))
            && !book.is_address_pending(network, ip)
            && !book.is_pending(network, &lease.client)
    }

    /// DH-307: a shared reservation passes from one of its clients to the next; the address is this one's.
    fn shares(&self, lease: &Lease) -> bool {
        let holder = Traits {
            mac: lease.mac,
            client_id: lease.client_id.as_deref(),
            circuit_id: lease.circuit_id.as_deref(),
            remote_id: lease.remote_id.as_deref(),
            met: None,
            ia: None,
        };
        let reservation = self.reserved.filter(|r| r.shared && r.ip == Some(lease.ip));
        reservation.is_some_and(|reservation| reserve::selects(reservation, holder))
    }

    /// True if the lease was granted at the relay port that this client's reservation is for.
    fn at_port_of(&self, lease: &Lease) -> bool {
        let circuit = self.traits().circuit_id;
        let reserved = |circuit: &[u8]| {
            let key = ReservationKey::CircuitId(circuit.to_vec());
            self.reserved.as_ref().is_some_and(|reservation| reservation.keys.contains(&key))
        };
        circuit.is_some_and(|circuit| lease.circuit_id.as_deref() == Some(circuit) && reserved(circuit))
    }
}

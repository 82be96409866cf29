//! Datagrams as typed requests: who asks, from where, for which link. Owns the checks that every message
//! must pass before anything is decided.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::asked::Asked;
use super::{Facts, Now, Silence};
use crate::domain::dhcp::classes::{self, Membership};
use crate::domain::dhcp::policy::{Identify, Place, Policy};
use crate::domain::dhcp::reserve::Traits;
use crate::domain::dhcp::wire::{Kind, Packet, code, relay};
use crate::domain::lease::{ClientKey, Reservation};
use crate::domain::net::Mac;

/// How a datagram came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<'a> {
    pub interface: &'a str,
    /// Our address on that interface, or the one that the datagram was sent to.
    pub local: Ipv4Addr,
    pub source: Ipv4Addr,
    pub source_port: u16,
    pub destination: Ipv4Addr,
}

impl Arrival<'_> {
    /// True if it was sent to us alone.
    pub fn unicast(&self) -> bool {
        !self.destination.is_broadcast() && !self.destination.is_unspecified() && self.destination == self.local
    }
}

/// A message that names its type and its client.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub kind: Kind,
    pub packet: Packet<'a>,
    pub arrival: Arrival<'a>,
    pub client_id: Option<Cow<'a, [u8]>>,
    /// chaddr, if it is an Ethernet address that can name a device.
    pub mac: Option<Mac>,
    /// Raw option 82.
    pub relay_info: Option<Cow<'a, [u8]>>,
    pub vendor_class: Option<Cow<'a, [u8]>>,
    /// Option 55.
    pub requested: Cow<'a, [u8]>,
}

impl<'a> Request<'a> {
    /// Reads a walked packet as a request of a client.
    pub fn read(packet: Packet<'a>, arrival: Arrival<'a>) -> Result<Request<'a>, Silence> {
        if packet.op() != 1 {
            return Err(Silence::Unexpected);
        }
        let kind = match packet.option(code::TYPE).as_deref() {
            Some([number]) => Kind::of(*number).ok_or(Silence::Unexpected)?,
            Some(_) => return Err(Silence::NoType),
            None => Kind::Bootp,
        };
        let client_id = packet.option(code::CLIENT_ID).filter(|id| !id.is_empty());
        let chaddr = packet.chaddr();
        let nil = chaddr.iter().all(|b| *b == 0);
        let group = packet.htype() == 1 && chaddr.first().is_some_and(|b| b & 1 == 1);
        // DH-225: a nil address names nobody; a group address only with option 61
        let nobody = client_id.is_none() && (nil || group) || packet.htype() == 1 && nil;
        // RFC 4388 §6.2: a query by address or identifier leaves the hardware address empty
        if nobody && kind != Kind::LeaseQuery {
            return Err(Silence::NoClient);
        }
        let mac = <[u8; 6]>::try_from(chaddr).ok().filter(|_| packet.htype() == 1).map(Mac);
        Ok(Request {
            kind,
            client_id,
            mac: mac.filter(|mac| mac.is_identity()),
            relay_info: packet.option(code::RELAY_INFO).filter(|info| !info.is_empty()),
            vendor_class: packet.text(code::VENDOR_CLASS),
            requested: packet.option(code::REQUEST_LIST).unwrap_or_default(),
            packet,
            arrival,
        })
    }

    /// True if it came through a relay agent.
    pub fn relayed(&self) -> bool {
        !self.packet.giaddr().is_unspecified()
    }

    /// A sub-option of option 82.
    pub fn relay_value(&self, sub: u8) -> Option<&[u8]> {
        relay::value(self.relay_info.as_deref()?, sub)
    }

    /// The option 82 that may be believed on this link: one with giaddr 0 only where we trust the
    /// switches (DH-302).
    pub fn believed_relay_info(&self, policy: &Policy, network: usize) -> Option<&[u8]> {
        let info = self.relay_info.as_deref()?;
        (self.relayed() || policy.networks[network].trusted).then_some(info)
    }

    /// What a lease hangs on (DH-221).
    pub fn client_key(&self, identify: Identify) -> ClientKey {
        let chaddr = self.packet.chaddr();
        match (&self.client_id, identify) {
            (Some(id), Identify::ClientId) => ClientKey::Id(id.to_vec()),
            // who has no hardware address (IPoIB) is known by its identifier alone
            (Some(id), _) if chaddr.is_empty() => ClientKey::Id(id.to_vec()),
            (Some(id), Identify::Both) => ClientKey::Id([id, chaddr].concat()),
            _ => ClientKey::Hw(self.packet.htype(), chaddr.to_vec()),
        }
    }

    /// What selects reservations.
    pub fn traits(&self, policy: &Policy, network: usize) -> Traits<'_> {
        let info = self.believed_relay_info(policy, network);
        let relay_value = |sub| info.and_then(|info| relay::value(info, sub));
        Traits {
            ia: None,
            mac: self.mac,
            client_id: self.client_id.as_deref(),
            circuit_id: relay_value(relay::sub::CIRCUIT_ID),
            remote_id: relay_value(relay::sub::REMOTE_ID),
            met: None,
        }
    }

    /// The link of the request (DH-301): option 82.5, option 118, giaddr, ciaddr, the interface.
    pub fn place(&self, policy: &Policy) -> Result<Place, Silence> {
        let giaddr = self.packet.giaddr();
        if self.relayed() && bad_relay(giaddr) && !policy.names_relay(giaddr) {
            return Err(Silence::BadRelay);
        }
        let here = policy.by_interface(self.arrival.interface);
        let believed = self.relayed() || here.is_some_and(|network| policy.networks[network].trusted);
        let info = self.relay_info.as_deref().filter(|_| believed);
        let selected = info.and_then(|info| relay::address(info, relay::sub::LINK_SELECTION));
        let selected = selected.or_else(|| self.packet.ip(code::SUBNET_SELECTION));
        if let Some(link) = selected {
            return policy.by_address(link, here).ok_or(Silence::NoSubnet);
        }
        if self.relayed() {
            return policy.by_relay(giaddr).ok_or(Silence::NoSubnet);
        }
        let by_interface = here.map(|network| Place { network, subnet: 0 });
        let ciaddr = self.packet.ciaddr();
        let source = if ciaddr.is_unspecified() && self.kind == Kind::Inform { self.arrival.source } else { ciaddr };
        // a broadcast says where the client is now, whatever address it had
        let by_ciaddr = Some(source)
            .filter(|ip| !ip.is_unspecified())
            .and_then(|ip| policy.by_address(ip, here))
            .filter(|place| self.arrival.unicast() || Some(place.network) == here);
        by_ciaddr.or(by_interface).filter(|place| self.exists(policy, *place)).ok_or(Silence::NoSubnet)
    }

    fn exists(&self, policy: &Policy, place: Place) -> bool {
        policy.networks[place.network].subnets.get(place.subnet).is_some()
    }
}

/// Addresses that no relay has (dhcp reference, section 12).
fn bad_relay(giaddr: Ipv4Addr) -> bool {
    giaddr.is_multicast() || giaddr.is_broadcast() || giaddr.is_loopback() || giaddr.octets()[0] == 0
}

impl<'a> super::Case<'a> {
    pub(super) fn new(
        request: &'a Request<'a>,
        facts: Facts<'a>,
        policy: &'a Policy,
        now: Now,
        place: Place,
        asked: &'a Asked<'a>,
    ) -> super::Case<'a> {
        let network = place.network;
        let reservations = facts.book.reservations();
        let reserved = reservations.find(policy, network, request.traits(policy, network)).or_else(|| {
            let stranger = Membership::new(&policy.classes, asked, false, &[]);
            reservations.find_tested(policy, network, &stranger)
        });
        let reserved = reserved.map(AsRef::as_ref);
        let given = reserved.map_or(&[][..], |reservation: &Reservation| &reservation.classes);
        let member = Membership::new(&policy.classes, asked, reserved.is_some(), given);
        // RFC 5107 §4: the relay's address is our server identifier
        let override_id = request.relay_info.as_deref().filter(|_| request.relayed());
        let override_id = override_id.and_then(|info| relay::address(info, relay::sub::SERVER_ID_OVERRIDE));
        let server_id = override_id.or(policy.subnet(place).server_id).unwrap_or(request.arrival.local);
        let client = request.client_key(policy.networks[network].identify);
        super::Case { request, client, facts, policy, now, place, server_id, reserved, asked, member }
    }

    pub(super) fn client(&self) -> &ClientKey {
        &self.client
    }

    pub(super) fn traits(&self) -> Traits<'_> {
        let met = self.reserved.map(|reservation| reservation.id.as_str());
        Traits { met, ..self.request.traits(self.policy, self.place.network) }
    }

    /// Why the client gets no answer, whatever it asks for.
    pub(super) fn refused(&self) -> Option<Silence> {
        if self.member.has(classes::DROP) {
            return Some(Silence::Dropped);
        }
        let guard = &self.policy.networks[self.place.network].guard;
        (!self.member.has_any(guard)).then_some(Silence::Guarded)
    }

    /// True if option 54, where given, means us. RFC 5107 §4: also what a relay had us called when the lease
    /// was granted, for a message that comes without its option 82.
    pub(super) fn names_us(&self, server: Ipv4Addr) -> bool {
        let stored = || {
            let lease = self.facts.book.lease_of(self.place.network, self.client())?;
            relay::address(lease.relay_info.as_deref()?, relay::sub::SERVER_ID_OVERRIDE)
        };
        server == self.server_id
            || server == self.request.arrival.local
            || self.policy.subnet(self.place).server_id == Some(server)
            || self.facts.book.is_own(server)
            || stored() == Some(server)
    }
}

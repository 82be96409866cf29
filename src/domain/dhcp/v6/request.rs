//! Datagrams as typed requests: who asks, through which relays, on which link. Owns the checks that every
//! message must pass before anything is decided (RFC 9915 §16).

use std::net::Ipv6Addr;

use super::Silence;
use super::wire::{Ia, Kind, Message, Options, Packet, Relay, code};
use crate::domain::dhcp::policy::Policy;
use crate::domain::dhcp::reserve::Traits;
use crate::domain::net::Mac;

/// How a datagram came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival6<'a> {
    pub interface: &'a str,
    /// Index of the interface, as the kernel counts.
    pub index: u32,
    /// The client, or the relay that is nearest to us.
    pub source: Ipv6Addr,
    pub source_port: u16,
    pub destination: Ipv6Addr,
    /// True if it was sent to a group, as clients must (RFC 9915 §16).
    pub multicast: bool,
}

/// A message with what is read from it once.
#[derive(Debug, Clone)]
pub struct Request6<'a> {
    pub kind: Kind,
    pub arrival: Arrival6<'a>,
    /// The one nearest to us first.
    pub relays: Vec<Relay<'a>>,
    pub message: Message<'a>,
    pub duid: Option<&'a [u8]>,
    pub ias: Vec<Ia<'a>>,
    pub mac: Option<Mac>,
    /// Option 6, raw.
    requested: &'a [u8],
}

impl<'a> Request6<'a> {
    /// Reads a walked packet. `neighbour` is the hardware address that the kernel knows of the source, for
    /// those who tell it in no other way.
    pub fn read(packet: Packet<'a>, arrival: Arrival6<'a>, neighbour: Option<Mac>) -> Request6<'a> {
        let Packet { relays, message } = packet;
        let duid = message.options.find(code::CLIENT_ID);
        let neighbour = neighbour.filter(|_| relays.is_empty());
        let mac = mac(&relays, duid, arrival.source).or(neighbour).filter(|mac| mac.is_identity());
        Request6 {
            kind: message.kind,
            arrival,
            ias: message.ias().collect(),
            requested: message.options.find(code::ORO).unwrap_or_default(),
            relays,
            message,
            duid,
            mac,
        }
    }

    /// The checks of §16 that need no facts.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), Silence> {
        let server = self.message.options.find(code::SERVER_ID);
        let ours = server.is_some_and(|id| id == policy.rules6.server_id);
        let has_client = self.duid.is_some();
        match self.kind {
            // §16.2, §16.5, §16.7: "MUST discard ... does include a Server Identifier option"
            Kind::Solicit | Kind::Confirm | Kind::Rebind | Kind::AddrRegInform => match (has_client, server) {
                (false, _) => Err(Silence::NoClient),
                (true, Some(_)) => Err(Silence::Unexpected),
                (true, None) => Ok(()),
            },
            // §16.4, §16.6, §16.8, §16.9: ours must be named
            Kind::Request | Kind::Renew | Kind::Release | Kind::Decline => match (has_client, server) {
                (false, _) => Err(Silence::NoClient),
                (true, None) => Err(Silence::Unexpected),
                // a REQUEST for another server frees what we offered: decided with the facts
                (true, Some(_)) if ours || self.kind == Kind::Request => Ok(()),
                (true, Some(_)) => Err(Silence::OtherServer),
            },
            // §16.12
            Kind::InformationRequest => match server {
                Some(_) if !ours => Err(Silence::OtherServer),
                _ if !self.ias.is_empty() => Err(Silence::Unexpected),
                _ => Ok(()),
            },
            Kind::Advertise | Kind::Reply | Kind::Reconfigure | Kind::AddrRegReply => Err(Silence::Unexpected),
        }
    }

    /// The server that the message names.
    pub fn server(&self) -> Option<&'a [u8]> {
        self.message.options.find(code::SERVER_ID)
    }

    /// True if the message names another server than us.
    pub(super) fn for_another(&self, policy: &Policy) -> bool {
        self.message.options.find(code::SERVER_ID).is_some_and(|id| id != policy.rules6.server_id)
    }

    /// The link of the request (DH-703): the link-address of the relay nearest to the client that has one,
    /// else an interface-id, else the interface.
    pub fn network(&self, policy: &Policy) -> Option<usize> {
        let here = policy.by_interface(self.arrival.interface);
        if let Some(link) = self.link() {
            return policy.by_address6(link, here);
        }
        let ids = self.relays.iter().rev().filter_map(|relay| relay.options.find(code::INTERFACE_ID));
        let by_id = ids.into_iter().find_map(|id| policy.by_interface_id(id));
        // a relay without address and known interface-id sits on our own link (RFC 6221)
        by_id.or(here).filter(|network| !policy.networks[*network].subnets6.is_empty())
    }

    /// The link-address of the relay nearest to the client that names one.
    pub(super) fn link(&self) -> Option<Ipv6Addr> {
        self.relays.iter().rev().map(|relay| relay.link).find(|link| !link.is_unspecified())
    }

    /// The client's own address: as its relay saw it, or the source.
    pub(super) fn client_address(&self) -> Ipv6Addr {
        self.relays.last().map_or(self.arrival.source, |relay| relay.peer)
    }

    /// An option that a relay added, of the one nearest to the client.
    pub(super) fn relayed(&self, code: u16) -> Option<&'a [u8]> {
        self.relays.iter().rev().find_map(|relay| relay.options.find(code))
    }

    /// What selects reservations, for one of the client's identity associations.
    pub fn traits(&self, iaid: u32) -> Traits<'a> {
        Traits {
            mac: self.mac,
            circuit_id: self.relayed(code::INTERFACE_ID),
            remote_id: self.relayed(code::REMOTE_ID),
            ia: self.duid.map(|duid| (iaid, duid)),
            ..Traits::default()
        }
    }

    /// Option 6, raw: two octets a code.
    pub fn requested_raw(&self) -> &'a [u8] {
        self.requested
    }

    /// The codes of option 6, in the client's order.
    pub fn requested(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.requested.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// True if option 6 lists the code.
    pub fn wants(&self, code: u16) -> bool {
        self.requested().any(|wanted| wanted == code)
    }
}

/// DH-705: option 79, then the DUID, then an EUI-64 source.
fn mac(relays: &[Relay<'_>], duid: Option<&[u8]>, source: Ipv6Addr) -> Option<Mac> {
    // RFC 6939 §4: hardware type, address; added by the relay that saw the frame
    let by_relay = relays.last().and_then(|relay| match relay.options.find(code::CLIENT_LINK_LAYER)? {
        [0, 1, octets @ ..] => octets.try_into().ok().map(Mac),
        _ => None,
    });
    let client = relays.last().map_or(source, |relay| relay.peer);
    by_relay.or_else(|| mac_of_duid(duid?)).or_else(|| mac_of_eui64(client))
}

/// The Ethernet address in a DUID-LLT or DUID-LL (RFC 9915 §11.2, §11.4).
pub fn mac_of_duid(duid: &[u8]) -> Option<Mac> {
    match duid {
        [0, 1, 0, 1, _, _, _, _, octets @ ..] | [0, 3, 0, 1, octets @ ..] => octets.try_into().ok().map(Mac),
        _ => None,
    }
}

/// The Ethernet address that an interface identifier was made from (RFC 4291, appendix A).
fn mac_of_eui64(ip: Ipv6Addr) -> Option<Mac> {
    match ip.octets() {
        [.., a, b, c, 0xff, 0xfe, d, e, f] if ip.is_unicast_link_local() => Some(Mac([a ^ 2, b, c, d, e, f])),
        _ => None,
    }
}

/// Value of one option of the vendor class: enterprise number, then texts with their lengths.
pub(super) fn first_class_data(value: &[u8]) -> Option<&[u8]> {
    let (_, rest) = value.split_at_checked(4)?;
    first_text(rest)
}

/// The first of texts with two octets of length each.
pub(super) fn first_text(value: &[u8]) -> Option<&[u8]> {
    let (length, rest) = value.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Options that a relay offers for the client and that we know to be meant for this (RFC 6422 §5).
pub(super) fn relay_supplied<'a>(relay: &Relay<'a>) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
    // the registry of RFC 6422 §9 holds OPTION_ERP_LOCAL_DOMAIN_NAME
    const REGISTERED: [u16; 1] = [65];
    let supplied = Options(relay.options.find(code::RSOO).unwrap_or_default());
    supplied.filter(|(code, _)| REGISTERED.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hardware_address_is_read_from_where_it_is_surest() {
        let llt = [0, 1, 0, 1, 9, 9, 9, 9, 2, 0, 0, 0, 0, 1];
        let eui: Ipv6Addr = "fe80::200:ff:fe00:2".parse().unwrap();
        let other: Ipv6Addr = "fe80::5efe:1".parse().unwrap();
        assert_eq!(mac(&[], Some(&llt), eui), Some(Mac([2, 0, 0, 0, 0, 1])));
        assert_eq!(mac(&[], Some(&[0, 4, 1, 2]), eui), Some(Mac([0, 0, 0, 0, 0, 2])));
        assert_eq!(mac(&[], Some(&[0, 3, 0, 32, 1, 2, 3, 4, 5, 6]), other), None);
        let options = [0, 79, 0, 8, 0, 1, 2, 0, 0, 0, 0, 3];
        let relay = Relay { hops: 0, link: other, peer: eui, options: Options(&options) };
        assert_eq!(mac(&[relay], Some(&llt), other), Some(Mac([2, 0, 0, 0, 0, 3])));
        let silent = Relay { options: Options(&[]), ..relay };
        assert_eq!(mac(&[silent], None, other), Some(Mac([0, 0, 0, 0, 0, 2])));
    }

    #[test]
    fn class_texts_are_cut_where_their_length_says() {
        assert_eq!(first_class_data(&[0, 0, 0, 9, 0, 2, b'a', b'b', 0, 1, b'c']), Some(&b"ab"[..]));
        assert_eq!(first_class_data(&[0, 0, 0, 9, 0, 3, b'a', b'b']), None);
    }
}

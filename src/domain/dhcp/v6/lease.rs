//! Leases as they are written, and the names that they get.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Case;
use super::assign::Piece;
use super::request::{first_class_data, first_text};
use super::wire::code;
use crate::domain::dns::naming::{NameRequest, option81_of_39};
use crate::domain::lease::{Cause, ClientKey, IaKind, Lease};
use crate::domain::time::Wall;

impl<'a> Case<'a> {
    /// The lease of one piece as it will stand. What a renewal does not say again stays as it was.
    pub(super) fn lease(&self, piece: Piece, client: &ClientKey, cause: Cause, old: Option<&Lease>) -> Lease {
        let (subnet, times) = self.home(piece, client);
        let at = |seconds: u32| self.now.wall.plus(Duration::from_secs(seconds.into()));
        let delegated = matches!(client, ClientKey::Ia { kind: IaKind::Prefix, .. }).then_some(piece.1);
        let fqdn = match delegated {
            Some(_) => None,
            None => self.name(piece.0, client, old.and_then(|old| old.fqdn.as_deref())),
        };
        self.written(
            piece.0,
            client,
            cause,
            old,
            Lease { subnet, delegated, fqdn, ..blank(at(times.valid), at(times.preferred)) },
        )
    }

    /// Fills in what the request says.
    pub(super) fn written(
        &self,
        ip: Ipv6Addr,
        client: &ClientKey,
        cause: Cause,
        old: Option<&Lease>,
        base: Lease,
    ) -> Lease {
        let request = self.request;
        let option = |code| request.message.options.find(code);
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec).filter(|value| !value.is_empty());
        let relay = request.relays.first().map(|_| request.arrival.source);
        // a route to a delegated prefix needs the next hop
        let via = relay.or(base.delegated.map(|_| request.client_address()));
        Lease {
            ip: IpAddr::V6(ip),
            network: self.policy.networks[self.network].name.clone(),
            client: client.clone(),
            mac: request.mac.or(old.and_then(|old| old.mac)),
            vendor_class: owned(option(code::VENDOR_CLASS).and_then(first_class_data))
                .or_else(|| old.and_then(|old| old.vendor_class.clone())),
            user_class: owned(option(code::USER_CLASS).and_then(first_text))
                .or_else(|| old.and_then(|old| old.user_class.clone())),
            requested: request.requested_raw().to_vec(),
            circuit_id: owned(request.relayed(code::INTERFACE_ID)),
            remote_id: owned(request.relayed(code::REMOTE_ID)),
            relay: via.map(IpAddr::V6),
            interface: request.arrival.interface.to_owned(),
            began: old.map_or(self.now.wall, |old| old.began),
            cause,
            ..base
        }
    }

    /// The name of the lease; it counts as taken by this client from here on.
    pub(super) fn name(&self, ip: Ipv6Addr, client: &ClientKey, previous: Option<&str>) -> Option<String> {
        if self.standing.skip_dns {
            return None;
        }
        let options = self.request.message.options;
        let option81 = options.find(code::FQDN).and_then(option81_of_39);
        self.facts.names.choose(&NameRequest {
            client,
            mac: self.request.mac,
            ip: IpAddr::V6(ip),
            domain: &self.policy.networks[self.network].domain,
            reserved: self.standing.reserved.iter().find_map(|reservation| reservation.name.as_deref()),
            option81: option81.as_deref(),
            option12: None,
            vendor_class: options.find(code::VENDOR_CLASS).and_then(first_class_data),
            previous,
        })
    }
}

/// A lease with nothing but its times.
pub(super) fn blank(expires: Wall, preferred: Wall) -> Lease {
    Lease {
        ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        delegated: None,
        network: String::new(),
        subnet: ipnet::IpNet::V6(ipnet::Ipv6Net::default()),
        client: ClientKey::Ia { duid: Vec::new(), iaid: 0, kind: IaKind::Address },
        mac: None,
        client_id: None,
        hostname: None,
        fqdn: None,
        vendor_class: None,
        user_class: None,
        requested: Vec::new(),
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay: None,
        interface: String::new(),
        began: expires,
        expires,
        preferred: Some(preferred),
        cause: Cause::New,
    }
}

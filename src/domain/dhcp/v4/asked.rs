//! A request as classes see it. Owns what counts as believed: option 82 of strangers' switches does not, and
//! a renewal that comes without it has the one that its lease was granted with (DH-206).

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::{Facts, Request};
use crate::domain::dhcp::classes::{Field, Subject};
use crate::domain::dhcp::policy::{Place, Policy};
use crate::domain::dhcp::reserve::Traits;
use crate::domain::dhcp::wire::{code, relay};

/// A request on its link.
pub(super) struct Asked<'a> {
    request: &'a Request<'a>,
    network: &'a str,
    info: Option<Cow<'a, [u8]>>,
}

impl<'a> Asked<'a> {
    pub fn new(request: &'a Request<'a>, facts: Facts<'a>, policy: &'a Policy, place: Place) -> Asked<'a> {
        let network = &policy.networks[place.network];
        let stored = || {
            let ip = facts.book.address_of(place.network, &request.client_key(network.identify))?;
            facts.book.kept(place.network, ip)?.relay_info().map(Cow::Owned)
        };
        let unsaid = request.relay_info.is_none() && !request.relayed();
        let info = request.believed_relay_info(policy, place.network).map(Cow::Borrowed);
        let info = info.or_else(|| if unsaid { stored() } else { None });
        Asked { request, network: &network.name, info }
    }

    fn address(ip: Ipv4Addr) -> Option<Cow<'a, [u8]>> {
        (!ip.is_unspecified()).then(|| ip.octets().to_vec().into())
    }
}

fn number(value: u32) -> Option<Cow<'static, [u8]>> {
    Some(value.to_be_bytes().to_vec().into())
}

impl Subject for Asked<'_> {
    fn is_v6(&self) -> bool {
        false
    }

    fn option(&self, code: u16) -> Option<Cow<'_, [u8]>> {
        let code = u8::try_from(code).ok()?;
        if code == code::RELAY_INFO {
            return self.info.as_deref().map(Cow::Borrowed);
        }
        self.request.packet.option(code)
    }

    fn relay(&self, sub: u16) -> Option<Cow<'_, [u8]>> {
        relay::value(self.info.as_deref()?, u8::try_from(sub).ok()?).map(Cow::Borrowed)
    }

    fn field(&self, field: Field) -> Option<Cow<'_, [u8]>> {
        let (request, packet) = (self.request, &self.request.packet);
        match field {
            Field::Mac => Some(Cow::Borrowed(packet.chaddr())).filter(|chaddr| !chaddr.is_empty()),
            Field::ClientId => request.client_id.as_deref().map(Cow::Borrowed),
            Field::Duid => {
                let traits = Traits { client_id: request.client_id.as_deref(), ..Traits::default() };
                traits.duid().map(|(_, duid)| Cow::Borrowed(duid))
            }
            Field::Hostname => packet.text(code::HOSTNAME),
            Field::VendorClass => request.vendor_class.as_deref().map(Cow::Borrowed),
            Field::UserClass => packet.option(code::USER_CLASS),
            Field::Arch => packet.option(code::PXE_ARCH),
            Field::Interface => Some(Cow::Borrowed(request.arrival.interface.as_bytes())),
            Field::Network => Some(Cow::Borrowed(self.network.as_bytes())),
            Field::MessageType => number(request.kind.number().into()),
            Field::TransactionId => number(packet.xid()),
            Field::HardwareType => number(packet.htype().into()),
            Field::HardwareLength => number(packet.hlen().into()),
            Field::Length => number(u32::try_from(packet.size()).unwrap_or(u32::MAX)),
            Field::Ciaddr => Self::address(packet.ciaddr()),
            Field::Yiaddr => Self::address(packet.yiaddr()),
            Field::Siaddr => Self::address(packet.siaddr()),
            Field::Giaddr => Self::address(packet.giaddr()),
            Field::Source => Self::address(request.arrival.source),
            Field::Destination => Self::address(request.arrival.destination),
            Field::CircuitId => self.relay(relay::sub::CIRCUIT_ID.into()),
            Field::RemoteId => self.relay(relay::sub::REMOTE_ID.into()),
            Field::SubscriberId => self.relay(relay::sub::SUBSCRIBER_ID.into()),
            Field::Link => self.relay(relay::sub::LINK_SELECTION.into()),
        }
    }
}

//! A request as classes see it.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::request::{first_class_data, first_text};
use super::wire::code;
use super::{Request6, Silence};
use crate::domain::dhcp::classes::{self, Field, Membership, RelayPart, Subject};
use crate::domain::dhcp::policy::{Network, Policy};
use crate::domain::dhcp::reserve::Reservations;
use crate::domain::dns::naming::{ClientFqdn, option81_of_39};
use crate::domain::lease::Reservation;
use std::sync::Arc;

/// A request on its link.
struct Asked<'a> {
    request: &'a Request6<'a>,
    network: &'a str,
}

/// What follows from the classes and reservations of a client.
pub(super) struct Standing {
    /// Reservations that select this client, the most telling first.
    pub reserved: Vec<Arc<Reservation>>,
    /// Whether its leases get no name.
    pub skip_dns: bool,
    /// Subnets of the network that are for others.
    pub closed: Vec<usize>,
}

impl Standing {
    /// Where a client stands on its network, or why it gets no answer, whatever it asks for.
    pub fn of(
        request: &Request6<'_>,
        reservations: &Reservations,
        policy: &Policy,
        network: &Network,
    ) -> Result<Standing, Silence> {
        let asked = Asked { request, network: &network.name };
        let traits = request.traits(request.ias.first().map_or(0, |ia| ia.iaid));
        let mut reserved: Vec<Arc<Reservation>> = reservations.all_of(&network.name, traits).cloned().collect();
        if reserved.is_empty() {
            let stranger = Membership::new(&policy.classes, &asked, false, &[]);
            reserved.extend(reservations.tested_on(&network.name, &stranger).cloned());
        }
        let given = reserved.first().map_or(&[][..], |reservation| &reservation.classes);
        let member = Membership::new(&policy.classes, &asked, !reserved.is_empty(), given);
        if member.has(classes::DROP) {
            return Err(Silence::Dropped);
        }
        if !member.has_any(&network.guard) {
            return Err(Silence::Guarded);
        }
        let subnets = network.subnets6.iter().enumerate();
        let closed = subnets.filter(|(_, subnet)| !member.has_any(&subnet.guard)).map(|(at, _)| at).collect();
        let skip_dns = member.has(classes::SKIP_DNS);
        Ok(Standing { reserved, skip_dns, closed })
    }
}

fn address(ip: Ipv6Addr) -> Option<Cow<'static, [u8]>> {
    Some(ip.octets().to_vec().into())
}

fn number(value: u32) -> Option<Cow<'static, [u8]>> {
    Some(value.to_be_bytes().to_vec().into())
}

impl Subject for Asked<'_> {
    fn is_v6(&self) -> bool {
        true
    }

    fn option(&self, code: u16) -> Option<Cow<'_, [u8]>> {
        self.request.message.options.find(code).map(Cow::Borrowed)
    }

    fn relay(&self, _sub: u16) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn relay6(&self, level: i8, part: RelayPart) -> Option<Cow<'_, [u8]>> {
        let relays = &self.request.relays;
        let at = if level < 0 { relays.len().checked_sub(usize::from(level.unsigned_abs()))? } else { level as usize };
        let relay = relays.get(at)?;
        match part {
            RelayPart::Option(code) => relay.options.find(code).map(Cow::Borrowed),
            RelayPart::Peer => address(relay.peer),
            RelayPart::Link => address(relay.link),
        }
    }

    fn field(&self, field: Field) -> Option<Cow<'_, [u8]>> {
        let (request, options) = (self.request, self.request.message.options);
        match field {
            Field::Mac => request.mac.map(|mac| mac.0.to_vec().into()),
            Field::Duid => request.duid.map(Cow::Borrowed),
            Field::Hostname => {
                let fqdn = ClientFqdn::parse(&option81_of_39(options.find(code::FQDN)?)?)?;
                Some(fqdn.name.split(|b| *b == b'.').next().unwrap_or_default().to_vec().into())
            }
            Field::VendorClass => options.find(code::VENDOR_CLASS).and_then(first_class_data).map(Cow::Borrowed),
            Field::UserClass => options.find(code::USER_CLASS).and_then(first_text).map(Cow::Borrowed),
            Field::Arch => options.find(code::CLIENT_ARCH).map(Cow::Borrowed),
            Field::Interface => Some(Cow::Borrowed(request.arrival.interface.as_bytes())),
            Field::Network => Some(Cow::Borrowed(self.network.as_bytes())),
            Field::MessageType => number(request.kind.number().into()),
            Field::TransactionId => number(request.message.xid),
            Field::Source => address(request.arrival.source),
            Field::Destination => address(request.arrival.destination),
            Field::CircuitId => request.relayed(code::INTERFACE_ID).map(Cow::Borrowed),
            Field::RemoteId => request.relayed(code::REMOTE_ID).map(Cow::Borrowed),
            Field::SubscriberId => request.relayed(code::SUBSCRIBER_ID).map(Cow::Borrowed),
            Field::Link => request.link().and_then(address),
            // of DHCPv4's header
            Field::ClientId
            | Field::HardwareType
            | Field::HardwareLength
            | Field::Length
            | Field::Ciaddr
            | Field::Yiaddr
            | Field::Siaddr
            | Field::Giaddr => None,
        }
    }
}

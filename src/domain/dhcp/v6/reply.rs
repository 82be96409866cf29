//! Replies: identifiers, options by precedence, who they go to.

use std::borrow::Cow;
use std::net::SocketAddrV6;

use super::options::by_code;
use super::request::relay_supplied;
use super::wire::{Item, Kind, Reply, code};
use super::{Case, Decision6, Outcome6};
use crate::domain::dhcp::policy::{Placeholders6, Setting6};
use crate::domain::dhcp::value;
use crate::domain::dns::naming::reply39;

impl<'a> Case<'a> {
    /// A reply with both identifiers. RFC 9915 §18.3.9: the client's as it came.
    pub(super) fn reply(&self, kind: Kind) -> Reply<'a> {
        let mut reply = Reply::new(kind, self.request.message.xid);
        if let Some(duid) = self.request.duid {
            reply.items.push(Item::Raw(code::CLIENT_ID, duid.into()));
        }
        reply.items.push(Item::Raw(code::SERVER_ID, self.policy.rules6.server_id.as_slice().into()));
        if kind == Kind::Advertise && self.policy.rules6.preference > 0 {
            reply.items.push(Item::Raw(code::PREFERENCE, vec![self.policy.rules6.preference].into()));
        }
        reply
    }

    /// Where replies go: back to who sent the datagram.
    pub(super) fn send(&self, reply: Reply<'a>) -> Decision6<'a> {
        let (arrival, rules) = (&self.request.arrival, &self.policy.rules6);
        let port = match self.request.relays.first() {
            // RFC 8357 §5.2: the option says that the relay listens on the port that it sent from
            Some(relay) if relay.options.find(code::RELAY_PORT).is_some() => arrival.source_port,
            Some(_) => rules.server_port,
            None => rules.client_port,
        };
        let to = SocketAddrV6::new(arrival.source, port, 0, arrival.index);
        Decision6 { outcome: Outcome6::Send(Box::new(reply), to), changes: Vec::new(), effects: Vec::new() }
    }

    /// The options that the client asked for, in its order, then those that follow from its message. `name`
    /// is the one that this reply's lease got, where one is granted.
    pub(super) fn add_options(&self, reply: &mut Reply<'a>, name: Option<Option<String>>) {
        let network = &self.policy.networks[self.network];
        let subnet = self.request.link().and_then(|link| self.policy.within6(self.network, link)).unwrap_or(0);
        let subnet = network.subnets6.get(subnet);
        let own = network.subnets6.iter().find_map(|subnet| self.facts.book.own_within(subnet.prefix));
        let fill = Placeholders6 { mac: self.request.mac, server_ip: own, http_url: &self.policy.http_url };
        // the strongest level first (DH-310)
        let levels = [subnet.map_or(&[][..], |s| &s.options), &network.options6, &self.policy.options6];
        let mut sent: Vec<u16> = Vec::new();
        // what an administrator gave to one client reaches it, asked for or not
        for (code, value) in self.standing.reserved.iter().flat_map(|reservation| &reservation.options6) {
            if !sent.contains(code) && !by_code(*code).is_some_and(|entry| entry.owned) {
                sent.push(*code);
                reply.items.push(Item::Raw(*code, value.clone().into()));
            }
        }
        for wanted in self.request.requested().take(MAX_REQUESTED) {
            if sent.contains(&wanted) {
                continue;
            }
            let setting = levels.iter().find_map(|level| level.iter().find(|s: &&Setting6| s.code == wanted));
            let value = match setting {
                Some(setting) => setting.wire(&fill),
                None => self.built_in(wanted).or_else(|| self.supplied(wanted)),
            };
            if let Some(value) = value {
                sent.push(wanted);
                reply.items.push(Item::Raw(wanted, value));
            }
        }
        self.add_fqdn(reply, name);
    }

    /// What follows from the network itself.
    fn built_in(&self, code: u16) -> Option<Cow<'a, [u8]>> {
        let domain = &self.policy.networks[self.network].domain;
        match code {
            code::SEARCH if !domain.is_empty() => value::name(domain).map(Into::into),
            // RFC 9686 §4.1: an empty option says that registrations are taken
            code::ADDR_REG_ENABLE if self.policy.rules6.register => Some((&[][..]).into()),
            _ => None,
        }
    }

    /// RFC 6422 §6: what a relay offers, if we have nothing of our own; the relay nearest to the client wins.
    fn supplied(&self, wanted: u16) -> Option<Cow<'a, [u8]>> {
        let all = self.request.relays.iter().rev().flat_map(relay_supplied);
        all.into_iter().find(|(code, _)| *code == wanted).map(|(_, value)| value.into())
    }

    /// RFC 4704 §6: only if received.
    fn add_fqdn(&self, reply: &mut Reply<'a>, granted: Option<Option<String>>) {
        let Some(received) = self.request.message.options.find(code::FQDN) else { return };
        let held = || {
            let clients = self.request.ias.iter().filter_map(|ia| self.client(ia));
            clients.into_iter().find_map(|client| {
                self.facts.book.leases_of(self.network, &client).find_map(|lease| lease.fqdn.clone())
            })
        };
        let name = match granted {
            Some(name) => name,
            None => match held() {
                Some(name) => Some(name),
                // no name has been chosen yet
                None => return,
            },
        };
        reply.items.extend(reply39(received, name.as_deref()).map(|value| Item::Raw(code::FQDN, value.into())));
    }
}

/// Codes of option 6 that are looked at.
const MAX_REQUESTED: usize = 64;

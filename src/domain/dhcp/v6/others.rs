//! CONFIRM, RELEASE, DECLINE, INFORMATION-REQUEST (RFC 9915 §18.3) and ADDR-REG-INFORM (RFC 9686).

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::bind::without;
use super::book::Effect6;
use super::lease::blank;
use super::wire::{Ia, IaItem, IaReply, Item, Kind, Status, code};
use super::{Case, Decision6, Silence};
use crate::domain::change::Change;
use crate::domain::lease::{Cause, ClientKey, End, IaKind, Lease};

impl<'a> Case<'a> {
    /// §18.3.3: whether the client is still on the link of its addresses.
    pub(super) fn confirm(&self) -> Decision6<'a> {
        let addresses = || self.request.ias.iter().filter(|ia| ia.code != code::IA_PD).flat_map(Ia::items);
        if addresses().next().is_none() {
            return Decision6::silent(Silence::NoAddress);
        }
        let here = addresses().all(|item| self.on_link(item.ip));
        let (status, text) =
            if here { (Status::Success, "all on this link") } else { (Status::NotOnLink, "not on this link") };
        self.with_status(status, text, Vec::new(), Vec::new())
    }

    /// §18.3.7: what the client holds and names becomes free.
    pub(super) fn release(&self) -> Decision6<'a> {
        let ended =
            |lease: &Lease| Change::LeaseEnded { network: lease.network.clone(), ip: lease.ip, end: End::Released };
        let (changes, unknown) = self.each_held(ended);
        self.with_status(Status::Success, "released", changes, unknown)
    }

    /// §18.3.8: another station uses the addresses; they stay out of use for a while (DH-209).
    pub(super) fn decline(&self) -> Decision6<'a> {
        let clients = || self.request.ias.iter().filter(|ia| ia.code == code::IA_NA).filter_map(|ia| self.client(ia));
        if clients().any(|client| self.facts.shared.declines_too_often(&client, self.now.mono)) {
            return Decision6::silent(Silence::Declines);
        }
        let until = self.now.wall.plus(self.policy.rules.quarantine);
        let end = End::Declined { until };
        let ended = |lease: &Lease| Change::LeaseEnded { network: lease.network.clone(), ip: lease.ip, end };
        let (mut changes, unknown) = self.each_held(ended);
        // a prefix is on no link where another station could use it
        changes.retain(|change| match change {
            Change::LeaseEnded { ip: IpAddr::V6(ip), .. } => {
                self.facts.book.lease(self.network, *ip).is_some_and(|lease| lease.delegated.is_none())
            }
            _ => false,
        });
        let counted = changes.iter().filter_map(|change| match change {
            Change::LeaseEnded { ip: IpAddr::V6(ip), .. } => self.facts.book.lease(self.network, *ip),
            _ => None,
        });
        let effects = counted.map(|lease| Effect6::CountDecline { client: lease.client.clone() }).collect();
        Decision6 { effects, ..self.with_status(Status::Success, "thank you", changes, unknown) }
    }

    /// The changes for all that the client holds and names, and answers for associations it does not have.
    fn each_held(&self, change: impl Fn(&Lease) -> Change) -> (Vec<Change>, Vec<IaReply<'a>>) {
        let (mut changes, mut unknown): (Vec<Change>, Vec<_>) = (Vec::new(), Vec::new());
        for ia in &self.request.ias {
            let Some(client) = self.client(ia) else {
                unknown.push(without(ia, Status::NoBinding, "not known here"));
                continue;
            };
            if self.facts.book.leases_of(self.network, &client).next().is_none() {
                unknown.push(without(ia, Status::NoBinding, "not known here"));
            }
            for item in ia.items() {
                let made = self.held_by(&client, IpAddr::V6(item.ip)).map(|lease| change(lease));
                changes.extend(made.filter(|made| !changes.contains(made)));
            }
        }
        (changes, unknown)
    }

    fn with_status(
        &self,
        status: Status,
        text: &'static str,
        changes: Vec<Change>,
        ias: Vec<IaReply<'a>>,
    ) -> Decision6<'a> {
        let mut reply = self.reply(Kind::Reply);
        reply.items.push(Item::Status(status, text));
        reply.items.extend(ias.into_iter().map(Item::Ia));
        Decision6 { changes, ..self.send(reply) }
    }

    /// §18.3.6: options for a client that has its addresses from elsewhere.
    pub(super) fn inform(&self) -> Decision6<'a> {
        let mut reply = self.reply(Kind::Reply);
        self.add_options(&mut reply, None);
        self.send(reply)
    }

    /// RFC 8415 §18.4, for clients that follow it; RFC 9915 has all others dropped.
    pub(super) fn unicast(&self) -> Decision6<'a> {
        let told = matches!(self.request.kind, Kind::Request | Kind::Renew | Kind::Release | Kind::Decline);
        if !self.policy.rules6.use_multicast || !told || self.request.for_another(self.policy) {
            return Decision6::silent(Silence::Unicast);
        }
        self.with_status(Status::UseMulticast, "use multicast", Vec::new(), Vec::new())
    }

    /// RFC 9686 §4.2: an address that the client made itself gets an identity and a name, nothing more.
    pub(super) fn register(&self) -> Decision6<'a> {
        if !self.policy.rules6.register {
            return Decision6::silent(Silence::Unexpected);
        }
        let mut all = self.request.message.options.filter(|(code, _)| *code == code::IA_ADDRESS);
        let (Some((_, value)), None) = (all.next(), all.next()) else { return Decision6::silent(Silence::NoAddress) };
        let Some(item) = IaItem::address(value) else { return Decision6::silent(Silence::NoAddress) };
        // "the source address of the message does not match": nobody registers for others
        if self.request.client_address() != item.ip {
            return Decision6::silent(Silence::NotOwner);
        }
        let Some(subnet) = self.policy.within6(self.network, item.ip) else {
            return Decision6::silent(Silence::NoSubnet);
        };
        let duid = self.request.duid.unwrap_or_default().to_vec();
        let client = ClientKey::Ia { duid, iaid: 0, kind: IaKind::Registered };
        let old = self.facts.book.lease(self.network, item.ip);
        let free = self.facts.book.available(self.network, item.ip, 128, &client, self.request.mac);
        let waits =
            self.facts.shared.reservations().denies6(&self.policy.networks[self.network].name, item.ip, self.traits(0));
        if !free || waits {
            return Decision6::silent(Silence::NotOwner);
        }
        let old = old.map(std::sync::Arc::as_ref);
        let change = if item.valid == 0 {
            old.map(|old| Change::LeaseEnded { network: old.network.clone(), ip: old.ip, end: End::Released })
        } else {
            let at = |seconds: u32| self.now.wall.plus(Duration::from_secs(seconds.min(LONGEST).into()));
            let fqdn = self.name(item.ip, &client, old.and_then(|old| old.fqdn.as_deref()));
            let subnet = IpNet::V6(self.policy.networks[self.network].subnets6[subnet].prefix);
            let base = Lease { subnet, fqdn, ..blank(at(item.valid), at(item.preferred.min(item.valid))) };
            let cause = if old.is_some() { Cause::Renew } else { Cause::New };
            Some(Change::LeaseGranted(Box::new(self.written(item.ip, &client, cause, old, base))))
        };
        let mut reply = self.reply(Kind::AddrRegReply);
        // §4.3: the address as it was registered
        reply.items.push(Item::Raw(code::IA_ADDRESS, value.into()));
        Decision6 { changes: change.into_iter().collect(), ..self.send(reply) }
    }
}

/// A registration lasts a year at most, unless it is repeated.
const LONGEST: u32 = 31_536_000;

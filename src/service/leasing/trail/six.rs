//! The packet log of DHCPv6: one step a message, with the fate of each identity association in its reason.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Step, Trail, Verdict, cause};
use crate::domain::change::Change;
use crate::domain::dhcp::v6::wire::encode::Leased;
use crate::domain::dhcp::v6::wire::{IaReply, Item, Kind, Reply, Status, code};
use crate::domain::dhcp::v6::{Decision6, Outcome6, Request6, Silence};
use crate::domain::dhcp::value::escape;
use crate::domain::lease::{ClientKey, End, IaKind};
use crate::domain::time::Wall;

impl Trail {
    /// Takes in what was decided about a DHCPv6 message; `holds`: the client has a lease.
    pub fn decided6(
        &mut self,
        request: &Request6<'_>,
        decision: &Decision6<'_>,
        holds: impl FnOnce() -> bool,
        at: Wall,
    ) {
        let granted = decision.changes.iter().any(|change| matches!(change, Change::LeaseGranted(_)));
        let verdict = verdict(request, decision);
        let asked: Vec<IpAddr> = request
            .ias
            .iter()
            .flat_map(|ia| ia.items())
            .filter(|item| !item.ip.is_unspecified())
            .map(|item| IpAddr::V6(item.ip))
            .collect();
        let mut others: Vec<IpAddr> = asked.iter().skip(1).copied().chain(given(decision)).collect();
        others.sort_unstable();
        others.dedup();
        let step = Step {
            number: 0,
            at,
            mac: request.mac,
            client: request.duid.map(|duid| Box::new(client(duid, request))),
            interface: self.interface(request.arrival.interface),
            relay: request.relays.first().map(|_| IpAddr::V6(request.arrival.source)),
            message: request.kind.name(),
            xid: request.message.xid,
            asked: asked.first().copied(),
            others: others.into(),
            verdict,
        };
        self.put(step, granted || holds());
    }
}

/// The DUID, with the first association that the message is about.
fn client(duid: &[u8], request: &Request6<'_>) -> ClientKey {
    let first = request.ias.first();
    let kind = match first.map(|ia| ia.code) {
        Some(code::IA_PD) => IaKind::Prefix,
        None if request.kind == Kind::AddrRegInform => IaKind::Registered,
        _ => IaKind::Address,
    };
    ClientKey::Ia { duid: duid.to_vec(), iaid: first.map_or(0, |ia| ia.iaid), kind }
}

/// Everything that the answer names.
fn given(decision: &Decision6<'_>) -> impl Iterator<Item = IpAddr> {
    let reply = match &decision.outcome {
        Outcome6::Send(reply, _) => Some(reply),
        Outcome6::Silent(_) => None,
    };
    reply.into_iter().flat_map(|reply| reply.ias()).flat_map(|ia| &ia.leased).map(|leased| IpAddr::V6(leased.ip))
}

fn verdict(request: &Request6<'_>, decision: &Decision6<'_>) -> Verdict {
    match &decision.outcome {
        Outcome6::Silent(why) => Verdict::Silent { reason: why.label(), why: silence(request, *why) },
        Outcome6::Send(reply, _) => {
            let all = || reply.ias().flat_map(|ia| &ia.leased).filter(|leased| leased.valid > 0);
            let ias: Vec<&IaReply<'_>> = reply.ias().collect();
            // a lone address needs no list
            let lone =
                matches!(&ias[..], [ia] if matches!(&ia.leased[..], [one] if one.length == 128 && one.valid > 0));
            let fates: Vec<String> = ias.into_iter().filter(|_| !lone).map(fate).collect();
            let why = reason(request, reply, decision);
            Verdict::Replied {
                message: reply.kind.name(),
                ip: all().next().map(|leased| IpAddr::V6(leased.ip)),
                seconds: all().next().map(|leased| leased.valid),
                why: if fates.is_empty() { why } else { format!("{}; {why}", fates.join("; ")).into() },
            }
        }
    }
}

/// What becomes of one association, e.g. `IA_PD 1 has 2001:db8:100::/56 for 3600 s`.
fn fate(ia: &IaReply<'_>) -> String {
    let name = match ia.code {
        code::IA_NA => "IA_NA",
        code::IA_TA => "IA_TA",
        _ => "IA_PD",
    };
    let mut parts: Vec<String> = ia.leased.iter().map(piece).collect();
    parts.extend(ia.status.map(|(status, text)| format!("{} ({text})", status_name(status))));
    let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
    format!("{name} {:x} has {parts}", ia.iaid)
}

fn piece(leased: &Leased<'_>) -> String {
    let length = if leased.length < 128 { format!("/{}", leased.length) } else { String::new() };
    match leased.valid {
        0 => format!("{}{length} no more", leased.ip),
        u32::MAX => format!("{}{length} without end", leased.ip),
        seconds => format!("{}{length} for {seconds} s", leased.ip),
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Success => "Success",
        Status::NoAddrsAvail => "NoAddrsAvail",
        Status::NoBinding => "NoBinding",
        Status::NotOnLink => "NotOnLink",
        Status::UseMulticast => "UseMulticast",
        Status::NoPrefixAvail => "NoPrefixAvail",
    }
}

/// Why it was answered so.
fn reason(request: &Request6<'_>, reply: &Reply<'_>, decision: &Decision6<'_>) -> Cow<'static, str> {
    let top = reply.items.iter().find_map(|item| match item {
        Item::Status(status, text) => Some((*status, *text)),
        _ => None,
    });
    let granted = decision.changes.iter().find_map(|change| match change {
        Change::LeaseGranted(lease) => Some(lease.as_ref()),
        _ => None,
    });
    let ended = decision.changes.iter().find_map(|change| match change {
        Change::LeaseEnded { end, .. } => Some(*end),
        _ => None,
    });
    match (request.kind, reply.kind) {
        (_, Kind::Advertise) if decision.effects.is_empty() => "there is nothing to offer".into(),
        (_, Kind::Advertise) => "set aside for this client until it decides".into(),
        (Kind::InformationRequest, _) => "options only".into(),
        (Kind::AddrRegInform, _) => "the address that it made itself is registered".into(),
        (Kind::Confirm, _) => top.map_or("as it was asked", |(_, text)| text).into(),
        (Kind::Release | Kind::Decline, _) => match ended {
            Some(End::Declined { .. }) => "kept out of use for a while, since another station uses it".into(),
            Some(_) => "free again, and remembered for this client".into(),
            None => "nothing of it is this client's".into(),
        },
        _ => match (granted, top) {
            (Some(lease), _) => cause(lease).into(),
            (None, Some((status, text))) => format!("{} ({text})", status_name(status)).into(),
            (None, None) if reply_gives(reply) => {
                "the lease stands as it is, and is hardly older: nothing new is written down".into()
            }
            (None, None) => "nothing of it can be given".into(),
        },
    }
}

fn reply_gives(reply: &Reply<'_>) -> bool {
    reply.ias().any(|ia| ia.leased.iter().any(|leased| leased.valid > 0))
}

/// Why there was no answer, where DHCPv6 has a reason of its own.
fn silence(request: &Request6<'_>, why: Silence) -> Cow<'static, str> {
    match why {
        Silence::NoSubnet => {
            match request.relays.first() {
                Some(relay) => {
                    let (from, link) = (request.arrival.source, relay.link);
                    format!("no network is configured for the relay {from} (link-address {link}); add one, or name the relay")
                    .into()
                }
                None => {
                    let interface = escape(request.arrival.interface.as_bytes());
                    format!("no network with an IPv6 prefix is configured on the interface {interface}").into()
                }
            }
        }
        Silence::NoClient => "it has no client identifier (option 1) to tell it by".into(),
        Silence::OtherServer => "it names another DHCPv6 server (option 2), which is on this link, too".into(),
        Silence::Unexpected => {
            "a message of this type has no server identifier there, or lacks one (RFC 9915 16)".into()
        }
        Silence::Unknown => "none of it was leased by us, and another server may have (RFC 9915 18.3.5)".into(),
        Silence::NotOwner => "the address is not this client's to register".into(),
        Silence::NoAddress => "it names no address".into(),
        Silence::Declines => "it declined too many addresses in this hour".into(),
        Silence::Unicast => "it was sent to our address, where multicast is wanted (RFC 9915 16)".into(),
        Silence::Stateless => "addresses are not given here (DHCPv6 is stateless)".into(),
        Silence::Dropped => "the client is in the class DROP".into(),
        Silence::Guarded => "the network is for classes that the client is not in".into(),
        other => other.label().into(),
    }
}

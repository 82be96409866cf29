//! The packet log of each client (DH-612): what it sent, what it was answered, and why, or why it was not.
//! Owns a bounded memory of steps and their live tail; refuses to write anything down: the journal of the
//! system has one line a decision ([`super::journal`]), the ledger has what is durable.
//!
//! Clients that hold or get a lease have a memory of their own, which a flood of strangers cannot wash out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::domain::change::Change;
use crate::domain::dhcp::v4::{Decision, Outcome, Request, Silence};
use crate::domain::dhcp::value::escape;
use crate::domain::dhcp::wire::{Kind, Reply, code};
use crate::domain::lease::{Cause, ClientKey, Lease};
use crate::domain::net::Mac;
use crate::domain::time::Wall;

/// Messages of DHCPv6.
mod six;

/// Steps of clients with a lease, at most; about 200 octets each.
const KNOWN: usize = 8_192;
/// Steps of all others.
const STRANGERS: usize = 4_096;
/// Steps that a slow follower may lag behind before it loses the oldest.
const FOLLOWING: usize = 256;
/// Names of interfaces that are shared between steps.
const INTERFACES: usize = 256;

/// One message of a client and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Grows with each step.
    pub number: u64,
    pub at: Wall,
    pub mac: Option<Mac>,
    /// The client, where the hardware address does not say who it is.
    pub client: Option<Box<ClientKey>>,
    pub interface: Arc<str>,
    /// The relay that passed it on.
    pub relay: Option<IpAddr>,
    /// e.g. `DHCPREQUEST`.
    pub message: &'static str,
    pub xid: u32,
    /// The address that the client asked for, or has.
    pub asked: Option<IpAddr>,
    /// DHCPv6: further addresses and prefixes that message and answer are about.
    pub others: Box<[IpAddr]>,
    pub verdict: Verdict,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Replied {
        /// e.g. `DHCPACK`.
        message: &'static str,
        ip: Option<IpAddr>,
        /// Of the lease.
        seconds: Option<u32>,
        why: Cow<'static, str>,
    },
    Silent {
        /// The label of the metric.
        reason: &'static str,
        why: Cow<'static, str>,
    },
}

impl Step {
    /// A sentence.
    pub fn text(&self) -> String {
        let asked = self.asked.map_or_else(String::new, |ip| format!(" for {ip}"));
        let relay = self.relay.map_or_else(String::new, |relay| format!(" relayed by {relay}"));
        let via = if self.interface.is_empty() { String::new() } else { format!(" via {}", self.interface) };
        let outcome = match &self.verdict {
            Verdict::Replied { message, ip, seconds, why } => {
                let ip = ip.map_or_else(String::new, |ip| format!(" {ip}"));
                let seconds = match seconds {
                    None => String::new(),
                    Some(u32::MAX) => " without end".to_owned(),
                    Some(seconds) => format!(" for {seconds} s"),
                };
                format!("{message}{ip}{seconds}: {why}")
            }
            Verdict::Silent { why, .. } => format!("no answer: {why}"),
        };
        format!("{}{asked}{relay}{via} -> {outcome}", self.message)
    }

    /// True if it tells of that address.
    pub fn is_about(&self, ip: IpAddr) -> bool {
        let replied = matches!(&self.verdict, Verdict::Replied { ip: Some(given), .. } if *given == ip);
        replied || self.asked == Some(ip) || self.others.contains(&ip)
    }
}

/// The steps of the last time, the oldest first.
#[derive(Debug)]
pub(super) struct Trail {
    known: VecDeque<Arc<Step>>,
    strangers: VecDeque<Arc<Step>>,
    next: u64,
    interfaces: Vec<Arc<str>>,
    follow: broadcast::Sender<Arc<Step>>,
}

impl Default for Trail {
    fn default() -> Trail {
        let (follow, _) = broadcast::channel(FOLLOWING);
        Trail { known: VecDeque::new(), strangers: VecDeque::new(), next: 1, interfaces: Vec::new(), follow }
    }
}

impl Trail {
    /// Takes in what was decided about a DHCPv4 message; `holds`: the client has a lease.
    pub fn decided(&mut self, request: &Request<'_>, decision: &Decision, holds: bool, at: Wall) {
        let granted = decision.changes.iter().any(|change| matches!(change, Change::LeaseGranted(_)));
        let wanted = request.packet.ip(code::REQUESTED_IP);
        let asked = wanted.or(Some(request.packet.ciaddr()).filter(|ip| !ip.is_unspecified()));
        let relay = request.relayed().then(|| IpAddr::V4(request.packet.giaddr()));
        let step = Step {
            number: 0,
            at,
            mac: request.mac,
            client: match (request.mac, &request.client_id) {
                (None, Some(id)) => Some(Box::new(ClientKey::Id(id.to_vec()))),
                _ => None,
            },
            interface: self.interface(request.arrival.interface),
            relay,
            message: request.kind.name(),
            xid: request.packet.xid(),
            asked: asked.map(IpAddr::V4),
            others: Box::default(),
            verdict: verdict(request, decision),
        };
        self.put(step, holds || granted);
    }

    /// Takes in a step that was made elsewhere; its number is given here.
    pub fn put(&mut self, mut step: Step, holds: bool) {
        step.number = self.next;
        self.next += 1;
        let step = Arc::new(step);
        if self.follow.receiver_count() > 0 {
            // nobody who reads slowly is waited for
            let _ = self.follow.send(step.clone());
        }
        let (steps, most) = if holds { (&mut self.known, KNOWN) } else { (&mut self.strangers, STRANGERS) };
        if steps.len() >= most {
            steps.pop_front();
        }
        steps.push_back(step);
    }

    /// The newest steps that fit, the oldest of them first; at most `limit`.
    pub fn find(&self, fits: impl Fn(&Step) -> bool, limit: usize) -> Vec<Arc<Step>> {
        let of = |steps: &VecDeque<Arc<Step>>| -> Vec<Arc<Step>> {
            steps.iter().rev().filter(|step| fits(step)).take(limit).cloned().collect()
        };
        let mut found = of(&self.known);
        found.extend(of(&self.strangers));
        found.sort_by_key(|step| std::cmp::Reverse(step.number));
        found.truncate(limit);
        found.reverse();
        found
    }

    /// Steps from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Step>> {
        self.follow.subscribe()
    }

    /// The name, shared.
    pub fn interface(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.interfaces.iter().find(|known| known.as_ref() == name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        if self.interfaces.len() < INTERFACES {
            self.interfaces.push(name.clone());
        }
        name
    }
}

fn verdict(request: &Request<'_>, decision: &Decision) -> Verdict {
    match &decision.outcome {
        Outcome::Look(ip) => {
            let why = format!("not yet: {ip} is looked at first, whether another station uses it");
            Verdict::Silent { reason: "looking", why: why.into() }
        }
        Outcome::Silent(why) => Verdict::Silent { reason: why.label(), why: silence(request, *why) },
        Outcome::Send(reply, _) => Verdict::Replied {
            message: reply.kind.name(),
            ip: Some(reply.yiaddr).filter(|ip| *ip != Ipv4Addr::UNSPECIFIED).map(IpAddr::V4),
            seconds: seconds(reply),
            why: reason(reply, decision),
        },
    }
}

fn seconds(reply: &Reply) -> Option<u32> {
    let value = reply.option(code::LEASE_TIME)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// Why it was answered so.
fn reason(reply: &Reply, decision: &Decision) -> Cow<'static, str> {
    let granted = decision.changes.iter().find_map(|change| match change {
        Change::LeaseGranted(lease) => Some(lease.as_ref()),
        _ => None,
    });
    match (reply.kind, granted) {
        // DH-205: the client is told the same words in option 56
        (Kind::Nak, _) => reply.option(code::MESSAGE).map_or("refused".into(), |text| escape(text).into()),
        (Kind::Offer, _) => "set aside for this client until it decides".into(),
        (Kind::Ack, Some(lease)) => cause(lease).into(),
        (Kind::Ack, None) if reply.yiaddr.is_unspecified() => "options only: the address is not leased here".into(),
        (Kind::Ack, None) => "the lease stands as it is, and is hardly older: nothing new is written down".into(),
        _ => "as it was asked".into(),
    }
}

fn cause(lease: &Lease) -> &'static str {
    match lease.cause {
        Cause::New => "leased, and written down before the answer left",
        Cause::Renew => "extended at the client's renewal",
        Cause::Rebind => "extended at the client's rebinding",
        Cause::Reboot => "confirmed after the client's restart",
    }
}

/// Why there was no answer.
fn silence(request: &Request<'_>, why: Silence) -> Cow<'static, str> {
    match why {
        Silence::Done => "this message gets none; it was heeded".into(),
        Silence::NoSubnet if request.relayed() => {
            format!("no subnet is configured for the relay {}; add one, or name the relay", request.packet.giaddr())
                .into()
        }
        Silence::NoSubnet => {
            let interface = escape(request.arrival.interface.as_bytes());
            format!("no network is configured on the interface {interface}").into()
        }
        Silence::NotForUs => "it is a reply, or addressed to somebody else".into(),
        Silence::NoType => "it says not what it is (no option 53)".into(),
        Silence::NoClient => "it has neither a hardware address nor a client identifier to tell it by".into(),
        Silence::BadRelay => "its relay cannot be: the address is our own".into(),
        Silence::OtherServer => "the client chose another DHCP server, which is on this link, too".into(),
        Silence::PoolFull => "no address is free in the pools of this link; enlarge them or shorten the leases".into(),
        Silence::Unknown => "we never leased to this client, and another server may have (RFC 2131 4.3.2)".into(),
        Silence::NotOwner => "the address is not this client's, so it cannot give it up".into(),
        Silence::Declines => "it declined too many addresses in this hour".into(),
        Silence::NoAddress => "it names no address".into(),
        Silence::NotAllowed => "the configuration does not name this asker for LEASEQUERY".into(),
        Silence::Conflicts => "every address that was tried is used by a station that was not given it".into(),
        Silence::Unicast => "it was sent to our address, where multicast is wanted (RFC 9915)".into(),
        Silence::Stateless => "addresses are not given here (DHCPv6 is stateless)".into(),
        Silence::Dropped => "the client is in the class DROP".into(),
        Silence::Guarded => "the network is for classes that the client is not in".into(),
        Silence::NotBooting => "another server gives the addresses here, and no boot rule is for this client".into(),
        Silence::ClientRate => "this client asks too often (client_rate)".into(),
        Silence::PortRate => "too many newcomers ask at this port of the relay (port_rate)".into(),
        Silence::Flood => {
            "too many newcomers ask on this link, and more waits than can be answered (stranger_rate)".into()
        }
        Silence::KnownShare => {
            "what is left of the pool is kept for clients that are known (known_share); enlarge the pool".into()
        }
        Silence::SourceMac => {
            "its frame came from another hardware address than the one that it names (check_source_mac)".into()
        }
        Silence::Unexpected => "a client does not send this".into(),
    }
}

//! DHCPv4 (RFC 2131): a datagram becomes a [`Request`], [`decide`] says what follows. Owns every rule of
//! the exchange; refuses to send, to commit and to look at a clock.

/// Requests as classes see them.
mod asked;
/// Clients that could make an address themselves.
mod auto;
/// BOOTP: requests without option 53.
mod bootp;
/// DISCOVER: which address.
mod discover;
/// What a client would get, and why.
pub mod explain;
/// LEASEQUERY: who holds what.
mod leasequery;
/// Precedence: who says what.
mod levels;
/// DECLINE, RELEASE, INFORM.
mod others;
/// Boot information beside another server.
mod proxy;
/// Replies: options by precedence, who they go to.
mod reply;
/// Datagrams as typed requests.
pub mod request;
/// REQUEST in its four states.
mod states;

use std::net::Ipv4Addr;

use asked::Asked;

use super::book::{Book, Effect};
use super::classes::Membership;
use super::policy::{Place, Policy};
use super::sightings::Sightings;
use super::wire::{Kind, Reply};
use crate::domain::change::Change;
use crate::domain::dns::naming::Names;
use crate::domain::lease::{ClientKey, Reservation};
use crate::domain::net::Mac;
pub use crate::domain::time::Now;
pub use discover::STOCK;
pub use proxy::{BootClient, decide_boot};
pub use request::{Arrival, Request};

/// What decisions are made against, beside the policy.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub book: &'a Book,
    pub names: &'a dyn Names,
    /// What was seen on the links; `None` while nothing is probed.
    pub sightings: Option<&'a Sightings>,
}

/// What follows from a request. The order is law: `changes` are durable before `reply` leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub outcome: Outcome,
    /// To be committed first; empty for what only concerns memory.
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
}

/// Answer or silence.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Send(Box<Reply>, Delivery),
    Silent(Silence),
    /// Not answered yet: is the address in use on the link? It is set aside meanwhile.
    Look(Ipv4Addr),
}

/// Where a reply goes (DH-211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    pub to: Target,
    /// Our address towards this client: the source of the reply.
    pub from: Ipv4Addr,
}

/// How a reply reaches its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To the relay, by routing table.
    Relay(Ipv4Addr, u16),
    /// To a client that has its address.
    Unicast(Ipv4Addr),
    /// To a client that has its address, on the port that it asked from.
    Port(Ipv4Addr, u16),
    /// To 255.255.255.255 on the receiving interface.
    Broadcast,
    /// A frame to a client that has no address yet.
    Hardware(Mac, Ipv4Addr),
}

/// Why nothing is sent; each has a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Silence {
    /// The message never gets an answer (RELEASE, DECLINE), and did its work.
    Done,
    NoSubnet,
    NotForUs,
    NoType,
    NoClient,
    BadRelay,
    OtherServer,
    PoolFull,
    Unknown,
    NotOwner,
    Declines,
    NoAddress,
    Unexpected,
    /// A LEASEQUERY of somebody whom the configuration does not name.
    NotAllowed,
    /// Every address that was tried is used by a station that was not given it.
    Conflicts,
    /// DHCPv6: sent to our address, where RFC 9915 allows multicast only.
    Unicast,
    /// DHCPv6: addresses are not given here.
    Stateless,
    /// The client is in the class DROP.
    Dropped,
    /// The network is for classes that the client is not in.
    Guarded,
    /// Another server gives the addresses here, and there is nothing to boot for this client.
    NotBooting,
    /// This client sends too many DISCOVERs.
    ClientRate,
    /// Too many newcomers at one port of a relay.
    PortRate,
    /// Too many newcomers on the link while the queue is long.
    Flood,
    /// What is left of the pool is kept for clients that are known.
    KnownShare,
    /// The frame came from another hardware address than the one that the message names.
    SourceMac,
}

impl Silence {
    /// All of them, for the metrics.
    pub const ALL: [Silence; 25] = [
        Silence::Done,
        Silence::NoSubnet,
        Silence::NotForUs,
        Silence::NoType,
        Silence::NoClient,
        Silence::BadRelay,
        Silence::OtherServer,
        Silence::PoolFull,
        Silence::Unknown,
        Silence::NotOwner,
        Silence::Declines,
        Silence::NoAddress,
        Silence::Unexpected,
        Silence::NotAllowed,
        Silence::Conflicts,
        Silence::Unicast,
        Silence::Stateless,
        Silence::Dropped,
        Silence::Guarded,
        Silence::NotBooting,
        Silence::ClientRate,
        Silence::PortRate,
        Silence::Flood,
        Silence::KnownShare,
        Silence::SourceMac,
    ];

    /// The label of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Silence::Done => "done",
            Silence::NoSubnet => "no-subnet",
            Silence::NotForUs => "not-for-us",
            Silence::NoType => "no-type",
            Silence::NoClient => "no-client",
            Silence::BadRelay => "bad-relay",
            Silence::OtherServer => "other-server",
            Silence::PoolFull => "pool-full",
            Silence::Unknown => "unknown-client",
            Silence::NotOwner => "not-owner",
            Silence::Declines => "too-many-declines",
            Silence::NoAddress => "no-address",
            Silence::Unexpected => "unexpected-type",
            Silence::NotAllowed => "not-allowed",
            Silence::Conflicts => "conflicts",
            Silence::Unicast => "unicast",
            Silence::Stateless => "stateless",
            Silence::Dropped => "class-drop",
            Silence::Guarded => "class-guard",
            Silence::NotBooting => "not-booting",
            Silence::ClientRate => "client-rate",
            Silence::PortRate => "port-rate",
            Silence::Flood => "flood",
            Silence::KnownShare => "known-share",
            Silence::SourceMac => "source-mac",
        }
    }
}

impl Decision {
    /// Nothing is sent, and nothing happens.
    pub fn silent(why: Silence) -> Decision {
        Decision { outcome: Outcome::Silent(why), changes: Vec::new(), effects: Vec::new() }
    }

    fn send((reply, delivery): (Reply, Delivery)) -> Decision {
        Decision { outcome: Outcome::Send(Box::new(reply), delivery), changes: Vec::new(), effects: Vec::new() }
    }

    /// To be decided again when somebody has looked at the link.
    fn look(ip: Ipv4Addr) -> Decision {
        Decision { outcome: Outcome::Look(ip), changes: Vec::new(), effects: Vec::new() }
    }

    fn with_change(mut self, changes: Vec<Change>) -> Decision {
        self.changes = changes;
        self
    }

    fn with_effect(mut self, effect: Effect) -> Decision {
        self.effects.push(effect);
        self
    }

    /// The kind of the reply, if there is one.
    pub fn reply_kind(&self) -> Option<Kind> {
        match &self.outcome {
            Outcome::Send(reply, _) => Some(reply.kind),
            Outcome::Silent(_) | Outcome::Look(_) => None,
        }
    }
}

/// One request on the link that it belongs to, with everything that its decision needs.
struct Case<'a> {
    request: &'a Request<'a>,
    /// What its lease hangs on.
    client: ClientKey,
    facts: Facts<'a>,
    policy: &'a Policy,
    now: Now,
    place: Place,
    /// Our address towards this client.
    server_id: Ipv4Addr,
    reserved: Option<&'a Reservation>,
    asked: &'a Asked<'a>,
    member: Membership<'a>,
}

/// What to do about a request. Pure, but for the name that `facts.names` notes as taken.
pub fn decide(request: &Request<'_>, facts: &Facts<'_>, policy: &Policy, now: Now) -> Decision {
    match request.kind {
        Kind::LeaseQuery => return leasequery::answer(request, facts, policy, now),
        // DH-101: no option 53
        Kind::Bootp if !policy.rules.bootp => return Decision::silent(Silence::NoType),
        _ => {}
    }
    let place = match request.place(policy) {
        Ok(place) => place,
        Err(why) => return Decision::silent(why),
    };
    let giaddr = request.packet.giaddr();
    if request.relayed() && facts.book.is_own(giaddr) && !policy.names_relay(giaddr) {
        return Decision::silent(Silence::BadRelay);
    }
    let asked = Asked::new(request, *facts, policy, place);
    let case = Case::new(request, *facts, policy, now, place, &asked);
    if let Some(why) = case.refused() {
        return Decision::silent(why);
    }
    if policy.networks[place.network].proxy {
        return case.proxy();
    }
    match request.kind {
        Kind::Discover => case.discover(),
        Kind::Request => case.request(),
        Kind::Decline => case.decline(),
        Kind::Release => case.release(),
        Kind::Inform => case.inform(),
        Kind::Bootp => case.bootp(),
        Kind::Offer | Kind::Ack | Kind::Nak => Decision::silent(Silence::Unexpected),
        Kind::LeaseQuery | Kind::LeaseUnassigned | Kind::LeaseUnknown | Kind::LeaseActive => {
            Decision::silent(Silence::Unexpected)
        }
    }
}

//! DHCPv6 (RFC 9915): a datagram becomes a [`Request6`], [`decide`] says what follows. Owns every rule of
//! the exchange; refuses to send, to commit and to look at a clock.

/// Requests as classes see them.
mod asked;
/// Which addresses and prefixes an identity association gets.
mod assign;
/// SOLICIT, REQUEST, RENEW, REBIND.
mod bind;
/// Who holds what.
pub mod book;
/// Free addresses and blocks.
pub mod free;
/// Leases as they are written, and their names.
mod lease;
/// The registry of options.
pub mod options;
/// CONFIRM, RELEASE, DECLINE, INFORMATION-REQUEST, ADDR-REG-INFORM.
mod others;
/// Replies: options by precedence, who they go to.
mod reply;
/// Datagrams as typed requests.
pub mod request;
/// Bytes to slices and replies to bytes.
pub mod wire;

use std::cell::RefCell;
use std::net::SocketAddrV6;

use super::book::Book;
use super::policy::Policy;
use super::reserve::Traits;
pub use super::v4::Silence;
use crate::domain::change::Change;
use crate::domain::dns::naming::Names;
use crate::domain::time::Now;
use asked::Standing;
use book::{Book6, Effect6};
pub use request::{Arrival6, Request6};
use wire::{Kind, Reply};

/// What decisions are made against, beside the policy.
#[derive(Clone, Copy)]
pub struct Facts6<'a> {
    pub book: &'a Book6,
    /// Reservations, and who declines too often, of both families.
    pub shared: &'a Book,
    pub names: &'a dyn Names,
}

/// What follows from a request. The order is law: `changes` are durable before the reply leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision6<'a> {
    pub outcome: Outcome6<'a>,
    /// To be committed first; empty for what only concerns memory.
    pub changes: Vec<Change>,
    pub effects: Vec<Effect6>,
}

/// Answer or silence.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome6<'a> {
    /// The reply and where it goes; the scope of a link-local address is the receiving interface.
    Send(Box<Reply<'a>>, SocketAddrV6),
    Silent(Silence),
}

impl<'a> Decision6<'a> {
    fn silent(why: Silence) -> Decision6<'a> {
        Decision6 { outcome: Outcome6::Silent(why), changes: Vec::new(), effects: Vec::new() }
    }

    /// Why nothing is sent, if nothing is.
    pub fn silence(&self) -> Option<Silence> {
        match &self.outcome {
            Outcome6::Silent(why) => Some(*why),
            Outcome6::Send(..) => None,
        }
    }

    /// The kind of the reply, if there is one.
    pub fn reply_kind(&self) -> Option<Kind> {
        match &self.outcome {
            Outcome6::Send(reply, _) => Some(reply.kind),
            Outcome6::Silent(_) => None,
        }
    }
}

/// One request on the link that it belongs to, with everything that its decision needs.
struct Case<'a> {
    request: &'a Request6<'a>,
    facts: Facts6<'a>,
    policy: &'a Policy,
    now: Now,
    network: usize,
    standing: Standing,
    /// What this decision has given to an identity association already.
    taken: RefCell<Vec<assign::Piece>>,
}

/// What to do about a request. Pure, but for the name that `facts.names` notes as taken.
pub fn decide<'a>(request: &'a Request6<'a>, facts: &Facts6<'a>, policy: &'a Policy, now: Now) -> Decision6<'a> {
    if let Err(why) = request.check(policy) {
        return Decision6::silent(why);
    }
    let Some(network) = request.network(policy) else { return Decision6::silent(Silence::NoSubnet) };
    let standing = Standing::of(request, facts.shared.reservations(), policy, &policy.networks[network]);
    let standing = match standing {
        Ok(standing) => standing,
        Err(why) => return Decision6::silent(why),
    };
    let case = Case { request, facts: *facts, policy, now, network, standing, taken: RefCell::default() };
    // RFC 9915 §18.4: messages sent to a unicast address of ours are discarded
    if !request.arrival.multicast && request.relays.is_empty() && request.kind != Kind::AddrRegInform {
        return case.unicast();
    }
    let stateless = matches!(request.kind, Kind::InformationRequest | Kind::AddrRegInform);
    if !policy.rules6.stateful && !stateless {
        return Decision6::silent(Silence::Stateless);
    }
    match request.kind {
        Kind::Solicit => case.solicit(),
        Kind::Request => case.request(),
        Kind::Confirm => case.confirm(),
        Kind::Renew => case.renew(),
        Kind::Rebind => case.rebind(),
        Kind::Release => case.release(),
        Kind::Decline => case.decline(),
        Kind::InformationRequest => case.inform(),
        Kind::AddrRegInform => case.register(),
        Kind::Advertise | Kind::Reply | Kind::Reconfigure | Kind::AddrRegReply => {
            Decision6::silent(Silence::Unexpected)
        }
    }
}

impl Case<'_> {
    fn traits(&self, iaid: u32) -> Traits<'_> {
        let met = self.standing.reserved.first().map(|reservation| reservation.id.as_str());
        Traits { met, ..self.request.traits(iaid) }
    }
}

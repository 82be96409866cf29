//! Leasing: requests in, replies out, and between them the ledger. Owns the book of addresses and the order
//! decide → commit → publish → answer (I2, I4). Opens no socket: shells push datagrams in with
//! [`Leasing::receive`] and [`Leasing::receive6`], and send what comes out of [`Replies`] and [`Replies6`].
//!
//! One lock guards the book; it is held for one decision or one committed batch, never across an await.
//! There is no task per packet: one releaser waits for the commits in the order in which they were queued.
//! A client, and an address, has at most one change in flight, so a failed commit rolls back by itself.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV6};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::change::Change;
use crate::domain::dhcp::book::{Book, Ticket};
use crate::domain::dhcp::foreign::Foreign;
use crate::domain::dhcp::guard::Guard;
use crate::domain::dhcp::policy::{LinkInfo, Place, Policy};
use crate::domain::dhcp::v4::{self, Arrival, Decision, Delivery, Facts, Now, Outcome, Request, Silence, Target};
use crate::domain::dhcp::v6::book::{Book6, Ticket6};
use crate::domain::dhcp::v6::wire::Kind as Kind6;
use crate::domain::dhcp::wire::{Kind, Packet, encode};
use crate::domain::dns::naming::Names;
use crate::domain::hash::Table;
use crate::domain::lease::{ClientKey, Lease};
use crate::domain::net::Mac;
use crate::store::ledger::QUEUE;
use crate::store::{Entry, Ledger, View};

/// What is dropped, and when somebody must hear of it.
mod alarms;
/// Counters of messages and of silence by reason.
mod counters;
/// What a client would get, and why.
pub mod explain;
/// Other DHCP servers.
mod foreign;
/// Addresses for hosts that are about to be added.
mod holds;
/// One journal line a decision, at a bounded rate.
mod journal;
/// Pools that run low, and strangers.
mod notices;
/// What others ask and order: lists, reservations, ended leases.
mod objects;
/// Orders of the bus.
mod orders;
/// Leases that the policy covers no more.
mod outside;
/// Conflict detection before addresses are offered.
mod probing;
/// The tasks: releasing replies after their commit, ending what is over.
mod release;
/// Routes to delegated prefixes.
mod routes;
/// When somebody sets the clock.
mod steps;
/// Reservations and leases of another server.
mod takeover;
/// What happened to each client lately.
mod trail;
/// DHCPv6: the way in, and what is its own on the way out.
mod v6;

pub use counters::Counters;
pub use holds::{Held, HoldError};
pub use objects::{Conflict, ObjectError, PoolUse};
pub use orders::Underway;
pub use outside::Outside;
pub use probing::{Probe, Question, Sighting};
pub use routes::{PrefixRoute, RouteError, Routes};
pub use takeover::{Fate, TakenOver};
pub use trail::{Step, Verdict};

/// Replies that may wait for the shell.
const REPLIES: usize = 4096;
/// Exchanges that may wait for their commit.
const WAITING: usize = QUEUE + 1024;
/// MTU that replies are made for.
const MTU: usize = 1500;

/// A datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Interface that the request arrived on: direct replies leave by it.
    pub interface: String,
    pub to: Target,
    /// Source address.
    pub from: Ipv4Addr,
    pub bytes: Vec<u8>,
}

/// A DHCPv6 datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing6 {
    /// Interface that the request arrived on; link-local destinations are reached by it.
    pub interface: String,
    /// Its index is the scope of a link-local address.
    pub to: SocketAddrV6,
    pub bytes: Vec<u8>,
}

/// Where DHCPv6 replies come out, in order for each client.
pub type Replies6 = mpsc::Receiver<Outgoing6>;

/// Where replies come out, in order for each client.
pub type Replies = mpsc::Receiver<Outgoing>;

/// The owner of all addresses.
pub struct Leasing {
    core: Mutex<Core>,
    names: Arc<dyn Names>,
    clock: Arc<dyn Clock>,
    ledger: OnceLock<Ledger>,
    replies: mpsc::Sender<Outgoing>,
    replies6: mpsc::Sender<Outgoing6>,
    /// Until the shell of DHCPv6 takes it.
    out6: Mutex<Option<Replies6>>,
    routes: OnceLock<Arc<dyn Routes>>,
    identity6: OnceLock<v6::Identity>,
    waiting: mpsc::Sender<Waiting>,
    queue: Mutex<Option<mpsc::Receiver<Waiting>>>,
    questions: mpsc::Sender<Question>,
    asked: Mutex<Option<mpsc::Receiver<Question>>>,
    in_flight: AtomicUsize,
    counters: Counters,
    foreign: Mutex<Foreign>,
}

/// What the lock guards.
struct Core {
    book: Book,
    book6: Book6,
    /// By network and client: what is being committed for it.
    in_flight: Table<Client, InFlight>,
    journal: journal::Journal,
    probing: probing::Probing,
    notices: notices::Notices,
    trail: trail::Trail,
    guard: Guard,
    alarms: alarms::Alarms,
}

/// A client on a network, by its name: a reload renumbers networks.
type Client = (Arc<str>, Who);

/// Whose messages are handled in the order of their arrival.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    V4(ClientKey),
    /// A DUID, with all of its identity associations.
    V6(Vec<u8>),
}

/// What a client asked for, as far as a repetition is told by it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    V4(u32, Kind),
    V6(u32, Kind6),
}

/// A client whose change is being committed.
struct InFlight {
    asked: Asked,
    /// The newest other message of this client, looked at when the commit is through.
    next: Option<Deferred>,
}

/// A datagram that had to wait.
struct Parcel {
    interface: String,
    local: Ipv4Addr,
    source: Ipv4Addr,
    source_port: u16,
    destination: Ipv4Addr,
    bytes: Vec<u8>,
    mac: Option<Mac>,
    relayed: bool,
    /// Addresses that were found in use while it waited.
    tries: u8,
}

/// A datagram of either family that waits for a commit of its client.
enum Deferred {
    V4(Parcel),
    V6(v6::Parcel6),
}

/// What both books keep others from touching.
struct Tickets(Ticket, Ticket6);

/// A reply that waits for its commit.
enum Ready {
    V4(Kind, Outgoing),
    /// With the routes that must be there before it leaves.
    V6(Kind6, Outgoing6, Vec<PrefixRoute>),
}

/// A change on its way to the disk, and what happens after.
struct Waiting {
    committed: tokio::sync::oneshot::Receiver<Result<crate::store::Outcome, crate::store::CommitError>>,
    tickets: Tickets,
    client: Option<Client>,
    reply: Option<Ready>,
    /// Prefixes that are delegated no more, once this is committed.
    routes_gone: Vec<PrefixRoute>,
    /// When it was decided, in microseconds.
    since: u64,
}

/// How a datagram comes to be looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    /// The queue that it came out of is more than half full.
    pressed: bool,
    /// It has waited, and was heard already.
    again: bool,
    /// Addresses that were found in use while it waited.
    tries: u8,
}

/// What became of a datagram, for tests and `simulate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A reply without changes was queued.
    Answered(Kind),
    Answered6(Kind6),
    /// Changes were queued; what follows waits for their commit.
    Committing,
    /// The same request again: the pending commit answers it (DH-212).
    Joined,
    /// Kept until the pending commit of this client is through.
    Deferred,
    Silent(Silence),
    Malformed,
    /// A queue is full, or the ledger is not there: the client will try again.
    Overloaded,
}

impl Leasing {
    /// The service, without its ledger yet: views come first (see [`Leasing::start`]).
    pub fn new(policy: Policy, names: Arc<dyn Names>, clock: Arc<dyn Clock>) -> (Arc<Leasing>, Replies) {
        let (replies, out) = mpsc::channel(REPLIES);
        let (waiting, queue) = mpsc::channel(WAITING);
        let (replies6, out6) = mpsc::channel(REPLIES);
        let policy = Arc::new(policy);
        let core = Core {
            book: Book::new(policy.clone()),
            book6: Book6::new(policy),
            in_flight: Table::default(),
            journal: journal::Journal::default(),
            probing: probing::Probing::default(),
            notices: notices::Notices::default(),
            trail: trail::Trail::default(),
            guard: Guard::default(),
            alarms: alarms::Alarms::default(),
        };
        let (questions, asked) = mpsc::channel(probing::QUESTIONS);
        let leasing = Leasing {
            core: Mutex::new(core),
            names,
            clock,
            ledger: OnceLock::new(),
            replies,
            replies6,
            out6: Mutex::new(Some(out6)),
            routes: OnceLock::new(),
            identity6: OnceLock::new(),
            waiting,
            queue: Mutex::new(Some(queue)),
            questions,
            asked: Mutex::new(Some(asked)),
            in_flight: AtomicUsize::new(0),
            counters: Counters::default(),
            foreign: Mutex::default(),
        };
        (Arc::new(leasing), out)
    }

    /// The read side for `Ledger::start`: recovered state arrives through it too.
    pub fn view(self: &Arc<Self>) -> Box<dyn View> {
        Box::new(Feed(self.clone()))
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // a panic while deciding changes nothing of the book: decisions only read it
        self.core.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn foreign(&self) -> MutexGuard<'_, Foreign> {
        self.foreign.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn now(&self) -> Now {
        Now { wall: self.clock.wall(), mono: self.clock.mono() }
    }

    /// Takes in one datagram. Never waits: replies come out of [`Replies`], after their commit if they
    /// grant anything.
    pub fn receive(&self, arrival: &Arrival<'_>, datagram: &[u8]) -> Received {
        self.receive_from_queue(arrival, datagram, false)
    }

    /// As [`receive`](Leasing::receive); `pressed`: more than half of the room is taken of the queue that it
    /// comes out of.
    pub fn receive_from_queue(&self, arrival: &Arrival<'_>, datagram: &[u8], pressed: bool) -> Received {
        let since = self.clock.micros();
        let received = self.take_in(arrival, datagram, Attempt { pressed, ..Attempt::default() });
        if matches!(received, Received::Answered(_)) {
            self.counters.request.observe(self.clock.micros().saturating_sub(since));
        }
        received
    }

    /// Takes in one datagram of port 4011, where clients that have an address ask what to boot (DH-414).
    pub fn receive_boot(&self, arrival: &Arrival<'_>, datagram: &[u8]) -> Received {
        let packet = match Packet::walk(datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.counters.malformed(why);
                return Received::Malformed;
            }
        };
        let request = match Request::read(packet, arrival.clone()) {
            Ok(request) => request,
            Err(why) => return self.silent(why),
        };
        self.counters.received(request.kind);
        let mut core = self.core();
        let (policy, now) = (core.book.policy().clone(), self.now());
        let facts = Facts { book: &core.book, names: self.names.as_ref(), sightings: None };
        let decision = v4::decide_boot(&request, &facts, &policy, now);
        core.journal.decided(&request, &decision, now.mono);
        core.trail.decided(&request, &decision, false, now.wall);
        match decision.outcome {
            Outcome::Send(reply, delivery) => {
                let (kind, reply) = self.encoded(&request, &reply, delivery);
                self.answer(kind, reply)
            }
            Outcome::Silent(why) => self.silent(why),
            Outcome::Look(_) => self.silent(Silence::NotBooting),
        }
    }

    fn take_in(&self, arrival: &Arrival<'_>, datagram: &[u8], attempt: Attempt) -> Received {
        let packet = match Packet::walk(datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.counters.malformed(why);
                return Received::Malformed;
            }
        };
        let request = match Request::read(packet, arrival.clone()) {
            Ok(request) => request,
            Err(why) => return self.silent(why),
        };
        self.counters.received(request.kind);
        let mut core = self.core();
        let policy = core.book.policy().clone();
        // a query is of no client, and waits for none
        let place = request.place(&policy).ok().filter(|_| request.kind != Kind::LeaseQuery);
        if let Some(place) = place {
            let client = request.client_key(policy.networks[place.network].identify);
            let pending = core.book.is_pending(place.network, &client);
            let client = core.book.network_name(place.network).map(|name| (name, Who::V4(client)));
            if let Some(client) = client.as_ref().filter(|_| pending) {
                let asked = Asked::V4(request.packet.xid(), request.kind);
                return core.join(client, asked, || Deferred::V4(Parcel::of(&request, datagram, 0)));
            }
            if let Some(why) = core.refused(&request, place, attempt, self.now()) {
                return self.silent(why);
            }
            return self.handle(&mut core, &policy, &request, client, (datagram, attempt.tries));
        }
        self.handle(&mut core, &policy, &request, None, (datagram, attempt.tries))
    }

    /// A message whose frame came from another hardware address than it names; what is left of it says who is
    /// said to have sent it.
    pub fn refuse_forged(&self, arrival: &Arrival<'_>, datagram: &[u8]) -> Received {
        let packet = match Packet::walk(datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.counters.malformed(why);
                return Received::Malformed;
            }
        };
        match Request::read(packet, arrival.clone()) {
            Ok(request) => {
                self.core().drop_it(Silence::SourceMac, &request, self.now());
                self.silent(Silence::SourceMac)
            }
            Err(why) => self.silent(why),
        }
    }

    fn silent(&self, why: Silence) -> Received {
        self.counters.silent(why);
        Received::Silent(why)
    }

    fn handle(
        &self,
        core: &mut Core,
        policy: &Policy,
        request: &Request<'_>,
        client: Option<Client>,
        (datagram, tries): (&[u8], u8),
    ) -> Received {
        let now = self.now();
        core.book.sweep(now.mono);
        let looks = core.probing.for_request(policy.rules.probe, request.kind == Kind::Discover, now);
        let sightings = looks.then(|| core.probing.sightings());
        let facts = Facts { book: &core.book, names: self.names.as_ref(), sightings };
        let decision = v4::decide(request, &facts, policy, now);
        core.journal.decided(request, &decision, now.mono);
        let holds = matches!(&client, Some((network, Who::V4(key))) if core.book.holds(network, key));
        core.trail.decided(request, &decision, holds, now.wall);
        if let Outcome::Silent(why) = &decision.outcome {
            self.tell_stranger(core, policy, request, *why);
        }
        let Decision { outcome, changes, effects } = decision;
        if let Outcome::Silent(why) = &outcome {
            core.alarms.note(*why, request, now.mono);
            if *why == Silence::OtherServer {
                self.chose_another(request, policy);
            }
        }
        effects.into_iter().for_each(|effect| core.book.affect(effect, now.mono));
        let (reply, silence) = match outcome {
            Outcome::Send(reply, delivery) => (Some(self.encoded(request, &reply, delivery)), None),
            Outcome::Silent(why) => (None, Some(why)),
            Outcome::Look(ip) => {
                let Ok(place) = request.place(policy) else { return self.silent(Silence::NoSubnet) };
                let received = self.set_waiting(core, place.network, ip, Parcel::of(request, datagram, tries));
                self.stock(core, place, request);
                return received;
            }
        };
        if let Some(place) = request.place(policy).ok().filter(|_| looks) {
            self.stock(core, place, request);
        }
        if let Some(why) = silence {
            self.counters.silent(why);
        }
        if !changes.is_empty() {
            let asked = Asked::V4(request.packet.xid(), request.kind);
            let reply = reply.map(|(kind, reply)| Ready::V4(kind, reply));
            return self.commit(core, changes, client.map(|client| (client, asked)), reply);
        }
        match (reply, silence) {
            (Some((kind, reply)), _) => self.answer(kind, reply),
            (None, why) => Received::Silent(why.unwrap_or(Silence::Done)),
        }
    }

    fn encoded(
        &self,
        request: &Request<'_>,
        reply: &crate::domain::dhcp::wire::Reply,
        delivery: Delivery,
    ) -> (Kind, Outgoing) {
        let mut bytes = Vec::with_capacity(400);
        let report = encode(reply, MTU, &mut bytes);
        self.counters.encoded(&report);
        let interface = request.arrival.interface.to_owned();
        (reply.kind, Outgoing { interface, to: delivery.to, from: delivery.from, bytes })
    }

    /// So many datagrams were dropped before anybody looked at them (DH-604).
    pub fn lost(&self, count: usize) {
        self.counters.lost(count);
    }

    /// A reply that grants nothing leaves at once. When the shell does not keep up the client asks again.
    fn answer(&self, kind: Kind, reply: Outgoing) -> Received {
        if self.replies.try_send(reply).is_err() {
            self.counters.overloaded();
            return Received::Overloaded;
        }
        self.counters.sent(kind);
        Received::Answered(kind)
    }

    /// Queues changes; the reply waits for them. If they cannot be queued nothing has happened (DH-213).
    fn commit(
        &self,
        core: &mut Core,
        changes: Vec<Change>,
        client: Option<(Client, Asked)>,
        reply: Option<Ready>,
    ) -> Received {
        let routes_gone = core.routes_of_ended(&changes);
        let queued = self.ledger.get().and_then(|ledger| {
            let permit = self.waiting.try_reserve().ok()?;
            let tickets = core.begin(&changes);
            match ledger.submit(changes.into()) {
                Ok(committed) => Some((permit, committed, tickets)),
                Err(_) => {
                    core.settle(tickets);
                    None
                }
            }
        });
        let Some((permit, committed, tickets)) = queued else {
            self.counters.overloaded();
            return Received::Overloaded;
        };
        let key = client.map(|(key, asked)| {
            core.in_flight.insert(key.clone(), InFlight { asked, next: None });
            key
        });
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let since = self.clock.micros();
        permit.send(Waiting { committed, tickets, client: key, reply, routes_gone, since });
        Received::Committing
    }

    /// Takes another policy (DH-607). Offers, holds and commits in flight survive.
    pub fn reload(&self, mut policy: Policy) {
        if let Some(identity) = self.identity6.get() {
            identity.put_into(&mut policy);
        }
        let mut core = self.core();
        let policy = Arc::new(policy);
        core.book = core.book.under(policy.clone());
        core.book6 = std::mem::take(&mut core.book6).under(policy);
    }

    /// Which addresses are this machine's own; never leased.
    pub fn set_own(&self, own: HashSet<Ipv4Addr>) {
        self.core().book.set_own(own);
    }

    /// The networks, for those who place hosts.
    pub fn networks(&self) -> Vec<LinkInfo> {
        self.core().book.policy().links()
    }

    /// Exchanges whose commit is on its way, or whose reply is not handed out yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Metric, labels, value.
    pub fn counters(&self) -> counters::Rendered {
        self.counters.render()
    }
}

impl Core {
    /// DH-811: why this message is not heard, told to those who ask later. What waited was heard before.
    fn refused(&mut self, request: &Request<'_>, place: Place, attempt: Attempt, now: Now) -> Option<Silence> {
        if attempt.again {
            return None;
        }
        let policy = self.book.policy().clone();
        let why = self.guard.refuses(request, place, (&self.book, &policy), attempt.pressed, now.mono)?;
        self.drop_it(why, request, now);
        Some(why)
    }

    /// Notes that a message is dropped before anything is decided about it.
    fn drop_it(&mut self, why: Silence, request: &Request<'_>, now: Now) {
        let decision = Decision::silent(why);
        self.journal.decided(request, &decision, now.mono);
        self.trail.decided(request, &decision, false, now.wall);
        self.alarms.note(why, request, now.mono);
    }

    /// DH-212: while a change of this client is being committed, the same request joins it, and the newest
    /// other one waits for it.
    fn join(&mut self, client: &Client, asked: Asked, parcel: impl FnOnce() -> Deferred) -> Received {
        let Some(in_flight) = self.in_flight.get_mut(client) else {
            // its lease is just ending by time or by order: it will ask again
            return Received::Deferred;
        };
        if in_flight.asked == asked {
            return Received::Joined;
        }
        in_flight.next = Some(parcel());
        Received::Deferred
    }

    /// The active lease of an address of either family on a network.
    fn lease(&self, network: &str, ip: IpAddr) -> Option<Arc<Lease>> {
        match ip {
            IpAddr::V4(ip) => self.book.lease(self.book.number(network)?, ip),
            IpAddr::V6(ip) => self.book6.lease_on(network, ip).cloned(),
        }
    }

    /// True while a change of this lease, or of its client, is being committed.
    fn is_busy(&self, lease: &Lease) -> bool {
        match lease.ip {
            IpAddr::V4(ip) => {
                let Some(network) = self.book.number(&lease.network) else { return false };
                self.book.is_address_pending(network, ip) || self.book.is_pending(network, &lease.client)
            }
            IpAddr::V6(ip) => {
                let Some(network) = self.book6.number(&lease.network) else { return false };
                let client = lease.client.duid().is_some_and(|duid| self.book6.is_pending(network, duid));
                client || self.book6.is_address_pending(network, ip)
            }
        }
    }

    /// Marks what these changes touch, in both families, as being committed.
    fn begin(&mut self, changes: &[Change]) -> Tickets {
        Tickets(self.book.begin(changes), self.book6.begin(changes))
    }

    /// The proposal is decided, one way or the other.
    fn settle(&mut self, Tickets(v4, v6): Tickets) {
        self.book.settle(v4);
        self.book6.settle(v6);
    }
}

impl Parcel {
    fn of(request: &Request<'_>, datagram: &[u8], tries: u8) -> Parcel {
        let arrival = &request.arrival;
        Parcel {
            interface: arrival.interface.to_owned(),
            local: arrival.local,
            source: arrival.source,
            source_port: arrival.source_port,
            destination: arrival.destination,
            bytes: datagram.to_vec(),
            mac: request.mac,
            relayed: request.relayed(),
            tries,
        }
    }
}

/// The ledger's way in.
struct Feed(Arc<Leasing>);

impl View for Feed {
    fn apply(&mut self, batch: &[Entry]) {
        let now = self.0.now();
        let mut core = self.0.core();
        for entry in batch {
            core.book.apply(&entry.change, entry.at, now);
            core.book6.apply(&entry.change, entry.at, now);
        }
    }
}

#[cfg(test)]
mod tests;

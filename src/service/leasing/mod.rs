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
use crate::domain::dhcp::policy::{LinkInfo, Policy};
use crate::domain::dhcp::v4::{Now, Silence, Target};
use crate::domain::dhcp::v6::book::{Book6, Ticket6};
use crate::domain::dhcp::v6::wire::Kind as Kind6;
use crate::domain::dhcp::wire::Kind;
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
/// DHCPv4 datagrams, from the shell to a decision and what comes of it.
mod intake;
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

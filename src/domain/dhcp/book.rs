//! The book: who holds, was offered or once held which address, on every network. Its durable part changes
//! only by committed entries; offers, holds and pending marks are memory. Decisions read it, and never
//! change it themselves (DH-504).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::allocate::Free;
use super::policy::{Place, Policy, Pool};
use super::reserve::{Reservations, Traits};
use crate::domain::change::Change;
use crate::domain::hash::Table;
use crate::domain::kept::{Commons, Kept};
use crate::domain::lease::{ClientKey, End, Lease};
use crate::domain::net::Mac;
use crate::domain::time::{Mono, Now, Wall};

mod known;
mod macs;
mod moves;
mod print;
mod steps;

pub use moves::{Effect, Ticket};
use print::{Print, Prints};
pub use steps::{Mark, TOLERANCE};

/// Offers in memory, at most; the oldest is forgotten first (DH-503).
pub const MAX_OFFERS: usize = 65_536;
/// Clients whose declines are counted.
const MAX_DECLINERS: usize = 4096;
/// Declines of one client in an hour that are believed (DH-209).
pub const MAX_DECLINES: u8 = 4;

/// What stands at one address. There may be a million of these.
#[derive(Debug, Clone, Default)]
struct Cell {
    lease: Option<Kept>,
    /// When the lease ends, on the clock that does not step (DH-507).
    deadline: Mono,
    /// When the lease was last written: when its client was heard of.
    heard: Wall,
    /// It was read from the disk at the start, and not written since.
    read: bool,
    /// What few addresses have.
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Clone, Default)]
struct Rest {
    offer: Option<(ClientKey, Mono)>,
    hold: Option<Hold>,
    /// When the last lease ended, and whose it was: the address is kept for them while others are free.
    past: Option<(Wall, ClientKey)>,
    quarantine: Option<Wall>,
    /// A change of this address is being committed.
    pending: bool,
}

impl Cell {
    fn offer(&self) -> Option<&(ClientKey, Mono)> {
        self.rest.as_ref()?.offer.as_ref()
    }

    fn hold(&self) -> Option<&Hold> {
        self.rest.as_ref()?.hold.as_ref()
    }

    fn past(&self) -> Option<&(Wall, ClientKey)> {
        self.rest.as_ref()?.past.as_ref()
    }

    fn is_quarantined(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.quarantine.is_some())
    }

    fn is_pending(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.pending)
    }

    fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// True if nothing stands here any more; gives back what is not needed.
    fn trim(&mut self) -> bool {
        let idle = |r: &Rest| {
            r.offer.is_none() && r.hold.is_none() && r.past.is_none() && r.quarantine.is_none() && !r.pending
        };
        if self.rest.as_deref().is_some_and(idle) {
            self.rest = None;
        }
        self.rest.is_none() && self.lease.is_none()
    }
}

/// An address set aside for a host that is about to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub holder: String,
    pub mac: Option<Mac>,
    pub until: Mono,
}

/// Where one client stands on one network.
#[derive(Debug, Clone, Default)]
struct Client {
    lease: Option<Ipv4Addr>,
    offer: Option<Ipv4Addr>,
    past: Option<Ipv4Addr>,
    /// A change of this client is being committed.
    pending: bool,
}

/// One link.
#[derive(Debug, Clone, Default)]
struct Net {
    name: Arc<str>,
    free: Vec<Free>,
    cells: Table<Ipv4Addr, Cell>,
    clients: Table<Print, Client>,
}

/// Counts of one subnet, for metrics and findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub network: String,
    pub subnet: ipnet::Ipv4Net,
    /// Addresses in pools.
    pub size: usize,
    /// Of these, what a newcomer could get.
    pub free: usize,
}

/// The memory that decisions are made against.
#[derive(Debug, Clone, Default)]
pub struct Book {
    policy: Arc<Policy>,
    nets: Vec<Net>,
    names: Table<String, usize>,
    reservations: Reservations,
    own: HashSet<Ipv4Addr>,
    prints: Prints,
    commons: Commons,
    expiries: BTreeSet<(Mono, u32, Ipv4Addr)>,
    quarantines: BTreeSet<(Wall, usize, Ipv4Addr)>,
    offers: VecDeque<(Mono, usize, Ipv4Addr)>,
    held: Vec<(usize, Ipv4Addr)>,
    declines: HashMap<ClientKey, (Mono, u8)>,
    macs: Table<Mac, Vec<(usize, Ipv4Addr)>>,
    devices: known::DeviceMacs,
    /// What was read from the disk is all there.
    live: bool,
}

impl Book {
    /// An empty book for that policy.
    pub fn new(policy: Arc<Policy>) -> Book {
        let mut book = Book { policy: policy.clone(), ..Book::default() };
        for network in &policy.networks {
            let free = network.subnets.iter().map(Free::of).collect();
            book.names.entry(network.name.clone()).or_insert(book.nets.len());
            book.nets.push(Net { name: network.name.as_str().into(), free, ..Net::default() });
        }
        for reservation in &policy.reservations {
            let touched = book.reservations.put(reservation.clone());
            book.refresh_everywhere(&touched);
        }
        book
    }

    /// The same facts under another policy (DH-607). Leases of networks that are gone are kept; offers,
    /// holds and pending marks survive where their network does.
    pub fn under(&self, policy: Arc<Policy>) -> Book {
        let mut next = Book::new(policy);
        let of_config =
            |r: &&Arc<crate::domain::lease::Reservation>| !self.policy.reservations.iter().any(|c| c.id == r.id);
        for reservation in self.reservations.iter().filter(of_config) {
            next.reservations.put(reservation.as_ref().clone());
        }
        next.reservations.adopt_hosts(&self.reservations);
        for net in &self.nets {
            let to = next.net_of(&net.name);
            next.nets[to].cells = net.cells.clone();
            next.nets[to].clients = net.clients.clone();
        }
        let index = |n: usize| next.names.get(self.nets[n].name.as_ref()).copied();
        next.prints = self.prints.clone();
        next.commons = self.commons.clone();
        next.offers = self.offers.iter().filter_map(|(t, n, ip)| Some((*t, index(*n)?, *ip))).collect();
        next.expiries =
            self.expiries.iter().filter_map(|(t, n, ip)| Some((*t, index(*n as usize)? as u32, *ip))).collect();
        next.quarantines = self.quarantines.iter().filter_map(|(t, n, ip)| Some((*t, index(*n)?, *ip))).collect();
        next.held = self.held.iter().filter_map(|(n, ip)| Some((index(*n)?, *ip))).collect();
        next.declines = self.declines.clone();
        next.own = self.own.clone();
        next.devices = self.devices.clone();
        next.live = self.live;
        next.index_macs();
        next.refresh_all();
        next
    }

    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// Tells which addresses are this machine's own: never leased (DH-218).
    pub fn set_own(&mut self, own: HashSet<Ipv4Addr>) {
        let touched: Vec<Ipv4Addr> = self.own.symmetric_difference(&own).copied().collect();
        self.own = own;
        self.refresh_everywhere(&touched);
    }

    /// This machine's own addresses.
    pub fn own(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.own.iter().copied()
    }

    /// The lowest of our own addresses in a prefix.
    pub fn own_in(&self, prefix: ipnet::Ipv4Net) -> Option<Ipv4Addr> {
        self.own.iter().filter(|ip| prefix.contains(*ip)).min().copied()
    }

    pub fn is_own(&self, ip: Ipv4Addr) -> bool {
        self.own.contains(&ip)
    }

    /// Name of a network by number, which a reload may change.
    pub fn network_name(&self, network: usize) -> Option<Arc<str>> {
        self.nets.get(network).map(|net| net.name.clone())
    }

    /// Number of a network by name, also of one that the policy has no more and that still has leases.
    pub fn number(&self, network: &str) -> Option<usize> {
        self.names.get(network).copied()
    }

    fn cell(&self, network: usize, ip: Ipv4Addr) -> Option<&Cell> {
        self.nets.get(network)?.cells.get(&ip)
    }

    fn client(&self, network: usize, client: &ClientKey) -> Option<&Client> {
        self.nets.get(network)?.clients.get(&self.prints.of(client))
    }

    /// The active lease of an address, as it is remembered.
    pub fn kept(&self, network: usize, ip: Ipv4Addr) -> Option<&Kept> {
        self.cell(network, ip)?.lease.as_ref()
    }

    /// The active lease of an address, read back: ask [`kept`](Book::kept) where less will do.
    pub fn lease(&self, network: usize, ip: Ipv4Addr) -> Option<Arc<Lease>> {
        self.kept(network, ip).map(|kept| Arc::new(kept.lease()))
    }

    /// The address that a client holds on a network.
    pub fn address_of(&self, network: usize, client: &ClientKey) -> Option<Ipv4Addr> {
        let ip = self.client(network, client)?.lease?;
        self.kept(network, ip).filter(|kept| kept.is_of(client)).map(|_| ip)
    }

    /// The active lease of a client on a network.
    pub fn lease_of(&self, network: usize, client: &ClientKey) -> Option<Arc<Lease>> {
        self.lease(network, self.address_of(network, client)?)
    }

    /// When the client of an active lease was last heard of: when it was granted or extended.
    pub fn heard(&self, network: usize, ip: Ipv4Addr) -> Option<Wall> {
        let cell = self.cell(network, ip)?;
        cell.lease.as_ref().map(|_| cell.heard)
    }

    /// Seconds that an active lease still lasts, `u32::MAX` for one without end: by the clock that does not
    /// step, and never longer than what is durable says.
    pub fn left(&self, network: usize, ip: Ipv4Addr, now: Now) -> u32 {
        let cell = self.cell(network, ip);
        let Some((cell, lease)) = cell.and_then(|cell| Some((cell, cell.lease.as_ref()?))) else { return 0 };
        if lease.expires() == Wall::NEVER {
            return u32::MAX;
        }
        let left = cell.deadline.since(now.mono).min(lease.expires().since(now.wall));
        u32::try_from(left.as_secs()).unwrap_or(u32::MAX - 1)
    }

    /// True if this client has an active lease on the network of that name.
    pub fn holds(&self, network: &str, client: &ClientKey) -> bool {
        self.names.get(network).is_some_and(|index| self.address_of(*index, client).is_some())
    }

    /// The address that this client was offered and did not take yet.
    pub fn offer_of(&self, network: usize, client: &ClientKey) -> Option<Ipv4Addr> {
        let ip = self.client(network, client)?.offer?;
        self.cell(network, ip)?.offer().filter(|(holder, _)| holder == client).map(|_| ip)
    }

    /// The address that this client held last.
    pub fn past_of(&self, network: usize, client: &ClientKey) -> Option<Ipv4Addr> {
        let ip = self.client(network, client)?.past?;
        self.cell(network, ip)?.past().filter(|(_, holder)| holder == client).map(|_| ip)
    }

    /// When the last lease of an address ended, while that is remembered.
    pub fn left_at(&self, network: usize, ip: Ipv4Addr) -> Option<Wall> {
        self.cell(network, ip)?.past().map(|(ended, _)| *ended)
    }

    /// True while a change of this client is being committed.
    pub fn is_pending(&self, network: usize, client: &ClientKey) -> bool {
        self.client(network, client).is_some_and(|client| client.pending)
    }

    /// True while a change of this address is being committed.
    pub fn is_address_pending(&self, network: usize, ip: Ipv4Addr) -> bool {
        self.cell(network, ip).is_some_and(Cell::is_pending)
    }

    /// True if nothing stands in the way of giving the address to this client: whether it *should* be
    /// given (pool, reservation) is the policy's matter.
    pub fn available(&self, network: usize, ip: Ipv4Addr, client: &ClientKey, traits: Traits<'_>) -> bool {
        let Some(net) = self.nets.get(network) else { return false };
        if self.own.contains(&ip) || self.reservations.denies(&net.name, ip, traits) {
            return false;
        }
        let Some(cell) = net.cells.get(&ip) else { return true };
        let foreign_lease = cell.lease.as_ref().is_some_and(|lease| !lease.is_of(client));
        let foreign_offer = cell.offer().is_some_and(|(holder, _)| holder != client);
        let foreign_hold = cell.hold().is_some_and(|hold| hold.mac.is_none() || hold.mac != traits.mac);
        !(foreign_lease || foreign_offer || foreign_hold || cell.is_quarantined() || cell.is_pending())
    }

    /// As [`available`](Book::available), and in a pool.
    pub fn pooled(&self, network: usize, ip: Ipv4Addr) -> bool {
        let Some(subnet) = self.policy.within(network, ip) else { return false };
        self.policy.subnet(Place { network, subnet }).pooled(ip) && !self.own.contains(&ip)
    }

    /// The next address for a newcomer: of the preferred subnet, else of the others on the link (DH-304).
    pub fn next_free(&self, place: Place) -> Option<Ipv4Addr> {
        let free = &self.nets.get(place.network)?.free;
        let others = (0..free.len()).filter(|s| *s != place.subnet);
        std::iter::once(place.subnet).chain(others).find_map(|s| free.get(s)?.next())
    }

    /// The next address for a newcomer of one subnet alone.
    pub fn next_of(&self, place: Place) -> Option<Ipv4Addr> {
        self.nets.get(place.network)?.free.get(place.subnet)?.next()
    }

    /// The next addresses for newcomers to one subnet, at most `count`.
    pub fn ahead(&self, place: Place, count: usize) -> Vec<Ipv4Addr> {
        let free = self.nets.get(place.network).and_then(|net| net.free.get(place.subnet));
        free.map(|free| free.ahead(count)).unwrap_or_default()
    }

    /// The next address for a newcomer in one pool of a subnet.
    pub fn next_free_of(&self, place: Place, pool: &Pool) -> Option<Ipv4Addr> {
        let free = self.nets.get(place.network)?.free.get(place.subnet)?;
        free.next_within(*pool.range.start(), *pool.range.end())
    }

    /// True if this client has declined too often lately.
    pub fn declines_too_often(&self, client: &ClientKey, now: Mono) -> bool {
        self.declines
            .get(client)
            .is_some_and(|(since, count)| now.since(*since) < Duration::from_secs(3600) && *count >= MAX_DECLINES)
    }

    /// All active leases, in no order.
    pub fn leases(&self) -> impl Iterator<Item = &Kept> {
        self.nets.iter().flat_map(|net| net.cells.values().filter_map(|cell| cell.lease.as_ref()))
    }

    /// Addresses that are leased, by network, in no order.
    pub fn leased(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        self.nets.iter().flat_map(|net| {
            let leased = net.cells.iter().filter(|(_, cell)| cell.lease.is_some());
            leased.map(|(ip, _)| (net.name.as_ref(), *ip))
        })
    }

    /// Addresses that are offered and not taken yet, and to whom, by network.
    pub fn offered(&self) -> impl Iterator<Item = (&str, Ipv4Addr, &ClientKey)> {
        self.nets.iter().flat_map(|net| {
            let offers = net.cells.iter().filter_map(|(ip, cell)| Some((*ip, &cell.offer()?.0)));
            offers.map(|(ip, client)| (net.name.as_ref(), ip, client))
        })
    }

    /// Addresses kept out of use, until when, by network.
    pub fn quarantined(&self) -> impl Iterator<Item = (&str, Ipv4Addr, Wall)> {
        self.quarantines.iter().map(|(until, net, ip)| (self.nets[*net].name.as_ref(), *ip, *until))
    }

    /// Counts of every subnet.
    pub fn usage(&self) -> Vec<Usage> {
        let networks = self.policy.networks.iter().zip(&self.nets);
        networks
            .flat_map(|(network, net)| {
                network.subnets.iter().zip(&net.free).map(|(subnet, free)| Usage {
                    network: network.name.clone(),
                    subnet: subnet.prefix,
                    size: free.size(),
                    free: free.count(),
                })
            })
            .collect()
    }

    /// Index of a network by name; one that the policy does not have gets an entry of its own, so that its
    /// leases are kept and listed.
    fn net_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let index = self.nets.len();
        self.names.insert(name.to_owned(), index);
        self.nets.push(Net { name: name.into(), ..Net::default() });
        index
    }

    /// Brings the free set of one address in line with all that is known about it: the only place that
    /// decides what a newcomer may get.
    fn refresh(&mut self, network: usize, ip: Ipv4Addr) {
        let Some(subnet) = self.policy.within(network, ip) else { return };
        let pooled = self.pooled(network, ip);
        let net = &mut self.nets[network];
        let cell = net.cells.get(&ip);
        let busy = cell.is_some_and(|c| {
            c.lease.is_some() || c.offer().is_some() || c.hold().is_some() || c.is_quarantined() || c.is_pending()
        });
        let aside = self.reservations.holds(&net.name, ip);
        let free = pooled && !busy && !aside;
        let past = cell.and_then(Cell::past).map(|(ended, _)| *ended);
        net.free[subnet].put(ip, free, past);
        net.free[subnet].set_aside(ip, pooled && aside);
        if net.cells.get_mut(&ip).is_some_and(Cell::trim) {
            net.cells.remove(&ip);
        }
    }

    fn refresh_everywhere(&mut self, ips: &[Ipv4Addr]) {
        for network in 0..self.policy.networks.len() {
            ips.iter().for_each(|ip| self.refresh(network, *ip));
        }
    }

    fn refresh_all(&mut self) {
        for network in 0..self.nets.len() {
            let known: Vec<Ipv4Addr> = self.nets[network].cells.keys().copied().collect();
            known.into_iter().for_each(|ip| self.refresh(network, ip));
        }
        let reserved: Vec<IpAddr> = self.reservations.iter().filter_map(|r| r.ip).collect();
        let own: Vec<Ipv4Addr> = self.own.iter().copied().collect();
        let v4 = reserved.into_iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
        let touched: Vec<Ipv4Addr> = v4.chain(own).collect();
        self.refresh_everywhere(&touched);
    }
}

#[cfg(test)]
mod tests;

//! The book of DHCPv6: which identity association holds, was offered or once held which address or prefix.
//! Its durable part changes only by committed entries; offers, holds and pending marks are memory. Decisions
//! read it, and never change it themselves. Reservations and the counting of declines are those of the
//! DHCPv4 [`Book`](crate::domain::dhcp::book::Book), which serves both families.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::Ipv6Addr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv6Net};

use super::free::Free;
use crate::domain::dhcp::book::{Hold, MAX_OFFERS};
use crate::domain::dhcp::policy::{Policy, Subnet6};
use crate::domain::lease::{ClientKey, Lease};
use crate::domain::net::Mac;
use crate::domain::time::{Mono, Wall};

mod moves;
mod steps;

pub use moves::{Effect6, Ticket6};
pub use steps::Mark6;

/// What stands at one address, or at the first address of one delegated prefix.
#[derive(Debug, Clone, Default)]
struct Cell {
    /// Length of the prefix that begins here; 128 for an address.
    length: u8,
    lease: Option<Arc<Lease>>,
    /// When the lease ends, on the clock that does not step (DH-507).
    deadline: Mono,
    /// It was read from the disk at the start, and not written since.
    read: bool,
    offer: Option<(ClientKey, Mono)>,
    hold: Option<Hold>,
    /// When the last lease ended, and whose it was: kept for them while others are free.
    past: Option<(Wall, ClientKey)>,
    quarantine: Option<Wall>,
    /// A change of this address is being committed.
    pending: bool,
}

impl Cell {
    /// True if nobody else can have it.
    fn busy(&self) -> bool {
        self.lease.is_some() || self.offer.is_some() || self.hold.is_some() || self.quarantine.is_some() || self.pending
    }
}

/// Where one identity association stands on one network.
#[derive(Debug, Clone, Default)]
struct Client {
    leases: Vec<Ipv6Addr>,
    offers: Vec<Ipv6Addr>,
    past: Option<Ipv6Addr>,
}

/// Where the next address or block of one subnet comes from.
#[derive(Debug, Clone, Default)]
struct Sources {
    pools: Vec<Free>,
    blocks: Vec<Free>,
}

/// One link.
#[derive(Debug, Clone, Default)]
struct Net {
    name: Arc<str>,
    sources: Vec<Sources>,
    cells: HashMap<Ipv6Addr, Cell>,
    clients: HashMap<ClientKey, Client>,
    /// DUIDs that a change is being committed for, with how many there are.
    pending: HashMap<Vec<u8>, u32>,
}

/// Counts of one subnet, for metrics and findings.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage6 {
    pub network: String,
    pub subnet: Ipv6Net,
    /// Addresses in pools.
    pub size: u128,
    /// Addresses leased in the subnet, in a pool or not.
    pub leased: usize,
    /// Blocks that may be delegated.
    pub blocks: u128,
    /// Prefixes delegated.
    pub delegated: usize,
}

/// The memory that decisions are made against.
#[derive(Debug, Clone, Default)]
pub struct Book6 {
    policy: Arc<Policy>,
    nets: Vec<Net>,
    names: HashMap<Arc<str>, usize>,
    own: HashSet<Ipv6Addr>,
    /// Prefixes that are leased, offered or being committed, on all networks: they never overlap (DH-706).
    delegated: BTreeMap<Ipv6Addr, u8>,
    expiries: BTreeSet<(Mono, usize, Ipv6Addr)>,
    quarantines: BTreeSet<(Wall, usize, Ipv6Addr)>,
    past: BTreeSet<(Wall, usize, Ipv6Addr)>,
    offers: VecDeque<(Mono, usize, Ipv6Addr)>,
    held: Vec<(usize, Ipv6Addr)>,
    /// What was read from the disk is all there.
    live: bool,
}

impl Book6 {
    /// An empty book for that policy.
    pub fn new(policy: Arc<Policy>) -> Book6 {
        let mut book = Book6 { policy: policy.clone(), ..Book6::default() };
        for network in &policy.networks {
            let at = book.net_of(&network.name);
            book.nets[at].sources = network.subnets6.iter().map(sources).collect();
        }
        book
    }

    /// The same facts under another policy (DH-607). Leases of networks that are gone are kept.
    pub fn under(mut self, policy: Arc<Policy>) -> Book6 {
        let mut next = Book6::new(policy);
        // networks that are gone keep their numbers behind those that are there
        let number: Vec<usize> = self.nets.iter().map(|net| next.net_of(&net.name)).collect();
        for (net, to) in std::mem::take(&mut self.nets).into_iter().zip(&number) {
            let sources = std::mem::take(&mut next.nets[*to].sources);
            next.nets[*to] = Net { sources, ..net };
        }
        (next.own, next.live) = (self.own, self.live);
        next.delegated = self.delegated;
        next.expiries = self.expiries.into_iter().map(|(t, n, ip)| (t, number[n], ip)).collect();
        next.quarantines = self.quarantines.into_iter().map(|(t, n, ip)| (t, number[n], ip)).collect();
        next.past = self.past.into_iter().map(|(t, n, ip)| (t, number[n], ip)).collect();
        next.offers = self.offers.into_iter().map(|(t, n, ip)| (t, number[n], ip)).collect();
        next.held = self.held.into_iter().map(|(n, ip)| (number[n], ip)).collect();
        for network in 0..next.nets.len() {
            let busy: Vec<Ipv6Addr> =
                next.nets[network].cells.iter().filter(|(_, c)| c.busy()).map(|(ip, _)| *ip).collect();
            busy.into_iter().for_each(|ip| next.refresh(network, ip));
        }
        next
    }

    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Tells which addresses are this machine's own: never leased.
    pub fn set_own(&mut self, own: HashSet<Ipv6Addr>) {
        self.own = own;
    }

    pub fn is_own(&self, ip: Ipv6Addr) -> bool {
        self.own.contains(&ip)
    }

    /// One of our addresses in the prefix.
    pub fn own_within(&self, prefix: Ipv6Net) -> Option<Ipv6Addr> {
        self.own.iter().filter(|ip| prefix.contains(*ip)).min().copied()
    }

    /// Name of a network by number, which a reload may change.
    pub fn network_name(&self, network: usize) -> Option<Arc<str>> {
        self.nets.get(network).map(|net| net.name.clone())
    }

    /// The active lease of an address, or of the prefix that begins with it.
    pub fn lease(&self, network: usize, ip: Ipv6Addr) -> Option<&Arc<Lease>> {
        self.nets.get(network)?.cells.get(&ip)?.lease.as_ref()
    }

    /// Number of a network by name, also of one that the policy has no more and that still has leases.
    pub fn number(&self, network: &str) -> Option<usize> {
        self.names.get(network).copied()
    }

    /// The same by the network's name.
    pub fn lease_on(&self, network: &str, ip: Ipv6Addr) -> Option<&Arc<Lease>> {
        self.lease(*self.names.get(network)?, ip)
    }

    /// The active leases of an identity association, in the order that they were granted in.
    pub fn leases_of<'b>(
        &'b self,
        network: usize,
        client: &ClientKey,
    ) -> impl Iterator<Item = &'b Arc<Lease>> + use<'b> {
        let net = self.nets.get(network);
        let held = net.and_then(|net| net.clients.get(client)).map(|client| client.leases.as_slice());
        held.unwrap_or_default().iter().filter_map(move |ip| net?.cells.get(ip)?.lease.as_ref())
    }

    /// What this identity association was offered and did not take yet.
    pub fn offers_of(&self, network: usize, client: &ClientKey) -> &[Ipv6Addr] {
        self.nets.get(network).and_then(|net| net.clients.get(client)).map_or(&[], |client| &client.offers)
    }

    /// What this identity association held last, with its length.
    pub fn past_of(&self, network: usize, client: &ClientKey) -> Option<(Ipv6Addr, u8)> {
        let net = self.nets.get(network)?;
        let ip = net.clients.get(client)?.past?;
        Some((ip, net.cells.get(&ip)?.length))
    }

    /// The length of what stands at an address, if anything does.
    pub fn length_at(&self, network: usize, ip: Ipv6Addr) -> Option<u8> {
        self.nets.get(network)?.cells.get(&ip).map(|cell| cell.length)
    }

    /// True while a change of this DUID is being committed.
    pub fn is_pending(&self, network: usize, duid: &[u8]) -> bool {
        self.nets.get(network).is_some_and(|net| net.pending.contains_key(duid))
    }

    /// True while a change of this address is being committed.
    pub fn is_address_pending(&self, network: usize, ip: Ipv6Addr) -> bool {
        self.nets.get(network).and_then(|net| net.cells.get(&ip)).is_some_and(|cell| cell.pending)
    }

    /// True if nothing in memory stands in the way of giving the address or prefix to this client. Whether
    /// it *should* be given (pool, reservation) is the policy's matter.
    pub fn available(&self, network: usize, ip: Ipv6Addr, length: u8, client: &ClientKey, mac: Option<Mac>) -> bool {
        let Some(net) = self.nets.get(network) else { return false };
        if self.own.contains(&ip) || length < 128 && self.overlaps(ip, length) {
            return false;
        }
        let Some(cell) = net.cells.get(&ip) else { return true };
        if cell.busy() && cell.length != length {
            return false;
        }
        let foreign_lease = cell.lease.as_ref().is_some_and(|lease| lease.client != *client);
        let foreign_offer = cell.offer.as_ref().is_some_and(|(holder, _)| holder != client);
        let foreign_hold = cell.hold.as_ref().is_some_and(|hold| hold.mac.is_none() || hold.mac != mac);
        !(foreign_lease || foreign_offer || foreign_hold || cell.quarantine.is_some() || cell.pending)
    }

    /// True if the prefix shares an address with a delegated one that begins elsewhere.
    fn overlaps(&self, ip: Ipv6Addr, length: u8) -> bool {
        let Ok(prefix) = Ipv6Net::new(ip, length) else { return true };
        let around = self.delegated.range(..ip).next_back().and_then(|(ip, length)| Ipv6Net::new(*ip, *length).ok());
        let within = self.delegated.range(ip..=prefix.broadcast()).any(|(other, _)| *other != ip);
        within || around.is_some_and(|around| around.contains(&ip))
    }

    /// The next address for a newcomer of a subnet: from where the hash points, first of those that nobody is
    /// remembered for.
    pub fn next_address(
        &self,
        network: usize,
        subnet: usize,
        hash: u128,
        fits: impl Fn(Ipv6Addr) -> bool,
    ) -> Option<Ipv6Addr> {
        let net = self.nets.get(network)?;
        let pools = &net.sources.get(subnet)?.pools;
        let unknown = |ip: &Ipv6Addr| !net.cells.contains_key(ip);
        let fresh = pools.iter().find_map(|pool| pool.pick(hash, |ip| unknown(&ip) && fits(ip)));
        fresh.or_else(|| pools.iter().find_map(|pool| pool.pick(hash, &fits)))
    }

    /// The next block of one delegated prefix of a subnet, likewise.
    pub fn next_block(
        &self,
        network: usize,
        subnet: usize,
        delegation: usize,
        hash: u128,
        fits: impl Fn(Ipv6Addr) -> bool,
    ) -> Option<Ipv6Addr> {
        let net = self.nets.get(network)?;
        let blocks = net.sources.get(subnet)?.blocks.get(delegation)?;
        blocks.pick(hash, |ip| !net.cells.contains_key(&ip) && fits(ip)).or_else(|| blocks.pick(hash, fits))
    }

    /// All active leases, in no order.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<Lease>> {
        self.nets.iter().flat_map(|net| net.cells.values().filter_map(|cell| cell.lease.as_ref()))
    }

    /// Addresses kept out of use, until when, by network.
    pub fn quarantined(&self) -> impl Iterator<Item = (&str, Ipv6Addr, Wall)> {
        self.quarantines.iter().map(|(until, net, ip)| (self.nets[*net].name.as_ref(), *ip, *until))
    }

    /// Counts of every subnet.
    pub fn usage(&self) -> Vec<Usage6> {
        let mut out = Vec::new();
        for (network, net) in self.policy.networks.iter().zip(&self.nets) {
            for (subnet, sources) in network.subnets6.iter().zip(&net.sources) {
                let leases = || net.cells.values().filter_map(|cell| cell.lease.as_ref());
                let leased = leases().filter(|l| l.delegated.is_none() && l.subnet == IpNet::V6(subnet.prefix));
                let ours = |l: &&Arc<Lease>| {
                    l.delegated.is_some() && subnet.delegate.iter().any(|d| IpNet::V6(d.prefix) == l.subnet)
                };
                out.push(Usage6 {
                    network: network.name.clone(),
                    subnet: subnet.prefix,
                    size: sources.pools.iter().map(Free::size).fold(0, u128::saturating_add),
                    leased: leased.count(),
                    blocks: sources.blocks.iter().map(Free::size).fold(0, u128::saturating_add),
                    delegated: leases().filter(ours).count(),
                });
            }
        }
        out
    }

    /// Index of a network by name; one that the policy does not have gets an entry of its own, so that its
    /// leases are kept and listed.
    fn net_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let (index, name) = (self.nets.len(), Arc::<str>::from(name));
        self.names.insert(name.clone(), index);
        self.nets.push(Net { name, ..Net::default() });
        index
    }

    /// Brings the free sets, the delegated prefixes and the table of cells in line with what is known of one
    /// address: the only place that decides whether a newcomer may get it.
    fn refresh(&mut self, network: usize, ip: Ipv6Addr) {
        let net = &mut self.nets[network];
        let Some(cell) = net.cells.get(&ip) else { return };
        let (busy, length) = (cell.busy(), cell.length);
        if !busy && cell.past.is_none() {
            net.cells.remove(&ip);
        }
        let delegated = length < 128;
        for sources in &mut net.sources {
            let list = if delegated { &mut sources.blocks } else { &mut sources.pools };
            list.iter_mut().for_each(|free| free.set(ip, !busy));
        }
        if delegated && busy {
            self.delegated.insert(ip, length);
        } else if delegated {
            self.delegated.remove(&ip);
        }
    }
}

fn sources(subnet: &Subnet6) -> Sources {
    Sources {
        pools: subnet.pools.iter().map(|pool| Free::addresses(*pool.range.start(), *pool.range.end())).collect(),
        blocks: subnet.delegate.iter().map(|d| Free::blocks(d.prefix, d.length)).collect(),
    }
}

#[cfg(test)]
mod tests;

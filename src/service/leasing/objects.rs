//! What others may ask of leasing, and order: lists for REST, reservations, leases that an administrator
//! ends. Everything that changes goes through the ledger.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::sync::broadcast;

use super::{Leasing, Step};
use crate::domain::change::Change;
use crate::domain::dhcp::book::Usage;
use crate::domain::dhcp::policy::Policy;
use crate::domain::dhcp::reserve::{self, Traits};
use crate::domain::dhcp::review::{Finding, review};
use crate::domain::lease::{ClientKey, End, Lease, Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;
use crate::domain::time::Wall;
use crate::metrics::Histogram;
use crate::store::{CommitError, Committed, Outcome, Proposal, Refusal, Vote};

/// Two objects that want the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Id of the object that has it.
    pub rival: String,
    /// e.g. `address 10.0.0.7`.
    pub thing: String,
}

/// How the addresses in the pools of one subnet are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUse {
    pub network: String,
    pub subnet: ipnet::Ipv4Net,
    pub size: usize,
    /// What a newcomer could get.
    pub free: usize,
    pub leased: usize,
    /// Kept out of use after a conflict.
    pub quarantined: usize,
    pub offered: usize,
    /// Waiting for their client, set aside for a host, or our own.
    pub reserved: usize,
}

impl PoolUse {
    /// Part of the pool that a newcomer cannot have, in percent; 0 for a subnet without pool.
    pub fn percent(&self) -> usize {
        ((self.size - self.free.min(self.size)) * 100).checked_div(self.size).unwrap_or(0)
    }
}

/// Part of a pool in use, in percent, from which on an administrator is told.
const LOW: usize = 90;

impl PoolUse {
    fn finding(&self) -> Option<Finding> {
        let PoolUse { network, subnet, size, free, .. } = self;
        if self.percent() < LOW {
            return None;
        }
        let text = match free {
            0 => format!("the pool of {subnet} on {network} is full: newcomers get no address"),
            _ => format!("{free} of {size} addresses of the pool of {subnet} on {network} are left"),
        };
        let fix = "enlarge the pool, or shorten the leases";
        Some(Finding { grave: *free == 0, ..Finding::new(format!("pool-low {network} {subnet}"), text, fix) })
    }
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error("{} is taken by {}", .0.thing, .0.rival)]
    Conflict(Conflict),
    #[error("there is no such object: {0}")]
    Missing(String),
    #[error("{0} belongs to the configuration or to a host, and is changed there")]
    Foreign(String),
    #[error("{0}")]
    Invalid(String),
    #[error("a change of this object is being committed; try again")]
    Busy,
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Leasing {
    /// All active leases of both families, in no order.
    pub fn leases(&self) -> Vec<Arc<Lease>> {
        let core = self.core();
        let v4 = core.book.leases().map(|kept| Arc::new(kept.lease()));
        v4.chain(core.book6.leases().cloned()).collect()
    }

    /// The active lease of an address, or of the prefix that begins with it, on a network.
    pub fn lease(&self, network: &str, ip: IpAddr) -> Option<Arc<Lease>> {
        self.core().lease(network, ip)
    }

    /// The newest steps of the packet log that fit, the oldest of them first; at most `limit`.
    pub fn steps(&self, fits: impl Fn(&Step) -> bool, limit: usize) -> Vec<Arc<Step>> {
        self.core().trail.find(fits, limit)
    }

    /// Steps of the packet log from now on.
    pub fn follow_steps(&self) -> broadcast::Receiver<Arc<Step>> {
        self.core().trail.follow()
    }

    /// Addresses that are offered and not taken yet: network, address, client.
    pub fn offered(&self) -> Vec<(String, Ipv4Addr, ClientKey)> {
        self.core().book.offered().map(|(network, ip, client)| (network.to_owned(), ip, client.clone())).collect()
    }

    /// The policy that is in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.core().book.policy().clone()
    }

    /// All reservations in force: of the configuration, of users and of hosts.
    pub fn reservations(&self) -> Vec<Arc<Reservation>> {
        self.core().book.reservations().iter().cloned().collect()
    }

    /// Addresses kept out of use: network, address, until when.
    pub fn quarantined(&self) -> Vec<(String, IpAddr, Wall)> {
        let core = self.core();
        let four = core.book.quarantined().map(|(network, ip, until)| (network, IpAddr::V4(ip), until));
        let six = core.book6.quarantined().map(|(network, ip, until)| (network, IpAddr::V6(ip), until));
        four.chain(six).map(|(network, ip, until)| (network.to_owned(), ip, until)).collect()
    }

    /// Lifts the quarantine of an address before its time.
    pub async fn lift(&self, network: &str, ip: IpAddr) -> Result<Committed, ObjectError> {
        let kept = self.quarantined();
        if !kept.iter().any(|(on, address, _)| on == network && *address == ip) {
            return Err(ObjectError::Missing(format!("{ip} on {network} is not in quarantine")));
        }
        self.order(Change::Quarantined { network: network.to_owned(), ip, until: Wall::LONG_AGO, mac: None }).await
    }

    /// How the addresses of every pool are used; the parts of one add up to its size.
    pub fn pools(&self) -> Vec<PoolUse> {
        let core = self.core();
        let (book, policy) = (&core.book, core.book.policy());
        let place = |network: &str, ip: Ipv4Addr| {
            let network = policy.by_name(network)?;
            let subnet = policy.within(network, ip)?;
            book.pooled(network, ip).then_some((network, subnet))
        };
        let mut counts: HashMap<(usize, usize), [usize; 3]> = HashMap::new();
        let mut count = |at: Option<(usize, usize)>, what: usize| {
            if let Some(at) = at {
                counts.entry(at).or_default()[what] += 1;
            }
        };
        for (network, ip) in book.leased() {
            count(place(network, ip), 0);
        }
        let leased = |network: &str, ip: Ipv4Addr| policy.by_name(network).is_some_and(|n| book.lease(n, ip).is_some());
        let kept: HashSet<(&str, Ipv4Addr)> = book.quarantined().map(|(network, ip, _)| (network, ip)).collect();
        for (network, ip) in kept.iter().filter(|(network, ip)| !leased(network, *ip)) {
            count(place(network, *ip), 1);
        }
        for (network, ip, _) in book.offered().filter(|(network, ip, _)| !leased(network, *ip)) {
            if !kept.contains(&(network, ip)) {
                count(place(network, ip), 2);
            }
        }
        let use_of = |usage: Usage| {
            let network = policy.by_name(&usage.network);
            let subnet = network.and_then(|n| policy.networks[n].subnets.iter().position(|s| s.prefix == usage.subnet));
            let [leased, quarantined, offered] =
                network.zip(subnet).and_then(|at| counts.get(&at).copied()).unwrap_or_default();
            PoolUse {
                size: usage.size,
                free: usage.free,
                leased,
                quarantined,
                offered,
                reserved: usage.size.saturating_sub(usage.free + leased + quarantined + offered),
                network: usage.network,
                subnet: usage.subnet,
            }
        };
        book.usage().into_iter().map(use_of).collect()
    }

    /// What is odd about pools, reservations and leases (DH-613), the grave first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut out = {
            let core = self.core();
            let policy = core.book.policy();
            let own: Vec<Ipv4Addr> = core.book.own().collect();
            review(policy, core.book.reservations().iter().map(AsRef::as_ref), &own)
        };
        let count = self.outside();
        if count > 0 {
            out.push(Finding::new(
                "leases-outside",
                format!("{count} leases are of subnets or pools that are configured no more"),
                "nothing needs to be done: they are refused at their next renewal, or end by themselves; \
                 `lanlord lease list` names them, `lanlord lease release` ends one now",
            ));
        }
        out.extend(self.core().alarms.findings(self.now().mono));
        out.extend(self.foreign_findings());
        out.extend(self.clock_finding());
        out.extend(self.pools().iter().filter_map(PoolUse::finding));
        out.sort_by_key(|finding| !finding.grave);
        out
    }

    /// How long things take.
    pub fn durations(&self) -> [(&'static str, &Histogram); 2] {
        [
            ("lanlord_dhcp_request_duration_seconds", &self.counters.request),
            ("lanlord_lease_commit_duration_seconds", &self.counters.commit),
        ]
    }

    /// Counts of every subnet.
    pub fn usage(&self) -> Vec<Usage> {
        self.core().book.usage()
    }

    /// Why a host with this MAC must not have that address: somebody else leases it, or it waits for
    /// somebody else. An address in no configured subnet is not ours to judge.
    pub fn objection(&self, ip: IpAddr, mac: Option<Mac>) -> Option<String> {
        let core = self.core();
        let policy = core.book.policy();
        let network = match ip {
            IpAddr::V4(ip) => policy.by_address(ip, None)?.network,
            IpAddr::V6(ip) => policy.by_address6(ip, None)?,
        };
        let network = &policy.networks[network].name;
        if let Some(lease) = core.lease(network, ip).filter(|lease| mac.is_none() || lease.mac != mac) {
            let holder = lease.mac.map_or_else(|| "another client".to_owned(), |mac| mac.to_string());
            return Some(format!("address {ip} is leased to {holder}"));
        }
        let (reservations, traits) = (core.book.reservations(), Traits { mac, ..Traits::default() });
        let denied = match ip {
            IpAddr::V4(ip) => reservations.denies(network, ip, traits),
            IpAddr::V6(ip) => reservations.denies6(network, ip, traits),
        };
        denied.then(|| format!("address {ip} is reserved for another client"))
    }

    /// Makes or replaces a reservation, durably. It must not want what another one has (DH-309); of two that
    /// are made at once, the second is refused.
    pub async fn put_reservation(self: &Arc<Self>, reservation: Reservation) -> Result<Committed, ObjectError> {
        self.judge(&reservation)?;
        let ledger = self.ledger.get().ok_or(CommitError::Stopping)?;
        let (leasing, wanted) = (self.clone(), reservation.clone());
        let lost = |error: ObjectError| Refusal { code: "conflict".to_owned(), message: error.to_string() };
        let vote: Vote = Box::new(move |_| leasing.judge(&wanted).map_err(lost));
        let changes = vec![Change::ReservationPut(Box::new(reservation.clone()))];
        match ledger.propose(Proposal { changes, vote: Some(vote), otherwise: Vec::new() }).await? {
            Outcome::Committed(committed) => Ok(committed),
            Outcome::Refused { .. } => Err(self.judge(&reservation).err().unwrap_or(ObjectError::Busy)),
        }
    }

    /// Who leases the address of a reservation now and is not the client that it is for: it keeps the address
    /// until its next renewal, which is refused (DH-308).
    pub fn squatter(&self, reservation: &Reservation) -> Option<Arc<Lease>> {
        let Some(IpAddr::V4(ip)) = reservation.ip else { return None };
        let core = self.core();
        let policy = core.book.policy();
        let preferred = reservation.network.as_deref().and_then(|name| policy.by_name(name));
        let place = policy.by_address(ip, preferred)?;
        let lease = core.book.lease(place.network, ip)?;
        let traits = Traits {
            ia: None,
            mac: lease.mac,
            client_id: lease.client_id.as_deref(),
            circuit_id: lease.circuit_id.as_deref(),
            remote_id: lease.remote_id.as_deref(),
            met: None,
        };
        (!reserve::selects(reservation, traits)).then(|| lease.clone())
    }

    pub(super) fn judge(&self, new: &Reservation) -> Result<(), ObjectError> {
        if new.keys.is_empty() {
            return Err(ObjectError::Invalid("a reservation needs a MAC, client or circuit identifier".to_owned()));
        }
        let core = self.core();
        if let Some(network) = &new.network
            && core.book.policy().by_name(network).is_none()
        {
            return Err(ObjectError::Invalid(format!("there is no network named {network}")));
        }
        if let Some(IpAddr::V4(ip)) = new.ip
            && core.book.policy().by_address(ip, None).is_none()
        {
            return Err(ObjectError::Invalid(format!("{ip} lies in no configured subnet")));
        }
        for old in core.book.reservations().iter() {
            if old.id == new.id {
                if !matches!(old.origin, Origin::User(_)) {
                    return Err(ObjectError::Foreign(old.id.clone()));
                }
            } else if let Some(thing) = rivalry(core.book.policy(), old, new) {
                return Err(ObjectError::Conflict(Conflict { rival: old.id.clone(), thing }));
            }
        }
        Ok(())
    }

    /// What two reservations cannot both have, in words.
    pub(super) fn rival(&self, old: &Reservation, new: &Reservation) -> Option<String> {
        rivalry(self.core().book.policy(), old, new)
    }

    /// Removes a reservation that a user made.
    pub async fn remove_reservation(&self, id: &str) -> Result<Committed, ObjectError> {
        let origin = self.core().book.reservations().iter().find(|r| r.id == id).map(|r| r.origin.clone());
        match origin {
            None => Err(ObjectError::Missing(id.to_owned())),
            Some(Origin::User(_)) => self.order(Change::ReservationRemoved { id: id.to_owned() }).await,
            Some(_) => Err(ObjectError::Foreign(id.to_owned())),
        }
    }

    /// Ends a lease by order of an administrator; its client is refused at its next renewal or gets the
    /// address again if it still may have it.
    pub async fn revoke(self: &Arc<Self>, network: &str, ip: IpAddr) -> Result<Committed, ObjectError> {
        let (change, tickets, routes_gone) = {
            let mut core = self.core();
            let missing = || ObjectError::Missing(format!("lease {ip} on {network}"));
            let lease = core.lease(network, ip).ok_or_else(missing)?;
            if core.is_busy(&lease) {
                return Err(ObjectError::Busy);
            }
            let change = Change::LeaseEnded { network: network.to_owned(), ip, end: End::Revoked };
            let tickets = core.begin(std::slice::from_ref(&change));
            let routes_gone = core.routes_of_ended(std::slice::from_ref(&change));
            (change, tickets, routes_gone)
        };
        let leasing = self.clone();
        // a task of its own: the mark must be taken off even if the asker goes away
        let ending = tokio::spawn(async move {
            let result = leasing.order(change).await;
            leasing.core().settle(tickets);
            if result.is_ok() {
                leasing.remove_routes(&routes_gone).await;
            }
            result
        });
        ending.await.unwrap_or(Err(ObjectError::Busy))
    }

    async fn order(&self, change: Change) -> Result<Committed, ObjectError> {
        let ledger = self.ledger.get().ok_or(CommitError::Stopping)?;
        Ok(ledger.commit(vec![change]).await?)
    }
}

/// A reservation's name with the domain of its network, if it is a single label.
fn completed(policy: &Policy, name: &str, reservation: &Reservation) -> String {
    let by_name = reservation.network.as_deref().and_then(|network| policy.by_name(network));
    let by_address = || match reservation.ip {
        Some(IpAddr::V4(ip)) => policy.by_address(ip, None).map(|place| place.network),
        _ => None,
    };
    match by_name.or_else(by_address) {
        Some(network) if !name.contains('.') => format!("{name}.{}", policy.networks[network].domain),
        _ => name.to_owned(),
    }
}

/// What two reservations cannot both have.
fn rivalry(policy: &Policy, old: &Reservation, new: &Reservation) -> Option<String> {
    let apart = matches!((&old.network, &new.network), (Some(a), Some(b)) if a != b);
    if apart {
        return None;
    }
    if let Some(ip) = old.ip.filter(|ip| Some(*ip) == new.ip) {
        return Some(format!("address {ip}"));
    }
    let full = |r: &Reservation| r.name.as_ref().map(|name| completed(policy, name, r));
    // the two keys of one client may carry one name; two clients may not
    if let Some(name) = full(old).filter(|name| full(new).as_ref() == Some(name))
        && !new.keys.iter().any(|key| old.keys.contains(key))
    {
        return Some(format!("name {name}"));
    }
    // one client may have an address in each of several subnets
    let place = |r: &Reservation| match r.ip {
        Some(IpAddr::V4(ip)) => policy.by_address(ip, r.network.as_deref().and_then(|name| policy.by_name(name))),
        _ => None,
    };
    let together = place(old).is_some() && place(old) == place(new);
    let several = old.ip.is_some() && new.ip.is_some() && !together;
    let key = new.keys.iter().find(|key| old.keys.contains(key)).filter(|_| !several)?;
    Some(match key {
        ReservationKey::Mac(mac) => format!("MAC {mac}"),
        ReservationKey::ClientId(id) => format!("client identifier {}", crate::domain::dhcp::value::escape(id)),
        ReservationKey::CircuitId(id) => format!("circuit {}", crate::domain::dhcp::value::escape(id)),
        ReservationKey::RemoteId(id) => format!("remote id {}", crate::domain::dhcp::value::escape(id)),
        ReservationKey::Duid { duid, .. } => format!("DUID {}", crate::domain::hex::write(duid)),
        ReservationKey::Test(text) => format!("test {text}"),
    })
}

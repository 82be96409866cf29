//! How the book changes: by committed entries, by the memory-only effects of decisions, by time.

use std::net::IpAddr;

use super::*;
use crate::domain::change::Change;
use crate::domain::lease::End;
use crate::domain::time::Now;

/// What a decision does to memory alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect6 {
    /// These addresses, or prefixes of that length, are kept for the client until then, and no others.
    Offer { network: usize, client: ClientKey, items: Vec<(Ipv6Addr, u8)>, until: Mono },
    /// The client took another server's offer.
    Forget { network: usize, client: ClientKey },
    /// One more decline of this client.
    CountDecline { client: ClientKey },
}

/// What a proposal in flight keeps others from touching; by name, since a reload renumbers networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticket6 {
    addresses: Vec<(Arc<str>, Ipv6Addr)>,
    duids: Vec<(Arc<str>, Vec<u8>)>,
}

impl Book6 {
    /// Keeps what a client was offered. A repeated offer moves the deadline.
    pub fn offer(&mut self, network: usize, client: &ClientKey, items: &[(Ipv6Addr, u8)], until: Mono) {
        self.forget_offers(network, client);
        for (ip, length) in items {
            if self.offers.len() >= MAX_OFFERS {
                self.drop_oldest_offer();
            }
            self.offers.push_back((until, network, *ip));
            let net = &mut self.nets[network];
            let cell = net.cells.entry(*ip).or_default();
            (cell.length, cell.offer) = (*length, Some((client.clone(), until)));
            net.clients.entry(client.clone()).or_default().offers.push(*ip);
            self.refresh(network, *ip);
        }
    }

    /// The client has taken something else.
    pub fn forget_offers(&mut self, network: usize, client: &ClientKey) {
        let Some(record) = self.nets.get_mut(network).and_then(|net| net.clients.get_mut(client)) else { return };
        for ip in std::mem::take(&mut record.offers) {
            let cell = self.nets[network].cells.get_mut(&ip);
            if let Some(cell) = cell.filter(|cell| cell.offer.as_ref().is_some_and(|(holder, _)| holder == client)) {
                cell.offer = None;
            }
            self.refresh(network, ip);
        }
        self.tidy(network, client);
    }

    fn drop_oldest_offer(&mut self) {
        let Some((until, network, ip)) = self.offers.pop_front() else { return };
        let offer = self.nets[network].cells.get(&ip).and_then(|cell| cell.offer.clone());
        // a repeated SOLICIT has moved the deadline: the later entry counts
        if let Some((client, _)) = offer.filter(|(_, current)| *current == until) {
            self.forget_offers(network, &client);
        }
    }

    /// Forgets offers and holds whose time is over.
    pub fn sweep(&mut self, now: Mono) {
        while self.offers.front().is_some_and(|(until, _, _)| *until <= now) {
            self.drop_oldest_offer();
        }
    }

    /// Removes a client's record that says nothing any more.
    fn tidy(&mut self, network: usize, client: &ClientKey) {
        let clients = &mut self.nets[network].clients;
        let empty = |c: &Client| c.leases.is_empty() && c.offers.is_empty() && c.past.is_none();
        if clients.get(client).is_some_and(empty) {
            clients.remove(client);
        }
    }

    /// Marks what these changes touch as being committed.
    pub fn begin(&mut self, changes: &[Change]) -> Ticket6 {
        let mut ticket = Ticket6::default();
        for change in changes {
            let (network, ip, length, duid) = match change {
                Change::LeaseGranted(lease) => {
                    (&lease.network, lease.ip, lease.delegated, lease.client.duid().map(<[u8]>::to_vec))
                }
                Change::LeaseEnded { network, ip, .. } | Change::Quarantined { network, ip, .. } => {
                    (network, *ip, None, None)
                }
                _ => continue,
            };
            let IpAddr::V6(ip) = ip else { continue };
            let network = self.net_of(network);
            let duid = duid.or_else(|| self.lease(network, ip)?.client.duid().map(<[u8]>::to_vec));
            let net = &mut self.nets[network];
            let new = !net.cells.contains_key(&ip);
            let cell = net.cells.entry(ip).or_default();
            if new {
                cell.length = length.unwrap_or(128);
            }
            cell.pending = true;
            let name = net.name.clone();
            if let Some(duid) = duid {
                *net.pending.entry(duid.clone()).or_default() += 1;
                ticket.duids.push((name.clone(), duid));
            }
            ticket.addresses.push((name, ip));
            self.refresh(network, ip);
        }
        ticket
    }

    /// The proposal is decided, one way or the other.
    pub fn settle(&mut self, ticket: Ticket6) {
        for (name, duid) in ticket.duids {
            let network = self.net_of(&name);
            let pending = &mut self.nets[network].pending;
            if let Some(count) = pending.get_mut(&duid) {
                *count -= 1;
                if *count == 0 {
                    pending.remove(&duid);
                }
            }
        }
        for (name, ip) in ticket.addresses {
            let network = self.net_of(&name);
            if let Some(cell) = self.nets[network].cells.get_mut(&ip) {
                cell.pending = false;
            }
            self.refresh(network, ip);
        }
    }

    /// Takes in one change that was committed at `at`, at the moment `now`.
    pub fn apply(&mut self, change: &Change, at: Wall, now: Now) {
        match change {
            Change::LeaseGranted(lease) => {
                if let IpAddr::V6(ip) = lease.ip {
                    self.granted(ip, lease, now);
                }
            }
            Change::LeaseEnded { network, ip: IpAddr::V6(ip), end } => self.ended(network, *ip, *end, at),
            Change::Quarantined { network, ip: IpAddr::V6(ip), until, .. } => {
                let network = self.net_of(network);
                self.quarantine(network, *ip, *until);
            }
            _ => {}
        }
    }

    fn granted(&mut self, ip: Ipv6Addr, lease: &Lease, now: Now) {
        let network = self.net_of(&lease.network);
        let holder = self.lease(network, ip).map(|old| old.client.clone());
        if let Some(holder) = holder {
            let deadline = self.nets[network].cells.get(&ip).map_or(Mono(0), |cell| cell.deadline);
            self.expiries.remove(&(deadline, network, ip));
            if holder != lease.client {
                self.drop_lease_of(network, &holder, ip);
            }
        }
        self.forget_offers(network, &lease.client);
        self.forget_past(network, ip);
        if let Some((past, _)) = self.past_of(network, &lease.client) {
            self.forget_past(network, past);
        }
        let deadline = now.until(lease.expires);
        let net = &mut self.nets[network];
        let client = net.clients.entry(lease.client.clone()).or_default();
        if !client.leases.contains(&ip) {
            client.leases.push(ip);
        }
        let cell = net.cells.entry(ip).or_default();
        cell.length = lease.delegated.unwrap_or(128);
        // whatever the wall clock does from here on, the lease lasts as long as it was given for
        (cell.lease, cell.deadline, cell.offer) = (Some(Arc::new(lease.clone())), deadline, None);
        cell.read = !self.live;
        if let Some(until) = cell.quarantine.take() {
            self.quarantines.remove(&(until, network, ip));
        }
        if lease.expires != Wall::NEVER {
            self.expiries.insert((deadline, network, ip));
        }
        self.refresh(network, ip);
    }

    fn drop_lease_of(&mut self, network: usize, client: &ClientKey, ip: Ipv6Addr) {
        if let Some(record) = self.nets[network].clients.get_mut(client) {
            record.leases.retain(|held| *held != ip);
        }
        self.tidy(network, client);
    }

    fn ended(&mut self, network: &str, ip: Ipv6Addr, end: End, at: Wall) {
        let network = self.net_of(network);
        let Some(cell) = self.nets[network].cells.get_mut(&ip) else { return };
        let Some(lease) = cell.lease.take() else { return };
        let deadline = cell.deadline;
        self.expiries.remove(&(deadline, network, ip));
        self.drop_lease_of(network, &lease.client, ip);
        match end {
            End::Declined { until } => return self.quarantine(network, ip, until),
            End::Revoked => {}
            End::Released | End::Expired => self.remember(network, ip, &lease.client, at),
        }
        self.refresh(network, ip);
    }

    /// DH-704: the client gets its last address again while others are free.
    fn remember(&mut self, network: usize, ip: Ipv6Addr, client: &ClientKey, at: Wall) {
        if let Some((older, _)) = self.past_of(network, client) {
            self.forget_past(network, older);
        }
        self.forget_past(network, ip);
        let net = &mut self.nets[network];
        let Some(cell) = net.cells.get_mut(&ip) else { return };
        cell.past = Some((at, client.clone()));
        net.clients.entry(client.clone()).or_default().past = Some(ip);
        self.past.insert((at, network, ip));
    }

    fn forget_past(&mut self, network: usize, ip: Ipv6Addr) {
        let Some((ended, client)) = self.nets[network].cells.get_mut(&ip).and_then(|cell| cell.past.take()) else {
            return;
        };
        self.past.remove(&(ended, network, ip));
        if let Some(record) = self.nets[network].clients.get_mut(&client) {
            record.past = None;
        }
        self.tidy(network, &client);
        self.refresh(network, ip);
    }

    fn quarantine(&mut self, network: usize, ip: Ipv6Addr, until: Wall) {
        let offer = self.nets[network].cells.get(&ip).and_then(|cell| cell.offer.clone());
        if let Some((client, _)) = offer {
            self.forget_offers(network, &client);
        }
        self.forget_past(network, ip);
        let cell = self.nets[network].cells.entry(ip).or_insert_with(|| Cell { length: 128, ..Cell::default() });
        if let Some(older) = cell.quarantine.replace(until) {
            self.quarantines.remove(&(older, network, ip));
        }
        self.quarantines.insert((until, network, ip));
        self.refresh(network, ip);
    }

    /// Ends quarantines whose time is over; memory only, since their end is in the entry.
    pub fn sweep_quarantines(&mut self, now: Wall) {
        while let Some((_, network, ip)) = self.quarantines.first().copied().filter(|(until, _, _)| *until <= now) {
            self.quarantines.pop_first();
            if let Some(cell) = self.nets[network].cells.get_mut(&ip) {
                cell.quarantine = None;
            }
            self.refresh(network, ip);
        }
    }

    /// Forgets whose an address was, once that is longer ago than the policy remembers. Bounded work.
    pub fn forget_long_past(&mut self, now: Wall) {
        let memory = i64::try_from(self.policy.rules.affinity.as_millis()).unwrap_or(i64::MAX);
        let limit = Wall(now.0.saturating_sub(memory));
        for _ in 0..1000 {
            let Some((_, network, ip)) = self.past.first().copied().filter(|(ended, _, _)| *ended < limit) else {
                return;
            };
            self.forget_past(network, ip);
        }
    }

    /// At most `limit` leases whose time is over and that no commit is touching, as the changes that end
    /// them (DH-509).
    pub fn expired(&self, now: Mono, limit: usize) -> Vec<Change> {
        let due = self.expiries.iter().take_while(|(deadline, _, _)| *deadline <= now);
        let idle = due.filter(|(_, network, ip)| {
            let net = &self.nets[*network];
            let lease = net.cells.get(ip).filter(|cell| !cell.pending).and_then(|cell| cell.lease.as_ref());
            lease.is_some_and(|lease| lease.client.duid().is_none_or(|duid| !net.pending.contains_key(duid)))
        });
        let ended = |network: usize, ip| Change::LeaseEnded {
            network: self.nets[network].name.to_string(),
            ip: IpAddr::V6(ip),
            end: End::Expired,
        };
        idle.take(limit).map(|(_, network, ip)| ended(*network, *ip)).collect()
    }

    /// Sets an address aside for a host. The caller has checked that it is available.
    pub fn hold(&mut self, network: usize, ip: Ipv6Addr, hold: Hold) {
        let cell = self.nets[network].cells.entry(ip).or_default();
        (cell.length, cell.hold) = (128, Some(hold));
        self.held.push((network, ip));
        self.refresh(network, ip);
    }

    /// Gives back what a holder holds.
    pub fn unhold(&mut self, holder: &str) {
        self.unhold_if(|hold| hold.holder == holder);
    }

    /// Forgets holds whose deadline is over.
    pub fn sweep_holds(&mut self, now: Mono) {
        self.unhold_if(|hold| hold.until <= now);
    }

    fn unhold_if(&mut self, over: impl Fn(&Hold) -> bool) {
        for (network, ip) in std::mem::take(&mut self.held) {
            let Some(cell) = self.nets[network].cells.get_mut(&ip) else { continue };
            if cell.hold.as_ref().is_some_and(&over) {
                cell.hold = None;
                self.refresh(network, ip);
            } else if cell.hold.is_some() {
                self.held.push((network, ip));
            }
        }
    }
}

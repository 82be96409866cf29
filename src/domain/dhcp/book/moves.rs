//! How the book changes: by committed entries, by the memory-only effects of decisions, by time.

use super::*;

/// What a decision does to memory alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The address is kept for the client until then.
    Offer { network: usize, ip: Ipv4Addr, client: ClientKey, until: Mono },
    /// The client took another server's offer.
    Forget { network: usize, client: ClientKey },
    /// One more decline of this client.
    CountDecline { client: ClientKey },
}

/// What a proposal in flight keeps others from touching; by name, since a reload renumbers networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticket {
    addresses: Vec<(Arc<str>, Ipv4Addr)>,
    clients: Vec<(Arc<str>, ClientKey)>,
}

impl Book {
    /// Applies a decision's effects.
    pub fn affect(&mut self, effect: Effect, now: Mono) {
        match effect {
            Effect::Offer { network, ip, client, until } => self.offer(network, ip, client, until),
            Effect::Forget { network, client } => self.forget_offer(network, &client),
            Effect::CountDecline { client } => self.count_decline(client, now),
        }
    }

    fn offer(&mut self, network: usize, ip: Ipv4Addr, client: ClientKey, until: Mono) {
        if self.offer_of(network, &client) != Some(ip) {
            self.forget_offer(network, &client);
        }
        if self.offers.len() >= MAX_OFFERS {
            self.drop_oldest_offer();
        }
        self.offers.push_back((until, network, ip));
        self.client_mut(network, &client).offer = Some(ip);
        self.rest_mut(network, ip).offer = Some((client, until));
        self.mark_used(network, ip);
        self.refresh(network, ip);
    }

    /// The record of a client, made if it is not there.
    fn client_mut(&mut self, network: usize, client: &ClientKey) -> &mut Client {
        let print = self.prints.of(client);
        self.nets[network].clients.entry(print).or_default()
    }

    /// The record of a client, if it is there.
    fn known(&mut self, network: usize, client: &ClientKey) -> Option<&mut Client> {
        let print = self.prints.of(client);
        self.nets[network].clients.get_mut(&print)
    }

    /// What few addresses have, made if it is not there.
    fn rest_mut(&mut self, network: usize, ip: Ipv4Addr) -> &mut Rest {
        self.nets[network].cells.entry(ip).or_default().rest_mut()
    }

    /// What this address has of it, if it has any.
    fn rest(&mut self, network: usize, ip: Ipv4Addr) -> Option<&mut Rest> {
        self.nets[network].cells.get_mut(&ip)?.rest.as_deref_mut()
    }

    fn mark_used(&mut self, network: usize, ip: Ipv4Addr) {
        if let Some(subnet) = self.policy.within(network, ip) {
            self.nets[network].free[subnet].used(ip);
        }
    }

    fn forget_offer(&mut self, network: usize, client: &ClientKey) {
        let Some(ip) = self.known(network, client).and_then(|c| c.offer.take()) else { return };
        if let Some(rest) = self.rest(network, ip) {
            rest.offer = None;
        }
        self.tidy(network, client);
        self.refresh(network, ip);
    }

    fn drop_oldest_offer(&mut self) {
        let Some((until, network, ip)) = self.offers.pop_front() else { return };
        let offer = self.cell(network, ip).and_then(|cell| cell.offer().cloned());
        // a repeated DISCOVER has moved the deadline: the later entry counts
        if let Some((client, _)) = offer.filter(|(_, current)| *current == until) {
            self.forget_offer(network, &client);
        }
    }

    /// Forgets offers and holds whose time is over.
    pub fn sweep(&mut self, now: Mono) {
        while self.offers.front().is_some_and(|(until, _, _)| *until <= now) {
            self.drop_oldest_offer();
        }
    }

    /// Forgets holds whose deadline is over.
    pub fn sweep_holds(&mut self, now: Mono) {
        self.unhold_if(|hold| hold.until <= now);
    }

    fn count_decline(&mut self, client: ClientKey, now: Mono) {
        let hour = Duration::from_secs(3600);
        if self.declines.len() >= MAX_DECLINERS {
            self.declines.retain(|_, (since, _)| now.since(*since) < hour);
        }
        if self.declines.len() >= MAX_DECLINERS && !self.declines.contains_key(&client) {
            return;
        }
        let entry = self.declines.entry(client).or_insert((now, 0));
        if now.since(entry.0) >= hour {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Removes a client's record that says nothing any more.
    fn tidy(&mut self, network: usize, client: &ClientKey) {
        let print = self.prints.of(client);
        let clients = &mut self.nets[network].clients;
        let empty = |c: &Client| c.lease.is_none() && c.offer.is_none() && c.past.is_none() && !c.pending;
        if clients.get(&print).is_some_and(empty) {
            clients.remove(&print);
        }
    }

    /// Marks what these changes touch as being committed.
    pub fn begin(&mut self, changes: &[Change]) -> Ticket {
        let mut ticket = Ticket::default();
        for change in changes {
            let (network, ip, client) = match change {
                Change::LeaseGranted(lease) => (&lease.network, lease.ip, Some(lease.client.clone())),
                Change::LeaseEnded { network, ip, .. } | Change::Quarantined { network, ip, .. } => {
                    (network, *ip, None)
                }
                _ => continue,
            };
            let IpAddr::V4(ip) = ip else { continue };
            let network = self.net_of(network);
            let client = client.or_else(|| self.kept(network, ip).map(Kept::client));
            self.rest_mut(network, ip).pending = true;
            self.mark_used(network, ip);
            self.refresh(network, ip);
            let name = self.nets[network].name.clone();
            ticket.addresses.push((name.clone(), ip));
            if let Some(client) = client {
                self.client_mut(network, &client).pending = true;
                ticket.clients.push((name, client));
            }
        }
        ticket
    }

    /// The proposal is decided, one way or the other.
    pub fn settle(&mut self, ticket: Ticket) {
        for (name, client) in ticket.clients {
            let network = self.net_of(&name);
            if let Some(record) = self.known(network, &client) {
                record.pending = false;
            }
            self.tidy(network, &client);
        }
        for (name, ip) in ticket.addresses {
            let network = self.net_of(&name);
            if let Some(rest) = self.rest(network, ip) {
                rest.pending = false;
            }
            self.refresh(network, ip);
        }
    }

    /// Takes in one change that was committed at `at`, at the moment `now`.
    pub fn apply(&mut self, change: &Change, at: Wall, now: Now) {
        match change {
            Change::LeaseGranted(lease) => self.granted(lease, at, now),
            Change::LeaseEnded { network, ip: IpAddr::V4(ip), end } => self.ended(network, *ip, *end, at),
            Change::Quarantined { network, ip: IpAddr::V4(ip), until, .. } => self.quarantine(network, *ip, *until),
            Change::ReservationPut(reservation) => {
                let touched = self.reservations.put(reservation.as_ref().clone());
                self.refresh_everywhere(&touched);
            }
            Change::ReservationRemoved { id } => {
                let touched = self.reservations.remove(id);
                self.refresh_everywhere(&touched);
            }
            Change::DevicePut(device) => self.devices.put(device),
            Change::DeviceRemoved { id } => self.devices.remove(id),
            Change::HostPut(host) => {
                let touched = self.reservations.put_host(host);
                self.refresh_everywhere(&touched);
            }
            Change::HostRemoved { id } => {
                let touched = self.reservations.remove_host(id);
                self.refresh_everywhere(&touched);
            }
            _ => {}
        }
    }

    fn granted(&mut self, lease: &Lease, at: Wall, now: Now) {
        let IpAddr::V4(ip) = lease.ip else { return };
        let network = self.net_of(&lease.network);
        self.forget_past(network, ip);
        if let Some(old) = self.kept(network, ip).cloned() {
            self.expiries.remove(&(self.deadline(network, ip), network as u32, ip));
            self.forget_mac(network, old.mac(), ip);
            if !old.is_of(&lease.client) {
                self.clear_lease(network, &old.client(), ip);
            }
        }
        let client = self.client_mut(network, &lease.client);
        client.lease = Some(ip);
        let (past, offered) = (client.past, client.offer.take());
        if let Some(offered) = offered
            && let Some(rest) = self.rest(network, offered)
        {
            rest.offer = None;
            self.refresh(network, offered);
        }
        if let Some(past) = past {
            self.forget_past(network, past);
        }
        let kept = self.commons.keep(lease);
        let cell = self.nets[network].cells.entry(ip).or_default();
        cell.lease = Some(kept);
        (cell.heard, cell.read) = (at, !self.live);
        // whatever the wall clock does from here on, the lease lasts as long as it was given for
        cell.deadline = now.until(lease.expires);
        let deadline = cell.deadline;
        if let Some(until) = cell.rest.as_mut().and_then(|rest| rest.quarantine.take()) {
            self.quarantines.remove(&(until, network, ip));
        }
        if lease.expires != Wall::NEVER {
            self.expiries.insert((deadline, network as u32, ip));
        }
        self.note_mac(network, lease.mac, ip);
        self.refresh(network, ip);
    }

    fn deadline(&self, network: usize, ip: Ipv4Addr) -> Mono {
        self.cell(network, ip).map_or(Mono(0), |cell| cell.deadline)
    }

    fn clear_lease(&mut self, network: usize, client: &ClientKey, ip: Ipv4Addr) {
        if let Some(record) = self.known(network, client)
            && record.lease == Some(ip)
        {
            record.lease = None;
        }
        self.tidy(network, client);
    }

    fn ended(&mut self, network: &str, ip: Ipv4Addr, end: End, at: Wall) {
        let network = self.net_of(network);
        let Some(cell) = self.nets[network].cells.get_mut(&ip) else { return };
        let Some(lease) = cell.lease.take() else { return };
        let deadline = cell.deadline;
        let client = lease.client();
        self.expiries.remove(&(deadline, network as u32, ip));
        self.forget_mac(network, lease.mac(), ip);
        self.clear_lease(network, &client, ip);
        match end {
            End::Declined { until } => return self.quarantine_at(network, ip, until),
            End::Revoked => {}
            End::Released | End::Expired => self.remember(network, ip, &client, at),
        }
        self.refresh(network, ip);
    }

    /// DH-202: the client gets its last address again while others are free.
    fn remember(&mut self, network: usize, ip: Ipv4Addr, client: &ClientKey, at: Wall) {
        if let Some(older) = self.past_of(network, client) {
            self.forget_past(network, older);
        }
        self.forget_past(network, ip);
        self.rest_mut(network, ip).past = Some((at, client.clone()));
        self.client_mut(network, client).past = Some(ip);
    }

    fn forget_past(&mut self, network: usize, ip: Ipv4Addr) {
        let past = self.rest(network, ip).and_then(|rest| rest.past.take());
        let Some((ended, client)) = past else { return };
        if let Some(subnet) = self.policy.within(network, ip) {
            self.nets[network].free[subnet].forget(ip, ended);
        }
        if let Some(record) = self.known(network, &client) {
            record.past = None;
        }
        self.tidy(network, &client);
        self.refresh(network, ip);
    }

    fn quarantine(&mut self, network: &str, ip: Ipv4Addr, until: Wall) {
        let network = self.net_of(network);
        self.quarantine_at(network, ip, until);
    }

    fn quarantine_at(&mut self, network: usize, ip: Ipv4Addr, until: Wall) {
        if let Some((client, _)) = self.cell(network, ip).and_then(|cell| cell.offer().cloned()) {
            self.forget_offer(network, &client);
        }
        if let Some(older) = self.rest_mut(network, ip).quarantine.replace(until) {
            self.quarantines.remove(&(older, network, ip));
        }
        self.quarantines.insert((until, network, ip));
        self.refresh(network, ip);
    }

    /// Ends quarantines whose time is over; memory only, since their end is in the entry.
    pub fn sweep_quarantines(&mut self, now: Wall) {
        while let Some((_, network, ip)) = self.quarantines.first().copied().filter(|(until, _, _)| *until <= now) {
            self.quarantines.pop_first();
            if let Some(rest) = self.rest(network, ip) {
                rest.quarantine = None;
            }
            self.refresh(network, ip);
        }
    }

    /// Forgets whose an address was, once that is longer ago than the policy remembers. Bounded work.
    pub fn forget_long_past(&mut self, now: Wall) {
        let limit =
            Wall(now.0.saturating_sub(i64::try_from(self.policy.rules.affinity.as_millis()).unwrap_or(i64::MAX)));
        for network in 0..self.nets.len() {
            let old: Vec<Ipv4Addr> =
                self.nets[network].free.iter().flat_map(|free| free.left_before(limit, 1000)).collect();
            old.into_iter().for_each(|ip| self.forget_past(network, ip));
        }
    }

    /// At most `limit` leases whose time is over and that no commit is touching, as the changes that end
    /// them (DH-509).
    pub fn expired(&self, now: Mono, limit: usize) -> Vec<Change> {
        let due = self.expiries.iter().take_while(|(deadline, _, _)| *deadline <= now);
        let idle = due.filter(|(_, network, ip)| {
            let network = *network as usize;
            let idle = self.cell(network, *ip).filter(|cell| !cell.is_pending());
            let client = idle.and_then(|cell| self.client(network, &cell.lease.as_ref()?.client()));
            client.is_some_and(|client| !client.pending)
        });
        idle.take(limit)
            .map(|(_, network, ip)| Change::LeaseEnded {
                network: self.nets[*network as usize].name.to_string(),
                ip: IpAddr::V4(*ip),
                end: End::Expired,
            })
            .collect()
    }

    /// Sets an address aside for a host. The caller has checked that it is available.
    pub fn hold(&mut self, network: usize, ip: Ipv4Addr, hold: Hold) {
        self.rest_mut(network, ip).hold = Some(hold);
        self.held.push((network, ip));
        self.mark_used(network, ip);
        self.refresh(network, ip);
    }

    /// Gives back what a holder holds.
    pub fn unhold(&mut self, holder: &str) {
        self.unhold_if(|hold| hold.holder == holder);
    }

    fn unhold_if(&mut self, over: impl Fn(&Hold) -> bool) {
        for (network, ip) in std::mem::take(&mut self.held) {
            let Some(rest) = self.rest(network, ip) else { continue };
            if rest.hold.as_ref().is_some_and(&over) {
                rest.hold = None;
                self.refresh(network, ip);
            } else if rest.hold.is_some() {
                self.held.push((network, ip));
            }
        }
    }
}

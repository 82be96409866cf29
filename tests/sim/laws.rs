//! The invariants of ARCHITECTURE.md, asked at the moments when they could be broken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use lanlord::domain::change::Change;
use lanlord::domain::dns::name::Name;
use lanlord::domain::dns::rrset::rtype;
use lanlord::domain::dns::zone::State;
use lanlord::domain::host::Host;
use lanlord::domain::lease::{End, Lease, Reservation, ReservationKey};
use lanlord::domain::net::Mac;
use lanlord::domain::time::Wall;
use lanlord::store::Entry;

use crate::bus::Told;
use crate::client::{ACK, Reply};
use crate::laws6;
use crate::six;
use crate::time::wall;
use crate::world::{INTERFACE, Server, World};

/// A law that did not hold: its number and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub law: &'static str,
    pub what: String,
}

pub fn broken(law: &'static str, what: String) -> Result<(), Broken> {
    Err(Broken { law, what })
}

/// State as the durable journal has it, kept up entry by entry.
#[derive(Debug, Default)]
pub struct Durable {
    seen: usize,
    leases: BTreeMap<IpAddr, Lease>,
    /// Addresses that are kept out of use, and until when.
    quarantined: BTreeMap<IpAddr, Wall>,
    /// Hardware addresses that ever had a lease.
    proven: BTreeSet<Mac>,
    devices: u64,
    hosts: BTreeMap<String, Host>,
    /// Transactions by their txid.
    finals: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    /// The batch of the last final event, by its time and number: what it implies stands in it.
    last_final: Option<(Wall, u64)>,
}

impl Durable {
    /// Takes in what was synced since. A grant while another client's lease is active breaks I3.
    fn follow(&mut self, entries: &[Entry]) -> Result<(), Broken> {
        for entry in entries.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            match &entry.change {
                Change::LeaseGranted(lease) => self.granted(entry, lease)?,
                Change::LeaseEnded { ip, end, .. } => self.ended(entry, *ip, *end)?,
                Change::Quarantined { ip, until, .. } => drop(self.quarantined.insert(*ip, *until)),
                Change::DevicePut(device) => {
                    self.devices += 1;
                    if !device.mac.is_some_and(|mac| self.proven.contains(&mac)) {
                        broken("I5", format!("entry {} makes a device of a bare address: {device:?}", entry.seq))?;
                    }
                }
                Change::TxFinal(tx) => {
                    self.finals.insert(tx.key.txid.clone());
                    self.last_final = Some((entry.at, entry.seq));
                }
                Change::TxCancelled { key, .. } => drop(self.cancelled.insert(key.txid.clone())),
                Change::HostPut(host) => {
                    self.beside_its_final(entry)?;
                    self.hosts.insert(host.id.clone(), host.as_ref().clone());
                }
                Change::HostRemoved { id } => {
                    self.beside_its_final(entry)?;
                    self.hosts.remove(id);
                }
                _ => {}
            }
        }
        if let Some(txid) = self.finals.intersection(&self.cancelled).next() {
            broken("I7", format!("{txid} is final and cancelled"))?;
        }
        Ok(())
    }

    /// I3, DH-504: from free to active by a grant, from active to active only later, to one client at a time.
    fn granted(&mut self, entry: &Entry, lease: &Lease) -> Result<(), Broken> {
        self.proven.extend(lease.mac);
        let (seq, ip, client) = (entry.seq, lease.ip, &lease.client);
        laws6::clear_of_others(&self.leases, lease)?;
        if let Some(until) = self.quarantined.get(&ip).filter(|until| **until > entry.at) {
            broken("DH-504", format!("entry {seq} grants {ip} to {client:?}, which is quarantined until {until:?}"))?;
        }
        if !(lease.began <= entry.at && entry.at <= lease.expires) {
            broken("DH-504", format!("entry {seq} of {:?} grants {lease:?}", entry.at))?;
        }
        match self.leases.insert(ip, lease.clone()) {
            Some(old) if old.client != lease.client => {
                broken("I3", format!("entry {seq} grants {ip} to {client:?} over {old:?}"))
            }
            Some(old) if old.expires > lease.expires || old.began > lease.began => {
                broken("DH-504", format!("entry {seq} takes {ip} back from {old:?} to {lease:?}"))
            }
            _ => Ok(()),
        }
    }

    /// DH-504: only an active lease ends, and by time only when its time is over.
    fn ended(&mut self, entry: &Entry, ip: IpAddr, end: End) -> Result<(), Broken> {
        let (seq, at) = (entry.seq, entry.at);
        let Some(lease) = self.leases.remove(&ip) else {
            return broken("DH-504", format!("entry {seq} ends {ip}, which nobody holds: {end:?}"));
        };
        match end {
            End::Expired if lease.expires > at => {
                broken("DH-504", format!("entry {seq} of {at:?} lets {lease:?} expire"))
            }
            End::Declined { until } => {
                self.quarantined.insert(ip, until);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub fn leases(&self) -> &BTreeMap<IpAddr, Lease> {
        &self.leases
    }

    /// I7: a host changes in the batch of its final event, and nowhere else.
    fn beside_its_final(&self, entry: &Entry) -> Result<(), Broken> {
        match self.last_final {
            Some((at, seq)) if at == entry.at && seq + 3 > entry.seq => Ok(()),
            other => broken("I7", format!("a host changes without a final event: {entry:?}, {other:?}")),
        }
    }

    /// Names that lead to an address, by what is durable: of hosts, and of leases.
    fn names_of(&self, ip: IpAddr) -> BTreeSet<String> {
        let has = |host: &&Host| host.interfaces.iter().any(|i| i.addresses.contains(&ip));
        let mut out: BTreeSet<String> = self.hosts.values().filter(has).filter_map(|h| h.fqdn.clone()).collect();
        if let Some(lease) = self.leases.get(&ip) {
            // DN-301, DN-302: the best source names a host whatever its lease says, and takes the name from others
            let is_it = |h: &&Host| h.interfaces.iter().any(|i| i.mac.is_some() && i.mac == lease.mac);
            let taken = |name: &String| self.hosts.values().any(|h| h.fqdn.as_ref() == Some(name));
            let own = self.hosts.values().find(is_it).and_then(|h| h.fqdn.clone());
            out.extend(own.or_else(|| lease.fqdn.clone().filter(|name| !taken(name))));
        }
        out
    }
}

/// What the disk holds now, for sure.
pub fn durable(world: &mut World) -> Result<(), Broken> {
    let World { media, durable, .. } = world;
    media.durable(|entries| durable.follow(entries))
}

/// At the end: all of it keeps the laws. Returns how many entries there are, and how many of devices.
pub fn whole_journal(world: &mut World) -> Result<(u64, u64), Broken> {
    world.durable = Durable::default();
    durable(world)?;
    Ok((world.durable.seen as u64, world.durable.devices))
}

/// An ACK is about to leave.
pub fn as_it_leaves(world: &mut World, server: &Server, reply: &Reply) -> Result<(), Broken> {
    if reply.kind != ACK || reply.lease == 0 {
        return Ok(());
    }
    let (ip, promised) = (reply.ip, wall(world.now + u64::from(reply.lease) * 1_000));
    durable(world)?;
    let leases = &world.durable.leases;
    // a second of rounding: lease times are whole seconds on the wire
    let kept = leases.get(&IpAddr::V4(ip)).filter(|l| l.mac.is_some_and(|m| m.0 == reply.mac));
    match kept {
        None => broken("I2", format!("{ip} is acknowledged to {:?} and not on the disk", reply.mac))?,
        Some(lease) if lease.expires.0 + 1_000 < promised.0 => {
            broken("I2", format!("{ip} is promised until {promised:?} and kept until {:?}", lease.expires))?;
        }
        Some(_) => {}
    }
    if let Some(other) = world.clients.iter().find(|c| c.mac != reply.mac && c.uses(ip, world.now)) {
        broken("I3", format!("{ip} goes to {:?} while {:?} may use it", reply.mac, other.mac))?;
    }
    let binding = server.bindings.by_ip(Some(INTERFACE), ip.into());
    if binding.as_ref().and_then(|b| b.mac).map(|m| m.0) != Some(reply.mac) {
        broken("I4", format!("{ip} is acknowledged to {:?} and bound to {binding:?}", reply.mac))?;
    }
    names(&server.naming.state(), &world.durable)
}

/// The server has just read its disk again.
pub fn after_start(world: &mut World, server: &Server) -> Result<(), Broken> {
    // a crash may have taken what was written, never what was synced: read it all again
    world.durable = Durable::default();
    durable(world)?;
    let leases = &world.durable.leases;
    let served: BTreeMap<IpAddr, Lease> =
        server.leasing.leases().into_iter().map(|lease| (lease.ip, lease.as_ref().clone())).collect();
    if served != *leases {
        broken("I2", format!("the disk says {leases:?}, leasing {served:?}"))?;
    }
    // what a client was told, and still counts on, survived
    for client in &world.clients {
        if let Some((ip, until)) = client.holds.filter(|(_, until)| *until > world.now) {
            let kept = leases.get(&IpAddr::V4(ip)).filter(|l| l.mac.is_some_and(|m| m.0 == client.mac));
            if kept.is_none_or(|l| l.expires < wall(until)) {
                broken("I2", format!("{:?} may use {ip} until {:?}, the disk says {kept:?}", client.mac, wall(until)))?;
            }
        }
    }
    laws6::after_start(world)?;
    hosts(server, &world.durable)?;
    names(&server.naming.state(), &world.durable)
}

/// The bus told the outside something: it is durable, and names and addresses are as it says.
pub fn as_it_is_told(world: &mut World, server: &Server, told: &Told) -> Result<(), Broken> {
    durable(world)?;
    let (txid, is_final, is_cancelled) = match told {
        Told::State { txid, state } => (txid.clone(), matches!(*state, "final" | "completed"), *state == "cancelled"),
        Told::Broadcast(line) => {
            let Some(txid) = line.split("txid=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
                return Ok(());
            };
            // progress carries the word final, too (CL-206)
            let event = line.starts_with("<claws:event") && !line.contains("<claws:progress-percent>");
            let says = |status: &str| event && line.contains(&format!("status=\"{status}\""));
            (txid.to_owned(), says("final") || says("completed"), says("cancelled"))
        }
    };
    if is_final && !world.durable.finals.contains(&txid) {
        broken("I2", format!("{told:?} and the final event is not on the disk"))?;
    }
    if is_cancelled && !world.durable.cancelled.contains(&txid) {
        broken("I2", format!("{told:?} and the cancellation is not on the disk"))?;
    }
    world.tally.finals += u64::from(is_final);
    world.tally.cancelled += u64::from(is_cancelled);
    world.note(format!("told: {txid} {is_final} {is_cancelled}"));
    hosts(server, &world.durable)?;
    names(&server.naming.state(), &world.durable)
}

/// I7: the hosts that the services know are those of the journal, and DHCP keeps their addresses for them.
fn hosts(server: &Server, durable: &Durable) -> Result<(), Broken> {
    let served: BTreeMap<String, Host> =
        server.hosts.page(None, 1_000).iter().map(|h| (h.id.clone(), h.as_ref().clone())).collect();
    if served != durable.hosts {
        broken("I7", format!("the disk has the hosts {:?}, the daemon {served:?}", durable.hosts))?;
    }
    let reservations = server.leasing.reservations();
    for host in served.values() {
        for interface in &host.interfaces {
            for ip in interface.addresses.iter().filter(|ip| ip.is_ipv4()) {
                let key = interface.mac.map(ReservationKey::Mac);
                let kept = |r: &&std::sync::Arc<Reservation>| {
                    r.ip == Some(*ip) && key.as_ref().is_some_and(|k| r.keys.contains(k))
                };
                if reservations.iter().find(kept).is_none() {
                    broken("I7", format!("{ip} of {} is not kept for it: {reservations:?}", host.id))?;
                }
            }
        }
    }
    Ok(())
}

/// I7, I8: names are a function of hosts and leases, and forward and reverse are of one snapshot.
pub fn names(state: &State, durable: &Durable) -> Result<(), Broken> {
    let pool = (98..110).map(|last| IpAddr::V4(Ipv4Addr::new(10, 77, 0, last)));
    let of_hosts = durable.hosts.values().flat_map(|h| &h.interfaces).flat_map(|i| i.addresses.iter().copied());
    let pool6 = (six::POOL.start - 1..six::POOL.end + 1).map(|number| IpAddr::V6(six::address(number)));
    let addresses: BTreeSet<IpAddr> = pool.chain(pool6).chain(of_hosts).collect();
    for ip in addresses {
        let (kind, octets) = match ip {
            IpAddr::V4(ip) => (rtype::A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (rtype::AAAA, ip.octets().to_vec()),
        };
        let pointers: BTreeSet<String> = rdata(state, &Name::reverse(ip), rtype::PTR)
            .iter()
            .map(|wire| Name::from_wire(wire).expect("a name").to_string())
            .collect();
        let forward = |name: &String| rdata(state, &Name::parse(name).expect("a name"), kind);
        if let Some(name) = pointers.iter().find(|name| !forward(name).contains(&octets)) {
            broken("I8", format!("{ip} points to {name}, which has not that address"))?;
        }
        let wanted = durable.names_of(ip);
        if wanted != pointers {
            let (hosts, lease) = (&durable.hosts, durable.leases.get(&ip));
            broken("I7", format!("{ip} should be {wanted:?} and points to {pointers:?}: {lease:?}, {hosts:?}"))?;
        }
    }
    Ok(())
}

fn rdata(state: &State, name: &Name, rtype: u16) -> Vec<Vec<u8>> {
    let set = state.node(name.as_wire()).and_then(|node| node.set(rtype));
    set.into_iter().flat_map(|set| set.rdata().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect()
}

//! The invariants of ARCHITECTURE.md, asked at the moments when they could be broken.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use lanlord::domain::change::Change;
use lanlord::domain::dns::name::Name;
use lanlord::domain::dns::rrset::rtype;
use lanlord::domain::dns::zone::State;
use lanlord::domain::lease::Lease;
use lanlord::store::Entry;

use crate::client::{ACK, Reply};
use crate::world::{DOMAIN, INTERFACE, Server, World, wall};

/// A law that did not hold: its number and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub law: &'static str,
    pub what: String,
}

fn broken(law: &'static str, what: String) -> Result<(), Broken> {
    Err(Broken { law, what })
}

/// State as the durable journal has it, kept up entry by entry.
#[derive(Debug, Default)]
pub struct Durable {
    seen: usize,
    leases: BTreeMap<IpAddr, Lease>,
}

impl Durable {
    /// Takes in what was synced since. A grant while another client's lease is active breaks I3.
    fn follow(&mut self, entries: &[Entry]) -> Result<(), Broken> {
        for entry in entries.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            match &entry.change {
                Change::LeaseGranted(lease) => {
                    let old = self.leases.insert(lease.ip, lease.as_ref().clone());
                    if let Some(old) = old.filter(|old| old.client != lease.client) {
                        let (seq, ip, client) = (entry.seq, lease.ip, &lease.client);
                        broken("I3", format!("entry {seq} grants {ip} to {client:?} over {old:?}"))?;
                    }
                }
                Change::LeaseEnded { ip, .. } => drop(self.leases.remove(ip)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the disk holds now, for sure.
fn durable(world: &mut World) -> Result<(), Broken> {
    let World { media, durable, .. } = world;
    media.durable(|entries| durable.follow(entries))
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
    names(&server.naming.state(), leases)
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
    names(&server.naming.state(), leases)
}

/// I7, I8: names are a function of the leases, and forward and reverse are of one snapshot.
fn names(state: &State, leases: &BTreeMap<IpAddr, Lease>) -> Result<(), Broken> {
    for last in 100..108 {
        let ip = Ipv4Addr::new(10, 77, 0, last);
        let pointers: Vec<Name> = rdata(state, &Name::reverse(ip.into()), rtype::PTR)
            .iter()
            .map(|wire| Name::from_wire(wire).expect("a name"))
            .collect();
        for name in &pointers {
            if !rdata(state, name, rtype::A).contains(&ip.octets().to_vec()) {
                broken("I8", format!("{ip} points to {name}, which has not that address"))?;
            }
        }
        let wanted = leases.get(&IpAddr::V4(ip)).and_then(|lease| lease.fqdn.as_deref());
        if wanted.is_none() && !pointers.is_empty() {
            broken("I7", format!("{ip} has no lease and points to {pointers:?}"))?;
        }
        let Some(wanted) = wanted else { continue };
        let name = Name::parse(wanted).expect("a name");
        let forward = rdata(state, &name, rtype::A);
        if !forward.contains(&ip.octets().to_vec()) || !pointers.contains(&name) {
            broken("I8", format!("{ip} is leased as {wanted}.{DOMAIN}: {forward:?}, {pointers:?}"))?;
        }
    }
    Ok(())
}

fn rdata(state: &State, name: &Name, rtype: u16) -> Vec<Vec<u8>> {
    let set = state.node(name.as_wire()).and_then(|node| node.set(rtype));
    set.into_iter().flat_map(|set| set.rdata().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect()
}

//! The laws of DHCPv6, asked at the same moments as those of DHCPv4.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use lanlord::domain::lease::{ClientKey, IaKind, Lease};

use crate::client6::{Client6, IA_NA, IA_PD, Piece, REPLY, Reply6};
use crate::laws::{self, Broken, broken};
use crate::time::wall;
use crate::world::{INTERFACE, Server, World};

/// What a run had of DHCPv6 in it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally6 {
    pub addresses: u64,
    pub prefixes: u64,
    /// Replies that took something away.
    pub over: u64,
    /// Associations that were refused.
    pub refused: u64,
}

impl Tally6 {
    pub fn count(&mut self, reply: &Reply6) {
        if reply.kind != REPLY {
            return;
        }
        let given = |code: u16| reply.given.iter().filter(|(p, valid)| p.code == code && *valid > 0).count() as u64;
        self.addresses += given(IA_NA);
        self.prefixes += given(IA_PD);
        self.over += reply.given.iter().filter(|(_, valid)| *valid == 0).count() as u64;
        self.refused += reply.refused.len() as u64;
    }

    pub fn add(&mut self, other: Tally6) {
        self.addresses += other.addresses;
        self.prefixes += other.prefixes;
        self.over += other.over;
        self.refused += other.refused;
    }
}

/// The durable lease of one piece of a client.
fn kept<'l>(leases: &'l BTreeMap<IpAddr, Lease>, client: &Client6, piece: &Piece) -> Option<&'l Lease> {
    let kind = if piece.code == IA_NA { IaKind::Address } else { IaKind::Prefix };
    let key = ClientKey::Ia { duid: client.duid.clone(), iaid: piece.iaid, kind };
    let length = (piece.code == IA_PD).then_some(piece.length);
    leases.get(&IpAddr::V6(piece.ip)).filter(|lease| lease.client == key && lease.delegated == length)
}

/// A reply is about to leave.
pub fn as_it_leaves(world: &mut World, server: &Server, client: usize, reply: &Reply6) -> Result<(), Broken> {
    let given: Vec<(Piece, u32)> = reply.given.iter().filter(|(_, valid)| *valid > 0).copied().collect();
    if reply.kind != REPLY || given.is_empty() {
        return Ok(());
    }
    laws::durable(world)?;
    for (piece, valid) in &given {
        let (leases, own) = (world.durable.leases(), &world.clients6[client]);
        let promised = wall(world.now + u64::from(*valid) * 1_000);
        match kept(leases, own, piece) {
            None => broken("I2", format!("{piece:?} is given to {:02x?} and not on the disk", own.duid))?,
            Some(lease) if lease.expires.0 + 1_000 < promised.0 => {
                broken("I2", format!("{piece:?} is promised until {promised:?} and kept until {:?}", lease.expires))?;
            }
            Some(_) => {}
        }
        let mut others = world.clients6.iter().enumerate().filter(|(number, _)| *number != client);
        if let Some((number, _)) = others.find(|(_, c)| c.uses(world.now).any(|used| used.overlaps(piece))) {
            broken("I3", format!("{piece:?} goes to #{client} while #{number} may use of it"))?;
        }
        let twice = given.iter().any(|(other, _)| other != piece && other.overlaps(piece));
        let foreign = |used: &&Piece| (used.code, used.iaid) != (piece.code, piece.iaid) && used.overlaps(piece);
        if twice || own.uses(world.now).find(foreign).is_some() {
            broken("I3", format!("{piece:?} goes to two associations of #{client}"))?;
        }
        published(server, own, piece, kept(leases, own, piece))?;
    }
    laws::names(&server.naming.state(), &world.durable)
}

/// I4 for what a reply gives: the binding of an address, the route to a prefix (DH-707).
fn published(server: &Server, client: &Client6, piece: &Piece, lease: Option<&Lease>) -> Result<(), Broken> {
    if piece.code == IA_NA {
        let binding = server.bindings.by_ip(Some(INTERFACE), piece.ip.into());
        return match binding {
            Some(binding) if lease.is_some_and(|l| (l.mac, l.expires) == (binding.mac, binding.expires)) => Ok(()),
            other => broken("I4", format!("{piece:?} of {:02x?} is bound to {other:?}", client.duid)),
        };
    }
    let table = server.routes.0.lock().expect("no holder panics");
    let route =
        table.values().find(|route| (route.prefix.network(), route.prefix.prefix_len()) == (piece.ip, piece.length));
    match route {
        Some(route) if route.via == client.source && route.interface == INTERFACE => Ok(()),
        other => broken("I4", format!("{piece:?} of {:02x?} is routed by {other:?}", client.duid)),
    }
}

/// What clients were told, and still count on, survived.
pub fn after_start(world: &World) -> Result<(), Broken> {
    for (number, client) in world.clients6.iter().enumerate() {
        for (piece, until) in client.holds.iter().filter(|(_, until)| *until > world.now) {
            let lease = kept(world.durable.leases(), client, piece);
            if lease.is_none_or(|lease| lease.expires < wall(*until)) {
                let until = wall(*until);
                broken("I2", format!("#{number} may use {piece:?} until {until:?}, the disk says {lease:?}"))?;
            }
        }
    }
    Ok(())
}

/// I3 in the journal: no two leases share an address, and so no delegations overlap (DH-706).
pub fn clear_of_others(leases: &BTreeMap<IpAddr, Lease>, lease: &Lease) -> Result<(), Broken> {
    let IpAddr::V6(ip) = lease.ip else { return Ok(()) };
    let piece = |ip: Ipv6Addr, lease: &Lease| Piece { code: 0, iaid: 0, ip, length: lease.delegated.unwrap_or(128) };
    let own = piece(ip, lease);
    for (at, other) in leases {
        if let IpAddr::V6(at) = at
            && *at != ip
            && piece(*at, other).overlaps(&own)
        {
            broken("I3", format!("{own:?} of {:?} overlaps {other:?}", lease.client))?;
        }
    }
    Ok(())
}

//! DHCPv6 in leasing: its datagrams in, its replies and routes out. The ledger, the order of one client's
//! messages, the joining of repetitions and the end of leases are those of DHCPv4.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::{Asked, Client, Core, Deferred, Leasing, Outgoing6, PrefixRoute, Ready, Received, Replies6, Routes, Who};
use crate::domain::change::Change;
use crate::domain::dhcp::book::Effect;
use crate::domain::dhcp::policy::Policy;
use crate::domain::dhcp::v6::book::{Effect6, Usage6};
use crate::domain::dhcp::v6::wire::{Kind, Packet, Reply, encode};
use crate::domain::dhcp::v6::{Arrival6, Decision6, Facts6, Outcome6, Request6, Silence, decide};
use crate::domain::lease::Lease;
use crate::domain::net::Mac;

/// A DHCPv6 datagram that had to wait.
pub(super) struct Parcel6 {
    interface: String,
    index: u32,
    source: Ipv6Addr,
    source_port: u16,
    destination: Ipv6Addr,
    multicast: bool,
    neighbour: Option<Mac>,
    bytes: Vec<u8>,
}

/// Who we are towards DHCPv6 clients, for the life of the installation.
pub(super) struct Identity {
    duid: Vec<u8>,
    secret: [u8; 32],
}

impl Identity {
    /// A DUID of the configuration goes before ours.
    pub(super) fn put_into(&self, policy: &mut Policy) {
        policy.rules6.secret = self.secret;
        if policy.rules6.server_id.is_empty() {
            policy.rules6.server_id.clone_from(&self.duid);
        }
    }
}

impl Leasing {
    /// Tells who we are: our DUID, unless the configuration has one, and the secret that addresses are chosen
    /// by. Once, before anything is served.
    pub fn identify6(&self, duid: Vec<u8>, secret: [u8; 32]) {
        let identity = self.identity6.get_or_init(|| Identity { duid, secret });
        let mut core = self.core();
        let mut policy = core.book6.policy().as_ref().clone();
        identity.put_into(&mut policy);
        let policy = Arc::new(policy);
        core.book = core.book.under(policy.clone());
        core.book6 = std::mem::take(&mut core.book6).under(policy);
    }

    /// Where the replies of DHCPv6 come out; for the first who asks.
    pub fn replies6(&self) -> Option<Replies6> {
        self.out6.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    /// Who puts routes to delegated prefixes into the kernel's table; the first one stays.
    pub fn set_routes(&self, routes: Arc<dyn Routes>) {
        if self.routes.set(routes).is_err() {
            tracing::debug!("routes to delegated prefixes have their keeper already");
        }
    }

    /// Which IPv6 addresses are this machine's own; never leased.
    pub fn set_own6(&self, own: HashSet<Ipv6Addr>) {
        self.core().book6.set_own(own);
    }

    /// Counts of every IPv6 subnet.
    pub fn usage6(&self) -> Vec<Usage6> {
        self.core().book6.usage()
    }

    /// The routes that there must be for the prefixes that are delegated now.
    pub fn prefix_routes(&self) -> Vec<PrefixRoute> {
        self.core().book6.leases().filter_map(|lease| route_of(lease)).collect()
    }

    /// Takes in one DHCPv6 datagram. `neighbour` is the hardware address that the kernel knows of its source.
    /// Never waits: replies come out of [`Replies6`], after their commit if they grant anything.
    pub fn receive6(&self, arrival: &Arrival6<'_>, neighbour: Option<Mac>, datagram: &[u8]) -> Received {
        let packet = match Packet::walk(datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.counters.malformed6(why);
                return Received::Malformed;
            }
        };
        let request = Request6::read(packet, arrival.clone(), neighbour);
        self.counters.received6(request.kind);
        let mut core = self.core();
        let policy = core.book6.policy().clone();
        let client = request.network(&policy).and_then(|network| {
            let duid = request.duid?;
            Some((core.book6.is_pending(network, duid), (core.book6.network_name(network)?, Who::V6(duid.to_vec()))))
        });
        if let Some((true, client)) = &client {
            let asked = Asked::V6(request.message.xid, request.kind);
            return core.join(client, asked, || Deferred::V6(Parcel6::of(arrival, neighbour, datagram)));
        }
        self.handle6(&mut core, &policy, &request, client.map(|(_, client)| client))
    }

    fn handle6(&self, core: &mut Core, policy: &Policy, request: &Request6<'_>, client: Option<Client>) -> Received {
        let now = self.now();
        core.book6.sweep(now.mono);
        let facts = Facts6 { book: &core.book6, shared: &core.book, names: self.names.as_ref() };
        let decision = decide(request, &facts, policy, now);
        core.journal.decided6(request, &decision, now.mono);
        let holds = || {
            let network = request.network(policy);
            let keys = request.ias.iter().filter_map(|ia| ia.client(request.duid?));
            network.is_some_and(|network| { keys }.any(|key| core.book6.leases_of(network, &key).next().is_some()))
        };
        core.trail.decided6(request, &decision, holds, now.wall);
        let Decision6 { outcome, changes, effects } = decision;
        let (reply, silence) = match outcome {
            Outcome6::Send(reply, to) => {
                let routes = changes.iter().filter_map(granted_route).collect();
                (Some(Ready::V6(reply.kind, encoded(request, &reply, to), routes)), None)
            }
            Outcome6::Silent(why) => (None, Some(why)),
        };
        for effect in effects {
            match effect {
                Effect6::Offer { network, client, items, until } => core.book6.offer(network, &client, &items, until),
                Effect6::Forget { network, client } => core.book6.forget_offers(network, &client),
                Effect6::CountDecline { client } => core.book.affect(Effect::CountDecline { client }, now.mono),
            }
        }
        if let Some(why) = silence {
            self.counters.silent(why);
            if why == Silence::OtherServer {
                self.chose_another6(request, policy);
            }
        }
        if !changes.is_empty() {
            let asked = Asked::V6(request.message.xid, request.kind);
            return self.commit(core, changes, client.map(|client| (client, asked)), reply);
        }
        match reply {
            Some(Ready::V6(kind, reply, _)) => self.answer6(kind, reply),
            _ => Received::Silent(silence.unwrap_or(Silence::Done)),
        }
    }

    /// As [`Leasing::answer`](Leasing), for DHCPv6.
    fn answer6(&self, kind: Kind, reply: Outgoing6) -> Received {
        if self.replies6.try_send(reply).is_err() {
            self.counters.overloaded();
            return Received::Overloaded;
        }
        self.counters.sent6(kind);
        Received::Answered6(kind)
    }

    pub(super) fn unpack6(&self, parcel: &Parcel6) {
        let arrival = Arrival6 {
            interface: &parcel.interface,
            index: parcel.index,
            source: parcel.source,
            source_port: parcel.source_port,
            destination: parcel.destination,
            multicast: parcel.multicast,
        };
        self.receive6(&arrival, parcel.neighbour, &parcel.bytes);
    }

    /// DH-707: between the commit and the reply. Without the right to do so the client is answered all the
    /// same, and the missing route is told.
    pub(super) async fn install_routes(&self, routes: &[PrefixRoute]) {
        let Some(keeper) = self.routes.get() else { return };
        for route in routes {
            if let Err(why) = keeper.install(route).await {
                self.counters.route_missing();
                // its keeper has told it once; here it would be once for each renewal
                tracing::debug!(via = %route.via, interface = route.interface, "{why}");
            }
        }
    }

    pub(super) async fn remove_routes(&self, routes: &[PrefixRoute]) {
        let Some(keeper) = self.routes.get() else { return };
        for route in routes {
            if let Err(why) = keeper.remove(route.prefix).await {
                tracing::warn!("{why}");
            }
        }
    }
}

impl Core {
    /// The routes of delegations that these changes end, and do not grant again.
    pub(super) fn routes_of_ended(&self, changes: &[Change]) -> Vec<PrefixRoute> {
        let again = |ip: IpAddr| changes.iter().any(|c| matches!(c, Change::LeaseGranted(lease) if lease.ip == ip));
        let ended = changes.iter().filter_map(|change| match change {
            Change::LeaseEnded { network, ip: IpAddr::V6(ip), .. } if !again(IpAddr::V6(*ip)) => {
                self.book6.lease_on(network, *ip)
            }
            _ => None,
        });
        ended.filter_map(|lease| route_of(lease)).collect()
    }
}

impl Parcel6 {
    fn of(arrival: &Arrival6<'_>, neighbour: Option<Mac>, datagram: &[u8]) -> Parcel6 {
        Parcel6 {
            interface: arrival.interface.to_owned(),
            index: arrival.index,
            source: arrival.source,
            source_port: arrival.source_port,
            destination: arrival.destination,
            multicast: arrival.multicast,
            neighbour,
            bytes: datagram.to_vec(),
        }
    }
}

fn encoded(request: &Request6<'_>, reply: &Reply<'_>, to: std::net::SocketAddrV6) -> Outgoing6 {
    let mut bytes = Vec::with_capacity(256);
    encode(reply, &request.relays, &mut bytes);
    Outgoing6 { interface: request.arrival.interface.to_owned(), to, bytes }
}

fn granted_route(change: &Change) -> Option<PrefixRoute> {
    match change {
        Change::LeaseGranted(lease) => route_of(lease),
        _ => None,
    }
}

/// The way to what a lease delegates.
fn route_of(lease: &Lease) -> Option<PrefixRoute> {
    match (lease.prefix()?, lease.relay?) {
        (IpNet::V6(prefix), IpAddr::V6(via)) => Some(PrefixRoute { prefix, via, interface: lease.interface.clone() }),
        _ => None,
    }
}

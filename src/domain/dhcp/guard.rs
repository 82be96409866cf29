//! Who is heard when too much is asked (DH-811): token buckets per client, per relay port and, while the
//! queue is long, per link. Owns who counts as known; refuses to answer, to count and to tell.
//!
//! Renewals and known clients have a share of their own: none of these buckets is theirs, but for the one
//! of each client's own DISCOVERs.
//!
//! Memory: 65,536 + 4,096 + 256 buckets of 16 octets, 1.1 MiB at most.

use super::book::Book;
use super::meters::{Meters, Rate};
use super::policy::{Place, Policy};
use super::v4::{Request, Silence};
use super::wire::{Kind, relay};
use crate::domain::time::Mono;

/// Clients, relay ports and links that have a bucket at one time.
const CLIENTS: usize = 65_536;
const PORTS: usize = 4_096;
const LINKS: usize = 256;

/// How often may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// DISCOVERs of one client.
    pub client: Rate,
    /// Newcomers at one port of a relay (option 82.1).
    pub port: Rate,
    /// Newcomers on one link while the queue is more than half full.
    pub strangers: Rate,
}

impl Default for Rates {
    /// The limits of the reliability reference, section 4.
    fn default() -> Rates {
        Rates { client: Rate::of(2), port: Rate::of(20), strangers: Rate { per_second: 2_000, burst: 2_000 } }
    }
}

/// The buckets.
#[derive(Debug, Clone)]
pub struct Guard {
    clients: Meters,
    ports: Meters,
    links: Meters,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard { clients: Meters::new(CLIENTS), ports: Meters::new(PORTS), links: Meters::new(LINKS) }
    }
}

impl Guard {
    /// Why this message is not heard. `pressed`: the queue that it came out of is more than half full.
    pub fn refuses(
        &mut self,
        request: &Request<'_>,
        place: Place,
        (book, policy): (&Book, &Policy),
        pressed: bool,
        now: Mono,
    ) -> Option<Silence> {
        let rates = &policy.rules.rates;
        let asks = matches!(request.kind, Kind::Discover | Kind::Request | Kind::Bootp | Kind::Inform);
        if request.kind == Kind::Discover || request.kind == Kind::Bootp {
            let own = match request.mac {
                Some(mac) => self.clients.take(&mac, rates.client, now),
                None => {
                    self.clients.take(&request.client_key(policy.networks[place.network].identify), rates.client, now)
                }
            };
            if !own {
                return Some(Silence::ClientRate);
            }
        }
        let info = request.believed_relay_info(policy, place.network);
        let circuit = info.and_then(|info| relay::value(info, relay::sub::CIRCUIT_ID));
        if !asks || circuit.is_none() && !pressed || !newcomer(request, place, book, policy) {
            return None;
        }
        if let Some(circuit) = circuit {
            let remote = info.and_then(|info| relay::value(info, relay::sub::REMOTE_ID));
            if !self.ports.take(&(request.packet.giaddr(), circuit, remote), rates.port, now) {
                return Some(Silence::PortRate);
            }
        }
        let link = (request.arrival.interface, request.packet.giaddr());
        (pressed && !self.links.take(&link, rates.strangers, now)).then_some(Silence::Flood)
    }
}

/// True if nothing here is about this client: no lease, now or lately, no offer that this message may take, no
/// reservation, no device.
fn newcomer(request: &Request<'_>, place: Place, book: &Book, policy: &Policy) -> bool {
    let network = place.network;
    let client = request.client_key(policy.networks[network].identify);
    let offered = request.kind == Kind::Request && book.offer_of(network, &client).is_some();
    let reserved = || book.reservations().find(policy, network, request.traits(policy, network)).is_some();
    !offered && !book.knows(network, &client, request.mac) && !reserved()
}

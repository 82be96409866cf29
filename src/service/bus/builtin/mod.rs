//! The modules that are built in: called directly, with the same answers and deadlines as external ones.
//! Their acting is the bus's own J2; what they do here is to enrich, and to vote.

mod address;
mod ballots;
mod names;

pub use address::{AddressModule, Addresses, Held, Link};
pub use names::{NameModule, ZoneRule};

use async_trait::async_trait;

use crate::domain::claws::HOST;
use crate::domain::claws::hosting;
use crate::domain::claws::orders::{self, Order};
use crate::domain::claws::transaction::Reply;
use crate::domain::claws::xml::Element;
use crate::domain::host::Host;
use crate::domain::time::{Mono, Wall};
use crate::store::Refusal;

/// Names of the built-in modules.
pub const HOSTS_MODULE: &str = "lanlord-hosts";
/// Gives addresses.
pub const ADDRESS_MODULE: &str = "lanlord-address";
/// Gives names.
pub const DNS_MODULE: &str = "lanlord-dns";

/// A built-in module that answers provisional events.
#[async_trait]
pub trait Enricher: Send + Sync {
    /// Its name on the bus.
    fn name(&self) -> &'static str;
    /// True if it has something to say to such a payload.
    fn wants(&self, payload: &Element) -> bool;
    /// Its answer. What it sets aside belongs to `holder` and lasts until `until` at most.
    async fn enrich(&self, holder: &str, payload: &Element, until: Mono) -> Reply;
    /// The transaction is decided: what was set aside for it is taken, or free again.
    fn release(&self, holder: &str);
}

/// A built-in module's vote on a host, asked in the ledger's task: it must not block.
pub trait Ballot: Send + Sync {
    /// Refuses a host that takes what somebody else has.
    fn vote(&self, host: &Host, at: Wall) -> Result<(), Refusal>;
}

/// What a final event means for our own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Nothing of ours.
    None,
    /// A host that must not exist yet.
    Add(Host),
    /// A host that must exist; replaces it.
    Modify(Host),
    /// Its names and addresses are free.
    Remove(String),
    /// About reservations, options or a lease.
    Order(Order),
}

impl Deed {
    /// Reads it from a payload that `by` submitted.
    pub fn of(payload: &Element, by: &str, addresses: &dyn Addresses) -> Result<Deed, hosting::BadHost> {
        if payload.ns != HOST {
            return orders::order(payload, by).map(|order| order.map_or(Deed::None, Deed::Order));
        }
        let network_of = |base| {
            let links = addresses.links();
            let prefixes = links.iter().flat_map(|link| link.prefixes.clone());
            prefixes.into_iter().find(|prefix| prefix.network() == base)
        };
        match payload.name.as_str() {
            "add-host" => hosting::host(payload, network_of).map(Deed::Add),
            "modify-host" => hosting::host(payload, network_of).map(Deed::Modify),
            "remove-host" => hosting::removed(payload).map(Deed::Remove).ok_or(hosting::BadHost::Nameless),
            _ => Ok(Deed::None),
        }
    }
}

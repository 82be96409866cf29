//! Orders of the bus about reservations, options and leases: what each changes, judged against what is in
//! force. Asked before the proposal, so that a refusal has its reason, and again in the ledger's order.

use super::{Core, Leasing, ObjectError, PrefixRoute, Tickets};
use crate::domain::change::Change;
use crate::domain::claws::orders::{self, Order, Which};
use crate::domain::host::CustomOption;
use crate::domain::lease::{End, Lease, Origin, Reservation};
use crate::store::Refusal;

/// Changes of an order that are on their way: nobody else touches what they touch.
pub struct Underway {
    tickets: Tickets,
    routes_gone: Vec<PrefixRoute>,
}

fn refuse<T>(code: &str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code: code.to_owned(), message: message.into() })
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Refusal {
        let code = match &error {
            ObjectError::Conflict(_) => "conflict",
            ObjectError::Missing(_) => "unknown-object",
            ObjectError::Foreign(_) => "foreign",
            ObjectError::Invalid(_) => "invalid",
            ObjectError::Busy => "busy",
            ObjectError::Commit(_) => "journal-unavailable",
        };
        Refusal { code: code.to_owned(), message: error.to_string() }
    }
}

impl Leasing {
    /// What an order changes now. `first`: it is asked before anything is on its way.
    pub fn plan(&self, order: &Order, first: bool) -> Result<Vec<Change>, Refusal> {
        match order {
            Order::Reserve(wanted) => self.planned(wanted, true),
            Order::Unreserve(which) => {
                let found = self.core().meant(which)?;
                Ok(vec![Change::ReservationRemoved { id: own(found.as_deref())?.id.clone() }])
            }
            Order::Set(which, options) => self.planned(&self.with(which, options)?, false),
            Order::Unset(which, codes) => {
                let found = self.core().meant(which)?;
                let mut changed = own(found.as_deref())?.clone();
                for (family, number) in codes {
                    if !orders::take(&mut changed, *family, *number) {
                        return refuse("unknown-option", format!("option {number} is not set there"));
                    }
                }
                self.planned(&changed, false)
            }
            Order::Release { network, ip } => {
                let core = self.core();
                let lease = core.leased(network.as_deref(), *ip)?;
                if first && core.is_busy(&lease) {
                    return refuse("busy", "a change of this lease is being committed; try again");
                }
                let network = lease.network.clone();
                Ok(vec![Change::LeaseEnded { network, ip: *ip, end: End::Revoked }])
            }
        }
    }

    fn planned(&self, wanted: &Reservation, new: bool) -> Result<Vec<Change>, Refusal> {
        if new && self.reservations().iter().any(|known| known.id == wanted.id) {
            return refuse("conflict", format!("there is a reservation {} already; remove it first", wanted.id));
        }
        self.judge(wanted)?;
        Ok(vec![Change::ReservationPut(Box::new(wanted.clone()))])
    }

    /// The reservation that is meant with these options; a client without one gets one that only sets them.
    fn with(&self, which: &Which, options: &[CustomOption]) -> Result<Reservation, Refusal> {
        let found = self.core().meant(which)?;
        let mut wanted = match (&found, which.keys.first()) {
            (None, Some(key)) if which.id.is_none() && which.ip.is_none() => {
                let id = which.network.as_ref().map_or_else(|| key.id(), |network| format!("{}@{network}", key.id()));
                let new = Reservation::new(id, Origin::User(which.by.clone()));
                Reservation { network: which.network.clone(), keys: which.keys.clone(), ..new }
            }
            _ => own(found.as_deref())?.clone(),
        };
        orders::put(&mut wanted, options);
        Ok(wanted)
    }

    /// Marks what the changes of an order touch, until [`settled`](Leasing::settled).
    pub fn underway(&self, changes: &[Change]) -> Underway {
        let mut core = self.core();
        Underway { tickets: core.begin(changes), routes_gone: core.routes_of_ended(changes) }
    }

    /// The changes of an order are durable, or will never be.
    pub async fn settled(&self, underway: Underway, committed: bool) {
        self.core().settle(underway.tickets);
        if committed {
            self.remove_routes(&underway.routes_gone).await;
        }
    }
}

/// A reservation that may be changed here: those of the configuration and of hosts are changed there (I9).
fn own(found: Option<&Reservation>) -> Result<&Reservation, Refusal> {
    let Some(found) = found else { return refuse("unknown-reservation", "there is no such reservation") };
    match &found.origin {
        Origin::User(_) => Ok(found),
        Origin::Config(_) | Origin::Host(_) => Err(ObjectError::Foreign(found.id.clone()).into()),
    }
}

impl Core {
    /// The one reservation that is meant.
    fn meant(&self, which: &Which) -> Result<Option<std::sync::Arc<Reservation>>, Refusal> {
        let mut found = self.book.reservations().iter().filter(|reservation| which.fits(reservation));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => refuse("ambiguous", "several reservations fit; add dhcp:id or lan:vlan"),
            (found, _) => Ok(found.cloned()),
        }
    }

    /// The one lease of an address.
    fn leased(&self, network: Option<&str>, ip: std::net::IpAddr) -> Result<Lease, Refusal> {
        let names: Vec<&str> = match network {
            Some(network) => vec![network],
            None => self.book.policy().networks.iter().map(|network| network.name.as_str()).collect(),
        };
        let mut found = names.into_iter().filter_map(|name| self.lease(name, ip));
        match (found.next(), found.next()) {
            (Some(lease), None) => Ok((*lease).clone()),
            (None, _) => refuse("unknown-lease", format!("{ip} is not leased")),
            (Some(_), Some(_)) => refuse("ambiguous", format!("{ip} is leased on several networks; add lan:vlan")),
        }
    }
}

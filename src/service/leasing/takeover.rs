//! Reservations and leases of another server, in one transaction (DH-642). What is here already stays as it
//! is, what somebody else has is refused by name, the rest becomes durable together.

use std::sync::Arc;

use super::Leasing;
use super::objects::ObjectError;
use crate::domain::change::Change;
use crate::domain::dhcp::carry::{Carried, Held, Taken};
use crate::domain::lease::Reservation;
use crate::store::{CommitError, Committed, Outcome, Proposal, Refusal, Vote};

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// It is here already.
    Same,
    Refused(String),
}

/// What became of all of them, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    pub reservations: Vec<Verdict>,
    pub leases: Vec<Verdict>,
    /// `None` if nothing was new.
    pub committed: Option<Committed>,
}

impl Leasing {
    /// Takes over what is given; running it twice changes nothing.
    pub async fn take_over(
        self: &Arc<Self>,
        reservations: Vec<Reservation>,
        leases: Vec<Carried>,
    ) -> Result<TakenOver, ObjectError> {
        let ledger = self.ledger.get().ok_or(CommitError::Stopping)?;
        let mut changes = Vec::new();
        let (first, ticket) = {
            let reserved = reservations.iter().map(|wanted| self.reserve(wanted, &mut changes)).collect();
            let mut core = self.core();
            let mut held = Held::under(core.book.policy());
            core.book.leases().for_each(|lease| held.put(lease));
            let now = self.clock.wall();
            let quarantine = core.book.policy().rules.quarantine;
            let judged = leases.iter().map(|carried| match held.take(carried, now, quarantine) {
                Taken::New(change) if pending(&core.book, &change) => {
                    Verdict::Refused("a change of this address is being committed; try again".to_owned())
                }
                Taken::New(change) => {
                    changes.push(*change);
                    Verdict::New
                }
                Taken::Same => Verdict::Same,
                Taken::Refused(why) => Verdict::Refused(why),
            });
            let taken = TakenOver { reservations: reserved, leases: judged.collect(), committed: None };
            (taken, core.book.begin(&changes))
        };
        if changes.is_empty() {
            self.core().book.settle(ticket);
            return Ok(first);
        }
        let leasing = self.clone();
        let lost = |error: ObjectError| Refusal { code: "conflict".to_owned(), message: error.to_string() };
        let wanted: Vec<Reservation> = changes.iter().filter_map(reservation).cloned().collect();
        let vote: Vote = Box::new(move |_| wanted.iter().try_for_each(|one| leasing.judge(one)).map_err(lost));
        let (leasing, ledger) = (self.clone(), ledger.clone());
        // a task of its own: the marks must be taken off even if the asker goes away
        let taking = tokio::spawn(async move {
            let done = ledger.propose(Proposal { changes, vote: Some(vote), otherwise: Vec::new() }).await;
            leasing.core().book.settle(ticket);
            done
        });
        match taking.await.map_err(|_| ObjectError::Busy)?? {
            Outcome::Committed(committed) => Ok(TakenOver { committed: Some(committed), ..first }),
            Outcome::Refused { .. } => Err(ObjectError::Busy),
        }
    }

    /// Judges a reservation against those in force and those of this import that came before it.
    fn reserve(&self, wanted: &Reservation, changes: &mut Vec<Change>) -> Verdict {
        let here = self.core().book.reservations().iter().find(|r| r.id == wanted.id).cloned();
        if here.is_some_and(|here| Reservation { origin: wanted.origin.clone(), ..(*here).clone() } == *wanted) {
            return Verdict::Same;
        }
        if let Err(error) = self.judge(wanted) {
            return Verdict::Refused(error.to_string());
        }
        let before = changes.iter().filter_map(reservation).find_map(|other| self.rival(other, wanted));
        if let Some(thing) = before {
            return Verdict::Refused(format!("{thing} is reserved twice"));
        }
        changes.push(Change::ReservationPut(Box::new(wanted.clone())));
        Verdict::New
    }
}

fn reservation(change: &Change) -> Option<&Reservation> {
    match change {
        Change::ReservationPut(reservation) => Some(reservation),
        _ => None,
    }
}

/// True if the address or the client of a change is in flight.
fn pending(book: &crate::domain::dhcp::book::Book, change: &Change) -> bool {
    let Change::LeaseGranted(lease) = change else { return false };
    let (Some(network), std::net::IpAddr::V4(ip)) = (book.policy().by_name(&lease.network), lease.ip) else {
        return false;
    };
    book.is_address_pending(network, ip) || book.is_pending(network, &lease.client)
}

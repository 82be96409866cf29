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
pub enum Fate {
    New,
    /// It is here already.
    Same,
    Refused(String),
}

/// What became of all of them, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    pub reservations: Vec<Fate>,
    pub leases: Vec<Fate>,
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
            core.book.leases().for_each(|kept| held.put(&kept.lease()));
            core.book6.leases().for_each(|lease| held.put(lease));
            core.book.reservations().iter().for_each(|reservation| held.reserve(reservation));
            reservations.iter().for_each(|reservation| held.reserve(reservation));
            let now = self.clock.wall();
            let quarantine = core.book.policy().rules.quarantine;
            let judged = leases.iter().map(|carried| match held.take(carried, now, quarantine) {
                Taken::New(change) if pending(&core, &change) => {
                    Fate::Refused("a change of this address is being committed; try again".to_owned())
                }
                Taken::New(change) => {
                    changes.push(*change);
                    Fate::New
                }
                Taken::Same => Fate::Same,
                Taken::Refused(why) => Fate::Refused(why),
            });
            let taken = TakenOver { reservations: reserved, leases: judged.collect(), committed: None };
            (taken, core.begin(&changes))
        };
        if changes.is_empty() {
            self.core().settle(ticket);
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
            leasing.core().settle(ticket);
            done
        });
        match taking.await.map_err(|_| ObjectError::Busy)?? {
            Outcome::Committed(committed) => Ok(TakenOver { committed: Some(committed), ..first }),
            Outcome::Refused { .. } => Err(ObjectError::Busy),
        }
    }

    /// Judges a reservation against those in force and those of this import that came before it.
    fn reserve(&self, wanted: &Reservation, changes: &mut Vec<Change>) -> Fate {
        let here = self.core().book.reservations().iter().find(|r| r.id == wanted.id).cloned();
        if here.is_some_and(|here| Reservation { origin: wanted.origin.clone(), ..(*here).clone() } == *wanted) {
            return Fate::Same;
        }
        if let Err(error) = self.judge(wanted) {
            return Fate::Refused(error.to_string());
        }
        let before = changes.iter().filter_map(reservation).find_map(|other| self.rival(other, wanted));
        if let Some(thing) = before {
            return Fate::Refused(format!("{thing} is reserved twice"));
        }
        changes.push(Change::ReservationPut(Box::new(wanted.clone())));
        Fate::New
    }
}

fn reservation(change: &Change) -> Option<&Reservation> {
    match change {
        Change::ReservationPut(reservation) => Some(reservation),
        _ => None,
    }
}

/// True if the address or the client of a change is in flight.
fn pending(core: &super::Core, change: &Change) -> bool {
    matches!(change, Change::LeaseGranted(lease) if core.is_busy(lease))
}

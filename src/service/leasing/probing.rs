//! Conflict detection (DH-505, DH-506), off the hot path: whoever would be offered an address that nobody
//! has looked at lately waits for a probe, and nobody else does. Owns what is waited for and what follows
//! from an answer; how a link is asked is the shell's matter ([`Probe`]).
//!
//! The next addresses of a subnet are probed ahead, so that of many newcomers only the first waits. An
//! address that is seen in use ahead of time is passed over for a minute; it is quarantined only when a
//! client would have been given it. A lease is never touched.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Core, Leasing, Parcel, Received};
use crate::domain::change::Change;
use crate::domain::dhcp::book::Ticket;
use crate::domain::dhcp::policy::Place;
use crate::domain::dhcp::sightings::{Seen, Sightings};
use crate::domain::dhcp::v4::{Request, STOCK, Silence};
use crate::domain::net::Mac;
use crate::domain::time::Now;

/// Questions that may wait for the task.
pub(super) const QUESTIONS: usize = 1024;
/// Probes under way at once.
const AT_ONCE: usize = 256;
/// Datagrams that wait for a probe; beyond it addresses are offered unseen.
const LOOKING: usize = 1024;
/// Addresses that one client makes us look at (reliability reference, section 4).
const TRIES: u8 = 3;

/// Whether somebody uses an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub network: Arc<str>,
    pub ip: Ipv4Addr,
    /// The interface whose link is asked by ARP; `None` for a subnet behind a relay, asked by ICMP echo.
    pub interface: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// No answer within the time that such an answer takes.
    Nobody,
    /// An answer; by whom, if it told.
    Somebody(Option<Mac>),
    /// The link could not be asked: the address counts as free, as it would without probing.
    Unable,
}

/// Asks a link, within a bounded time. Never called under a lock.
#[async_trait]
pub trait Probe: Send + Sync {
    async fn probe(&self, question: &Question) -> Sighting;
}

/// What the lock guards of it.
#[derive(Default)]
pub(super) struct Probing {
    /// Set once somebody can ask the links.
    on: bool,
    sightings: Sightings,
    looking: HashMap<(Arc<str>, Ipv4Addr), Parcel>,
}

/// What follows from an answer.
enum Next {
    Nothing,
    /// The client's datagram is decided again.
    Again(Parcel),
    /// The address is kept out of use first.
    Quarantine(Vec<Change>, Ticket, Parcel),
}

impl Probing {
    /// What a decision about this request may know; `None` where nobody is made to wait.
    pub fn for_request(&mut self, wanted: bool, discover: bool, now: Now) -> bool {
        let on = self.on && wanted && discover;
        on && self.sightings.calm(now.mono) && self.looking.len() < LOOKING
    }

    pub fn sightings(&self) -> &Sightings {
        &self.sightings
    }
}

impl Leasing {
    /// Lets newcomers' addresses be looked at from now on, by this prober; once. Ends with `cancel`.
    pub fn probe_with(self: &Arc<Self>, probe: Arc<dyn Probe>, cancel: CancellationToken) -> Option<JoinHandle<()>> {
        let asked = self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()?;
        self.core().probing.on = true;
        Some(tokio::spawn(self.clone().look(asked, probe, cancel)))
    }

    async fn look(
        self: Arc<Self>,
        mut asked: mpsc::Receiver<Question>,
        probe: Arc<dyn Probe>,
        cancel: CancellationToken,
    ) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                question = asked.recv(), if under_way.len() < AT_ONCE => {
                    let Some(question) = question else { return };
                    let (leasing, probe) = (self.clone(), probe.clone());
                    under_way.spawn(async move {
                        let sighting = probe.probe(&question).await;
                        leasing.sighted(&question, sighting).await;
                    });
                }
                _ = under_way.join_next(), if !under_way.is_empty() => {}
            }
        }
    }

    /// The address that this client would get must be looked at: its datagram waits, replacing an older one.
    pub(super) fn set_waiting(&self, core: &mut Core, network: usize, ip: Ipv4Addr, parcel: Parcel) -> Received {
        let now = self.now();
        let Some(name) = core.book.network_name(network) else { return Received::Silent(Silence::NoSubnet) };
        let question = parcel.question(name.clone(), ip);
        core.probing.looking.insert((name.clone(), ip), parcel);
        let seen = core.probing.sightings.of(&name, ip, now.mono);
        // a station that was seen ahead of time is asked again: it may be gone, or be the client itself
        if seen != Some(Seen::Asked) && self.questions.try_send(question).is_ok() {
            core.probing.sightings.note(&name, ip, Seen::Asked, now.mono);
        } else if seen != Some(Seen::Asked) {
            core.probing.looking.remove(&(name, ip));
            self.counters.overloaded();
            return Received::Overloaded;
        }
        Received::Deferred
    }

    /// DH-505: the next addresses are looked at before anybody waits for them.
    pub(super) fn stock(&self, core: &mut Core, place: Place, request: &Request<'_>) {
        let now = self.now().mono;
        let Some(name) = core.book.network_name(place.network) else { return };
        for ip in core.book.ahead(place, STOCK) {
            if core.probing.sightings.of(&name, ip, now).is_some() {
                continue;
            }
            let interface = (!request.relayed()).then(|| request.arrival.interface.to_owned());
            if self.questions.try_send(Question { network: name.clone(), ip, interface }).is_err() {
                return;
            }
            core.probing.sightings.note(&name, ip, Seen::Asked, now);
        }
    }

    /// An answer, or none: who waits for it goes on.
    async fn sighted(&self, question: &Question, sighting: Sighting) {
        self.counters.probed(sighting);
        match self.follows(question, sighting) {
            Next::Nothing => {}
            Next::Again(parcel) => self.unpack(&parcel),
            Next::Quarantine(changes, ticket, mut parcel) => {
                let Some(ledger) = self.ledger.get() else { return };
                let result = ledger.propose(changes.into()).await;
                self.core().book.settle(ticket);
                parcel.tries += 1;
                match result {
                    Ok(_) if parcel.tries < TRIES => self.unpack(&parcel),
                    Ok(_) => self.counters.silent(Silence::Conflicts),
                    Err(why) => {
                        tracing::warn!(%why, ip = %question.ip, "an address in conflict could not be set aside")
                    }
                }
            }
        }
    }

    fn follows(&self, question: &Question, sighting: Sighting) -> Next {
        let (now, ip) = (self.now(), question.ip);
        let mut core = self.core();
        let core = &mut *core;
        let seen = match sighting {
            Sighting::Somebody(mac) => Seen::Somebody(mac),
            Sighting::Nobody | Sighting::Unable => Seen::Nobody,
        };
        core.probing.sightings.note(&question.network, ip, seen, now.mono);
        let Some(parcel) = core.probing.looking.remove(&(question.network.clone(), ip)) else { return Next::Nothing };
        let Sighting::Somebody(mac) = sighting else { return Next::Again(parcel) };
        if mac.is_some() && mac == parcel.mac {
            return Next::Again(parcel);
        }
        tracing::warn!(%ip, mac = ?mac, network = %question.network, "an address that was to be leased is in use");
        let until = now.wall.plus(core.book.policy().rules.quarantine);
        let network = question.network.to_string();
        let changes = vec![Change::Quarantined { network, ip: IpAddr::V4(ip), until, mac }];
        let ticket = core.book.begin(&changes);
        Next::Quarantine(changes, ticket, parcel)
    }
}

impl Parcel {
    fn question(&self, network: Arc<str>, ip: Ipv4Addr) -> Question {
        let interface = (!self.relayed).then(|| self.interface.clone());
        Question { network, ip, interface }
    }
}

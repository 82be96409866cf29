//! The tasks of leasing: one that releases replies when their commit is through, one that ends what is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::intake::Attempt;
use super::steps::Steps;
use super::{Deferred, Leasing, Parcel, Ready, Step, Verdict, Waiting, Who};
use crate::domain::dhcp::v4::Arrival;
use crate::domain::dhcp::v6::request::mac_of_duid;
use crate::domain::lease::{ClientKey, IaKind};
use crate::domain::time::Wall;
use crate::store::{CommitError, Ledger, Outcome};

/// Leases that end in one commit (DH-509).
const EXPIRY_BATCH: usize = 1000;
/// How often time is looked at.
pub(super) const TICK: Duration = Duration::from_millis(500);

impl Leasing {
    /// Gives the service its ledger and starts its tasks; once. They end after `cancel`, when what is in
    /// flight has been answered.
    pub fn start(self: &Arc<Self>, ledger: Ledger, cancel: CancellationToken) -> Vec<JoinHandle<()>> {
        let queue = self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let Some(queue) = queue else { return Vec::new() };
        if self.ledger.set(ledger.clone()).is_err() {
            return Vec::new();
        }
        {
            let mut core = self.core();
            let usages = core.book.usage();
            core.notices.begin(&usages);
            core.book.go_live();
            core.book6.go_live();
        }
        let releaser = tokio::spawn(self.clone().release(queue, cancel.clone()));
        let expirer = tokio::spawn(self.clone().expire(ledger, cancel));
        vec![releaser, expirer]
    }

    pub(super) async fn release(self: Arc<Self>, mut queue: mpsc::Receiver<Waiting>, cancel: CancellationToken) {
        loop {
            let waiting = tokio::select! {
                biased;
                waiting = queue.recv() => waiting,
                () = cancel.cancelled() => queue.try_recv().ok(),
            };
            let Some(waiting) = waiting else { return };
            self.finish(waiting).await;
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The commit is through, one way or the other: what it kept waiting goes on.
    async fn finish(&self, waiting: Waiting) {
        let Waiting { committed, tickets, client, reply, routes_gone, since } = waiting;
        let result = committed.await.unwrap_or(Err(CommitError::Stopping));
        let took = self.clock.micros().saturating_sub(since);
        self.counters.commit.observe(took);
        let next = {
            let mut core = self.core();
            core.settle(tickets);
            if let (Err(why), Some((_, who)), Some(reply)) = (&result, &client, &reply) {
                let (message, interface) = match reply {
                    Ready::V4(kind, reply) => (kind.name(), &reply.interface),
                    Ready::V6(kind, reply, _) => (kind.name(), &reply.interface),
                };
                let interface = core.trail.interface(interface);
                core.trail.put(lost(who, message, interface, why, self.clock.wall()), true);
            }
            client.and_then(|client| core.in_flight.remove(&client)).and_then(|in_flight| in_flight.next)
        };
        if matches!(result, Ok(Outcome::Committed(_))) {
            self.remove_routes(&routes_gone).await;
        }
        match (result, reply) {
            // the bindings hold the lease by now (I4)
            (Ok(Outcome::Committed(_)), Some(Ready::V4(kind, reply))) => {
                if self.replies.send(reply).await.is_ok() {
                    self.counters.sent(kind);
                    self.counters.request.observe(self.clock.micros().saturating_sub(since));
                }
            }
            (Ok(Outcome::Committed(_)), Some(Ready::V6(kind, reply, routes))) => {
                self.install_routes(&routes).await;
                if self.replies6.send(reply).await.is_ok() {
                    self.counters.sent6(kind);
                }
            }
            (Ok(_), _) => {}
            (Err(why), _) => {
                self.counters.commit_failed();
                tracing::debug!(%why, "a lease could not be committed; its client gets no answer");
            }
        }
        match next {
            Some(Deferred::V4(parcel)) => self.unpack(&parcel),
            Some(Deferred::V6(parcel)) => self.unpack6(&parcel),
            None => {}
        }
    }

    pub(super) fn unpack(&self, parcel: &Parcel) {
        let arrival = Arrival {
            interface: &parcel.interface,
            local: parcel.local,
            source: parcel.source,
            source_port: parcel.source_port,
            destination: parcel.destination,
        };
        self.take_in(&arrival, &parcel.bytes, Attempt { again: true, tries: parcel.tries, ..Attempt::default() });
    }

    async fn expire(self: Arc<Self>, ledger: Ledger, cancel: CancellationToken) {
        let mut steps = Steps::default();
        loop {
            self.follow_clock(&mut steps, &ledger, &cancel).await;
            while self.end_what_is_over(&ledger).await == EXPIRY_BATCH && !cancel.is_cancelled() {}
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            self.tell_pools();
        }
    }

    /// Ends leases whose time is over, one batch; their names leave in the same commit. Returns how many.
    pub(super) async fn end_what_is_over(&self, ledger: &Ledger) -> usize {
        let now = self.now();
        // DH-508: a clock that cannot be right ends nothing, as long as somebody may still set it
        let held = self.clock.doubt().is_some_and(|doubt| doubt.young);
        let (changes, tickets, routes_gone) = {
            let mut core = self.core();
            core.book.sweep(now.mono);
            core.book.sweep_holds(now.mono);
            core.book6.sweep(now.mono);
            core.book6.sweep_holds(now.mono);
            if held {
                return 0;
            }
            core.book.sweep_quarantines(now.wall);
            core.book.forget_long_past(now.wall);
            core.book6.sweep_quarantines(now.wall);
            core.book6.forget_long_past(now.wall);
            let mut changes = core.book.expired(now.mono, EXPIRY_BATCH);
            changes.extend(core.book6.expired(now.mono, EXPIRY_BATCH - changes.len()));
            let routes_gone = core.routes_of_ended(&changes);
            let tickets = core.begin(&changes);
            (changes, tickets, routes_gone)
        };
        let count = changes.len();
        if count == 0 {
            return 0;
        }
        let result = ledger.propose(changes.into()).await;
        self.core().settle(tickets);
        match result {
            Ok(_) => {
                self.remove_routes(&routes_gone).await;
                self.counters.expired(count);
                count
            }
            Err(why) => {
                tracing::warn!(%why, count, "leases that are over could not be ended; trying again");
                0
            }
        }
    }
}

/// The step of an answer that did not leave, because what it says could not be made durable.
fn lost(who: &Who, message: &'static str, interface: Arc<str>, why: &CommitError, at: Wall) -> Step {
    let (mac, client) = match who {
        Who::V4(client) => (client.mac(), client.mac().is_none().then(|| client.clone())),
        Who::V6(duid) => {
            (mac_of_duid(duid), Some(ClientKey::Ia { duid: duid.clone(), iaid: 0, kind: IaKind::Address }))
        }
    };
    Step {
        number: 0,
        at,
        mac,
        client: client.map(Box::new),
        interface,
        relay: None,
        message,
        xid: 0,
        asked: None,
        others: Box::default(),
        verdict: Verdict::Silent {
            reason: "commit-failed",
            why: format!("it could not be written down, so it was not sent ({why}); the client asks again").into(),
        },
    }
}

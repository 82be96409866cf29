//! What happened, for people and programs: each entry of the ledger as one line with its place in the
//! order. Owns replay and live tail in one sequence without gaps; refuses to show a secret.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;

use crate::domain::change::{Change, Stranger, TxKey};
use crate::domain::hex;
use crate::domain::lease::{Cause, End, Lease, ReservationKey};
use crate::domain::time::Wall;
pub use crate::store::history::{Asked, Assignment};
use crate::store::{Entry, History, Ledger};

/// Events in one answer.
pub const PAGE: usize = 1_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Number of its entry in the journal.
    pub seq: u64,
    pub at: Wall,
    /// e.g. `lease-granted`.
    pub kind: &'static str,
    /// e.g. `lease/10.77.0.100`.
    pub object: String,
    /// Who did it, if somebody did.
    pub source: Option<String>,
    /// The transaction of the bus that it belongs to.
    pub txid: Option<String>,
    /// A sentence.
    pub text: String,
}

/// Why events could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// Older than what is kept: start anew at `oldest`.
    #[error("events before {oldest} are not kept any more")]
    Gone { oldest: u64 },
    #[error("{after} is above the newest event, {head}")]
    Ahead { after: u64, head: u64 },
    #[error("the history cannot be read")]
    History,
    #[error("the daemon is stopping")]
    Stopping,
}

/// The service.
pub struct Events {
    history: Arc<dyn History>,
    ledger: OnceLock<Ledger>,
}

impl Events {
    pub fn new(history: Arc<dyn History>) -> Arc<Events> {
        Arc::new(Events { history, ledger: OnceLock::new() })
    }

    /// Where events come from from now on.
    pub fn attach(&self, ledger: Ledger) {
        let _ = self.ledger.set(ledger);
    }

    /// Number of the newest entry.
    pub fn head(&self) -> u64 {
        self.ledger.get().map_or(0, Ledger::head)
    }

    /// Random per database and per restore.
    pub fn epoch(&self) -> String {
        self.ledger.get().map_or_else(String::new, |ledger| ledger.epoch().to_owned())
    }

    /// Who held which address, newest first.
    pub async fn assignments(&self, asked: &Asked, limit: usize) -> Result<Vec<Assignment>, EventsError> {
        self.history.assignments(asked, limit).await.map_err(|error| {
            tracing::error!(%error, "the history of addresses could not be read");
            EventsError::History
        })
    }

    /// Events above `after`, in order; at most [`PAGE`].
    pub async fn after(&self, after: u64, limit: usize) -> Result<Vec<Event>, EventsError> {
        let entries = self.history.events(after, limit.min(PAGE)).await.map_err(|error| {
            tracing::error!(%error, "events could not be read");
            EventsError::History
        })?;
        Ok(entries.iter().map(event).collect())
    }

    /// The newest events, the newest last. Looks back far enough to find `limit` of them, within reason:
    /// extensions of leases are not kept.
    pub async fn newest(&self, limit: usize) -> Result<Vec<Event>, EventsError> {
        let head = self.head();
        let mut window = limit.min(PAGE) as u64;
        loop {
            let mut found = VecDeque::new();
            let mut after = head.saturating_sub(window);
            loop {
                let page = self.after(after, PAGE).await?;
                let full = page.len() == PAGE;
                after = page.last().map_or(after, |event| event.seq);
                found.extend(page);
                while found.len() > limit {
                    found.pop_front();
                }
                if !full {
                    break;
                }
            }
            if found.len() >= limit || window >= head || window >= 1 << 16 {
                return Ok(found.into());
            }
            window *= 8;
        }
    }

    /// Everything above `after`, then what comes. Refuses a place that is not kept any more, or that does
    /// not exist yet (another epoch).
    pub async fn follow(self: &Arc<Events>, after: Option<u64>) -> Result<Follower, EventsError> {
        let ledger = self.ledger.get().ok_or(EventsError::Stopping)?;
        let live = ledger.subscribe();
        let head = ledger.head();
        let after = after.unwrap_or(head);
        if after > head {
            return Err(EventsError::Ahead { after, head });
        }
        let oldest = self.history.oldest_event().await.map_err(|_| EventsError::History)?;
        match oldest {
            Some(oldest) if after != 0 && after < oldest.saturating_sub(1) => Err(EventsError::Gone { oldest }),
            _ => Ok(Follower { events: self.clone(), live, at: after, behind: after < head, waiting: VecDeque::new() }),
        }
    }
}

/// A place in the sequence of events that moves forward.
pub struct Follower {
    events: Arc<Events>,
    live: broadcast::Receiver<Arc<[Entry]>>,
    at: u64,
    /// What is missing must be read from the history first.
    behind: bool,
    waiting: VecDeque<Event>,
}

impl Follower {
    /// The next event; waits for it. `None` when the daemon stops or the history is unreadable.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.at = event.seq;
                return Some(event);
            }
            if self.behind {
                let page = self.events.after(self.at, PAGE).await.ok()?;
                self.behind = page.len() == PAGE;
                self.waiting.extend(page);
                continue;
            }
            match self.live.recv().await {
                Ok(batch) => {
                    let new = batch.iter().filter(|entry| entry.seq > self.at).map(event);
                    self.waiting.extend(new);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn event(entry: &Entry) -> Event {
    let (kind, object, text) = describe(&entry.change);
    let (source, txid) = author(&entry.change);
    Event { seq: entry.seq, at: entry.at, kind, object, source, txid, text }
}

/// Who did it, and in which transaction.
fn author(change: &Change) -> (Option<String>, Option<String>) {
    let key = match change {
        Change::TxAccepted(tx) => &tx.key,
        Change::TxFinal(tx) => &tx.key,
        Change::TxReopened { key, .. } | Change::TxCancelled { key, .. } | Change::TxEnded { key, .. } => key,
        Change::Audit { who, .. } => return (Some(who.clone()), None),
        _ => return (None, None),
    };
    (Some(key.source.clone()), Some(key.txid.clone()))
}

/// Kind, object and sentence of a change.
fn describe(change: &Change) -> (&'static str, String, String) {
    match change {
        Change::LeaseGranted(lease) => granted(lease),
        Change::LeaseEnded { network, ip, end } => {
            let (kind, how) = match end {
                End::Released => ("lease-released", "was released"),
                End::Expired => ("lease-expired", "expired"),
                End::Declined { .. } => ("lease-declined", "was declined: another station uses it"),
                End::Revoked => ("lease-revoked", "was revoked"),
            };
            (kind, format!("lease/{ip}"), format!("the lease of {ip} on {network} {how}"))
        }
        Change::Quarantined { network, ip, until: Wall::LONG_AGO, .. } => {
            ("quarantine-lifted", format!("lease/{ip}"), format!("{ip} on {network} may be given out again"))
        }
        Change::Quarantined { network, ip, until, mac } => {
            let who = mac.map(|mac| format!("is used by {mac} without a lease and ")).unwrap_or_default();
            let text = format!("{ip} on {network} {who}is kept out of use until {}", until.rfc3339());
            ("address-conflict", format!("lease/{ip}"), text)
        }
        Change::ReservationPut(r) => {
            let what = r.ip.map_or_else(|| "options".to_owned(), |ip| ip.to_string());
            let keys: Vec<String> = r.keys.iter().map(selector).collect();
            ("reservation-put", format!("reservation/{}", r.id), format!("{what} is reserved for {}", keys.join(", ")))
        }
        Change::ReservationRemoved { id } => removed("reservation-removed", "reservation", id),
        Change::HostPut(host) => {
            let name = host.fqdn.as_deref().unwrap_or(&host.hostname);
            ("host-put", format!("host/{}", host.id), format!("the host {name} is known"))
        }
        Change::HostRemoved { id } => removed("host-removed", "host", id),
        Change::RecordPut(r) => {
            ("record-put", format!("record/{}", r.id), format!("{} {} {}", r.name, r.rtype, r.data))
        }
        Change::RecordRemoved { id } => removed("record-removed", "record", id),
        Change::DevicePut(device) => {
            let parts = [&device.vendor, &device.model, &device.version].into_iter().flatten();
            let what = parts.map(String::as_str).collect::<Vec<_>>().join(" ");
            let mac = device.mac.map_or_else(|| "no MAC yet".to_owned(), |mac| mac.to_string());
            ("device-put", format!("device/{}", device.id), format!("{what} ({mac})").trim().to_owned())
        }
        Change::DeviceRemoved { id } => removed("device-removed", "device", id),
        Change::ConfigPut(c) => ("config-put", format!("config/{}", c.id), format!("the config {} changed", c.id)),
        Change::ConfigRemoved { id } => removed("config-removed", "config", id),
        Change::Seen { what, object, detail } => (what.name(), object.clone(), detail.clone()),
        Change::PoolLow { network, subnet, percent, free, size } => {
            let text = format!("{percent} % of the pool of {subnet} on {network} are used; {free} of {size} are free");
            ("pool-low", format!("subnet/{subnet}"), text)
        }
        Change::UnknownClient(stranger) => unknown(stranger),
        Change::Audit { who, action, object, detail } => {
            ("audit", object.clone(), format!("{who}: {action} {detail}").trim_end().to_owned())
        }
        Change::TokenPut(t) => ("token-put", format!("token/{}", t.id), format!("a token for {} was made", t.name)),
        Change::TokenRemoved { id } => removed("token-removed", "token", id),
        bus => transaction(bus),
    }
}

fn selector(key: &ReservationKey) -> String {
    match key {
        ReservationKey::Mac(mac) => mac.to_string(),
        ReservationKey::ClientId(id) => format!("client {}", id.escape_ascii()),
        ReservationKey::CircuitId(id) => format!("circuit {}", id.escape_ascii()),
        ReservationKey::RemoteId(id) => format!("remote id {}", id.escape_ascii()),
        ReservationKey::Duid { duid, .. } => format!("DUID {}", crate::domain::hex::write(duid)),
        ReservationKey::Test(text) => format!("clients with {text}"),
    }
}

fn granted(lease: &Lease) -> (&'static str, String, String) {
    let kind = if lease.cause == Cause::New { "lease-granted" } else { "lease-renewed" };
    let mac = lease.mac.map_or_else(|| format!("{:?}", lease.client), |mac| mac.to_string());
    let name = lease.fqdn.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let what = lease.prefix().map_or_else(|| lease.ip.to_string(), |prefix| prefix.to_string());
    (kind, format!("lease/{}", lease.ip), format!("{what} to {mac}{name} on {}", lease.network))
}

fn unknown(stranger: &Stranger) -> (&'static str, String, String) {
    let who = stranger.mac.map(|mac| mac.to_string()).or_else(|| stranger.client_id.as_deref().map(hex::write));
    let who = who.unwrap_or_else(|| "nobody".to_owned());
    let place = stranger.network.as_ref().unwrap_or(&stranger.interface);
    let text = format!("{who} asked for an address on {place} and gets none: {}", stranger.reason);
    ("unknown-client", format!("client/{who}"), text)
}

fn removed(kind: &'static str, noun: &str, id: &str) -> (&'static str, String, String) {
    (kind, format!("{noun}/{id}"), format!("the {noun} {id} is gone"))
}

fn transaction(change: &Change) -> (&'static str, String, String) {
    let object = |key: &TxKey| format!("tx/{}", key.txid);
    match change {
        Change::TxAccepted(tx) => ("tx-accepted", object(&tx.key), format!("{} submitted a change", tx.key.source)),
        Change::TxReopened { key, .. } => ("tx-reopened", object(key), "reopened after a restart".to_owned()),
        Change::TxFinal(tx) => ("tx-final", object(&tx.key), format!("the change of {} is final", tx.key.source)),
        Change::TxCancelled { key, reason, message, .. } => {
            ("tx-cancelled", object(key), format!("the change of {} was cancelled: {reason} {message}", key.source))
        }
        Change::TxEnded { key, failed, .. } => {
            let how = if *failed { "failed to be applied somewhere" } else { "is applied everywhere" };
            ("tx-ended", object(key), format!("the change of {} {how}", key.source))
        }
        _ => ("other", String::new(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;
    use crate::store::memory::Memory;

    fn audit(n: u64) -> Change {
        Change::Audit { who: "root".to_owned(), action: format!("a{n}"), object: "x".to_owned(), detail: String::new() }
    }

    fn reservation_gone(n: u64) -> Change {
        Change::ReservationRemoved { id: n.to_string() }
    }

    #[tokio::test]
    async fn a_follower_sees_what_was_and_what_comes_once_and_in_order() {
        let memory = Memory::default();
        let events = Events::new(Arc::new(memory.clone()));
        let (ledger, _) = Ledger::start(memory.clone(), memory.recovered(), Vec::new(), Arc::new(System));
        events.attach(ledger.clone());
        for n in 1..=3 {
            ledger.commit(vec![reservation_gone(n)]).await.expect("committed");
        }
        let mut follower = events.follow(Some(1)).await.expect("a place that exists");
        ledger.commit(vec![audit(4), reservation_gone(5)]).await.expect("committed");
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(follower.next().await.expect("an event").seq);
        }
        assert_eq!(seen, [2, 3, 4, 5]);
        assert!(matches!(events.follow(Some(99)).await, Err(EventsError::Ahead { .. })));
        assert_eq!(events.newest(2).await.expect("read").iter().map(|e| e.seq).collect::<Vec<_>>(), [4, 5]);
    }
}

//! What provisioning remembers without writing it down, each within a bound: the ring of unidentified
//! requests, the pending claims, the explanations, the sources that ask for foreign files (PR-12, PR-14,
//! PR-53).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::request::{Reason, Trace};
use crate::domain::net::Mac;
use crate::domain::phone::classify::Protocol;
use crate::domain::time::{Mono, Wall};

/// Unidentified requests that are kept.
pub const RING: usize = 1000;
/// Bytes of one of them.
pub const RING_BYTES: usize = 512;
/// Claims that wait for approval.
pub const PENDING: usize = 200;
/// Requests that are explained per device.
pub const TRACES: usize = 32;
/// Devices with explanations.
const TRACED: usize = 20_000;
/// Foreign files from one source and minute, until its secrets are withheld.
pub const FOREIGN: u32 = 20;
/// How long they are withheld.
pub const WITHHELD: Duration = Duration::from_secs(600);
/// Sources that are watched at once.
const SOURCES: usize = 4096;

/// A request from somebody we could not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unidentified {
    pub at: Wall,
    pub protocol: Protocol,
    pub peer: IpAddr,
    pub reason: Reason,
    /// At most 192 bytes.
    pub path: Vec<u8>,
    /// At most 192 bytes.
    pub user_agent: Vec<u8>,
}

impl Unidentified {
    /// Cuts the texts so that an entry stays within [`RING_BYTES`].
    pub fn new(at: Wall, protocol: Protocol, peer: IpAddr, reason: Reason, path: &[u8], agent: Option<&[u8]>) -> Self {
        let cut = |bytes: &[u8]| bytes[..bytes.len().min(192)].to_vec();
        Unidentified { at, protocol, peer, reason, path: cut(path), user_agent: cut(agent.unwrap_or_default()) }
    }
}

/// A claim that an administrator may turn into a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub mac: Option<Mac>,
    pub sn: Option<String>,
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub peer: IpAddr,
    pub first: Wall,
    pub last: Wall,
    pub requests: u64,
}

struct Watched {
    since: Mono,
    count: u32,
    until: Option<Mono>,
}

/// All of it. No lock is held for longer than one operation.
#[derive(Default)]
pub struct Remembered {
    ring: Mutex<VecDeque<Unidentified>>,
    pending: Mutex<VecDeque<Pending>>,
    traces: Mutex<HashMap<String, VecDeque<Trace>>>,
    sources: Mutex<HashMap<IpAddr, Watched>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn push<T>(queue: &mut VecDeque<T>, most: usize, item: T) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl Remembered {
    pub fn unidentified(&self, entry: Unidentified) {
        push(&mut lock(&self.ring), RING, entry);
    }

    /// The ring, oldest first.
    pub fn ring(&self) -> Vec<Unidentified> {
        lock(&self.ring).iter().cloned().collect()
    }

    /// Notes a claim; the same one again only counts.
    pub fn claim(&self, claim: Pending) {
        let mut pending = lock(&self.pending);
        match pending.iter_mut().find(|p| p.mac == claim.mac && p.sn == claim.sn) {
            Some(old) => {
                old.last = claim.last;
                old.peer = claim.peer;
                old.requests = old.requests.saturating_add(1);
            }
            None => push(&mut pending, PENDING, claim),
        }
    }

    /// The pending claims, oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        lock(&self.pending).iter().cloned().collect()
    }

    /// Takes claims away that became a device.
    pub fn settled(&self, mac: Option<Mac>, sn: Option<&str>) {
        lock(&self.pending).retain(|p| !(p.mac.is_some() && p.mac == mac || p.sn.is_some() && p.sn.as_deref() == sn));
    }

    pub fn trace(&self, device: &str, trace: Trace) {
        let mut traces = lock(&self.traces);
        if traces.len() >= TRACED && !traces.contains_key(device) {
            traces.clear();
        }
        push(traces.entry(device.to_owned()).or_default(), TRACES, trace);
    }

    /// The last requests of a device, oldest first.
    pub fn explain(&self, device: &str) -> Vec<Trace> {
        lock(&self.traces).get(device).map(|t| t.iter().cloned().collect()).unwrap_or_default()
    }

    /// Counts a request for another device's file; true if this source is now to be held back.
    pub fn foreign(&self, source: IpAddr, now: Mono) -> bool {
        let mut sources = lock(&self.sources);
        if sources.len() >= SOURCES && !sources.contains_key(&source) {
            sources.retain(|_, w| w.until.is_some_and(|until| until > now));
            if sources.len() >= SOURCES {
                return false;
            }
        }
        let watched = sources.entry(source).or_insert(Watched { since: now, count: 0, until: None });
        if now.since(watched.since) >= Duration::from_secs(60) {
            watched.since = now;
            watched.count = 0;
        }
        watched.count += 1;
        let over = watched.count > FOREIGN;
        if over {
            watched.until = Some(now.plus(WITHHELD));
        }
        over
    }

    /// True while secrets are withheld from this source.
    pub fn withheld(&self, source: IpAddr, now: Mono) -> bool {
        lock(&self.sources).get(&source).and_then(|w| w.until).is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_ring_and_the_claims_are_bounded_and_lose_the_oldest() {
        let remembered = Remembered::default();
        for i in 0..5000u32 {
            let path = vec![b'x'; 4096];
            remembered.unidentified(Unidentified::new(
                Wall(i.into()),
                Protocol::Tftp,
                PEER,
                Reason::NoIdentity,
                &path,
                Some(&path),
            ));
            let [_, a, b, c] = i.to_be_bytes();
            let mac = Some(Mac([0, 0, 0, a, b, c]));
            let now = Wall(i.into());
            remembered.claim(Pending {
                mac,
                sn: None,
                vendor: None,
                model: None,
                peer: PEER,
                first: now,
                last: now,
                requests: 1,
            });
        }
        let ring = remembered.ring();
        assert_eq!((ring.len(), ring[0].at), (RING, Wall(4000)));
        let bytes = |u: &Unidentified| size_of::<Unidentified>() + u.path.len() + u.user_agent.len();
        assert!(ring.iter().all(|u| bytes(u) <= RING_BYTES));
        assert_eq!(remembered.pending().len(), PENDING);
    }

    #[test]
    fn twenty_foreign_files_a_minute_withhold_secrets_for_ten_minutes() {
        let remembered = Remembered::default();
        let at = |s: u64| Mono(s * 1000);
        assert!((0..20).all(|_| !remembered.foreign(PEER, at(1))));
        assert!(!remembered.withheld(PEER, at(1)));
        assert!(remembered.foreign(PEER, at(2)));
        assert!(remembered.withheld(PEER, at(601)) && !remembered.withheld(PEER, at(602)));
    }
}

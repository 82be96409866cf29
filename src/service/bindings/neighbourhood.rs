//! The mirror of the kernel's neighbour table, as the bindings read it. A shell fills it, and answers what
//! the bindings ask: that is all the two know of each other.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc, oneshot};

use super::buckets::Buckets;
use crate::domain::net::Mac;

const BUCKETS: usize = 1 << 10;
/// Questions that may wait for the mirror; more are not asked.
const ASKS: usize = 64;

/// Who answers for an address on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    pub interface: Arc<str>,
    pub mac: Mac,
    /// Grows whenever another MAC takes the address.
    pub generation: u64,
}

/// A question for the mirror about one address.
#[derive(Debug)]
pub struct Ask {
    pub interface: Arc<str>,
    pub ip: IpAddr,
    pub want: Want,
}

/// What the mirror is to do.
#[derive(Debug)]
pub enum Want {
    /// Read the kernel's entry, learn it, and say so: a notice of it may still be on its way to us.
    Confirm(oneshot::Sender<()>),
    /// Make the kernel resolve the address: send something to it.
    Resolve,
}

/// The table; written by one mirror, read by anybody.
pub struct Neighbourhood {
    stations: Buckets<Station>,
    segments: ArcSwap<Vec<(Arc<str>, IpNet)>>,
    asks: ArcSwapOption<mpsc::Sender<Ask>>,
    changed: Notify,
    generation: AtomicU64,
    writer: Mutex<()>,
}

impl Default for Neighbourhood {
    fn default() -> Neighbourhood {
        Neighbourhood {
            stations: Buckets::new(BUCKETS),
            segments: ArcSwap::default(),
            asks: ArcSwapOption::empty(),
            changed: Notify::new(),
            generation: AtomicU64::new(0),
            writer: Mutex::new(()),
        }
    }
}

impl Neighbourhood {
    /// Takes the part of the mirror: from now on questions arrive here. The last caller gets them.
    pub fn asks(&self) -> mpsc::Receiver<Ask> {
        let (sender, receiver) = mpsc::channel(ASKS);
        self.asks.store(Some(Arc::new(sender)));
        receiver
    }

    /// Our own addresses with their prefix lengths: what is reached without a router.
    pub fn set_segments(&self, segments: Vec<(Arc<str>, IpNet)>) {
        self.segments.store(Arc::new(segments));
        self.changed.notify_waiters();
    }

    /// One change of the kernel's table; `mac` is `None` when the entry is gone or of no use.
    pub fn learn(&self, interface: &str, ip: IpAddr, mac: Option<Mac>) {
        {
            let _one = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            self.write(interface, ip, mac);
        }
        self.changed.notify_waiters();
    }

    /// The whole of the kernel's table: whatever is not in it is forgotten.
    pub fn replace(&self, table: &[(Arc<str>, IpAddr, Mac)]) {
        {
            let _one = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let keep: HashSet<(&str, IpAddr)> = table.iter().map(|(interface, ip, _)| (&**interface, *ip)).collect();
            for (ip, old) in self.stations.all() {
                if !keep.contains(&(&*old.interface, ip)) {
                    self.write(&old.interface, ip, None);
                }
            }
            for (interface, ip, mac) in table {
                self.write(interface, *ip, Some(*mac));
            }
        }
        self.changed.notify_waiters();
    }

    fn write(&self, interface: &str, ip: IpAddr, mac: Option<Mac>) {
        let here = |s: &Station| &*s.interface == interface;
        let old = self.stations.read(ip).iter().find(|s| here(s)).map(|s| s.mac);
        match mac {
            None => self.stations.remove(ip, here),
            Some(mac) if old != Some(mac) => {
                let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
                self.stations.put(ip, Station { interface: interface.into(), mac, generation }, here);
            }
            Some(_) => {}
        }
    }

    /// Who answers for `ip` there, as far as the kernel knows.
    pub fn mac(&self, interface: &str, ip: IpAddr) -> Option<Mac> {
        self.stations.read(ip).iter().find(|s| &*s.interface == interface).map(|s| s.mac)
    }

    pub(super) fn stations(&self, ip: IpAddr) -> Vec<Station> {
        self.stations.read(ip).iter().cloned().collect()
    }

    /// The interface (that one, if named) on whose segment `ip` lies, unless it is our own address.
    pub(super) fn segment(&self, interface: Option<&str>, ip: IpAddr) -> Option<Arc<str>> {
        let segments = self.segments.load();
        let here = |i: &str| interface.is_none_or(|want| want == i);
        let found = segments.iter().find(|(i, net)| here(i) && net.contains(&ip) && net.addr() != ip);
        found.map(|(i, _)| i.clone())
    }

    /// The prefix that makes `ip` on-link there.
    pub(super) fn prefix(&self, interface: &str, ip: IpAddr) -> Option<IpNet> {
        let segments = self.segments.load();
        segments.iter().find(|(i, net)| interface == &**i && net.contains(&ip)).map(|(_, net)| net.trunc())
    }

    /// False if there is nobody to ask, or too much was asked already.
    pub(super) fn ask(&self, interface: Arc<str>, ip: IpAddr, want: Want) -> bool {
        self.asks.load().as_ref().is_some_and(|asks| asks.try_send(Ask { interface, ip, want }).is_ok())
    }

    /// Returns when the table holds what the kernel holds about that address, or when nobody can tell.
    pub(super) async fn confirm(&self, interface: Arc<str>, ip: IpAddr) {
        let (done, confirmed) = oneshot::channel();
        if self.ask(interface, ip, Want::Confirm(done)) {
            // an error means that the mirror is gone: what it left is all there is
            let _ = confirmed.await;
        }
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

//! Devices from leases (PR-10): a lease whose vendor or user class names a phone makes the device before its
//! first request. A task follows the ledger behind the ACK; it is not in the lease's own commit, so that
//! leasing needs no knowledge of phones and an ACK never waits for a rule. What the task has not done yet,
//! or missed, the first request does itself from the same binding (vote and all), so the two cannot make
//! two devices. A PC or switch, whose classes no rule knows, never becomes one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Provisioning;
use crate::domain::change::Change;
use crate::domain::device::{Added, Strength};
use crate::domain::lease::{Cause, Lease};
use crate::domain::phone::extract::Clues;
use crate::domain::phone::retrieve::{AutoCreate, Known};
use crate::domain::phone::update;
use crate::domain::time::Mono;
use crate::service::devices::DeviceError;
use crate::store::Ledger;

/// Networks whose new devices are counted; there are few, and a lease names a configured one.
const NETWORKS: usize = 4096;
/// The span that the ceiling is about.
const HOUR: Duration = Duration::from_secs(3600);

/// How many devices leases made in the current hour of each network.
#[derive(Debug, Default)]
pub(super) struct Made(HashMap<String, (Mono, u32)>);

impl Made {
    /// Counts one more on that network; false if its hour is full.
    fn one_more(&mut self, network: &str, most: u32, now: Mono) -> bool {
        if self.0.len() >= NETWORKS && !self.0.contains_key(network) {
            return false;
        }
        let (since, count) = self.0.entry(network.to_owned()).or_insert((now, 0));
        if now.since(*since) >= HOUR {
            (*since, *count) = (now, 0);
        }
        let may = *count < most;
        *count += u32::from(may);
        may
    }

    /// Networks whose hour is full.
    fn full(&self, most: u32, now: Mono) -> Vec<String> {
        let full = |(_, (since, count)): &(&String, &(Mono, u32))| *count >= most && now.since(*since) < HOUR;
        let mut names: Vec<String> = self.0.iter().filter(full).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

impl Provisioning {
    /// Networks on which leases make no devices for now, because they made too many in this hour.
    pub fn too_many_new(&self) -> Vec<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.full(self.settings.load().new_devices_per_hour, self.clock.mono())
    }

    /// Follows the ledger until `stop`. Call it once, after `Ledger::start`.
    pub async fn follow(self: Arc<Self>, ledger: Ledger, stop: CancellationToken) {
        let off = !self.settings.load().create_on_lease || self.settings.load().auto_create == AutoCreate::Off;
        if off || self.following.set(()).is_err() {
            return;
        }
        let mut published = ledger.subscribe();
        loop {
            let batch = tokio::select! {
                () = stop.cancelled() => return,
                batch = published.recv() => batch,
            };
            match batch {
                Ok(entries) => {
                    for entry in entries.iter() {
                        if let Change::LeaseGranted(lease) = &entry.change {
                            self.leased(lease).await;
                        }
                    }
                }
                Err(RecvError::Lagged(_)) => self.counters.lagged(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Makes or completes the device of one lease.
    pub async fn leased(&self, lease: &Lease) {
        let Some(mac) = lease.mac.filter(|m| m.is_identity()) else { return };
        let known = self.devices.by_mac(mac);
        // A renewal of a phone that is known well says nothing new.
        if lease.cause == Cause::Renew && known.as_ref().is_some_and(|d| d.plugin.is_some()) {
            return;
        }
        let pack = self.pack.load_full();
        let options = [(12, &lease.hostname), (60, &lease.vendor_class), (77, &lease.user_class)];
        let dhcp = options.iter().filter_map(|(code, v)| v.as_deref().map(|v| (*code, v))).collect();
        let found = pack.extractor.identify(&Clues { dhcp, ..Clues::default() });
        if !found.vendor_known() {
            return;
        }
        if known.is_none() {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if !made.one_more(&lease.network, self.settings.load().new_devices_per_hour, self.clock.mono()) {
                return self.counters.too_many_on_lease();
            }
        }
        let now = self.clock.wall();
        let facts = update::facts(&found, true);
        for _ in 0..super::ATTEMPTS {
            let seen = self.devices.by_mac(mac);
            let base = match &seen {
                Some(device) => (**device).clone(),
                None => update::new_device(self.new_id(), Some(mac), None, Added::Lease),
            };
            let mut next = update::learn(&base, &facts, Strength::Bound, now, &pack.extractor);
            update::witness(&mut next, mac, "lease", Strength::Bound, now);
            next.ip = if lease.delegated.is_none() { Some(lease.ip) } else { next.ip };
            let created = seen.is_none();
            match self.write(seen, next).await {
                Ok(_) if created => return self.counters.created_on_lease(),
                Ok(_) => return,
                Err(DeviceError::Refused(_)) => continue,
                Err(error) => {
                    return tracing::warn!(%error, %mac, "a phone's lease made no device; its first request will");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_leases_make_a_bounded_number_of_devices() {
        let mut made = Made::default();
        let now = Mono(1_000);
        let count = (0..10).filter(|_| made.one_more("voice", 3, now)).count();
        assert_eq!(count, 3);
        assert!(made.one_more("data", 3, now), "another network is not concerned");
        assert_eq!(made.full(3, now), ["voice"]);
        let later = now.plus(HOUR);
        assert!(made.full(3, later).is_empty() && made.one_more("voice", 3, later));
    }
}

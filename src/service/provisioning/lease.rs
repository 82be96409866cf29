//! Devices from leases (PR-10): a lease whose vendor or user class names a phone makes the device before its
//! first request. A task follows the ledger behind the ACK; it is not in the lease's own commit, so that
//! leasing needs no knowledge of phones and an ACK never waits for a rule. What the task has not done yet,
//! or missed, the first request does itself from the same binding (vote and all), so the two cannot make
//! two devices. A PC or switch, whose classes no rule knows, never becomes one.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Provisioning;
use crate::domain::change::Change;
use crate::domain::device::{Added, Strength};
use crate::domain::lease::{Cause, Lease};
use crate::domain::phone::extract::Clues;
use crate::domain::phone::retrieve::{AutoCreate, Known};
use crate::domain::phone::update;
use crate::service::devices::DeviceError;
use crate::store::Ledger;

impl Provisioning {
    /// Follows the ledger until `stop`. Call it once, after `Ledger::start`.
    pub async fn follow(self: Arc<Self>, ledger: Ledger, stop: CancellationToken) {
        let off = !self.settings.create_on_lease || self.settings.auto_create == AutoCreate::Off;
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

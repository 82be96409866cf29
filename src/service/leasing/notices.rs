//! What leasing tells unasked: pools that run low, clients that ask for an address and are none that is
//! served. Owns the bounds: a pool speaks when it passes a mark, a client once an hour, and all strangers
//! together ten times a minute, since whoever floods us must not fill the journal.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::{Core, Leasing, PoolUse};
use crate::domain::change::{Change, Stranger};
use crate::domain::dhcp::book::Usage;
use crate::domain::dhcp::policy::{Identify, Policy};
use crate::domain::dhcp::v4::{Request, Silence};
use crate::domain::dhcp::wire::{Kind, code};
use crate::domain::lease::ClientKey;
use crate::domain::time::Mono;

/// Parts of a pool in use, in percent, that are told of.
const MARKS: [u8; 3] = [80, 90, 100];
/// How far below a mark a pool must fall before the mark counts again.
const HYSTERESIS: u8 = 5;
/// How often pools are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A client is told of once in that time.
const QUIET: Duration = Duration::from_secs(3600);
/// Clients that are remembered for it.
const STRANGERS: usize = 1_024;
/// Strangers that are told of in a minute.
const PACE: u32 = 10;

/// How full pools were, and who was told of.
#[derive(Default)]
pub(super) struct Notices {
    looked: Mono,
    levels: HashMap<(String, Ipv4Net), u8>,
    heard: HashMap<ClientKey, Mono>,
    /// The minute, and how many were told of in it.
    minute: (u64, u32),
}

/// The mark that a pool stands at: the highest it has reached, until it falls well below it.
fn level(percent: u8, before: u8) -> u8 {
    let reached = MARKS.into_iter().rev().find(|mark| percent >= *mark).unwrap_or(0);
    let held = MARKS.into_iter().rev().find(|mark| *mark <= before && percent + HYSTERESIS >= *mark).unwrap_or(0);
    reached.max(held)
}

fn percent(usage: &Usage) -> u8 {
    let used = usage.size - usage.free.min(usage.size);
    u8::try_from((used * 100).checked_div(usage.size).unwrap_or(0)).unwrap_or(100)
}

impl Notices {
    /// What pools were at before: a restart tells nobody anew.
    pub fn begin(&mut self, usages: &[Usage]) {
        self.levels = usages.iter().map(|usage| (key(usage), level(percent(usage), 0))).collect();
    }

    /// True if it is time to look at the pools.
    pub fn is_due(&mut self, now: Mono) -> bool {
        let due = now.since(self.looked) >= LOOK;
        if due {
            self.looked = now;
        }
        due
    }

    /// True if a pool may have passed a mark since the last look.
    pub fn rises(&self, usages: &[Usage]) -> bool {
        let old = |usage: &Usage| self.levels.get(&key(usage)).copied().unwrap_or(0);
        usages.iter().any(|usage| usage.size > 0 && level(percent(usage), old(usage)) > old(usage))
    }

    /// Pools that passed a mark since the last look.
    pub fn pools(&mut self, usages: &[Usage]) -> Vec<Change> {
        let before = std::mem::take(&mut self.levels);
        let mut out = Vec::new();
        for usage in usages.iter().filter(|usage| usage.size > 0) {
            let old = before.get(&key(usage)).copied().unwrap_or(0);
            let new = level(percent(usage), old);
            if new > old {
                out.push(Change::PoolLow {
                    network: usage.network.clone(),
                    subnet: IpNet::V4(usage.subnet),
                    percent: new,
                    free: usage.free as u64,
                    size: usage.size as u64,
                });
            }
            if new > 0 {
                self.levels.insert(key(usage), new);
            }
        }
        out
    }

    /// True if that client may be told of now.
    fn is_news(&mut self, client: ClientKey, now: Mono) -> bool {
        let minute = now.0 / 60_000;
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        let known = self.heard.get(&client).is_some_and(|told| now.since(*told) < QUIET);
        if known || self.minute.1 >= PACE {
            return false;
        }
        if self.heard.len() >= STRANGERS {
            self.heard.retain(|_, told| now.since(*told) < QUIET);
        }
        if self.heard.len() >= STRANGERS {
            return false;
        }
        self.minute.1 += 1;
        self.heard.insert(client, now);
        true
    }
}

impl From<PoolUse> for Usage {
    fn from(pool: PoolUse) -> Usage {
        Usage { network: pool.network, subnet: pool.subnet, size: pool.size, free: pool.free }
    }
}

fn key(usage: &Usage) -> (String, Ipv4Net) {
    (usage.network.clone(), usage.subnet)
}

impl Leasing {
    /// Tells of a client that asks for an address where nobody serves it. Not of one that finds the pool
    /// empty: that is the pool's matter, and would be everybody's in a flood.
    pub(super) fn tell_stranger(&self, core: &mut Core, policy: &Policy, request: &Request<'_>, why: Silence) {
        let asks = matches!(request.kind, Kind::Discover | Kind::Bootp);
        if !asks || !matches!(why, Silence::NoSubnet | Silence::Guarded) {
            return;
        }
        if !core.notices.is_news(request.client_key(Identify::ClientId), self.clock.mono()) {
            return;
        }
        let packet = &request.packet;
        let owned = |value: Option<std::borrow::Cow<'_, [u8]>>| value.map(|v| v.to_vec()).filter(|v| !v.is_empty());
        let stranger = Stranger {
            network: request.place(policy).ok().map(|place| policy.networks[place.network].name.clone()),
            interface: request.arrival.interface.to_owned(),
            relay: request.relayed().then(|| IpAddr::V4(packet.giaddr())),
            mac: request.mac,
            client_id: request.client_id.as_deref().map(<[u8]>::to_vec),
            hostname: owned(packet.text(code::HOSTNAME)),
            vendor_class: owned(request.vendor_class.clone()),
            reason: why.label().to_owned(),
        };
        self.tell(vec![Change::UnknownClient(Box::new(stranger))]);
    }

    /// Pools that ran low since the last look. Offers do not count: whoever floods us with DISCOVERs fills a
    /// pool for half a minute, and writes nothing (DH-812).
    pub(super) fn tell_pools(&self) {
        let rises = {
            let mut core = self.core();
            if !core.notices.is_due(self.clock.mono()) {
                return;
            }
            let usages = core.book.usage();
            let rises = core.notices.rises(&usages);
            if !rises {
                core.notices.pools(&usages);
            }
            rises
        };
        if rises {
            let without_offers = |pool: PoolUse| Usage { free: pool.free + pool.offered, ..Usage::from(pool) };
            let usages: Vec<Usage> = self.pools().into_iter().map(without_offers).collect();
            let low = self.core().notices.pools(&usages);
            self.tell(low);
        }
    }

    /// Nobody waits for it, and a journal that is busy does without.
    fn tell(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        if let Some(Err(why)) = self.ledger.get().map(|ledger| ledger.submit(changes.into())) {
            tracing::debug!(%why, "a notice was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(free: usize) -> Usage {
        Usage { network: "lan".to_owned(), subnet: "10.0.0.0/24".parse().unwrap(), size: 100, free }
    }

    fn told(notices: &mut Notices, free: usize) -> Vec<u8> {
        let mark = |change: &Change| if let Change::PoolLow { percent, .. } = change { Some(*percent) } else { None };
        notices.pools(&[usage(free)]).iter().filter_map(mark).collect()
    }

    #[test]
    fn a_pool_speaks_when_it_passes_a_mark_and_not_again_before_it_fell_well_below() {
        let mut notices = Notices::default();
        notices.begin(&[usage(100)]);
        assert!(told(&mut notices, 21).is_empty());
        assert_eq!(told(&mut notices, 20), [80]);
        assert!(told(&mut notices, 20).is_empty());
        assert!(told(&mut notices, 24).is_empty());
        assert!(told(&mut notices, 20).is_empty(), "it wavers around the mark");
        assert_eq!(told(&mut notices, 9), [90]);
        assert_eq!(told(&mut notices, 0), [100]);
        assert!(told(&mut notices, 1).is_empty());
        assert!(told(&mut notices, 0).is_empty());
        assert!(told(&mut notices, 60).is_empty());
        assert_eq!(told(&mut notices, 0), [100], "at once to the highest");
    }

    #[test]
    fn a_restart_tells_nobody_anew() {
        let mut notices = Notices::default();
        notices.begin(&[usage(5)]);
        assert!(told(&mut notices, 5).is_empty());
        assert_eq!(told(&mut notices, 0), [100]);
    }

    #[test]
    fn a_stranger_is_told_of_once_an_hour_and_a_flood_ten_times_a_minute() {
        let mut notices = Notices::default();
        let client = |n: u32| ClientKey::Hw(1, n.to_be_bytes().to_vec());
        let at = |seconds: u64| Mono(seconds * 1_000);
        assert!(notices.is_news(client(1), at(0)));
        assert!(!notices.is_news(client(1), at(3_500)));
        assert!(notices.is_news(client(1), at(3_601)));
        let flood = |notices: &mut Notices, minute: u64| {
            (0..5_000).filter(|n| notices.is_news(client(1_000_000 + *n), at(minute * 60))).count()
        };
        assert_eq!(flood(&mut notices, 100), 10);
        assert_eq!((101..300).map(|minute| flood(&mut notices, minute)).max(), Some(10));
        assert!(notices.heard.len() <= STRANGERS);
    }
}

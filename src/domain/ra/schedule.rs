//! When the next advertisement to all hosts is due (RFC 4861 §6.2.4 to §6.2.6). Random numbers and the time
//! are arguments.

use std::time::Duration;

use super::Settings;
use crate::domain::time::Mono;

/// MAX_INITIAL_RTR_ADVERTISEMENTS and the most between them.
const INITIAL: u32 = 3;
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);
/// MIN_DELAY_BETWEEN_RAS.
const GAP: Duration = Duration::from_secs(3);
/// MAX_RA_DELAY_TIME, milliseconds.
const DELAY: u64 = 500;
/// MAX_FINAL_RTR_ADVERTISEMENTS.
pub const FINALS: u32 = 3;

/// The timer of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    sent: u32,
    last: Option<Mono>,
    due: Mono,
}

impl Schedule {
    /// From now on; the first advertisement is due within half a second.
    pub fn begin(now: Mono, random: u64) -> Schedule {
        Schedule { sent: 0, last: None, due: now.plus(delay(random)) }
    }

    /// When to send to all hosts.
    pub fn due(&self) -> Mono {
        self.due
    }

    /// One was sent: when is the next?
    pub fn sent(&mut self, settings: &Settings, now: Mono, random: u64) {
        self.sent = self.sent.saturating_add(1);
        self.last = Some(now);
        let (min, max) = (millis(settings.min_interval), millis(settings.max_interval));
        let min = min.min(max);
        let mut wait = Duration::from_millis(min + random % (max - min + 1)).max(GAP);
        // RFC 4861 §6.2.4: the first few come fast, so that a router is found soon
        if self.sent < INITIAL {
            wait = wait.min(INITIAL_INTERVAL);
        }
        self.due = now.plus(wait);
    }

    /// Somebody without an address asks: all are told after a random delay, but never twice within three
    /// seconds (RFC 4861 §6.2.6).
    pub fn solicited(&mut self, now: Mono, random: u64) {
        let soon = now.plus(delay(random));
        let allowed = self.last.map_or(soon, |last| last.plus(GAP).max(soon));
        self.due = self.due.min(allowed);
    }

    /// What is said has changed: the hosts hear it soon, and the first few come fast again.
    pub fn changed(&mut self, now: Mono, random: u64) {
        self.sent = 0;
        self.solicited(now, random);
    }
}

/// The delay before an answer: 0 to 500 ms.
pub fn delay(random: u64) -> Duration {
    Duration::from_millis(random % (DELAY + 1))
}

fn millis(seconds: u16) -> u64 {
    u64::from(seconds) * 1000
}

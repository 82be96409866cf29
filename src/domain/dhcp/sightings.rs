//! What was seen of addresses on their links before they are given to somebody new (DH-505): a bounded
//! memory of probes. Owns what is believed and for how long; sends nothing.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::net::Mac;
use crate::domain::time::Mono;

/// How long what a probe found is believed.
pub const FRESH: Duration = Duration::from_secs(60);
/// Probes that are remembered, at most; the oldest is forgotten first.
const MAX: usize = 65_536;
/// DISCOVERs a second above which nobody is made to wait for a probe.
pub const BUSY: u32 = 200;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is under way.
    Asked,
    Nobody,
    /// Somebody answered; by whom, if the answer told.
    Somebody(Option<Mac>),
}

/// The memory.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    seen: HashMap<Place, (Mono, Seen)>,
    order: VecDeque<(Mono, Place)>,
    /// When the second began, DISCOVERs in it, and in the one before.
    window: (Mono, u32, u32),
}

type Place = (Arc<str>, Ipv4Addr);

impl Sightings {
    /// Counts a DISCOVER. False while there are so many that nobody should wait.
    pub fn calm(&mut self, now: Mono) -> bool {
        let (began, count, before) = &mut self.window;
        match now.since(*began).as_secs() {
            0 => {}
            1 => (*before, *count, *began) = (*count, 0, began.plus(Duration::from_secs(1))),
            _ => (*before, *count, *began) = (0, 0, now),
        }
        *count = count.saturating_add(1);
        *count <= BUSY && *before <= BUSY
    }

    /// What is known of an address now.
    pub fn of(&self, network: &Arc<str>, ip: Ipv4Addr, now: Mono) -> Option<Seen> {
        let (until, seen) = self.seen.get(&(network.clone(), ip))?;
        (*until > now).then_some(*seen)
    }

    /// True if nobody uses the address, or only the station with that MAC itself (DH-506).
    pub fn clear(&self, network: &Arc<str>, ip: Ipv4Addr, mac: Option<Mac>, now: Mono) -> bool {
        match self.of(network, ip, now) {
            Some(Seen::Nobody) => true,
            Some(Seen::Somebody(user)) => user.is_some() && user == mac,
            Some(Seen::Asked) | None => false,
        }
    }

    /// True if another station uses the address.
    pub fn taken(&self, network: &Arc<str>, ip: Ipv4Addr, mac: Option<Mac>, now: Mono) -> bool {
        matches!(self.of(network, ip, now), Some(Seen::Somebody(user)) if user.is_none() || user != mac)
    }

    /// Notes what a probe found, or that it was sent.
    pub fn note(&mut self, network: &Arc<str>, ip: Ipv4Addr, seen: Seen, now: Mono) {
        let (place, until) = ((network.clone(), ip), now.plus(FRESH));
        self.seen.insert(place.clone(), (until, seen));
        self.order.push_back((until, place));
        while self.order.len() > MAX || self.order.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, place)) = self.order.pop_front() else { return };
            // noted again meanwhile: the later entry counts
            if self.seen.get(&place).is_some_and(|(current, _)| *current == until) {
                self.seen.remove(&place);
            }
        }
    }

    /// Addresses that are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lan() -> Arc<str> {
        "lan".into()
    }

    #[test]
    fn an_answer_is_believed_for_a_minute_and_the_asker_is_no_conflict() {
        let (ip, mac) = (Ipv4Addr::new(10, 0, 0, 9), Some(Mac([2, 0, 0, 0, 0, 9])));
        let mut sightings = Sightings::default();
        sightings.note(&lan(), ip, Seen::Asked, Mono(0));
        assert!(!sightings.clear(&lan(), ip, mac, Mono(1)) && !sightings.taken(&lan(), ip, mac, Mono(1)));
        sightings.note(&lan(), ip, Seen::Somebody(mac), Mono(100));
        assert!(sightings.clear(&lan(), ip, mac, Mono(60_099)));
        assert!(sightings.taken(&lan(), ip, None, Mono(60_099)));
        assert_eq!(sightings.of(&lan(), ip, Mono(60_100)), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut sightings = Sightings::default();
        for n in 0..MAX as u32 + 500 {
            sightings.note(&lan(), Ipv4Addr::from(n), Seen::Nobody, Mono(5));
        }
        assert_eq!(sightings.len(), MAX);
        sightings.note(&lan(), Ipv4Addr::from(1), Seen::Nobody, Mono(70_000));
        assert_eq!(sightings.len(), 1);
    }

    #[test]
    fn above_two_hundred_a_second_nobody_waits() {
        let mut sightings = Sightings::default();
        let calm = (0..250).filter(|_| sightings.calm(Mono(500))).count();
        assert_eq!(calm, 200);
        assert!(!sightings.calm(Mono(1_600)), "the second before counts");
        assert!(sightings.calm(Mono(9_000)));
    }
}

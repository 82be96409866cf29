//! Token buckets for many keys in fixed memory: how often somebody may ask. Owns the arithmetic and the
//! table; refuses to know what is counted.
//!
//! A bucket is one number: when its next message would be due if all came evenly (the generic cell rate
//! algorithm). A new key takes the place of the emptiest of four, so a flood of new keys forgets mostly
//! those of its own kind, and nothing ever grows.

use std::hash::{BuildHasher, Hash, RandomState};

use crate::domain::time::Mono;

/// Buckets that a new key may take the place of.
const WAYS: usize = 4;

/// How often, on average and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 0: without bound.
    pub per_second: u32,
    pub burst: u32,
}

impl Rate {
    /// So many a second, and two and a half times as many at once.
    pub fn of(per_second: u32) -> Rate {
        Rate { per_second, burst: per_second.saturating_mul(5).div_ceil(2) }
    }
}

/// The buckets: 16 octets each, taken from the system only when they are used.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Fingerprint of the key (0: nobody's), and when its next message is due, in microseconds.
    slots: Vec<[u64; 2]>,
    keys: RandomState,
}

impl Meters {
    /// Room for `size` keys, rounded up to a power of two.
    pub fn new(size: usize) -> Meters {
        Meters { slots: vec![[0; 2]; size.next_power_of_two().max(WAYS)], keys: RandomState::new() }
    }

    /// Takes one token of that key's bucket; false if there is none.
    pub fn take(&mut self, key: &impl Hash, rate: Rate, now: Mono) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        let interval = u64::from(1_000_000 / rate.per_second).max(1);
        let tolerance = interval.saturating_mul(u64::from(rate.burst.max(1) - 1));
        let now = now.0.saturating_mul(1_000);
        let due = self.slot(key);
        if *due > now.saturating_add(tolerance) {
            return false;
        }
        *due = (*due).max(now).saturating_add(interval);
        true
    }

    /// The bucket of a key, made if there is none.
    fn slot(&mut self, key: &impl Hash) -> &mut u64 {
        let print = self.keys.hash_one(key) | 1;
        let sets = self.slots.len() / WAYS;
        let first = (print >> 32) as usize % sets * WAYS;
        let set = &mut self.slots[first..first + WAYS];
        let known = set.iter().position(|[owner, _]| *owner == print);
        let at = known.or_else(|| (0..WAYS).min_by_key(|at| set[*at][1])).unwrap_or(0);
        if known.is_none() {
            set[at] = [print, 0];
        }
        &mut set[at][1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let (mut meters, rate) = (Meters::new(64), Rate::of(2));
        assert_eq!(rate.burst, 5);
        let taken = |meters: &mut Meters, at: u64| (0..10).filter(|_| meters.take(&"a", rate, Mono(at))).count();
        assert_eq!(taken(&mut meters, 1_000), 5);
        assert_eq!(taken(&mut meters, 1_499), 0);
        assert_eq!(taken(&mut meters, 1_500), 1);
        assert_eq!(taken(&mut meters, 3_000), 3);
        assert_eq!(taken(&mut meters, 600_000), 5, "no more than the burst is saved up");
        assert!(meters.take(&"b", rate, Mono(600_000)), "another key has a bucket of its own");
    }

    #[test]
    fn a_rate_of_zero_is_no_bound() {
        let mut meters = Meters::new(4);
        assert!((0..100_000).all(|_| meters.take(&1, Rate::of(0), Mono(0))));
    }

    #[test]
    fn a_million_keys_take_no_more_room_than_a_thousand_and_an_empty_bucket_is_kept() {
        let (mut meters, rate) = (Meters::new(1024), Rate::of(2));
        while meters.take(&"busy", rate, Mono(0)) {}
        let room = meters.slots.capacity();
        for key in 0..1_000_000u32 {
            meters.take(&key, rate, Mono(0));
        }
        assert_eq!(meters.slots.capacity(), room);
        assert!(!meters.take(&"busy", rate, Mono(0)), "strangers with one message each do not wash it out");
    }
}

//! Free addresses of one subnet: a hierarchical bitmap, so that the next free one is found in constant
//! time at any fill (DH-501). Knows positions only; who holds what is in the book.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::policy::Subnet;
use crate::domain::time::Wall;

/// A set of positions with find-first in a few steps: one level per factor of 64.
#[derive(Debug, Clone)]
pub struct Bitmap {
    /// `levels[0]` holds the members; a bit of a higher level says that its word below is not zero.
    levels: Vec<Vec<u64>>,
}

impl Bitmap {
    /// An empty set over `0..size`.
    pub fn new(size: usize) -> Bitmap {
        let mut levels = vec![vec![0; size.div_ceil(64).max(1)]];
        while levels.last().is_some_and(|level| level.len() > 1) {
            let above = levels.last().map_or(1, |level| level.len().div_ceil(64));
            levels.push(vec![0; above]);
        }
        Bitmap { levels }
    }

    /// Puts a position in or out; positions beyond the size are ignored.
    pub fn set(&mut self, position: usize, member: bool) {
        let mut at = position;
        for level in &mut self.levels {
            let Some(word) = level.get_mut(at / 64) else { return };
            let before = *word;
            if member {
                *word |= 1 << (at % 64);
            } else {
                *word &= !(1 << (at % 64));
            }
            // higher levels change only when this word becomes or stops being zero
            if (before == 0) == (*word == 0) {
                return;
            }
            at /= 64;
        }
    }

    pub fn contains(&self, position: usize) -> bool {
        self.levels[0].get(position / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// The first member at or after `start`.
    pub fn first_from(&self, start: usize) -> Option<usize> {
        let mut at = start;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64)? & u64::MAX.checked_shl((at % 64) as u32).unwrap_or(0);
            if word != 0 {
                return Some(self.descend(height, at / 64 * 64 + word.trailing_zeros() as usize));
            }
            at = at / 64 + 1;
        }
        None
    }

    fn descend(&self, height: usize, mut at: usize) -> usize {
        for level in self.levels[..height].iter().rev() {
            at = at * 64 + level[at].trailing_zeros() as usize;
        }
        at
    }

    /// Members.
    pub fn count(&self) -> usize {
        self.levels[0].iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Where the next address of a subnet comes from: those that nobody is remembered for, round and round;
/// then those whose client left longest ago.
#[derive(Debug, Clone)]
pub struct Free {
    /// First address, last address, position of the first; sorted, disjoint.
    ranges: Vec<(u32, u32, usize)>,
    fresh: Bitmap,
    cursor: usize,
    /// By range, so that one pool is asked without looking at the others.
    past: Vec<BTreeSet<(Wall, Ipv4Addr)>>,
    /// Addresses that wait for somebody.
    aside: Bitmap,
    /// By range: usable addresses, those of them that a newcomer could get now, and those that wait.
    counts: Vec<Counts>,
    size: usize,
}

/// What a range has.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    usable: usize,
    free: usize,
    aside: usize,
}

impl Free {
    /// All usable addresses of the subnet's pools.
    pub fn of(subnet: &Subnet) -> Free {
        let mut spans: Vec<(u32, u32)> =
            subnet.pools.iter().map(|pool| (u32::from(*pool.range.start()), u32::from(*pool.range.end()))).collect();
        spans.sort_unstable();
        let mut ranges: Vec<(u32, u32, usize)> = Vec::new();
        let mut size = 0;
        for (first, last) in spans {
            let first = ranges.last().map_or(first, |(_, end, _)| first.max(end.saturating_add(1)));
            if first <= last {
                ranges.push((first, last, size));
                size += (last - first) as usize + 1;
            }
        }
        let (past, counts) = (vec![BTreeSet::new(); ranges.len()], vec![Counts::default(); ranges.len()]);
        let (fresh, aside) = (Bitmap::new(size), Bitmap::new(size));
        let mut free = Free { fresh, ranges, cursor: 0, past, aside, counts, size };
        for (first, last, _) in free.ranges.clone() {
            (first..=last).map(Ipv4Addr::from).filter(|ip| subnet.pooled(*ip)).for_each(|ip| free.put(ip, true, None));
        }
        free.counts.iter_mut().for_each(|counts| counts.usable = counts.free);
        free
    }

    /// The range of an address.
    fn range(&self, ip: Ipv4Addr) -> Option<usize> {
        let ip = u32::from(ip);
        let at = self.ranges.partition_point(|(first, _, _)| *first <= ip).checked_sub(1)?;
        (ip <= self.ranges[at].1).then_some(at)
    }

    fn position(&self, ip: Ipv4Addr) -> Option<usize> {
        let (first, _, base) = self.ranges[self.range(ip)?];
        Some(base + (u32::from(ip) - first) as usize)
    }

    fn address(&self, position: usize) -> Option<Ipv4Addr> {
        let at = self.ranges.partition_point(|(_, _, base)| *base <= position).checked_sub(1)?;
        let (first, _, base) = self.ranges[at];
        Some(Ipv4Addr::from(first + (position - base) as u32))
    }

    /// Records whether an address may be given to anybody, and when it was last used if we remember.
    pub fn put(&mut self, ip: Ipv4Addr, free: bool, past: Option<Wall>) {
        let (Some(range), Some(position)) = (self.range(ip), self.position(ip)) else { return };
        let fresh = free && past.is_none();
        let mut change = isize::from(fresh) - isize::from(self.fresh.contains(position));
        self.fresh.set(position, fresh);
        if let Some(ended) = past {
            if free {
                change += isize::from(self.past[range].insert((ended, ip)));
            } else {
                change -= isize::from(self.past[range].remove(&(ended, ip)));
            }
        }
        self.counts[range].free = self.counts[range].free.saturating_add_signed(change);
    }

    /// Records whether the address waits for somebody.
    pub fn set_aside(&mut self, ip: Ipv4Addr, aside: bool) {
        let (Some(range), Some(position)) = (self.range(ip), self.position(ip)) else { return };
        let change = isize::from(aside) - isize::from(self.aside.contains(position));
        self.aside.set(position, aside);
        self.counts[range].aside = self.counts[range].aside.saturating_add_signed(change);
    }

    /// True if no more is left of the address's range than `share` of it, of which what waits for somebody is
    /// a part.
    pub fn is_scarce(&self, ip: Ipv4Addr, share: f64) -> bool {
        self.range(ip).is_some_and(|range| {
            let Counts { usable, free, aside } = self.counts[range];
            let kept = (usable as f64 * share) as usize;
            let kept = kept.saturating_sub(aside);
            kept > 0 && free <= kept
        })
    }

    /// Forgets that the address was used until then.
    pub fn forget(&mut self, ip: Ipv4Addr, ended: Wall) {
        if let Some(range) = self.range(ip)
            && self.past[range].remove(&(ended, ip))
        {
            self.counts[range].free = self.counts[range].free.saturating_sub(1);
        }
    }

    /// Addresses whose client left before then, at most `limit`.
    pub fn left_before(&self, limit: Wall, count: usize) -> Vec<Ipv4Addr> {
        let past = self.past.iter().flat_map(|past| past.iter().take_while(|(ended, _)| *ended < limit));
        past.take(count).map(|(_, ip)| *ip).collect()
    }

    /// The next address for a newcomer.
    pub fn next(&self) -> Option<Ipv4Addr> {
        let fresh = self.fresh.first_from(self.cursor).or_else(|| self.fresh.first_from(0));
        let oldest = || self.past.iter().filter_map(BTreeSet::first).min().map(|(_, ip)| *ip);
        fresh.and_then(|position| self.address(position)).or_else(oldest)
    }

    /// The next address for a newcomer within one pool.
    pub fn next_within(&self, first: Ipv4Addr, last: Ipv4Addr) -> Option<Ipv4Addr> {
        let (start, end) = (self.position(first)?, self.position(last)?);
        let from = |at: usize| self.fresh.first_from(at).filter(|position| *position <= end);
        let fresh = from(self.cursor.clamp(start, end)).or_else(|| from(start));
        let inside = |ip: Ipv4Addr| (first..=last).contains(&ip);
        let oldest = || self.past.get(self.range(first)?)?.iter().find(|(_, ip)| inside(*ip)).map(|(_, ip)| *ip);
        fresh.and_then(|position| self.address(position)).or_else(oldest)
    }

    /// The next ones for newcomers, at most `count`: fresh ones first, then those left longest ago.
    pub fn ahead(&self, count: usize) -> Vec<Ipv4Addr> {
        let mut out = Vec::with_capacity(count.min(self.size));
        for (start, end) in [(self.cursor, self.size), (0, self.cursor)] {
            let mut at = start;
            while let Some(found) = self.fresh.first_from(at).filter(|found| *found < end && out.len() < count) {
                out.extend(self.address(found));
                at = found + 1;
            }
        }
        let more = count - out.len();
        let mut past: Vec<_> = self.past.iter().flat_map(|past| past.iter().take(more)).collect();
        past.sort_unstable();
        out.extend(past.into_iter().take(more).map(|(_, ip)| *ip));
        out
    }

    /// The search for the next one begins behind this one.
    pub fn used(&mut self, ip: Ipv4Addr) {
        if let Some(position) = self.position(ip) {
            self.cursor = position + 1;
        }
    }

    /// Addresses that a newcomer could get now.
    pub fn count(&self) -> usize {
        self.counts.iter().map(|counts| counts.free).sum()
    }

    /// Addresses in the pools, excluded ones too.
    pub fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::dhcp::policy::Pool;

    proptest! {
        #[test]
        fn a_bitmap_is_a_set(
            size in 1usize..300_000,
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..200),
            probes in prop::collection::vec(any::<prop::sample::Index>(), 20),
        ) {
            let mut bitmap = Bitmap::new(size);
            let mut set = BTreeSet::new();
            for (at, member) in steps {
                let at = at.index(size);
                bitmap.set(at, member);
                if member { set.insert(at); } else { set.remove(&at); }
            }
            prop_assert_eq!(bitmap.count(), set.len());
            for probe in probes.iter().map(|p| p.index(size)).chain([0]) {
                prop_assert_eq!(bitmap.first_from(probe), set.range(probe..).next().copied());
                prop_assert_eq!(bitmap.contains(probe), set.contains(&probe));
            }
        }
    }

    #[test]
    fn addresses_come_round_robin_then_those_left_longest_ago() {
        let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap());
        let ip = |n| Ipv4Addr::new(10, 0, 0, n);
        subnet.router = Some(ip(254));
        subnet.pools = vec![Pool::new(ip(253), ip(255)), Pool::new(ip(0), ip(2))];
        let mut free = Free::of(&subnet);
        assert_eq!((free.size(), free.count()), (6, 3));
        free.used(ip(1));
        assert_eq!(free.ahead(9), [ip(2), ip(253), ip(1)]);
        assert_eq!(free.ahead(2), [ip(2), ip(253)]);
        free.used(ip(255));
        for expected in [ip(1), ip(2), ip(253)] {
            assert_eq!(free.next(), Some(expected));
            free.put(expected, false, None);
            free.used(expected);
        }
        assert_eq!(free.next(), None);
        free.put(ip(2), true, Some(Wall(20)));
        free.put(ip(1), true, Some(Wall(30)));
        assert_eq!(free.next(), Some(ip(2)));
        free.put(ip(2), false, Some(Wall(20)));
        assert_eq!(free.next(), Some(ip(1)));
    }
}

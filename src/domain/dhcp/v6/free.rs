//! Free addresses of a pool, or free blocks of a delegated prefix. Knows positions only; who holds what is
//! in the book. Pools of up to a million positions find a free one at any fill in constant time; larger ones
//! are sparse for ever, and a few tries find one.

use std::net::Ipv6Addr;

use super::super::allocate::Bitmap;

/// Positions that are kept in a bitmap; larger pools are probed.
const MAPPED: u128 = 1 << 20;
/// Positions looked at for one client, at most.
const TRIES: usize = 4096;

/// A row of equally long pieces of the address space.
#[derive(Debug, Clone)]
pub struct Free {
    first: u128,
    /// Bits of an address below the position.
    shift: u32,
    size: u128,
    /// What nobody has; absent for large pools.
    free: Option<Bitmap>,
}

impl Free {
    /// The addresses `first` to `last`.
    pub fn addresses(first: Ipv6Addr, last: Ipv6Addr) -> Free {
        let first = u128::from(first);
        Free::new(first, 0, u128::from(last).saturating_sub(first).saturating_add(1))
    }

    /// The blocks of that length in a prefix that is not longer.
    pub fn blocks(prefix: ipnet::Ipv6Net, length: u8) -> Free {
        let bits = u32::from(length.saturating_sub(prefix.prefix_len()));
        Free::new(u128::from(prefix.network()), 128 - u32::from(length), 1u128.checked_shl(bits).unwrap_or(u128::MAX))
    }

    fn new(first: u128, shift: u32, size: u128) -> Free {
        let free = usize::try_from(size).ok().filter(|_| size <= MAPPED).map(|size| {
            let mut map = Bitmap::new(size);
            (0..size).for_each(|position| map.set(position, true));
            map
        });
        Free { first, shift, size, free }
    }

    fn position(&self, ip: Ipv6Addr) -> Option<u128> {
        let offset = u128::from(ip).checked_sub(self.first)?.checked_shr(self.shift).unwrap_or(0);
        (offset < self.size).then_some(offset)
    }

    fn address(&self, position: u128) -> Ipv6Addr {
        Ipv6Addr::from(self.first.wrapping_add(position.checked_shl(self.shift).unwrap_or(0)))
    }

    /// Records whether somebody has the address, or anything in its block.
    pub fn set(&mut self, ip: Ipv6Addr, free: bool) {
        let position = self.position(ip).and_then(|p| usize::try_from(p).ok());
        if let (Some(map), Some(position)) = (&mut self.free, position) {
            map.set(position, free);
        }
    }

    /// The first one from where the hash points that is free and `fits`.
    pub fn pick(&self, hash: u128, fits: impl Fn(Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        let start = hash % self.size.max(1);
        let Some(map) = &self.free else {
            let next = |try_: usize| self.address(start.wrapping_add(try_ as u128) % self.size.max(1));
            return (0..TRIES).map(next).find(|ip| fits(*ip));
        };
        let mut at = usize::try_from(start).unwrap_or(0);
        let mut wrapped = false;
        for _ in 0..TRIES {
            let Some(found) = map.first_from(at) else {
                if std::mem::replace(&mut wrapped, true) {
                    return None;
                }
                at = 0;
                continue;
            };
            if wrapped && found as u128 >= start {
                return None;
            }
            let ip = self.address(found as u128);
            if fits(ip) {
                return Some(ip);
            }
            at = found + 1;
        }
        None
    }

    /// Positions in all.
    pub fn size(&self) -> u128 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(n: u128) -> Ipv6Addr {
        Ipv6Addr::from(0x2001_0db8_u128 << 96 | n)
    }

    #[test]
    fn blocks_begin_where_their_length_says() {
        let free = Free::blocks("2001:db8::/40".parse().unwrap(), 56);
        assert_eq!(free.size(), 65_536);
        assert_eq!(free.pick(0x2a, |_| true), Some("2001:db8:0:2a00::".parse().unwrap()));
        assert_eq!(free.pick(65_536, |_| true), Some("2001:db8::".parse().unwrap()));
        let all = Free::addresses(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from(u128::MAX));
        assert_eq!(all.pick(7, |_| true), Some(Ipv6Addr::from(7)));
    }

    #[test]
    fn a_large_pool_is_probed_and_gives_up() {
        let free = Free::addresses(ip(0), ip(u128::from(u64::MAX)));
        assert_eq!(free.pick(12, |found| found != ip(12)), Some(ip(13)));
        assert_eq!(free.pick(u128::from(u64::MAX), |found| found != ip(u128::from(u64::MAX))), Some(ip(0)));
        assert_eq!(free.pick(1, |_| false), None);
    }

    proptest! {
        #[test]
        fn whatever_is_left_is_found(size in 1u128..200, taken in prop::collection::vec(any::<prop::sample::Index>(), 0..400), hash in any::<u128>()) {
            let mut free = Free::addresses(ip(1), ip(size));
            let mut left: std::collections::BTreeSet<u128> = (1..=size).collect();
            for at in taken {
                let n = at.index(usize::try_from(size).unwrap()) as u128 + 1;
                free.set(ip(n), false);
                left.remove(&n);
            }
            let found = free.pick(hash, |_| true);
            prop_assert_eq!(found.is_some(), !left.is_empty());
            prop_assert!(found.is_none_or(|found| left.iter().any(|n| ip(*n) == found)));
        }
    }
}

//! Address → values, read without a lock. A fixed number of buckets, each an immutable list behind an
//! atomic pointer: a write copies one bucket, so it costs the same however many addresses there are.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

type Bucket<T> = Vec<(IpAddr, T)>;

/// Writers must be one at a time (a view has `&mut self`; others hold a mutex).
pub struct Buckets<T> {
    buckets: Box<[ArcSwapOption<Bucket<T>>]>,
}

impl<T: Clone> Buckets<T> {
    /// `n` is a power of two.
    pub fn new(n: usize) -> Buckets<T> {
        Buckets { buckets: (0..n.next_power_of_two()).map(|_| ArcSwapOption::empty()).collect() }
    }

    /// The values of `ip`, as they are now.
    pub fn read(&self, ip: IpAddr) -> Found<T> {
        Found { bucket: self.bucket(ip).load(), ip }
    }

    /// Replaces the value of `ip` for which `same` holds, or adds it.
    pub fn put(&self, ip: IpAddr, value: T, same: impl Fn(&T) -> bool) {
        self.write(ip, |list| match list.iter_mut().find(|(a, v)| *a == ip && same(v)) {
            Some(slot) => slot.1 = value,
            None => list.push((ip, value)),
        });
    }

    /// Takes away the values of `ip` for which `same` holds.
    pub fn remove(&self, ip: IpAddr, same: impl Fn(&T) -> bool) {
        if self.read(ip).iter().any(&same) {
            self.write(ip, |list| list.retain(|(a, v)| *a != ip || !same(v)));
        }
    }

    /// All that is held; not one moment's state if a writer is at work.
    pub fn all(&self) -> Vec<(IpAddr, T)> {
        self.buckets.iter().filter_map(|b| b.load_full()).flat_map(|b| b.to_vec()).collect()
    }

    fn bucket(&self, ip: IpAddr) -> &ArcSwapOption<Bucket<T>> {
        &self.buckets[hash(ip) & (self.buckets.len() - 1)]
    }

    fn write(&self, ip: IpAddr, change: impl FnOnce(&mut Bucket<T>)) {
        let bucket = self.bucket(ip);
        let old = bucket.load();
        let old = old.as_ref().map_or(&[][..], |b| &b[..]);
        // one more at most: a list that doubles would be half empty
        let mut list = Vec::with_capacity(old.len() + 1);
        list.extend_from_slice(old);
        change(&mut list);
        list.shrink_to_fit();
        bucket.store((!list.is_empty()).then(|| Arc::new(list)));
    }
}

/// What [`Buckets::read`] found: holds on to one bucket, briefly.
pub struct Found<T> {
    bucket: arc_swap::Guard<Option<Arc<Bucket<T>>>>,
    ip: IpAddr,
}

impl<T> Found<T> {
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let list = self.bucket.as_ref().map(|b| &b[..]).unwrap_or_default();
        list.iter().filter(|(ip, _)| *ip == self.ip).map(|(_, value)| value)
    }
}

/// Spreads neighbouring addresses (Fibonacci hashing); keys come from our own pools and segments.
fn hash(ip: IpAddr) -> usize {
    const PHI: u64 = 0x9e37_79b9_7f4a_7c15;
    let word = match ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            ((bits >> 64) as u64).wrapping_mul(PHI).rotate_left(32) ^ bits as u64
        }
    };
    (word.wrapping_mul(PHI) >> 32) as usize
}

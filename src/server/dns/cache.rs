//! Answers of upstreams, kept for as long as their TTL says and as memory allows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::dns::lookup::rcode;
use crate::domain::dns::message::Resolved;
use crate::domain::dns::respond::Foreign;

/// Octets in both generations together (DN-504).
const CAPACITY: usize = 32 << 20;
/// How long a failure is remembered (RFC 9520: at most 5 minutes).
const FAILURE: Duration = Duration::from_secs(5);

struct Kept {
    resolved: Arc<Resolved>,
    since: Instant,
    until: Instant,
}

/// Two generations: what was not asked for during one of them goes with the next change.
#[derive(Default)]
pub struct Cache {
    young: HashMap<Foreign, Kept>,
    old: HashMap<Foreign, Kept>,
    weight: usize,
}

impl Cache {
    /// The answer with its TTLs as they stand now.
    pub fn get(&mut self, key: &Foreign, now: Instant) -> Option<Arc<Resolved>> {
        if !self.young.contains_key(key)
            && let Some((key, kept)) = self.old.remove_entry(key)
            && kept.until > now
        {
            self.insert(key, kept);
        }
        let kept = self.young.get(key).filter(|k| k.until > now)?;
        let age = now.duration_since(kept.since).as_secs();
        Some(if age == 0 { kept.resolved.clone() } else { Arc::new(kept.resolved.aged(age as u32)) })
    }

    /// Keeps an answer; TTL 0 is not kept (DN-724).
    pub fn put(&mut self, key: Foreign, resolved: Arc<Resolved>, now: Instant) {
        let keep = match resolved.rcode {
            rcode::NOERROR | rcode::NXDOMAIN => Duration::from_secs(resolved.ttl().into()),
            _ => FAILURE,
        };
        if !keep.is_zero() {
            self.insert(key, Kept { resolved, since: now, until: now + keep });
        }
    }

    fn insert(&mut self, key: Foreign, kept: Kept) {
        self.weight += kept.resolved.weight() + key.name.len();
        self.young.insert(key, kept);
        if self.weight > CAPACITY / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dns::message::Record;
    use crate::domain::dns::name::Name;

    fn key(name: &str) -> Foreign {
        let name = Name::parse(name).unwrap().as_wire().into();
        Foreign { name, qtype: 1, dnssec: false, checking_disabled: false }
    }

    fn answer(ttl: u32, data: usize) -> Arc<Resolved> {
        let record = Record { owner: [0].into(), rtype: 1, class: 1, ttl, data: vec![0; data].into() };
        Arc::new(Resolved { answers: vec![record], ..Resolved::default() })
    }

    #[test]
    fn ttls_count_down_and_end() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(key("a"), answer(60, 4), start);
        let after = |s| start + Duration::from_secs(s);
        assert_eq!(cache.get(&key("a"), after(0)).unwrap().answers[0].ttl, 60);
        assert_eq!(cache.get(&key("a"), after(45)).unwrap().answers[0].ttl, 15);
        assert!(cache.get(&key("a"), after(60)).is_none());
    }

    #[test]
    fn ttl_zero_is_not_cached_and_a_failure_briefly() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(key("a"), answer(0, 4), start);
        assert!(cache.get(&key("a"), start).is_none());
        cache.put(key("b"), Arc::new(Resolved { rcode: rcode::SERVFAIL, ..Resolved::default() }), start);
        assert!(cache.get(&key("b"), start + Duration::from_secs(4)).is_some());
        assert!(cache.get(&key("b"), start + FAILURE).is_none());
    }

    #[test]
    fn what_is_asked_for_survives_and_memory_stays_bounded() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(key("kept"), answer(600, 4), start);
        for i in 0..4_000 {
            cache.put(key(&format!("x{i}")), answer(600, 20_000), start);
            assert!(cache.get(&key("kept"), start).is_some());
        }
        let all = cache.young.values().chain(cache.old.values());
        assert!(all.map(|k| k.resolved.weight()).sum::<usize>() <= CAPACITY + (1 << 20));
    }
}

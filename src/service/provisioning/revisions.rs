//! When the bytes under a name became what they are: `Last-Modified` (PR-41). Files are rendered at each
//! request and have no time of their own, so the first request that got other bytes than the one before
//! dates the revision. Owns these dates, in memory, within a bound; a name that is not known any more is a
//! new revision, which costs a phone one download and never a change.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::time::Wall;

/// Names that are dated at once; beyond that all begin anew. About a hundred bytes each.
pub const NAMES: usize = 16_384;

#[derive(Default)]
pub(super) struct Revisions {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    names: HashMap<Vec<u8>, (String, i64)>,
    /// The youngest date given: a clock that steps back dates nothing before it.
    latest: i64,
}

impl Revisions {
    /// The second in which the bytes with this digest came to be served under `name`; none in that second
    /// itself, in which they may change again unnoticed.
    pub fn date(&self, name: &[u8], etag: &str, now: Wall) -> Option<i64> {
        let second = now.0.div_euclid(1000);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.latest = seen.latest.max(second);
        let latest = seen.latest;
        if let Some((known, since)) = seen.names.get(name)
            && known == etag
        {
            return Some(*since).filter(|since| *since < latest);
        }
        if seen.names.len() >= NAMES {
            seen.names.clear();
        }
        seen.names.insert(name.to_vec(), (etag.to_owned(), latest));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_dated_once_its_second_is_over_and_anew_when_the_bytes_change() {
        let revisions = Revisions::default();
        let at = |ms: i64| Wall(ms);
        assert_eq!(revisions.date(b"a", "1", at(5_100)), None);
        assert_eq!(revisions.date(b"a", "1", at(5_900)), None);
        assert_eq!(revisions.date(b"a", "1", at(6_000)), Some(5));
        assert_eq!(revisions.date(b"a", "1", at(90_000)), Some(5));
        assert_eq!(revisions.date(b"a", "2", at(90_100)), None);
        assert_eq!(revisions.date(b"a", "2", at(91_000)), Some(90));
        // back to the first bytes is news too
        assert_eq!(revisions.date(b"a", "1", at(92_000)), None);
        assert_eq!(revisions.date(b"a", "1", at(93_000)), Some(92));
        // the clock steps back: nothing is older than what was told before
        assert_eq!(revisions.date(b"a", "2", at(1_000)), None);
        assert_eq!(revisions.date(b"a", "2", at(94_000)), Some(93));
    }

    #[test]
    fn no_more_names_than_the_bound_are_dated() {
        let revisions = Revisions::default();
        for n in 0..=NAMES {
            revisions.date(&n.to_be_bytes(), "x", Wall(1_000));
        }
        assert_eq!(revisions.seen.lock().unwrap().names.len(), 1);
        assert_eq!(revisions.date(&NAMES.to_be_bytes(), "x", Wall(2_000)), Some(1));
        assert_eq!(revisions.date(&0usize.to_be_bytes(), "x", Wall(2_000)), None);
    }
}

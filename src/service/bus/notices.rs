//! Notices for those who are connected (CL-803): the batches of the journal as they were committed. What is
//! shown is made when the first stream reads it, once for all; older ones come from history.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use crate::domain::change::Change;
use crate::domain::claws::notice;
use crate::domain::claws::xml::Element;
use crate::store::Entry;

/// Entries of the journal that are kept for streams, at most.
pub(super) const KEPT: usize = 8_192;

/// A notice as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub payload: Element,
    pub line: Arc<str>,
}

impl Shown {
    pub fn of(entry: &Entry) -> Option<Shown> {
        let payload = notice::payload(&entry.change)?;
        let line = notice::message(entry.seq, entry.at, payload.clone()).into();
        Some(Shown { payload, line })
    }
}

/// A batch, with what was made of it so far.
#[derive(Debug)]
pub(super) struct Noted {
    entries: Arc<[Entry]>,
    shown: Box<[OnceLock<Option<Shown>>]>,
}

/// One notice of a batch.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    noted: Arc<Noted>,
    at: usize,
}

impl Notice {
    fn entry(&self) -> &Entry {
        &self.noted.entries[self.at]
    }

    pub fn seq(&self) -> u64 {
        self.entry().seq
    }

    pub fn change(&self) -> &Change {
        &self.entry().change
    }

    pub fn shown(&self) -> Option<&Shown> {
        self.noted.shown[self.at].get_or_init(|| Shown::of(self.entry())).as_ref()
    }
}

#[derive(Debug, Default)]
pub(super) struct Notices {
    batches: VecDeque<Arc<Noted>>,
    /// Entries in them.
    count: usize,
    /// Above this number every notice is here.
    pub forgotten: u64,
}

impl Notices {
    /// Nobody was there to hear of what came up to that number.
    pub fn pass(&mut self, seq: u64) {
        self.batches.clear();
        self.count = 0;
        self.forgotten = self.forgotten.max(seq);
    }

    /// Keeps a batch; the oldest ones make room.
    pub fn keep(&mut self, entries: &Arc<[Entry]>) {
        let shown = std::iter::repeat_with(OnceLock::new).take(entries.len()).collect();
        self.batches.push_back(Arc::new(Noted { entries: entries.clone(), shown }));
        self.count += entries.len();
        while self.count > KEPT {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.count -= oldest.entries.len();
            self.forgotten = oldest.entries.last().map_or(self.forgotten, |entry| entry.seq);
        }
    }

    /// The notices behind a number, in order, at most `limit`.
    pub fn after(&self, seq: u64, limit: usize) -> Vec<Notice> {
        let first = self.batches.partition_point(|noted| noted.entries.last().is_none_or(|entry| entry.seq <= seq));
        let of = |noted: &Arc<Noted>| {
            let from = noted.entries.partition_point(|entry| entry.seq <= seq);
            let notices = (from..noted.entries.len()).filter(|at| notice::name(&noted.entries[*at].change).is_some());
            notices.map(|at| Notice { noted: noted.clone(), at }).collect::<Vec<_>>()
        };
        self.batches.iter().skip(first).flat_map(of).take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lease::End;
    use crate::domain::time::Wall;

    fn batch(first: u64, count: u64) -> Arc<[Entry]> {
        let change = Change::LeaseEnded { network: "lan".to_owned(), ip: [10, 0, 0, 7].into(), end: End::Expired };
        (first..first + count).map(|seq| Entry { seq, at: Wall(0), change: change.clone() }).collect()
    }

    fn numbers(notices: &Notices, after: u64, limit: usize) -> Vec<u64> {
        notices.after(after, limit).iter().map(Notice::seq).collect()
    }

    #[test]
    fn the_newest_are_kept_within_bounds_and_found_by_number() {
        let mut notices = Notices::default();
        notices.pass(10);
        notices.keep(&batch(11, 3));
        notices.keep(&batch(14, 2));
        assert_eq!(numbers(&notices, 10, 99), [11, 12, 13, 14, 15]);
        assert_eq!(numbers(&notices, 12, 2), [13, 14]);
        assert!(numbers(&notices, 15, 99).is_empty());
        notices.keep(&batch(16, KEPT as u64 - 2));
        assert_eq!((notices.forgotten, numbers(&notices, 10, 1)), (13, vec![14]));
        // one that is larger than all that is kept is read from history
        notices.keep(&batch(20_000, KEPT as u64 + 1));
        assert_eq!((notices.forgotten, numbers(&notices, 0, 1)), (20_000 + KEPT as u64, vec![]));
    }
}

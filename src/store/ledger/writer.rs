//! The one task that writes: gathers a batch, makes it durable, applies it to the views, releases its
//! waiters, publishes it. Folds the tables while nobody waits.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::{
    Answer, BATCH_CHANGES, Batch, CommitError, Committed, Entry, Order, Outcome, Port, PortError, Refusal, View, Vote,
};
use crate::clock::Clock;
use crate::domain::change::Claim;
use crate::domain::time::Wall;

/// How long nobody must have waited before the tables are folded: a burst's next request is not to
/// find the disk busy with them.
const IDLE: Duration = Duration::from_millis(5);

pub(super) struct Writer<P> {
    pub port: P,
    pub queue: mpsc::Receiver<Order>,
    pub views: Vec<Box<dyn View>>,
    pub clock: Arc<dyn Clock>,
    pub head: Arc<AtomicU64>,
    pub published: broadcast::Sender<Arc<[Entry]>>,
    /// Batches that were written, and the changes in them.
    pub sizes: (Arc<AtomicU64>, Arc<AtomicU64>),
    /// Orders that were taken off the queue and have to wait for the next batch.
    pub held: VecDeque<Order>,
}

/// A batch under construction.
struct Draft {
    at: Wall,
    entries: Vec<Entry>,
    texts: Vec<Box<str>>,
    claims: Claims,
    waiting: Vec<(Answer, Outcome)>,
}

/// What the entries of a batch touch. Only votes and failures ask: it is gathered then.
#[derive(Default)]
struct Claims {
    known: HashSet<Claim>,
    /// Entries whose claims are known.
    seen: usize,
}

impl Claims {
    fn of(&mut self, entries: &[Entry]) -> &mut HashSet<Claim> {
        let new = entries.get(self.seen..).unwrap_or_default();
        self.known.extend(new.iter().flat_map(|entry| entry.change.claims()));
        self.seen = entries.len();
        &mut self.known
    }
}

impl<P: Port> Writer<P> {
    pub async fn run(mut self) -> Result<(), PortError> {
        while let Some(order) = self.next().await? {
            let (draft, stop) = self.gather(order);
            self.write(draft).await?;
            if let Some(done) = stop {
                self.queue.close();
                while self.fold().await? {}
                let closed = self.port.close().await;
                let _ = done.send(());
                return closed;
            }
        }
        self.port.close().await
    }

    /// The next order; folds while nobody waits.
    async fn next(&mut self) -> Result<Option<Order>, PortError> {
        let mut idle = IDLE;
        loop {
            if self.port.must_fold() {
                self.fold().await?;
            }
            if let Some(order) = self.held.pop_front() {
                return Ok(Some(order));
            }
            match tokio::time::timeout(idle, self.queue.recv()).await {
                Ok(order) => return Ok(order),
                Err(_) if self.fold().await? => idle = Duration::ZERO,
                Err(_) => return Ok(self.queue.recv().await),
            }
        }
    }

    /// One piece of folding. A refusal (disk full) is no reason to end: the journal holds the truth.
    async fn fold(&mut self) -> Result<bool, PortError> {
        match self.port.fold().await {
            Err(PortError::Refused(why)) => {
                tracing::warn!(%why, "the tables could not be folded; trying again later");
                Ok(false)
            }
            other => other,
        }
    }

    /// Takes in what waits, up to the bound, without sleeping for more.
    fn gather(&mut self, first: Order) -> (Draft, Option<oneshot::Sender<()>>) {
        let at = self.clock.wall();
        let mut draft =
            Draft { at, entries: Vec::new(), texts: Vec::new(), claims: Claims::default(), waiting: Vec::new() };
        let mut stop = self.take(first, &mut draft);
        while stop.is_none() && draft.entries.len() < BATCH_CHANGES {
            let Some(order) = self.held.pop_front().or_else(|| self.queue.try_recv().ok()) else { break };
            if must_wait(&order, &mut draft) {
                self.held.push_front(order);
                break;
            }
            stop = self.take(order, &mut draft);
        }
        (draft, stop)
    }

    fn take(&mut self, order: Order, draft: &mut Draft) -> Option<oneshot::Sender<()>> {
        let (proposal, answer) = match order {
            Order::Stop(done) => return Some(done),
            Order::Propose(proposal, answer) => (proposal, answer),
        };
        let (changes, refusal) = match proposal.vote.map_or(Ok(()), |vote| ask(vote, draft.at)) {
            Ok(()) => (proposal.changes, None),
            Err(refusal) => (proposal.otherwise, Some(refusal)),
        };
        let seq = self.head.load(Ordering::Acquire) + draft.entries.len() as u64 + 1;
        let committed = Committed { seq, at: draft.at };
        let outcome = match refusal {
            None => Outcome::Committed(committed),
            Some(refusal) => Outcome::Refused { refusal, committed: (!changes.is_empty()).then_some(committed) },
        };
        for (i, (change, text)) in changes.into_iter().enumerate() {
            draft.entries.push(Entry { seq: seq + i as u64, at: draft.at, change });
            draft.texts.push(text);
        }
        draft.waiting.push((answer, outcome));
        None
    }

    /// Durable, then in the views, then released, then published.
    async fn write(&mut self, draft: Draft) -> Result<(), PortError> {
        let Draft { entries, texts, mut claims, waiting, .. } = draft;
        let entries: Arc<[Entry]> = entries.into();
        if !entries.is_empty() {
            if let Err(error) = self.port.append(Batch { entries: entries.clone(), texts }).await {
                return self.refused(error, std::mem::take(claims.of(&entries)), waiting);
            }
            self.sizes.0.fetch_add(1, Ordering::Relaxed);
            self.sizes.1.fetch_add(entries.len() as u64, Ordering::Relaxed);
            self.views.iter_mut().for_each(|view| view.take_in(&entries));
            self.head.fetch_add(entries.len() as u64, Ordering::AcqRel);
        }
        for (answer, outcome) in waiting {
            let _ = answer.send(Ok(outcome));
        }
        if !entries.is_empty() {
            let _ = self.published.send(entries);
        }
        Ok(())
    }

    /// The batch is lost, and with it what was decided on the assumption that it would be there: every
    /// waiting proposal that meets its claims. The newest is told first, so that whoever owns an address
    /// unwinds in the reverse of the order in which it decided.
    fn refused(
        &mut self,
        error: PortError,
        mut lost: HashSet<Claim>,
        waiting: Vec<(Answer, Outcome)>,
    ) -> Result<(), PortError> {
        let mut failed: Vec<Answer> = waiting.into_iter().map(|(answer, _)| answer).collect();
        let queued = self.held.drain(..).chain(std::iter::from_fn(|| self.queue.try_recv().ok())).collect::<Vec<_>>();
        for order in queued {
            match order {
                Order::Propose(proposal, answer) if proposal.claims().any(|claim| lost.contains(&claim)) => {
                    lost.extend(proposal.claims());
                    failed.push(answer);
                }
                other => self.held.push_back(other),
            }
        }
        for answer in failed.into_iter().rev() {
            let _ = answer.send(Err(CommitError::Port(error.clone())));
        }
        match error {
            PortError::Refused(why) => {
                tracing::error!(%why, "a batch could not be committed");
                Ok(())
            }
            fatal @ PortError::Fatal(_) => Err(fatal),
        }
    }
}

/// A vote must see every change that could matter to it applied.
fn must_wait(order: &Order, draft: &mut Draft) -> bool {
    let Order::Propose(proposal, _) = order else { return false };
    if proposal.vote.is_none() {
        return false;
    }
    let claimed = draft.claims.of(&draft.entries);
    proposal.claims().any(|claim| claimed.contains(&claim))
}

/// A vote that panics is lost: it must not stop the others.
fn ask(vote: Vote, at: Wall) -> Result<(), Refusal> {
    catch_unwind(AssertUnwindSafe(|| vote(at))).unwrap_or_else(|_| {
        Err(Refusal { code: "internal".to_owned(), message: "the vote on this change panicked".to_owned() })
    })
}

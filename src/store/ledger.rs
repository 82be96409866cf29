//! The only writer. Waiting proposals become ONE journal row per batch; then, in this order: the row is
//! durable, the views take the entries in, the waiters are released, the entries are published.
//! Owns the sequence numbers. Refuses to know what a change means.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::entries;
use crate::clock::Clock;
use crate::domain::change::{Change, Claim};
use crate::domain::time::Wall;

/// Proposals that may wait for the writer (reliability reference, section 4).
pub const QUEUE: usize = 4096;
/// Changes that bound how much more a batch takes in; one atomic proposal is never split.
pub const BATCH_CHANGES: usize = 256;
/// Changes in one atomic proposal.
pub const PROPOSAL_CHANGES: usize = 50_000;
/// Bytes of one atomic proposal, as it stands in the journal.
pub const PROPOSAL_BYTES: usize = 32 << 20;
/// How long nobody must have waited before the tables are folded: a burst's next request is not to
/// find the disk busy with them.
const IDLE: Duration = Duration::from_millis(5);

/// One durable fact with its place in the total order.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub seq: u64,
    /// When its batch was committed.
    pub at: Wall,
    pub change: Change,
}

/// What becomes one row of the journal: never empty, in seq order, committed at one time.
#[derive(Debug, Clone)]
pub struct Batch {
    pub entries: Arc<[Entry]>,
    /// Each entry's change as [`entries::encode`] wrote it.
    pub texts: Vec<Box<str>>,
}

/// What the ledger needs of a disk. The batch is durable when `append` returns.
pub trait Port: Send + 'static {
    /// Makes one batch durable as one row.
    fn append(&mut self, batch: Batch) -> impl Future<Output = Result<(), PortError>> + Send;
    /// Brings the tables up behind the journal, a bounded piece of work; true if more is left to do.
    /// Called only while nobody waits, or when the unfolded tail is too long.
    fn fold(&mut self) -> impl Future<Output = Result<bool, PortError>> + Send;
    /// True if the unfolded tail exceeds its bound and folding must not be put off.
    fn must_fold(&self) -> bool {
        false
    }
    /// Flushes and closes; called once, after the last batch.
    fn close(&mut self) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Why a disk refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing of the batch was kept; the next one may succeed (disk full, locked).
    #[error("the journal refused a batch: {0}")]
    Refused(String),
    /// What is on disk is unknown or damaged: the process must end (RL-104).
    #[error("the journal cannot be trusted any more: {0}")]
    Fatal(String),
}

/// State as it stood when the daemon was last up: the tables, as the changes that would make them, then
/// the unfolded tail.
#[derive(Debug, Default)]
pub struct Recovered {
    pub entries: Vec<Entry>,
    /// Highest sequence number ever given; 0 for a new database.
    pub head: u64,
    /// Random per database and per restore.
    pub epoch: String,
    /// What was found damaged and set aside, for the administrator: one sentence each.
    pub findings: Vec<String>,
}

/// Something that many read and that only the ledger changes.
pub trait View: Send {
    /// Takes in one committed batch, in seq order. When this returns, readers see it. Runs in the
    /// ledger's task before any waiter is released: it must be quick and must not block.
    fn apply(&mut self, batch: &[Entry]);
}

/// Asked in the ledger's task, against views that hold every earlier change that could matter to it.
pub type Vote = Box<dyn FnOnce(Wall) -> Result<(), Refusal> + Send>;

/// Why a vote was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// A closed word such as `conflict`.
    pub code: String,
    /// What collides with what.
    pub message: String,
}

/// Changes that become durable together or not at all.
pub struct Proposal {
    pub changes: Vec<Change>,
    pub vote: Option<Vote>,
    /// Written instead of `changes` when the vote is lost, in the same batch.
    pub otherwise: Vec<Change>,
}

impl From<Vec<Change>> for Proposal {
    fn from(changes: Vec<Change>) -> Proposal {
        Proposal { changes, vote: None, otherwise: Vec::new() }
    }
}

/// A durable proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Number of its first entry; entry i is `seq + i`.
    pub seq: u64,
    pub at: Wall,
}

/// How a proposal with a vote came out; either way what it says is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Committed(Committed),
    /// The vote was lost; `committed` is there if `otherwise` was not empty.
    Refused {
        refusal: Refusal,
        committed: Option<Committed>,
    },
}

/// Why nothing became durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("the ledger's queue is full")]
    Full,
    #[error("the daemon is stopping")]
    Stopping,
    #[error("{0}")]
    Port(PortError),
    #[error("{0} changes in one commit; at most {PROPOSAL_CHANGES} are possible")]
    TooLarge(usize),
    #[error("{0} bytes in one commit; at most {PROPOSAL_BYTES} are possible")]
    TooLong(usize),
    /// The change cannot be written down.
    #[error(transparent)]
    Unwritable(#[from] entries::EntryError),
}

type Answer = oneshot::Sender<Result<Outcome, CommitError>>;
enum Order {
    Propose(Encoded, Answer),
    Stop(oneshot::Sender<()>),
}

/// A proposal whose changes are already written out, by whoever proposed it.
struct Encoded {
    changes: Vec<(Change, Box<str>)>,
    vote: Option<Vote>,
    otherwise: Vec<(Change, Box<str>)>,
}

impl Encoded {
    fn new(proposal: Proposal) -> Result<Encoded, CommitError> {
        let Proposal { changes, vote, otherwise } = proposal;
        Ok(Encoded { changes: encoded(changes)?, vote, otherwise: encoded(otherwise)? })
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        self.changes.iter().flat_map(|(change, _)| change.claims())
    }
}

fn encoded(changes: Vec<Change>) -> Result<Vec<(Change, Box<str>)>, CommitError> {
    if changes.len() > PROPOSAL_CHANGES {
        return Err(CommitError::TooLarge(changes.len()));
    }
    let mut bytes = 0;
    let mut out = Vec::with_capacity(changes.len());
    for change in changes {
        let text = entries::encode(&change)?.into_boxed_str();
        bytes += text.len();
        if bytes > PROPOSAL_BYTES {
            return Err(CommitError::TooLong(bytes));
        }
        out.push((change, text));
    }
    Ok(out)
}

/// Handle to the writer.
#[derive(Clone)]
pub struct Ledger {
    orders: mpsc::Sender<Order>,
    published: broadcast::Sender<Arc<[Entry]>>,
    head: Arc<AtomicU64>,
    epoch: Arc<str>,
}

/// Ends when the writer ended: `Ok` after [`Ledger::stop`], `Err` when the disk cannot be trusted any
/// more and the process must end. If the sender is gone, a view panicked: the process must end as well.
pub type WriterEnd = oneshot::Receiver<Result<(), PortError>>;

impl Ledger {
    /// Feeds what was recovered to the views, then starts the writer.
    pub fn start<P: Port>(
        port: P,
        recovered: Recovered,
        mut views: Vec<Box<dyn View>>,
        clock: Arc<dyn Clock>,
    ) -> (Ledger, WriterEnd) {
        for chunk in recovered.entries.chunks(4096) {
            views.iter_mut().for_each(|view| view.apply(chunk));
        }
        let (orders, queue) = mpsc::channel(QUEUE);
        let (published, _) = broadcast::channel(1024);
        let head = Arc::new(AtomicU64::new(recovered.head));
        let ledger = Ledger { orders, published: published.clone(), head: head.clone(), epoch: recovered.epoch.into() };
        let (ended, end) = oneshot::channel();
        let writer = Writer { port, queue, views, clock, head, published, held: VecDeque::new() };
        tokio::spawn(async move {
            let _ = ended.send(writer.run().await);
        });
        (ledger, end)
    }

    /// Makes the changes durable together; returns once they are committed and the views hold them.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<Committed, CommitError> {
        match self.propose(changes.into()).await? {
            Outcome::Committed(committed) => Ok(committed),
            Outcome::Refused { .. } => unreachable!("a commit has no vote"),
        }
    }

    /// As [`Ledger::commit`], with a vote.
    pub async fn propose(&self, proposal: Proposal) -> Result<Outcome, CommitError> {
        self.submit(proposal)?.await.unwrap_or(Err(CommitError::Stopping))
    }

    /// Queues without waiting: proposals are decided in the order of these calls.
    pub fn submit(&self, proposal: Proposal) -> Result<oneshot::Receiver<Result<Outcome, CommitError>>, CommitError> {
        let proposal = Encoded::new(proposal)?;
        let (answer, receiver) = oneshot::channel();
        self.orders.try_send(Order::Propose(proposal, answer)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CommitError::Full,
            mpsc::error::TrySendError::Closed(_) => CommitError::Stopping,
        })?;
        Ok(receiver)
    }

    /// Committed batches, in seq order, after their waiters were released. A slow subscriber loses the
    /// oldest ones (`Lagged`) and must read them elsewhere.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<[Entry]>> {
        self.published.subscribe()
    }

    /// Number of the newest entry.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Random per database and per restore (CL-509).
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Proposals that wait.
    pub fn depth(&self) -> usize {
        QUEUE - self.orders.capacity()
    }

    /// Commits what waits, folds, closes the disk. Later proposals are refused.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

struct Writer<P> {
    port: P,
    queue: mpsc::Receiver<Order>,
    views: Vec<Box<dyn View>>,
    clock: Arc<dyn Clock>,
    head: Arc<AtomicU64>,
    published: broadcast::Sender<Arc<[Entry]>>,
    /// Orders that were taken off the queue and have to wait for the next batch.
    held: VecDeque<Order>,
}

/// A batch under construction.
struct Draft {
    at: Wall,
    entries: Vec<Entry>,
    texts: Vec<Box<str>>,
    claims: HashSet<Claim>,
    waiting: Vec<(Answer, Outcome)>,
}

impl<P: Port> Writer<P> {
    async fn run(mut self) -> Result<(), PortError> {
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
            Draft { at, entries: Vec::new(), texts: Vec::new(), claims: HashSet::new(), waiting: Vec::new() };
        let mut stop = self.take(first, &mut draft);
        while stop.is_none() && draft.entries.len() < BATCH_CHANGES {
            let Some(order) = self.held.pop_front().or_else(|| self.queue.try_recv().ok()) else { break };
            if must_wait(&order, &draft) {
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
            draft.claims.extend(change.claims());
            draft.entries.push(Entry { seq: seq + i as u64, at: draft.at, change });
            draft.texts.push(text);
        }
        draft.waiting.push((answer, outcome));
        None
    }

    /// Durable, then in the views, then released, then published.
    async fn write(&mut self, draft: Draft) -> Result<(), PortError> {
        let Draft { entries, texts, claims, waiting, .. } = draft;
        let entries: Arc<[Entry]> = entries.into();
        if !entries.is_empty() {
            if let Err(error) = self.port.append(Batch { entries: entries.clone(), texts }).await {
                return self.refused(error, claims, waiting);
            }
            self.views.iter_mut().for_each(|view| view.apply(&entries));
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
fn must_wait(order: &Order, draft: &Draft) -> bool {
    let Order::Propose(proposal, _) = order else { return false };
    proposal.vote.is_some() && proposal.claims().any(|claim| draft.claims.contains(&claim))
}

/// A vote that panics is lost: it must not stop the others.
fn ask(vote: Vote, at: Wall) -> Result<(), Refusal> {
    catch_unwind(AssertUnwindSafe(|| vote(at))).unwrap_or_else(|_| {
        Err(Refusal { code: "internal".to_owned(), message: "the vote on this change panicked".to_owned() })
    })
}

#[cfg(test)]
mod tests;

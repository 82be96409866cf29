//! The only writer. Waiting proposals become ONE journal row per batch; then, in this order: the row is
//! durable, the views take the entries in, the waiters are released, the entries are published.
//! Owns the sequence numbers. Refuses to know what a change means.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::clock::Clock;
use crate::domain::change::{Change, Claim};
use crate::domain::time::Wall;

/// Proposals that may wait for the writer (reliability reference, section 4).
pub const QUEUE: usize = 4096;
/// Changes that bound how much more a batch takes in; one atomic proposal is never split.
pub const BATCH_CHANGES: usize = 256;
/// Changes in one atomic proposal.
pub const PROPOSAL_CHANGES: usize = 50_000;

/// One durable fact with its place in the total order.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub seq: u64,
    /// When its batch was committed.
    pub at: Wall,
    pub change: Change,
}

/// What the ledger needs of a disk. The batch is durable when `append` returns.
pub trait Port: Send + 'static {
    /// Makes one batch durable as one row; `entries` are in seq order and never empty.
    fn append(&mut self, entries: &[Entry]) -> impl Future<Output = Result<(), PortError>> + Send;
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
}

type Answer = oneshot::Sender<Result<Outcome, CommitError>>;
enum Order {
    Propose(Proposal, Answer),
    Stop(oneshot::Sender<()>),
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
/// more and the process must end.
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
        let writer = Writer { port, queue, views, clock, head, published, held: None };
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
        let count = proposal.changes.len().max(proposal.otherwise.len());
        if count > PROPOSAL_CHANGES {
            return Err(CommitError::TooLarge(count));
        }
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
    /// A proposal that had to wait for the batch before it.
    held: Option<Order>,
}

/// A batch under construction.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    claims: HashSet<Claim>,
    waiting: Vec<(Answer, Outcome)>,
}

impl<P: Port> Writer<P> {
    async fn run(mut self) -> Result<(), PortError> {
        loop {
            let Some(order) = self.next().await? else { return self.port.close().await };
            let mut batch = Batch::default();
            let mut stop = self.take(order, &mut batch);
            while stop.is_none() && batch.entries.len() < BATCH_CHANGES {
                let Ok(order) = self.queue.try_recv() else { break };
                if Self::must_wait(&order, &batch) {
                    self.held = Some(order);
                    break;
                }
                stop = self.take(order, &mut batch);
            }
            self.write(batch).await?;
            if let Some(done) = stop {
                self.queue.close();
                while self.port.fold().await? {}
                let closed = self.port.close().await;
                let _ = done.send(());
                return closed;
            }
        }
    }

    /// The next order; folds while nobody waits.
    async fn next(&mut self) -> Result<Option<Order>, PortError> {
        if let Some(order) = self.held.take() {
            return Ok(Some(order));
        }
        loop {
            if self.port.must_fold() {
                self.fold().await?;
            }
            match self.queue.try_recv() {
                Ok(order) => return Ok(Some(order)),
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(None),
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            if !self.fold().await? {
                return Ok(self.queue.recv().await);
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

    /// A vote must see every change that could matter to it applied.
    fn must_wait(order: &Order, batch: &Batch) -> bool {
        let Order::Propose(proposal, _) = order else { return false };
        proposal.vote.is_some()
            && proposal.changes.iter().flat_map(Change::claims).any(|claim| batch.claims.contains(&claim))
    }

    fn take(&mut self, order: Order, batch: &mut Batch) -> Option<oneshot::Sender<()>> {
        let (proposal, answer) = match order {
            Order::Stop(done) => return Some(done),
            Order::Propose(proposal, answer) => (proposal, answer),
        };
        let at = self.clock.wall();
        let verdict = proposal.vote.map_or(Ok(()), |vote| vote(at));
        let (changes, refusal) = match verdict {
            Ok(()) => (proposal.changes, None),
            Err(refusal) => (proposal.otherwise, Some(refusal)),
        };
        let seq = self.head.load(Ordering::Acquire) + batch.entries.len() as u64 + 1;
        let committed = Committed { seq, at };
        let outcome = match refusal {
            None => Outcome::Committed(committed),
            Some(refusal) => Outcome::Refused { refusal, committed: (!changes.is_empty()).then_some(committed) },
        };
        for (i, change) in changes.into_iter().enumerate() {
            batch.claims.extend(change.claims());
            batch.entries.push(Entry { seq: seq + i as u64, at, change });
        }
        batch.waiting.push((answer, outcome));
        None
    }

    async fn write(&mut self, batch: Batch) -> Result<(), PortError> {
        let Batch { entries, waiting, .. } = batch;
        if !entries.is_empty() {
            if let Err(error) = self.port.append(&entries).await {
                for (answer, _) in waiting {
                    let _ = answer.send(Err(CommitError::Port(error.clone())));
                }
                return match error {
                    PortError::Refused(why) => {
                        tracing::error!(%why, "a batch could not be committed");
                        Ok(())
                    }
                    fatal @ PortError::Fatal(_) => Err(fatal),
                };
            }
            self.views.iter_mut().for_each(|view| view.apply(&entries));
            self.head.fetch_add(entries.len() as u64, Ordering::AcqRel);
        }
        for (answer, outcome) in waiting {
            let _ = answer.send(Ok(outcome));
        }
        if !entries.is_empty() {
            let _ = self.published.send(entries.into());
        }
        Ok(())
    }
}

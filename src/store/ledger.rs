//! The only writer. Waiting proposals become ONE journal row per batch; then, in this order: the row is
//! durable, the views take the entries in, the waiters are released, the entries are published.
//! Owns the sequence numbers. Refuses to know what a change means.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{broadcast, mpsc, oneshot};

use super::entries;
use crate::clock::Clock;
use crate::domain::change::{Change, Claim};
use crate::domain::time::Wall;

/// The task behind the queue.
mod writer;

use writer::Writer;

/// Proposals that may wait for the writer (reliability reference, section 4).
pub const QUEUE: usize = 4096;
/// Changes that bound how much more a batch takes in; one atomic proposal is never split.
pub const BATCH_CHANGES: usize = 256;
/// Changes in one atomic proposal.
pub const PROPOSAL_CHANGES: usize = 50_000;
/// Bytes of one atomic proposal, as it stands in the journal.
pub const PROPOSAL_BYTES: usize = 32 << 20;

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

    /// As [`View::apply`], for a batch that was committed just now and may be kept as it is.
    fn take_in(&mut self, batch: &Arc<[Entry]>) {
        self.apply(batch);
    }
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
        let count = |name| crate::metrics::counter(name, &[]);
        let sizes = (count("lanlord_ledger_batches_total"), count("lanlord_ledger_batch_changes_total"));
        let writer = Writer { port, queue, views, clock, head, published, sizes, held: VecDeque::new() };
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

#[cfg(test)]
mod tests;

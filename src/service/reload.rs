//! Loading the configuration again while everybody is served (DH-607): the one way in for the signal, the
//! API and the command line. Owns the question and the answer; whoever reads files does it elsewhere.

use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

/// Reloads that may wait: the one that is under way and the one that will see what was written since.
const WAITING: usize = 8;

/// What must be changed before the new configuration can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub file: PathBuf,
    /// Line and column, both from 1; `None` if it is about the whole file.
    pub at: Option<(usize, usize)>,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How one key of the file differs from what was in force before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Added,
    Changed,
    Removed,
}

/// A key that differs. Its values are not told: some are secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As it stands in the file; members of lists by their name, such as `network.voice.lease_time`.
    pub key: String,
    pub how: How,
}

/// The new configuration is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What differs from the configuration that was in force before, in the order of the keys.
    pub changed: Vec<Difference>,
    /// Differences that are not listed, because they are too many.
    pub more: usize,
    /// Keys that differ from those the daemon started with, and that only a restart takes over.
    pub restart: Vec<&'static str>,
    /// What was left out, and what looks wrong, while all else is served.
    pub findings: Vec<String>,
    /// Leases that no subnet or pool of the new configuration covers: they are kept until they end, and
    /// their clients are refused at the next renewal.
    pub outside: usize,
}

/// Why nothing was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// All problems of the file, or of the zone files; the old configuration is in force.
    Invalid(Vec<Fault>),
    /// The daemon is stopping, or others have asked for a reload that is still to come.
    Busy,
    /// It broke off; the log knows more.
    Broken,
}

/// Where the answer of a reload goes.
pub type Answer = oneshot::Sender<Result<Reloaded, Refused>>;

/// Asks for reloads. Clones ask the same daemon.
#[derive(Clone)]
pub struct Reloads(mpsc::Sender<Answer>);

impl Reloads {
    /// The way in, and where questions come out; whoever takes them answers each one in turn.
    pub fn new() -> (Reloads, mpsc::Receiver<Answer>) {
        let (ask, asked) = mpsc::channel(WAITING);
        (Reloads(ask), asked)
    }

    /// Loads the configuration again, after reloads that others asked for before.
    pub async fn reload(&self) -> Result<Reloaded, Refused> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).map_err(|_| Refused::Busy)?;
        answered.await.unwrap_or(Err(Refused::Busy))
    }
}

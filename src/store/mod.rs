//! The journal and its tables. Owns every byte on disk; refuses to know protocols or services.

/// The queue of changes in front of the journal: group commit, votes, views, release.
pub mod ledger;
/// A disk in memory: the ledger's port for tests.
pub mod memory;

pub use ledger::{
    CommitError, Committed, Entry, Ledger, Outcome, Port, PortError, Proposal, Recovered, Refusal, View, Vote,
};

//! The journal and its tables. Owns every byte on disk; refuses to know protocols or services.

/// The writing connection on its thread.
mod disk;
/// How a change is written down: versioned JSON, frozen once released.
pub mod entries;
/// Bringing the tables up behind the journal.
mod fold;
/// What outlives the journal: events, transactions, audit, assignments of addresses.
pub mod history;
/// The queue of changes in front of the journal: group commit, votes, views, release.
pub mod ledger;
/// Reading the tables and the tail of the journal back.
mod load;
/// A disk in memory: the ledger's port for tests.
pub mod memory;
/// Opening a state directory: checks, migrations, recovery.
pub mod open;
/// The ledger's port over SQLite.
pub mod sqlite;
/// Transactions in the tail of the journal, by key.
mod unfolded;

pub use history::History;
pub use ledger::{
    Batch, CommitError, Committed, Entry, Ledger, Outcome, Port, PortError, Proposal, Recovered, Refusal, View, Vote,
};
pub use open::{OpenError, Opened, open};
pub use sqlite::SqlitePort;

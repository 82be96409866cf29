//! What a run had in it.

use crate::laws6::Tally6;

/// What a run had in it: a run without any of these would prove little.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub acks: u64,
    pub naks: u64,
    pub lives: u64,
    pub full: u64,
    pub entries: u64,
    pub devices: u64,
    pub fetched: u64,
    /// Final events that the outside was told of.
    pub finals: u64,
    pub cancelled: u64,
    pub six: Tally6,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.acks += other.acks;
        self.naks += other.naks;
        self.lives += other.lives;
        self.full += other.full;
        self.entries += other.entries;
        self.devices += other.devices;
        self.fetched += other.fetched;
        self.finals += other.finals;
        self.cancelled += other.cancelled;
        self.six.add(other.six);
    }
}

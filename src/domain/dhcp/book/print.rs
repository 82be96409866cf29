//! Fingerprints of clients: 128 bits, keyed at random, so that nobody can choose two clients that share one.
//! What a fingerprint leads to names its client all the same, and is compared.

use std::hash::{BuildHasher, RandomState};

use crate::domain::lease::ClientKey;

/// Stands for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Print([u64; 2]);

/// Makes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prints([RandomState; 2]);

impl Prints {
    pub fn of(&self, client: &ClientKey) -> Print {
        Print([self.0[0].hash_one(client), self.0[1].hash_one(client)])
    }
}

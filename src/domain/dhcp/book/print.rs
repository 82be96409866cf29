//! Fingerprints of clients: 128 bits, keyed at random, so that nobody can choose two clients that share one.
//! What a fingerprint leads to names its client all the same, and is compared.

use std::hash::{BuildHasher as _, Hash, Hasher};

use crate::domain::hash::Seed;
use crate::domain::lease::ClientKey;

/// Stands for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print([u64; 2]);

impl Hash for Print {
    /// It is a hash already.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// Makes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prints([Seed; 2]);

impl Prints {
    pub fn of(&self, client: &ClientKey) -> Print {
        Print([self.0[0].hash_one(client), self.0[1].hash_one(client)])
    }
}

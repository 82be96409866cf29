//! Hash tables of the hot paths. Keyed at random in every process, so that nobody outside can choose keys
//! that meet; a few times faster than the default ones, which withstand more than a network can try.

use std::collections::HashMap;

/// Makes the hashes.
pub type Seed = foldhash::quality::RandomState;

/// A table for keys that strangers have a say in.
pub type Table<K, V> = HashMap<K, V, Seed>;

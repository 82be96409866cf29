//! A persistent map from names to nodes: a clone shares everything, a change copies the few branches on
//! its way (DN-112). A hash array mapped trie with 32 children a branch.

use std::sync::Arc;

/// What the map holds: a node's name and records in one allocation, and how many nodes stand directly
/// below it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// First the length of the name, then the name in wire form, then the record sets.
    blob: Arc<[u8]>,
    pub children: u32,
}

impl Entry {
    /// `name` in wire form, `sets` as [`super::rrset`] encodes them.
    pub fn new(name: &[u8], sets: &[u8], children: u32) -> Entry {
        let mut blob = Vec::with_capacity(1 + name.len() + sets.len());
        blob.push(name.len() as u8); // at most 255
        blob.extend_from_slice(name);
        blob.extend_from_slice(sets);
        Entry { blob: blob.into(), children }
    }

    pub fn name(&self) -> &[u8] {
        &self.blob[1..1 + usize::from(self.blob[0])]
    }

    /// Encoded record sets; empty for an empty non-terminal.
    pub fn sets(&self) -> &[u8] {
        &self.blob[1 + usize::from(self.blob[0])..]
    }
}

#[derive(Debug, Clone)]
enum Slot {
    Leaf(Entry),
    Branch(Arc<Branch>),
}

/// One bit of `bitmap` per child that exists. Below the last level, where the hash is used up, the bitmap
/// is not used and all slots are leaves with one hash.
#[derive(Debug, Clone, Default)]
struct Branch {
    bitmap: u32,
    slots: Vec<Slot>,
}

const BITS: u32 = 5;
const LEVELS: u32 = 64 / BITS;

fn bit(hash: u64, level: u32) -> u32 {
    1 << ((hash >> (level * BITS)) & 31)
}

impl Branch {
    fn position(&self, bit: u32) -> usize {
        (self.bitmap & (bit - 1)).count_ones() as usize
    }
}

/// The map. Hashes come from outside, so that a lookup computes them once for all suffixes of a name.
#[derive(Debug, Clone, Default)]
pub struct Map {
    root: Arc<Branch>,
    len: usize,
}

impl Map {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, hash: u64, name: &[u8]) -> Option<&Entry> {
        let mut branch = &*self.root;
        for level in 0..LEVELS {
            let bit = bit(hash, level);
            if branch.bitmap & bit == 0 {
                return None;
            }
            match &branch.slots[branch.position(bit)] {
                Slot::Leaf(entry) => return (entry.name() == name).then_some(entry),
                Slot::Branch(next) => branch = next,
            }
        }
        branch.slots.iter().find_map(|slot| match slot {
            Slot::Leaf(entry) if entry.name() == name => Some(entry),
            _ => None,
        })
    }

    /// Puts an entry in the place of the one of the same name, if there is one. `rehash` gives the hash of
    /// any name in this map.
    pub fn insert(&mut self, hash: u64, entry: Entry, rehash: &impl Fn(&[u8]) -> u64) {
        if insert(Arc::make_mut(&mut self.root), 0, hash, entry, rehash) {
            self.len += 1;
        }
    }

    /// True if there was one.
    pub fn remove(&mut self, hash: u64, name: &[u8]) -> bool {
        let found = self.get(hash, name).is_some();
        if found {
            remove(Arc::make_mut(&mut self.root), 0, hash, name);
            self.len -= 1;
        }
        found
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let mut stack = vec![self.root.slots.iter()];
        std::iter::from_fn(move || {
            loop {
                match stack.last_mut()?.next() {
                    Some(Slot::Leaf(entry)) => return Some(entry),
                    Some(Slot::Branch(branch)) => stack.push(branch.slots.iter()),
                    None => {
                        stack.pop();
                    }
                }
            }
        })
    }
}

/// True if it is new.
fn insert(branch: &mut Branch, level: u32, hash: u64, entry: Entry, rehash: &impl Fn(&[u8]) -> u64) -> bool {
    if level == LEVELS {
        let old = branch.slots.iter_mut().find(|s| matches!(s, Slot::Leaf(e) if e.name() == entry.name()));
        return match old {
            Some(slot) => {
                *slot = Slot::Leaf(entry);
                false
            }
            None => {
                branch.slots.push(Slot::Leaf(entry));
                true
            }
        };
    }
    let bit = bit(hash, level);
    let at = branch.position(bit);
    if branch.bitmap & bit == 0 {
        branch.bitmap |= bit;
        branch.slots.insert(at, Slot::Leaf(entry));
        return true;
    }
    match &mut branch.slots[at] {
        Slot::Branch(next) => insert(Arc::make_mut(next), level + 1, hash, entry, rehash),
        Slot::Leaf(old) if old.name() == entry.name() => {
            *old = entry;
            false
        }
        slot @ Slot::Leaf(_) => {
            let mut next = Branch::default();
            if let Slot::Leaf(old) = std::mem::replace(slot, Slot::Branch(Arc::default())) {
                let old_hash = rehash(old.name());
                insert(&mut next, level + 1, old_hash, old, rehash);
            }
            insert(&mut next, level + 1, hash, entry, rehash);
            *slot = Slot::Branch(Arc::new(next));
            true
        }
    }
}

/// Takes out an entry that is there; a branch with a single leaf left becomes that leaf.
fn remove(branch: &mut Branch, level: u32, hash: u64, name: &[u8]) {
    if level == LEVELS {
        branch.slots.retain(|s| !matches!(s, Slot::Leaf(e) if e.name() == name));
        return;
    }
    let bit = bit(hash, level);
    let at = branch.position(bit);
    let lone = match &mut branch.slots[at] {
        Slot::Leaf(_) => {
            branch.bitmap &= !bit;
            branch.slots.remove(at);
            return;
        }
        Slot::Branch(next) => {
            let next = Arc::make_mut(next);
            remove(next, level + 1, hash, name);
            match next.slots.as_slice() {
                [Slot::Leaf(entry)] => entry.clone(),
                _ => return,
            }
        }
    };
    branch.slots[at] = Slot::Leaf(lone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(n: u16) -> Vec<u8> {
        let [a, b] = n.to_be_bytes();
        vec![2, a, b, 0]
    }

    /// Few distinct bits, so that collisions reach the last level.
    fn poor(name: &[u8]) -> u64 {
        u64::from(name[2] & 3) << 60 | u64::from(name[1] & 1)
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordinary_map_and_leaves_older_versions_alone(
            steps in proptest::collection::vec((0u16..600, any::<bool>(), 0u8..4), 1..400)
        ) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            let mut kept = None;
            for (i, (n, put, value)) in steps.iter().enumerate() {
                let name = key(*n);
                if *put {
                    map.insert(poor(&name), Entry::new(&name, &[*value], 0), &poor);
                    model.insert(name, *value);
                } else {
                    prop_assert_eq!(map.remove(poor(&name), &name), model.remove(&name).is_some());
                }
                if i == steps.len() / 2 {
                    kept = Some((map.clone(), model.clone()));
                }
            }
            for (map, model) in kept.into_iter().chain([(map, model)]) {
                prop_assert_eq!(map.len(), model.len());
                let seen: BTreeMap<Vec<u8>, u8> = map.iter().map(|e| (e.name().to_vec(), e.sets()[0])).collect();
                prop_assert_eq!(&seen, &model);
                for n in 0..600 {
                    let name = key(n);
                    prop_assert_eq!(map.get(poor(&name), &name).map(|e| e.sets()[0]), model.get(&name).copied());
                }
            }
        }
    }
}

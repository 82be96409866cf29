//! A name cut up for lookup: where each of its suffixes starts and the hash of each, found in one pass.

use super::name::{MAX_LABELS, MAX_NAME};

/// Multiplies and folds: spreads all bits of both words over the result.
const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128).wrapping_mul(b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;

/// The hash of `label` (length octet included) below a name whose hash is `above`.
fn below(above: u64, label: &[u8]) -> u64 {
    let mut h = above;
    let mut words = label.chunks_exact(8);
    for word in &mut words {
        h = fold(h ^ u64::from_le_bytes(word.try_into().expect("eight octets")), K0);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        h = fold(h ^ u64::from_le_bytes(word), K1);
    }
    h
}

/// A name with all of its suffixes. Depth 0 is the root, depth [`Path::depth`] the name itself.
pub struct Path<'a> {
    name: &'a [u8],
    count: usize,
    starts: [u8; MAX_LABELS + 1],
    hashes: [u64; MAX_LABELS + 1],
}

impl<'a> Path<'a> {
    /// Cuts up a lower-case wire name. The seed keeps strangers from choosing names that collide.
    pub fn new(seed: u64, name: &'a [u8]) -> Path<'a> {
        let mut path = Path { name, count: 0, starts: [0; MAX_LABELS + 1], hashes: [0; MAX_LABELS + 1] };
        let mut at = 0;
        while let Some(&len @ 1..=63) = name.get(at)
            && path.count < MAX_LABELS
        {
            path.starts[path.count] = at as u8; // a wire name is at most 255 octets
            path.count += 1;
            at += 1 + usize::from(len);
        }
        // starts[i] is the i-th label from the left; turn it round so that the index is the depth
        path.starts[..path.count].reverse();
        path.starts.copy_within(0..path.count, 1);
        path.starts[0] = at as u8;
        path.hashes[0] = fold(seed ^ K1, K0);
        for depth in 1..=path.count {
            let (from, to) = (usize::from(path.starts[depth]), usize::from(path.starts[depth - 1]));
            path.hashes[depth] = below(path.hashes[depth - 1], &name[from..to]);
        }
        path
    }

    /// Number of labels.
    pub fn depth(&self) -> usize {
        self.count
    }

    /// The suffix of that many labels, as a wire name.
    pub fn suffix(&self, depth: usize) -> &'a [u8] {
        &self.name[usize::from(self.starts[depth])..]
    }

    /// Its hash.
    pub fn hash(&self, depth: usize) -> u64 {
        self.hashes[depth]
    }

    /// The wildcard directly below the suffix of that depth, with its hash; `None` if it would be too long.
    pub fn wildcard(&self, depth: usize) -> Option<(Wild, u64)> {
        let above = self.suffix(depth);
        let mut wild = Wild { bytes: [0; MAX_NAME], len: above.len() + 2 };
        wild.bytes[..2].copy_from_slice(b"\x01*");
        wild.bytes.get_mut(2..wild.len)?.copy_from_slice(above);
        Some((wild, below(self.hashes[depth], b"\x01*")))
    }
}

/// `*.` and a name, on the stack.
pub struct Wild {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Wild {
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The hash of one whole name, as [`Path`] has it.
pub fn hash(seed: u64, name: &[u8]) -> u64 {
    let mut starts = [0_u8; MAX_LABELS];
    let (mut count, mut at) = (0, 0);
    while let Some(&len @ 1..=63) = name.get(at)
        && count < MAX_LABELS
    {
        starts[count] = at as u8; // a wire name is at most 255 octets
        count += 1;
        at += 1 + usize::from(len);
    }
    let mut hash = fold(seed ^ K1, K0);
    for start in starts[..count].iter().rev() {
        let start = usize::from(*start);
        hash = below(hash, &name[start..at]);
        at = start;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dns::name::Name;

    #[test]
    fn every_suffix_hashes_as_the_name_that_it_is() {
        let name = Name::parse("a-rather-long-label.b.example.com").unwrap();
        let path = Path::new(7, name.as_wire());
        assert_eq!(path.depth(), 4);
        let mut suffix = Some(name.clone());
        for depth in (0..=4).rev() {
            let s = suffix.unwrap();
            assert_eq!(path.suffix(depth), s.as_wire());
            assert_eq!(path.hash(depth), hash(7, s.as_wire()));
            suffix = s.parent();
        }
        let (wild, h) = path.wildcard(2).unwrap();
        assert_eq!(wild.as_wire(), Name::parse("*.example.com").unwrap().as_wire());
        assert_eq!(h, hash(7, wild.as_wire()));
        assert_ne!(path.hash(4), hash(8, name.as_wire()));
    }

    #[test]
    fn the_longest_names_fit() {
        let deep = Name::parse(&vec!["a"; 127].join(".")).unwrap();
        let path = Path::new(1, deep.as_wire());
        assert_eq!(path.depth(), 127);
        assert!(path.wildcard(127).is_none());
        assert_eq!(Path::new(1, b"\0").depth(), 0);
    }
}

//! Hostile DHCP input: the fuzz targets' seeds, and thousands of mutations of them, the same ones at each run.

#[path = "../fuzz/bodies/dhcp4.rs"]
mod dhcp4;

use std::fs;
use std::path::Path;

/// SplitMix64: the same sequence everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).expect("a corpus").map(|f| f.expect("an entry").path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a seed")).collect();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

fn mutate(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=dice.below(6) {
        let at = dice.below(out.len());
        match dice.below(6) {
            0 => out.truncate(at),
            1 => out.insert(at, dice.roll() as u8),
            2 if !out.is_empty() => drop(out.remove(at)),
            3 => out.extend_from_slice(&seed[dice.below(seed.len())..]),
            4 => out.iter_mut().skip(at).take(dice.below(8)).for_each(|b| *b = 0xff),
            _ => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << dice.below(8)),
        }
    }
    out.truncate(8192);
    out
}

/// DH-114, section 12: 20,000 mutated sessions, each also against a policy with no subnet: no panic, no
/// address twice, no answer that cannot be read back.
#[test]
fn twenty_thousand_mutated_sessions_are_survived() {
    let seeds = seeds("dhcp4_decide");
    seeds.iter().for_each(|seed| dhcp4::session(seed));
    let mut dice = Dice(2131);
    for _ in 0..20_000 {
        let seed = &seeds[dice.below(seeds.len())];
        dhcp4::session(&mutate(seed, &mut dice));
    }
}

#[test]
fn mutated_option_values_are_survived() {
    let seeds = seeds("dhcp4_value");
    let mut dice = Dice(2132);
    for _ in 0..20_000 {
        let seed = &seeds[dice.below(seeds.len())];
        dhcp4::value(&mutate(seed, &mut dice));
    }
}

/// The sessions do reach the decisions: a seed binds, renews and releases.
#[test]
fn the_seeds_are_real_conversations() {
    let kinds: std::collections::BTreeSet<u8> = seeds("dhcp4_decide").iter().flat_map(|seed| kinds_in(seed)).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 3, 4, 7, 8]);
}

fn kinds_in(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [_, high, low, after @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let packet = lanlord::domain::dhcp::wire::Packet::walk(&after[..length]).expect("a whole message");
        out.push(packet.option(53).expect("a type")[0]);
        data = &after[length..];
    }
    out
}

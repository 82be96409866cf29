//! Hostile XML: the fuzz target's body over the sketch's messages, and thousands of mutations of them, the
//! same ones at each run.

#[path = "../fuzz/bodies/claws.rs"]
mod claws;

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

/// The sketch's messages, the updates with their end tags repaired, and some XML that few people write.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/claws");
    let mut files: Vec<_> = fs::read_dir(folder).expect("the sketch").map(|f| f.expect("an entry").path()).collect();
    files.sort();
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).expect("a message")).collect();
    assert_eq!(texts.len(), 9, "M1 to M9");
    let repaired = texts.iter().map(|text| text.replace("</claws:event>", "</claws:event-update>"));
    let odd = "<?xml version='1.0'?><a:b xmlns:a='u' a:c='&#x2028;'><![CDATA[<]]><!-- -->&amp;<c xmlns='v'/>t</a:b>";
    texts.iter().cloned().chain(repaired).chain([odd.to_owned()]).map(String::into_bytes).collect()
}

fn mutate(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    const PIECES: [&[u8]; 8] =
        [b"<!DOCTYPE a>", b"&x;", b"&#0;", b" xmlns:p=''", b"<?p?>", b"]]>", b"<claws:event>", b"\xc3"];
    let mut out = seed.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(out.len());
        match dice.below(6) {
            0 => out.truncate(at),
            1 => drop(out.splice(at..at, PIECES[dice.below(8)].iter().copied())),
            2 if !out.is_empty() => drop(out.remove(at)),
            3 => out.extend_from_slice(&seed[dice.below(seed.len())..]),
            4 => {
                let end = (at + dice.below(64)).min(out.len());
                let piece = out[at..end].to_vec();
                drop(out.splice(at..at, piece));
            }
            _ => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << dice.below(7)),
        }
    }
    out
}

/// SE-22: 10,000 mutated messages: no panic, nothing that is accepted reads back otherwise.
#[test]
fn ten_thousand_mutated_messages_are_survived() {
    let seeds = seeds();
    seeds.iter().for_each(|seed| claws::session(seed));
    let mut dice = Dice(2013);
    for _ in 0..10_000 {
        let seed = &seeds[dice.below(seeds.len())];
        claws::session(&mutate(seed, &mut dice));
    }
}

//! Hostile XML: the fuzz target's body over the sketch's messages, and thousands of mutations of them, the
//! same ones at each run.

#[path = "../fuzz/bodies/claws.rs"]
mod claws;

#[path = "common/noise.rs"]
mod noise;

use noise::Noise;

/// The sketch's messages, the updates with their end tags repaired, and some XML that few people write.
fn seeds() -> Vec<Vec<u8>> {
    let files = noise::files("tests/golden/claws").into_iter();
    let texts: Vec<String> = files.map(|bytes| String::from_utf8(bytes).expect("a message")).collect();
    assert_eq!(texts.len(), 9, "M1 to M9");
    let repaired = texts.iter().map(|text| text.replace("</claws:event>", "</claws:event-update>"));
    let odd = "<?xml version='1.0'?><a:b xmlns:a='u' a:c='&#x2028;'><![CDATA[<]]><!-- -->&amp;<c xmlns='v'/>t</a:b>";
    texts.iter().cloned().chain(repaired).chain([odd.to_owned()]).map(String::into_bytes).collect()
}

fn mutate(seed: &[u8], noise: &mut Noise) -> Vec<u8> {
    const PIECES: [&[u8]; 8] =
        [b"<!DOCTYPE a>", b"&x;", b"&#0;", b" xmlns:p=''", b"<?p?>", b"]]>", b"<claws:event>", b"\xc3"];
    let mut out = seed.to_vec();
    for _ in 0..=noise.below(4) {
        let at = noise.below(out.len());
        match noise.below(6) {
            0 => out.truncate(at),
            1 => drop(out.splice(at..at, PIECES[noise.below(8)].iter().copied())),
            2 if !out.is_empty() => drop(out.remove(at)),
            3 => out.extend_from_slice(&seed[noise.below(seed.len())..]),
            4 => {
                let end = (at + noise.below(64)).min(out.len());
                let piece = out[at..end].to_vec();
                drop(out.splice(at..at, piece));
            }
            _ => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << noise.below(7)),
        }
    }
    out
}

/// SE-22: 10,000 mutated messages: no panic, nothing that is accepted reads back otherwise.
#[test]
fn ten_thousand_mutated_messages_are_survived() {
    let seeds = seeds();
    seeds.iter().for_each(|seed| claws::session(seed));
    let mut noise = Noise(2013);
    for _ in 0..10_000 {
        let seed = &seeds[noise.below(seeds.len())];
        claws::session(&mutate(seed, &mut noise));
    }
}

//! Hostile configurations of other servers: the seeds of the fuzz targets, and thousands of mutations of
//! them, the same ones at each run.

#[path = "../fuzz/bodies/import.rs"]
mod import;

use std::collections::BTreeMap;
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
    assert!(seeds.len() >= 8, "only {} seeds for {target}", seeds.len());
    seeds
}

/// Words of the formats, so that mutations reach beyond the syntax.
const WORDS: [&str; 20] = [
    "{",
    "}",
    "\"",
    ";",
    ",",
    "0",
    "255.255.255.255",
    "::",
    "ffff",
    "include \"more\";",
    "<?include \"more\"?>",
    "conf-file=more\n",
    "not ",
    "(",
    ")",
    "'",
    "\\",
    "4294967295",
    "-1",
    "\u{e9}",
];

fn mutate(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=dice.below(5) {
        let at = dice.below(out.len());
        let end = (at + dice.below(40)).min(out.len());
        match dice.below(7) {
            0 => out.truncate(at),
            1 => drop(out.drain(at..end)),
            2 => {
                let part = out[at..end].to_vec();
                let to = dice.below(out.len());
                out.splice(to..to, part);
            }
            3 => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << dice.below(7)),
            4 => out.iter_mut().skip(at).take(1).for_each(|b| *b = b'0' + dice.below(10) as u8),
            _ => {
                let word = WORDS[dice.below(WORDS.len())];
                out.splice(at..at, word.bytes());
            }
        }
    }
    out.truncate(8192);
    out
}

/// Every seed, then mutations of them; what goes wrong is told all at once.
fn survive(target: &str, body: fn(&[u8]), rounds: usize) {
    let seeds = seeds(target);
    let mut dice = Dice(641);
    let mutations = (0..rounds).map(|_| mutate(&seeds[dice.below(seeds.len())], &mut dice)).collect::<Vec<_>>();
    let mut wrong = BTreeMap::new();
    for data in seeds.iter().chain(&mutations) {
        if let Err(panic) = std::panic::catch_unwind(|| body(data)) {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let first = text.lines().next().unwrap_or_default();
            // without the place, so that one fault is told once
            let what = first.split_once(": ").map_or(first, |(_, what)| what).to_owned();
            wrong.entry(what).or_insert_with(|| String::from_utf8_lossy(data).into_owned());
        }
    }
    let told: Vec<String> = wrong.iter().take(20).map(|(what, data)| format!("{what}\n{data}")).collect();
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), told.join("\n----\n"));
}

#[test]
fn mutated_configurations_of_kea_are_survived() {
    survive("import_kea", import::kea, 2_000);
}

#[test]
fn mutated_configurations_of_dhcpd_are_survived() {
    survive("import_dhcpd", import::dhcpd, 2_000);
}

#[test]
fn mutated_configurations_of_dnsmasq_are_survived() {
    survive("import_dnsmasq", import::dnsmasq, 2_000);
}

/// Depth and length have an end.
#[test]
fn nests_and_loops_have_an_end() {
    for open in ["{\"a\":", "[", "{\"Dhcp4\":{\"subnet4\":[", "/*", "<?include \"more\"?>"] {
        import::kea(open.repeat(20_000).as_bytes());
    }
    for open in ["group {", "if (", "class \"a\" { match if not ", "include \"more\";", "option x code 1 = { "] {
        import::dhcpd(open.repeat(20_000).as_bytes());
    }
    for line in ["conf-file=more\n", "conf-file=dnsmasq.conf\n", "dhcp-option=tag:a,", "\"", "dhcp-host=,"] {
        import::dnsmasq(line.repeat(20_000).as_bytes());
    }
}

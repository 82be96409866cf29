//! Hostile phone requests and broken configurations: the fuzz targets' seeds, and thousands of mutations of
//! them, the same ones at each run.

#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "common/noise.rs"]
mod noise;
#[path = "../fuzz/bodies/phone.rs"]
mod phone;

use noise::Noise;

fn mutate(seed: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=noise.below(6) {
        let at = noise.below(out.len());
        match noise.below(6) {
            0 => out.truncate(at),
            1 => out.insert(at, b"/%.\\\0\n[]=\"2e"[noise.below(12)]),
            2 if !out.is_empty() => drop(out.remove(at)),
            3 => out.extend_from_slice(&seed[noise.below(seed.len())..]),
            4 => out.iter_mut().skip(at).take(noise.below(8)).for_each(|b| *b = noise.roll() as u8),
            _ => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << noise.below(8)),
        }
    }
    out.truncate(4096);
    out
}

fn survive(target: &str, number: u64, times: usize, body: fn(&[u8])) {
    let seeds = noise::files(&format!("fuzz/corpus/{target}"));
    seeds.iter().for_each(|seed| body(seed));
    let mut noise = Noise(number);
    for _ in 0..times {
        let seed = &seeds[noise.below(seeds.len())];
        body(&mutate(seed, &mut noise));
    }
}

#[test]
fn mutated_requests_of_phones_are_survived_and_climb_nowhere() {
    survive("phone_request", 1350, 4_000, phone::request);
}

#[test]
fn every_broken_configuration_is_told_with_its_place() {
    survive("config_text", 1034, 4_000, config::text);
}

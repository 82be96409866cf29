//! The fuzz targets of DNS over their seeds and thousands of mutations of them: any octets in, no panic,
//! bounded time, and the promises of `fuzz/bodies/dns.rs` kept.

use std::time::Duration;

use tokio::time::Instant;

#[path = "../fuzz/bodies/dns.rs"]
mod dns;
#[path = "common/noise.rs"]
mod noise;

use noise::Noise;

/// Mutations of each seed.
const ROUNDS: u64 = 3_000;

fn mutate(seed: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=noise.below(6) {
        let at = noise.below(out.len());
        match noise.below(5) {
            0 if !out.is_empty() => out[at] = noise.roll() as u8,
            1 if !out.is_empty() => out[at] ^= 1 << noise.below(8),
            2 => out.truncate(at),
            3 => out.insert(at, [0, 1, 63, 64, 0xc0, 0xff, b'.', b'\\', b'"', b'('][noise.below(10)]),
            _ => {
                let end = at + noise.below(out.len() - at);
                let piece = out[at..end].to_vec();
                out.extend_from_slice(&piece);
            }
        }
    }
    out
}

fn run(target: &str, body: fn(&[u8])) {
    let seeds = noise::files(&format!("fuzz/corpus/{target}"));
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for seed in &seeds {
        body(seed);
        for _ in 0..ROUNDS {
            let input = mutate(seed, &mut noise);
            let began = Instant::now();
            body(&input);
            // in a debug build on a busy machine; the bound of the design is 1 ms
            assert!(began.elapsed() < Duration::from_secs(5), "{target} took too long for {input:02x?}");
        }
    }
}

#[test]
fn packets() {
    run("dns_message", dns::message);
}

#[test]
fn replies_of_upstreams() {
    run("dns_upstream_reply", dns::upstream_reply);
}

#[test]
fn zone_files() {
    run("zonefile", dns::zone_file);
}

#[test]
fn names_of_clients() {
    run("hostname_sanitise", dns::hostname);
}

//! Hostile DHCP input: the fuzz targets' seeds, and thousands of mutations of them, the same ones at each run.

#[path = "../fuzz/bodies/dhcp4.rs"]
mod dhcp4;

#[path = "../fuzz/bodies/expression.rs"]
mod expression;

#[path = "../fuzz/bodies/dhcp6.rs"]
mod dhcp6;

#[path = "common/noise.rs"]
mod noise;

use noise::Noise;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    noise::files(&format!("fuzz/corpus/{target}"))
}

fn mutate(seed: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=noise.below(6) {
        let at = noise.below(out.len());
        match noise.below(6) {
            0 => out.truncate(at),
            1 => out.insert(at, noise.roll() as u8),
            2 if !out.is_empty() => drop(out.remove(at)),
            3 => out.extend_from_slice(&seed[noise.below(seed.len())..]),
            4 => out.iter_mut().skip(at).take(noise.below(8)).for_each(|b| *b = 0xff),
            _ => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << noise.below(8)),
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
    let mut noise = Noise(2131);
    for _ in 0..20_000 {
        let seed = &seeds[noise.below(seeds.len())];
        dhcp4::session(&mutate(seed, &mut noise));
    }
}

/// The same for DHCPv6: no delegation overlaps another, nothing is leased outside of its pool.
#[test]
fn twenty_thousand_mutated_sessions_of_dhcpv6_are_survived() {
    let seeds = seeds("dhcp6_decide");
    seeds.iter().for_each(|seed| dhcp6::session(seed));
    let mut noise = Noise(9915);
    for _ in 0..20_000 {
        let seed = &seeds[noise.below(seeds.len())];
        dhcp6::session(&mutate(seed, &mut noise));
    }
}

/// DH-306: whatever the text, there is an answer or a complaint with its place.
#[test]
fn mutated_expressions_are_survived() {
    let seeds = seeds("dhcp4_expression");
    seeds.iter().for_each(|seed| expression::evaluate(seed));
    let mut noise = Noise(306);
    for _ in 0..20_000 {
        let seed = &seeds[noise.below(seeds.len())];
        expression::evaluate(&mutate(seed, &mut noise));
    }
}

#[test]
fn mutated_datagrams_of_dhcpv6_are_survived() {
    let seeds = seeds("dhcp6_packet");
    seeds.iter().for_each(|seed| dhcp6::packet(seed));
    let mut noise = Noise(9916);
    for _ in 0..5_000 {
        let seed = &seeds[noise.below(seeds.len())];
        dhcp6::packet(&mutate(seed, &mut noise));
    }
}

/// Its sessions reach the decisions, too.
#[test]
fn the_seeds_of_dhcpv6_are_real_conversations() {
    let all = seeds("dhcp6_decide");
    let kinds: std::collections::BTreeSet<u8> = all.iter().flat_map(|seed| kinds6_in(seed)).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 3, 4, 5, 6, 8, 9, 11, 36]);
}

fn kinds6_in(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [_, high, low, after @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let packet = lanlord::domain::dhcp::v6::wire::Packet::walk(&after[..length]).expect("a whole message");
        out.push(packet.message.kind.number());
        data = &after[length..];
    }
    out
}

#[test]
fn mutated_option_values_are_survived() {
    let seeds = seeds("dhcp4_value");
    let mut noise = Noise(2132);
    for _ in 0..20_000 {
        let seed = &seeds[noise.below(seeds.len())];
        dhcp4::value(&mutate(seed, &mut noise));
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

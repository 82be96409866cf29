use std::time::Duration;

use super::*;
use crate::domain::net::Mac;
use crate::domain::time::Mono;

const MAC: Mac = Mac([2, 0x77, 0, 0, 0, 1]);

fn full() -> Settings {
    Settings {
        flags: Flags { managed: true, other: true },
        preference: Preference::High,
        mtu: Some(1480),
        prefixes: vec![Prefix {
            net: "2001:db8:1::/64".parse().unwrap(),
            on_link: true,
            autonomous: false,
            valid: 86_400,
            preferred: 14_400,
        }],
        routes: vec![Route { net: "2001:db8:2::/48".parse().unwrap(), preference: Preference::Low }],
        dns: vec!["2001:db8:1::1".parse().unwrap()],
        search: vec!["home.arpa".to_owned()],
        captive_portal: Some("https://portal.home.arpa/api".to_owned()),
        nat64: Some("64:ff9b::/96".parse().unwrap()),
        resolvers: vec![Resolver {
            priority: 1,
            name: "dns.home.arpa".to_owned(),
            addresses: vec!["2001:db8:1::1".parse().unwrap()],
            parameters: vec![0, 1, 0, 4, 3, b'd', b'o', b't'],
        }],
        ..Settings::default()
    }
}

/// The options of a message, each whole.
fn options(message: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut out) = (&message[16..], Vec::new());
    while !rest.is_empty() {
        let (one, after) = rest.split_at(usize::from(rest[1]) * 8);
        out.push(one);
        rest = after;
    }
    out
}

fn one(message: &[u8], kind: u8) -> &[u8] {
    options(message).into_iter().find(|o| o[0] == kind).unwrap_or_else(|| panic!("no option {kind}"))
}

#[test]
fn dh_723_every_option_stands_as_its_rfc_draws_it() {
    let m = encode(&full(), Some(MAC), false);
    assert_eq!(m[..16], [134, 0, 0, 0, 64, 0b1100_1000, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(one(&m, 1), [1, 1, 2, 0x77, 0, 0, 0, 1]);
    assert_eq!(one(&m, 5), [5, 1, 0, 0, 0, 0, 0x05, 0xc8]);
    let prefix = one(&m, 3);
    assert_eq!(prefix[..12], [3, 4, 64, 0x80, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40]);
    assert_eq!(prefix[16..24], [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0]);
    // RFC 4191 §2.3: eight octets of prefix are enough for 48 bits
    assert_eq!(one(&m, 24), [24, 2, 48, 0b11000, 0, 0, 0x07, 0x08, 0x20, 1, 0x0d, 0xb8, 0, 2, 0, 0]);
    let dns = one(&m, 25);
    assert_eq!((dns[1], &dns[4..8]), (3, &[0, 0, 0x07, 0x08][..]), "three intervals (RFC 8106 §5.1)");
    let search = one(&m, 31);
    assert_eq!(&search[8..], b"\x04home\x04arpa\0\0\0\0\0\0");
    // RFC 8781 §4: 1800 s are 225 units of eight, 96 bits are code 0
    assert_eq!(one(&m, 38)[..8], [38, 2, 0x07, 0x08, 0, 0x64, 0xff, 0x9b]);
    assert_eq!(&one(&m, 37)[2..], b"https://portal.home.arpa/api\0\0");
    let dnr = one(&m, 144);
    assert_eq!(dnr[2..8], [0, 1, 0, 0, 0x07, 0x08]);
    assert_eq!(&dnr[8..25], b"\0\x0f\x03dns\x04home\x04arpa\0");
    assert_eq!((&dnr[25..27], &dnr[43..53]), (&[0, 16][..], &b"\0\x08\0\x01\0\x04\x03dot"[..]));
}

#[test]
fn rfc_4861_6_2_5_the_last_words_end_the_router_and_what_leads_to_it() {
    let m = encode(&full(), Some(MAC), true);
    assert_eq!((m[5], &m[6..8]), (0b1100_0000, &[0, 0][..]), "RFC 4191 §2.2: no preference with lifetime 0");
    assert_eq!(one(&m, 25)[4..8], [0; 4]);
    assert_eq!(one(&m, 38)[2..4], [0; 2]);
    assert_eq!(one(&m, 3)[4..8], [0, 1, 0x51, 0x80], "addresses stay");
}

#[test]
fn dh_722_without_router_the_lifetime_is_always_zero() {
    let lifetime = |s: Settings| u16::from_be_bytes(encode(&s, None, false)[6..8].try_into().unwrap());
    assert_eq!(lifetime(Settings { router: false, lifetime: Some(900), ..Settings::default() }), 0);
    assert_eq!(lifetime(Settings { lifetime: Some(900), ..Settings::default() }), 900);
    assert_eq!(lifetime(Settings::default()), 1800);
    assert_eq!(lifetime(Settings { max_interval: 1800, ..Settings::default() }), 5400);
    assert_eq!((Settings::default_min_interval(600), Settings::default_min_interval(4)), (198, 4));
}

#[test]
fn an_advertisement_fits_the_smallest_mtu_and_no_option_is_cut() {
    let mut settings = full();
    settings.prefixes = vec![settings.prefixes[0]; 60];
    settings.captive_portal = Some("u".repeat(4_000));
    let m = encode(&settings, Some(MAC), false);
    assert!(m.len() <= 1240, "{}", m.len());
    assert!(options(&m).iter().map(|o| o.len()).sum::<usize>() == m.len() - 16);
    let Ok(Heard::Advertisement { prefixes, .. }) = read(&m, "fe80::1".parse().unwrap(), Some(255)) else { panic!() };
    assert_eq!(prefixes.len(), 8);
}

#[test]
fn dh_721_only_valid_solicitations_are_heard() {
    let host: Ipv6Addr = "fe80::1".parse().unwrap();
    let none = Ipv6Addr::UNSPECIFIED;
    let plain = [133, 0, 0, 0, 0, 0, 0, 0];
    let named = [&plain[..], &[1, 1, 2, 0, 0, 0, 0, 1]].concat();
    assert_eq!(read(&plain, none, Some(255)), Ok(Heard::Solicitation { from: None }));
    assert_eq!(read(&named, host, Some(255)), Ok(Heard::Solicitation { from: Some(host) }));
    assert_eq!(read(&named, none, Some(255)), Err(Refused::Source));
    assert_eq!(read(&plain, host, Some(254)), Err(Refused::Hops));
    assert_eq!(read(&plain, host, None), Err(Refused::Hops));
    assert_eq!(read(&[133, 1, 0, 0, 0, 0, 0, 0], host, Some(255)), Err(Refused::Code));
    assert_eq!(read(&plain[..7], host, Some(255)), Err(Refused::Short));
    assert_eq!(read(&[&plain[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat(), host, Some(255)), Err(Refused::Option));
    assert_eq!(read(&[&plain[..], &[1, 2, 0, 0, 0, 0, 0, 0]].concat(), host, Some(255)), Err(Refused::Option));
    assert_eq!(read(&[&plain[..], &[1]].concat(), host, Some(255)), Err(Refused::Option));
    assert_eq!(read(&[135, 0, 0, 0, 0, 0, 0, 0], host, Some(255)), Err(Refused::Kind));
    assert_eq!(read(&[], host, Some(255)), Err(Refused::Kind));
}

#[test]
fn what_we_say_is_heard_as_it_was_meant_and_only_from_a_link_local_address() {
    let m = encode(&full(), Some(MAC), false);
    let from: Ipv6Addr = "fe80::99".parse().unwrap();
    let prefixes = vec![("2001:db8:1::".parse().unwrap(), 64)];
    let heard = Heard::Advertisement { from, lifetime: 1800, managed: true, other: true, prefixes };
    assert_eq!(read(&m, from, Some(255)), Ok(heard));
    assert_eq!(read(&m, "2001:db8::1".parse().unwrap(), Some(255)), Err(Refused::Source));
}

#[test]
fn no_message_of_any_bytes_is_read_beyond_its_end() {
    let m = encode(&full(), Some(MAC), false);
    for end in 0..m.len() {
        let _ = read(&m[..end], "fe80::1".parse().unwrap(), Some(255));
        for flip in [0u8, 1, 0x7f, 0xff] {
            let mut bent = m.clone();
            bent[end] = flip;
            let _ = read(&bent, "fe80::1".parse().unwrap(), Some(255));
        }
    }
}

#[test]
fn dh_722_the_first_three_come_fast_and_then_between_a_third_and_all_of_the_interval() {
    let settings = Settings::default();
    for seed in 0..50u64 {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut now = Mono(1_000);
        let mut schedule = Schedule::begin(now, random);
        assert!(schedule.due().since(now) <= Duration::from_millis(500));
        for n in 1..10 {
            now = schedule.due();
            schedule.sent(&settings, now, random);
            let wait = schedule.due().since(now);
            if n < 3 {
                assert!((Duration::from_secs(3)..=Duration::from_secs(16)).contains(&wait), "{n}: {wait:?}");
            } else {
                assert!((Duration::from_secs(198)..=Duration::from_secs(600)).contains(&wait), "{n}: {wait:?}");
            }
        }
    }
}

#[test]
fn dh_721_answers_to_all_are_three_seconds_apart() {
    let settings = Settings::default();
    let mut schedule = Schedule::begin(Mono(0), 0);
    schedule.sent(&settings, Mono(0), 0);
    let unasked = schedule.due();
    schedule.solicited(Mono(100), 400);
    assert_eq!(schedule.due(), Mono(3_000), "not before the gap is over");
    schedule.solicited(Mono(200), 500);
    assert_eq!(schedule.due(), Mono(3_000), "a second question changes nothing");
    schedule.sent(&settings, Mono(3_000), 0);
    schedule.solicited(Mono(9_000), 499);
    assert_eq!(schedule.due(), Mono(9_499));
    assert!(unasked > Mono(9_499));
    // RFC 4861 §6.2.6: one that is due sooner anyway answers, too
    let mut soon = Schedule::begin(Mono(0), 100);
    soon.solicited(Mono(0), 500);
    assert_eq!(soon.due(), Mono(100));
}

#[test]
fn a_change_is_told_soon_and_three_times() {
    let settings = Settings::default();
    let mut schedule = Schedule::begin(Mono(0), 0);
    for at in [0, 16_000, 32_000] {
        schedule.sent(&settings, Mono(at), 0);
    }
    schedule.changed(Mono(100_000), 250);
    assert_eq!(schedule.due(), Mono(100_250));
    schedule.sent(&settings, Mono(100_250), 0);
    assert!(schedule.due().since(Mono(100_250)) <= Duration::from_secs(16));
}

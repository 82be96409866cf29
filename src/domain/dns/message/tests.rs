use super::*;
use crate::domain::dns::name::Name;
use proptest::prelude::*;

fn asked() -> Vec<u8> {
    ask(7, Name::parse("www.lan").unwrap().as_wire(), 1, false, false)
}

/// An answer to it with these records.
fn answer(counts: [u16; 2], records: &[u8]) -> Vec<u8> {
    let question = question_of(&asked()).unwrap().to_vec();
    let mut out = Vec::new();
    for word in [7, 0x8180, 1, counts[0], counts[1], 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&question);
    out.extend_from_slice(records);
    out
}

#[test]
fn the_top_bit_of_a_ttl_means_zero() {
    let read = read(&asked(), &answer([1, 0], b"\xc0\x0c\0\x01\0\x01\x80\0\0\x3c\0\x04abcd"), false).unwrap();
    assert_eq!((read.answers[0].ttl, read.ttl()), (0, 0));
}

#[test]
fn names_in_data_are_expanded_and_chains_followed_in_order() {
    let records = b"\x02pc\xc0\x10\0\x01\0\x01\0\0\0\x05\0\x04abcd\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x05\x02PC\xc0\x10";
    let read = read(&asked(), &answer([2, 0], records), false).unwrap();
    assert_eq!(read.answers.iter().map(|r| r.rtype).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(&*read.answers[0].data, b"\x02PC\x03lan\0");
    assert_eq!(read.ttl(), 5);
}

#[test]
fn authority_of_another_zone_is_not_believed() {
    let soa = |owner: &[u8]| {
        [owner, b"\0\x06\0\x01\0\0\0\x09\0\x16\0\0", &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3]]
            .concat()
    };
    let kept = read(&asked(), &answer([0, 1], &soa(b"\xc0\x10")), false).unwrap();
    assert_eq!((kept.authority.len(), kept.ttl()), (1, 3));
    let dropped = read(&asked(), &answer([0, 1], &soa(b"\x03org\0")), false).unwrap();
    assert_eq!((dropped.authority.len(), dropped.ttl()), (0, 0));
}

#[test]
fn pointers_that_lead_forward_or_round_are_malformed() {
    let itself = answer([1, 0], b"\xc0\x19\0\x01\0\x01\0\0\0\x3c\0\x04abcd");
    let forward = answer([1, 0], b"\xc0\x30\0\x01\0\x01\0\0\0\x3c\0\x04abcd");
    let short = answer([1, 0], b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x09abcd");
    let cut_name = answer([1, 0], b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\x09a");
    for bad in [itself, forward, short, cut_name] {
        assert_eq!(read(&asked(), &bad, false), Err(NotOurs::Malformed));
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..300), counts in any::<[u16; 2]>()) {
        let _ = read(&asked(), &noise, true);
        let _ = read(&asked(), &answer(counts, &noise), false);
    }
}

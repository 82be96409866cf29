//! Bounds, the round trip, the mirror of relays, and each defect of the oracle that the own walker avoids.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::encode::{Leased, pd_exclude};
use super::*;

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

fn solicit(options: &[Vec<u8>]) -> Vec<u8> {
    [vec![1, 0, 0, 7], options.concat()].concat()
}

/// The message in as many RELAY-FORWs; the first one is nearest to us.
fn forwarded(inner: Vec<u8>, levels: &[(u8, Ipv6Addr, Vec<u8>)]) -> Vec<u8> {
    levels.iter().rev().fold(inner, |inner, (hops, link, options)| {
        let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(*hops));
        [&[12, *hops][..], &link.octets(), &peer.octets(), options, &option(code::RELAY_MESSAGE, &inner)].concat()
    })
}

fn ia_na(iaid: u32, options: &[u8]) -> Vec<u8> {
    option(code::IA_NA, &[&iaid.to_be_bytes()[..], &[0; 8], options].concat())
}

fn address(ip: u16) -> Vec<u8> {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, ip);
    option(code::IA_ADDRESS, &[&ip.octets()[..], &[0, 0, 0, 10, 0, 0, 0, 20]].concat())
}

#[test]
fn a_message_of_its_options_is_found() {
    let bytes = solicit(&[option(1, &[0, 3, 0, 1]), ia_na(9, &address(5)), option(6, &[0, 23])]);
    let packet = Packet::walk(&bytes).unwrap();
    assert_eq!((packet.message.kind, packet.message.xid, packet.relays.len()), (Kind::Solicit, 7, 0));
    assert_eq!(packet.message.options.find(1), Some(&[0, 3, 0, 1][..]));
    let ia = packet.message.ias().next().unwrap();
    let item = ia.items().next().unwrap();
    assert_eq!((ia.iaid, item.ip.segments()[7], item.length, item.preferred, item.valid), (9, 5, 128, 10, 20));
}

/// DH-111: each bound holds exactly.
#[test]
fn what_is_too_much_is_refused() {
    let levels = |n: usize| vec![(0u8, Ipv6Addr::UNSPECIFIED, Vec::new()); n];
    let walk = |bytes: &[u8]| Packet::walk(bytes).map(drop);
    assert_eq!(walk(&forwarded(solicit(&[]), &levels(8))), Ok(()));
    assert_eq!(walk(&forwarded(solicit(&[]), &levels(9))), Err(Malformed::TooManyRelays));
    assert_eq!(walk(&forwarded(solicit(&[]), &levels(33))), Err(Malformed::TooManyRelays));
    assert_eq!(walk(&solicit(&vec![ia_na(1, &[]); 16])), Ok(()));
    assert_eq!(walk(&solicit(&vec![ia_na(1, &[]); 17])), Err(Malformed::TooManyIas));
    assert_eq!(walk(&solicit(&[ia_na(1, &address(1).repeat(16))])), Ok(()));
    assert_eq!(walk(&solicit(&[ia_na(1, &address(1).repeat(17))])), Err(Malformed::TooManyIas));
    assert_eq!(walk(&solicit(&vec![option(8, &[]); 512])), Ok(()));
    assert_eq!(walk(&solicit(&vec![option(8, &[]); 513])), Err(Malformed::TooManyOptions));
    for (length, fate) in [(0, Err(Malformed::Duid)), (1, Ok(())), (130, Ok(())), (131, Err(Malformed::Duid))] {
        assert_eq!(walk(&solicit(&[option(1, &vec![7; length])])), fate, "{length}");
    }
    assert_eq!(walk(&[1, 0, 0]), Err(Malformed::Short));
    assert_eq!(walk(&[12; 33]), Err(Malformed::Short));
    assert_eq!(walk(&[12; 34]), Err(Malformed::Empty));
    assert_eq!(walk(&[13; 60]), Err(Malformed::Type));
    assert_eq!(walk(&[99, 0, 0, 1]), Err(Malformed::Type));
    assert_eq!(walk(&vec![1; MAX_DATAGRAM + 1]), Err(Malformed::Long));
}

/// dhcproto 0.15, defect 1: 65 kB of nested IA_NA overflow its stack. Ours looks at three levels.
#[test]
fn nested_associations_cost_nothing() {
    let mut nested = Vec::new();
    while nested.len() + 16 < MAX_DATAGRAM - 8 {
        nested = ia_na(1, &nested);
    }
    let bytes = solicit(&[nested]);
    let walked = move || {
        let packet = Packet::walk(&bytes).unwrap();
        packet.message.ias().flat_map(|ia| ia.items()).count()
    };
    let small = std::thread::Builder::new().stack_size(32 << 10).spawn(walked).unwrap();
    assert_eq!(small.join().unwrap(), 0);
    let long = solicit(&[option(code::IA_NA, &vec![0; 65_000])]);
    assert_eq!(Packet::walk(&long).map(drop), Err(Malformed::Long));
}

/// dhcproto 0.15, defect 2: option 9 always read as a relay's message. DH-112: its first octet tells.
#[test]
fn a_relayed_solicit_is_a_solicit() {
    let link = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 1);
    let near = (1, Ipv6Addr::UNSPECIFIED, option(18, b"port-7"));
    let bytes = forwarded(solicit(&[option(1, &[1, 2])]), &[(2, link, option(37, &[0, 0, 0, 9, 5])), near]);
    let packet = Packet::walk(&bytes).unwrap();
    assert_eq!(packet.message.options.find(1), Some(&[1, 2][..]));
    assert_eq!(
        packet.relays.iter().map(|r| (r.hops, r.link)).collect::<Vec<_>>(),
        [(2, link), (1, Ipv6Addr::UNSPECIFIED)]
    );
    assert_eq!(packet.relays[1].options.find(18), Some(&b"port-7"[..]));
    assert_eq!(packet.relays[0].options.find(37), Some(&[0, 0, 0, 9, 5][..]));
}

/// dhcproto 0.15, defects 3 and 9: a status code of one octet or a vendor class of three ends its loop, or
/// panics; ours finds what stands behind them.
#[test]
fn a_bad_option_hides_no_other() {
    let bad = [option(13, &[0]), option(16, &[0, 0, 1]), option(11, &[1]), option(5, &[1, 2]), option(3, &[0; 11])];
    let bytes = solicit(&[bad.concat(), option(1, &[1, 2]), ia_na(3, &[bad.concat(), address(1)].concat())]);
    let packet = Packet::walk(&bytes).unwrap();
    assert_eq!(packet.message.options.find(1), Some(&[1, 2][..]));
    let ias: Vec<_> = packet.message.ias().collect();
    assert_eq!(ias.iter().map(|ia| (ia.iaid, ia.items().count())).collect::<Vec<_>>(), [(3, 1)]);
    // a length beyond the end ends the walk, and nothing else
    let cut = [solicit(&[option(1, &[1, 2])]), vec![0, 3, 0, 99, 1]].concat();
    assert_eq!(Packet::walk(&cut).unwrap().message.options.count(), 1);
}

/// DH-703: hop-count, addresses and interface-id as they came, one level for one level; and the port.
#[test]
fn a_reply_is_mirrored_through_its_relays() {
    let link = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 1);
    let outer = [option(135, &[0, 0]), option(18, b"up"), option(37, b"none of the reply")].concat();
    let bytes = forwarded(solicit(&[]), &[(1, Ipv6Addr::UNSPECIFIED, outer), (0, link, option(18, b"eth0"))]);
    let packet = Packet::walk(&bytes).unwrap();
    let reply = Reply { items: vec![Item::Raw(1, (&[1, 2][..]).into())], ..Reply::new(Kind::Advertise, 7) };
    let mut out = Vec::new();
    encode(&reply, &packet.relays, &mut out);
    let inner = [&[2, 0, 0, 7][..], &option(1, &[1, 2])].concat();
    let mirror = [
        (1, Ipv6Addr::UNSPECIFIED, [option(18, b"up"), option(135, &[0, 0])].concat()),
        (0, link, option(18, b"eth0")),
    ];
    let length = inner.len();
    let mut expected = forwarded(inner, &mirror);
    // RELAY-REPL instead of RELAY-FORW, at both levels
    let second = expected.len() - length - 4 - option(18, b"eth0").len() - 34;
    (expected[0], expected[second]) = (13, 13);
    assert_eq!(out, expected);
}

/// RFC 6603 §4.2: the length, then the bits behind those of the delegated prefix.
#[test]
fn an_excluded_prefix_is_told_by_its_own_bits() {
    let net = |text: &str| text.parse::<ipnet::Ipv6Net>().unwrap();
    // the example of §4.2 and its neighbours
    assert_eq!(pd_exclude(net("2001:db8:dead:bee0::/59"), net("2001:db8:dead:beef::/64")), Some(vec![64, 0x78]));
    assert_eq!(pd_exclude(net("2001:db8::/48"), net("2001:db8:0:ff::/64")), Some(vec![64, 0, 0xff]));
    assert_eq!(pd_exclude(net("2001:db8::/48"), net("2001:db8:1::/64")), None);
    assert_eq!(pd_exclude(net("2001:db8::/48"), net("2001:db8::/48")), None);
    assert_eq!(pd_exclude(net("2001:db8::/48"), net("2001::/16")), None);
}

fn raw() -> impl Strategy<Value = Item<'static>> {
    // codes without a meaning for the walk
    let code = prop_oneof![Just(23u16), Just(24), Just(39), 1000..2000u16];
    (code, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(code, value)| Item::Raw(code, Cow::Owned(value)))
}

fn ia_reply() -> impl Strategy<Value = Item<'static>> {
    let leased = (any::<u128>(), any::<u32>(), any::<u32>(), 1..=128u8);
    let head = (prop_oneof![Just(code::IA_NA), Just(code::IA_PD)], any::<u32>(), any::<u32>(), any::<u32>());
    (head, prop::collection::vec(leased, 0..=16), any::<bool>()).prop_map(|((code, iaid, t1, t2), leased, status)| {
        let one = |(ip, preferred, valid, length): (u128, u32, u32, u8)| {
            let length = if code == code::IA_PD { length } else { 128 };
            let net = ipnet::Ipv6Net::new(Ipv6Addr::from(ip), length).expect("a length").trunc();
            Leased { ip: net.addr(), length, preferred, valid, exclude: None }
        };
        let status = status.then_some((Status::NoBinding, "x"));
        Item::Ia(IaReply { code, iaid, t1, t2, leased: leased.into_iter().map(one).collect(), status })
    })
}

fn reply() -> impl Strategy<Value = Reply<'static>> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let items = prop::collection::vec(prop_oneof![3 => raw(), 1 => ia_reply()], 0..8);
    (kind, 0..1u32 << 24, items).prop_map(|(kind, xid, items)| Reply { kind, xid, items })
}

/// What a walked message says, as a reply that would say the same.
fn reread<'a>(message: &Message<'a>) -> Reply<'a> {
    let items = message.options.map(|(code, value)| match code {
        code::IA_NA | code::IA_PD => {
            let alone = [&[7, 0, 0, 0][..], &option(code, value)].concat();
            let packet = Packet::walk(&alone).expect("one association");
            let ia = packet.message.ias().next().expect("whole");
            let leased = ia.items().map(|i| Leased {
                ip: i.ip,
                length: i.length,
                preferred: i.preferred,
                valid: i.valid,
                exclude: None,
            });
            let number = |at: usize| u32::from_be_bytes(value[at..at + 4].try_into().expect("four octets"));
            let status = ia.options.find(code::STATUS).map(|_| (Status::NoBinding, "x"));
            Item::Ia(IaReply { code, iaid: ia.iaid, t1: number(4), t2: number(8), leased: leased.collect(), status })
        }
        _ => Item::Raw(code, value.into()),
    });
    Reply { kind: message.kind, xid: message.xid, items: items.collect() }
}

proptest! {
    #[test]
    fn what_was_encoded_is_found_again(
        reply in reply(),
        levels in prop::collection::vec((any::<u8>(), any::<u128>(), any::<bool>()), 0..=8),
    ) {
        let mut bytes = Vec::new();
        encode(&reply, &[], &mut bytes);
        prop_assume!(bytes.len() <= 3000);
        let packet = Packet::walk(&bytes).expect("what we write can be read");
        prop_assert_eq!(reread(&packet.message), reply.clone());
        // through relays, and back through them
        let levels: Vec<_> = levels
            .into_iter()
            .map(|(hops, link, id)| (hops, Ipv6Addr::from(link), if id { option(18, &[hops; 5]) } else { Vec::new() }))
            .collect();
        let there = forwarded(bytes.clone(), &levels);
        let packet = Packet::walk(&there).expect("bounded relays");
        prop_assert_eq!(reread(&packet.message), reply.clone());
        let mut back = Vec::new();
        encode(&reply, &packet.relays, &mut back);
        let types = back.iter().zip(&there).filter(|(a, b)| a != b).count();
        prop_assert_eq!((back.len(), types), (there.len(), levels.len()), "only the types of relays differ");
    }

    /// dhcproto as the oracle, where it is right: messages without relays and option 9.
    #[test]
    fn an_independent_decoder_reads_the_same(reply in reply()) {
        use dhcproto::v6::{self, DhcpOption};
        use dhcproto::{Decodable, Decoder};
        // it takes a name with bytes that are no name as the end of all options (its defect 3)
        let mut reply = reply;
        reply.items.retain(|item| !matches!(item, Item::Raw(23 | 24 | 39, _)));
        let mut bytes = Vec::new();
        encode(&reply, &[], &mut bytes);
        let theirs = v6::Message::decode(&mut Decoder::new(&bytes)).expect("decodes");
        prop_assert_eq!(u8::from(theirs.msg_type()), reply.kind.number());
        prop_assert_eq!(theirs.xid(), <[u8; 3]>::try_from(&reply.xid.to_be_bytes()[1..]).expect("three octets"));
        let mut seen = Vec::new();
        for found in theirs.opts().iter() {
            let (code, iaid, t1, t2, opts) = match found {
                DhcpOption::IANA(ia) => (code::IA_NA, ia.id, ia.t1, ia.t2, &ia.opts),
                DhcpOption::IAPD(ia) => (code::IA_PD, ia.id, ia.t1, ia.t2, &ia.opts),
                _ => continue,
            };
            let leased = opts.iter().filter_map(|opt| match opt {
                DhcpOption::IAAddr(a) => Some((a.addr, 128, a.preferred_life, a.valid_life)),
                DhcpOption::IAPrefix(p) => Some((p.prefix_ip, p.prefix_len, p.preferred_lifetime, p.valid_lifetime)),
                _ => None,
            });
            seen.push((code, iaid, t1, t2, leased.collect::<Vec<_>>()));
        }
        let ours = reply.items.iter().filter_map(|item| match item {
            Item::Ia(ia) => {
                let leased = ia.leased.iter().map(|l| (l.ip, l.length, l.preferred, l.valid)).collect::<Vec<_>>();
                Some((ia.code, ia.iaid, ia.t1, ia.t2, leased))
            }
            _ => None,
        });
        let mut ours: Vec<_> = ours.collect();
        // it sorts the options by code
        ours.sort_by_key(|ia| ia.0);
        prop_assert_eq!(seen, ours);
    }

    #[test]
    fn any_octets_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), first in prop::sample::select(vec![1u8, 3, 12, 36])) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        if let Ok(packet) = Packet::walk(&bytes) {
            packet.message.ias().flat_map(|ia| ia.items()).for_each(|item| assert!(item.length <= 128));
        }
    }
}

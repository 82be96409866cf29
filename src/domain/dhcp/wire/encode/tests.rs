use proptest::prelude::*;

use super::*;
use crate::domain::dhcp::wire::Packet;

fn ack(options: Vec<(u8, Vec<u8>)>, requested: &[u8]) -> Reply {
    Reply {
        kind: Kind::Ack,
        htype: 1,
        hlen: 6,
        xid: 0x1234_5678,
        flags: 0x8000,
        ciaddr: Ipv4Addr::new(10, 0, 0, 9),
        yiaddr: Ipv4Addr::new(10, 0, 0, 9),
        siaddr: Ipv4Addr::new(10, 0, 0, 1),
        giaddr: Ipv4Addr::new(10, 0, 1, 1),
        chaddr: [7; 16],
        sname: Vec::new(),
        file: Vec::new(),
        options,
        relay_info: None,
        requested: requested.to_vec(),
        max_size: None,
    }
}

fn encoded(reply: &Reply) -> (Vec<u8>, Encoded) {
    let mut out = Vec::new();
    let report = encode(reply, 1500, &mut out);
    (out, report)
}

fn codes(bytes: &[u8]) -> Vec<u8> {
    Packet::walk(bytes).unwrap().codes().collect()
}

#[test]
fn options_come_in_the_order_the_client_asked_for_with_mask_before_router() {
    let options = [61, 252, 15, 6, 3, 1, 59, 58, 51, 54].map(|c| (c, vec![1, 2, 3, 4])).to_vec();
    let mut reply = ack(options, &[15, 3, 1, 6]);
    reply.relay_info = Some(vec![1, 1, 9]);
    let (bytes, report) = encoded(&reply);
    assert_eq!(codes(&bytes), [53, 54, 51, 58, 59, 15, 1, 3, 6, 252, 61, 82]);
    assert_eq!(report, Encoded::default());
    assert_eq!(&bytes[240..243], [53, 1, 5]);
}

#[test]
fn replies_have_at_least_300_octets_and_no_nul_is_added_to_text() {
    let (bytes, _) = encoded(&ack(vec![(15, b"lan".to_vec())], &[15]));
    assert_eq!(bytes.len(), 300);
    assert_eq!(Packet::walk(&bytes).unwrap().option(15).as_deref(), Some(&b"lan"[..]));
}

#[test]
fn long_values_are_split_into_adjacent_instances() {
    let value: Vec<u8> = (0..300).map(|i| i as u8).collect();
    let mut reply = ack(vec![(43, value.clone()), (6, vec![9, 9, 9, 9])], &[43, 6]);
    reply.max_size = Some(1500);
    let (bytes, _) = encoded(&reply);
    assert_eq!(bytes[243..245], [43, 255]);
    assert_eq!(bytes[245 + 255..247 + 255], [43, 45]);
    assert_eq!(Packet::walk(&bytes).unwrap().option(43).as_deref(), Some(value.as_slice()));
}

#[test]
fn option_57_is_respected_by_overload_and_then_by_dropping() {
    let options = vec![(54, vec![1; 4]), (51, vec![1; 4]), (1, vec![1; 4]), (3, vec![1; 4]), (43, vec![5; 250])];
    let mut reply = ack(options, &[43, 119, 114, 15]);
    reply.options.extend([(119, vec![7; 100]), (114, vec![8; 60]), (15, vec![9; 90])]);
    for (size, limit) in [(None, 548), (Some(64), 548), (Some(576), 548), (Some(800), 772), (Some(9000), 1472)] {
        reply.max_size = size;
        let (bytes, report) = encoded(&reply);
        assert!(bytes.len() <= limit, "{size:?}: {}", bytes.len());
        let packet = Packet::walk(&bytes).unwrap();
        for code in [53, 54, 51, 1, 3] {
            assert!(packet.option(code).is_some(), "{code}");
        }
        let gone: Vec<u8> = reply.options.iter().map(|(c, _)| *c).filter(|c| packet.option(*c).is_none()).collect();
        assert_eq!(gone, report.dropped, "{size:?}");
        // 548 - 241 octets in front, 127 in `file`, 63 in `sname`: only the last one asked for goes
        assert_eq!(report.dropped, if limit == 548 { vec![15] } else { vec![] }, "{size:?}");
    }
}

#[test]
fn file_and_sname_that_are_in_use_are_not_overloaded() {
    let mut reply = ack(vec![(43, vec![5; 250]), (119, vec![7; 100])], &[43, 119]);
    reply.file = b"boot.img".to_vec();
    reply.sname = b"server".to_vec();
    let (bytes, report) = encoded(&reply);
    let packet = Packet::walk(&bytes).unwrap();
    assert_eq!((packet.file(), packet.sname()), (&b"boot.img"[..], &b"server"[..]));
    assert_eq!((packet.option(52), report.dropped), (None, vec![119]));
}

#[test]
fn option_82_is_echoed_verbatim_last_and_never_overloaded() {
    let info = [9, 1, 7, 2, 1, 8, 1, 2, 3, 4, 2, 1, 8];
    let mut reply = ack(vec![(43, vec![5; 200]), (119, vec![7; 100]), (15, vec![9; 40])], &[43, 119, 15]);
    reply.relay_info = Some(info.to_vec());
    let (bytes, report) = encoded(&reply);
    assert!(!report.relay_info_dropped);
    let end = bytes.iter().rposition(|b| *b == 255).unwrap();
    assert_eq!(&bytes[end - info.len() - 2..end], [&[82, 13][..], &info].concat());
}

#[test]
fn without_room_option_82_is_left_out_and_counted() {
    let mut reply = ack(vec![(61, vec![5; 255])], &[]);
    reply.relay_info = Some([&[1, 100][..], &[3; 100]].concat());
    let (bytes, report) = encoded(&reply);
    assert!(report.relay_info_dropped);
    assert_eq!(codes(&bytes), [53, 61]);
}

#[test]
fn dhcproto_reads_what_we_write() {
    use dhcproto::{Decodable, Decoder, v4};
    let options = vec![(54, vec![10, 0, 0, 1]), (51, vec![0, 0, 14, 16]), (1, vec![255, 255, 255, 0])];
    let (bytes, _) = encoded(&ack(options, &[1]));
    let message = v4::Message::decode(&mut Decoder::new(&bytes)).unwrap();
    assert_eq!(message.opts().msg_type(), Some(v4::MessageType::Ack));
    assert_eq!(
        message.opts().get(v4::OptionCode::ServerIdentifier),
        Some(&v4::DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 1)))
    );
    assert_eq!((message.xid(), message.yiaddr()), (0x1234_5678, Ipv4Addr::new(10, 0, 0, 9)));
}

/// The defects of dhcproto 0.15.0 that are the reason for our own walker and encoder: if one of these
/// ever fails, the library was mended.
mod defects_of_dhcproto {
    use dhcproto::{Decodable, Decoder, Encodable, v4};

    use super::*;

    fn request(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[236..240].copy_from_slice(&COOKIE);
        bytes.extend_from_slice(options);
        bytes
    }

    fn decoded(options: &[u8]) -> v4::Message {
        v4::Message::decode(&mut Decoder::new(&request(options))).unwrap()
    }

    #[test]
    fn stops_at_the_first_bad_option_so_that_the_lease_key_vanishes() {
        let options = [53, 1, 1, 12, 2, 0xff, 0xfe, 61, 2, 1, 2, 255];
        assert!(decoded(&options).opts().get(v4::OptionCode::ClientIdentifier).is_none());
        let bytes = request(&options);
        assert_eq!(Packet::walk(&bytes).unwrap().option(61).as_deref(), Some(&[1, 2][..]));
    }

    #[test]
    fn takes_the_last_of_two_separate_instances() {
        let options = [43, 1, b'a', 60, 1, b'-', 43, 1, b'b', 255];
        let bytes = request(&options);
        assert_ne!(
            decoded(&options).opts().get(v4::OptionCode::VendorExtensions),
            Some(&v4::DhcpOption::VendorExtensions(b"ab".to_vec()))
        );
        assert_eq!(Packet::walk(&bytes).unwrap().option(43).as_deref(), Some(&b"ab"[..]));
    }

    #[test]
    fn sorts_the_sub_options_of_82() {
        let info = [9, 1, 7, 2, 1, 8, 1, 1, 6];
        let message = decoded(&[&[82, 9][..], &info, &[255]].concat());
        let bytes = message.to_vec().unwrap();
        assert!(!bytes.windows(info.len()).any(|w| w == info), "now verbatim");
    }

    #[test]
    fn does_not_check_the_cookie() {
        assert!(v4::Message::decode(&mut Decoder::new(&[0; 300])).is_ok());
        assert!(Packet::walk(&[0; 300]).is_err());
    }

    #[test]
    fn has_another_number_for_ipv6_only() {
        assert_ne!(u8::from(v4::OptionCode::Ipv6OnlyPreferred), code::IPV6_ONLY);
    }
}

fn any_options() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let code = (1u8..=254).prop_filter("protocol", |c| !matches!(c, 52 | 53 | 82));
    prop::collection::btree_map(code, prop::collection::vec(any::<u8>(), 0..400), 0..12)
        .prop_map(|map| map.into_iter().collect())
}

proptest! {
    /// DH-114: walk(encode(x)) == x.
    #[test]
    fn walk_of_encode_gives_back_what_went_in(
        options in any_options(),
        requested in prop::collection::vec(1u8..=254, 0..40),
        info in prop::option::of(prop::collection::vec((1u8..=20, prop::collection::vec(any::<u8>(), 0..60)), 1..6)),
        max_size in prop::option::of(any::<u16>()),
        file in prop::collection::vec(1u8..=255, 0..=128),
    ) {
        let mut reply = ack(options, &requested);
        reply.file = file;
        reply.max_size = max_size;
        reply.relay_info = info.map(|subs| {
            subs.into_iter().flat_map(|(c, v)| [vec![c, v.len() as u8], v].concat()).collect()
        });
        let (bytes, report) = encoded(&reply);
        prop_assert!(bytes.len() >= MIN_REPLY && bytes.len() <= 1472);
        let packet = Packet::walk(&bytes).unwrap();
        prop_assert!(!packet.truncated());
        prop_assert_eq!((packet.xid(), packet.ciaddr(), packet.yiaddr()), (reply.xid, reply.ciaddr, reply.yiaddr));
        prop_assert_eq!((packet.siaddr(), packet.giaddr(), packet.flags()), (reply.siaddr, reply.giaddr, reply.flags));
        prop_assert_eq!(packet.chaddr_field(), reply.chaddr);
        if !reply.file.is_empty() {
            prop_assert_eq!(packet.file(), reply.file.as_slice());
        }
        for (code, value) in &reply.options {
            if report.dropped.contains(code) {
                prop_assert_eq!(packet.option(*code), None);
            } else {
                let found = packet.option(*code);
                prop_assert_eq!(found.as_deref(), Some(value.as_slice()));
            }
        }
        if !report.relay_info_dropped {
            let found = packet.option(82);
            prop_assert_eq!(found.as_deref(), reply.relay_info.as_deref());
        }
    }

    #[test]
    fn the_walk_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..700), valid in any::<bool>()) {
        if valid && bytes.len() >= HEADER {
            bytes[0] = 1;
            bytes[2] &= 15;
            bytes[236..240].copy_from_slice(&COOKIE);
        }
        if let Ok(packet) = Packet::walk(&bytes) {
            for code in packet.codes().collect::<Vec<_>>() {
                prop_assert!(packet.option(code).is_some());
            }
        }
    }
}

/// RFC 951 §3, RFC 1534 §2: no option 53, nothing beyond the vendor area, no overload.
#[test]
fn a_bootp_reply_fits_the_vendor_area_of_64_octets() {
    let options = [(54, vec![1; 4]), (1, vec![255; 4]), (3, vec![1; 4]), (15, vec![b'd'; 60]), (6, vec![9; 8])];
    let mut reply = ack(options.to_vec(), &[]);
    reply.kind = Kind::Bootp;
    let (bytes, report) = encoded(&reply);
    assert_eq!(bytes.len(), 300);
    let last = bytes.iter().rposition(|b| *b != 0).unwrap();
    assert!(last < 240 - 4 + BOOTP_VENDOR);
    assert_eq!(codes(&bytes), [54, 1, 3, 6]);
    assert_eq!(report.dropped, [15]);
    reply.max_size = Some(576);
    let (bytes, report) = encoded(&reply);
    assert_eq!((codes(&bytes), report.dropped), (vec![54, 1, 3, 6, 15], Vec::new()));
}

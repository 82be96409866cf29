use super::*;
use crate::domain::dns::name::Name;
use crate::domain::dns::zonefile;
use hickory_proto::op::Message;
use proptest::prelude::*;

const ZONE: &str = "$TTL 300\n@ SOA ns host 1 3600 900 604800 60\n@ NS ns\nns A 10.0.0.1\n*.w TXT x\nwww CNAME ns\n\
    deleg NS ns.deleg\nns.deleg A 10.1.0.1\nold DNAME new\npc.new A 10.0.0.5\nx.y.z MX 5 ns\n\
    $GENERATE 0-40 big TXT number-$\n";

fn state() -> State {
    let mut state = State::new(3);
    let parsed = zonefile::parse(&Name::parse("lan").unwrap(), "lan.zone", ZONE, &|_| Err(String::new()));
    state.put(parsed.unwrap().into_zone(3));
    state
}

fn packet(name: &str, qtype: u16, size: Option<u16>) -> Vec<u8> {
    let mut out = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(size.is_some())];
    out.extend_from_slice(Name::parse(name).unwrap().as_wire());
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    if let Some(size) = size {
        out.extend_from_slice(&[0, 0, 41, (size >> 8) as u8, size as u8, 0, 0, 0, 0, 0, 0]);
    }
    out
}

const UDP: Asker = Asker { stream: false, recursion: false };
const TCP: Asker = Asker { stream: true, recursion: false };

fn ask(name: &str, qtype: u16, size: Option<u16>, asker: Asker) -> (Verdict, Vec<u8>) {
    let mut out = Vec::new();
    let verdict = respond(&state(), &packet(name, qtype, size), asker, &mut out);
    (verdict, out)
}

#[test]
fn an_answer_may_be_appended_to_other_octets() {
    let (_, alone) = ask("nothing.lan", 1, Some(1232), UDP);
    let mut out = b"before".to_vec();
    respond(&state(), &packet("nothing.lan", 1, Some(1232)), UDP, &mut out);
    assert_eq!(out, [b"before".as_slice(), &alone].concat());
}

#[test]
fn owners_that_end_as_the_question_are_compressed() {
    let (_, negative) = ask("a.b.nothing.lan", 1, None, UDP);
    let len = packet("a.b.nothing.lan", 1, None).len();
    assert_eq!(negative[len..len + 2], [0xc0, 12 + 12], "the SOA's owner points at `lan` of the question");
}

#[test]
fn every_answer_is_well_formed_to_another_codec() {
    for name in [
        "lan",
        "ns.lan",
        "a.w.lan",
        "www.lan",
        "x.deleg.lan",
        "pc.old.lan",
        "z.lan",
        "x.y.z.lan",
        "big.lan",
        "no.lan",
        "org",
    ] {
        for qtype in [1, 2, 5, 6, 15, 16, 28, 43, 255] {
            for (size, asker) in [(None, UDP), (Some(512), UDP), (Some(4096), UDP), (None, TCP), (Some(9), TCP)] {
                let (verdict, out) = ask(name, qtype, size, asker);
                let message = Message::from_vec(&out).unwrap_or_else(|e| panic!("{name} {qtype}: {e}"));
                assert_eq!(verdict, Verdict::Answered(u16::from(message.metadata.response_code)), "{name} {qtype}");
                let limit = if asker.stream {
                    65_535
                } else if size.is_some_and(|s| s > 512) {
                    1_232
                } else {
                    512
                };
                assert!(out.len() <= limit, "{name} {qtype}: {}", out.len());
                assert_eq!(message.edns.is_some(), size.is_some());
            }
        }
    }
}

#[test]
fn tcp_says_what_udp_had_to_cut() {
    let (_, udp) = ask("big.lan", 16, Some(512), UDP);
    let (_, tcp) = ask("big.lan", 16, Some(512), TCP);
    assert!(Message::from_vec(&udp).unwrap().metadata.truncation);
    let whole = Message::from_vec(&tcp).unwrap();
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (41, false));
}

proptest! {
    #[test]
    fn any_octets_are_answered_or_not_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..120), stream in any::<bool>()) {
        let mut out = Vec::new();
        let asker = Asker { stream, recursion: true };
        respond(&state(), &noise, asker, &mut out);
    }

    #[test]
    fn a_damaged_question_is_answered_well_formed_or_not_at_all(
        name in "[a-z.*]{0,12}", qtype in 0u16..300, flips in proptest::collection::vec((0usize..60, any::<u8>()), 0..4)
    ) {
        let Ok(name) = Name::parse_in(&name, &Name::parse("lan").unwrap()) else { return Ok(()) };
        let mut packet = packet(&name.to_string(), qtype, Some(1232));
        for (at, value) in flips {
            let at = at % packet.len();
            packet[at] = value;
        }
        let mut out = Vec::new();
        match respond(&state(), &packet, UDP, &mut out) {
            Verdict::Answered(_) => {
                prop_assert!(out.len() >= 12 && out.len() <= 1_232);
                prop_assert_eq!(&out[..2], &packet[..2]);
                prop_assert!(out[2] & 0x80 != 0);
            }
            Verdict::Silent(_) | Verdict::Foreign(_) => prop_assert!(out.is_empty()),
        }
    }
}

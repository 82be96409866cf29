//! The table of the dns reference, section 12 (RFC 8906 section 8 and the usual EDNS set), by UDP and TCP.

use super::*;

const RD: u16 = 0x0100;

/// What is sent, and what must come back: `-` is silence.
fn table() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let soa = |flags| question("lan.test", 6, 7, flags);
    let edns = |version, flags, options: &[u8]| with_opt(soa(0), 4096, version, flags, options);
    let mut table = vec![
        ("SOA, no EDNS (8.1.1)", soa(0), "0 aa q1 an1 ns0 ar0"),
        ("type 1000 (8.1.2)", question("lan.test", 1_000, 7, 0), "0 aa q1 an0 ns1 ar0"),
        ("type 65400 (8.1.2)", question("pc.lan.test", 65_400, 7, 0), "0 aa q1 an0 ns1 ar0"),
        ("CD (8.1.3)", soa(0x10), "0 aa q1 an1 ns0 ar0"),
        ("AD (8.1.3)", soa(0x20), "0 aa q1 an1 ns0 ar0"),
        ("RD (8.1.3)", soa(RD), "0 aa rd q1 an1 ns0 ar0"),
        ("Z (8.1.3)", soa(0x40), "0 aa q1 an1 ns0 ar0"),
        ("AA, RA, TC (8.1.3)", soa(0x400 | 0x80 | 0x200), "0 aa q1 an1 ns0 ar0"),
        ("opcode 15 (8.1.4)", soa(0x7800), "4 q0 an0 ns0 ar0"),
        ("opcode 15 with flags (8.1.4)", soa(0x7800 | RD | 0x70), "4 rd q0 an0 ns0 ar0"),
        ("STATUS", soa(2 << 11), "4 q0 an0 ns0 ar0"),
        ("IQUERY", soa(1 << 11), "4 q0 an0 ns0 ar0"),
        ("EDNS 0 (8.2.1)", edns(0, 0, b""), "0 aa q1 an1 ns0 ar0 opt0 1232"),
        ("EDNS 0 with DO (8.2.8)", edns(0, 0x8000, b""), "0 aa q1 an1 ns0 ar0 opt0 1232 do"),
        ("EDNS 1 (8.2.2)", edns(1, 0, b""), "16 q1 an0 ns0 ar0 opt0 1232"),
        ("EDNS 1, flag 0x40 (8.2.5)", edns(1, 0x40, b""), "16 q1 an0 ns0 ar0 opt0 1232"),
        ("EDNS 1, option 100 (8.2.6)", edns(1, 0, b"\0\x64\0\0"), "16 q1 an0 ns0 ar0 opt0 1232"),
        ("EDNS 1 with DO (8.2.9)", edns(1, 0x8000, b""), "16 q1 an0 ns0 ar0 opt0 1232 do"),
        ("option 100 (8.2.3)", edns(0, 0, b"\0\x64\0\x02ab"), "0 aa q1 an1 ns0 ar0 opt0 1232"),
        ("flag 0x40 (8.2.4)", edns(0, 0x40, b""), "0 aa q1 an1 ns0 ar0 opt0 1232"),
        (
            "NSID, cookie, expire, subnet (8.2.10)",
            edns(0, 0, b"\0\x03\0\0\0\x0a\0\x0812345678\0\x09\0\0\0\x08\0\x07\0\x01\x18\0\x0a\0\0"),
            "0 aa q1 an1 ns0 ar0 opt0 1232",
        ),
        ("cookie of 3 octets", edns(0, 0, b"\0\x0a\0\x03abc"), "1 q1 an0 ns0 ar0"),
        ("option longer than the record", edns(0, 0, b"\0\x64\0\x09ab"), "1 q1 an0 ns0 ar0"),
        ("two OPT", with_opt(edns(0, 0, b""), 4096, 0, 0, b""), "1 q1 an0 ns0 ar0"),
        ("header only, QDCOUNT 1", soa(0)[..12].to_vec(), "1 q0 an0 ns0 ar0"),
        ("11 octets", soa(0)[..11].to_vec(), "-"),
        ("empty", Vec::new(), "-"),
        ("QR=1", soa(0x8000), "-"),
        ("NOTIFY, not secondary", soa(4 << 11), "9 q0 an0 ns0 ar0"),
        ("UPDATE unsigned", soa(5 << 11), "5 q0 an0 ns0 ar0"),
        ("out of zone, RD 0", question("www.elsewhere.org", 1, 7, 0), "5 q1 an0 ns0 ar0"),
        ("out of zone, RD 1", question("www.elsewhere.org", 1, 7, RD), "5 rd q1 an0 ns0 ar0"),
        ("the root", question("", 2, 7, RD), "5 rd q1 an0 ns0 ar0"),
        ("nothing there", question("no.lan.test", 1, 7, 0), "3 aa q1 an0 ns1 ar0"),
        ("no AAAA", question("pc.lan.test", 28, 7, 0), "0 aa q1 an0 ns1 ar0"),
        ("chain", question("www.lan.test", 1, 7, 0), "0 aa q1 an2 ns0 ar0"),
        ("chain that leads away", question("far.lan.test", 1, 7, RD), "0 aa rd q1 an1 ns0 ar0"),
        ("referral", question("x.deleg.lan.test", 1, 7, 0), "0 q1 an0 ns1 ar1"),
        ("DS at the cut", question("deleg.lan.test", 43, 7, 0), "0 aa q1 an0 ns1 ar0"),
        ("ANY", question("pc.lan.test", 255, 7, 0), "0 aa q1 an1 ns0 ar0"),
        ("type OPT", question("pc.lan.test", 41, 7, 0), "1 q1 an0 ns0 ar0"),
    ];
    let changed = |at: usize, value: u8| {
        let mut packet = soa(0);
        packet[at] = value;
        packet
    };
    let end = soa(0).len();
    table.extend([
        ("QDCOUNT 0", changed(5, 0), "1 q0 an0 ns0 ar0"),
        ("QDCOUNT 2", changed(5, 2), "1 q0 an0 ns0 ar0"),
        ("CH class", changed(end - 1, 3), "5 q1 an0 ns0 ar0"),
        ("ANY class", changed(end - 1, 255), "5 q1 an0 ns0 ar0"),
        ("label type 0x40", changed(12, 0x43), "1 q0 an0 ns0 ar0"),
        ("label type 0x80", changed(12, 0x83), "1 q0 an0 ns0 ar0"),
        ("compressed question", changed(12, 0xc0), "1 q0 an0 ns0 ar0"),
        ("ANCOUNT 1 without it", changed(7, 1), "1 q1 an0 ns0 ar0"),
        ("trailing junk", [soa(0), b"junk".to_vec()].concat(), "1 q1 an0 ns0 ar0"),
    ]);
    let mut opt_owner = edns(0, 0, b"");
    opt_owner.splice(end..=end, b"\x01x\0".iter().copied());
    table.push(("OPT owner not root", opt_owner, "1 q1 an0 ns0 ar0"));
    let mut opt_in_answer = edns(0, 0, b"");
    opt_in_answer[7] = 1;
    opt_in_answer[11] = 0;
    table.push(("OPT in the answer section", opt_in_answer, "1 q1 an0 ns0 ar0"));
    table
}

#[tokio::test]
async fn every_probe_by_udp_and_tcp_alike() {
    let bed = Bed::new(|_| {});
    for (what, packet, expected) in table() {
        for (proto, answer) in [("udp", bed.udp(&packet).await), ("tcp", bed.tcp(&packet).await)] {
            let got = answer.as_deref().map_or("-".to_owned(), show);
            assert_eq!(got, expected, "{what} by {proto}");
            if let Some(answer) = answer {
                assert_eq!(answer[..2], packet[..2], "id of {what}");
                assert_eq!(answer[2] & 0x78, packet[2] & 0x78, "opcode of {what}");
            }
        }
    }
    bed.stop().await;
}

#[tokio::test]
async fn transfers_by_udp_are_not_implemented_and_by_tcp_refused() {
    let bed = Bed::new(|_| {});
    let axfr = question("lan.test", 252, 7, 0);
    assert_eq!(show(&bed.udp(&axfr).await.unwrap()), "4 q1 an0 ns0 ar0");
    assert_eq!(show(&bed.tcp(&axfr).await.unwrap()), "5 q1 an0 ns0 ar0");
    bed.stop().await;
}

#[tokio::test]
async fn every_data_type_on_apex_and_host_is_noerror() {
    let bed = Bed::new(|_| {});
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    for name in ["lan.test", "pc.lan.test"] {
        for qtype in (1..=260).filter(|t| *t != 41 && !(249..=255).contains(t)) {
            send(&mut stream, &question(name, qtype, 7, 0)).await;
            let got = show(&receive(&mut stream).await.unwrap());
            assert!(got.starts_with("0 aa q1"), "{name} {qtype}: {got}");
        }
    }
    bed.stop().await;
}

#[tokio::test]
async fn the_question_is_echoed_octet_by_octet_and_matched_whatever_its_case() {
    let bed = Bed::new(|_| {});
    let packet = question("pC.LaN.tEsT", 1, 7, 0);
    let answer = bed.udp(&packet).await.unwrap();
    assert_eq!(show(&answer), "0 aa q1 an1 ns0 ar0");
    assert_eq!(answer[12..packet.len()], packet[12..]);
    bed.stop().await;
}

#[tokio::test]
async fn whole_sets_are_cut_at_512_or_1232_octets_and_come_by_tcp() {
    let bed = Bed::new(|_| {});
    let (big, mid) = (question("big.lan.test", 28, 7, 0), question("mid.lan.test", 28, 7, 0));
    for (what, packet, expected) in [
        ("90 AAAA without EDNS", big.clone(), "0 aa tc q1 an0 ns0 ar0"),
        ("90 AAAA, size 4096", with_opt(big.clone(), 4096, 0, 0, b""), "0 aa tc q1 an0 ns0 ar0 opt0 1232"),
        ("20 AAAA without EDNS", mid.clone(), "0 aa tc q1 an0 ns0 ar0"),
        ("20 AAAA, size 512", with_opt(mid.clone(), 512, 0, 0, b""), "0 aa tc q1 an0 ns0 ar0 opt0 1232"),
        ("20 AAAA, size 100", with_opt(mid.clone(), 100, 0, 0, b""), "0 aa tc q1 an0 ns0 ar0 opt0 1232"),
        ("20 AAAA, size 1232", with_opt(mid.clone(), 1232, 0, 0, b""), "0 aa q1 an20 ns0 ar0 opt0 1232"),
        ("4 TXT", question("wide.lan.test", 16, 7, 0), "0 aa q1 an4 ns0 ar0"),
    ] {
        let answer = bed.udp(&packet).await.unwrap();
        assert_eq!(show(&answer), expected, "{what}");
        assert!(answer.len() <= 1_232, "{what}");
    }
    assert_eq!(show(&bed.tcp(&big).await.unwrap()), "0 aa q1 an90 ns0 ar0");
    bed.stop().await;
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let bed = Bed::new(|s| s.listen = vec!["0.0.0.0:0".parse().unwrap()]);
    let asked = SocketAddr::from(([127, 0, 0, 9], bed.address.port()));
    let answer = tokio::task::spawn_blocking(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        socket.send_to(&question("pc.lan.test", 1, 7, 0), asked).unwrap();
        let mut buffer = [0; 512];
        socket.recv_from(&mut buffer).unwrap().1
    });
    assert_eq!(answer.await.unwrap(), asked);
    bed.stop().await;
}

#[tokio::test]
async fn a_name_put_into_the_ledger_is_answered_at_once_and_counted() {
    use crate::domain::change::{Change, Record};
    use crate::store::ledger::Entry;
    let bed = Bed::new(|_| {});
    let packet = question("new.lan.test", 1, 7, 0);
    assert_eq!(show(&bed.udp(&packet).await.unwrap()), "3 aa q1 an0 ns1 ar0");
    let record = Record {
        id: "1".into(),
        name: "new.lan.test".into(),
        rtype: "A".into(),
        ttl: 60,
        data: "10.0.0.77".into(),
        owner: "admin".into(),
    };
    let entry = Entry { seq: 1, at: Wall(1_700_000_000_000), change: Change::RecordPut(Box::new(record)) };
    bed.naming.view().apply(&[entry]);
    assert_eq!(show(&bed.udp(&packet).await.unwrap()), "0 aa q1 an1 ns0 ar0");
    let counted: u64 =
        bed.dns.counters().read().iter().filter(|c| c.0 == "lanlord_dns_queries_total").map(|c| c.2).sum();
    assert!(counted >= 2, "{counted}");
    bed.stop().await;
}

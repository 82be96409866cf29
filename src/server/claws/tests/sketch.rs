//! The sketch's messages, word for word, through the whole bus (CL-F27).

use super::bench::{ADDRESS_MODULE, Bench, DNS_MODULE, Frame, GUARD, settings, start};
use crate::domain::claws::xml::{Element, decode_assuming_prefixes};
use crate::domain::claws::{CLAWS, DHCP, HOST, LAN};
use crate::domain::lease::ReservationKey;
use crate::domain::net::Mac;
use crate::store::memory::Memory;

const M1: &str = include_str!("../../../../tests/golden/claws/m1-submission.xml");
const M2: &str = include_str!("../../../../tests/golden/claws/m2-provisional.xml");
const M3: &str = include_str!("../../../../tests/golden/claws/m3-dns-update.xml");
const M4: &str = include_str!("../../../../tests/golden/claws/m4-address-update.xml");
const M5: &str = include_str!("../../../../tests/golden/claws/m5-final.xml");
const PROGRESS: [&str; 4] = [
    include_str!("../../../../tests/golden/claws/m6-progress-0.xml"),
    include_str!("../../../../tests/golden/claws/m7-progress-33.xml"),
    include_str!("../../../../tests/golden/claws/m8-progress-66.xml"),
    include_str!("../../../../tests/golden/claws/m9-progress-100.xml"),
];
const TXID: &str = "000000-0000-0000-000000000000";

fn repaired(update: &str) -> String {
    update.replace("</claws:event>", "</claws:event-update>")
}

fn multiset(payload: &Element) -> Vec<String> {
    let mut out: Vec<String> = payload.children().map(Element::write).collect();
    out.sort();
    out
}

fn golden(text: &str) -> Element {
    decode_assuming_prefixes(text.as_bytes()).unwrap().find(HOST, "add-host").unwrap().clone()
}

fn served(bench: &Bench, name: &str) -> Vec<(String, String)> {
    let mut out: Vec<_> = bench.naming.records(name).into_iter().map(|r| (r.rtype, r.data)).collect();
    out.sort();
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sketch_plays_with_external_modules_of_its_names() {
    let bench = start(settings(), false, Memory::default()).await;
    let mut web = bench.frontend("Web Client").await;
    let mut other = bench.frontend("Other Client").await;
    let mut dns = bench.module(DNS_MODULE).await;
    let mut lan = bench.module(ADDRESS_MODULE).await;
    assert_eq!(bench.post(DNS_MODULE, PROGRESS[0]).await.code(), "unknown-transaction");

    let accepted = bench.post("Web Client", M1).await;
    assert_eq!((accepted.status, accepted.state()), (202, "collecting"));
    for (feed, module, update) in [(&mut dns, DNS_MODULE, M3), (&mut lan, ADDRESS_MODULE, M4)] {
        let provisional = feed.status("provisional").await;
        let expected = decode_assuming_prefixes(M2.as_bytes()).unwrap();
        assert_eq!(provisional.message.nodes, expected.nodes, "M2: the payload is untouched");
        assert_eq!(bench.post(module, update).await.code(), "xml-malformed", "as the sketch has it");
        assert_eq!(bench.post(module, &repaired(update)).await.status, 202);
    }
    let finals = [dns.status("final").await, lan.status("final").await, web.status("final").await];
    for frame in &finals {
        assert_eq!(multiset(frame.payload()), multiset(&golden(M5)), "M5");
        assert_eq!(frame.id.as_deref(), frame.message.attribute("seq"));
    }

    // CL-802: who sees the final event finds what it implies
    let (a, aaaa) = (("A".to_owned(), "192.168.50.4".to_owned()), ("AAAA".to_owned(), "2001::58".to_owned()));
    assert_eq!(served(&bench, "alice-pc.roamer.example.com"), [a, aaaa]);
    let pointer = [("PTR".to_owned(), "alice-pc.roamer.example.com.".to_owned())];
    assert_eq!(served(&bench, "4.50.168.192.in-addr.arpa"), pointer);
    let host = bench.hosts.find("alice-pc").unwrap();
    assert_eq!((host.options[0].number, host.options[0].value.as_slice()), (252, &b"\n"[..]));
    assert_eq!(host.interfaces[0].mac, Some(Mac([0; 6])));

    for (text, percent) in PROGRESS.iter().zip(["0", "33", "66", "100"]) {
        assert_eq!(bench.post(DNS_MODULE, text).await.status, 202);
        let frame = progress_from(&mut web, DNS_MODULE).await;
        assert_eq!(frame.percent().as_deref(), Some(percent));
        assert_eq!((frame.status(), frame.id.as_ref()), ("final", None));
        assert!(frame.message.attribute("timestamp").is_some());
    }
    let ack = format!("<claws:ack txid='{TXID}' seq='{}' result='applied'/>", finals[0].seq());
    assert_eq!(bench.post(ADDRESS_MODULE, &ack).await.status, 202);
    web.status("completed").await;
    // to the initiator only
    assert!(other.within(std::time::Duration::from_millis(50)).await.is_none());
    while let Some(frame) = dns.within(std::time::Duration::from_millis(50)).await {
        assert_eq!(frame.percent(), None);
    }
    let explained = bench.until("Web Client", TXID, &["completed"]).await;
    let contributions = explained.body.unwrap();
    let removed = contributions.children().find(|c| c.attribute("op") == Some("removed")).unwrap();
    assert_eq!(removed.find(CLAWS, "by").unwrap().text(), DNS_MODULE);
}

async fn progress_from(feed: &mut super::bench::Feed, source: &str) -> Frame {
    let wanted = async {
        loop {
            let frame = feed.next().await;
            let from = frame.message.find(CLAWS, "source").map(Element::text);
            if frame.percent().is_some() && from.as_deref() == Some(source) {
                return frame;
            }
        }
    };
    tokio::time::timeout(GUARD, wanted).await.expect("progress in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_built_in_modules_alone_make_the_same_with_networks_in_cidr() {
    let bench = start(settings(), true, Memory::default()).await;
    let mut web = bench.frontend("Web Client").await;
    let answer = bench.post_with("Web Client", M1.as_bytes(), &[("prefer", "wait=10")]).await;
    assert_eq!((answer.status, answer.attribute("reason")), (200, ""));
    let frame = web.status("final").await;
    let expected: Vec<String> = {
        let golden = golden(M5);
        let mut out: Vec<String> = golden
            .children()
            .filter(|c| !c.is(DHCP, "custom-option") && !c.is(LAN, "address") && !c.is(LAN, "network"))
            .map(Element::write)
            .collect();
        let ethernet = |name: &str, text: &str| Element::new(LAN, name).with("name", "ethernet").text_of(text).write();
        out.extend([ethernet("network", "192.168.50.0/24"), ethernet("network", "2000::/3")]);
        out.push(ethernet("address", "192.168.50.4"));
        out
    };
    let mut got = multiset(frame.payload());
    let v6 = got.iter().position(|e| e.contains("lan:address") && e.contains(">2")).expect("an IPv6 address");
    got.remove(v6);
    let mut expected = expected;
    expected.sort();
    assert_eq!(got, expected);
    let host = bench.hosts.find("alice-pc").unwrap();
    assert_eq!(host.fqdn.as_deref(), Some("alice-pc.roamer.example.com"));
    assert_eq!(host.interfaces[0].addresses.len(), 2);
    assert_eq!(served(&bench, "alice-pc.roamer.example.com").len(), 2);
    for module in ["lanlord-hosts", "lanlord-address", "lanlord-dns"] {
        assert_eq!(progress_from(&mut web, module).await.percent().as_deref(), Some("100"));
    }
}

/// CL-121, with a real MAC in the nil one's place: what a DHCP client of that host is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sketchs_option_252_waits_for_its_client_as_one_line_feed() {
    let bench = start(settings(), false, Memory::default()).await;
    let mut lan = bench.module(ADDRESS_MODULE).await;
    let mac = Mac([0x00, 0x1b, 0x21, 0, 0, 1]);
    let real = M1.replace("00:00:00:00:00:00", &mac.to_string());
    assert_eq!(bench.post("Web Client", &real).await.status, 202);
    lan.status("provisional").await;
    assert_eq!(bench.post(ADDRESS_MODULE, &repaired(M4)).await.status, 202);
    lan.status("final").await;
    let reservations = bench.leasing.reservations();
    let mine = reservations.iter().find(|r| r.keys.contains(&ReservationKey::Mac(mac))).expect("a reservation");
    assert_eq!(mine.ip, Some("192.168.50.4".parse().unwrap()));
    assert_eq!(mine.options, [(252, b"\n".to_vec())]);
}

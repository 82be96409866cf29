use std::path::{Path, PathBuf};

use super::*;
use crate::domain::claws::message::parse;
use crate::domain::claws::xml::decode;
use crate::domain::lease::ClientKey;

fn lease(cause: Cause) -> Change {
    Change::LeaseGranted(Box::new(Lease {
        ip: [10, 77, 0, 100].into(),
        delegated: None,
        network: "voice".to_owned(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        client: ClientKey::Hw(1, vec![0x80, 0x5e, 0xc0, 0, 0, 1]),
        mac: Some(Mac([0x80, 0x5e, 0xc0, 0, 0, 1])),
        client_id: Some(vec![1, 0x80, 0x5e, 0xc0, 0, 0, 1]),
        hostname: Some(b"T46S".to_vec()),
        fqdn: Some("t46s.voice.home.arpa".to_owned()),
        vendor_class: Some(b"<yealink & co>".to_vec()),
        user_class: None,
        requested: vec![1, 3, 66],
        relay_info: Some(vec![1, 2, b'p', b'7']),
        circuit_id: Some(b"p7".to_vec()),
        remote_id: Some(vec![0, 6, 0xab]),
        relay: Some([10, 77, 0, 1].into()),
        interface: "eth1".to_owned(),
        began: Wall(1_700_000_000_000),
        expires: Wall(1_700_003_600_000),
        preferred: None,
        cause,
    }))
}

fn delegated() -> Change {
    let Change::LeaseGranted(lease) = lease(Cause::New) else { unreachable!("made above") };
    Change::LeaseGranted(Box::new(Lease {
        ip: "2001:db8:7700::".parse().unwrap(),
        delegated: Some(56),
        subnet: "2001:db8:7700::/40".parse().unwrap(),
        client_id: None,
        expires: Wall::NEVER,
        ..*lease
    }))
}

fn ended(end: End) -> Change {
    Change::LeaseEnded { network: "voice".to_owned(), ip: [10, 77, 0, 100].into(), end }
}

fn conflict(mac: Option<Mac>) -> Change {
    let (network, ip, until) = ("voice".to_owned(), [10, 77, 0, 101].into(), Wall(1_700_086_400_000));
    Change::Quarantined { network, ip, until, mac }
}

/// Every event, under the name of its golden file.
fn all() -> Vec<(&'static str, Change)> {
    let stranger = Stranger {
        network: Some("voice".to_owned()),
        interface: "eth1".to_owned(),
        relay: Some([10, 77, 0, 1].into()),
        mac: Some(Mac([2, 0, 0, 0, 0, 9])),
        client_id: None,
        hostname: Some(b"a\x00b".to_vec()),
        vendor_class: Some(b"MSFT 5.0".to_vec()),
        reason: "guarded".to_owned(),
    };
    let subnet = "10.77.0.0/24".parse().unwrap();
    vec![
        ("lease-granted", lease(Cause::New)),
        ("lease-granted-prefix", delegated()),
        ("lease-renewed", lease(Cause::Renew)),
        ("lease-released", ended(End::Released)),
        ("lease-released-by-order", ended(End::Revoked)),
        ("lease-expired", ended(End::Expired)),
        ("lease-declined", ended(End::Declined { until: Wall(1_700_086_400_000) })),
        ("unknown-client", Change::UnknownClient(Box::new(stranger))),
        ("address-conflict", conflict(Some(Mac([2, 0, 0, 0, 0, 8])))),
        ("pool-low", Change::PoolLow { network: "voice".to_owned(), subnet, percent: 90, free: 10, size: 100 }),
    ]
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/claws/notices/{file}.xml"))
}

/// `LANLORD_BLESS=1` writes the files anew.
#[test]
fn every_notice_is_written_as_its_golden_file_says() {
    for (file, change) in all() {
        let text = message(4711, Wall(1_700_000_000_123), payload(&change).expect("a notice")) + "\n";
        if std::env::var_os("LANLORD_BLESS").is_some() {
            std::fs::write(golden(file), &text).expect("writable");
        }
        let wanted = std::fs::read_to_string(golden(file)).expect("a golden file");
        assert_eq!(text, wanted, "{file}");
        let read = decode(text.trim_end().as_bytes()).expect("well-formed");
        let (ns, event) = name(&change).expect("a notice");
        assert!(read.find(ns, event).is_some() && file.starts_with(event), "{file}");
        assert_eq!(read.attribute("seq"), Some("4711"));
        // what the bus says, nobody may send
        assert!(parse(&read).is_err(), "{file}");
    }
}

#[test]
fn what_clients_sent_arrives_as_it_was_whatever_it_was() {
    let Change::LeaseGranted(mut lease) = lease(Cause::New) else { unreachable!("made above") };
    for (sent, encoding, text) in [
        (&b"a\x00b"[..], Some("hex"), "610062"),
        (b"\xff", Some("hex"), "ff"),
        (b"<&> \t\r\n", None, "<&> \t\r\n"),
        ("\u{85}\u{2028}\u{7f}".as_bytes(), None, "\u{85}\u{2028}\u{7f}"),
        ("\u{fffe}".as_bytes(), Some("hex"), "efbfbe"),
    ] {
        lease.hostname = Some(sent.to_vec());
        let line = message(1, Wall(0), payload(&Change::LeaseGranted(lease.clone())).expect("a notice"));
        assert!(!line.contains(['\n', '\r']), "{line:?}");
        let read = decode(line.as_bytes()).expect("well-formed");
        let name = read.find(DHCP, "lease-granted").and_then(|e| e.find(HOST, "hostname")).expect("a name");
        assert_eq!((name.attribute("encoding"), name.text().as_str()), (encoding, text));
    }
}

#[test]
fn what_ends_a_quarantine_or_makes_an_object_is_no_notice() {
    assert_eq!(
        name(&Change::Quarantined { network: String::new(), ip: [0; 4].into(), until: Wall::LONG_AGO, mac: None }),
        None
    );
    assert_eq!(payload(&Change::HostRemoved { id: String::new() }), None);
    let line = message(1, Wall(0), payload(&conflict(None)).expect("a notice"));
    assert!(line.contains("address-conflict") && !line.contains("mac-addr"), "{line}");
}

#[test]
fn a_notice_has_the_same_txid_whenever_it_is_read_and_no_other_has_it() {
    let id = txid(4711, Wall(1_700_000_000_123));
    assert_eq!(id, "018bcfe5-687b-8000-8000-000000001267");
    assert!(crate::domain::claws::message::is_txid(&id) && id != txid(4712, Wall(1_700_000_000_123)));
    assert!(crate::domain::claws::message::is_txid(&txid(u64::MAX, Wall(-1))));
}

use ipnet::IpNet;

use super::*;
use crate::domain::dns::lookup::lookup;
use crate::domain::host::{Host, Interface};
use crate::domain::lease::{Cause, ClientKey, End, Lease, Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;

mod families;
mod files;
mod links;
mod server;

const HOUR: i64 = 3_600_000;
const T0: Wall = Wall(1_700_000_000_000);

fn settings() -> Settings {
    let mut settings = Settings::new("lan.example", 99);
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    settings.networks = vec![
        Domain {
            network: "lan".into(),
            domain: "lan.example".into(),
            subnets: vec![net("10.0.0.0/24"), net("fd00:1::/64")],
        },
        Domain { network: "voice".into(), domain: "voice.lan.example".into(), subnets: vec![net("10.77.0.0/16")] },
    ];
    settings.server_addresses = vec!["10.0.0.1".parse().unwrap()];
    settings
}

struct Bench {
    naming: Naming,
    view: Box<dyn View>,
    seq: u64,
    at: Wall,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        let naming = Naming::open(settings, T0);
        let view = naming.view();
        Bench { naming, view, seq: 0, at: T0 }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let at = self.at;
        let entries: Vec<Entry> = changes
            .into_iter()
            .enumerate()
            .map(|(i, change)| Entry { seq: self.seq + 1 + i as u64, at, change })
            .collect();
        self.seq += entries.len() as u64;
        self.view.apply(&entries);
    }

    /// `rcode` or the data of the answer, sorted.
    fn ask(&self, name: &str, rtype: &str) -> String {
        let wire = Name::parse(name).unwrap();
        let state = self.naming.state();
        let answer = lookup(&state, wire.as_wire(), rdata::type_number(rtype).unwrap());
        if answer.answer.is_empty() {
            return match (answer.foreign, answer.rcode) {
                (Some(_), _) => "foreign".to_owned(),
                (None, 0) => "nodata".to_owned(),
                (None, 3) => "nxdomain".to_owned(),
                (None, code) => format!("rcode {code}"),
            };
        }
        let rrs = answer.answer.iter().flat_map(|rr| rr.rdata().into_iter().map(|d| rdata::show(rr.rtype(), d)));
        let mut all: Vec<String> = rrs.collect();
        all.sort();
        all.join(" ")
    }

    fn serial(&self, zone: &str) -> u32 {
        self.naming.state().zone(&Name::parse(zone).unwrap()).unwrap().soa.serial
    }

    fn choose(&self, mac: u8, wish: &str, previous: Option<&str>) -> String {
        let client = ClientKey::Hw(1, vec![2, 0, 0, 0, 0, mac]);
        let request = NameRequest {
            client: &client,
            mac: Some(mac_of(mac)),
            ip: "10.0.0.50".parse().unwrap(),
            domain: "lan.example",
            reserved: None,
            option81: None,
            option12: Some(wish.as_bytes()),
            vendor_class: None,
            previous,
        };
        self.naming.choose(&request).unwrap()
    }
}

fn mac_of(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn lease(ip: &str, mac: u8, fqdn: Option<&str>) -> Lease {
    Lease {
        ip: ip.parse().unwrap(),
        delegated: None,
        network: if ip.starts_with("10.77") { "voice" } else { "lan" }.into(),
        subnet: "10.0.0.0/24".parse().unwrap(),
        client: ClientKey::Hw(1, vec![2, 0, 0, 0, 0, mac]),
        mac: Some(mac_of(mac)),
        client_id: None,
        hostname: None,
        fqdn: fqdn.map(str::to_owned),
        vendor_class: None,
        user_class: None,
        requested: Vec::new(),
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay: None,
        interface: "eth0".into(),
        began: T0,
        expires: Wall(T0.0 + 3 * HOUR),
        preferred: None,
        cause: Cause::New,
    }
}

fn granted(ip: &str, mac: u8, fqdn: &str) -> Change {
    Change::LeaseGranted(Box::new(lease(ip, mac, Some(fqdn))))
}

fn ended(ip: &str) -> Change {
    let network = if ip.starts_with("10.77") { "voice" } else { "lan" }.into();
    Change::LeaseEnded { network, ip: ip.parse().unwrap(), end: End::Released }
}

fn reservation(id: &str, mac: u8, ip: Option<&str>, name: &str) -> Change {
    Change::ReservationPut(Box::new(Reservation {
        network: Some("lan".into()),
        keys: vec![ReservationKey::Mac(mac_of(mac))],
        ip: ip.map(|ip| ip.parse().unwrap()),
        name: Some(name.into()),
        ..Reservation::new(id, Origin::User("admin".into()))
    }))
}

fn host(id: &str, fqdn: &str, mac: u8, addresses: &[&str], aliases: &[&str]) -> Change {
    Change::HostPut(Box::new(Host {
        id: id.into(),
        hostname: id.into(),
        fqdn: Some(fqdn.into()),
        aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
        interfaces: vec![Interface {
            name: "ethernet".into(),
            mac: Some(mac_of(mac)),
            roaming: addresses.is_empty(),
            vlan: None,
            networks: Vec::new(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }],
        options: Vec::new(),
        properties: Vec::new(),
    }))
}

fn record(id: &str, name: &str, rtype: &str, data: &str) -> Change {
    Change::RecordPut(Box::new(Record {
        id: id.into(),
        name: name.into(),
        rtype: rtype.into(),
        ttl: 120,
        data: data.into(),
        owner: "admin".into(),
    }))
}

#[test]
fn a_lease_is_an_address_and_its_ptr_in_one_snapshot() {
    let mut b = Bench::new(settings());
    b.apply(vec![granted("10.0.0.5", 5, "pc.lan.example")]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.5");
    assert_eq!(b.ask("pc.lan.example", "AAAA"), "nodata");
    assert_eq!(b.ask("5.0.0.10.in-addr.arpa", "PTR"), "pc.lan.example.");
    b.apply(vec![ended("10.0.0.5")]);
    assert_eq!(b.ask("pc.lan.example", "A"), "nxdomain");
    assert_eq!(b.ask("5.0.0.10.in-addr.arpa", "PTR"), "nxdomain");
}

#[test]
fn the_ttl_is_a_third_of_the_lease_within_bounds_and_never_longer() {
    let s = settings();
    for (lease, ttl) in [(300, 300), (900, 600), (3_600, 1_200), (86_400, 3_600), (0, 1)] {
        assert_eq!(s.lease_ttl(lease), ttl, "{lease}");
    }
}

#[test]
fn a_reservation_resolves_before_the_first_lease_and_keeps_its_name_with_one() {
    let mut b = Bench::new(settings());
    b.apply(vec![reservation("r1", 7, Some("10.0.0.70"), "printer")]);
    assert_eq!(b.ask("printer.lan.example", "A"), "10.0.0.70");
    assert_eq!(b.ask("70.0.0.10.in-addr.arpa", "PTR"), "printer.lan.example.");
    b.apply(vec![granted("10.0.0.70", 7, "printer.lan.example")]);
    b.apply(vec![ended("10.0.0.70")]);
    assert_eq!(b.ask("printer.lan.example", "A"), "10.0.0.70", "a lease's end takes nothing from a reservation");
    b.apply(vec![Change::ReservationRemoved { id: "r1".into() }]);
    assert_eq!(b.ask("printer.lan.example", "A"), "nxdomain");
}

#[test]
fn a_reservation_of_the_configuration_resolves_too() {
    let Change::ReservationPut(reservation) = reservation("r1", 7, Some("10.0.0.70"), "printer") else {
        unreachable!("made above")
    };
    let b = Bench::new(Settings { reservations: vec![*reservation], ..settings() });
    assert_eq!(b.ask("printer.lan.example", "A"), "10.0.0.70");
    assert_eq!(b.naming.names_of("10.0.0.70".parse().unwrap()), ["printer.lan.example."]);
    assert_eq!(b.choose(7, "other", None), "printer.lan.example", "and its client gets its name");
    let Change::ReservationPut(other) = self::reservation("r2", 8, Some("10.0.0.70"), "plotter") else {
        unreachable!("made above")
    };
    let reply = b.naming.query("printer.lan.example", "a").unwrap();
    assert_eq!((reply.rcode, reply.authoritative, reply.foreign), (0, true, false));
    assert_eq!((reply.answers[0].data.as_str(), reply.answers[0].reason.as_str()), ("10.0.0.70", "reservation r1"));
    assert!(b.naming.query("a..b", "A").is_err() && b.naming.query("a", "NOPE").is_err());
    assert!(b.naming.query("www.kernel.org", "ANY").unwrap().foreign);
    b.naming.reload(Settings { reservations: vec![*other], ..settings() }, T0).unwrap();
    assert_eq!(
        (b.ask("printer.lan.example", "A"), b.ask("plotter.lan.example", "A")),
        ("nxdomain".into(), "10.0.0.70".into())
    );
    assert_eq!(b.naming.names_of("10.0.0.70".parse().unwrap()), ["plotter.lan.example."]);
}

#[test]
fn a_change_of_the_best_source_renames_at_once() {
    let mut b = Bench::new(settings());
    b.apply(vec![granted("10.0.0.5", 5, "android-1234.lan.example")]);
    b.apply(vec![reservation("r1", 5, None, "tablet")]);
    assert_eq!(b.ask("tablet.lan.example", "A"), "10.0.0.5");
    assert_eq!(b.ask("android-1234.lan.example", "A"), "nxdomain");
    assert_eq!(b.ask("5.0.0.10.in-addr.arpa", "PTR"), "tablet.lan.example.");
    b.apply(vec![host("slate", "slate.lan.example", 5, &[], &[])]);
    assert_eq!(b.ask("slate.lan.example", "A"), "10.0.0.5", "a host beats a reservation, and roams with its lease");
    b.apply(vec![ended("10.0.0.5"), granted("10.77.0.9", 5, "x.voice.lan.example")]);
    assert_eq!(b.ask("slate.lan.example", "A"), "10.77.0.9");
    assert_eq!(b.ask("9.0.77.10.in-addr.arpa", "PTR"), "slate.lan.example.");
    b.apply(vec![Change::HostRemoved { id: "slate".into() }]);
    assert_eq!(b.ask("slate.lan.example", "A"), "nxdomain");
    assert_eq!(b.ask("x.voice.lan.example", "A"), "10.77.0.9", "the reservation is for the other network");
}

#[test]
fn a_host_has_all_of_its_addresses_their_ptrs_and_its_aliases() {
    let mut b = Bench::new(settings());
    b.apply(vec![host("pc", "pc.lan.example", 5, &["10.0.0.4", "fd00:1::58"], &["www", "files.voice.lan.example"])]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.4");
    assert_eq!(b.ask("pc.lan.example", "AAAA"), "fd00:1::58");
    assert_eq!(b.ask("www.lan.example", "A"), "10.0.0.4 pc.lan.example.");
    assert_eq!(b.ask("files.voice.lan.example", "CNAME"), "pc.lan.example.");
    for ip in ["10.0.0.4", "fd00:1::58"] {
        let reverse = Name::reverse(ip.parse().unwrap()).to_string();
        assert_eq!(b.ask(&reverse, "PTR"), "pc.lan.example.", "never an alias");
    }
    b.apply(vec![host("pc", "box.lan.example", 5, &["10.0.0.4"], &[])]);
    assert_eq!(b.ask("pc.lan.example", "A"), "nxdomain");
    assert_eq!(b.ask("www.lan.example", "A"), "nxdomain");
    assert_eq!(b.ask(&Name::reverse("fd00:1::58".parse().unwrap()).to_string(), "PTR"), "nxdomain");
    assert_eq!(b.ask("4.0.0.10.in-addr.arpa", "PTR"), "box.lan.example.");
}

#[test]
fn a_name_in_no_zone_of_ours_hides_nothing_else() {
    let mut b = Bench::new(settings());
    b.apply(vec![host("alice-pc", "alice-pc.roamer.test-site.org", 5, &["192.168.50.4", "2001::58"], &[])]);
    assert_eq!(b.ask("alice-pc.roamer.test-site.org", "A"), "192.168.50.4");
    assert_eq!(b.ask("alice-pc.roamer.test-site.org", "AAAA"), "2001::58");
    assert_eq!(b.ask("alice-pc.roamer.test-site.org", "MX"), "nodata");
    assert_eq!(b.ask("www.test-site.org", "A"), "foreign");
    assert_eq!(b.ask("4.50.168.192.in-addr.arpa", "PTR"), "alice-pc.roamer.test-site.org.");
    let v6 = Name::reverse("2001::58".parse().unwrap()).to_string();
    assert_eq!(b.ask(&v6, "PTR"), "alice-pc.roamer.test-site.org.");
    b.apply(vec![Change::HostRemoved { id: "alice-pc".into() }]);
    assert_eq!(b.ask("alice-pc.roamer.test-site.org", "A"), "foreign");
    assert_eq!(b.ask(&v6, "PTR"), "foreign");
}

#[test]
fn a_lease_never_overrides_or_later_deletes_another_ones_name() {
    let mut b = Bench::new(settings());
    b.apply(vec![granted("10.0.0.5", 5, "pc.lan.example")]);
    let mut later = lease("10.0.0.6", 6, Some("pc.lan.example"));
    later.began = Wall(T0.0 + 1);
    b.apply(vec![Change::LeaseGranted(Box::new(later))]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.5");
    assert_eq!(b.ask("6.0.0.10.in-addr.arpa", "PTR"), "nxdomain", "no PTR without its address record");
    b.apply(vec![ended("10.0.0.6")]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.5");
}

#[test]
fn the_owner_keeps_its_name_and_the_newcomer_gets_another_even_before_the_commit() {
    let mut b = Bench::new(settings());
    assert_eq!(b.choose(5, "pc", None), "pc.lan.example");
    assert_eq!(b.choose(6, "pc", None), "pc-0006.lan.example", "pending counts");
    b.apply(vec![granted("10.0.0.5", 5, "pc.lan.example"), granted("10.0.0.6", 6, "pc-0006.lan.example")]);
    assert_eq!(b.choose(5, "pc", Some("pc.lan.example")), "pc.lan.example");
    assert_eq!(b.choose(6, "pc", Some("pc-0006.lan.example")), "pc-0006.lan.example");
    assert_eq!(b.choose(7, "pc", None), "pc-0007.lan.example");
    b.apply(vec![ended("10.0.0.5")]);
    assert_eq!(b.choose(8, "pc", None), "pc.lan.example");
    assert!(b.naming.counters().iter().any(|(name, _, n)| *name == "lanlord_name_conflicts_total" && *n == 2));
}

#[test]
fn names_of_files_records_hosts_and_this_server_are_not_given_to_clients() {
    let mut b = Bench::new(settings());
    b.apply(vec![
        record("1", "intranet.lan.example", "TXT", "hello"),
        host("nas", "nas.lan.example", 9, &["10.0.0.9"], &["files"]),
    ]);
    for (wish, got) in [
        ("intranet", "intranet-0005.lan.example"),
        ("nas", "nas-0005.lan.example"),
        ("files", "files-0005.lan.example"),
        ("lanlord", "lanlord-0005.lan.example"),
        ("provision", "provision-0005.lan.example"),
        ("voice", "voice-0005.lan.example"),
        ("wpad", "host-10-0-0-50.lan.example"),
    ] {
        assert_eq!(b.choose(5, wish, None), got);
    }
    assert_eq!(b.choose(9, "whatever", None), "nas.lan.example", "the host's own client gets the host's name");
}

#[test]
fn records_made_by_hand_win() {
    let mut b = Bench::new(settings());
    b.apply(vec![granted("10.0.0.5", 5, "pc.lan.example")]);
    b.apply(vec![record("1", "pc.lan.example", "A", "10.0.0.200"), record("2", "pc.lan.example", "A", "10.0.0.201")]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.200 10.0.0.201");
    assert_eq!(b.ask("5.0.0.10.in-addr.arpa", "PTR"), "nxdomain");
    b.apply(vec![record("3", "7.0.0.10.in-addr.arpa", "PTR", "hand.example.")]);
    b.apply(vec![granted("10.0.0.7", 7, "seven.lan.example")]);
    assert_eq!(b.ask("7.0.0.10.in-addr.arpa", "PTR"), "hand.example.");
    b.apply(vec![ended("10.0.0.5"), Change::RecordRemoved { id: "1".into() }]);
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.201", "the end of the lease takes nothing");
    b.apply(vec![Change::RecordRemoved { id: "3".into() }]);
    assert_eq!(b.ask("7.0.0.10.in-addr.arpa", "PTR"), "seven.lan.example.");
    let reasons: Vec<String> = b.naming.records("pc.lan.example").into_iter().map(|r| r.reason).collect();
    assert_eq!(reasons, ["record 2"]);
}

#[test]
fn unsound_records_are_refused_and_never_served() {
    let mut b = Bench::new(settings());
    for (rtype, data) in
        [("A", "10.0.0"), ("NOPE", "x"), ("SOA", "a b 1 2 3 4 5"), ("TXT", "\"open"), ("TYPE41", "\\# 0")]
    {
        let bad = record("9", "x.lan.example", rtype, data);
        let Change::RecordPut(r) = &bad else { unreachable!("made above") };
        assert!(b.naming.check_record(r).is_err(), "{rtype} {data}");
        b.apply(vec![bad]);
        assert_eq!(b.ask("x.lan.example", "A"), "nxdomain");
    }
}

#[test]
fn special_names_and_local_reverse_zones_never_leave() {
    let b = Bench::new(settings());
    for (name, rtype, answer) in [
        ("localhost", "A", "127.0.0.1"),
        ("x.localhost", "AAAA", "::1"),
        ("x.invalid", "A", "nxdomain"),
        ("onion", "A", "nxdomain"),
        ("printer.local", "A", "nxdomain"),
        ("x.test", "A", "nxdomain"),
        ("corp.internal", "A", "nxdomain"),
        ("_dns.resolver.arpa", "TYPE64", "nodata"),
        ("ipv4only.arpa", "A", "192.0.0.170 192.0.0.171"),
        ("ipv4only.arpa", "AAAA", "nodata"),
        ("x.home.arpa", "A", "nxdomain"),
        ("1.1.168.192.in-addr.arpa", "PTR", "nxdomain"),
        ("1.0.20.172.in-addr.arpa", "PTR", "nxdomain"),
        ("1.0.32.172.in-addr.arpa", "PTR", "foreign"),
        ("1.2.0.192.in-addr.arpa", "PTR", "nxdomain"),
        ("8.8.8.8.in-addr.arpa", "PTR", "foreign"),
        (
            "8.b.d.0.1.0.0.2.ip6.arpa",
            "SOA",
            "lanlord.lan.example. hostmaster.lanlord.lan.example. 1700000000 3600 600 604800 60",
        ),
        ("www.kernel.org", "A", "foreign"),
    ] {
        assert_eq!(b.ask(name, rtype), answer, "{name} {rtype}");
    }
    assert_eq!(b.ask("0.0.10.in-addr.arpa", "DS"), "nodata", "a zone below another of ours is no false denial");
    assert_eq!(b.ask("0.10.in-addr.arpa", "TXT"), "nodata", "between two zones of ours is an empty non-terminal");
}

#[test]
fn dynamic_zones_have_soa_and_ns_and_this_server_its_names() {
    let b = Bench::new(settings());
    for zone in ["lan.example", "voice.lan.example", "0.0.10.in-addr.arpa", "77.10.in-addr.arpa"] {
        assert_eq!(b.ask(zone, "NS"), "lanlord.lan.example.", "{zone}");
        assert!(b.ask(zone, "SOA").ends_with(" 3600 600 604800 60"), "{zone}");
    }
    assert_eq!(b.ask("lanlord.lan.example", "A"), "10.0.0.1");
    assert_eq!(b.ask("tftpserver.voice.lan.example", "A"), "10.0.0.1");
    assert_eq!(b.ask("1.0.0.10.in-addr.arpa", "PTR"), "lanlord.lan.example.");
}

#[test]
fn the_serial_grows_once_per_batch_and_never_goes_back() {
    let mut b = Bench::new(settings());
    let other = b.serial("77.10.in-addr.arpa");
    b.at = Wall(T0.0 + 60_000);
    let mut second = lease("10.0.0.6", 6, Some("b.lan.example"));
    second.expires = Wall(b.at.0 + 3 * HOUR);
    b.apply(vec![granted("10.0.0.5", 5, "a.lan.example"), Change::LeaseGranted(Box::new(second))]);
    assert_eq!(b.serial("lan.example"), 1_700_000_060);
    assert_eq!(b.serial("0.0.10.in-addr.arpa"), 1_700_000_060);
    assert_eq!(b.serial("77.10.in-addr.arpa"), other, "untouched");
    b.at = T0;
    b.apply(vec![ended("10.0.0.5")]);
    assert_eq!(b.serial("lan.example"), 1_700_000_061, "though the clock stepped back");
    let mut renewed = lease("10.0.0.6", 6, Some("b.lan.example"));
    b.at = Wall(T0.0 + HOUR);
    renewed.expires = Wall(T0.0 + 4 * HOUR - 30);
    b.apply(vec![Change::LeaseGranted(Box::new(renewed))]);
    assert_eq!(b.serial("lan.example"), 1_700_000_061, "a renewal changes nothing");
}

#[test]
fn a_restart_gives_the_same_names() {
    let changes = vec![
        granted("10.0.0.5", 5, "a.lan.example"),
        reservation("r1", 5, Some("10.0.0.70"), "tablet"),
        host("pc", "pc.lan.example", 6, &["10.0.0.4"], &["www"]),
        granted("10.0.0.6", 6, "x.lan.example"),
        record("1", "mx.lan.example", "MX", "5 pc.lan.example."),
    ];
    let (mut one, mut other) = (Bench::new(settings()), Bench::new(settings()));
    changes.iter().for_each(|c| one.apply(vec![c.clone()]));
    let mut tables = changes;
    tables.reverse();
    other.apply(tables);
    for (name, rtype) in [
        ("a.lan.example", "A"),
        ("tablet.lan.example", "A"),
        ("pc.lan.example", "A"),
        ("www.lan.example", "A"),
        ("mx.lan.example", "MX"),
        ("5.0.0.10.in-addr.arpa", "PTR"),
        ("6.0.0.10.in-addr.arpa", "PTR"),
        ("70.0.0.10.in-addr.arpa", "PTR"),
    ] {
        assert_eq!(one.ask(name, rtype), other.ask(name, rtype), "{name}");
    }
    assert_eq!(one.ask("tablet.lan.example", "A"), "10.0.0.5 10.0.0.70");
    assert_eq!(one.ask("pc.lan.example", "A"), "10.0.0.4 10.0.0.6");
}

//! Zone files beside what hosts and leases bring, and their reload.

use std::fs;
use std::path::Path as FsPath;

use super::*;

fn zone_file(dir: &FsPath, body: &str) {
    fs::write(
        dir.join("lan.example.zone"),
        format!("$TTL 300\n@ SOA ns host 5 1h 15m 1w 60\n@ NS ns\nns A 10.0.0.1\n{body}"),
    )
    .unwrap();
}

#[test]
fn a_zone_file_merges_with_its_dynamic_zone_and_wins() {
    let dir = tempfile::tempdir().unwrap();
    zone_file(dir.path(), "printer A 10.0.0.99\n");
    let mut b = Bench::new(Settings { zone_dir: Some(dir.path().into()), ..settings() });
    assert_eq!(b.serial("lan.example"), 1_700_000_000, "this server's own names are in it already");
    b.apply(vec![granted("10.0.0.5", 5, "printer.lan.example"), granted("10.0.0.6", 6, "pc.lan.example")]);
    assert_eq!(b.ask("printer.lan.example", "A"), "10.0.0.99");
    assert_eq!(b.ask("5.0.0.10.in-addr.arpa", "PTR"), "nxdomain");
    assert_eq!(b.ask("pc.lan.example", "A"), "10.0.0.6");
    assert_eq!(b.ask("lan.example", "NS"), "ns.lan.example.");
    assert_eq!(b.choose(7, "printer", None), "printer-0007.lan.example");
    let hand = record("1", "printer.lan.example", "A", "10.0.0.3");
    let Change::RecordPut(r) = &hand else { unreachable!("made above") };
    assert!(b.naming.check_record(r).unwrap_err().contains("zone file"));
}

#[test]
fn a_reload_is_all_or_nothing_and_files_are_never_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    zone_file(dir.path(), "printer A 10.0.0.99\n");
    fs::write(dir.path().join(".hidden.zone"), "nonsense").unwrap();
    fs::write(dir.path().join("lan.example.zone~"), "nonsense").unwrap();
    let settings = Settings { zone_dir: Some(dir.path().into()), ..settings() };
    let mut b = Bench::new(settings.clone());
    b.apply(vec![granted("10.0.0.5", 5, "printer.lan.example")]);
    zone_file(dir.path(), "scanner A 10.0.0.98\n");
    fs::write(dir.path().join("other.zone"), "@ A 10.0.0.1\n").unwrap();
    let problems = b.naming.reload(settings.clone(), T0).unwrap_err();
    assert!(problems.iter().all(|p| p.file == "other.zone"), "{problems:?}");
    assert_eq!(b.ask("printer.lan.example", "A"), "10.0.0.99", "the old zones stay");
    assert_eq!(b.ask("scanner.lan.example", "A"), "nxdomain");
    fs::remove_file(dir.path().join("other.zone")).unwrap();
    let before = fs::read(dir.path().join("lan.example.zone")).unwrap();
    let serial = b.serial("lan.example");
    assert_eq!(b.naming.reload(settings, T0).unwrap().zones, 1);
    assert_eq!(b.ask("scanner.lan.example", "A"), "10.0.0.98");
    assert_eq!(b.ask("printer.lan.example", "A"), "10.0.0.5", "the lease's name is free now");
    assert_eq!(b.ask("5.0.0.10.in-addr.arpa", "PTR"), "printer.lan.example.");
    assert!(b.serial("lan.example") > serial);
    b.apply(vec![record("1", "new.lan.example", "A", "10.0.0.3"), ended("10.0.0.5")]);
    assert_eq!(fs::read(dir.path().join("lan.example.zone")).unwrap(), before);
}

#[test]
fn a_broken_file_at_start_is_servfail_for_its_zone_only() {
    let dir = tempfile::tempdir().unwrap();
    zone_file(dir.path(), "");
    fs::write(dir.path().join("bad.org.zone"), "@ A 10.0.0.1\n").unwrap();
    let b = Bench::new(Settings { zone_dir: Some(dir.path().into()), ..settings() });
    assert_eq!(b.ask("www.bad.org", "A"), "rcode 2");
    assert_eq!(b.ask("ns.lan.example", "A"), "10.0.0.1");
    assert!(b.naming.problems().iter().any(|p| p.file == "bad.org.zone"));
    assert!(b.naming.zones().iter().any(|z| z.name == "bad.org" && z.kind == "broken"));
}

#[test]
fn an_include_outside_of_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let zones = dir.path().join("zones");
    fs::create_dir(&zones).unwrap();
    fs::write(dir.path().join("secret"), "x A 10.0.0.1\n").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), zones.join("link")).unwrap();
    fs::write(zones.join("part"), "inc A 10.0.0.2\n").unwrap();
    for (file, ok) in
        [("../secret", false), ("link", false), ("/etc/hostname", false), ("missing", false), ("part", true)]
    {
        zone_file(&zones, &format!("$INCLUDE {file}\n"));
        let naming = Naming::open(Settings { zone_dir: Some(zones.clone()), ..settings() }, T0);
        assert_eq!(naming.problems().is_empty(), ok, "{file}: {:?}", naming.problems());
    }
}

#[test]
fn every_shipped_zone_is_sound() {
    let zones = FsPath::new(env!("CARGO_MANIFEST_DIR")).join("zones");
    let b = Bench::new(Settings { zone_dir: Some(zones), ..Settings::new("home.arpa", 1) });
    assert!(b.naming.problems().is_empty(), "{:?}", b.naming.problems());
    assert_eq!(b.ask("desk-07.lan.example", "A"), "192.0.2.107");
    assert_eq!(b.ask("_sip._udp.lan.example", "SRV"), "10 100 5060 pbx1.lan.example. 20 100 5060 pbx2.lan.example.");
}

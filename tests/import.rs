//! `lanlord import` over configurations written for this project, in `tests/golden/import/FORMAT/NAME/`:
//! the TOML and the report are compared with what is expected there (LANLORD_BLESS=1 writes it anew), and
//! every TOML is a configuration that `lanlord check` finds nothing wrong with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lanlord::config;
use lanlord::config::import::{self, Fate, Files, Format, Here, Imported, LeaseRow};

const FORMATS: [(&str, Format); 3] = [("kea", Format::Kea), ("dhcpd", Format::Dhcpd), ("dnsmasq", Format::Dnsmasq)];
const EXPECTED: [&str; 3] = ["expected.toml", "expected.report", "expected.leases"];
/// Addresses of the machine that the example is imported on: interface and address, one a line.
const ADDRESSES: &str = "addresses";
/// What the differential tests ask there (`tests/peers`).
const CLIENTS: &str = "clients";
/// 2026-11-25T04:00:00Z, when the examples were written.
const NOW: i64 = 1_795_579_200;

fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import").join(format)
}

fn cases(format: &str) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> =
        fs::read_dir(folder(format)).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    out.sort();
    assert!(out.len() >= 10, "only {} examples of {format}", out.len());
    out
}

/// The files of an example, by their paths within it; the first one at the top is what is imported.
fn inputs(case: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut open = vec![case.to_owned()];
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                open.push(path);
            } else if ![&EXPECTED[..], &[ADDRESSES, CLIENTS]].concat().iter().any(|name| path.ends_with(name)) {
                let name = path.strip_prefix(case).expect("inside").to_owned();
                out.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    out
}

fn import(format: Format, case: &Path) -> Imported {
    let files = inputs(case);
    let main = ["kea.conf", "kea-dhcp4.conf", "kea-dhcp6.conf", "dhcpd.conf", "dhcpd6.conf", "dnsmasq.conf"];
    let top = main.iter().map(PathBuf::from).find(|name| files.contains_key(name));
    let top = top.unwrap_or_else(|| files.keys().next().expect("a file").clone());
    let addresses = fs::read_to_string(case.join(ADDRESSES)).unwrap_or_default();
    let address = |line: &str| {
        let (name, net) = line.split_once(' ').expect("a name and an address");
        (name.to_owned(), net.parse().expect("an address with its length"))
    };
    let here = Here { addresses: addresses.lines().map(address).collect(), now: NOW };
    import::read(format, &Files::in_memory(files), &[top], here).unwrap_or_else(|e| panic!("{}: {e}", case.display()))
}

fn leases(rows: &[LeaseRow]) -> String {
    rows.iter().fold(String::new(), |mut out, row| {
        let _ = writeln!(out, "{:?}", row.carried());
        out
    })
}

#[test]
fn every_example_becomes_what_is_expected() {
    let mut wrong = String::new();
    for (name, format) in FORMATS {
        for case in cases(name) {
            let imported = import(format, &case);
            let results = [imported.toml.clone(), imported.report.text(true), leases(&imported.model.leases)];
            for (file, found) in EXPECTED.iter().zip(results) {
                let path = case.join(file);
                if std::env::var_os("LANLORD_BLESS").is_some() {
                    let _ = fs::remove_file(&path);
                    if !found.is_empty() {
                        fs::write(&path, &found).expect("writable");
                    }
                }
                let expected = fs::read_to_string(&path).unwrap_or_default();
                if expected != found {
                    let _ = writeln!(wrong, "{} differs:\n{found}", path.display());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nLANLORD_BLESS=1 writes the expectations anew");
}

#[test]
fn every_imported_configuration_passes_the_check() {
    let mut wrong = String::new();
    for (name, format) in FORMATS {
        for case in cases(name) {
            let imported = import(format, &case);
            match config::parse(&case.join("expected.toml"), &imported.toml) {
                Ok(config) => config.findings.iter().for_each(|finding| {
                    let _ = writeln!(wrong, "{finding}");
                }),
                Err(problems) => problems.0.iter().for_each(|problem| {
                    let _ = writeln!(wrong, "{problem}");
                }),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// DH-642: nothing is dropped in silence. Every line of an example that holds a directive is named in the
/// report, or lies within an object that is.
#[test]
fn every_directive_of_dnsmasq_is_in_the_report() {
    for case in cases("dnsmasq").iter().filter(|case| case.join("dnsmasq.conf").exists()) {
        let text = fs::read_to_string(case.join("dnsmasq.conf")).expect("readable");
        let report = import(Format::Dnsmasq, case).report;
        for (n, line) in text.lines().enumerate() {
            let meant = !line.trim().is_empty() && !line.starts_with('#');
            let told = report.items.iter().any(|i| &*i.place.file == "dnsmasq.conf" && i.place.line == n + 1);
            assert!(!meant || told, "{}:{}: `{line}` is not in the report", case.display(), n + 1);
        }
    }
}

/// AP-302: refusals are what the exit code is about, so the examples of mistakes have some.
#[test]
fn mistakes_are_refused_with_a_reason_and_something_to_do() {
    for (name, format) in FORMATS {
        let report = import(format, &folder(name).join("14-mistakes")).report;
        assert!(report.count(Fate::Refused) >= 4, "{}", report.text(true));
        for item in report.items.iter().filter(|item| item.fate == Fate::Refused) {
            assert!(!item.why.is_empty() && item.place.line > 0, "{item:?}");
        }
    }
}

#[test]
fn reading_twice_gives_the_same() {
    for (name, format) in FORMATS {
        for case in cases(name) {
            let (one, two) = (import(format, &case), import(format, &case));
            assert_eq!((one.toml, one.report), (two.toml, two.report), "{}", case.display());
        }
    }
}

//! Hostile configurations of other servers: the seeds of the fuzz targets, and thousands of mutations of
//! them, the same ones at each run.

#[path = "../fuzz/bodies/import.rs"]
mod import;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lanlord::config;
use lanlord::config::import::{Fate, Files, Format, Here, Imported};

/// SplitMix64: the same sequence everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).expect("a corpus").map(|f| f.expect("an entry").path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a seed")).collect();
    assert!(seeds.len() >= 8, "only {} seeds for {target}", seeds.len());
    seeds
}

/// Words of the formats, so that mutations reach beyond the syntax.
const WORDS: [&str; 20] = [
    "{",
    "}",
    "\"",
    ";",
    ",",
    "0",
    "255.255.255.255",
    "::",
    "ffff",
    "include \"more\";",
    "<?include \"more\"?>",
    "conf-file=more\n",
    "not ",
    "(",
    ")",
    "'",
    "\\",
    "4294967295",
    "-1",
    "\u{e9}",
];

fn mutate(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=dice.below(5) {
        let at = dice.below(out.len());
        let end = (at + dice.below(40)).min(out.len());
        match dice.below(7) {
            0 => out.truncate(at),
            1 => drop(out.drain(at..end)),
            2 => {
                let part = out[at..end].to_vec();
                let to = dice.below(out.len());
                out.splice(to..to, part);
            }
            3 => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << dice.below(7)),
            4 => out.iter_mut().skip(at).take(1).for_each(|b| *b = b'0' + dice.below(10) as u8),
            _ => {
                let word = WORDS[dice.below(WORDS.len())];
                out.splice(at..at, word.bytes());
            }
        }
    }
    out.truncate(8192);
    out
}

/// Every seed, then mutations of them; what goes wrong is told all at once.
fn survive(target: &str, body: fn(&[u8]), rounds: usize) {
    let seeds = seeds(target);
    let mut dice = Dice(641);
    let mutations = (0..rounds).map(|_| mutate(&seeds[dice.below(seeds.len())], &mut dice)).collect::<Vec<_>>();
    let mut wrong = BTreeMap::new();
    for data in seeds.iter().chain(&mutations) {
        if let Err(panic) = std::panic::catch_unwind(|| body(data)) {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let first = text.lines().next().unwrap_or_default();
            // without the place, so that one fault is told once
            let what = first.split_once(": ").map_or(first, |(_, what)| what).to_owned();
            wrong.entry(what).or_insert_with(|| String::from_utf8_lossy(data).into_owned());
        }
    }
    let told: Vec<String> = wrong.iter().take(20).map(|(what, data)| format!("{what}\n{data}")).collect();
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), told.join("\n----\n"));
}

#[test]
fn mutated_configurations_of_kea_are_survived() {
    survive("import_kea", import::kea, 2_000);
}

#[test]
fn mutated_configurations_of_dhcpd_are_survived() {
    survive("import_dhcpd", import::dhcpd, 2_000);
}

#[test]
fn mutated_configurations_of_dnsmasq_are_survived() {
    survive("import_dnsmasq", import::dnsmasq, 2_000);
}

/// Depth and length have an end.
#[test]
fn nests_and_loops_have_an_end() {
    for open in ["{\"a\":", "[", "{\"Dhcp4\":{\"subnet4\":[", "/*", "<?include \"more\"?>"] {
        import::kea(open.repeat(20_000).as_bytes());
    }
    for open in ["group {", "if (", "class \"a\" { match if not ", "include \"more\";", "option x code 1 = { "] {
        import::dhcpd(open.repeat(20_000).as_bytes());
    }
    for line in ["conf-file=more\n", "conf-file=dnsmasq.conf\n", "dhcp-option=tag:a,", "\"", "dhcp-host=,"] {
        import::dnsmasq(line.repeat(20_000).as_bytes());
    }
}

fn imported(format: Format, name: &str, text: &[u8]) -> Imported {
    let files = Files::in_memory([(name.into(), text.to_vec())]);
    let here = Here { addresses: Vec::new(), now: 1_795_579_200 };
    config::import::read(format, &files, &[name.into()], here).unwrap_or_else(|e| panic!("{name}: {e}"))
}

const KEA: &str = r#"{ "Dhcp4": { "subnet4": [
  { "id": 1, "subnet": "10.0.0.0/24", "pools": [ { "pool": "10.0.0.10-10.0.0.20" } ] } ] } }
"#;
const DHCPD: &str = "subnet 10.0.0.0 netmask 255.255.255.0 {\n  range 10.0.0.10 10.0.0.20;\n}\n";
const DNSMASQ: &str = "# a comment\ndhcp-range=10.0.0.10,10.0.0.20,255.255.255.0,1h\n";
const CSV: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n\
                   10.0.0.10,02:00:00:00:00:01,,4000,1795583000,1,0,0,pc,0\n";

/// Editors of other systems write a byte order mark, and two characters at the end of a line.
#[test]
fn a_byte_order_mark_and_carriage_returns_change_nothing() {
    for (format, name, text) in [
        (Format::Kea, "kea-dhcp4.conf", KEA),
        (Format::Kea, "kea-leases4.csv", CSV),
        (Format::Dhcpd, "dhcpd.conf", DHCPD),
        (Format::Dnsmasq, "dnsmasq.conf", DNSMASQ),
    ] {
        let plain = imported(format, name, text.as_bytes());
        assert!(!plain.toml.is_empty() || plain.model.leases.len() == 1, "{name}");
        let odd = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let odd = imported(format, name, odd.as_bytes());
        assert_eq!((odd.toml, odd.report, odd.model.leases), (plain.toml, plain.report, plain.model.leases), "{name}");
    }
}

/// What is not UTF-8 is in comments and names mostly.
#[test]
fn octets_that_are_no_utf_8_are_survived() {
    for (format, name, text) in [
        (Format::Kea, "kea-dhcp4.conf", [b"// caf\xe9\n", KEA.as_bytes()].concat()),
        (Format::Dhcpd, "dhcpd.conf", [b"# caf\xe9\n", DHCPD.as_bytes()].concat()),
        (Format::Dnsmasq, "dnsmasq.conf", [b"# caf\xe9\n", DNSMASQ.as_bytes()].concat()),
    ] {
        let found = imported(format, name, &text);
        assert!(found.toml.contains("10.0.0.0/24"), "{name}: {}", found.toml);
        config::parse(Path::new(name), &found.toml).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// Rows that are cut off, too long, or of no lease are refused alone, each with its line.
#[test]
fn odd_rows_of_a_lease_file_cost_only_themselves() {
    let mut text = CSV.to_owned();
    let odd = [
        "10.0.0.11".to_owned(),
        ",,,,,,".to_owned(),
        "10.0.0.12,zz:zz,,4000,1795583000,1,0,0,x,0".to_owned(),
        "10.0.0.13,02:00:00:00:00:03,,4000,99999999999999999999,1,0,0,x,0".to_owned(),
        "10.0.0.14,02:00:00:00:00:04,,-1,1795583000,1,0,0,x,0".to_owned(),
        format!("10.0.0.15,02:00:00:00:00:05,,4000,1795583000,1,0,0,{},0", "x".repeat(100_000)),
        "\"10.0.0.16\",\"02:00:00:00:00:06\",,4000,1795583000,1,0,0,x,0".to_owned(),
        "address,hwaddr,client_id,valid_lifetime,expire".to_owned(),
        ",".repeat(50_000),
    ];
    odd.iter().for_each(|row| text.push_str(&format!("{row}\n")));
    text.push_str("10.0.0.20,02:00:00:00:00:09,,4000,1795583000,1,0,0,last,0\n");
    let found = imported(Format::Kea, "kea-leases4.csv", text.as_bytes());
    let held: Vec<String> = found.model.leases.iter().map(|row| row.ip.to_string()).collect();
    assert!(held.contains(&"10.0.0.10".to_owned()) && held.contains(&"10.0.0.20".to_owned()), "{held:?}");
    let refused = found.report.items.iter().filter(|item| item.fate == Fate::Refused);
    let lines: Vec<usize> = refused.map(|item| item.place.line).collect();
    assert!([3, 4, 6].iter().all(|line| lines.contains(line)), "{}", found.report.text(true));
    for row in &found.model.leases {
        assert!(row.hostname.as_ref().is_none_or(|name| name.len() < 100_001));
    }
}

/// Sites have thousands of subclasses, tags and hosts: time grows with them, the stack does not, and what is
/// written can be served.
#[test]
fn thousands_of_objects_become_a_configuration_that_is_valid() {
    let mac = |n: usize| format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 255);
    let many = 0..3_000usize;
    let classes: String = many.clone().map(|n| format!("subclass \"known\" 1:{};\n", mac(n))).collect();
    let dhcpd = format!("class \"known\" {{ match hardware; }}\n{classes}{DHCPD}");
    let hosts: String = many.clone().map(|n| format!("host h{n} {{ hardware ethernet {}; }}\n", mac(n))).collect();
    let tags: String = many.clone().map(|n| format!("dhcp-mac=set:known,{}\n", mac(n))).collect();
    let ignored: String = many.map(|n| format!("dhcp-host={},ignore\n", mac(n))).collect();
    for (format, name, text) in [
        (Format::Dhcpd, "dhcpd.conf", dhcpd),
        (Format::Dhcpd, "dhcpd.conf", format!("{DHCPD}{hosts}")),
        (Format::Dnsmasq, "dnsmasq.conf", format!("{DNSMASQ}{tags}")),
        (Format::Dnsmasq, "dnsmasq.conf", format!("{DNSMASQ}{ignored}")),
    ] {
        let found = imported(format, name, text.as_bytes());
        assert_eq!(found.report.count(Fate::Refused), 0, "{}", found.report.text(false));
        config::parse(Path::new(name), &found.toml).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(found.toml.contains(&mac(2_999)), "the last one is there");
    }
}

/// DH-306: what our language cannot hold is refused with its line, and selects nobody.
#[test]
fn conditions_beyond_the_bounds_are_refused_with_their_line() {
    let wide = vec!["option host-name = \"some-name\""; 400].join(" or ");
    let deep = format!("{}option host-name = \"x\"{}", "(".repeat(40), ")".repeat(40));
    let huge = vec!["option host-name = \"x\""; 200_000].join(" or ");
    for condition in [wide, deep, huge] {
        let text = format!("{DHCPD}class \"c\" {{\n  match if {condition};\n}}\n");
        let found = imported(Format::Dhcpd, "dhcpd.conf", text.as_bytes());
        let refused = found.report.items.iter().any(|item| item.fate == Fate::Refused && item.place.line >= 4);
        assert!(refused, "{} octets: {}", condition.len(), found.report.text(false));
        config::parse(Path::new("dhcpd.conf"), &found.toml).unwrap_or_else(|problems| panic!("{problems}"));
    }
    let long = vec!["option[12].text == 'some-name'"; 400].join(" or ");
    let kea = KEA.replace(
        "\"subnet4\"",
        &format!("\"client-classes\": [ {{ \"name\": \"c\", \"test\": \"{long}\" }} ], \"subnet4\""),
    );
    let found = imported(Format::Kea, "kea-dhcp4.conf", kea.as_bytes());
    assert_eq!(found.report.count(Fate::Refused), 1, "{}", found.report.text(false));
}

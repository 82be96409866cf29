//! The lease file of dnsmasq: expiry, hardware address (or IAID), address, name, client identifier (or
//! DUID). An expiry of 0 is a lease without end.

use std::net::IpAddr;
use std::path::Path;

use super::super::model::{LeaseRow, LeaseState, Model};
use super::super::registry;
use super::super::report::Report;
use super::super::rows::{Last, Rows};
use super::super::source::Place;

/// True if the first line is one of a lease file.
pub fn is_lease_file(path: &Path, text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let lease = words.len() == 5 && words[0].parse::<u64>().is_ok() && registry::address(words[2]).is_some();
    lease || words.first() == Some(&"duid") || path.extension().is_some_and(|e| e == "leases")
}

/// Puts what still holds into the model.
pub fn read(path: &Path, text: &str, model: &mut Model, report: &mut Report) {
    let place = Place { file: path.display().to_string().into(), line: 1 };
    let mut rows = Rows::default();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = place.at(n + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["duid", _] => report.adapted(&place, "duid", "lanlord has a DUID of its own"),
            [expires, key, ip, name, id] => match row(expires, key, ip, name, id, &place) {
                Ok(row) => {
                    if !rows.put(row.ip, None, Last::Holds(Box::new(row))) {
                        report.refused(&place, format!("lease {ip}"), "there are too many", "import the file in parts");
                        break;
                    }
                }
                Err(why) => report.refused(&place, format!("lease {ip}"), why, "look at the line"),
            },
            _ => {
                report.refused(&place, line.chars().take(80).collect::<String>(), "it is no lease", "look at the line")
            }
        }
    }
    rows.settle(model.now, model, report);
}

fn row(expires: &str, key: &str, ip: &str, name: &str, id: &str, place: &Place) -> Result<LeaseRow, String> {
    let ip = registry::address(ip).ok_or("its address cannot be read")?;
    let expires: i64 = expires.parse().map_err(|_| "its expiry cannot be read".to_owned())?;
    let id = Some(id).filter(|id| *id != "*").and_then(registry::bytes);
    let mut row = LeaseRow {
        ip,
        delegated: None,
        mac: None,
        client_id: None,
        duid: None,
        iaid: None,
        hostname: Some(name).filter(|name| *name != "*").map(str::to_ascii_lowercase),
        circuit_id: None,
        remote_id: None,
        began: None,
        expires: (expires != 0).then_some(expires),
        state: LeaseState::Active,
        place: place.clone(),
    };
    match ip {
        IpAddr::V4(_) => {
            let mac = key.split_once('-').filter(|(kind, _)| kind.len() == 2).map_or(key, |(_, mac)| mac);
            row.mac = mac.parse().ok();
            row.client_id = id;
        }
        IpAddr::V6(_) if key.starts_with('T') => return Err("temporary addresses are not kept".to_owned()),
        IpAddr::V6(_) => {
            row.iaid = key.parse().ok();
            row.duid = id;
        }
    }
    let known = row.mac.is_some() || row.client_id.is_some() || (row.duid.is_some() && row.iaid.is_some());
    if known { Ok(row) } else { Err("it names no client".to_owned()) }
}

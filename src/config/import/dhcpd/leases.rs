//! Lease files of dhcpd: the last block of an address wins; in DHCPv6 addresses and prefixes stand in the
//! identity association of their client.

use std::net::IpAddr;
use std::path::Path;

use super::super::model::{LeaseRow, LeaseState, Model};
use super::super::report::Report;
use super::super::rows::{Last, Rows};
use super::super::source::Place;
use super::tree::{Statement, Tok};

/// True if the statements are leases.
pub fn is_lease_file(path: &Path, tree: &[Statement]) -> bool {
    let lease = |s: &Statement| s.body.is_some() && matches!(s.word(0), "lease" | "ia-na" | "ia-ta" | "ia-pd");
    let named = path.extension().is_some_and(|e| e == "leases");
    tree.iter().any(lease) || named || tree.iter().any(|s| matches!(s.word(0), "authoring-byte-order" | "server-duid"))
}

/// Puts what still holds into the model.
pub fn read(tree: &[Statement], model: &mut Model, report: &mut Report) {
    let mut rows = Rows::default();
    let mut little = true;
    for statement in tree {
        match statement.word(0) {
            "lease" => match lease(statement) {
                Ok((ip, last)) => put(&mut rows, ip, None, last, report),
                Err(why) => report.refused(
                    &statement.place,
                    statement.shown(),
                    why,
                    "look at the block; dhcpd may have been interrupted",
                ),
            },
            "ia-na" | "ia-pd" => association(statement, little, &mut rows, report),
            "ia-ta" => report.adapted(&statement.place, "ia-ta", "temporary addresses are not kept"),
            "authoring-byte-order" => little = statement.word(1) != "big-endian",
            "server-duid" => report.adapted(&statement.place, "server-duid", "lanlord has a DUID of its own"),
            "host" | "class" | "subclass" | "group" => {
                let why = "it was made while dhcpd ran";
                report.refused(
                    &statement.place,
                    statement.shown(),
                    why,
                    "make a reservation of it: lanlord reservation add",
                );
            }
            "failover" => report.adapted(&statement.place, statement.shown(), "one server answers"),
            _ => report.refused(
                &statement.place,
                statement.shown(),
                "this statement is not known here",
                "look up what it does",
            ),
        }
    }
    rows.settle(model.now, model, report);
}

fn put(rows: &mut Rows, ip: IpAddr, delegated: Option<u8>, last: Last, report: &mut Report) {
    if !rows.put(ip, delegated, last) {
        report.refused(&Place::default(), format!("lease {ip}"), "there are too many", "import the file in parts");
    }
}

fn empty(ip: IpAddr, place: &Place) -> LeaseRow {
    LeaseRow {
        ip,
        delegated: None,
        mac: None,
        client_id: None,
        duid: None,
        iaid: None,
        hostname: None,
        circuit_id: None,
        remote_id: None,
        began: None,
        expires: None,
        state: LeaseState::Active,
        place: place.clone(),
    }
}

fn lease(statement: &Statement) -> Result<(IpAddr, Last), String> {
    let ip: IpAddr = statement.word(1).parse().map_err(|_| "its address cannot be read".to_owned())?;
    let mut row = empty(ip, &statement.place);
    let mut state = "active";
    for inner in statement.body() {
        match inner.word(0) {
            "starts" => row.began = time(inner, 1)?,
            "ends" => row.expires = time(inner, 1)?,
            "binding" => state = inner.word(2),
            "abandoned" => state = "abandoned",
            "hardware" => row.mac = inner.word(2).parse().ok(),
            "uid" => row.client_id = bytes(inner.head.get(1)),
            "client-hostname" => row.hostname = inner.name(1).map(|name| name.to_ascii_lowercase()),
            "option" if inner.word(1) == "agent.circuit-id" => row.circuit_id = bytes(inner.head.get(2)),
            "option" if inner.word(1) == "agent.remote-id" => row.remote_id = bytes(inner.head.get(2)),
            _ => {}
        }
    }
    let place = statement.place.clone();
    Ok(match state {
        "active" | "bootp" if row.mac.is_none() && row.client_id.is_none() => {
            return Err("it names no client".to_owned());
        }
        "active" | "bootp" => (ip, Last::Holds(Box::new(row))),
        "abandoned" => (ip, Last::Holds(Box::new(LeaseRow { state: LeaseState::Declined, ..row }))),
        "released" => (ip, Last::Ended(place, "it was released")),
        "expired" => (ip, Last::Ended(place, "it has run out")),
        _ => (ip, Last::Ended(place, "it is free")),
    })
}

fn bytes(tok: Option<&Tok>) -> Option<Vec<u8>> {
    match tok? {
        Tok::Text(bytes) => Some(bytes.clone()),
        Tok::Word(word) => super::super::registry::bytes(word),
        Tok::Sign(_) => None,
    }
}

/// `4 2026/11/25 04:00:00`, `epoch 1795579200`, `never`.
fn time(statement: &Statement, at: usize) -> Result<Option<i64>, String> {
    let wrong = || format!("`{}` is no time", statement.shown());
    match statement.word(at) {
        "never" => Ok(None),
        "epoch" => statement.word(at + 1).parse().map(Some).map_err(|_| wrong()),
        _ => seconds(statement.word(at + 1), statement.word(at + 2)).map(Some).ok_or_else(wrong),
    }
}

/// Unix seconds of a date and a time in UTC.
fn seconds(date: &str, time: &str) -> Option<i64> {
    let parts = |text: &str, by: char| text.split(by).map(|n| n.parse::<i64>().ok()).collect::<Option<Vec<i64>>>();
    let [year, month, day] = parts(date, '/')?[..] else { return None };
    let [hour, minute, second] = parts(time, ':')?[..] else { return None };
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..61).contains(&second) {
        return None;
    }
    // days since 1970-01-01 in the Gregorian calendar, years beginning in March
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// `ia-na "IAID and DUID" { iaaddr IP { .. } }`.
fn association(statement: &Statement, little: bool, rows: &mut Rows, report: &mut Report) {
    let key = bytes(statement.head.get(1)).unwrap_or_default();
    let (Some(iaid), true) = (key.first_chunk::<4>(), key.len() > 4) else {
        report.refused(&statement.place, statement.shown(), "it names no client", "look at the block");
        return;
    };
    let iaid = if little { u32::from_le_bytes(*iaid) } else { u32::from_be_bytes(*iaid) };
    for inner in statement.body().iter().filter(|s| matches!(s.word(0), "iaaddr" | "iaprefix")) {
        let (text, length) =
            inner.word(1).split_once('/').map_or((inner.word(1), None), |(ip, n)| (ip, n.parse().ok()));
        let Ok(ip) = text.parse::<IpAddr>() else {
            report.refused(&inner.place, inner.shown(), "its address cannot be read", "look at the block");
            continue;
        };
        let mut row = empty(ip, &inner.place);
        (row.delegated, row.duid, row.iaid) = (length, Some(key[4..].to_vec()), Some(iaid));
        let mut state = "active";
        for detail in inner.body() {
            match detail.word(0) {
                "binding" => state = detail.word(2),
                "ends" => match time(detail, 1) {
                    Ok(end) => row.expires = end,
                    Err(why) => report.refused(&detail.place, detail.shown(), why, "look at the block"),
                },
                _ => {}
            }
        }
        let last = match state {
            "active" => Last::Holds(Box::new(row)),
            "abandoned" => Last::Holds(Box::new(LeaseRow { state: LeaseState::Declined, ..row })),
            "released" => Last::Ended(inner.place.clone(), "it was released"),
            "expired" => Last::Ended(inner.place.clone(), "it has run out"),
            _ => Last::Ended(inner.place.clone(), "it is free"),
        };
        put(rows, ip, length, last, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_in_utc() {
        assert_eq!(seconds("1970/01/01", "00:00:00"), Some(0));
        assert_eq!(seconds("2000/02/29", "12:00:00"), Some(951_825_600));
        assert_eq!(seconds("2026/11/25", "04:00:01"), Some(1_795_579_201));
        assert_eq!((seconds("2026/13/01", "0:0:0"), seconds("x", "y")), (None, None));
    }
}

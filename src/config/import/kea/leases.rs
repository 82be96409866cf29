//! Lease files of Kea's memfile: one row a change, the last row of an address wins. Columns are known by
//! the header, so that files of all versions are read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use super::super::model::{LeaseRow, LeaseState, Model};
use super::super::registry;
use super::super::report::Report;
use super::super::rows::{Last, Rows};
use super::super::source::{Files, Place, Unreadable};

/// True if the first line is that of a lease file.
pub fn looks_like(files: &Files, path: &Path) -> bool {
    files.text(path).is_ok_and(|text| text.starts_with("address,"))
}

/// Reads a lease file.
pub fn read(files: &Files, path: &Path, model: &mut Model, report: &mut Report) -> Result<(), Unreadable> {
    let text = files.text(path)?;
    let place = Place { file: path.display().to_string().into(), line: 1 };
    let mut lines = text.lines();
    let header: HashMap<&str, usize> =
        lines.next().unwrap_or_default().split(',').enumerate().map(|(n, name)| (name.trim(), n)).collect();
    if !header.contains_key("address") || !header.contains_key("expire") {
        let what = "the first line must name the columns, with address and expire among them".to_owned();
        return Err(Unreadable::Syntax { place, what });
    }
    let mut rows = Rows::default();
    for (n, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = place.at(n + 2);
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |name: &str| header.get(name).and_then(|at| cells.get(*at)).map_or("", |cell| cell.trim());
        match row(&cell, &place) {
            Ok((ip, delegated, last)) => {
                if !rows.put(ip, delegated, last) {
                    report.refused(&place, format!("lease {ip}"), "there are too many", "import the file in parts");
                    break;
                }
            }
            Err(why) => report.refused(
                &place,
                format!("lease {}", cell("address")),
                why,
                "look at the row; Kea may have been interrupted",
            ),
        }
    }
    rows.settle(model.now, model, report);
    Ok(())
}

fn row<'a>(cell: &dyn Fn(&str) -> &'a str, place: &Place) -> Result<(IpAddr, Option<u8>, Last), String> {
    let ip: IpAddr = cell("address").parse().map_err(|_| "its address cannot be read".to_owned())?;
    let number = |name: &str| cell(name).parse::<i64>().map_err(|_| format!("its {name} cannot be read"));
    let delegated = match cell("lease_type") {
        "2" => Some(u8::try_from(number("prefix_len")?).map_err(|_| "its prefix_len is too large".to_owned())?),
        "1" => return Err("temporary addresses are not kept".to_owned()),
        _ => None,
    };
    let (valid, expires) = (number("valid_lifetime")?, number("expire")?);
    let ended = |why| Ok((ip, delegated, Last::Ended(place.clone(), why)));
    let state = match cell("state") {
        "" | "0" => LeaseState::Active,
        "1" => LeaseState::Declined,
        "2" => return ended("it has run out"),
        _ => return ended("it was released"),
    };
    if valid == 0 {
        return ended("it was removed");
    }
    let octets = |name: &str| registry::bytes(cell(name)).filter(|bytes| !bytes.is_empty());
    let duid = octets("duid");
    let mac = cell("hwaddr").parse().ok();
    if state == LeaseState::Active && mac.is_none() && duid.is_none() && octets("client_id").is_none() {
        return Err("it names no client".to_owned());
    }
    let infinite = valid >= i64::from(u32::MAX);
    let context = cell("user_context").replace("&#x2c", ",");
    let (circuit_id, remote_id) = relay_info(&context);
    Ok((
        ip,
        delegated,
        Last::Holds(Box::new(LeaseRow {
            ip,
            delegated,
            mac,
            client_id: octets("client_id"),
            duid,
            iaid: cell("iaid").parse().ok(),
            hostname: Some(cell("hostname").trim_end_matches('.').to_ascii_lowercase()).filter(|name| !name.is_empty()),
            circuit_id,
            remote_id,
            began: Some(expires - valid).filter(|_| !infinite),
            expires: (!infinite).then_some(expires),
            state,
            place: place.clone(),
        })),
    ))
}

/// `store-extended-info` keeps option 82 in hexadecimal; sub-options 1 and 2 are used here.
fn relay_info(context: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let Some(at) = context.find("0x") else { return (None, None) };
    let digits: String = context[at + 2..].chars().take_while(char::is_ascii_hexdigit).collect();
    let bytes = registry::bytes(&digits).unwrap_or_default();
    let mut found = (None, None);
    let mut rest = &bytes[..];
    while let [code, length, after @ ..] = rest {
        let Some(value) = after.get(..usize::from(*length)) else { break };
        match code {
            1 => found.0 = Some(value.to_vec()),
            2 => found.1 = Some(value.to_vec()),
            _ => {}
        }
        rest = &after[usize::from(*length)..];
    }
    found
}

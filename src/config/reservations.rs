//! `[[network.reservation]]` and `[[reservation]]`. Owns the rule that one which cannot be is left out alone,
//! with its place and its rival's, while all else is served (DH-309).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnet::{IpNet, Ipv6Net};

use super::networks::Network;
use super::raw::{At, Document, Section};
use super::services::{domain, lease_time};
use crate::domain::dhcp::classes::Expression;
use crate::domain::dhcp::reserve::option_code;
use crate::domain::hex;
use crate::domain::lease::{BootInfo, ReservationKey};
use crate::domain::net::Mac;

/// What waits for one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    /// `file:line`.
    pub place: String,
    pub network: Option<String>,
    pub keys: Vec<ReservationKey>,
    pub ip: Option<IpAddr>,
    pub ip6: Vec<Ipv6Addr>,
    pub prefix6: Vec<Ipv6Net>,
    pub name: Option<String>,
    pub options: Vec<(At<String>, At<String>)>,
    pub classes: Vec<At<String>>,
    pub boot: BootInfo,
    /// Seconds.
    pub lease_time: Option<u32>,
    pub shared: bool,
    pub span: Range<usize>,
}

/// One table. What the rest of the file could not be served without is a problem; the others are findings.
pub(super) fn read(section: &Section<'_>, network: Option<&Network>) -> Option<Reservation> {
    let ip = section.parsed::<IpAddr>("ip", "an IP address such as 10.77.0.20");
    let keys = keys(section);
    let seconds = lease_time(section, "lease_time").map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1));
    let boot = BootInfo {
        next_server: section.parsed::<Ipv4Addr>("next_server", "an IPv4 address such as 10.77.0.2").map(|at| at.value),
        server_name: section.text("server_name").map(|at| at.value),
        boot_file: section.text("boot_file").map(|at| at.value),
    };
    let reservation = Reservation {
        place: section.doc.place(&section.span),
        network: network.map(|network| network.name.clone()),
        ip: ip.as_ref().map(|at| at.value),
        ip6: values(section.list("ip6", "an IPv6 address such as 2001:db8::20")),
        prefix6: values(section.list("prefix6", "an IPv6 prefix such as 2001:db8:20::/56")),
        name: domain(section, "name"),
        options: section.pairs("options"),
        classes: section.texts("class").unwrap_or_default(),
        shared: section.flag("shared").unwrap_or(false),
        span: section.span.clone(),
        lease_time: seconds,
        keys,
        boot,
    };
    if reservation.keys.is_empty() {
        let hint = Some("set mac, client_id, duid, circuit_id, remote_id or test".to_owned());
        section.doc.find(&section.span, "the reservation is for nobody, and is left out", hint);
        return None;
    }
    Some(reservation)
}

fn values<T>(list: Option<Vec<At<T>>>) -> Vec<T> {
    list.unwrap_or_default().into_iter().map(|at| at.value).collect()
}

fn keys(section: &Section<'_>) -> Vec<ReservationKey> {
    let mut keys = Vec::new();
    for mac in section.list::<Mac>("mac", "a MAC address such as 80:5e:c0:00:00:01").unwrap_or_default() {
        if mac.value.is_identity() {
            keys.push(ReservationKey::Mac(mac.value));
        } else {
            section.doc.find(&mac.span, format!("{} cannot belong to one device, and is left out", mac.value), None);
        }
    }
    if let Some(id) = section.text("client_id") {
        match hexadecimal(&id.value) {
            Some(bytes) if (2..=255).contains(&bytes.len()) => keys.push(ReservationKey::ClientId(bytes)),
            _ => {
                let message = format!("`client_id` must be hexadecimal such as 01805ec0000001, not `{}`", id.value);
                section.doc.complain(&id.span, message, None);
            }
        }
    }
    for name in ["circuit_id", "remote_id"] {
        let key = if name == "circuit_id" { ReservationKey::CircuitId } else { ReservationKey::RemoteId };
        let Some(id) = section.text(name) else { continue };
        let bytes = id.value.strip_prefix("0x").map_or(Some(id.value.clone().into_bytes()), hexadecimal);
        match bytes {
            Some(bytes) if (1..=255).contains(&bytes.len()) => keys.push(key(bytes)),
            _ => section.doc.complain(&id.span, format!("`{name}` must be text, or hexadecimal after 0x"), None),
        }
    }
    keys.extend(duid(section));
    if let Some(test) = section.text("test") {
        match Expression::parse(&test.value, &option_code) {
            Ok(_) => keys.push(ReservationKey::Test(test.value)),
            Err(error) => section.doc.complain_within(&test, error.at, format!("`test`: {error}")),
        }
    }
    keys
}

/// `duid = "0001.."`, with `iaid` if only one interface of that host is meant.
fn duid(section: &Section<'_>) -> Option<ReservationKey> {
    let iaid = section.number("iaid", 0..=u64::from(u32::MAX)).and_then(|iaid| u32::try_from(iaid).ok());
    let Some(text) = section.text("duid") else {
        if section.has("iaid") {
            section.doc.complain(&section.span, "`iaid` needs a `duid`", None);
        }
        return None;
    };
    // RFC 9915 §11.1: two octets of type, and at most 128 more
    let duid = hexadecimal(&text.value).filter(|duid| (3..=130).contains(&duid.len()));
    if duid.is_none() {
        let message = format!("`duid` must be hexadecimal such as 000300010800270000aa, not `{}`", text.value);
        section.doc.complain(&text.span, message, None);
    }
    Some(ReservationKey::Duid { duid: duid?, iaid })
}

/// Bytes from hexadecimal digits, with or without colons between the octets.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    hex::read(&text.bytes().filter(|b| *b != b':').collect::<Vec<u8>>())
}

/// A scope and what stands in it: the network, or none for all of them.
type Taken<'r, K> = HashMap<K, Vec<&'r Reservation>>;

/// Where an address lies: on the named network, or on any.
pub(super) type Locate<'l> = dyn Fn(Option<&str>, IpAddr) -> Option<IpNet> + 'l;

/// Those that can be served, in the order of the file. Each of the others is a finding.
pub(super) fn judge(doc: &Document<'_>, locate: &Locate<'_>, all: Vec<Reservation>) -> Vec<Reservation> {
    let mut addresses: Taken<'_, IpAddr> = HashMap::new();
    let mut keys: Taken<'_, &ReservationKey> = HashMap::new();
    let mut fine = Vec::with_capacity(all.len());
    for (index, new) in all.iter().enumerate() {
        match objection(locate, &addresses, &keys, new) {
            Some(why) => doc.find(&new.span, format!("{why}; this reservation is left out"), None),
            None => {
                new.ip.iter().for_each(|ip| addresses.entry(*ip).or_default().push(new));
                new.keys.iter().for_each(|key| keys.entry(key).or_default().push(new));
                fine.push(index);
            }
        }
    }
    let mut fine = fine.into_iter().peekable();
    let mut index = 0;
    all.into_iter()
        .filter(|_| {
            let keep = fine.next_if_eq(&index).is_some();
            index += 1;
            keep
        })
        .collect()
}

fn objection(
    locate: &Locate<'_>,
    addresses: &Taken<'_, IpAddr>,
    keys: &Taken<'_, &ReservationKey>,
    new: &Reservation,
) -> Option<String> {
    let subnet = |r: &Reservation| r.ip.and_then(|ip| locate(r.network.as_deref(), ip));
    if let Some(ip) = new.ip.filter(|_| subnet(new).is_none()) {
        let network = new.network.as_ref().map(|name| format!(" of the network `{name}`")).unwrap_or_default();
        return Some(format!("{ip} lies in no subnet{network}"));
    }
    let together = |old: &&&Reservation| match (&old.network, &new.network) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    if let Some(ip) = new.ip
        && let Some(old) = addresses.get(&ip).into_iter().flatten().find(together)
    {
        return Some(format!("{ip} is reserved in {} already", old.place));
    }
    // one client may have an address in each of several subnets
    let rival =
        |old: &&&Reservation| together(old) && !(old.ip.is_some() && new.ip.is_some() && subnet(old) != subnet(new));
    new.keys.iter().find_map(|key| {
        let old = keys.get(key)?.iter().find(rival)?;
        Some(format!("{} has a reservation in {} already", shown(key), old.place))
    })
}

/// A key as people write it.
fn shown(key: &ReservationKey) -> String {
    match key {
        ReservationKey::Mac(mac) => format!("MAC {mac}"),
        ReservationKey::ClientId(id) => format!("client identifier {}", hex::write(id)),
        ReservationKey::CircuitId(id) => format!("circuit {}", id.escape_ascii()),
        ReservationKey::RemoteId(id) => format!("remote id {}", id.escape_ascii()),
        ReservationKey::Duid { duid, .. } => format!("DUID {}", hex::write(duid)),
        ReservationKey::Test(text) => format!("the test {text}"),
    }
}

//! Commands about reservations, options and leases (claws reference, section 9): what a final `dhcp:` event
//! orders. Owns the reading of their elements; refuses what could not be served. Whether it can be done is
//! decided by whoever owns the addresses.

use std::net::IpAddr;

use super::hosting::{self, BadHost};
use super::vocabulary::key;
use super::xml::Element;
use super::{DHCP, DNS, HOST, LAN};
use crate::domain::dhcp::options;
use crate::domain::dhcp::v6::options as options6;
use crate::domain::hex;
use crate::domain::host::CustomOption;
use crate::domain::lease::{Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A reservation that must not be there yet.
    Reserve(Box<Reservation>),
    /// The one reservation that is meant goes.
    Unreserve(Which),
    /// The client that is meant gets these options from its next answer on, whatever else sets them.
    Set(Which, Vec<CustomOption>),
    /// It gets them no more: family and number of each.
    Unset(Which, Vec<(u8, u16)>),
    /// The lease ends.
    Release { network: Option<String>, ip: IpAddr },
}

/// Who is meant: all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Id of a reservation.
    pub id: Option<String>,
    pub network: Option<String>,
    pub keys: Vec<ReservationKey>,
    pub ip: Option<IpAddr>,
    /// Id of a host.
    pub host: Option<String>,
    /// Who orders it, for what is made anew.
    pub by: String,
}

impl Which {
    /// True if the reservation has all that is given.
    pub fn fits(&self, reservation: &Reservation) -> bool {
        let ip = |ip: &IpAddr| match ip {
            IpAddr::V6(six) => reservation.ip == Some(*ip) || reservation.ip6.contains(six),
            IpAddr::V4(_) => reservation.ip == Some(*ip),
        };
        self.id.as_ref().is_none_or(|id| *id == reservation.id)
            && self.network.as_ref().is_none_or(|network| reservation.network.as_ref().is_none_or(|n| n == network))
            && self.keys.iter().all(|key| reservation.keys.contains(key))
            && self.ip.as_ref().is_none_or(ip)
    }

    fn is_nobody(&self) -> bool {
        self.id.is_none() && self.keys.is_empty() && self.ip.is_none() && self.host.is_none()
    }
}

/// Reads the order that a payload is; `None` if it is another event. `by` is who submitted it.
pub fn order(payload: &Element, by: &str) -> Result<Option<Order>, BadHost> {
    if payload.ns != DHCP {
        return Ok(None);
    }
    Ok(Some(match payload.name.as_str() {
        "add-reservation" => Order::Reserve(Box::new(reservation(payload, by)?)),
        "remove-reservation" => Order::Unreserve(someone(payload, by, false)?),
        "set-option" => Order::Set(someone(payload, by, true)?, options_of(payload)?),
        "unset-option" => {
            let named = payload.children().filter(|child| child.is(DHCP, "custom-option"));
            let codes = named.map(number).collect::<Result<Vec<_>, _>>()?;
            Order::Unset(someone(payload, by, true)?, some(codes, "dhcp:custom-option")?)
        }
        "release-lease" => {
            let which = which(payload, by)?;
            let ip = which.ip.ok_or(BadHost::Missing("lan:address"))?;
            Order::Release { network: which.network, ip }
        }
        _ => return Ok(None),
    }))
}

fn reservation(payload: &Element, by: &str) -> Result<Reservation, BadHost> {
    let Which { id, network, keys, .. } = which(payload, by)?;
    let keys = some(keys, "host:mac-addr, or another element that names a client")?;
    let id = id.unwrap_or_else(|| match &network {
        Some(network) => format!("{}@{network}", keys[0].id()),
        None => keys[0].id(),
    });
    let mut reservation = Reservation { network, keys, ..Reservation::new(id, Origin::User(by.to_owned())) };
    for child in payload.children() {
        match (child.ns.as_str(), child.name.as_str()) {
            (LAN, "address") => match ip(child)? {
                IpAddr::V6(six) if reservation.ip.is_some() => reservation.ip6.push(six),
                ip if reservation.ip.is_none() => reservation.ip = Some(ip),
                _ => return Err(bad(child, "the only IPv4 address")),
            },
            (HOST, "hostname") | (DNS, "fqdn") => {
                reservation.name = Some(hosting::fqdn(child.text().trim()).ok_or_else(|| bad(child, "a name"))?);
            }
            _ => {}
        }
    }
    if payload.find(DHCP, "custom-option").is_some() {
        put(&mut reservation, &options_of(payload)?);
    }
    Ok(reservation)
}

/// Puts options in the place of those that the reservation had under the same numbers.
pub fn put(reservation: &mut Reservation, options: &[CustomOption]) {
    for option in options {
        take(reservation, option.family, option.number);
        match u8::try_from(option.number) {
            Ok(code) if option.family == 4 => reservation.options.push((code, option.value.clone())),
            _ => reservation.options6.push((option.number, option.value.clone())),
        }
    }
}

/// Takes an option out; true if it was there.
pub fn take(reservation: &mut Reservation, family: u8, number: u16) -> bool {
    let before = reservation.options.len() + reservation.options6.len();
    match family {
        4 => reservation.options.retain(|(code, _)| u16::from(*code) != number),
        _ => reservation.options6.retain(|(code, _)| *code != number),
    }
    reservation.options.len() + reservation.options6.len() < before
}

/// Somebody that must be named; hosts only where they are possible.
fn someone(payload: &Element, by: &str, hosts: bool) -> Result<Which, BadHost> {
    let mut which = which(payload, by)?;
    let host = payload.find(HOST, "hostname").map(|name| name.text().trim().to_ascii_lowercase());
    which.host = host.filter(|name| hosts && !name.is_empty());
    if which.is_nobody() {
        return Err(BadHost::Missing("an element that names a client, such as host:mac-addr or lan:address"));
    }
    Ok(which)
}

fn which(payload: &Element, by: &str) -> Result<Which, BadHost> {
    let mut which = Which { by: by.to_owned(), ..Which::default() };
    for child in payload.children() {
        let text = child.text().trim().to_owned();
        match (child.ns.as_str(), child.name.as_str()) {
            (DHCP, "id") => which.id = Some(text).filter(|id| (1..=128).contains(&id.len())),
            (LAN, "vlan") => which.network = Some(text).filter(|name| !name.is_empty()),
            (HOST, "mac-addr") => {
                let mac = Mac::parse(text.as_bytes()).filter(|mac| mac.is_identity());
                which.keys.push(ReservationKey::Mac(mac.ok_or_else(|| bad(child, "the MAC address of one device"))?));
            }
            (DHCP, "client-id") => which.keys.push(ReservationKey::ClientId(octets(child)?)),
            (DHCP, "circuit-id") => which.keys.push(ReservationKey::CircuitId(octets(child)?)),
            (DHCP, "remote-id") => which.keys.push(ReservationKey::RemoteId(octets(child)?)),
            (DHCP, "duid") => which.keys.push(ReservationKey::Duid { duid: octets(child)?, iaid: None }),
            (LAN, "address") if which.ip.is_none() => which.ip = Some(ip(child)?),
            _ => {}
        }
    }
    if which.keys.len() > hosting::INTERFACES {
        return Err(BadHost::TooMany);
    }
    Ok(which)
}

fn options_of(payload: &Element) -> Result<Vec<CustomOption>, BadHost> {
    let named = payload.children().filter(|child| child.is(DHCP, "custom-option"));
    let options = named.map(|child| {
        number(child)?;
        hosting::option(child, &|what| bad(child, what))
    });
    some(options.collect::<Result<Vec<_>, _>>()?, "dhcp:custom-option")
}

/// Family and number of an option that may be set at all (DH-402).
fn number(child: &Element) -> Result<(u8, u16), BadHost> {
    let number: Option<u16> = child.attribute("number").and_then(|number| number.parse().ok());
    let family = match child.attribute("family") {
        None | Some("4") => 4,
        Some("6") => 6,
        Some(_) => return Err(bad(child, "an option of family 4 or 6")),
    };
    let number = number.filter(|n| *n > 0 && (family == 6 || *n < 255));
    let number = number.ok_or_else(|| bad(child, "an option with a number in range"))?;
    let owned = match u8::try_from(number) {
        Ok(code) if family == 4 => options::by_code(code).is_some_and(|entry| entry.owned),
        _ => options6::by_code(number).is_some_and(|entry| entry.owned),
    };
    if owned { Err(bad(child, "an option that may be set: it belongs to the protocol")) } else { Ok((family, number)) }
}

fn ip(child: &Element) -> Result<IpAddr, BadHost> {
    child.text().trim().parse().map_err(|_| bad(child, "an IP address"))
}

/// As notices write what clients sent: text, or hexadecimal digits with `encoding="hex"` (CL-805).
fn octets(child: &Element) -> Result<Vec<u8>, BadHost> {
    let text = child.text();
    let octets = match child.attribute("encoding") {
        None => Some(text.into_bytes()),
        Some("hex") => hex::read(text.trim().as_bytes()),
        Some(_) => None,
    };
    octets.filter(|octets| (1..=255).contains(&octets.len())).ok_or_else(|| bad(child, "1 to 255 octets"))
}

fn some<T>(all: Vec<T>, what: &'static str) -> Result<Vec<T>, BadHost> {
    if all.is_empty() { Err(BadHost::Missing(what)) } else { Ok(all) }
}

fn bad(child: &Element, what: &'static str) -> BadHost {
    BadHost::Value(key(child).to_string(), child.text(), what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claws::xml::decode_assuming_prefixes;

    fn read(text: &str) -> Result<Option<Order>, BadHost> {
        order(&decode_assuming_prefixes(text.as_bytes()).expect("well-formed"), "web")
    }

    #[test]
    fn a_reservation_is_read_with_all_that_it_says() {
        let text = r#"<dhcp:add-reservation><lan:vlan>voice</lan:vlan><host:mac-addr>80-5E-C0-00-00-01</host:mac-addr>
            <dhcp:client-id encoding="hex">01805ec0000001</dhcp:client-id><lan:address>10.77.0.20</lan:address>
            <lan:address>2001:db8::20</lan:address><host:hostname>Desk</host:hostname>
            <dhcp:custom-option number="66">http://x</dhcp:custom-option></dhcp:add-reservation>"#;
        let Ok(Some(Order::Reserve(r))) = read(text) else { panic!("{:?}", read(text)) };
        assert_eq!(
            (r.id.as_str(), r.network.as_deref(), r.name.as_deref()),
            ("805ec0000001@voice", Some("voice"), Some("desk"))
        );
        assert_eq!((r.ip, r.ip6.len(), r.keys.len()), (Some([10, 77, 0, 20].into()), 1, 2));
        assert_eq!(r.options, [(66, b"http://x".to_vec())]);
        assert_eq!(r.origin, Origin::User("web".to_owned()));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for (text, part) in [
            ("<dhcp:add-reservation><lan:address>10.0.0.1</lan:address></dhcp:add-reservation>", "host:mac-addr"),
            ("<dhcp:add-reservation><host:mac-addr>ff:ff:ff:ff:ff:ff</host:mac-addr></dhcp:add-reservation>", "MAC"),
            (
                "<dhcp:add-reservation><host:mac-addr>02:00:00:00:00:01</host:mac-addr><lan:address>x</lan:address></dhcp:add-reservation>",
                "IP",
            ),
            ("<dhcp:remove-reservation/>", "names a client"),
            ("<dhcp:remove-reservation><host:hostname>pc</host:hostname></dhcp:remove-reservation>", "names a client"),
            ("<dhcp:set-option><host:hostname>pc</host:hostname></dhcp:set-option>", "custom-option"),
            (
                "<dhcp:set-option><host:hostname>pc</host:hostname><dhcp:custom-option number='51'>x</dhcp:custom-option></dhcp:set-option>",
                "protocol",
            ),
            (
                "<dhcp:set-option><host:hostname>pc</host:hostname><dhcp:custom-option number='255'>x</dhcp:custom-option></dhcp:set-option>",
                "range",
            ),
            (
                "<dhcp:unset-option><host:hostname>pc</host:hostname><dhcp:custom-option number='3' family='6'/></dhcp:unset-option>",
                "protocol",
            ),
            ("<dhcp:release-lease><lan:vlan>voice</lan:vlan></dhcp:release-lease>", "lan:address"),
            ("<dhcp:add-reservation><dhcp:duid encoding='hex'>zz</dhcp:duid></dhcp:add-reservation>", "octets"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(read("<dhcp:something-else/>"), Ok(None));
        assert_eq!(read("<host:add-host/>"), Ok(None));
    }

    #[test]
    fn all_that_is_given_must_fit() {
        let mac = |n| ReservationKey::Mac(Mac([2, 0, 0, 0, 0, n]));
        let reservation = Reservation {
            keys: vec![mac(1), mac(2)],
            ip: Some([10, 0, 0, 1].into()),
            network: Some("lan".to_owned()),
            ..Reservation::new("r", Origin::User(String::new()))
        };
        let which = |change: fn(&mut Which)| {
            let mut which = Which { keys: vec![ReservationKey::Mac(Mac([2, 0, 0, 0, 0, 1]))], ..Which::default() };
            change(&mut which);
            which.fits(&reservation)
        };
        assert!(
            which(|_| {}) && which(|w| w.ip = Some([10, 0, 0, 1].into())) && which(|w| w.id = Some("r".to_owned()))
        );
        assert!(!which(|w| w.ip = Some([10, 0, 0, 2].into())) && !which(|w| w.network = Some("x".to_owned())));
        assert!(!which(|w| w.keys.push(ReservationKey::Mac(Mac([2, 0, 0, 0, 0, 3])))));
    }

    #[test]
    fn an_option_replaces_the_one_of_its_number_and_family() {
        let mut reservation = Reservation::new("r", Origin::User(String::new()));
        let option =
            |family, number, value: &str| CustomOption { number, interface: None, family, value: value.into() };
        put(&mut reservation, &[option(4, 66, "a"), option(6, 66, "b"), option(4, 67, "c")]);
        put(&mut reservation, &[option(4, 66, "d")]);
        assert_eq!(reservation.options, [(67, b"c".to_vec()), (66, b"d".to_vec())]);
        assert_eq!(reservation.options6, [(66, b"b".to_vec())]);
        assert!(take(&mut reservation, 4, 66) && !take(&mut reservation, 4, 66) && take(&mut reservation, 6, 66));
    }
}

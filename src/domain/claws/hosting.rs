//! The host that a `host:add-host` describes. Owns the reading of host, lan, dns, dhcp and wireless
//! elements; refuses values that no DNS or DHCP server could serve.

use std::net::IpAddr;

use ipnet::IpNet;

use super::vocabulary::key;
use super::xml::Element;
use super::{DHCP, DNS, HOST, LAN, WIRELESS};
use crate::domain::host::{CustomOption, Host, Interface};
use crate::domain::net::Mac;

/// Interfaces of one host.
pub const INTERFACES: usize = 64;

/// An element whose text cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    #[error("a host needs a host:hostname")]
    Nameless,
    #[error("{0}: `{1}` is not {2}")]
    Value(String, String, &'static str),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("at most {INTERFACES} interfaces are possible")]
    TooMany,
}

/// Reads the host. `network_of` tells the configured network whose base address is given without a
/// length, as the sketch does (CL-208).
pub fn host(payload: &Element, network_of: impl Fn(IpAddr) -> Option<IpNet>) -> Result<Host, BadHost> {
    let hostname = payload.find(HOST, "hostname").map(|e| e.text().trim().to_owned()).unwrap_or_default();
    if hostname.is_empty() {
        return Err(BadHost::Nameless);
    }
    let mut host = Host {
        id: hostname.to_ascii_lowercase(),
        hostname,
        fqdn: None,
        aliases: Vec::new(),
        interfaces: Vec::new(),
        options: Vec::new(),
        properties: Vec::new(),
    };
    for element in payload.children() {
        read(&mut host, element, &network_of)?;
    }
    if host.interfaces.len() > INTERFACES {
        return Err(BadHost::TooMany);
    }
    Ok(host)
}

/// The name of the host that a `host:remove-host` is about, as [`Host::id`].
pub fn removed(payload: &Element) -> Option<String> {
    let name = payload.find(HOST, "hostname")?.text().trim().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

fn read(host: &mut Host, element: &Element, network_of: &impl Fn(IpAddr) -> Option<IpNet>) -> Result<(), BadHost> {
    let bad = |what| BadHost::Value(key(element).to_string(), element.text(), what);
    let text = element.text();
    let text = text.trim();
    match (element.ns.as_str(), element.name.as_str()) {
        (HOST, "hostname") => {}
        (HOST, "mac-addr") => {
            let mac = Mac::parse(text.as_bytes()).ok_or_else(|| bad("a MAC address"))?;
            if mac.is_group() {
                return Err(bad("the address of one device: it is a group or broadcast address"));
            }
            interface(host, element.label()).mac = Some(mac);
        }
        (WIRELESS, "roaming") => interface(host, element.label()).roaming = true,
        (LAN, "vlan") => interface(host, element.label()).vlan = Some(text.to_owned()),
        (LAN, "network") => match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(net), _) => interface(host, element.label()).networks.push(net.trunc()),
            (_, Ok(base)) => interface(host, element.label()).networks.extend(network_of(base)),
            _ => return Err(bad("a network")),
        },
        (LAN, "address") => {
            let ip = text.parse().map_err(|_| bad("an IP address"))?;
            interface(host, element.label()).addresses.push(ip);
        }
        (DNS, "fqdn") => {
            let name = fqdn(text).ok_or_else(|| bad("a fully qualified name"))?;
            match host.fqdn {
                None => host.fqdn = Some(name),
                // one per interface is possible; the first names the host, the others are aliases
                Some(_) => host.aliases.push(name),
            }
        }
        (DNS, "alias") => host.aliases.push(fqdn(text).ok_or_else(|| bad("a fully qualified name"))?),
        // an unfulfilled wish is no property
        (DNS, "auto-assign-fqdn") => {}
        (DHCP, "custom-option") => host.options.push(option(element, &bad)?),
        _ => host.properties.push((format!("{{{}}}{}", element.ns, element.name), element.text())),
    }
    Ok(())
}

fn interface<'a>(host: &'a mut Host, name: &str) -> &'a mut Interface {
    let at = host.interfaces.iter().position(|i| i.name == name).unwrap_or_else(|| {
        host.interfaces.push(Interface {
            name: name.to_owned(),
            mac: None,
            roaming: false,
            vlan: None,
            networks: Vec::new(),
            addresses: Vec::new(),
        });
        host.interfaces.len() - 1
    });
    &mut host.interfaces[at]
}

/// Lower case, no final dot; labels of 1 to 63 letters, digits, `-` and `_`.
pub(super) fn fqdn(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label =
        |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (name.len() <= 253 && name.split('.').all(label)).then_some(name)
}

pub(super) fn option(element: &Element, bad: &impl Fn(&'static str) -> BadHost) -> Result<CustomOption, BadHost> {
    let family = match element.attribute("family") {
        None | Some("4") => 4,
        Some("6") => 6,
        Some(_) => return Err(bad("an option of family 4 or 6")),
    };
    let highest = if family == 4 { 254 } else { u16::MAX };
    let number = element.attribute("number").and_then(|n| n.parse().ok()).filter(|n| (1..=highest).contains(n));
    Ok(CustomOption {
        number: number.ok_or_else(|| bad("an option with a number in range"))?,
        interface: element.attribute("name").map(str::to_owned),
        family,
        value: unescape(&element.text()).ok_or_else(|| bad("a text with the escapes \\n \\r \\t \\\\ \\xHH"))?,
    })
}

/// CL-121: the escapes `\n \r \t \\ \xHH` become bytes; nothing is trimmed.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claws::xml::decode_assuming_prefixes;

    #[test]
    fn the_sketchs_final_event_is_a_host() {
        let text = include_bytes!("../../../tests/golden/claws/m5-final.xml");
        let event = decode_assuming_prefixes(text).unwrap();
        let configured: IpNet = "192.168.50.0/24".parse().unwrap();
        let payload = event.find(HOST, "add-host").unwrap();
        let host = host(payload, |base| (configured.network() == base).then_some(configured)).unwrap();
        assert_eq!((host.id.as_str(), host.fqdn.as_deref()), ("alice-pc", Some("alice-pc.roamer.example.com")));
        let ethernet = &host.interfaces[0];
        assert_eq!(ethernet.name, "ethernet");
        assert_eq!(ethernet.mac, Some(Mac([0; 6])));
        assert_eq!(ethernet.vlan.as_deref(), Some("guest-network"));
        assert_eq!(ethernet.networks, [configured, "2000::/3".parse().unwrap()]);
        assert_eq!(ethernet.addresses, ["192.168.50.4".parse::<IpAddr>().unwrap(), "2001::58".parse().unwrap()]);
        assert!(host.interfaces[1].roaming && host.interfaces[1].addresses.is_empty());
        // CL-121: `\n` stays two characters on the bus and is one byte for DHCP
        assert_eq!((host.options[0].number, host.options[0].value.as_slice()), (252, &b"\n"[..]));
        assert_eq!(host.properties.len(), 2);
    }

    #[test]
    fn escapes_become_bytes_and_nothing_is_trimmed() {
        assert_eq!(unescape(r" a\n\r\t\\\x00\xfF "), Some(b" a\n\r\t\\\x00\xff ".to_vec()));
        for bad in [r"\", r"\x", r"\x1", r"\xg1", r"\q"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_that_cannot_be_served_are_refused() {
        let base = || Element::new(HOST, "add-host").child(Element::new(HOST, "hostname").text_of("pc"));
        for (ns, name, text) in [
            (HOST, "mac-addr", "00:00"),
            (HOST, "mac-addr", "ff:ff:ff:ff:ff:ff"),
            (HOST, "mac-addr", "01:00:5e:00:00:01"),
            (LAN, "address", "10.0.0"),
            (LAN, "network", "x/24"),
            (DNS, "fqdn", "a..b"),
        ] {
            let payload = base().child(Element::new(ns, name).text_of(text));
            assert!(matches!(host(&payload, |_| None), Err(BadHost::Value(..))), "{text}");
        }
        assert_eq!(host(&Element::new(HOST, "add-host"), |_| None), Err(BadHost::Nameless));
    }
}

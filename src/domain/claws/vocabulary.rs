//! The known elements: which attributes name one, whether there can be one or many, and when two values
//! are the same (claws reference, section 5). Unknown ones are a set keyed by all of their attributes.

use std::net::IpAddr;

use ipnet::IpNet;

use super::xml::Element;
use super::{DHCP, DNS, HOST, LAN, WIRELESS};
use crate::domain::net::Mac;

/// How many elements of one key a payload can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    Single,
    Set,
}

/// When two texts mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Text,
    Mac,
    Cidr,
    Ip,
    Name,
}

/// One known element.
struct Known {
    ns: &'static str,
    name: &'static str,
    /// Key attributes with the value that a missing one stands for.
    key: &'static [(&'static str, &'static str)],
    cardinality: Cardinality,
    compared: Compared,
}

const NAMED: &[(&str, &str)] = &[("name", "")];

const fn known(
    ns: &'static str,
    name: &'static str,
    key: &'static [(&'static str, &'static str)],
    cardinality: Cardinality,
    compared: Compared,
) -> Known {
    Known { ns, name, key, cardinality, compared }
}

const KNOWN: &[Known] = &[
    known(HOST, "hostname", &[], Cardinality::Single, Compared::Text),
    known(HOST, "operating-system", &[], Cardinality::Single, Compared::Text),
    known(HOST, "asset-tag", &[], Cardinality::Single, Compared::Text),
    known(HOST, "mac-addr", NAMED, Cardinality::Single, Compared::Mac),
    known(WIRELESS, "roaming", NAMED, Cardinality::Single, Compared::Text),
    known(LAN, "vlan", NAMED, Cardinality::Single, Compared::Text),
    known(DNS, "auto-assign-fqdn", NAMED, Cardinality::Single, Compared::Text),
    known(LAN, "network", NAMED, Cardinality::Set, Compared::Cidr),
    known(LAN, "address", NAMED, Cardinality::Set, Compared::Ip),
    known(DNS, "fqdn", NAMED, Cardinality::Single, Compared::Name),
    known(DNS, "alias", NAMED, Cardinality::Set, Compared::Name),
    known(DHCP, "custom-option", &[("number", ""), ("name", ""), ("family", "4")], Cardinality::Single, Compared::Text),
];

/// What makes two elements the same thing: namespace, local name, key attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub ns: String,
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(prefix) = super::usual_prefix(&self.ns) {
            write!(f, "{prefix}:")?;
        }
        f.write_str(&self.name)?;
        let written = self.attributes.iter().filter(|(_, value)| !value.is_empty());
        written.into_iter().try_for_each(|(name, value)| write!(f, "[{name}={value}]"))
    }
}

fn entry(element: &Element) -> Option<&'static Known> {
    KNOWN.iter().find(|known| element.is(known.ns, known.name))
}

/// The key of an element.
pub fn key(element: &Element) -> Key {
    let attributes = match entry(element) {
        Some(known) => {
            let value = |(name, default): &(&str, &str)| {
                ((*name).to_owned(), element.attribute(name).unwrap_or(default).to_owned())
            };
            known.key.iter().map(value).collect()
        }
        None => element.attributes.iter().map(|a| (format!("{}{}", a.ns, a.name), a.value.clone())).collect(),
    };
    Key { ns: element.ns.clone(), name: element.name.clone(), attributes }
}

/// Whether there can be more than one of that key.
pub fn cardinality(element: &Element) -> Cardinality {
    entry(element).map_or(Cardinality::Set, |known| known.cardinality)
}

/// The value of an element, such that equal ones mean the same.
pub fn value(element: &Element) -> String {
    if element.children().next().is_some() {
        return element.digest();
    }
    let text = element.text();
    normal(entry(element).map_or(Compared::Text, |known| known.compared), text)
}

fn normal(compared: Compared, text: String) -> String {
    match compared {
        Compared::Text => text,
        Compared::Mac => Mac::parse(text.trim().as_bytes()).map_or(text, |mac| mac.to_string()),
        Compared::Ip => text.trim().parse::<IpAddr>().map_or(text, |ip| ip.to_string()),
        Compared::Cidr => {
            let trimmed = text.trim();
            let net = trimmed.parse::<IpNet>().map(|net| net.to_string());
            net.or_else(|_| trimmed.parse::<IpAddr>().map(|ip| ip.to_string())).unwrap_or(text)
        }
        Compared::Name => {
            let name = text.trim();
            name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: Element, b: Element) -> bool {
        key(&a) == key(&b) && value(&a) == value(&b)
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        let mac = |text: &str| Element::new(HOST, "mac-addr").text_of(text);
        assert!(same(mac("00-1B-21-00-00-01"), mac("00:1b:21:00:00:01")));
        let ip = |text: &str| Element::new(LAN, "address").text_of(text);
        assert!(same(ip("2001:0:0::58"), ip("2001::58")));
        let name = |text: &str| Element::new(DNS, "fqdn").text_of(text);
        assert!(same(name("PC.example.com."), name("pc.example.com")));
        let text = |text: &str| Element::new(HOST, "asset-tag").text_of(text);
        assert!(!same(text("A"), text("a")));
    }

    #[test]
    fn a_missing_family_is_4_and_an_unknown_element_is_keyed_by_all_attributes() {
        let option = Element::new(DHCP, "custom-option").with("number", "252");
        assert_eq!(key(&option), key(&option.clone().with("family", "4")));
        assert_ne!(key(&option), key(&option.clone().with("family", "6")));
        assert_eq!(key(&option).to_string(), "dhcp:custom-option[number=252][family=4]");
        let other = Element::new("urn:x", "thing").with("a", "1");
        assert_ne!(key(&other), key(&Element::new("urn:x", "thing")));
        assert_eq!(cardinality(&other), Cardinality::Set);
    }
}

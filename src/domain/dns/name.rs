//! Domain names. Owns the one form that everything is keyed by: lower-case, uncompressed wire bytes with
//! the root label at the end (DN-111). Refuses names and labels that are too long.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Octets in a name on the wire, lengths and root included (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
/// Octets in a label.
pub const MAX_LABEL: usize = 63;
/// Labels in a name, the root not counted.
pub const MAX_LABELS: usize = 127;

/// A fully qualified name: lower-case wire form, root label included. Any octet may be in a label.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text or byte string is no domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("empty name")]
    Empty,
    #[error("empty label (two dots in a row, or a dot at the beginning)")]
    EmptyLabel,
    #[error("a label is longer than 63 octets")]
    LongLabel,
    #[error("the name is longer than 255 octets")]
    LongName,
    #[error("bad escape: expected \\DDD up to 255, or \\ and one character")]
    Escape,
    #[error("not an uncompressed name in wire form")]
    Wire,
}

const ARPA: &[u8] = b"\x04arpa\0";
const IN_ADDR_ARPA: &[u8] = b"\x07in-addr\x04arpa\0";
const IP6_ARPA: &[u8] = b"\x03ip6\x04arpa\0";
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A label of the digits of a number.
fn push_decimal(wire: &mut Vec<u8>, number: u8) {
    let digits = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit);
    let skip = usize::from(number < 100) + usize::from(number < 10);
    wire.push((3 - skip) as u8);
    wire.extend_from_slice(&digits[skip..]);
}

impl Name {
    /// The root.
    pub fn root() -> Name {
        Name(Box::new([0]))
    }

    /// Reads presentation form (RFC 1035 §5.1); a missing final dot is supplied. ASCII is lower-cased.
    pub fn parse(text: &str) -> Result<Name, BadName> {
        Name::parse_in(text, &Name::root())
    }

    /// As [`Name::parse`], completing a name without a final dot by `origin`; `@` is the origin itself.
    pub fn parse_in(text: &str, origin: &Name) -> Result<Name, BadName> {
        match text {
            "" => return Err(BadName::Empty),
            "@" => return Ok(origin.clone()),
            "." => return Ok(Name::root()),
            _ => {}
        }
        let mut wire = Vec::with_capacity(text.len() + 2 + origin.0.len());
        let absolute = labels_from_text(text.as_bytes(), &mut wire)?;
        wire.extend_from_slice(if absolute { &[0] } else { &origin.0 });
        if wire.len() > MAX_NAME {
            return Err(BadName::LongName);
        }
        Ok(Name(wire.into()))
    }

    /// Takes wire form without compression; lower-cases it.
    pub fn from_wire(wire: &[u8]) -> Result<Name, BadName> {
        if wire.len() > MAX_NAME {
            return Err(BadName::LongName);
        }
        let mut at = 0;
        loop {
            match wire.get(at) {
                Some(0) if at + 1 == wire.len() => return Ok(Name(wire.to_ascii_lowercase().into())),
                Some(&len @ 1..=63) => at += 1 + usize::from(len),
                _ => return Err(BadName::Wire),
            }
        }
    }

    /// The name under which the PTR of an address stands (RFC 1035 §3.5, RFC 3596 §2.5).
    pub fn reverse(ip: IpAddr) -> Name {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        Name::reverse_of(ip, bits)
    }

    /// The reverse name of the first `bits` of an address, rounded down to octets (v4) or nibbles (v6).
    pub fn reverse_of(ip: IpAddr, bits: u8) -> Name {
        let mut wire = Vec::with_capacity(74);
        match ip {
            IpAddr::V4(v4) => {
                let keep = usize::from(bits.min(32) / 8);
                v4.octets()[..keep].iter().rev().for_each(|octet| push_decimal(&mut wire, *octet));
                wire.extend_from_slice(IN_ADDR_ARPA);
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                let nibble = |i: usize| if i.is_multiple_of(2) { octets[i / 2] >> 4 } else { octets[i / 2] & 15 };
                let kept = 0..usize::from(bits.min(128) / 4);
                kept.rev().for_each(|i| wire.extend_from_slice(&[1, HEX_DIGITS[usize::from(nibble(i))]]));
                wire.extend_from_slice(IP6_ARPA);
            }
        }
        Name(wire.into())
    }

    /// The address whose reverse name this is.
    pub fn reversed(&self) -> Option<IpAddr> {
        // nearly every name is none
        if !self.0.ends_with(ARPA) {
            return None;
        }
        let text = self.to_string();
        if let Some(octets) = text.strip_suffix(".in-addr.arpa") {
            let parts: Option<Vec<u8>> = octets.split('.').rev().map(|o| o.parse().ok()).collect();
            return <[u8; 4]>::try_from(parts?).ok().map(IpAddr::from).filter(|ip| Name::reverse(*ip) == *self);
        }
        let digits: String = text.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
        let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
        Some(IpAddr::from(bits.to_be_bytes())).filter(|ip| Name::reverse(*ip) == *self)
    }

    /// Wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Number of labels, the root not counted.
    pub fn label_count(&self) -> usize {
        labels(&self.0).count()
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        parent(&self.0).map(|wire| Name(wire.into()))
    }

    /// True if this name is `apex` or stands below it.
    pub fn is_within(&self, apex: &Name) -> bool {
        is_within(&self.0, &apex.0)
    }

    /// `label` in front of this name.
    pub fn child(&self, label: &[u8]) -> Result<Name, BadName> {
        if label.is_empty() {
            return Err(BadName::EmptyLabel);
        }
        let len = u8::try_from(label.len()).ok().filter(|l| *l <= 63).ok_or(BadName::LongLabel)?;
        let wire = [&[len], label.to_ascii_lowercase().as_slice(), &self.0].concat();
        if wire.len() > MAX_NAME {
            return Err(BadName::LongName);
        }
        Ok(Name(wire.into()))
    }
}

/// Appends the labels of a text; true if it ended with a dot.
fn labels_from_text(text: &[u8], wire: &mut Vec<u8>) -> Result<bool, BadName> {
    let mut rest = text;
    let mut start = wire.len();
    wire.push(0);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'.' => {
                close_label(wire, start)?;
                if rest.is_empty() {
                    return Ok(true);
                }
                start = wire.len();
                wire.push(0);
            }
            b'\\' => {
                let (value, tail) = unescape(rest).ok_or(BadName::Escape)?;
                wire.push(value.to_ascii_lowercase());
                rest = tail;
            }
            other => wire.push(other.to_ascii_lowercase()),
        }
        if wire.len() > MAX_NAME + MAX_LABEL {
            return Err(BadName::LongName);
        }
    }
    close_label(wire, start)?;
    Ok(false)
}

fn close_label(wire: &mut [u8], start: usize) -> Result<(), BadName> {
    match wire.len() - start - 1 {
        0 => Err(BadName::EmptyLabel),
        len @ 1..=MAX_LABEL => {
            wire[start] = u8::try_from(len).expect("at most 63");
            Ok(())
        }
        _ => Err(BadName::LongLabel),
    }
}

/// What follows a backslash: `DDD` or one character. Gives the octet and what is left.
pub(super) fn unescape(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [a, b, c, tail @ ..] if a.is_ascii_digit() => {
            let digits = std::str::from_utf8(&rest[..3]).ok()?;
            let _ = (b, c);
            Some((digits.parse::<u8>().ok()?, tail))
        }
        [a, ..] if a.is_ascii_digit() => None,
        [a, tail @ ..] => Some((*a, tail)),
        [] => None,
    }
}

/// The labels of a name in wire form, leftmost first, without the root.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || match rest.split_first() {
        Some((&len @ 1..=63, tail)) => {
            let (label, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Some(label)
        }
        _ => None,
    })
}

/// A wire name without its first label; `None` for the root.
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    match wire.first() {
        Some(&len @ 1..=63) => wire.get(1 + usize::from(len)..),
        _ => None,
    }
}

/// True if `wire` is `apex` or below it; both lower-case wire names.
pub fn is_within(wire: &[u8], apex: &[u8]) -> bool {
    let mut at = Some(wire);
    while let Some(name) = at {
        match name.len().cmp(&apex.len()) {
            std::cmp::Ordering::Equal => return name == apex,
            std::cmp::Ordering::Less => return false,
            std::cmp::Ordering::Greater => at = parent(name),
        }
    }
    false
}

/// Writes a wire name as text without final dot (`.` for the root), escaping what a zone file needs.
pub fn write_text(wire: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    let mut first = true;
    for label in labels(wire) {
        if !first {
            out.write_char('.')?;
        }
        first = false;
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(out, "\\{}", char::from(byte))?,
                0x21..=0x7e => out.write_char(char::from(byte))?,
                _ => write!(out, "\\{byte:03}")?,
            }
        }
    }
    if first { out.write_char('.') } else { Ok(()) }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Name, BadName> {
        Name::parse(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_wire_form() {
        let name = Name::parse("Www.EXAMPLE.com.").unwrap();
        assert_eq!(name.as_wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(name.to_string(), "www.example.com");
        assert_eq!(name.parent().unwrap().to_string(), "example.com");
        assert_eq!(Name::parse(".").unwrap().to_string(), ".");
    }

    #[test]
    fn relative_names_are_completed_by_the_origin() {
        let origin = Name::parse("lan.example").unwrap();
        assert_eq!(Name::parse_in("pc", &origin).unwrap().to_string(), "pc.lan.example");
        assert_eq!(Name::parse_in("@", &origin).unwrap(), origin);
        assert_eq!(Name::parse_in("pc.", &origin).unwrap().to_string(), "pc");
    }

    #[test]
    fn escapes_round_trip() {
        let name = Name::parse(r"a\.b\032c\000.x").unwrap();
        assert_eq!(name.as_wire(), b"\x06a.b c\x00\x01x\x00");
        assert_eq!(Name::parse(&name.to_string()).unwrap(), name);
        for bad in [r"\25", r"\256", r"a\"] {
            assert_eq!(Name::parse(bad), Err(BadName::Escape), "{bad}");
        }
    }

    #[test]
    fn labels_over_63_and_names_over_255_are_refused() {
        let label = "a".repeat(63);
        assert!(Name::parse(&label).is_ok());
        assert_eq!(Name::parse(&format!("{label}a")), Err(BadName::LongLabel));
        let three = format!("{label}.{label}.{label}");
        assert_eq!(Name::parse(&format!("{three}.{}", "b".repeat(61))).unwrap().as_wire().len(), 255);
        assert_eq!(Name::parse(&format!("{three}.{}", "b".repeat(62))), Err(BadName::LongName));
        assert_eq!(Name::parse("a..b"), Err(BadName::EmptyLabel));
        assert_eq!(Name::parse(".a"), Err(BadName::EmptyLabel));
        assert_eq!(Name::from_wire(b"\x40a\x00"), Err(BadName::Wire));
        assert_eq!(Name::from_wire(b"\x01a"), Err(BadName::Wire));
    }

    #[test]
    fn reverse_names_of_addresses_and_prefixes() {
        let v4: IpAddr = "192.168.50.4".parse().unwrap();
        assert_eq!(Name::reverse(v4).to_string(), "4.50.168.192.in-addr.arpa");
        assert_eq!(Name::reverse_of(v4, 24).to_string(), "50.168.192.in-addr.arpa");
        assert_eq!(Name::reverse_of(v4, 22).to_string(), "168.192.in-addr.arpa");
        let v6: IpAddr = "2001:db8::58".parse().unwrap();
        assert_eq!(Name::reverse_of(v6, 32).to_string(), "8.b.d.0.1.0.0.2.ip6.arpa");
        assert_eq!(Name::reverse(v6).label_count(), 34);
        assert_eq!(Name::reverse(v4).reversed(), Some(v4));
        assert_eq!(Name::reverse(v6).reversed(), Some(v6));
        for no in ["4.50.168.in-addr.arpa", "04.50.168.192.in-addr.arpa", "x.ip6.arpa", "a.b", "in-addr.arpa"] {
            assert_eq!(Name::parse(no).unwrap().reversed(), None, "{no}");
        }
    }

    #[test]
    fn within_counts_whole_labels() {
        let apex = Name::parse("example.com").unwrap();
        assert!(Name::parse("a.example.com").unwrap().is_within(&apex));
        assert!(apex.is_within(&apex));
        assert!(!Name::parse("badexample.com").unwrap().is_within(&apex));
        assert!(apex.is_within(&Name::root()));
    }
}

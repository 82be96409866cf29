//! Values of options between text and wire, driven by the registry. Refuses what would mislead a client:
//! wrong types, octets of a prefix beyond its length, names that do not fit.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::options::{self, Form, Type};
use crate::domain::hex;

/// Octets of one value (DH-103).
pub const MAX_VALUE: usize = 1024;

/// Why a text is no value of that option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("option {0} is written by the server itself and cannot be set")]
    Owned(u8),
    #[error("option {0} does not exist (1 to 254 do)")]
    Code(u8),
    #[error("option {code}: `{text}` is no {expected}")]
    Value { code: u8, text: String, expected: &'static str },
    #[error("option {0}: more than {MAX_VALUE} octets")]
    Long(u8),
    #[error("option {0}: no value")]
    Nothing(u8),
}

/// Text to wire. Numbers without an entry take `0x..`/`hex:..`, `ip:` and dotted quads, else text.
pub fn parse_value(code: u8, text: &str) -> Result<Vec<u8>, Problem> {
    if matches!(code, 0 | 255) {
        return Err(Problem::Code(code));
    }
    let entry = options::by_code(code);
    if entry.is_some_and(|e| e.owned) {
        return Err(Problem::Owned(code));
    }
    parse_form(code, entry.map_or(Form { kind: Type::Bytes, list: false }, |e| e.form), text)
}

/// Text to wire in a form that somebody else knows; `code` is for the complaint.
pub fn parse_form(code: u8, form: Form, text: &str) -> Result<Vec<u8>, Problem> {
    let value = by_type(form.kind, form.list, text).map_err(|wrong| match wrong {
        Wrong::Nothing => Problem::Nothing(code),
        Wrong::Value(text, expected) => Problem::Value { code, text, expected },
    })?;
    if value.len() > MAX_VALUE { Err(Problem::Long(code)) } else { Ok(value) }
}

/// Values with a structure of their own.
mod structured;

enum Wrong {
    Nothing,
    Value(String, &'static str),
}

fn wrong(text: &str, expected: &'static str) -> Wrong {
    Wrong::Value(text.to_owned(), expected)
}

fn by_type(kind: Type, list: bool, text: &str) -> Result<Vec<u8>, Wrong> {
    let trimmed = text.trim();
    match kind {
        Type::Ip4 => each(list, trimmed, "IPv4 address", |t| t.parse::<Ipv4Addr>().ok().map(|ip| ip.octets().to_vec())),
        Type::U8 => each(list, trimmed, "number from 0 to 255", |t| Some(vec![number(t)?])),
        Type::U16 => each(list, trimmed, "number from 0 to 65535", |t| Some(number::<u16>(t)?.to_be_bytes().to_vec())),
        Type::U32 => each(list, trimmed, "number below 2^32", |t| Some(number::<u32>(t)?.to_be_bytes().to_vec())),
        Type::I32 => each(list, trimmed, "signed number", |t| Some(t.parse::<i32>().ok()?.to_be_bytes().to_vec())),
        Type::Bool => match trimmed {
            "true" | "1" | "yes" | "on" => Ok(vec![1]),
            "false" | "0" | "no" | "off" => Ok(vec![0]),
            _ => Err(wrong(trimmed, "true or false")),
        },
        Type::Text => unescape(text).filter(|v| !v.is_empty()).ok_or(Wrong::Nothing),
        Type::Fqdn => name(trimmed).ok_or_else(|| wrong(trimmed, "domain name")),
        Type::FqdnList => names(trimmed),
        Type::Routes => routes(trimmed),
        Type::SipServers => sip_servers(trimmed),
        Type::Bytes => bytes(text),
        Type::Ip6 => each(list, trimmed, "IPv6 address", |t| t.parse::<Ipv6Addr>().ok().map(|ip| ip.octets().to_vec())),
        Type::Uri => uri(trimmed),
        Type::Encapsulated | Type::VendorClasses | Type::VendorOptions | Type::Resolvers => {
            structured::read(kind, trimmed)
        }
        Type::Empty => Ok(Vec::new()),
    }
}

fn number<N: TryFrom<u64>>(text: &str) -> Option<N> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    N::try_from(value).ok()
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty())
}

fn each(
    list: bool,
    text: &str,
    expected: &'static str,
    one: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Wrong> {
    let mut out = Vec::new();
    let mut count = 0;
    for part in parts(text) {
        out.extend(one(part).ok_or_else(|| wrong(part, expected))?);
        count += 1;
    }
    match count {
        0 => Err(Wrong::Nothing),
        1 => Ok(out),
        _ if list => Ok(out),
        _ => Err(wrong(text, expected)),
    }
}

/// Resolves `\n \r \t \\ \xHH` (DH-405); `None` if an escape is unknown or cut off.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

/// RFC 3986 §3.1: a scheme and something behind it, without blanks.
fn uri(text: &str) -> Result<Vec<u8>, Wrong> {
    let scheme = text.split_once(':').filter(|(scheme, rest)| {
        let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        !rest.is_empty() && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(word)
    });
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if scheme.is_some() && plain { Ok(text.as_bytes().to_vec()) } else { Err(wrong(text, "URI")) }
}

/// Hexadecimal digits, in pairs, with or without `:` `-` or blanks between the pairs.
fn pairs(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b':' | b'-' | b' ')).collect();
    hex::read(&digits).filter(|octets| !octets.is_empty())
}

fn bytes(text: &str) -> Result<Vec<u8>, Wrong> {
    let trimmed = text.trim();
    if let Some(digits) = trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("hex:")) {
        return pairs(digits).ok_or_else(|| wrong(trimmed, "sequence of hexadecimal pairs"));
    }
    if let Some(list) = trimmed.strip_prefix("ip:") {
        return by_type(Type::Ip4, true, list);
    }
    let value = unescape(text).ok_or_else(|| wrong(text, "text with the escapes \\n \\r \\t \\\\ \\xHH"))?;
    if value.is_empty() { Err(Wrong::Nothing) } else { Ok(value) }
}

fn labels(text: &str) -> Option<Vec<&str>> {
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let fits = labels.iter().all(|l| (1..=63).contains(&l.len()) && l.is_ascii());
    (fits && labels.iter().map(|l| l.len() + 1).sum::<usize>() < 255).then_some(labels)
}

/// A name in wire form, uncompressed.
pub fn name(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in labels(text)? {
        out.push(u8::try_from(label.len()).ok()?);
        out.extend(label.as_bytes());
    }
    out.push(0);
    Some(out)
}

/// RFC 3397 §2: names share their tails; pointers go backwards within the value.
fn names(text: &str) -> Result<Vec<u8>, Wrong> {
    let mut out: Vec<u8> = Vec::new();
    let mut known: Vec<(String, usize)> = Vec::new();
    for part in parts(text) {
        let labels = labels(part).ok_or_else(|| wrong(part, "domain name"))?;
        let mut at = 0;
        while at < labels.len() {
            let tail = labels[at..].join(".").to_ascii_lowercase();
            if let Some((_, offset)) = known.iter().find(|(name, _)| *name == tail) {
                out.extend((0xc000 | *offset as u16).to_be_bytes());
                break;
            }
            if out.len() < 0x4000 {
                known.push((tail, out.len()));
            }
            out.push(labels[at].len() as u8);
            out.extend(labels[at].as_bytes());
            at += 1;
        }
        if at == labels.len() {
            out.push(0);
        }
    }
    if out.is_empty() { Err(Wrong::Nothing) } else { Ok(out) }
}

/// RFC 3442: width, the significant octets of the destination, the router.
fn routes(text: &str) -> Result<Vec<u8>, Wrong> {
    let mut out = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let mut words = part.split_whitespace().filter(|word| *word != "via");
        let route = || -> Option<(Ipv4Net, Ipv4Addr)> {
            let destination = match words.next()? {
                "default" => Ipv4Net::default(),
                net => net.parse().ok()?,
            };
            Some((destination, words.next()?.parse().ok()?)).filter(|_| words.next().is_none())
        }();
        let (destination, router) = route.ok_or_else(|| wrong(part, "route such as `10.1.0.0/16 via 10.0.0.1`"))?;
        out.extend(encode_route(destination, router));
    }
    if out.is_empty() { Err(Wrong::Nothing) } else { Ok(out) }
}

/// One route of option 121: padding bits are zero.
pub fn encode_route(destination: Ipv4Net, router: Ipv4Addr) -> Vec<u8> {
    let width = destination.prefix_len();
    let mut out = vec![width];
    out.extend(&destination.network().octets()[..usize::from(width).div_ceil(8)]);
    out.extend(router.octets());
    out
}

/// True if a value of option 121 holds a default route; false also for what does not add up.
pub fn has_default_route(mut value: &[u8]) -> bool {
    while let [width, rest @ ..] = value {
        if *width == 0 && rest.len() >= 4 {
            return true;
        }
        value = rest.get(usize::from(*width).div_ceil(8) + 4..).unwrap_or_default();
    }
    false
}

/// RFC 3361: octet 0 says names, octet 1 addresses.
fn sip_servers(text: &str) -> Result<Vec<u8>, Wrong> {
    let addresses: Option<Vec<[u8; 4]>> = parts(text).map(|p| Some(p.parse::<Ipv4Addr>().ok()?.octets())).collect();
    match addresses {
        Some(list) if list.is_empty() => Err(Wrong::Nothing),
        Some(list) => Ok([vec![1], list.concat()].concat()),
        None => Ok([vec![0], names(text)?].concat()),
    }
}

/// Wire to text, for people: addresses, numbers and printable text as such, the rest as `0x..`.
pub fn show_value(code: u8, value: &[u8]) -> String {
    let kind = options::by_code(code).map_or(Type::Bytes, |e| e.form.kind);
    let number = value.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    match kind {
        Type::Ip4 if !value.is_empty() && value.len().is_multiple_of(4) => {
            value.chunks(4).map(|c| Ipv4Addr::new(c[0], c[1], c[2], c[3]).to_string()).collect::<Vec<_>>().join(", ")
        }
        Type::U8 if value.len() == 1 => number.to_string(),
        Type::U16 if value.len() == 2 => number.to_string(),
        Type::U32 if value.len() == 4 => number.to_string(),
        Type::Bool if value.len() == 1 => (number != 0).to_string(),
        Type::Text | Type::Bytes | Type::Uri if value.iter().all(|b| (0x20..0x7f).contains(b)) => {
            String::from_utf8_lossy(value).into_owned()
        }
        Type::Text | Type::Uri => escape(value),
        _ => value.iter().fold(String::from("0x"), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        }),
    }
}

/// True if the registry knows a form of the option's value other than text and octets.
pub fn is_typed(code: u8) -> bool {
    options::by_code(code).is_some_and(|entry| !matches!(entry.form.kind, Type::Text | Type::Bytes | Type::Uri))
}

/// Bytes as text that [`unescape`] reads back; nothing in it can break a log line or a terminal.
pub fn escape(value: &[u8]) -> String {
    value.iter().fold(String::with_capacity(value.len()), |mut out, b| {
        match b {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(*b)),
            _ => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_and_an_n_are_one_line_feed() {
        assert_eq!(parse_value(252, "\\n"), Ok(vec![0x0a]));
        assert_eq!(parse_value(252, "a\\\\b\\x07\\t"), Ok(b"a\\b\x07\t".to_vec()));
        assert_eq!(parse_value(252, "\\q"), Err(Problem::Nothing(252)));
        assert_eq!(escape(&[0x0a, b'x', 0]), "\\nx\\x00");
    }

    #[test]
    fn each_type_reads_its_text() {
        assert_eq!(parse_value(3, "10.0.0.1, 10.0.0.2"), Ok(vec![10, 0, 0, 1, 10, 0, 0, 2]));
        assert_eq!(parse_value(26, "1400"), Ok(vec![5, 120]));
        assert_eq!(parse_value(66, "http://10.0.0.1:8667/"), Ok(b"http://10.0.0.1:8667/".to_vec()));
        assert_eq!(parse_value(43, "0x0203aabbcc"), Ok(vec![2, 3, 0xaa, 0xbb, 0xcc]));
        assert_eq!(parse_value(224, "ip:10.0.0.1"), Ok(vec![10, 0, 0, 1]));
        assert_eq!(parse_value(224, "hello"), Ok(b"hello".to_vec()));
        assert_eq!(parse_value(120, "10.0.0.5"), Ok(vec![1, 10, 0, 0, 5]));
        assert_eq!(parse_value(19, "true"), Ok(vec![1]));
        assert_eq!(parse_value(2, "-3600"), Ok(vec![0xff, 0xff, 0xf1, 0xf0]));
    }

    #[test]
    fn wrong_values_say_what_was_expected() {
        assert_eq!(parse_value(51, "60"), Err(Problem::Owned(51)));
        assert_eq!(parse_value(255, "x"), Err(Problem::Code(255)));
        assert_eq!(
            parse_value(1, "255.0.0.0 255.0.0.0").unwrap_err().to_string(),
            "option 1: `255.0.0.0 255.0.0.0` is no IPv4 address"
        );
        assert!(parse_value(3, "10.0.0.300").is_err());
        assert!(parse_value(26, "65536").is_err());
        assert_eq!(parse_value(15, ""), Err(Problem::Nothing(15)));
        assert_eq!(parse_value(43, &"a".repeat(MAX_VALUE + 1)), Err(Problem::Long(43)));
        assert!(parse_value(43, &"a".repeat(MAX_VALUE)).is_ok());
    }

    #[test]
    fn a_search_list_is_compressed() {
        let value = parse_value(119, "eng.example.com, mkt.example.com").unwrap();
        assert_eq!(value, b"\x03eng\x07example\x03com\0\x03mkt\xc0\x04");
    }

    #[test]
    fn routes_have_as_many_octets_as_their_width_needs() {
        let value = parse_value(121, "10.17.0.0/16 via 10.0.0.1, 10.27.129.5/23 via 10.0.0.2, default via 10.0.0.3");
        let expected = [16, 10, 17, 10, 0, 0, 1, 23, 10, 27, 128, 10, 0, 0, 2, 0, 10, 0, 0, 3];
        assert_eq!(value, Ok(expected.to_vec()));
        assert!(has_default_route(&expected) && !has_default_route(&expected[..15]));
        assert!(parse_value(121, "10.0.0.0/33 via 10.0.0.1").is_err());
    }

    #[test]
    fn text_of_a_value_is_for_people() {
        assert_eq!(show_value(6, &[10, 0, 0, 1, 10, 0, 0, 2]), "10.0.0.1, 10.0.0.2");
        assert_eq!(show_value(252, &[0x0a]), "\\n");
        assert_eq!(show_value(43, &[1, 2]), "0x0102");
        assert_eq!(show_value(26, &[5, 120]), "1400");
    }
}

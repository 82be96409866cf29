//! Record data between its text form (RFC 1035 §5, and the RFC of each type) and its wire form. Knows the
//! types of the table; every other one goes as RFC 3597 says. Names come out lower-case, uncompressed.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::name::{self, Name, unescape};
use crate::domain::hex;

/// One field of a type's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    A,
    Aaaa,
    Name,
    U8,
    U16,
    U32,
    /// A number of seconds, units allowed.
    Ttl,
    /// One character-string.
    Text,
    /// One or more character-strings to the end.
    Texts,
    /// The rest, one string without a length.
    Raw,
    /// The rest as hexadecimal digits, spaces allowed.
    Hex,
    Base64,
}

use Field::{A, Aaaa, Base64, Hex, Raw, Text, Texts, Ttl, U8, U16, U32};

/// Types with a text form of their own: mnemonic, number, fields.
const TYPES: [(&str, u16, &[Field]); 22] = [
    ("A", 1, &[A]),
    ("NS", 2, &[Field::Name]),
    ("CNAME", 5, &[Field::Name]),
    ("SOA", 6, &[Field::Name, Field::Name, U32, Ttl, Ttl, Ttl, Ttl]),
    ("PTR", 12, &[Field::Name]),
    ("HINFO", 13, &[Text, Text]),
    ("MX", 15, &[U16, Field::Name]),
    ("TXT", 16, &[Texts]),
    ("RP", 17, &[Field::Name, Field::Name]),
    ("AFSDB", 18, &[U16, Field::Name]),
    ("AAAA", 28, &[Aaaa]),
    ("SRV", 33, &[U16, U16, U16, Field::Name]),
    ("NAPTR", 35, &[U16, U16, Text, Text, Text, Field::Name]),
    ("DNAME", 39, &[Field::Name]),
    ("DS", 43, &[U16, U8, U8, Hex]),
    ("SSHFP", 44, &[U8, U8, Hex]),
    ("DNSKEY", 48, &[U16, U8, U8, Base64]),
    ("DHCID", 49, &[Base64]),
    ("TLSA", 52, &[U8, U8, U8, Hex]),
    ("SPF", 99, &[Texts]),
    ("URI", 256, &[U16, U16, Raw]),
    ("CAA", 257, &[U8, Text, Raw]),
];

/// Number of a type by mnemonic or `TYPEnnn`; any case.
pub fn type_number(text: &str) -> Option<u16> {
    let upper = text.to_ascii_uppercase();
    let known = TYPES.iter().find(|(name, ..)| *name == upper).map(|t| t.1);
    known.or_else(|| upper.strip_prefix("TYPE").filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?.parse().ok())
}

/// Mnemonic of a type, or `TYPEnnn`.
pub fn type_name(rtype: u16) -> String {
    TYPES.iter().find(|t| t.1 == rtype).map_or_else(|| format!("TYPE{rtype}"), |t| t.0.to_owned())
}

fn fields(rtype: u16) -> Option<&'static [Field]> {
    TYPES.iter().find(|t| t.1 == rtype).map(|t| t.2)
}

/// A word of a record: what stood there, escapes not resolved, and whether it was in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub quoted: bool,
    /// Line and column, from 1.
    pub line: usize,
    pub column: usize,
}

/// What is wrong with a record's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadData {
    /// Index of the word that is wrong; the number of words if one is missing.
    pub word: usize,
    pub message: String,
}

/// Data of a record from its words; relative names are completed by `origin`.
pub fn parse(rtype: u16, words: &[Word], origin: &Name) -> Result<Vec<u8>, BadData> {
    if words.first().is_some_and(|w| w.text == r"\#" && !w.quoted) {
        return generic(rtype, words);
    }
    let bad = |word: usize, message: String| BadData { word, message };
    let Some(fields) = fields(rtype) else {
        return Err(bad(0, format!(r"data of {} must be written as `\# length hex` (RFC 3597)", type_name(rtype))));
    };
    let mut out = Vec::new();
    let mut at = 0;
    for field in fields {
        let rest = words.get(at..).filter(|w| !w.is_empty()).ok_or_else(|| bad(at, expected(*field)))?;
        at += field.read(rest, origin, &mut out).map_err(|m| bad(at, m))?;
    }
    if at < words.len() {
        return Err(bad(at, format!("`{}` is more than {} takes", words[at].text, type_name(rtype))));
    }
    if out.len() > usize::from(u16::MAX) {
        return Err(bad(0, "longer than 65535 octets".to_owned()));
    }
    Ok(out)
}

fn expected(field: Field) -> String {
    let what = match field {
        A => "an IPv4 address",
        Aaaa => "an IPv6 address",
        Field::Name => "a name",
        U8 | U16 | U32 => "a number",
        Ttl => "a time in seconds or like 1h30m",
        Text | Texts | Raw => "a text",
        Hex => "hexadecimal digits",
        Base64 => "base64",
    };
    format!("{what} is missing")
}

impl Field {
    /// Appends the wire form of this field; gives the number of words that it took.
    fn read(self, words: &[Word], origin: &Name, out: &mut Vec<u8>) -> Result<usize, String> {
        let text = words[0].text.as_str();
        match self {
            A => {
                let ip: Ipv4Addr = text.parse().map_err(|_| format!("`{text}` is no IPv4 address"))?;
                out.extend_from_slice(&ip.octets());
            }
            Aaaa => {
                let ip: Ipv6Addr = text.parse().map_err(|_| format!("`{text}` is no IPv6 address"))?;
                out.extend_from_slice(&ip.octets());
            }
            Field::Name => {
                let name = Name::parse_in(text, origin).map_err(|e| format!("`{text}`: {e}"))?;
                out.extend_from_slice(name.as_wire());
            }
            U8 => out.push(number(text, 255)? as u8),
            U16 => out.extend_from_slice(&(number(text, 65_535)? as u16).to_be_bytes()),
            U32 => out.extend_from_slice(&number(text, u32::MAX)?.to_be_bytes()),
            Ttl => out.extend_from_slice(&ttl(text).ok_or_else(|| format!("`{text}` is no time"))?.to_be_bytes()),
            Text => push_text(&words[0], out)?,
            Texts => {
                words.iter().try_for_each(|w| push_text(w, out))?;
                return Ok(words.len());
            }
            Raw => out.extend_from_slice(&octets(text)?),
            Hex => {
                let digits: String = words.iter().map(|w| w.text.as_str()).collect();
                out.extend(hex::read(digits.as_bytes()).ok_or_else(|| format!("`{digits}` is not hexadecimal"))?);
                return Ok(words.len());
            }
            Base64 => {
                let all: String = words.iter().map(|w| w.text.as_str()).collect();
                out.extend(STANDARD.decode(&all).map_err(|e| format!("bad base64: {e}"))?);
                return Ok(words.len());
            }
        }
        Ok(1)
    }
}

fn number(text: &str, max: u32) -> Result<u32, String> {
    let ok = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse::<u32>().ok().filter(|v| ok && *v <= max);
    value.ok_or_else(|| format!("`{text}` is no number from 0 to {max}"))
}

/// Seconds from `3600`, `1h30m`, `2w3d`; `None` if malformed or beyond 2^31-1 (RFC 2181 §8).
pub fn ttl(text: &str) -> Option<u32> {
    let (mut total, mut digits) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    if !digits.is_empty() || text.is_empty() {
        total = total.checked_add(digits.parse::<u64>().ok()?)?;
    }
    u32::try_from(total).ok().filter(|t| *t <= i32::MAX as u32)
}

/// The octets of a word with its escapes resolved.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'\\' {
            let (value, tail) = unescape(rest).ok_or_else(|| format!("bad escape in `{text}`"))?;
            out.push(value);
            rest = tail;
        } else {
            out.push(byte);
        }
    }
    Ok(out)
}

fn push_text(word: &Word, out: &mut Vec<u8>) -> Result<(), String> {
    let bytes = octets(&word.text)?;
    let len = u8::try_from(bytes.len()).map_err(|_| "a text is longer than 255 octets; split it".to_owned())?;
    out.push(len);
    out.extend_from_slice(&bytes);
    Ok(())
}

/// RFC 3597 §5: `\# length hex...`.
fn generic(rtype: u16, words: &[Word]) -> Result<Vec<u8>, BadData> {
    let bad = |word: usize, message: &str| BadData { word, message: message.to_owned() };
    let len = words.get(1).and_then(|w| number(&w.text, 65_535).ok()).ok_or_else(|| bad(1, "a length is missing"))?;
    let digits: String = words[2..].iter().map(|w| w.text.as_str()).collect();
    let data = hex::read(digits.as_bytes()).ok_or_else(|| bad(2, "expected hexadecimal digits, two for each octet"))?;
    if data.len() != len as usize {
        return Err(bad(1, &format!("the length says {len} octets, the data has {}", data.len())));
    }
    check(rtype, data).ok_or_else(|| bad(2, &format!("this is not the data of a {} record", type_name(rtype))))
}

/// Data in wire form from outside (RFC 3597 text, API): well formed for its type, if that is known; names
/// in it come out lower-case. `None` if malformed.
pub fn check(rtype: u16, data: Vec<u8>) -> Option<Vec<u8>> {
    let Some(fields) = fields(rtype) else { return Some(data) };
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data.as_slice();
    for field in fields {
        let len = field.measure(rest)?;
        let (part, tail) = rest.split_at_checked(len)?;
        match field {
            Field::Name => out.extend_from_slice(Name::from_wire(part).ok()?.as_wire()),
            _ => out.extend_from_slice(part),
        }
        rest = tail;
    }
    rest.is_empty().then_some(out)
}

impl Field {
    /// How many octets this field takes at the beginning of `rest`.
    fn measure(self, rest: &[u8]) -> Option<usize> {
        Some(match self {
            A | U32 | Ttl => 4,
            Aaaa => 16,
            U8 => 1,
            U16 => 2,
            Field::Name => name::labels(rest).map(|l| l.len() + 1).sum::<usize>() + 1,
            Text => 1 + usize::from(*rest.first()?),
            Texts => {
                let mut at = 0;
                while at < rest.len() {
                    at += 1 + usize::from(rest[at]);
                }
                if at == 0 {
                    return None;
                }
                at
            }
            Raw | Hex | Base64 => rest.len(),
        })
    }

    /// Text form of the field in `part`.
    fn show(self, part: &[u8], out: &mut String) {
        let wide = part.iter().take(4).fold(0u32, |n, b| n << 8 | u32::from(*b));
        let done = match (self, part) {
            (A, &[a, b, c, d]) => write!(out, "{}", Ipv4Addr::new(a, b, c, d)),
            (Aaaa, _) => write!(out, "{}", <[u8; 16]>::try_from(part).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)),
            (Field::Name, _) => {
                name::write_text(part, out).and_then(|()| if part.len() > 1 { out.write_char('.') } else { Ok(()) })
            }
            (Text, _) => show_text(&part[1.min(part.len())..], out),
            (Texts, _) => {
                let mut rest = part;
                let mut first = true;
                while let Some((len, tail)) = rest.split_first() {
                    let (text, tail) = tail.split_at(usize::from(*len).min(tail.len()));
                    if !std::mem::take(&mut first) {
                        out.push(' ');
                    }
                    let _ = show_text(text, out);
                    rest = tail;
                }
                Ok(())
            }
            (Raw, _) => show_text(part, out),
            (Hex, _) => part.iter().try_for_each(|b| write!(out, "{b:02X}")),
            (Base64, _) => out.write_str(&STANDARD.encode(part)),
            _ => write!(out, "{wide}"),
        };
        done.expect("a string takes it");
    }
}

fn show_text(text: &[u8], out: &mut String) -> std::fmt::Result {
    out.push('"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte))?,
            0x20..=0x7e => out.push(char::from(byte)),
            _ => write!(out, "\\{byte:03}")?,
        }
    }
    out.push('"');
    Ok(())
}

/// Data in text form, as [`parse`] reads it.
pub fn show(rtype: u16, data: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = data;
    for field in fields(rtype).unwrap_or_default() {
        let Some((part, tail)) = field.measure(rest).and_then(|len| rest.split_at_checked(len)) else {
            return show_generic(data);
        };
        if !out.is_empty() {
            out.push(' ');
        }
        field.show(part, &mut out);
        rest = tail;
    }
    if rest.is_empty() && fields(rtype).is_some() { out } else { show_generic(data) }
}

fn show_generic(data: &[u8]) -> String {
    let mut out = format!(r"\# {}", data.len());
    if !data.is_empty() {
        out.push(' ');
        data.iter().for_each(|b| write!(out, "{b:02x}").expect("a string takes it"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dns::zonefile::words;

    fn round(rtype: &str, text: &str) -> String {
        let number = type_number(rtype).unwrap();
        let origin = Name::parse("lan.example").unwrap();
        let data = parse(number, &words(text).unwrap(), &origin).unwrap_or_else(|e| panic!("{rtype} {text}: {e:?}"));
        let shown = show(number, &data);
        assert_eq!(parse(number, &words(&shown).unwrap(), &Name::root()).as_ref(), Ok(&data), "{shown}");
        assert_eq!(check(number, data.clone()), Some(data), "{shown}");
        shown
    }

    #[test]
    fn every_type_goes_to_wire_form_and_back() {
        for (rtype, text, shown) in [
            ("A", "10.0.0.1", "10.0.0.1"),
            ("aaaa", "2001:DB8::1", "2001:db8::1"),
            ("NS", "ns", "ns.lan.example."),
            ("CNAME", "@", "lan.example."),
            ("SOA", "ns host 1 1h 15m 1w 60", "ns.lan.example. host.lan.example. 1 3600 900 604800 60"),
            ("MX", "10 mail.", "10 mail."),
            ("TXT", r#""a b" c\"d "\001""#, r#""a b" "c\"d" "\001""#),
            ("SRV", "10 100 5060 pbx1", "10 100 5060 pbx1.lan.example."),
            ("NAPTR", r#"10 50 "s" "SIP+D2U" "" _sip._udp"#, r#"10 50 "s" "SIP+D2U" "" _sip._udp.lan.example."#),
            ("DNAME", "other.example.", "other.example."),
            ("CAA", r#"0 issue "ca.example""#, r#"0 "issue" "ca.example""#),
            ("SSHFP", "4 2 01 23 ab", "4 2 0123AB"),
            ("TLSA", "3 1 1 00ff", "3 1 1 00FF"),
            ("DS", "1 8 2 aabb", "1 8 2 AABB"),
            ("DNSKEY", "257 3 13 AAEC AwQF", "257 3 13 AAECAwQF"),
            ("HINFO", "PC Linux", r#""PC" "Linux""#),
            ("RP", "a.b. .", "a.b. ."),
            ("URI", r#"10 1 "http://x/""#, r#"10 1 "http://x/""#),
            ("DHCID", "AAEBOSD+", "AAEBOSD+"),
            ("TYPE65400", r"\# 3 01 02ff", r"\# 3 0102ff"),
            ("TYPE65400", r"\# 0", r"\# 0"),
            ("A", r"\# 4 0a000001", "10.0.0.1"),
        ] {
            assert_eq!(round(rtype, text), shown);
        }
    }

    #[test]
    fn wrong_data_names_the_word() {
        for (rtype, text, word) in [
            ("A", "10.0.0", 0),
            ("A", "10.0.0.1 x", 1),
            ("MX", "70000 mail", 0),
            ("MX", "10", 1),
            ("SRV", "1 2 x y", 2),
            ("TYPE700", "abc", 0),
            ("TYPE700", r"\# 2 00", 1),
            ("A", r"\# 3 000000", 2),
            ("TXT", "", 0),
            ("NS", "a..b", 0),
        ] {
            let got = parse(type_number(rtype).unwrap(), &words(text).unwrap(), &Name::root());
            assert_eq!(got.map_err(|e| e.word), Err(word), "{rtype} {text}");
        }
        assert_eq!(type_number("TYPE70000"), None);
        assert_eq!(type_number("NOSUCH"), None);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(ttl("1h30m"), Some(5_400));
        assert_eq!(ttl("2w"), Some(1_209_600));
        assert_eq!(ttl("2147483647"), Some(i32::MAX as u32));
        for bad in ["", "h", "2147483648", "1x", "-1", "99999999999999999999999w"] {
            assert_eq!(ttl(bad), None, "{bad}");
        }
    }
}

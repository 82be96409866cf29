//! Values as our configuration writes them. Every text is read back before it is used: what would not
//! become the same bytes is not written.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::super::model::{Definition, Family, Opt};
use crate::domain::dhcp::{options, value};
use crate::domain::hex;

/// A TOML string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A TOML list of strings.
pub fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// Seconds as a person would write them.
pub fn time(seconds: u32) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return quoted(&format!("{}{unit}", seconds / length));
        }
    }
    seconds.to_string()
}

/// The key of an option and its value; an error says why it cannot be written.
pub fn option(option: &Opt, definitions: &[Definition]) -> Result<(String, String), String> {
    if let Some(text) = option.text {
        return Ok((key(option, definitions), text.to_owned()));
    }
    let candidates = candidates(option);
    match candidates.into_iter().find(|text| reads_back(option, text)) {
        Some(text) => Ok((key(option, definitions), text)),
        None => Err(refusal(option)),
    }
}

fn refusal(option: &Opt) -> String {
    match option.family {
        Family::V4 => match u8::try_from(option.code)
            .map(|code| value::parse_value(code, &format!("0x{}", hex::write(&option.wire))))
        {
            Ok(Err(problem)) => problem.to_string(),
            _ => format!("option {} cannot have the value 0x{}", option.code, hex::write(&option.wire)),
        },
        Family::V6 => format!("option {} cannot have the value 0x{}", option.code, hex::write(&option.wire)),
    }
}

fn key(option: &Opt, definitions: &[Definition]) -> String {
    let own = definitions.iter().find(|d| d.family == option.family && d.code == option.code);
    let known = match option.family {
        Family::V4 => u8::try_from(option.code).ok().and_then(options::by_code).map(|entry| entry.name),
        Family::V6 => None,
    };
    let name = known.or(own.map(|d| d.name.as_str()).filter(|_| false));
    name.map_or_else(|| option.code.to_string(), str::to_owned)
}

fn reads_back(option: &Opt, text: &str) -> bool {
    match option.family {
        Family::V4 => u8::try_from(option.code)
            .is_ok_and(|code| value::parse_value(code, text).is_ok_and(|wire| wire == option.wire)),
        Family::V6 => true,
    }
}

/// Texts that may stand for the bytes, the nicest first.
fn candidates(option: &Opt) -> Vec<String> {
    let wire = &option.wire;
    let mut out = Vec::new();
    if option.family == Family::V4
        && let Ok(code) = u8::try_from(option.code)
    {
        out.push(value::show_value(code, wire).replace(", ", ","));
        out.push(value::show_value(code, wire));
        if !wire.is_empty() && wire.len() <= 8 {
            let number = wire.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
            out.push(number.to_string());
            out.push((number as i32).to_string());
        }
        for width in [1, 2, 4].into_iter().filter(|width| wire.len() > *width && wire.len().is_multiple_of(*width)) {
            let number = |part: &[u8]| part.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)).to_string();
            out.push(wire.chunks(width).map(number).collect::<Vec<_>>().join(","));
        }
        out.extend(routes(wire));
        out.extend(names(wire).map(|names| names.join(",")));
        if let [0, rest @ ..] = &wire[..] {
            out.extend(names(rest).map(|names| names.join(",")));
        }
        if let [1, rest @ ..] = &wire[..] {
            out.extend(addresses(rest));
        }
        out.push(value::escape(wire));
    }
    out.push(format!("0x{}", hex::write(wire)));
    out
}

fn addresses(wire: &[u8]) -> Option<String> {
    let quads = wire.chunks(4).map(|c| <[u8; 4]>::try_from(c).ok().map(|q| Ipv4Addr::from(q).to_string()));
    quads.collect::<Option<Vec<_>>>().filter(|q| !q.is_empty()).map(|q| q.join(","))
}

/// RFC 3442.
fn routes(mut wire: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    while let [width, rest @ ..] = wire {
        let octets = usize::from(*width).div_ceil(8);
        let (net, after) = (rest.get(..octets)?, rest.get(octets..octets + 4)?);
        let mut whole = [0; 4];
        whole.get_mut(..octets)?.copy_from_slice(net);
        let router = <[u8; 4]>::try_from(after).ok()?;
        out.push(format!("{}/{width} via {}", Ipv4Addr::from(whole), Ipv4Addr::from(router)));
        wire = rest.get(octets + 4..)?;
    }
    (!out.is_empty()).then(|| out.join(", "))
}

/// Names in wire form, compressed or not; pointers lead backwards within the value.
fn names(wire: &[u8]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < wire.len() {
        let (name, next) = one_name(wire, at)?;
        out.push(name);
        at = next;
    }
    (!out.is_empty()).then_some(out)
}

fn one_name(wire: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut next, mut labels) = (start, None, Vec::new());
    for _ in 0..128 {
        let length = usize::from(*wire.get(at)?);
        match length {
            0 => return Some((labels.join("."), next.unwrap_or(at + 1))),
            1..=63 => {
                labels.push(String::from_utf8(wire.get(at + 1..at + 1 + length)?.to_vec()).ok()?);
                at += 1 + length;
            }
            0xc0.. => {
                next = next.or(Some(at + 2));
                let to = (length & 0x3f) << 8 | usize::from(*wire.get(at + 1)?);
                if to >= at {
                    return None;
                }
                at = to;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::import::source::Place;

    fn told(code: u16, wire: &[u8]) -> Result<(String, String), String> {
        option(&Opt::new(Family::V4, code, wire.to_vec(), &Place::default()), &[])
    }

    #[test]
    fn values_are_written_as_people_write_them_and_read_back() {
        for (code, wire, key, text) in [
            (3, &[10, 0, 0, 1, 10, 0, 0, 2][..], "routers", "10.0.0.1,10.0.0.2"),
            (26, &[5, 220], "interface-mtu", "1500"),
            (2, &[0xff, 0xff, 0xf1, 0xf0], "time-offset", "-3600"),
            (66, b"http://x/\n", "tftp-server-name", "http://x/\\n"),
            (119, b"\x01a\x03lan\0", "domain-search", "a.lan"),
            (121, &[8, 10, 10, 0, 0, 1], "classless-static-routes", "10.0.0.0/8 via 10.0.0.1"),
            (120, &[1, 10, 0, 0, 5], "sip-servers", "10.0.0.5"),
            (43, &[1, 2, 255], "vendor-encapsulated-options", "0x0102ff"),
            (224, b"plain", "224", "plain"),
        ] {
            assert_eq!(told(code, wire), Ok((key.to_owned(), text.to_owned())), "option {code}");
        }
        assert!(told(3, &[10, 0, 0]).is_err() && told(51, &[0, 0, 0, 1]).is_err() && told(300, &[1]).is_err());
    }

    #[test]
    fn strings_of_toml_are_closed() {
        assert_eq!(quoted("a\"b\\c\u{1}"), "\"a\\\"b\\\\c\\u0001\"");
        assert_eq!([90, 3600, 43_200, 604_800].map(time), ["90", "\"1h\"", "\"12h\"", "\"7d\""]);
    }
}

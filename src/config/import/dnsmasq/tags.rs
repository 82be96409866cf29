//! Tags: what sets them becomes a class of the same name, what asks for them becomes a condition.

use super::super::expr::Expr;
use super::super::model::{Class, Family, Scope};
use super::super::registry::{self, Kind};
use super::super::source::Place;
use super::Dnsmasq;
use super::lines::Line;
use super::options;

/// Tags that a directive asks for: name, and whether it must be absent.
pub type Tags = Vec<(String, bool)>;

/// Takes `tag:x`, `tag:!x` (and `net:x`, `set:x`) off the front of the parts.
pub fn asked(parts: &mut Vec<String>) -> Tags {
    let mut out = Vec::new();
    while let Some(tag) = parts.first().and_then(|part| part.strip_prefix("tag:").or_else(|| part.strip_prefix("net:")))
    {
        out.push((tag.trim_start_matches('!').to_owned(), tag.starts_with('!')));
        parts.remove(0);
    }
    out
}

/// Takes the first `set:x` out of the parts, wherever it stands.
pub fn set(parts: &mut Vec<String>) -> Option<String> {
    let at = parts.iter().position(|part| part.starts_with("set:"))?;
    Some(parts.remove(at)[4..].to_owned())
}

/// A literal within a regular expression of ours.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | ' ' | ':' | '/' => out.push(c),
            '\'' | '"' | '\\' => out.push('.'),
            c => {
                out.push('[');
                out.push(c);
                out.push(']');
            }
        }
        out
    })
}

/// `11:22:33:*:*:*`: the octets that are given, as ranges of them.
pub fn mac_pattern(text: &str) -> Option<Expr> {
    let text = text.split_once('-').filter(|(kind, _)| kind.len() == 2).map_or(text, |(_, mac)| mac);
    let octets: Vec<&str> = text.split([':', '-']).collect();
    if octets.len() != 6 {
        return None;
    }
    let mut out = Expr::Always(true);
    let mut run: Vec<u8> = Vec::new();
    let flush = |run: &mut Vec<u8>, end: usize, out: Expr| {
        if run.is_empty() {
            return out;
        }
        let start = (end - run.len()) as i64;
        let bytes = std::mem::take(run);
        let part = if bytes.len() == 6 {
            Expr::Word("mac")
        } else {
            Expr::Word("mac").substring(start, Some(bytes.len() as i64))
        };
        out.and(part.equals(Expr::Text(bytes)))
    };
    for (n, octet) in octets.iter().enumerate() {
        if *octet == "*" {
            out = flush(&mut run, n, out);
        } else {
            run.push(u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() <= 2)?);
        }
    }
    Some(flush(&mut run, 6, out))
}

impl Dnsmasq<'_> {
    /// Directives that set a tag; true if this was one.
    pub fn tagging(&mut self, line: &Line) -> bool {
        let test = match line.key.as_str() {
            "dhcp-vendorclass" | "dhcp-userclass" | "dhcp-mac" | "dhcp-circuitid" | "dhcp-remoteid"
            | "dhcp-subscrid" | "dhcp-match" | "tag-if" | "dhcp-name-match" => self.test(line),
            _ => return false,
        };
        match test {
            Ok((tag, test)) => {
                self.report.imported(&line.place, line.shown());
                self.member_if(&tag, test, &line.place);
            }
            Err(why) => {
                let todo = "write the class anew, with the words of lanlord-dhcp(7)";
                self.report.refused(&line.place, line.shown(), why, todo);
            }
        }
        true
    }

    /// Clients that pass the test have the tag, besides those that have it already.
    pub fn member_if(&mut self, tag: &str, test: Expr, place: &Place) {
        match self.model.classes.iter_mut().find(|class| class.name == tag) {
            Some(class) => {
                let known = class.test.take().unwrap_or(Expr::Always(false));
                class.test = Some(known.or(test));
            }
            None => {
                let class =
                    Class { name: tag.to_owned(), test: Some(test), scope: Scope::default(), place: place.clone() };
                self.model.classes.push(class);
            }
        }
    }

    fn test(&self, line: &Line) -> Result<(String, Expr), String> {
        let mut parts = line.parts();
        let tag = set(&mut parts).or_else(|| {
            // the old form has the bare tag first
            (!parts.is_empty()).then(|| parts.remove(0).trim_start_matches("net:").to_owned())
        });
        let tag = tag.filter(|tag| !tag.is_empty()).ok_or("it names no tag")?;
        let found = |of: Expr, text: &str| Expr::Match(escaped(text), Box::new(of));
        let rest = parts.join(",");
        let test = match line.key.as_str() {
            "dhcp-vendorclass" if rest.starts_with("enterprise:") => {
                return Err("classes of enterprises are matched by `vendor-class[..]`".to_owned());
            }
            "dhcp-vendorclass" => found(Expr::Option(60), &rest),
            "dhcp-userclass" => found(Expr::Option(77), &rest),
            "dhcp-mac" => mac_pattern(&rest).ok_or_else(|| format!("`{rest}` is no pattern of a hardware address"))?,
            "dhcp-circuitid" => Expr::Sub(82, 1).equals(Expr::Text(identifier(&rest))),
            "dhcp-remoteid" => Expr::Sub(82, 2).equals(Expr::Text(identifier(&rest))),
            "dhcp-subscrid" => Expr::Sub(82, 6).equals(Expr::Text(rest.into_bytes())),
            "tag-if" => {
                let tags = asked(&mut parts);
                if tags.is_empty() || !parts.is_empty() {
                    return Err("it must read set:x,tag:y".to_owned());
                }
                self.condition(&tags).ok_or("it asks for the tag of a range or interface")?
            }
            "dhcp-name-match" => match rest.strip_suffix('*') {
                Some(start) => Expr::Word("hostname").substring(0, Some(start.len() as i64)).equals(Expr::text(start)),
                None => Expr::Word("hostname").equals(Expr::text(rest.as_str())),
            },
            _ => by_option(&parts)?,
        };
        Ok((tag, test))
    }

    /// Members of all these tags; `None` if one of them belongs to a range or an interface.
    pub fn condition(&self, tags: &Tags) -> Option<Expr> {
        let mut out = Expr::Always(true);
        for (tag, absent) in tags {
            if self.is_place(tag) {
                return None;
            }
            let name = if tag == "known" { "KNOWN" } else { tag.as_str() };
            let member = Expr::Member(name.to_owned());
            out = out.and(if *absent { member.negated() } else { member });
        }
        Some(out)
    }

    /// True for tags that tell where a client is, not what it is.
    pub fn is_place(&self, tag: &str) -> bool {
        self.places.iter().any(|(name, _)| name == tag) || self.model.interfaces.iter().any(|(name, ..)| name == tag)
    }

    /// True for what some directive sets as a tag.
    pub fn is_tag(&self, word: &str) -> bool {
        self.is_place(word) || self.model.classes.iter().any(|class| class.name == word)
    }

    /// The class of the members of all these tags, made if need be.
    pub fn class_of(&mut self, tags: &Tags, place: &Place) -> Option<String> {
        let test = self.condition(tags)?;
        if let ([(tag, false)], true) = (&tags[..], tags.len() == 1 && tags[0].0 != "known") {
            if !self.model.classes.iter().any(|class| class.name == *tag) {
                self.member_never(tag, place);
            }
            return Some(tag.clone());
        }
        let name: Vec<String> =
            tags.iter().map(|(tag, absent)| if *absent { format!("not-{tag}") } else { tag.clone() }).collect();
        let name = name.join("-and-");
        if !self.model.classes.iter().any(|class| class.name == name) {
            self.model.classes.push(Class {
                name: name.clone(),
                test: Some(test),
                scope: Scope::default(),
                place: place.clone(),
            });
        }
        Some(name)
    }

    /// A class whose members are made by reservations.
    pub fn member_never(&mut self, tag: &str, place: &Place) {
        let class = Class { name: tag.to_owned(), test: None, scope: Scope::default(), place: place.clone() };
        self.model.classes.push(class);
    }
}

/// Hexadecimal octets between colons, else text.
fn identifier(text: &str) -> Vec<u8> {
    let octets = text.contains(':').then(|| registry::bytes(text)).flatten();
    octets.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// `option:client-arch,7`, `60,PXEClient`, `option:user-class,iPXE`, `175`.
fn by_option(parts: &[String]) -> Result<Expr, String> {
    let name = parts.first().map(String::as_str).unwrap_or_default();
    if name.starts_with("vi-encap:") || name.starts_with("option6:") {
        return Err(format!("`{name}` is not matched here"));
    }
    let name = name.strip_prefix("option:").unwrap_or(name);
    let known = match name.parse::<u16>() {
        Ok(code) => registry::by_code(Family::V4, code),
        Err(_) => registry::by_name(Family::V4, name, |k| k.dnsmasq),
    };
    let code =
        known.map(|k| k.code).or_else(|| name.parse().ok()).ok_or_else(|| format!("there is no option `{name}`"))?;
    let value = parts[1..].join(",");
    if value.is_empty() {
        return Ok(Expr::Option(code).exists());
    }
    let kind = known.map_or(Kind::Special, |k| k.kind);
    let numeric = matches!(kind, Kind::U8 | Kind::U16 | Kind::U32 | Kind::Ip4);
    let bytes = match numeric {
        true => registry::one(kind, &value).ok_or_else(|| format!("`{value}` does not fit option {code}"))?,
        false => match options::guess(&parts[1..]) {
            options::Guess::Text(text) => return Ok(Expr::Match(escaped(&text), Box::new(Expr::Option(code)))),
            options::Guess::Bytes(bytes) => bytes,
        },
    };
    // a list of numbers matches if one of them does; two are asked for, as firmware sends
    let width = bytes.len() as i64;
    let at = |n: i64| Expr::Option(code).substring(n * width, Some(width)).equals(Expr::Text(bytes.clone()));
    Ok(at(0).or(at(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_addresses_are_runs_of_octets() {
        let told = |text: &str| mac_pattern(text).map(|e| e.spelled());
        assert_eq!(told("00:08:5d:*:*:*").as_deref(), Some("substring(mac, 0, 3) == 0x00085d"));
        assert_eq!(told("06-00:20:e0:3b:13:af").as_deref(), Some("mac == 0x0020e03b13af"));
        assert_eq!(
            told("*:*:*:01:*:02").as_deref(),
            Some("substring(mac, 3, 1) == 0x01 and substring(mac, 5, 1) == 0x02")
        );
        assert_eq!((told("1:2:3"), told("*:*:*:*:*:zz")), (None, None));
    }
}

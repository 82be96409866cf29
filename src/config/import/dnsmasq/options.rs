//! `dhcp-option`, `dhcp-boot`, `pxe-service`: values as dnsmasq guesses them, given to everybody, to a
//! place, or to the members of a class.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::expr::Expr;
use super::super::model::{Family, Opt, Scope};
use super::super::registry::{self, Kind};
use super::Dnsmasq;
use super::lines::Line;
use super::tags::{self, Tags};

/// What a value without a type is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guess {
    Text(String),
    Bytes(Vec<u8>),
}

/// Addresses, a number, octets between colons, else text; commas belong to the text.
pub fn guess(parts: &[String]) -> Guess {
    let addresses: Option<Vec<u8>> = parts
        .iter()
        .map(|p| p.parse::<Ipv4Addr>().ok().map(|ip| ip.octets().to_vec()))
        .collect::<Option<Vec<_>>>()
        .map(|o| o.concat());
    if let Some(octets) = addresses.filter(|octets| !octets.is_empty()) {
        return Guess::Bytes(octets);
    }
    if let [one] = parts {
        if let Some(bytes) = number(one) {
            return Guess::Bytes(bytes);
        }
        if one.contains(':')
            && one.split(':').all(|octet| (1..=2).contains(&octet.len()))
            && let Some(bytes) = registry::bytes(one)
        {
            return Guess::Bytes(bytes);
        }
    }
    Guess::Text(parts.join(","))
}

/// A decimal number in as few octets as hold it, or in as many as its letter says.
fn number(text: &str) -> Option<Vec<u8>> {
    let (digits, width) = match text.strip_suffix(['b', 's', 'i']) {
        Some(digits) => (digits, [1, 2, 4]["bsi".find(text.chars().last()?)?]),
        None => (text, 0),
    };
    let value = digits.parse::<i64>().ok().and_then(|n| u32::try_from(n & 0xffff_ffff).ok())?;
    let width = match width {
        0 if value & 0xffff_ff00 == 0 => 1,
        0 if value & 0xffff_0000 == 0 => 2,
        0 => 4,
        width => width,
    };
    Some(value.to_be_bytes()[4 - width..].to_vec())
}

/// What an option is: family, code, how its value is read.
struct Meaning {
    family: Family,
    code: u16,
    kind: Option<Kind>,
}

fn meaning(word: &str) -> Result<Meaning, String> {
    let (family, name) = match word.strip_prefix("option6:") {
        Some(name) => (Family::V6, name),
        None => (Family::V4, word.strip_prefix("option:").unwrap_or(word)),
    };
    let known = match name.parse::<u16>() {
        Ok(code) => registry::by_code(family, code),
        Err(_) => registry::by_name(family, name, |k| k.dnsmasq),
    };
    let code = known.map(|k| k.code).or_else(|| name.parse().ok());
    let code = code.ok_or_else(|| format!("there is no option `{name}`"))?;
    let kind = known.map(|k| k.kind).filter(|kind| !matches!(kind, Kind::Bytes | Kind::Special));
    Ok(Meaning { family, code, kind })
}

/// Bytes, or our own text where an address stands for this server.
fn value(meaning: &Meaning, parts: &[String]) -> Result<(Vec<u8>, Option<&'static str>), String> {
    let own = |part: &String| matches!(part.trim_matches(['[', ']']), "0.0.0.0" | "::");
    if parts.is_empty() || parts == [String::new()] {
        return Ok((Vec::new(), None));
    }
    if let [one] = parts
        && own(one)
    {
        return Ok((Vec::new(), Some("${server_ip}")));
    }
    if parts.iter().any(own) {
        return Err("its own address stands among others".to_owned());
    }
    let text = parts.join(",");
    let bytes = match meaning.kind {
        Some(Kind::Routes) => registry::wire(meaning.family, Kind::Routes, true, &text)?,
        Some(kind) => registry::wire(meaning.family, kind, true, &text)?,
        None if meaning.family == Family::V6 => {
            match parts.iter().map(|p| p.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok()).collect::<Option<Vec<_>>>()
            {
                Some(ips) => ips.iter().flat_map(|ip| ip.octets()).collect(),
                None => plain(parts),
            }
        }
        None => plain(parts),
    };
    Ok((bytes, None))
}

fn plain(parts: &[String]) -> Vec<u8> {
    match guess(parts) {
        Guess::Text(text) => text.into_bytes(),
        Guess::Bytes(bytes) => bytes,
    }
}

impl Dnsmasq<'_> {
    /// `dhcp-option` and its kin.
    pub fn option(&mut self, line: &Line) {
        let mut parts = line.parts();
        let asked = tags::asked(&mut parts);
        // the old form has the tags bare, in front
        let mut asked = asked;
        while let Some(tag) = parts.first().filter(|tag| meaning(tag).is_err() && self.is_tag(tag)).cloned() {
            asked.push((tag, false));
            parts.remove(0);
        }
        let refuse =
            |why: String, todo: &str, this: &mut Self| this.report.refused(&line.place, line.shown(), why, todo);
        let Some(word) = parts.first().cloned() else { return };
        if let Some(class) = word.strip_prefix("vendor:") {
            return self.vendor_option(line, asked, class.to_owned(), &parts[1..]);
        }
        if let Some(carrier) = word.strip_prefix("encap:") {
            return match carrier.trim().parse::<u16>() {
                Ok(code) => self.inner(line, &asked, code, &parts[1..]),
                Err(_) => refuse(format!("`{carrier}` is no option"), "correct it", self),
            };
        }
        if word.starts_with("vi-encap:") {
            let todo = "set option 125 with its value in hexadecimal after 0x";
            return refuse("options of enterprises are not put together".to_owned(), todo, self);
        }
        let meaning = match meaning(&word) {
            Ok(meaning) => meaning,
            Err(why) => return refuse(why, "set it by its number", self),
        };
        let quoted = super::lines::quoted(&line.value) && meaning.kind.is_none_or(|kind| kind == Kind::Text);
        let found = match quoted {
            true => Ok((parts[1..].join(",").into_bytes(), None)),
            false => value(&meaning, &parts[1..]),
        };
        match found {
            Ok((wire, text)) => {
                let force = line.key == "dhcp-option-force";
                let option = Opt { text, force, ..Opt::new(meaning.family, meaning.code, wire, &line.place) };
                if self.give(line, &asked, |scope| scope.set(option.clone())) {
                    self.report.imported(&line.place, line.shown());
                }
            }
            Err(why) => refuse(why, "set it by its number, with its value in hexadecimal after 0x", self),
        }
    }

    /// A sub-option of another option: joined to those of the same tags.
    fn inner(&mut self, line: &Line, asked: &Tags, code: u16, parts: &[String]) {
        let Some(sub) = parts.first().and_then(|part| part.parse::<u8>().ok()) else {
            return self.report.refused(&line.place, line.shown(), "it names no sub-option", "correct it");
        };
        let body = plain(&parts[1..]);
        let length = body.len().min(255);
        let tlv: Vec<u8> = [sub, length as u8].into_iter().chain(body[..length].iter().copied()).collect();
        let place = line.place.clone();
        let given = self.give(line, asked, |scope| {
            let before = scope.option(Family::V4, code).map(|o| o.wire.clone()).unwrap_or_default();
            scope.set(Opt::new(Family::V4, code, [before, tlv.clone()].concat(), &place));
        });
        if given {
            self.report.imported(&line.place, line.shown());
        }
    }

    /// `vendor:PXEClient,6,2b`: a sub-option of 43 for clients of that vendor class.
    fn vendor_option(&mut self, line: &Line, mut asked: Tags, class: String, parts: &[String]) {
        let Some(sub) = parts.first().and_then(|part| part.parse::<u8>().ok()) else {
            return self.report.refused(&line.place, line.shown(), "it names no sub-option", "correct it");
        };
        if !class.is_empty() {
            let tag = format!("vendor-{}", class.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            if !self.model.classes.iter().any(|known| known.name == tag) {
                self.member_if(&tag, Expr::Match(tags::escaped(&class), Box::new(Expr::Option(60))), &line.place);
            }
            asked.push((tag, false));
        }
        let own = parts.get(1).map(String::as_str) == Some("0.0.0.0");
        if own {
            let why = "a sub-option cannot hold the server's own address";
            return self.report.refused(&line.place, line.shown(), why, "write the address");
        }
        let mut inner = vec![sub.to_string()];
        inner.extend(parts[1..].iter().cloned());
        self.inner(line, &asked, 43, &inner);
    }

    /// Changes the scope that the tags mean; false (and reported) if there is none.
    pub fn give(&mut self, line: &Line, asked: &Tags, change: impl Fn(&mut Scope)) -> bool {
        let (places, others): (Tags, Tags) = asked.iter().cloned().partition(|(tag, _)| self.is_place(tag));
        let class = match others.is_empty() {
            true => None,
            false => self.class_of(&others, &line.place),
        };
        if places.is_empty() {
            match class {
                None => change(&mut self.model.global),
                Some(name) => {
                    self.model.classes.iter_mut().filter(|c| c.name == name).for_each(|c| change(&mut c.scope))
                }
            }
            return true;
        }
        let mut some = false;
        for (n, s) in self.where_all(&places) {
            some = true;
            let subnet = &mut self.model.networks[n].subnets[s];
            match &class {
                None => change(&mut subnet.scope),
                Some(name) => {
                    let mut scope = Scope::default();
                    if let Some(known) = subnet.for_class.iter_mut().find(|known| known.class == *name) {
                        change(&mut known.scope);
                    } else {
                        change(&mut scope);
                        subnet.for_class(name, &scope);
                    }
                }
            }
        }
        if !some {
            self.report.refused(&line.place, line.shown(), "no range has all of these tags", "correct the tags");
        }
        some
    }

    /// The subnets where a client has all of these tags.
    fn where_all(&self, places: &Tags) -> Vec<(usize, usize)> {
        let mut out = Vec::new();
        for (n, network) in self.model.networks.iter().enumerate() {
            for (s, subnet) in network.subnets.iter().enumerate() {
                let on = |tag: &str| {
                    let ranged = self.places.iter().any(|(name, prefix)| name == tag && *prefix == subnet.prefix);
                    let linked = self
                        .model
                        .addresses
                        .iter()
                        .any(|(name, net)| name == tag && subnet.prefix.contains(&net.addr()));
                    ranged || linked || network.interface.as_deref() == Some(tag)
                };
                if places.iter().all(|(tag, absent)| on(tag) != *absent) {
                    out.push((n, s));
                }
            }
        }
        out
    }

    /// `dhcp-boot=[tag:x,]FILE[,NAME[,ADDRESS]]`.
    pub fn boot(&mut self, line: &Line) {
        let mut parts = line.parts();
        let asked = tags::asked(&mut parts);
        let file = parts.first().filter(|part| !part.is_empty()).cloned();
        let name = parts.get(1).filter(|part| !part.is_empty()).cloned();
        let address = parts.get(2).filter(|part| !part.is_empty());
        let next = match address.map(|text| text.parse::<Ipv4Addr>()) {
            None => None,
            Some(Ok(ip)) => Some(ip),
            Some(Err(_)) => {
                return self.report.refused(
                    &line.place,
                    line.shown(),
                    "names are not looked up",
                    "write the address of the TFTP server",
                );
            }
        };
        let given = self.give(line, &asked, |scope| {
            scope.boot_file = file.clone();
            scope.server_name = name.clone();
            scope.next_server = next.filter(|ip| !ip.is_unspecified());
            scope.next_is_self = scope.next_server.is_none();
        });
        if given {
            self.report.imported(&line.place, line.shown());
        }
    }

    /// `pxe-service=[tag:x,]SYSTEM,TEXT,FILE[,ADDRESS]`: a boot file by architecture; menus are not shown.
    pub fn service(&mut self, line: &Line) {
        let mut parts = line.parts();
        let mut asked = tags::asked(&mut parts);
        let arches: &[u16] = match parts.first().map(String::as_str) {
            Some("x86PC" | "X86PC") => &[0],
            Some("PC98") => &[1],
            Some("IA64_EFI") => &[2],
            Some("Alpha") => &[3],
            Some("Arc_x86") => &[4],
            Some("Intel_Lean_Client") => &[5],
            Some("IA32_EFI") => &[6],
            Some("x86-64_EFI" | "X86-64_EFI") => &[7, 9],
            Some("Xscale_EFI") => &[8],
            Some("BC_EFI") => &[9],
            Some("ARM32_EFI") => &[10],
            Some("ARM64_EFI") => &[11],
            _ => {
                return self.report.refused(
                    &line.place,
                    line.shown(),
                    "its system is not known",
                    "write a class by option[93]",
                );
            }
        };
        let Some(base) = parts.get(2).filter(|base| !base.is_empty() && base.parse::<u16>().is_err()) else {
            let why = "boot servers that are found by their type are not known here";
            return self.report.refused(&line.place, line.shown(), why, "name the boot file");
        };
        let file = if base.contains('.') { base.clone() } else { format!("{base}.0") };
        let next = parts.get(3).and_then(|text| text.parse::<Ipv4Addr>().ok());
        let class = format!("pxe-{}", parts[0]);
        let one = |arch: &u16| Expr::Option(93).equals(Expr::Text(arch.to_be_bytes().to_vec()));
        let test = arches.iter().map(one).reduce(Expr::or).unwrap_or(Expr::Always(false));
        if self.model.classes.iter().any(|known| known.name == class) {
            let why = "menus are not shown: the first entry for a system is what it boots";
            return self.report.refused(&line.place, line.shown(), why, "use the menu of iPXE");
        }
        self.member_if(&class, Expr::Match("PXEClient".to_owned(), Box::new(Expr::Option(60))).and(test), &line.place);
        asked.push((class, false));
        let given = self.give(line, &asked, |scope| {
            scope.boot_file = Some(file.clone());
            scope.next_server = next;
            scope.next_is_self = next.is_none();
        });
        if given {
            let why = "its clients boot this file at once, without a menu";
            self.report.adapted(&line.place, line.shown(), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_guessed_as_dnsmasq_does() {
        let told = |text: &str| guess(&super::super::lines::split(text));
        assert_eq!(told("10.0.0.1, 10.0.0.2"), Guess::Bytes(vec![10, 0, 0, 1, 10, 0, 0, 2]));
        assert_eq!(told("7"), Guess::Bytes(vec![7]));
        assert_eq!(told("1500"), Guess::Bytes(vec![5, 220]));
        assert_eq!(told("1i"), Guess::Bytes(vec![0, 0, 0, 1]));
        assert_eq!(told("2b:0:ff"), Guess::Bytes(vec![0x2b, 0, 0xff]));
        assert_eq!(told("http://x/y,z"), Guess::Text("http://x/y,z".to_owned()));
    }
}

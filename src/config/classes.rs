//! `[[class]]`, `[[boot]]` and `[[option]]`: which clients are meant, what they get, and options that the
//! registry does not know. Owns the complaints about names of classes, cycles and patterns, at their place.

use std::collections::HashSet;
use std::sync::Arc;

use super::networks::{Effects, effects};
use super::policy::{Reader, seconds};
use super::raw::{At, Document, Section};
use super::services::menu_text;
use crate::domain::dhcp::classes::{self, Class, Classes, Expression, Field, MAX_CLASSES, Matcher, Pattern};
use crate::domain::dhcp::definitions::{Definition, Definitions};
use crate::domain::dhcp::options::{self, Form, Type};
use crate::domain::dhcp::policy::{Boot, BootRule, Server};
use crate::domain::net::Mac;

/// Keys of the shorthand and what they look at.
const SHORTHAND: [(&str, Field); 8] = [
    ("vendor_class", Field::VendorClass),
    ("user_class", Field::UserClass),
    ("arch", Field::Arch),
    ("mac", Field::Mac),
    ("circuit_id", Field::CircuitId),
    ("remote_id", Field::RemoteId),
    ("relay", Field::Giaddr),
    ("interface", Field::Interface),
];

/// `[[class]]`.
pub(super) fn classes(top: &Section<'_>, reader: &Reader<'_, '_>) -> Classes {
    let sections = top.tables("class", "class");
    if sections.len() > MAX_CLASSES {
        let span = &sections[MAX_CLASSES].span;
        top.doc.complain(span, format!("{} classes; {MAX_CLASSES} are possible", sections.len()), None);
    }
    let mut tests = Vec::new();
    let mut list: Vec<Class> = Vec::new();
    for section in &sections {
        let test = section.text("test");
        if let Some(class) = class(section, test.as_ref(), reader, &list) {
            list.push(class);
            tests.push(test);
        }
    }
    let set = Classes::new(list);
    for (class, test) in set.list().iter().zip(&tests) {
        let Some((compiled, text)) = class.test.as_ref().zip(test.as_ref()) else { continue };
        for (name, at) in compiled.members().into_iter().filter(|(name, _)| !set.knows(name)) {
            top.doc.complain_within(text, at, format!("there is no class `{name}`"));
        }
    }
    if let Some((guilty, at)) = set.cycle()
        && let Some((_, Some(text))) = set.list().iter().zip(&tests).find(|(class, _)| class.name == guilty.name)
    {
        let message = format!("the class `{}` asks for itself, through the class that is named here", guilty.name);
        top.doc.complain_within(text, at, message);
    }
    set
}

fn class(section: &Section<'_>, test: Option<&At<String>>, reader: &Reader<'_, '_>, others: &[Class]) -> Option<Class> {
    let (matchers, given) = (matchers(section), reader.effects(&effects(section)));
    let compiled = test.and_then(|text| expression(section.doc, text, reader));
    let Some(name) = section.text("name") else {
        if !section.has("name") {
            section.doc.complain(&section.span, "`name` is missing", None);
        }
        return None;
    };
    let built_in = [classes::ALL, classes::KNOWN, classes::UNKNOWN];
    if built_in.contains(&name.value.as_str()) || name.value.is_empty() {
        section.doc.complain(&name.span, format!("the class `{}` is built in", name.value), None);
    }
    if let Some(other) = others.iter().find(|other| other.name == name.value) {
        let place = other.place.as_deref().unwrap_or_default();
        section.doc.complain(&name.span, format!("`name` is `{}` as in {place}", name.value), None);
    }
    Some(Class {
        name: name.value,
        matchers,
        definition: definition(section, test),
        test: compiled,
        effects: given,
        place: Some(section.doc.place(&section.span).into()),
    })
}

/// The keys that make a client a member, in words.
fn definition(section: &Section<'_>, test: Option<&At<String>>) -> String {
    let keys = SHORTHAND.iter().map(|(key, _)| *key).chain(["oui"]).filter(|key| section.has(key));
    let list = |key| section.texts(key).unwrap_or_default().into_iter().map(|at| at.value).collect::<Vec<_>>();
    let mut out: Vec<String> = keys.map(|key| format!("{key} = {}", list(key).join(", "))).collect();
    out.extend(test.map(|at| at.value.clone()));
    if out.is_empty() { "those whose reservation says so".to_owned() } else { out.join("; ") }
}

fn expression(doc: &Document<'_>, text: &At<String>, reader: &Reader<'_, '_>) -> Option<Expression> {
    let code = |name: &str| reader.definitions.code_of(name).map(u16::from);
    match Expression::parse(&text.value, &code) {
        Ok(test) => Some(test),
        Err(error) => {
            doc.complain_within(text, error.at, format!("`test`: {error}"));
            None
        }
    }
}

/// The shorthand keys of a table, as far as the registry has them there.
fn matchers(section: &Section<'_>) -> Vec<Matcher> {
    let mut out = Vec::new();
    for (key, field) in SHORTHAND.into_iter().filter(|(key, _)| section.known(key)) {
        let texts = section.texts(key).unwrap_or_default();
        let any: Vec<Pattern> = texts.iter().filter_map(|text| pattern(section, key, field, text)).collect();
        if !texts.is_empty() {
            out.push(Matcher { field, any });
        }
    }
    if section.known("oui") {
        let texts = section.texts("oui").unwrap_or_default();
        let any: Vec<Pattern> = texts.iter().filter_map(|text| block(section, text)).collect();
        if !texts.is_empty() {
            out.push(Matcher { field: Field::Mac, any });
        }
    }
    out
}

fn pattern(section: &Section<'_>, key: &str, field: Field, text: &At<String>) -> Option<Pattern> {
    let octets = |octets: &[u8]| Some(Pattern::Exact(octets.to_vec()));
    let number = || match text.value.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.value.parse::<u16>().ok(),
    };
    let found = match field {
        Field::Arch => number().and_then(|number| octets(&number.to_be_bytes())),
        Field::Giaddr => text.value.parse::<std::net::Ipv4Addr>().ok().and_then(|ip| octets(&ip.octets())),
        Field::Mac => match text.value.parse::<Mac>() {
            Ok(mac) => octets(&mac.0),
            // the beginning of one, with or without colons
            Err(_) => text.value.strip_suffix('*').and_then(|start| {
                let plain = start.strip_prefix("0x").unwrap_or(start).replace([':', '-'], "");
                Pattern::parse(&format!("0x{plain}*"))
            }),
        },
        _ => Pattern::parse(&text.value),
    };
    if found.is_none() {
        let expected = match field {
            Field::Arch => "a number of option 93 such as 7",
            Field::Giaddr => "an IPv4 address",
            Field::Mac => "a MAC address, or the beginning of one such as 80:5e:c0*",
            _ => "text, \"text*\", \"*text\", or hexadecimal after 0x",
        };
        section.doc.complain(&text.span, format!("`{key}` must be {expected}, not `{}`", text.value), None);
    }
    found
}

fn block(section: &Section<'_>, text: &At<String>) -> Option<Pattern> {
    let whole = format!("{}:00:00:00", text.value).parse::<Mac>().ok();
    if whole.is_none() {
        section.doc.complain(
            &text.span,
            format!("`oui` must be three octets such as 80:5e:c0, not `{}`", text.value),
            None,
        );
    }
    whole.map(|mac| Pattern::Begins(mac.oui().to_vec()))
}

/// `[[boot]]`.
pub(super) fn boot(top: &Section<'_>, reader: &Reader<'_, '_>) -> Vec<BootRule> {
    let sections = top.tables("boot", "boot");
    sections
        .iter()
        .map(|section| {
            let given = reader.effects(&effects(section));
            let mut boot = given.boot;
            // a file without a server is ours
            if boot.file.is_some() && boot.next_server.is_none() {
                boot.next_server = Server::parse("${server_ip}");
            }
            BootRule {
                matchers: matchers(section),
                classes: reader.guard(&section.texts("class").unwrap_or_default()),
                boot,
                settings: given.settings,
                menu: menu_text(section, "menu", "1 to 60"),
                place: Some(Arc::from(section.doc.place(&section.span))),
            }
        })
        .collect()
}

/// `[[option]]`.
pub(super) fn definitions(top: &Section<'_>) -> Definitions {
    let mut list: Vec<Definition> = Vec::new();
    let mut forced = HashSet::new();
    for section in top.tables("option", "option") {
        if let Some(code) = known_and_forced(&section) {
            forced.insert(code);
            continue;
        }
        let space = section.number("enterprise", 1..=u64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok());
        let within = section.number("within", 1..=254).and_then(|n| u8::try_from(n).ok());
        let code = section.number("code", 1..=254).and_then(|n| u8::try_from(n).ok());
        let name = section.text("name");
        for (key, missing) in [("code", code.is_none()), ("name", name.is_none())] {
            if missing && !section.has(key) {
                section.doc.complain(&section.span, format!("`{key}` is missing"), None);
            }
        }
        let words: Vec<(&str, Type)> = options::TYPES.iter().map(|(word, kind, _)| (*word, *kind)).collect();
        let kind = section.choice("type", &words).unwrap_or(Type::Bytes);
        let list_of = section.flag("list").unwrap_or(false);
        let always = section.flag("always_send").unwrap_or(false);
        let (Some(code), Some(name)) = (code, name) else { continue };
        // options of enterprises are within 125 and nowhere else
        let within = within.filter(|host| space.is_none() || *host != 125);
        if space.is_some() && within.is_some() {
            section.doc.complain(&section.span, "options of an enterprise are within 125", None);
        }
        let definition = Definition {
            code,
            name: name.value.replace('_', "-"),
            form: Form { kind, list: list_of },
            always,
            enterprise: space,
            within,
        };
        if let Some(problem) = definition.problem(&list) {
            section.doc.complain(&name.span, problem, None);
            continue;
        }
        list.push(definition);
    }
    Definitions::new(list).forcing(forced)
}

/// An option of the registry that nothing is said of but that it is always sent.
fn known_and_forced(section: &Section<'_>) -> Option<u8> {
    let plain = ["name", "type", "list", "enterprise", "within"].into_iter().all(|key| !section.has(key));
    if !plain || !section.has("always_send") {
        return None;
    }
    let code = section.number("code", 1..=254).and_then(|n| u8::try_from(n).ok())?;
    let entry = options::by_code(code)?;
    if entry.owned {
        section.doc.complain(&section.span, format!("option {code} is written by the server itself"), None);
    }
    section.flag("always_send").unwrap_or(false).then_some(code)
}

impl Reader<'_, '_> {
    /// Options and boot fields of a class or rule.
    pub(super) fn effects(&self, given: &Effects) -> classes::Effects {
        let next_server = given.next_server.as_ref().and_then(|text| {
            let server = Server::parse(&text.value);
            if server.is_none() {
                let message = format!("`next_server` must be an IPv4 address or ${{server_ip}}, not `{}`", text.value);
                self.doc.complain(&text.span, message, None);
            }
            server
        });
        let bounded = |text: &Option<At<String>>, key: &str, most: usize| {
            let text = text.as_ref()?;
            if text.value.len() > most {
                self.doc.complain(&text.span, format!("`{key}` has more than {most} octets"), None);
            }
            Some(text.value.clone())
        };
        classes::Effects {
            settings: self.settings(&given.options),
            boot: Boot {
                next_server,
                server_name: bounded(&given.server_name, "server_name", 64),
                file: bounded(&given.boot_file, "boot_file", 255),
            },
            lease_time: given.lease_time.map(seconds),
        }
    }

    /// Names of classes, each of them known.
    pub(super) fn guard(&self, names: &[At<String>]) -> Vec<String> {
        for name in names.iter().filter(|name| !self.classes.knows(&name.value)) {
            let known = self.classes.list().iter().map(|class| class.name.as_str());
            let near = super::problem::nearest(&name.value, known);
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            self.doc.complain(&name.span, format!("there is no class `{}`", name.value), hint);
        }
        names.iter().map(|name| name.value.clone()).collect()
    }
}

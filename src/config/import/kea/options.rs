//! `option-def` and `option-data`: definitions of sites, values with their encapsulated spaces, as bytes
//! on the wire.

use std::collections::BTreeMap;

use super::super::model::{Definition, Family, Opt, Scope};
use super::super::registry::{self, Kind, Known};
use super::super::source::Place;
use super::Kea;
use super::json::Node;
use super::walk::Table;

/// An option that the site defined.
#[derive(Debug, Clone)]
pub struct Own {
    pub family: Family,
    pub space: String,
    pub code: u16,
    pub name: String,
    /// More than one for a record.
    pub kinds: Vec<Kind>,
    pub array: bool,
    pub encapsulates: Option<String>,
}

/// The spaces that every family has.
fn top(family: Family) -> &'static str {
    match family {
        Family::V4 => "dhcp4",
        Family::V6 => "dhcp6",
    }
}

fn kind(text: &str) -> Option<Kind> {
    Some(match text {
        "ipv4-address" => Kind::Ip4,
        "ipv6-address" => Kind::Ip6,
        "uint8" => Kind::U8,
        "uint16" => Kind::U16,
        "uint32" => Kind::U32,
        "int8" => Kind::I8,
        "int16" => Kind::I16,
        "int32" => Kind::I32,
        "boolean" => Kind::Bool,
        "string" => Kind::Text,
        "fqdn" => Kind::Fqdn,
        "binary" => Kind::Bytes,
        "empty" => Kind::Empty,
        _ => return None,
    })
}

/// The name that our configuration has for a type; `None` if there is none.
fn our_type(kinds: &[Kind]) -> Option<&'static str> {
    Some(match kinds {
        [Kind::Ip4] => "ip4",
        [Kind::Ip6] => "ip6",
        [Kind::U8] => "u8",
        [Kind::U16] => "u16",
        [Kind::U32] => "u32",
        [Kind::I32] => "i32",
        [Kind::Bool] => "bool",
        [Kind::Text] => "text",
        [Kind::Fqdn] => "fqdn",
        [Kind::Bytes] => "bytes",
        _ => return None,
    })
}

impl Kea<'_> {
    /// `option-def`.
    pub fn definitions(&mut self, family: Family, nodes: &[Node]) {
        for node in nodes {
            let table = Table::new(node);
            let name = table.filled("name").unwrap_or_default().to_owned();
            let what = format!("option-def {name}");
            let space = table.filled("space").unwrap_or(top(family)).to_owned();
            let code = table.number("code").and_then(|code| u16::try_from(code).ok());
            let array = table.flag("array").unwrap_or(false);
            let encapsulates = table.filled("encapsulate").map(str::to_owned);
            let records = table.filled("record-types").unwrap_or_default();
            let kinds: Option<Vec<Kind>> = match table.filled("type") {
                Some("record") => records.split(',').map(|word| kind(word.trim())).collect(),
                Some(word) => kind(word).map(|kind| vec![kind]),
                None => None,
            };
            table.finish(self.report);
            let (Some(code), Some(kinds)) = (code, kinds) else {
                let why = "its code or its type cannot be understood";
                self.report.refused(
                    &node.place,
                    what,
                    why,
                    "set the option by its number, with its value in hexadecimal after 0x",
                );
                continue;
            };
            if space == top(family) && encapsulates.is_none() && registry::by_code(family, code).is_none() {
                if let Some(kind) = our_type(&kinds) {
                    let place = node.place.clone();
                    self.model.definitions.push(Definition {
                        family,
                        code,
                        name: name.clone(),
                        kind,
                        list: array,
                        place,
                    });
                    self.report.imported(&node.place, what);
                } else {
                    self.report.adapted(&node.place, what, "its values are written as bytes");
                }
            } else if space == top(family) && encapsulates.is_none() {
                self.report.imported(&node.place, what);
            } else {
                self.report.adapted(&node.place, what, "its values become part of the option that carries them");
            }
            self.own.push(Own { family, space, code, name, kinds, array, encapsulates });
        }
    }

    /// The code of an option of that name, for conditions.
    pub fn code_of(&self, family: Family, name: &str) -> Option<u16> {
        let own =
            self.own.iter().rev().find(|own| own.family == family && own.space == top(family) && own.name == name);
        own.map(|own| own.code)
    }

    /// `option-data` into a scope.
    pub fn options(&mut self, family: Family, nodes: &[Node], scope: &mut Scope) {
        let mut spaces: BTreeMap<String, Vec<(u16, Vec<u8>, Place)>> = BTreeMap::new();
        let mut carriers = Vec::new();
        for node in nodes {
            let Some(data) = self.datum(family, node) else { continue };
            if data.space != top(family) {
                spaces.entry(data.space).or_default().push((data.code, data.wire, node.place.clone()));
            } else if let Some(space) = data.carries {
                carriers
                    .push((space, Opt { force: data.force, ..Opt::new(family, data.code, data.wire, &node.place) }));
            } else {
                scope.set(Opt { force: data.force, ..Opt::new(family, data.code, data.wire, &node.place) });
            }
        }
        for (space, mut option) in carriers {
            let inner = spaces.remove(&space).unwrap_or_default();
            inner.iter().for_each(|(code, wire, _)| encapsulate(family, *code, wire, &mut option.wire));
            if !option.wire.is_empty() {
                scope.set(option);
            }
        }
        for (space, inner) in spaces {
            self.left_over(family, &space, inner, scope);
        }
    }

    /// Sub-options whose carrier is not set: `vendor-N` needs none, others are not sent by Kea either.
    fn left_over(&mut self, family: Family, space: &str, inner: Vec<(u16, Vec<u8>, Place)>, scope: &mut Scope) {
        let Some((_, _, place)) = inner.first().cloned() else { return };
        let Some(enterprise) = space.strip_prefix("vendor-").and_then(|n| n.parse::<u32>().ok()) else {
            let why = "no option of this level carries its space, so Kea does not send it";
            self.report.adapted(&place, format!("options of the space {space}"), why);
            return;
        };
        let mut body = Vec::new();
        inner.iter().for_each(|(code, wire, _)| encapsulate(family, *code, wire, &mut body));
        let mut wire = enterprise.to_be_bytes().to_vec();
        let code = match family {
            Family::V4 => {
                wire.push(u8::try_from(body.len()).unwrap_or(u8::MAX));
                125
            }
            Family::V6 => 17,
        };
        wire.extend(body.iter().take(if family == Family::V4 { 255 } else { body.len() }));
        let why =
            format!("option {code} is sent to whoever asks for it, not only to clients of enterprise {enterprise}");
        self.report.adapted(&place, format!("options of the space {space}"), why);
        scope.set(Opt::new(family, code, wire, &place));
    }

    /// One element of `option-data`.
    fn datum(&mut self, family: Family, node: &Node) -> Option<Datum> {
        let table = Table::new(node);
        let name = table.filled("name");
        let number = table.number("code").and_then(|code| u16::try_from(code).ok());
        let space = table.filled("space").unwrap_or(top(family)).to_owned();
        let text = table.text("data").unwrap_or_default();
        let csv = table.flag("csv-format");
        let force = table.flag("always-send").unwrap_or(false);
        let never = table.flag("never-send").unwrap_or(false);
        table.finish(self.report);
        let what = format!("option {}", name.map_or_else(|| number.unwrap_or(0).to_string(), str::to_owned));
        let meaning = self.meaning(family, &space, name, number);
        let Some(meaning) = meaning else {
            let why = format!("there is no option of that name in the space {space}");
            self.report.refused(&node.place, what, why, "set it by its number, with its value in hexadecimal after 0x");
            return None;
        };
        if never {
            self.report.refused(
                &node.place,
                what,
                "never-send cannot be said here",
                "leave the option out where it is set",
            );
            return None;
        }
        match meaning.wire(family, text, csv) {
            Ok(wire) => {
                self.report.imported(&node.place, format!("{what} {text}").trim_end().to_owned());
                Some(Datum { space, code: meaning.code, wire, force, carries: meaning.carries })
            }
            Err(why) => {
                self.report.refused(
                    &node.place,
                    what,
                    why,
                    "set it by its number, with its value in hexadecimal after 0x",
                );
                None
            }
        }
    }

    fn meaning(&self, family: Family, space: &str, name: Option<&str>, code: Option<u16>) -> Option<Meaning> {
        let fits = |own: &&Own| {
            own.family == family
                && own.space == space
                && name.is_none_or(|name| own.name == name)
                && code.is_none_or(|code| own.code == code)
        };
        if let Some(own) = self.own.iter().rev().find(fits) {
            return Some(Meaning {
                code: own.code,
                kinds: own.kinds.clone(),
                list: own.array,
                carries: own.encapsulates.clone(),
            });
        }
        let known: Option<&Known> = if space == top(family) {
            name.and_then(|name| registry::by_name(family, name, |k| k.kea))
                .or_else(|| code.and_then(|code| registry::by_code(family, code)))
        } else {
            None
        };
        if let Some(known) = known {
            let carries =
                (family == Family::V4 && known.code == 43).then(|| "vendor-encapsulated-options-space".to_owned());
            return Some(Meaning { code: known.code, kinds: vec![known.kind], list: known.list, carries });
        }
        Some(Meaning { code: code?, kinds: vec![Kind::Bytes], list: false, carries: None })
    }
}

/// A value that was understood.
struct Datum {
    space: String,
    code: u16,
    wire: Vec<u8>,
    force: bool,
    carries: Option<String>,
}

/// What a value of some option looks like.
struct Meaning {
    code: u16,
    kinds: Vec<Kind>,
    list: bool,
    carries: Option<String>,
}

impl Meaning {
    fn wire(&self, family: Family, text: &str, csv: Option<bool>) -> Result<Vec<u8>, String> {
        if text.trim().is_empty() && self.carries.is_some() {
            return Ok(Vec::new());
        }
        let special = self.kinds == [Kind::Special] || self.kinds == [Kind::Bytes];
        if !csv.unwrap_or(!special) || special && csv != Some(true) {
            let quoted = text.trim().strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
            return match quoted {
                Some(text) => Ok(text.as_bytes().to_vec()),
                None => registry::bytes(text.trim()).ok_or_else(|| format!("`{text}` is not hexadecimal")),
            };
        }
        match &self.kinds[..] {
            [Kind::Text] => registry::wire(family, Kind::Text, false, &text.replace("\\,", ",")),
            [kind] => registry::wire(family, *kind, self.list, text),
            kinds => record(kinds, self.list, text),
        }
    }
}

/// Fields between commas; the last kind repeats in an array.
fn record(kinds: &[Kind], array: bool, text: &str) -> Result<Vec<u8>, String> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    if fields.len() < kinds.len() || (fields.len() > kinds.len() && !array) {
        return Err(format!("{} fields are needed, not {}", kinds.len(), fields.len()));
    }
    let mut out = Vec::new();
    for (n, field) in fields.iter().enumerate() {
        let kind = kinds.get(n).or(kinds.last()).copied().unwrap_or(Kind::Bytes);
        out.extend(registry::one(kind, field).ok_or_else(|| format!("`{field}` does not fit its field"))?);
    }
    Ok(out)
}

/// One sub-option: code and length of one octet each in DHCPv4, of two in DHCPv6.
pub fn encapsulate(family: Family, code: u16, wire: &[u8], out: &mut Vec<u8>) {
    match family {
        Family::V4 => {
            let wire = &wire[..wire.len().min(255)];
            out.push(code as u8);
            out.push(wire.len() as u8);
            out.extend(wire);
        }
        Family::V6 => {
            out.extend(code.to_be_bytes());
            out.extend((wire.len() as u16).to_be_bytes());
            out.extend(wire);
        }
    }
}

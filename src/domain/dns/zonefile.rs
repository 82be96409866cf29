//! Zone files (RFC 1035 §5, with `$TTL` of RFC 2308, `$GENERATE`, and the generic records of RFC 3597).
//! Owns their reading and the rules that a zone must keep; reports all problems at once, with place and
//! hint (DN-205). Never opens a file: included ones come from a function.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::name::Name;
use super::rdata::{self, Word};
use super::rrset::{MAX_SET, RrSet, rtype};
use super::zone::{Kind, Layer, Soa, Zone};

mod check;
mod generate;
mod lexer;

pub use lexer::words;

/// How deep `$INCLUDE` may nest (DN-209).
const MAX_DEPTH: usize = 8;
/// Problems after which reading stops.
const MAX_PROBLEMS: usize = 100;
/// Records in one zone.
const MAX_RECORDS: usize = 5_000_000;

/// Whether a problem forbids serving the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// Something wrong in a zone file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub file: String,
    /// From 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// From 1.
    pub column: usize,
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{}:{}: {kind}{}", self.file, self.line, self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

/// A zone as its file tells it.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub apex: Name,
    pub soa: Soa,
    /// All sets but the SOA, by owner.
    pub nodes: Vec<(Name, Vec<RrSet>)>,
    pub warnings: Vec<Problem>,
}

impl Parsed {
    /// The zone to be served. Takes time in proportion to its size.
    pub fn into_zone(self, seed: u64) -> Zone {
        let apex = Arc::new(self.apex);
        let mut layer = Layer::new(seed, apex.clone());
        self.nodes.into_iter().for_each(|(owner, sets)| layer.put(&owner, &sets));
        Zone::new(seed, apex, Kind::Data, self.soa, Some(Arc::new(layer)))
    }
}

/// Where a set was first mentioned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    file: usize,
    line: usize,
    column: usize,
}

type Sets = BTreeMap<u16, (RrSet, Place)>;

/// Gives the text of an included file, by the name that stands in `$INCLUDE`. Must refuse what is outside
/// of the zone directory.
pub type Load<'l> = &'l dyn Fn(&str) -> Result<String, String>;

/// Reads the zone `origin` from `text`; `file` is what problems are reported against.
pub fn parse(origin: &Name, file: &str, text: &str, load: Load<'_>) -> Result<Parsed, Vec<Problem>> {
    let mut reader = Reader {
        apex: origin.clone(),
        origin: origin.clone(),
        owner: None,
        default_ttl: None,
        last_ttl: None,
        without_ttl: Vec::new(),
        files: vec![file.to_owned()],
        nodes: BTreeMap::new(),
        records: 0,
        problems: Vec::new(),
        load,
    };
    reader.read(0, text, 0);
    reader.finish()
}

struct Reader<'l> {
    apex: Name,
    origin: Name,
    owner: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    /// Sets that had no TTL at all and get the SOA's MINIMUM.
    without_ttl: Vec<(Name, u16)>,
    files: Vec<String>,
    nodes: BTreeMap<Name, Sets>,
    records: usize,
    problems: Vec<Problem>,
    load: Load<'l>,
}

impl Reader<'_> {
    fn read(&mut self, file: usize, text: &str, depth: usize) {
        for line in lexer::lines(text) {
            if self.problems.len() >= MAX_PROBLEMS || self.records > MAX_RECORDS {
                return;
            }
            match line {
                Err(e) => self.error(Place { file, line: e.line, column: e.column }, e.message, ""),
                Ok(line) => self.line(file, &line, depth),
            }
        }
    }

    fn line(&mut self, file: usize, line: &lexer::Line, depth: usize) {
        let Some(first) = line.words.first() else { return };
        let place = place(file, first);
        let directive = first.text.to_ascii_uppercase();
        let result = match directive.as_str() {
            "$ORIGIN" => self.set_origin(line),
            "$TTL" => self.set_ttl(line),
            "$INCLUDE" => return self.include(file, line, depth),
            "$GENERATE" => return self.generate(file, line),
            _ if directive.starts_with('$') && !line.blank => {
                Err((0, format!("unknown directive {directive}"), "known are $ORIGIN, $TTL, $INCLUDE, $GENERATE"))
            }
            _ => return self.record(file, line.blank, &line.words),
        };
        if let Err((word, message, hint)) = result {
            let at = line.words.get(word).map_or(place, |w| crate::domain::dns::zonefile::place(file, w));
            self.error(at, message, hint);
        }
    }

    fn set_origin(&mut self, line: &lexer::Line) -> Result<(), (usize, String, &'static str)> {
        let text = argument(line)?;
        self.origin = Name::parse_in(text, &self.origin).map_err(|e| (1, format!("`{text}`: {e}"), ""))?;
        Ok(())
    }

    fn set_ttl(&mut self, line: &lexer::Line) -> Result<(), (usize, String, &'static str)> {
        let text = argument(line)?;
        let ttl = rdata::ttl(text).ok_or_else(|| (1, format!("`{text}` is no TTL"), TTL_HINT))?;
        self.default_ttl = Some(ttl);
        Ok(())
    }

    /// RFC 1035 §5.1: origin and owner are as they were after the included file.
    fn include(&mut self, file: usize, line: &lexer::Line, depth: usize) {
        let at = place(file, &line.words[0]);
        let Some(name) = line.words.get(1) else {
            return self.error(at, "$INCLUDE without a file name".to_owned(), "");
        };
        let at = place(file, name);
        if depth >= MAX_DEPTH {
            return self.error(
                at,
                format!("$INCLUDE nested more than {MAX_DEPTH} deep"),
                "does a file include itself?",
            );
        }
        let inner = match line.words.get(2) {
            None => self.origin.clone(),
            Some(word) => match Name::parse_in(&word.text, &self.origin) {
                Ok(origin) => origin,
                Err(e) => return self.error(place(file, word), format!("`{}`: {e}", word.text), ""),
            },
        };
        match (self.load)(&name.text) {
            Err(why) => self.error(at, why, "included files are looked for in the zone directory"),
            Ok(text) => {
                self.files.push(name.text.clone());
                let outer = std::mem::replace(&mut self.origin, inner);
                let owner = self.owner.take();
                self.read(self.files.len() - 1, &text, depth + 1);
                self.origin = outer;
                self.owner = owner;
            }
        }
    }

    fn generate(&mut self, file: usize, line: &lexer::Line) {
        match generate::Range::parse(&line.words) {
            Err((word, message)) => {
                let at = line.words.get(word).unwrap_or(&line.words[0]);
                self.error(place(file, at), message, "$GENERATE start-stop[/step] lhs [ttl] [class] type rhs");
            }
            Ok(range) => {
                for value in range.values() {
                    if self.problems.len() >= MAX_PROBLEMS || self.records > MAX_RECORDS {
                        return;
                    }
                    match generate::substitute(&line.words[2..], value) {
                        Ok(words) => self.record(file, false, &words),
                        Err(message) => return self.error(place(file, &line.words[2]), message, ""),
                    }
                }
            }
        }
    }

    /// `[owner] [ttl] [class] type data`, TTL and class in either order.
    fn record(&mut self, file: usize, blank: bool, words: &[Word]) {
        let mut rest = words;
        if !blank {
            let Some((word, tail)) = rest.split_first() else { return };
            match Name::parse_in(&word.text, &self.origin) {
                Ok(owner) => self.owner = Some(owner),
                Err(e) => {
                    self.owner = None;
                    return self.error(place(file, word), format!("owner `{}`: {e}", word.text), "");
                }
            }
            rest = tail;
        }
        let start = place(file, &words[0]);
        let Some(owner) = self.owner.clone() else {
            return self.error(start, "a record without an owner".to_owned(), "begin the line with a name");
        };
        let (mut ttl, mut class) = (None, false);
        let rtype = loop {
            let Some((word, tail)) = rest.split_first() else {
                return self.error(start, "the type is missing".to_owned(), "[owner] [ttl] [class] type data");
            };
            let at = place(file, word);
            rest = tail;
            match word.text.to_ascii_uppercase().as_str() {
                "IN" | "CLASS1" if !class => class = true,
                "CH" | "HS" | "CS" | "ANY" => {
                    return self.error(at, format!("class {} is not served", word.text), "only IN is");
                }
                text if ttl.is_none() && text.starts_with(|c: char| c.is_ascii_digit()) => {
                    ttl = rdata::ttl(text);
                    if ttl.is_none() {
                        return self.error(at, format!("`{}` is no TTL", word.text), TTL_HINT);
                    }
                }
                text => match rdata::type_number(text) {
                    Some(rtype) => break rtype,
                    None => {
                        return self.error(
                            at,
                            format!("unknown type `{}`", word.text),
                            r"write it as TYPEnnn \# length hex",
                        );
                    }
                },
            }
        };
        if matches!(rtype, 0 | rtype::OPT | rtype::TKEY..=rtype::ANY) {
            return self.error(start, format!("{} is no type for records", rdata::type_name(rtype)), "");
        }
        match rdata::parse(rtype, rest, &self.origin) {
            Err(bad) => {
                let at = rest.get(bad.word).or(words.last()).unwrap_or(&words[0]);
                self.error(place(file, at), format!("{} record: {}", rdata::type_name(rtype), bad.message), "");
            }
            Ok(data) => self.add(start, owner, rtype, ttl, data),
        }
    }

    fn add(&mut self, place: Place, owner: Name, rtype: u16, ttl: Option<u32>, data: Vec<u8>) {
        if !owner.is_within(&self.apex) {
            let message = format!("{owner} is not in the zone {}", self.apex);
            return self.error(place, message, "a name with a final dot is absolute; without, it is completed");
        }
        self.records += 1;
        if self.records > MAX_RECORDS {
            return self.error(place, format!("more than {MAX_RECORDS} records"), "split the zone");
        }
        let known = ttl.or(self.default_ttl).or(self.last_ttl);
        if known.is_none() {
            self.without_ttl.push((owner.clone(), rtype));
        }
        self.last_ttl = known.or(self.last_ttl);
        let ttl = known.unwrap_or(u32::MAX);
        let sets = self.nodes.entry(owner.clone()).or_default();
        let new = || (RrSet { rtype, ttl, soft: false, rdata: Vec::new() }, place);
        let (set, _) = sets.entry(rtype).or_insert_with(new);
        let unequal = !set.rdata.is_empty() && set.ttl != ttl && set.ttl != u32::MAX && ttl != u32::MAX;
        set.ttl = set.ttl.min(ttl);
        set.rdata.push(data);
        if unequal {
            // RFC 2181 §5.2
            let message = format!("{owner} {}: TTLs of one set differ; the lowest is used", rdata::type_name(rtype));
            self.report(Severity::Warning, place, message, "");
        }
    }

    fn finish(mut self) -> Result<Parsed, Vec<Problem>> {
        let soa = self.take_soa();
        if let Some(minimum) = soa.as_ref().map(Soa::minimum) {
            for (owner, rtype) in std::mem::take(&mut self.without_ttl) {
                if let Some((set, place)) = self.nodes.get_mut(&owner).and_then(|s| s.get_mut(&rtype))
                    && set.ttl == u32::MAX
                {
                    set.ttl = minimum;
                    let place = *place;
                    let message = format!("{owner} {} has no TTL; the SOA's MINIMUM is used", rdata::type_name(rtype));
                    self.report(Severity::Warning, place, message, "set $TTL at the top of the file");
                }
            }
        }
        self.check();
        let failed = self.problems.iter().any(|p| p.severity == Severity::Error);
        match soa {
            Some(soa) if !failed => {
                let nodes = self.nodes.into_iter();
                let nodes = nodes.map(|(n, sets)| (n, sets.into_values().map(|(s, _)| s).collect())).collect();
                Ok(Parsed { apex: self.apex, soa, nodes, warnings: self.problems })
            }
            _ => Err(self.problems),
        }
    }

    /// The SOA is kept apart from the other sets.
    fn take_soa(&mut self) -> Option<Soa> {
        let apex = self.apex.clone();
        let found = self.nodes.get_mut(&apex).and_then(|sets| sets.remove(&rtype::SOA));
        let Some((mut set, place)) = found else {
            let hint = "the first record should be: @ IN SOA primary hostmaster serial refresh retry expire minimum";
            self.error(Place::default(), format!("no SOA record for {apex}"), hint);
            return None;
        };
        if set.rdata.len() > 1 {
            self.error(place, "more than one SOA record".to_owned(), "keep one");
        }
        let data = set.rdata.pop()?;
        let ttl = if set.ttl == u32::MAX { Soa::new(0, data.clone(), None)?.minimum() } else { set.ttl };
        Soa::new(ttl, data, None)
    }

    fn error(&mut self, place: Place, message: String, hint: &str) {
        self.report(Severity::Error, place, message, hint);
    }

    fn report(&mut self, severity: Severity, place: Place, message: String, hint: &str) {
        if self.problems.len() >= MAX_PROBLEMS && severity == Severity::Warning {
            return;
        }
        let file = self.files[place.file].clone();
        let Place { line, column, .. } = place;
        self.problems.push(Problem { severity, file, line, column, message, hint: hint.to_owned() });
    }
}

const TTL_HINT: &str = "seconds up to 2147483647, or with units such as 1h30m";

fn place(file: usize, word: &Word) -> Place {
    Place { file, line: word.line, column: word.column }
}

fn argument(line: &lexer::Line) -> Result<&str, (usize, String, &'static str)> {
    match line.words.as_slice() {
        [_, one] => Ok(&one.text),
        [directive, ..] => Err((0, format!("{} takes one argument", directive.text), "")),
        [] => Err((0, "nothing here".to_owned(), "")),
    }
}

/// True if a set is too large for any answer.
fn oversized(set: &RrSet) -> bool {
    set.wire_len() > MAX_SET
}

#[cfg(test)]
mod tests;

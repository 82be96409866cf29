//! Spelling: a TOML text as sections of known keys, each value with its place. Owns the reading of
//! scalars and lists, and the complaint about each that is wrong; refuses to stop at the first one.
//! What values mean together is for the modules beside this one.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::follow::Prefixes;
use super::keys;
use super::problem::{Problem, nearest, position};

/// A text under inspection, with what was found wrong so far.
pub struct Document<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    problems: RefCell<Vec<(usize, Problem)>>,
    findings: RefCell<Vec<(usize, Problem)>>,
    /// What interfaces have; empty while a file is checked by itself.
    pub prefixes: Prefixes,
}

/// A value and the bytes that it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

impl<'a> Document<'a> {
    pub fn new(file: &'a Path, text: &'a str, prefixes: Prefixes) -> Document<'a> {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Document { file, text, lines, problems: RefCell::default(), findings: RefCell::default(), prefixes }
    }

    /// Notes a problem with what stands at `span`.
    pub fn complain(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.problems.borrow_mut().push((span.start, self.problem(span, message.into(), hint)));
    }

    /// Notes a problem within a text, at an offset of it. An escape in the text hides where that is; then the
    /// text as a whole is named.
    pub fn complain_within(&self, text: &At<String>, offset: usize, message: impl Into<String>) {
        let raw = self.text.get(text.span.clone()).unwrap_or_default();
        let start = text.span.start + raw.find(text.value.as_str()).map_or(0, |at| at + offset);
        self.complain(&(start..text.span.end), message, None);
    }

    /// Notes what is left out while all else is served.
    pub fn find(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.findings.borrow_mut().push((span.start, self.problem(span, message.into(), hint)));
    }

    fn problem(&self, span: &Range<usize>, message: String, hint: Option<String>) -> Problem {
        Problem { file: self.file.to_owned(), at: Some(position(self.text, span.start)), message, hint }
    }

    /// What was left out so far, in the order of the text.
    pub fn findings(&self) -> Vec<Problem> {
        let mut findings = self.findings.borrow().clone();
        findings.sort_by_key(|(start, _)| *start);
        findings.into_iter().map(|(_, problem)| problem).collect()
    }

    /// `file:line` of what stands there, as objects remember where they come from.
    pub fn place(&self, span: &Range<usize>) -> String {
        let line = self.lines.partition_point(|start| *start <= span.start);
        format!("{}:{line}", self.file.display())
    }

    /// What was found wrong, in the order of the text.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(start, _)| *start);
        problems.dedup();
        problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// One table of the text. `path` names it in the registry of keys, e.g. `network.subnet`.
pub struct Section<'d> {
    pub doc: &'d Document<'d>,
    table: &'d DeTable<'d>,
    path: &'static str,
    /// Where the table stands.
    pub span: Range<usize>,
}

impl<'d> Section<'d> {
    /// A table; unknown keys in it are complained about at once.
    pub fn new(doc: &'d Document<'d>, table: &'d Spanned<DeTable<'d>>, path: &'static str) -> Section<'d> {
        Section::over(doc, table.get_ref(), table.span(), path)
    }

    fn over(doc: &'d Document<'d>, table: &'d DeTable<'d>, span: Range<usize>, path: &'static str) -> Section<'d> {
        for key in table.keys().filter(|key| !keys::known(path, key.get_ref())) {
            let name = key.get_ref();
            let place = if path.is_empty() { String::new() } else { format!(" in [{path}]") };
            let hint = nearest(name, keys::of(path)).map(|near| format!("did you mean `{near}`?"));
            let hint = hint.or_else(|| Some(format!("known here: {}", keys::of(path).collect::<Vec<_>>().join(", "))));
            doc.complain(&key.span(), format!("unknown key `{name}`{place}"), hint);
        }
        Section { doc, table, path, span }
    }

    /// Whatever stands under this key.
    pub fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        debug_assert!(keys::known(self.path, key), "`{}.{key}` is not in the registry", self.path);
        self.table.get(key)
    }

    /// True if the registry has the key for this table.
    pub fn known(&self, key: &str) -> bool {
        keys::known(self.path, key)
    }

    /// True if the key stands in the text.
    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, key: &str, expected: &str) {
        let found = value.get_ref().type_str();
        self.doc.complain(&value.span(), format!("`{key}` must be {expected}, not {found}"), None);
    }

    pub fn text(&self, key: &str) -> Option<At<String>> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(value, key, "a string");
        }
        Some(At { value: text?.to_owned(), span: value.span() })
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(value, key, "true or false");
        }
        flag
    }

    pub fn number(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let number = integer(value.get_ref()).filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong_number(value, key, &range);
        }
        number
    }

    fn wrong_number(&self, value: &Spanned<DeValue<'_>>, key: &str, range: &RangeInclusive<u64>) {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        match value.get_ref() {
            DeValue::Integer(number) => {
                self.doc.complain(&value.span(), format!("`{key}` must be {expected}, not {}", number.as_str()), None);
            }
            _ => self.wrong(value, key, &expected),
        }
    }

    /// A port; 0 lets the system choose one.
    pub fn port(&self, key: &str) -> Option<u16> {
        self.number(key, 0..=65_535).and_then(|port| u16::try_from(port).ok())
    }

    /// Between 0 and 1.
    pub fn fraction(&self, key: &str) -> Option<f64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            other => integer(other).and_then(|n| u32::try_from(n).ok()).map(f64::from),
        };
        let fraction = number.filter(|n| (0.0..=1.0).contains(n));
        if fraction.is_none() {
            self.wrong(value, key, "a number from 0 to 1");
        }
        fraction
    }

    /// Seconds as a number, or text such as `90s`, `10m`, `12h`, `7d`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let value = self.value(key)?;
        let duration = match value.get_ref() {
            DeValue::String(text) => duration(text),
            other => integer(other).filter(|seconds| *seconds <= MAX_SECONDS).map(Duration::from_secs),
        };
        if duration.is_none() {
            self.wrong(value, key, "seconds, or a time such as \"90s\", \"10m\", \"12h\" or \"7d\"");
        }
        duration
    }

    /// Text that `T` understands. `expected` says what that is, with an example.
    pub fn parsed<T: FromStr<Err: Display>>(&self, key: &str, expected: &str) -> Option<At<T>> {
        let text = self.text(key)?;
        self.parse(key, text, expected)
    }

    fn parse<T: FromStr<Err: Display>>(&self, key: &str, text: At<String>, expected: &str) -> Option<At<T>> {
        match text.value.parse() {
            Ok(value) => Some(At { value, span: text.span }),
            Err(_) => {
                self.doc.complain(&text.span, format!("`{key}` must be {expected}, not `{}`", text.value), None);
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.doc.complain(
                &text.span,
                format!("`{key}` is `{}`", text.value),
                Some(format!("one of {}", known.join(", "))),
            );
        }
        found
    }

    /// A list of strings; a single string is a list of one.
    pub fn texts(&self, key: &str) -> Option<Vec<At<String>>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(vec![At { value: text.clone().into_owned(), span: value.span() }]),
            DeValue::Array(items) => Some(items.iter().filter_map(|item| self.item(key, item)).collect()),
            _ => {
                self.wrong(value, key, "a list of strings");
                None
            }
        }
    }

    fn item(&self, key: &str, item: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let text = item.get_ref().as_str();
        if text.is_none() {
            self.wrong(item, key, "a list of strings");
        }
        Some(At { value: text?.to_owned(), span: item.span() })
    }

    /// As [`Section::texts`], each understood by `T`.
    pub fn list<T: FromStr<Err: Display>>(&self, key: &str, expected: &str) -> Option<Vec<At<T>>> {
        let texts = self.texts(key)?;
        Some(texts.into_iter().filter_map(|text| self.parse(key, text, expected)).collect())
    }

    /// A path; a relative one starts at the folder of the configuration file.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.doc.beside(&text.value))
    }

    /// A list of paths, as [`Section::path`].
    pub fn paths(&self, key: &str) -> Option<Vec<PathBuf>> {
        self.texts(key).map(|texts| texts.iter().map(|text| self.doc.beside(&text.value)).collect())
    }

    /// A table below this one; `path` is its name in the registry.
    pub fn table(&self, key: &str, path: &'static str) -> Option<Section<'d>> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(value, key, "a table");
        }
        Some(Section::over(self.doc, table?, value.span(), path))
    }

    /// An array of tables below this one, such as `[[network]]`.
    pub fn tables(&self, key: &str, path: &'static str) -> Vec<Section<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{key}` must be an array of tables, not {}", value.get_ref().type_str());
            self.doc.complain(&value.span(), message, Some(format!("write [[{path}]]")));
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => out.push(Section::over(self.doc, table, item.span(), path)),
                None => self.wrong(item, key, "an array of tables"),
            }
        }
        out
    }

    /// A table with free keys, such as `options`: key and value as text, numbers and flags spelled out,
    /// lists joined by commas.
    pub fn pairs(&self, key: &str) -> Vec<(At<String>, At<String>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(value, key, "a table");
            return Vec::new();
        };
        let mut out = Vec::new();
        for (name, value) in table {
            let name = At { value: name.get_ref().clone().into_owned(), span: name.span() };
            match spelled(value.get_ref()) {
                Some(text) => out.push((name, At { value: text, span: value.span() })),
                None => self.wrong(value, &name.value, "a string, a number, true, false or a list of these"),
            }
        }
        out
    }
}

impl Document<'_> {
    /// A path of the text, relative to the folder that the text is in.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// A hundred years: what a longer time would mean nobody can say.
const MAX_SECONDS: u64 = 3_155_760_000;

fn integer(value: &DeValue<'_>) -> Option<u64> {
    value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok())
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (seconds <= MAX_SECONDS).then(|| Duration::from_secs(seconds))
}

fn spelled(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(_) => integer(value).map(|n| n.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| spelled(item.get_ref())).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

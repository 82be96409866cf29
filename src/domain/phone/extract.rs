//! Device info extraction: match rules of all plugins over the raw bytes of one request.
//!
//! Owns the ranking, which depends on nothing but the rules and the bytes: (level, fields learned, rule
//! specificity, plugin id). Refuses to let one rule or one strange byte silence another (PR-18).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::plugin::{Level, Plugin, Rule, Source};
use crate::domain::net::Mac;

/// Bytes of a User-Agent that are looked at (PR-19).
pub const USER_AGENT_BYTES: usize = 1024;
/// Bytes of a path, query or option that are looked at (PR-19).
pub const PATH_BYTES: usize = 512;
/// Longest value that is learned.
const VALUE_BYTES: usize = 64;
/// Memory that one compiled pattern may take.
const REGEX_BYTES: usize = 1 << 20;

/// The groups and `set` keys that rules may use.
pub const FIELDS: [&str; 6] = ["vendor", "model", "version", "mac", "sn", "uuid"];

/// What is known of a request before any rule has run.
#[derive(Debug, Clone, Default)]
pub struct Clues<'a> {
    pub user_agent: Option<&'a [u8]>,
    /// Decoded once, with its leading `/`.
    pub http_path: Option<&'a [u8]>,
    pub http_query: Option<&'a [u8]>,
    /// With a leading `/`.
    pub tftp_path: Option<&'a [u8]>,
    /// DHCPv4 options by code.
    pub dhcp: Vec<(u8, &'a [u8])>,
    /// The hardware address that the request came from, for rules over its block.
    pub mac: Option<Mac>,
}

impl<'a> Clues<'a> {
    /// The bytes of each source, cut to what is looked at.
    fn inputs(&self) -> impl Iterator<Item = (Source, &'a [u8])> {
        let plain = [
            (Source::HttpUserAgent, self.user_agent, USER_AGENT_BYTES),
            (Source::HttpPath, self.http_path, PATH_BYTES),
            (Source::HttpQuery, self.http_query, PATH_BYTES),
            (Source::TftpPath, self.tftp_path, PATH_BYTES),
        ];
        let plain =
            plain.into_iter().filter_map(|(source, bytes, most)| bytes.map(|b| (source, &b[..b.len().min(most)])));
        let dhcp: Vec<(Source, &'a [u8])> =
            self.dhcp.iter().map(|(code, bytes)| (Source::Dhcp(*code), without_nuls(bytes))).collect();
        plain.chain(dhcp)
    }
}

/// Trailing NULs are a habit of clients, not a part of the text.
fn without_nuls(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    &bytes[..end.min(PATH_BYTES)]
}

/// What may be learned about a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub version: Option<String>,
    pub mac: Option<Mac>,
    pub sn: Option<String>,
    pub uuid: Option<String>,
}

impl Fields {
    /// How many are known.
    pub fn count(&self) -> usize {
        self.named().iter().filter(|(_, value)| value.is_some()).count()
    }

    /// Every field by name, in the order of [`FIELDS`].
    pub fn named(&self) -> [(&'static str, Option<String>); 6] {
        [
            ("vendor", self.vendor.clone()),
            ("model", self.model.clone()),
            ("version", self.version.clone()),
            ("mac", self.mac.map(|mac| mac.to_string())),
            ("sn", self.sn.clone()),
            ("uuid", self.uuid.clone()),
        ]
    }

    fn put(&mut self, field: &str, value: String) {
        match field {
            "vendor" => self.vendor = Some(value),
            "model" => self.model = Some(value),
            "version" => self.version = Some(value),
            "sn" => self.sn = Some(value),
            "uuid" => self.uuid = Some(value),
            "mac" => self.mac = Mac::parse(value.as_bytes()).filter(|mac| mac.is_identity()),
            _ => {}
        }
    }

    /// Takes over what is not known yet; the MAC has an order of its own.
    fn complete(&mut self, other: &Fields) {
        self.vendor = self.vendor.take().or_else(|| other.vendor.clone());
        self.model = self.model.take().or_else(|| other.model.clone());
        self.version = self.version.take().or_else(|| other.version.clone());
        self.sn = self.sn.take().or_else(|| other.sn.clone());
        self.uuid = self.uuid.take().or_else(|| other.uuid.clone());
    }
}

/// One rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub plugin: String,
    pub rule: String,
    pub source: Source,
    pub level: Level,
    pub specificity: u32,
    pub fields: Fields,
}

impl Finding {
    /// `plugin/rule`, the name under which evidence remembers it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.plugin, self.rule)
    }

    fn rank(&self) -> impl Ord + use<> {
        (
            self.fields.vendor.is_none(),
            Reverse((self.level, self.fields.count(), self.specificity)),
            self.plugin.clone(),
            self.rule.clone(),
        )
    }

    /// Order in which claimed MACs are believed (evidence 8 and 9).
    fn mac_order(&self) -> u8 {
        match self.source {
            Source::HttpPath | Source::TftpPath => 0,
            Source::HttpUserAgent => 1,
            Source::HttpQuery => 2,
            _ => 3,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} matched {} ({})", self.name(), self.source, self.level)?;
        for (name, value) in self.fields.named() {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        Ok(())
    }
}

/// All that a request says about its sender.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identified {
    /// Best first.
    pub findings: Vec<Finding>,
    /// Fields of the best plugin's findings; `mac` is a claim.
    pub fields: Fields,
}

impl Identified {
    /// The finding that names the vendor, if any does.
    pub fn best(&self) -> Option<&Finding> {
        self.findings.first().filter(|f| f.fields.vendor.is_some())
    }

    /// True if the vendor is known well enough to create or associate a device (PR-9).
    pub fn vendor_known(&self) -> bool {
        self.best().is_some_and(|f| f.level >= Level::Probable)
    }

    fn of(mut findings: Vec<Finding>) -> Identified {
        findings.sort_by_cached_key(Finding::rank);
        let best = findings.first().filter(|f| f.fields.vendor.is_some()).map(|f| f.plugin.clone());
        let ours = |f: &&Finding| f.fields.vendor.is_none() || Some(&f.plugin) == best.as_ref();
        let mut fields = Fields::default();
        findings.iter().filter(|f| Some(&f.plugin) == best.as_ref()).for_each(|f| fields.complete(&f.fields));
        fields.mac = findings
            .iter()
            .filter(ours)
            .filter_map(|f| f.fields.mac.map(|mac| (f.mac_order(), mac)))
            .min_by_key(|(order, _)| *order)
            .map(|(_, mac)| mac);
        Identified { findings, fields }
    }
}

/// A rule that cannot run; the others do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {plugin}/{rule}: {reason}")]
pub struct BadRule {
    pub plugin: String,
    pub rule: String,
    pub reason: String,
}

/// The rules of all plugins, compiled: one set per source, not a pass per plugin (PR-25).
pub struct Extractor {
    plugins: Arc<[Plugin]>,
    sets: BTreeMap<Source, Set>,
    blocks: HashMap<[u8; 3], Vec<(usize, usize)>>,
}

struct Set {
    any: RegexSet,
    rules: Vec<(usize, usize, Regex, u32)>,
}

/// Compiles one pattern as bytes: classes are ASCII, `.` is any byte but a newline.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).unicode(false).size_limit(REGEX_BYTES).build().map_err(|e| e.to_string())
}

impl Extractor {
    /// Compiles all rules. Rules that do not compile are left out and told.
    pub fn new(plugins: Arc<[Plugin]>) -> (Extractor, Vec<BadRule>) {
        let (mut patterns, mut bad) = (BTreeMap::<Source, Vec<(usize, usize, Regex, u32)>>::new(), Vec::new());
        let mut blocks: HashMap<[u8; 3], Vec<(usize, usize)>> = HashMap::new();
        for (p, plugin) in plugins.iter().enumerate() {
            for (r, rule) in plugin.rules.iter().enumerate() {
                if rule.source == Source::Oui {
                    rule.oui.iter().for_each(|block| blocks.entry(*block).or_default().push((p, r)));
                    continue;
                }
                match compile(rule.regex.as_deref().unwrap_or("")) {
                    Ok(regex) => patterns.entry(rule.source).or_default().push((p, r, regex, rule.specificity())),
                    Err(reason) => bad.push(BadRule { plugin: plugin.id.clone(), rule: rule.id.clone(), reason }),
                }
            }
        }
        let mut sets = BTreeMap::new();
        for (source, rules) in patterns {
            let all = rules.iter().map(|(.., regex, _)| regex.as_str());
            match RegexSetBuilder::new(all).unicode(false).size_limit(REGEX_BYTES * 16).build() {
                Ok(any) => drop(sets.insert(source, Set { any, rules })),
                Err(e) => bad.push(BadRule { plugin: "*".to_owned(), rule: source.to_string(), reason: e.to_string() }),
            }
        }
        (Extractor { plugins, sets, blocks }, bad)
    }

    /// The plugins whose rules these are.
    pub fn plugins(&self) -> &Arc<[Plugin]> {
        &self.plugins
    }

    pub fn plugin(&self, id: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|p| p.id == id)
    }

    /// Runs all rules. Pure; linear in the input.
    pub fn identify(&self, clues: &Clues<'_>) -> Identified {
        let mut findings: Vec<Finding> =
            clues.inputs().flat_map(|(source, bytes)| self.matches(source, bytes)).collect();
        if let Some(mac) = clues.mac {
            let hits = self.blocks.get(&mac.oui()).into_iter().flatten();
            findings.extend(hits.map(|(p, r)| finding(&self.plugins[*p], &self.plugins[*p].rules[*r], None, 0)));
        }
        Identified::of(findings)
    }

    /// Findings of one source.
    pub fn matches(&self, source: Source, bytes: &[u8]) -> Vec<Finding> {
        let Some(set) = self.sets.get(&source) else { return Vec::new() };
        let mut out = Vec::new();
        for hit in set.any.matches(bytes) {
            let (p, r, regex, specificity) = &set.rules[hit];
            let (plugin, rule) = (&self.plugins[*p], &self.plugins[*p].rules[*r]);
            if let Some(captures) = regex.captures(bytes) {
                let found = finding(plugin, rule, Some(&captures), *specificity);
                let fits = rule.oui.is_empty() || found.fields.mac.is_some_and(|mac| rule.oui.contains(&mac.oui()));
                out.extend(fits.then_some(found));
            }
        }
        out
    }
}

/// What one match teaches.
fn finding(plugin: &Plugin, rule: &Rule, captures: Option<&Captures<'_>>, specificity: u32) -> Finding {
    let captured = |field: &str| captures.and_then(|c| c.name(field)).and_then(|m| text(m.as_bytes()));
    let model = captured("model")
        .and_then(|model| if rule.model_map.is_empty() { Some(model) } else { rule.model_map.get(&model).cloned() });
    let group = |field: &str| if field == "model" { model.clone() } else { captured(field) };
    let mut fields = Fields::default();
    for field in FIELDS {
        let value = match rule.set.get(field) {
            Some(pattern) => expand(pattern, &group),
            None => group(field),
        };
        if let Some(value) = value {
            fields.put(field, value);
        }
    }
    if let Some(listed) = fields.model.as_deref().and_then(|name| plugin.model(name)) {
        fields.model = Some(listed.name.clone());
    }
    Finding {
        plugin: plugin.id.clone(),
        rule: rule.id.clone(),
        source: rule.source,
        level: rule.level,
        specificity,
        fields,
    }
}

/// `{group}` of a `set` value; nothing if a group that it names did not match.
fn expand(pattern: &str, group: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&group(name)?);
        rest = after;
    }
    Some(out + rest)
}

/// A learned value: short and printable, or not learned at all.
fn text(bytes: &[u8]) -> Option<String> {
    let fine = !bytes.is_empty() && bytes.len() <= VALUE_BYTES && bytes.iter().all(|b| (0x20..0x7f).contains(b));
    if fine { std::str::from_utf8(bytes).ok().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()) } else { None }
}

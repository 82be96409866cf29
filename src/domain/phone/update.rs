//! What a request teaches about a device (PR-15, PR-16) and which config it gets (PR-38). Evidence is kept
//! per (field, source); of one field the strongest holds, among equals the newest.

use std::time::Duration;

use super::extract::{Extractor, Identified};
use super::plugin::{Level, Source};
use crate::domain::device::{Added, Device, Evidence, PhoneConfig, Role, Strength, Value};
use crate::domain::net::Mac;
use crate::domain::time::Wall;

/// Evidence that says nothing new is written again only after this time.
const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// Pieces of evidence that a device keeps; the oldest go.
const EVIDENCE: usize = 48;

/// One thing learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub field: &'static str,
    pub value: String,
    pub source: String,
}

/// The facts of a request: each field from the best finding that has it, and the rule that chose the plugin.
pub fn facts(found: &Identified, plugin_known: bool) -> Vec<Fact> {
    let Some(best) = found.best() else { return Vec::new() };
    let ours = || found.findings.iter().filter(|f| f.plugin == best.plugin);
    let mut out = Vec::new();
    for (i, (field, value)) in found.fields.named().into_iter().enumerate() {
        let teller = ours().find(|f| f.fields.named()[i].1 == value);
        if let (Some(value), Some(teller), false) = (value, teller, field == "mac") {
            out.push(Fact { field, value, source: teller.source.to_string() });
        }
    }
    if plugin_known {
        out.push(Fact { field: "plugin", value: best.plugin.clone(), source: best.name() });
    }
    out
}

/// A device that does not exist yet.
pub fn new_device(id: String, mac: Option<Mac>, sn: Option<String>, added: Added) -> Device {
    Device {
        id,
        mac,
        mac_aliases: Vec::new(),
        sn,
        uuid: None,
        vendor: None,
        model: None,
        version: None,
        plugin: None,
        plugin_pinned: false,
        config: None,
        configured: false,
        added,
        approved: added != Added::Auto || mac.is_some(),
        description: String::new(),
        ip: None,
        evidence: Vec::new(),
        options: Default::default(),
    }
}

/// `device` with the facts merged in and the plugin associated anew.
pub fn learn(device: &Device, facts: &[Fact], strength: Strength, now: Wall, rules: &Extractor) -> Device {
    let mut next = device.clone();
    for fact in facts {
        note(&mut next.evidence, fact, strength, now);
    }
    let held = |field: &str, old: &Option<String>| value(&next.evidence, field).or_else(|| old.clone());
    let (vendor, model, version) =
        (held("vendor", &device.vendor), held("model", &device.model), held("version", &device.version));
    let (sn, uuid) = (held("sn", &device.sn), held("uuid", &device.uuid));
    next = Device { vendor, model, version, sn, uuid, ..next };
    if !next.plugin_pinned {
        next.plugin = associate(&next, rules).or(next.plugin);
    }
    next
}

/// Remembers where the device is seen and how: the evidence of its MAC.
pub fn witness(device: &mut Device, mac: Mac, source: &str, strength: Strength, now: Wall) {
    note_value(&mut device.evidence, "mac", &mac.to_string(), source, strength, now);
}

fn note(evidence: &mut Vec<Evidence>, fact: &Fact, strength: Strength, now: Wall) {
    note_value(evidence, fact.field, &fact.value, &fact.source, strength, now);
}

fn note_value(evidence: &mut Vec<Evidence>, field: &str, value: &str, source: &str, strength: Strength, now: Wall) {
    match evidence.iter_mut().find(|e| e.field == field && e.source == source) {
        Some(old) if old.strength > strength => {}
        Some(old) if old.value == value && old.strength == strength => {
            if now.since(old.last_seen) >= REFRESH {
                old.last_seen = now;
            }
        }
        Some(old) => {
            let first_seen = if old.value == value { old.first_seen } else { now };
            *old = Evidence { value: value.to_owned(), strength, first_seen, last_seen: now, ..old.clone() };
        }
        None => evidence.push(Evidence {
            field: field.to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
            strength,
            first_seen: now,
            last_seen: now,
        }),
    }
    if evidence.len() > EVIDENCE
        && let Some(oldest) = (0..evidence.len()).min_by_key(|i| evidence[*i].last_seen)
    {
        evidence.remove(oldest);
    }
}

/// The value that holds for a field: strongest, then most telling source, then newest.
fn value(evidence: &[Evidence], field: &str) -> Option<String> {
    evidence
        .iter()
        .filter(|e| e.field == field)
        .max_by_key(|e| (e.strength, telling(&e.source), e.last_seen))
        .map(|e| e.value.clone())
}

/// What a phone says of itself at length weighs more than a vendor class, and that more than a file name.
fn telling(source: &str) -> u8 {
    match source {
        s if s == Source::HttpUserAgent.to_string() => 2,
        s if s.starts_with("dhcp.") => 1,
        _ => 0,
    }
}

/// The plugin that the merged evidence speaks for, by (strength, level of the rule, newest, id).
fn associate(device: &Device, rules: &Extractor) -> Option<String> {
    let level = |e: &Evidence| -> Option<Level> {
        let (plugin, rule) = e.source.split_once('/')?;
        Some(rules.plugin(plugin)?.rule(rule)?.level)
    };
    device
        .evidence
        .iter()
        .filter(|e| e.field == "plugin")
        .filter_map(|e| Some(((e.strength, level(e)?, e.last_seen, std::cmp::Reverse(e.value.clone())), e)))
        .max_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, e)| e.value.clone())
}

/// PR-38: a device with plugin but no config gets a transient child of the template, if that has a line 1.
pub fn autoprov(device: &Device, template: Option<(&str, bool)>, id: String) -> Option<PhoneConfig> {
    let (parent, has_line) = template?;
    let wanted = device.plugin.is_some() && device.config.is_none() && has_line;
    wanted.then(|| PhoneConfig {
        id,
        label: "made from the template".to_owned(),
        parents: vec![parent.to_owned()],
        role: Role::None,
        transient: true,
        raw: Default::default(),
    })
}

/// True if a config's flattened values hold line 1.
pub fn has_line_one(values: &std::collections::BTreeMap<String, Value>) -> bool {
    matches!(values.get("sip_lines"), Some(Value::Map(lines)) if matches!(lines.get("1"), Some(Value::Map(_))))
}

//! The typed settings of a config (provisioning reference, section 4) and their inheritance. Owns the list
//! of keys; refuses a key that is not in it, by name, with the nearest one that is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::device::{PhoneConfig, Value};

/// Values of one config or of a flattened chain.
pub type Values = BTreeMap<String, Value>;

/// Depth of inheritance.
const DEPTH: usize = 32;
/// Configs in one chain.
const CHAIN: usize = 256;

/// What a key may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bool,
    Int(i64, i64),
    Text,
    /// Text that is kept sealed and never shown.
    Secret,
    OneOf(&'static [&'static str]),
    /// A name of the tz database.
    Zone,
    Texts,
    /// Maps by position `"1"..`.
    Lines,
    Keys,
    CallManagers,
}

const DTMF: Kind = Kind::OneOf(&["RTP-in-band", "RTP-out-of-band", "SIP-INFO"]);
const SRTP: Kind = Kind::OneOf(&["disabled", "preferred", "required"]);
const PORT: Kind = Kind::Int(1, 65535);

/// Every key of a config.
pub const SCHEMA: &[(&str, Kind)] = &[
    ("admin_password", Kind::Secret),
    ("admin_username", Kind::Text),
    ("codecs", Kind::Texts),
    ("dns_enabled", Kind::Bool),
    ("dns_ip", Kind::Text),
    ("exten_dnd", Kind::Text),
    ("exten_fwd_busy", Kind::Text),
    ("exten_fwd_disable_all", Kind::Text),
    ("exten_fwd_no_answer", Kind::Text),
    ("exten_fwd_unconditional", Kind::Text),
    ("exten_park", Kind::Text),
    ("exten_pickup_call", Kind::Text),
    ("exten_pickup_group", Kind::Text),
    ("exten_voicemail", Kind::Text),
    ("funckeys", Kind::Keys),
    ("http_base_url", Kind::Text),
    ("lldp", Kind::Bool),
    ("locale", Kind::Text),
    ("ntp_enabled", Kind::Bool),
    ("ntp_ip", Kind::Text),
    ("protocol", Kind::OneOf(&["SIP", "SCCP"])),
    ("qos_rtp", Kind::Int(0, 63)),
    ("qos_sip", Kind::Int(0, 63)),
    ("sccp_call_managers", Kind::CallManagers),
    ("sip_backup_proxy_ip", Kind::Text),
    ("sip_backup_proxy_port", PORT),
    ("sip_backup_registrar_ip", Kind::Text),
    ("sip_backup_registrar_port", PORT),
    ("sip_dtmf_mode", DTMF),
    ("sip_lines", Kind::Lines),
    ("sip_local_key", Kind::Secret),
    ("sip_outbound_proxy_ip", Kind::Text),
    ("sip_outbound_proxy_port", PORT),
    ("sip_proxy_ip", Kind::Text),
    ("sip_proxy_port", PORT),
    ("sip_registrar_ip", Kind::Text),
    ("sip_registrar_port", PORT),
    ("sip_srtp_mode", SRTP),
    ("sip_subscribe_mwi", Kind::Bool),
    ("sip_transport", Kind::OneOf(&["udp", "tcp", "tls"])),
    ("syslog_enabled", Kind::Bool),
    ("syslog_ip", Kind::Text),
    ("syslog_level", Kind::OneOf(&["critical", "error", "warning", "info", "debug"])),
    ("syslog_port", PORT),
    ("tftp_port", PORT),
    ("timezone", Kind::Zone),
    ("user_password", Kind::Secret),
    ("user_username", Kind::Text),
    ("vlan_enabled", Kind::Bool),
    ("vlan_id", Kind::Int(0, 4094)),
    ("vlan_pc_port_id", Kind::Int(0, 4094)),
    ("vlan_priority", Kind::Int(0, 7)),
];

/// Keys of one SIP line.
pub const LINE: &[(&str, Kind)] = &[
    ("auth_username", Kind::Text),
    ("backup_proxy_ip", Kind::Text),
    ("backup_proxy_port", PORT),
    ("backup_registrar_ip", Kind::Text),
    ("backup_registrar_port", PORT),
    ("display_name", Kind::Text),
    ("dtmf_mode", DTMF),
    ("number", Kind::Text),
    ("outbound_proxy_ip", Kind::Text),
    ("outbound_proxy_port", PORT),
    ("password", Kind::Secret),
    ("proxy_ip", Kind::Text),
    ("proxy_port", PORT),
    ("registrar_ip", Kind::Text),
    ("registrar_port", PORT),
    ("srtp_mode", SRTP),
    ("username", Kind::Text),
    ("voicemail", Kind::Text),
];

/// Keys of one programmable key.
pub const KEY: &[(&str, Kind)] = &[
    ("label", Kind::Text),
    ("line", Kind::Int(1, 999)),
    ("type", Kind::OneOf(&["speeddial", "blf", "park"])),
    ("value", Kind::Text),
];

const CALL_MANAGER: &[(&str, Kind)] = &[("ip", Kind::Text), ("port", PORT)];

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {reason}")]
pub struct Fault {
    /// Dotted, e.g. `sip_lines.1.password`.
    pub key: String,
    pub reason: String,
}

/// All faults of a config's own values (PR-37); keys that start with `X_` hold anything.
pub fn validate(values: &Values) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_map("", values, SCHEMA, &mut faults);
    for (switch, needed) in [
        ("dns_enabled", "dns_ip"),
        ("ntp_enabled", "ntp_ip"),
        ("syslog_enabled", "syslog_ip"),
        ("vlan_enabled", "vlan_id"),
    ] {
        let on = values.get(switch) == Some(&Value::Bool(true));
        if on && matches!(values.get(needed), None | Some(Value::Null)) {
            faults.push(Fault { key: switch.to_owned(), reason: format!("needs `{needed}`") });
        }
    }
    faults
}

fn check_map(prefix: &str, values: &Values, schema: &[(&str, Kind)], faults: &mut Vec<Fault>) {
    for (name, value) in values {
        let key = format!("{prefix}{name}");
        match schema.iter().find(|(known, _)| known == name) {
            Some((_, kind)) => check(&key, value, *kind, faults),
            None if name.starts_with("X_") => {}
            None => {
                faults.push(Fault { key, reason: format!("is no setting; did you mean `{}`?", nearest(name, schema)) })
            }
        }
    }
}

fn check(key: &str, value: &Value, kind: Kind, faults: &mut Vec<Fault>) {
    let mut fault = |reason: String| faults.push(Fault { key: key.to_owned(), reason });
    match (kind, value) {
        (_, Value::Null)
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Text | Kind::Secret, Value::Text(_))
        | (Kind::Secret, Value::Sealed(_)) => {}
        (Kind::Int(low, high), Value::Int(n)) if (low..=high).contains(n) => {}
        (Kind::Int(low, high), _) => fault(format!("is a number from {low} to {high}")),
        (Kind::OneOf(words), Value::Text(word)) if words.contains(&word.as_str()) => {}
        (Kind::OneOf(words), _) => fault(format!("is one of {}", words.join(", "))),
        (Kind::Zone, Value::Text(name)) if super::tz::Zone::named(name).is_some() => {}
        (Kind::Zone, _) => fault("is a time zone such as Europe/Paris".to_owned()),
        (Kind::Texts, Value::List(list)) if list.iter().all(|v| matches!(v, Value::Text(_))) => {}
        (Kind::Texts, _) => fault("is a list of texts".to_owned()),
        (Kind::Lines, Value::Map(map)) => positions(key, map, LINE, faults),
        (Kind::Keys, Value::Map(map)) => positions(key, map, KEY, faults),
        (Kind::CallManagers, Value::Map(map)) => positions(key, map, CALL_MANAGER, faults),
        (Kind::Bool, _) => fault("is true or false".to_owned()),
        (Kind::Text | Kind::Secret, _) => fault("is a text".to_owned()),
        (Kind::Lines | Kind::Keys | Kind::CallManagers, _) => fault("is a table by position, 1 and up".to_owned()),
    }
}

fn positions(key: &str, map: &Values, schema: &[(&str, Kind)], faults: &mut Vec<Fault>) {
    for (position, value) in map {
        let key = format!("{key}.{position}");
        match value {
            _ if !position.parse::<u32>().is_ok_and(|n| (1..=999).contains(&n)) => {
                faults.push(Fault { key, reason: "is no position (1 to 999)".to_owned() });
            }
            Value::Map(inner) => check_map(&format!("{key}."), inner, schema, faults),
            Value::Null => {}
            _ => faults.push(Fault { key, reason: "is a table".to_owned() }),
        }
    }
}

fn nearest<'a>(name: &str, schema: &[(&'a str, Kind)]) -> &'a str {
    schema.iter().map(|(known, _)| *known).min_by_key(|known| distance(name, known)).unwrap_or("")
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

/// True if a value under this dotted key is a secret.
pub fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    SCHEMA.iter().chain(LINE).any(|(known, kind)| *known == name && *kind == Kind::Secret)
}

/// Applies `change` to every text that is a secret; `change` gets its dotted key.
pub fn map_secrets(values: &Values, change: &mut dyn FnMut(&str, &Value) -> Value) -> Values {
    fn walk(prefix: &str, values: &Values, change: &mut dyn FnMut(&str, &Value) -> Value) -> Values {
        let mut out = Values::new();
        for (name, value) in values {
            let key = format!("{prefix}{name}");
            let next = match value {
                Value::Map(inner) => Value::Map(walk(&format!("{key}."), inner, change)),
                Value::Text(_) | Value::Sealed(_) if is_secret(&key) => change(&key, value),
                other => other.clone(),
            };
            out.insert(name.clone(), next);
        }
        out
    }
    walk("", values, change)
}

/// A flattened config.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effective {
    pub values: Values,
    /// Which config each value came from, by dotted key.
    pub sources: BTreeMap<String, String>,
}

/// Why a config cannot be flattened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChain {
    #[error("config `{0}` inherits from itself")]
    Cycle(String),
    #[error("config `{child}` inherits from `{parent}`, which does not exist")]
    Unknown { parent: String, child: String },
    #[error("config `{0}` inherits from more than {CHAIN} configs, or deeper than {DEPTH}")]
    TooLarge(String),
}

/// PR-36: parents depth-first, later parents override earlier ones, the config overrides its parents; maps
/// merge by key, lists replace.
pub fn flatten(id: &str, config: &dyn Fn(&str) -> Option<Arc<PhoneConfig>>) -> Result<Effective, BadChain> {
    let mut walk = Walk { config, open: BTreeSet::new(), seen: 0, out: Effective::default() };
    walk.enter(id, id)?;
    Ok(walk.out)
}

struct Walk<'a> {
    config: &'a dyn Fn(&str) -> Option<Arc<PhoneConfig>>,
    open: BTreeSet<String>,
    seen: usize,
    out: Effective,
}

impl Walk<'_> {
    fn enter(&mut self, id: &str, child: &str) -> Result<(), BadChain> {
        self.seen += 1;
        if self.seen > CHAIN || self.open.len() > DEPTH {
            return Err(BadChain::TooLarge(child.to_owned()));
        }
        let unknown = || BadChain::Unknown { parent: id.to_owned(), child: child.to_owned() };
        let config = (self.config)(id).ok_or_else(unknown)?;
        if !self.open.insert(id.to_owned()) {
            return Err(BadChain::Cycle(id.to_owned()));
        }
        for parent in &config.parents {
            self.enter(parent, id)?;
        }
        self.open.remove(id);
        merge("", &mut self.out.values, &config.raw, id, &mut self.out.sources);
        Ok(())
    }
}

fn merge(prefix: &str, into: &mut Values, from: &Values, id: &str, sources: &mut BTreeMap<String, String>) {
    for (name, value) in from {
        let key = format!("{prefix}{name}");
        match (into.get_mut(name), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge(&format!("{key}."), old, new, id, sources),
            (_, Value::Map(new)) => {
                let mut fresh = Values::new();
                merge(&format!("{key}."), &mut fresh, new, id, sources);
                into.insert(name.clone(), Value::Map(fresh));
            }
            (_, value) => {
                into.insert(name.clone(), value.clone());
                sources.insert(key, id.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::device::Role;

    fn text(t: &str) -> Value {
        Value::Text(t.to_owned())
    }

    fn map<const N: usize>(pairs: [(&str, Value); N]) -> Values {
        pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    fn config(id: &str, parents: &[&str], raw: Values) -> (String, Arc<PhoneConfig>) {
        let parents = parents.iter().map(|p| (*p).to_owned()).collect();
        let config =
            PhoneConfig { id: id.to_owned(), label: String::new(), parents, role: Role::None, transient: false, raw };
        (id.to_owned(), Arc::new(config))
    }

    #[test]
    fn later_parents_override_earlier_ones_and_maps_merge() {
        let line = |pairs| map([("sip_lines", Value::Map(map([("1", Value::Map(pairs))])))]);
        let all: BTreeMap<_, _> = [
            config("base", &[], map([("timezone", text("Europe/Paris")), ("ntp_ip", text("a"))])),
            config("site", &["base"], map([("ntp_ip", text("b"))])),
            config("model", &["base"], line(map([("username", text("u")), ("password", text("p"))]))),
            config("me", &["model", "site"], line(map([("username", text("me"))]))),
        ]
        .into();
        let flat = flatten("me", &|id| all.get(id).cloned()).unwrap();
        assert_eq!(flat.values["ntp_ip"], text("b"));
        assert_eq!(flat.sources["ntp_ip"], "site");
        assert_eq!(flat.sources["sip_lines.1.username"], "me");
        assert_eq!(flat.sources["sip_lines.1.password"], "model");
    }

    #[test]
    fn cycles_and_unknown_parents_are_refused_by_name() {
        let all: BTreeMap<_, _> =
            [config("a", &["b"], map([])), config("b", &["a"], map([])), config("c", &["d"], map([]))].into();
        let find = |id: &str| all.get(id).cloned();
        assert_eq!(flatten("a", &find), Err(BadChain::Cycle("a".to_owned())));
        assert_eq!(flatten("c", &find).unwrap_err().to_string(), "config `c` inherits from `d`, which does not exist");
    }

    #[test]
    fn all_faults_come_at_once_with_key_and_reason() {
        let values = map([
            ("timezon", text("Europe/Paris")),
            ("vlan_enabled", Value::Bool(true)),
            ("vlan_priority", Value::Int(9)),
            ("sip_transport", text("sctp")),
            ("X_mine", text("anything")),
            ("sip_lines", Value::Map(map([("0", Value::Null), ("1", Value::Map(map([("pasword", text("x"))])))]))),
        ]);
        let told: Vec<String> = validate(&values).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "`sip_lines.0`: is no position (1 to 999)",
                "`sip_lines.1.pasword`: is no setting; did you mean `password`?",
                "`sip_transport`: is one of udp, tcp, tls",
                "`timezon`: is no setting; did you mean `timezone`?",
                "`vlan_priority`: is a number from 0 to 7",
                "`vlan_enabled`: needs `vlan_id`",
            ]
        );
    }

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        let values = map([
            ("admin_password", text("a")),
            ("admin_username", text("b")),
            ("sip_lines", Value::Map(map([("1", Value::Map(map([("password", text("c"))])))]))),
        ]);
        let mut keys = Vec::new();
        map_secrets(&values, &mut |key, _| {
            keys.push(key.to_owned());
            Value::Null
        });
        assert_eq!(keys, ["admin_password", "sip_lines.1.password"]);
    }
}

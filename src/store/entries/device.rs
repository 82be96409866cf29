//! Entries of phones and of the settings that their files are rendered from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::EntryError;
use super::values::{hex, mac};
use crate::domain::device::{Added, Device, Evidence, PhoneConfig, Role, Strength, Value};
use crate::domain::time::Wall;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicePut {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    mac_aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    plugin_pinned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    configured: bool,
    added: StoredAdded,
    approved: bool,
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    evidence: Vec<StoredEvidence>,
    options: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredAdded {
    Auto,
    Manual,
    Lease,
    Import,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEvidence {
    field: String,
    value: String,
    source: String,
    bound: bool,
    first_seen: i64,
    last_seen: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigPut {
    id: String,
    label: String,
    parents: Vec<String>,
    role: StoredRole,
    transient: bool,
    raw: BTreeMap<String, StoredValue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRole {
    None,
    Default,
    Template,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredValue {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<StoredValue>),
    Map(BTreeMap<String, StoredValue>),
    #[serde(with = "hex")]
    Sealed(Vec<u8>),
}

impl From<&Device> for DevicePut {
    fn from(d: &Device) -> DevicePut {
        let evidence = |e: &Evidence| StoredEvidence {
            field: e.field.clone(),
            value: e.value.clone(),
            source: e.source.clone(),
            bound: e.strength == Strength::Bound,
            first_seen: e.first_seen.0,
            last_seen: e.last_seen.0,
        };
        DevicePut {
            id: d.id.clone(),
            mac: d.mac.map(|m| m.to_string()),
            mac_aliases: d.mac_aliases.iter().map(ToString::to_string).collect(),
            sn: d.sn.clone(),
            uuid: d.uuid.clone(),
            vendor: d.vendor.clone(),
            model: d.model.clone(),
            version: d.version.clone(),
            plugin: d.plugin.clone(),
            plugin_pinned: d.plugin_pinned,
            config: d.config.clone(),
            configured: d.configured,
            added: match d.added {
                Added::Auto => StoredAdded::Auto,
                Added::Manual => StoredAdded::Manual,
                Added::Lease => StoredAdded::Lease,
                Added::Import => StoredAdded::Import,
            },
            approved: d.approved,
            description: d.description.clone(),
            ip: d.ip,
            evidence: d.evidence.iter().map(evidence).collect(),
            options: d.options.clone(),
        }
    }
}

impl TryFrom<DevicePut> for Device {
    type Error = EntryError;
    fn try_from(d: DevicePut) -> Result<Device, EntryError> {
        let evidence = |e: StoredEvidence| Evidence {
            field: e.field,
            value: e.value,
            source: e.source,
            strength: if e.bound { Strength::Bound } else { Strength::Claim },
            first_seen: Wall(e.first_seen),
            last_seen: Wall(e.last_seen),
        };
        Ok(Device {
            id: d.id,
            mac: d.mac.as_deref().map(mac).transpose()?,
            mac_aliases: d.mac_aliases.iter().map(|m| mac(m)).collect::<Result<_, _>>()?,
            sn: d.sn,
            uuid: d.uuid,
            vendor: d.vendor,
            model: d.model,
            version: d.version,
            plugin: d.plugin,
            plugin_pinned: d.plugin_pinned,
            config: d.config,
            configured: d.configured,
            added: match d.added {
                StoredAdded::Auto => Added::Auto,
                StoredAdded::Manual => Added::Manual,
                StoredAdded::Lease => Added::Lease,
                StoredAdded::Import => Added::Import,
            },
            approved: d.approved,
            description: d.description,
            ip: d.ip,
            evidence: d.evidence.into_iter().map(evidence).collect(),
            options: d.options,
        })
    }
}

impl From<&PhoneConfig> for ConfigPut {
    fn from(c: &PhoneConfig) -> ConfigPut {
        ConfigPut {
            id: c.id.clone(),
            label: c.label.clone(),
            parents: c.parents.clone(),
            role: match c.role {
                Role::None => StoredRole::None,
                Role::Default => StoredRole::Default,
                Role::Template => StoredRole::Template,
            },
            transient: c.transient,
            raw: c.raw.iter().map(|(k, v)| (k.clone(), stored(v))).collect(),
        }
    }
}

impl TryFrom<ConfigPut> for PhoneConfig {
    type Error = EntryError;
    fn try_from(c: ConfigPut) -> Result<PhoneConfig, EntryError> {
        Ok(PhoneConfig {
            id: c.id,
            label: c.label,
            parents: c.parents,
            role: match c.role {
                StoredRole::None => Role::None,
                StoredRole::Default => Role::Default,
                StoredRole::Template => Role::Template,
            },
            transient: c.transient,
            raw: c.raw.into_iter().map(|(k, v)| (k, value(v))).collect(),
        })
    }
}

fn stored(value: &Value) -> StoredValue {
    match value {
        Value::Null => StoredValue::Null,
        Value::Bool(b) => StoredValue::Bool(*b),
        Value::Int(i) => StoredValue::Int(*i),
        Value::Text(t) => StoredValue::Text(t.clone()),
        Value::List(list) => StoredValue::List(list.iter().map(stored).collect()),
        Value::Map(map) => StoredValue::Map(map.iter().map(|(k, v)| (k.clone(), stored(v))).collect()),
        Value::Sealed(bytes) => StoredValue::Sealed(bytes.clone()),
    }
}

fn value(stored: StoredValue) -> Value {
    match stored {
        StoredValue::Null => Value::Null,
        StoredValue::Bool(b) => Value::Bool(b),
        StoredValue::Int(i) => Value::Int(i),
        StoredValue::Text(t) => Value::Text(t),
        StoredValue::List(list) => Value::List(list.into_iter().map(value).collect()),
        StoredValue::Map(map) => Value::Map(map.into_iter().map(|(k, v)| (k, value(v))).collect()),
        StoredValue::Sealed(bytes) => Value::Sealed(bytes),
    }
}

//! Devices and configs, as provd named them: a device is a phone that we have proof of, a config is a
//! node in the tree of settings that its files are rendered from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::net::Mac;
use super::time::Wall;

/// How strongly a fact about a device is held (provisioning reference, section 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    Claim,
    Bound,
}

/// One learned fact: `field` is one of vendor, model, version, mac, sn, uuid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub field: String,
    pub value: String,
    /// Where it was read, e.g. `http.user-agent`, `dhcp.60`, `tftp.path`, `lease`, `neighbour`.
    pub source: String,
    pub strength: Strength,
    pub first_seen: Wall,
    pub last_seen: Wall,
}

/// How a device came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Added {
    Auto,
    Manual,
    Lease,
    Import,
}

/// A phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub id: String,
    pub mac: Option<Mac>,
    pub mac_aliases: Vec<Mac>,
    pub sn: Option<String>,
    pub uuid: Option<String>,
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub version: Option<String>,
    pub plugin: Option<String>,
    pub plugin_pinned: bool,
    /// Id of the config that its files are rendered from.
    pub config: Option<String>,
    pub configured: bool,
    pub added: Added,
    pub approved: bool,
    pub description: String,
    /// Last address seen: for display only, never for retrieval (PR-1).
    pub ip: Option<IpAddr>,
    pub evidence: Vec<Evidence>,
    pub options: BTreeMap<String, String>,
}

/// A value in a config's tree; secrets are sealed before they reach the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// Ciphertext under the installation's key file (PR-58).
    Sealed(Vec<u8>),
}

/// What a config is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    None,
    Default,
    /// The autocreate template: devices without config get a transient child of it.
    Template,
}

/// A node in the tree of settings.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneConfig {
    pub id: String,
    pub label: String,
    pub parents: Vec<String>,
    pub role: Role,
    pub transient: bool,
    pub raw: BTreeMap<String, Value>,
}

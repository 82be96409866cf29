//! The closed list of durable facts. Each is one entry of the journal; the tables, the views and the
//! notices are all functions of these, in order.

use std::net::IpAddr;

use ipnet::IpNet;

use super::device::{Device, PhoneConfig};
use super::host::Host;
use super::lease::{End, Lease, Reservation, ReservationKey};
use super::net::Mac;
use super::time::Wall;

/// Something that happened, and that survives.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A lease was granted or extended; holds all of its last state.
    LeaseGranted(Box<Lease>),
    /// The lease of that address ended.
    LeaseEnded {
        network: String,
        ip: IpAddr,
        end: End,
    },
    /// An address is kept out of use although no lease was held (declined offer, conflict).
    Quarantined {
        network: String,
        ip: IpAddr,
        until: Wall,
        /// The station that was seen to use it, if one was.
        mac: Option<Mac>,
    },
    ReservationPut(Box<Reservation>),
    ReservationRemoved {
        id: String,
    },
    HostPut(Box<Host>),
    HostRemoved {
        id: String,
    },
    /// A DNS record made by hand through API or CLAWS.
    RecordPut(Box<Record>),
    RecordRemoved {
        id: String,
    },
    DevicePut(Box<Device>),
    DeviceRemoved {
        id: String,
    },
    ConfigPut(Box<PhoneConfig>),
    ConfigRemoved {
        id: String,
    },
    /// J1: the bus accepted a transaction.
    TxAccepted(Box<TxAccepted>),
    /// J1r: it was reopened after a restart.
    TxReopened {
        key: TxKey,
        members: Vec<String>,
        deadline: Wall,
    },
    /// J2: decided; stands in one batch with the host, reservation, record and device changes it implies.
    TxFinal(Box<TxFinal>),
    /// J2': it will not happen.
    TxCancelled {
        key: TxKey,
        reason: String,
        message: String,
        outcomes: Vec<TxOutcome>,
    },
    /// J3: every applier has spoken, or run out of time.
    TxEnded {
        key: TxKey,
        failed: bool,
        outcomes: Vec<TxOutcome>,
    },
    /// Something on the network that a person should know of. It changes nothing.
    Seen {
        what: Sight,
        /// What it is about, such as `interface/eth1`.
        object: String,
        detail: String,
    },
    /// A pool in which so many percent of the addresses are used: 80, 90 or 100. It changes nothing.
    PoolLow {
        network: String,
        subnet: IpNet,
        percent: u8,
        /// What a newcomer could still get.
        free: u64,
        size: u64,
    },
    /// A client asked for an address and is none that is served. It changes nothing.
    UnknownClient(Box<Stranger>),
    /// A line of the audit: who did what to which object.
    Audit {
        who: String,
        action: String,
        object: String,
        detail: String,
    },
    /// An access token: only its SHA-256 is kept. `removed` revokes it.
    TokenPut(Box<Token>),
    TokenRemoved {
        id: String,
    },
}

/// A client that is not served, as it said who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The network that it is on, if it is one of ours.
    pub network: Option<String>,
    /// Interface that its message arrived on.
    pub interface: String,
    /// giaddr, if it is behind a relay.
    pub relay: Option<IpAddr>,
    pub mac: Option<Mac>,
    /// Raw option 61.
    pub client_id: Option<Vec<u8>>,
    /// Raw option 12.
    pub hostname: Option<Vec<u8>>,
    /// Raw option 60.
    pub vendor_class: Option<Vec<u8>>,
    /// Why not: the label of the metric.
    pub reason: String,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Another router advertises on a link of ours (DH-724).
    ForeignRouter,
    /// A delegated prefix is not reached (DH-707).
    RouteMissing,
    /// Another DHCP server answers on a link of ours (DH-813).
    ForeignDhcp,
    /// Somebody has set the wall clock (DH-507).
    ClockStep,
}

impl Sight {
    pub const ALL: [Sight; 4] = [Sight::ForeignRouter, Sight::RouteMissing, Sight::ForeignDhcp, Sight::ClockStep];

    /// As people, events and the journal write it.
    pub fn name(self) -> &'static str {
        match self {
            Sight::ForeignRouter => "foreign-router",
            Sight::RouteMissing => "route-missing",
            Sight::ForeignDhcp => "foreign-dhcp",
            Sight::ClockStep => "clock-step",
        }
    }
}

/// A record of rank 2 (dns reference, section 5). Name and data are in zone-file presentation form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: String,
    /// Fully qualified, lower-case, no final dot.
    pub name: String,
    /// e.g. `A`, `TXT`, `TYPE65400`.
    pub rtype: String,
    pub ttl: u32,
    pub data: String,
    pub owner: String,
}

/// A transaction is named by who sent it and the txid it chose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxKey {
    /// Name of the credential that submitted it.
    pub source: String,
    /// As sent; compare with ASCII case ignored.
    pub txid: String,
}

/// J1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxAccepted {
    pub key: TxKey,
    /// Hex SHA-256 of the canonical payload.
    pub digest: String,
    /// The payload element, serialised canonically.
    pub body: String,
    /// `claws:source` as sent.
    pub source_name: String,
    /// `claws:identity` as sent; empty if none.
    pub identity: String,
    pub correlation_id: Option<String>,
    /// When the whole transaction must be decided.
    pub deadline: Wall,
    /// Modules whose answer is waited for.
    pub members: Vec<String>,
}

/// How one module fared in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxOutcome {
    pub module: String,
    /// One of the schema's results: updated, empty, rejected, timed-out, gone, denied, skipped, applied, ...
    pub result: String,
    pub detail: String,
    pub late: bool,
}

/// One element of the result, or one that was taken out, with those who wanted it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// submitted, appended, removed or dropped.
    pub op: String,
    pub by: Vec<String>,
    /// The element, serialised canonically.
    pub element: String,
}

/// J2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxFinal {
    pub key: TxKey,
    pub body: String,
    pub digest: String,
    pub outcomes: Vec<TxOutcome>,
    pub contributions: Vec<Contribution>,
    /// Modules that must report that they applied it.
    pub appliers: Vec<String>,
}

/// An access token of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    /// Name of the credential: what CLAWS calls a source.
    pub name: String,
    /// Hex SHA-256 of the secret.
    pub hash: String,
    pub scopes: Vec<String>,
    pub created: Wall,
}

/// A thing that two changes must not both take. The ledger closes a batch before a proposal whose claims
/// meet those of changes that are already in it, so that its vote sees them applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    Address(IpAddr),
    Mac(Mac),
    Name(String),
    Object(&'static str, String),
}

impl Change {
    /// What this change takes or gives up.
    pub fn claims(&self) -> Vec<Claim> {
        match self {
            Change::LeaseGranted(lease) => {
                let mut out = vec![Claim::Address(lease.ip)];
                out.extend(lease.fqdn.clone().map(Claim::Name));
                out
            }
            Change::LeaseEnded { ip, .. } | Change::Quarantined { ip, .. } => vec![Claim::Address(*ip)],
            Change::ReservationPut(r) => {
                let mut out = vec![Claim::Object("reservation", r.id.clone())];
                out.extend(r.ip.map(Claim::Address));
                out.extend(r.name.clone().map(Claim::Name));
                out.extend(r.keys.iter().filter_map(|key| match key {
                    ReservationKey::Mac(mac) => Some(Claim::Mac(*mac)),
                    _ => None,
                }));
                out
            }
            Change::ReservationRemoved { id } => vec![Claim::Object("reservation", id.clone())],
            Change::HostPut(host) => {
                let mut out = vec![Claim::Object("host", host.id.clone())];
                out.extend(host.fqdn.clone().map(Claim::Name));
                out.extend(host.aliases.iter().cloned().map(Claim::Name));
                for interface in &host.interfaces {
                    out.extend(interface.mac.map(Claim::Mac));
                    out.extend(interface.addresses.iter().copied().map(Claim::Address));
                }
                out
            }
            Change::HostRemoved { id } => vec![Claim::Object("host", id.clone())],
            Change::RecordPut(r) => vec![Claim::Object("record", r.id.clone()), Claim::Name(r.name.clone())],
            Change::RecordRemoved { id } => vec![Claim::Object("record", id.clone())],
            Change::DevicePut(d) => {
                let mut out = vec![Claim::Object("device", d.id.clone())];
                out.extend(d.mac.map(Claim::Mac));
                out
            }
            Change::DeviceRemoved { id } => vec![Claim::Object("device", id.clone())],
            Change::ConfigPut(c) => vec![Claim::Object("config", c.id.clone())],
            Change::ConfigRemoved { id } => vec![Claim::Object("config", id.clone())],
            Change::TokenPut(t) => vec![Claim::Object("token", t.id.clone())],
            Change::TokenRemoved { id } => vec![Claim::Object("token", id.clone())],
            Change::TxAccepted(tx) => vec![Claim::Object("tx", tx.key.txid.clone())],
            Change::TxReopened { key, .. } | Change::TxCancelled { key, .. } | Change::TxEnded { key, .. } => {
                vec![Claim::Object("tx", key.txid.clone())]
            }
            Change::TxFinal(tx) => vec![Claim::Object("tx", tx.key.txid.clone())],
            Change::Audit { .. } | Change::Seen { .. } | Change::PoolLow { .. } | Change::UnknownClient(_) => {
                Vec::new()
            }
        }
    }
}

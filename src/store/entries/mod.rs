//! How a change is written down: one serde struct per [`Change`], in JSON, frozen once released and
//! converted explicitly in both directions. The domain knows nothing of it. A format that has been
//! released is never edited: a new one is added beside it, and [`decode`] upcasts.

mod device;
mod host;
mod lease;
mod notice;
mod tx;
mod values;

use serde::{Deserialize, Serialize};

use crate::domain::change::{Change, Sight};

use device::{ConfigPut, DevicePut};
use host::{HostPut, RecordPut};
use lease::{LeaseEnded, LeaseGranted, Quarantined, ReservationPut};
use notice::{PoolLow, UnknownClient};
use tx::{TxAccepted, TxCancelled, TxEnded, TxFinal, TxReopened};
pub(super) use values::hex;

/// The format that is written. Every smaller one can be read.
pub const FORMAT: u16 = 1;

/// How deep the values of a config may be nested: what is written must stay readable.
const DEEPEST: usize = 40;

/// Why a stored entry means nothing to us, or a change cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("entry format {0} is newer than this version of lanlord reads ({FORMAT})")]
    Format(u16),
    #[error("an entry cannot be read: {0}")]
    Unreadable(String),
    #[error("a value is nested more than {DEEPEST} levels deep")]
    TooDeep,
}

/// Every kind of entry under its name in the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Stored<'a> {
    LeaseGranted(LeaseGranted<'a>),
    LeaseEnded(LeaseEnded),
    Quarantined(Quarantined),
    ReservationPut(ReservationPut),
    ReservationRemoved(Id),
    HostPut(HostPut),
    HostRemoved(Id),
    RecordPut(RecordPut),
    RecordRemoved(Id),
    DevicePut(Box<DevicePut>),
    DeviceRemoved(Id),
    ConfigPut(ConfigPut),
    ConfigRemoved(Id),
    TxAccepted(TxAccepted),
    TxReopened(TxReopened),
    TxFinal(TxFinal),
    TxCancelled(TxCancelled),
    TxEnded(TxEnded),
    Seen(Seen),
    PoolLow(PoolLow),
    UnknownClient(Box<UnknownClient>),
    Audit(Audit),
    TokenPut(TokenPut),
    TokenRemoved(Id),
}

/// An object that is gone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    id: String,
}

/// Something on the network.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    what: String,
    object: String,
    detail: String,
}

/// A line of the audit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    who: String,
    action: String,
    object: String,
    detail: String,
}

/// An access token, without its secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenPut {
    id: String,
    name: String,
    hash: String,
    scopes: Vec<String>,
    created: i64,
}

/// The change as one JSON object in [`FORMAT`].
pub fn encode(change: &Change) -> Result<String, EntryError> {
    if let Change::ConfigPut(config) = change
        && config.raw.values().any(|value| values::deeper_than(value, DEEPEST))
    {
        return Err(EntryError::TooDeep);
    }
    serde_json::to_string(&store(change)).map_err(|e| EntryError::Unreadable(e.to_string()))
}

/// The change that [`encode`] wrote, in this or an earlier format.
pub fn decode(format: u16, text: &str) -> Result<Change, EntryError> {
    known(format)?;
    let stored: Stored = serde_json::from_str(text).map_err(|e| EntryError::Unreadable(e.to_string()))?;
    change(stored)
}

/// All changes of one journal row: a JSON array.
pub fn decode_row(format: u16, text: &str) -> Result<Vec<Change>, EntryError> {
    known(format)?;
    let stored: Vec<Stored> = serde_json::from_str(text).map_err(|e| EntryError::Unreadable(e.to_string()))?;
    stored.into_iter().map(change).collect()
}

/// The texts of a batch as one JSON array, the form of a journal row.
pub fn row<T: AsRef<str>>(texts: &[T]) -> String {
    let mut out = String::with_capacity(texts.iter().map(|t| t.as_ref().len() + 1).sum::<usize>() + 2);
    out.push('[');
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(text.as_ref());
    }
    out.push(']');
    out
}

fn known(format: u16) -> Result<(), EntryError> {
    if format == FORMAT { Ok(()) } else { Err(EntryError::Format(format)) }
}

fn store(change: &Change) -> Stored<'_> {
    let id = |id: &String| Id { id: id.clone() };
    match change {
        Change::LeaseGranted(lease) => Stored::LeaseGranted(lease.as_ref().into()),
        Change::LeaseEnded { network, ip, end } => Stored::LeaseEnded(LeaseEnded::new(network, *ip, *end)),
        Change::Quarantined { network, ip, until, mac } => {
            let mac = mac.map(|mac| mac.to_string());
            Stored::Quarantined(Quarantined { network: network.clone(), ip: *ip, until: until.0, mac })
        }
        Change::ReservationPut(reservation) => Stored::ReservationPut(reservation.as_ref().into()),
        Change::ReservationRemoved { id: gone } => Stored::ReservationRemoved(id(gone)),
        Change::HostPut(host) => Stored::HostPut(host.as_ref().into()),
        Change::HostRemoved { id: gone } => Stored::HostRemoved(id(gone)),
        Change::RecordPut(record) => Stored::RecordPut(record.as_ref().into()),
        Change::RecordRemoved { id: gone } => Stored::RecordRemoved(id(gone)),
        Change::DevicePut(device) => Stored::DevicePut(Box::new(device.as_ref().into())),
        Change::DeviceRemoved { id: gone } => Stored::DeviceRemoved(id(gone)),
        Change::ConfigPut(config) => Stored::ConfigPut(config.as_ref().into()),
        Change::ConfigRemoved { id: gone } => Stored::ConfigRemoved(id(gone)),
        Change::TxAccepted(tx) => Stored::TxAccepted(tx.as_ref().into()),
        Change::TxReopened { key, members, deadline } => {
            Stored::TxReopened(TxReopened { key: key.into(), members: members.clone(), deadline: deadline.0 })
        }
        Change::TxFinal(tx) => Stored::TxFinal(tx.as_ref().into()),
        Change::TxCancelled { key, reason, message, outcomes } => {
            Stored::TxCancelled(TxCancelled::new(key, reason, message, outcomes))
        }
        Change::TxEnded { key, failed, outcomes } => Stored::TxEnded(TxEnded::new(key, *failed, outcomes)),
        Change::Seen { what, object, detail } => {
            Stored::Seen(Seen { what: what.name().to_owned(), object: object.clone(), detail: detail.clone() })
        }
        Change::PoolLow { network, subnet, percent, free, size } => {
            Stored::PoolLow(PoolLow::new(network, subnet, *percent, *free, *size))
        }
        Change::UnknownClient(stranger) => Stored::UnknownClient(Box::new(stranger.as_ref().into())),
        Change::Audit { who, action, object, detail } => Stored::Audit(Audit {
            who: who.clone(),
            action: action.clone(),
            object: object.clone(),
            detail: detail.clone(),
        }),
        Change::TokenPut(token) => Stored::TokenPut(token.as_ref().into()),
        Change::TokenRemoved { id: gone } => Stored::TokenRemoved(id(gone)),
    }
}

fn change(stored: Stored<'_>) -> Result<Change, EntryError> {
    Ok(match stored {
        Stored::LeaseGranted(lease) => Change::LeaseGranted(Box::new(lease.try_into()?)),
        Stored::LeaseEnded(ended) => ended.into(),
        Stored::Quarantined(q) => {
            let mac = q.mac.as_deref().map(values::mac).transpose()?;
            Change::Quarantined { network: q.network, ip: q.ip, until: crate::domain::time::Wall(q.until), mac }
        }
        Stored::ReservationPut(reservation) => Change::ReservationPut(Box::new(reservation.try_into()?)),
        Stored::ReservationRemoved(Id { id }) => Change::ReservationRemoved { id },
        Stored::HostPut(host) => Change::HostPut(Box::new(host.try_into()?)),
        Stored::HostRemoved(Id { id }) => Change::HostRemoved { id },
        Stored::RecordPut(record) => Change::RecordPut(Box::new(record.into())),
        Stored::RecordRemoved(Id { id }) => Change::RecordRemoved { id },
        Stored::DevicePut(device) => Change::DevicePut(Box::new((*device).try_into()?)),
        Stored::DeviceRemoved(Id { id }) => Change::DeviceRemoved { id },
        Stored::ConfigPut(config) => Change::ConfigPut(Box::new(config.try_into()?)),
        Stored::ConfigRemoved(Id { id }) => Change::ConfigRemoved { id },
        Stored::TxAccepted(tx) => Change::TxAccepted(Box::new(tx.into())),
        Stored::TxReopened(tx) => tx.into(),
        Stored::TxFinal(tx) => Change::TxFinal(Box::new(tx.into())),
        Stored::TxCancelled(tx) => tx.into(),
        Stored::TxEnded(tx) => tx.into(),
        Stored::Seen(Seen { what, object, detail }) => {
            let known = Sight::ALL.into_iter().find(|sight| sight.name() == what);
            let what = known.ok_or_else(|| EntryError::Unreadable(format!("nothing is called `{what}`")))?;
            Change::Seen { what, object, detail }
        }
        Stored::PoolLow(low) => low.try_into()?,
        Stored::UnknownClient(stranger) => Change::UnknownClient(Box::new((*stranger).try_into()?)),
        Stored::Audit(Audit { who, action, object, detail }) => Change::Audit { who, action, object, detail },
        Stored::TokenPut(token) => Change::TokenPut(Box::new(token.into())),
        Stored::TokenRemoved(Id { id }) => Change::TokenRemoved { id },
    })
}

impl From<&crate::domain::change::Token> for TokenPut {
    fn from(token: &crate::domain::change::Token) -> TokenPut {
        TokenPut {
            id: token.id.clone(),
            name: token.name.clone(),
            hash: token.hash.clone(),
            scopes: token.scopes.clone(),
            created: token.created.0,
        }
    }
}

impl From<TokenPut> for crate::domain::change::Token {
    fn from(token: TokenPut) -> crate::domain::change::Token {
        crate::domain::change::Token {
            id: token.id,
            name: token.name,
            hash: token.hash,
            scopes: token.scopes,
            created: crate::domain::time::Wall(token.created),
        }
    }
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;

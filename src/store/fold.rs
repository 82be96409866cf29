//! Brings the tables up behind the journal: a piece of it is reduced to the last state of each key here,
//! and written as one transaction by [`write`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::entries::hex;
use super::ledger::Entry;
use crate::domain::change::{Change, TxKey};
use crate::domain::lease::{Cause, ClientKey, End, Lease};

mod write;

pub(super) use write::{OBJECTS, prune, write};

type Address = (String, IpAddr);

/// A piece of the journal, reduced to the last state of each key.
#[derive(Default)]
pub(super) struct Folding {
    watermark: u64,
    /// The first end of each address: it ends the row that was there before.
    ends: BTreeMap<Address, Ended>,
    leases: BTreeMap<(Address, String), Granted>,
    history: BTreeMap<(Address, i64, String), Assigned>,
    address_quarantine: BTreeMap<Address, Stored>,
    objects: BTreeMap<(&'static str, String), Option<Stored>>,
    tx: BTreeMap<(String, String, i64), Stored>,
    tx_open: BTreeMap<(String, String), bool>,
    audit: Vec<(u64, i64, [String; 4])>,
    event: Vec<Stored>,
}

/// An entry as every table holds it.
#[derive(Clone)]
struct Stored {
    seq: u64,
    at: i64,
    text: String,
}

#[derive(Clone)]
struct Ended {
    entry: Stored,
    reason: &'static str,
}

struct Granted {
    entry: Stored,
    mac: Option<String>,
    fqdn: Option<String>,
    began: i64,
    expires: i64,
    end: Option<Stored>,
}

struct Assigned {
    seq: u64,
    mac: Option<String>,
    fqdn: Option<String>,
    hostname: Option<String>,
    expires: i64,
    ended: Option<(i64, &'static str)>,
}

impl Folding {
    /// Takes in the next entry, in seq order; `text` is its change as encoded.
    pub fn add(&mut self, entry: &Entry, text: &str) {
        self.watermark = entry.seq;
        let stored = Stored { seq: entry.seq, at: entry.at.0, text: text.to_owned() };
        if is_event(&entry.change) {
            self.event.push(stored.clone());
        }
        match &entry.change {
            Change::LeaseGranted(lease) => self.granted(lease, stored),
            Change::LeaseEnded { network, ip, end } => self.ended((network.clone(), *ip), *end, stored),
            Change::Quarantined { network, ip, .. } => {
                self.address_quarantine.insert((network.clone(), *ip), stored);
            }
            Change::ReservationPut(r) => self.put("reservation", &r.id, stored),
            Change::ReservationRemoved { id } => self.remove("reservation", id),
            Change::HostPut(h) => self.put("host", &h.id, stored),
            Change::HostRemoved { id } => self.remove("host", id),
            Change::RecordPut(r) => self.put("record", &r.id, stored),
            Change::RecordRemoved { id } => self.remove("record", id),
            Change::DevicePut(d) => self.put("device", &d.id, stored),
            Change::DeviceRemoved { id } => self.remove("device", id),
            Change::ConfigPut(c) => self.put("phone_config", &c.id, stored),
            Change::ConfigRemoved { id } => self.remove("phone_config", id),
            Change::TokenPut(t) => self.put("token", &t.id, stored),
            Change::TokenRemoved { id } => self.remove("token", id),
            Change::TxAccepted(tx) => self.step(&tx.key, 1, stored),
            Change::TxReopened { key, .. } => self.step(key, 2, stored),
            Change::TxFinal(tx) => self.step(&tx.key, 3, stored),
            Change::TxCancelled { key, .. } => self.step(key, 4, stored),
            Change::TxEnded { key, .. } => self.step(key, 5, stored),
            // it is an event, and no state
            Change::Seen { .. } => {}
            Change::Audit { who, action, object, detail } => {
                let line = [who, action, object, detail].map(String::clone);
                self.audit.push((stored.seq, stored.at, line));
            }
        }
    }

    fn put(&mut self, table: &'static str, id: &str, stored: Stored) {
        self.objects.insert((table, id.to_owned()), Some(stored));
    }

    fn remove(&mut self, table: &'static str, id: &str) {
        self.objects.insert((table, id.to_owned()), None);
    }

    fn step(&mut self, key: &TxKey, step: i64, stored: Stored) {
        let (source, txid) = tx_key(&key.source, &key.txid);
        self.tx_open.insert((source.clone(), txid.clone()), step < 4);
        self.tx.insert((source, txid, step), stored);
    }

    fn granted(&mut self, lease: &Lease, stored: Stored) {
        let address = (lease.network.clone(), lease.ip);
        let client = client_text(&lease.client);
        self.leases.retain(|(at, who), row| at != &address || who == &client || row.end.is_none());
        let mac = lease.mac.map(|m| m.to_string());
        self.history.insert(
            (address.clone(), lease.began.0, client.clone()),
            Assigned {
                seq: stored.seq,
                mac: mac.clone(),
                fqdn: lease.fqdn.clone(),
                hostname: lease.hostname.as_ref().map(|name| String::from_utf8_lossy(name).into_owned()),
                expires: lease.expires.0,
                ended: None,
            },
        );
        let (fqdn, began, expires) = (lease.fqdn.clone(), lease.began.0, lease.expires.0);
        self.leases.insert((address, client), Granted { entry: stored, mac, fqdn, began, expires, end: None });
    }

    fn ended(&mut self, address: Address, end: End, stored: Stored) {
        let reason = match end {
            End::Released => "released",
            End::Expired => "expired",
            End::Revoked => "revoked",
            End::Declined { .. } => {
                self.address_quarantine.insert(address.clone(), stored.clone());
                "declined"
            }
        };
        for ((at, _), row) in &mut self.leases {
            if at == &address && row.end.is_none() {
                row.end = Some(stored.clone());
            }
        }
        for ((at, ..), row) in &mut self.history {
            if at == &address && row.ended.is_none() {
                row.ended = Some((stored.at, reason));
            }
        }
        self.ends.entry(address).or_insert(Ended { entry: stored, reason });
    }
}

/// How the key of a transaction is stored: txids are compared with ASCII case ignored.
pub(super) fn tx_key(source: &str, txid: &str) -> (String, String) {
    (source.to_owned(), txid.to_ascii_lowercase())
}

/// What a subscriber of the bus may be shown again later: all but the extensions of leases, which are
/// live only (CL-506), the audit, which has its own table, and tokens.
fn is_event(change: &Change) -> bool {
    match change {
        Change::LeaseGranted(lease) => matches!(lease.cause, Cause::New),
        Change::Audit { .. } | Change::TokenPut(_) | Change::TokenRemoved { .. } => false,
        _ => true,
    }
}

fn client_text(client: &ClientKey) -> String {
    match client {
        ClientKey::Id(bytes) => format!("id:{}", hex::text(bytes)),
        ClientKey::Hw(kind, bytes) => format!("hw:{kind}:{}", hex::text(bytes)),
        ClientKey::Ia { duid, iaid, kind } => format!("{}:{iaid}:{}", kind.name(), hex::text(duid)),
    }
}

//! Brings the tables up behind the journal: entry by entry, in the order of their numbers, within a
//! transaction of whoever calls. An entry that a unique index refuses goes to the quarantine table, from
//! where every start replays it: nothing acknowledged is dropped.

use rusqlite::{Connection, Result, params};

use super::entries::{FORMAT, hex};
use super::ledger::Entry;
use super::sqlite::signed;
use crate::domain::change::{Change, TxKey};
use crate::domain::lease::{Cause, ClientKey};

/// Leases, their history, and addresses that are kept out of use.
mod lease;
/// What is older than its retention goes.
mod prune;

pub(super) use prune::prune;

/// The tables that hold one object a row, by its id.
pub(super) const OBJECTS: [&str; 6] = ["reservation", "host", "record", "device", "phone_config", "token"];

/// An entry as every table holds it.
struct Stored<'a> {
    seq: i64,
    at: i64,
    text: &'a str,
}

/// Takes the next entries into the tables, in seq order, each with its change as encoded; then moves the
/// watermark to the last of them, and lets go the journal rows that are done with.
pub(super) fn fold<'a>(c: &Connection, entries: impl Iterator<Item = (&'a Entry, &'a str)>) -> Result<()> {
    let mut watermark = None;
    for (entry, text) in entries {
        take(c, entry, text)?;
        watermark = Some(signed(entry.seq));
    }
    let Some(watermark) = watermark else { return Ok(()) };
    run(c, "UPDATE meta SET value = ? WHERE key = 'folded'", params![watermark.to_string()])?;
    // the first condition ends the search at the watermark: behind it there may be thousands of rows
    run(c, "DELETE FROM journal WHERE seq <= ?1 AND seq + n - 1 <= ?1", params![watermark]).map(drop)
}

/// Runs a statement that is kept prepared; returns how many rows it touched.
fn run(c: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
    c.prepare_cached(sql)?.execute(params)
}

fn take(c: &Connection, entry: &Entry, text: &str) -> Result<()> {
    let stored = Stored { seq: signed(entry.seq), at: entry.at.0, text };
    if is_event(&entry.change) {
        let sql = "INSERT OR REPLACE INTO event (seq, at, format, entry) VALUES (?, ?, ?, ?)";
        run(c, sql, params![stored.seq, stored.at, FORMAT, text])?;
    }
    match &entry.change {
        Change::LeaseGranted(granted) => lease::granted(c, granted, &stored),
        Change::LeaseEnded { network, ip, end } => lease::ended(c, network, *ip, *end, &stored),
        Change::Quarantined { network, ip, .. } => lease::quarantined(c, network, *ip, &stored),
        Change::ReservationPut(r) => put(c, "reservation", &r.id, &stored),
        Change::ReservationRemoved { id } => remove(c, "reservation", id),
        Change::HostPut(h) => put(c, "host", &h.id, &stored),
        Change::HostRemoved { id } => remove(c, "host", id),
        Change::RecordPut(r) => put(c, "record", &r.id, &stored),
        Change::RecordRemoved { id } => remove(c, "record", id),
        Change::DevicePut(d) => put(c, "device", &d.id, &stored),
        Change::DeviceRemoved { id } => remove(c, "device", id),
        Change::ConfigPut(config) => put(c, "phone_config", &config.id, &stored),
        Change::ConfigRemoved { id } => remove(c, "phone_config", id),
        Change::TokenPut(t) => put(c, "token", &t.id, &stored),
        Change::TokenRemoved { id } => remove(c, "token", id),
        Change::TxAccepted(tx) => step(c, &tx.key, 1, &stored),
        Change::TxReopened { key, .. } => step(c, key, 2, &stored),
        Change::TxFinal(tx) => step(c, &tx.key, 3, &stored),
        Change::TxCancelled { key, .. } => step(c, key, 4, &stored),
        Change::TxEnded { key, .. } => step(c, key, 5, &stored),
        // it is an event, and no state
        Change::Seen { .. } | Change::PoolLow { .. } | Change::UnknownClient(_) => Ok(()),
        Change::Audit { who, action, object, detail } => {
            let sql = "INSERT OR REPLACE INTO audit (seq, at, who, action, object, detail) VALUES (?, ?, ?, ?, ?, ?)";
            run(c, sql, params![stored.seq, stored.at, who, action, object, detail]).map(drop)
        }
    }
}

fn put(c: &Connection, table: &str, id: &str, stored: &Stored<'_>) -> Result<()> {
    let sql = format!("INSERT OR REPLACE INTO {table} (id, seq, at, format, entry) VALUES (?, ?, ?, ?, ?)");
    run(c, &sql, params![id, stored.seq, stored.at, FORMAT, stored.text]).map(drop)
}

fn remove(c: &Connection, table: &str, id: &str) -> Result<()> {
    run(c, &format!("DELETE FROM {table} WHERE id = ?"), params![id]).map(drop)
}

fn step(c: &Connection, key: &TxKey, step: i64, stored: &Stored<'_>) -> Result<()> {
    let (source, txid) = tx_key(&key.source, &key.txid);
    let sql = "INSERT OR REPLACE INTO tx (source, txid, step, seq, at, format, entry) VALUES (?, ?, ?, ?, ?, ?, ?)";
    run(c, sql, params![source, txid, step, stored.seq, stored.at, FORMAT, stored.text])?;
    let sql = match step {
        1..4 => "INSERT OR IGNORE INTO tx_open (source, txid) VALUES (?, ?)",
        _ => "DELETE FROM tx_open WHERE source = ? AND txid = ?",
    };
    run(c, sql, params![source, txid]).map(drop)
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

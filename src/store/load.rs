//! Reads the tables back as the changes that would make them, and the tail of the journal behind them.
//! A row of a table that cannot be read is set aside by name; a row of the journal that cannot be read
//! is a damaged database (RL-113).

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::disk::Tail;
use super::entries;
use super::fold::OBJECTS;
use super::ledger::{Entry, Recovered};
use super::open::OpenError;
use super::sqlite::{self, unsigned};
use crate::domain::time::Wall;

/// Everything that a start needs to know.
pub(super) fn load(c: &Connection) -> Result<(Recovered, Tail), OpenError> {
    let epoch = meta(c, "epoch")?;
    let folded = meta(c, "folded")?;
    let watermark: u64 =
        folded.parse().map_err(|_| OpenError::Damaged(format!("the watermark `{folded}` is no number")))?;
    let mut tables = Tables::default();
    read(c, &mut tables)?;
    let Tables { entries, findings } = tables;
    let mut entries: Vec<Entry> = entries.into_values().collect();
    if entries.last().is_some_and(|e| e.seq > watermark) {
        return Err(OpenError::Damaged("the tables hold entries beyond their watermark".to_owned()));
    }
    let (tail, head) = replay(c, watermark, &mut entries)?;
    Ok((Recovered { entries, head, epoch, findings }, tail))
}

fn meta(c: &Connection, key: &str) -> Result<String, OpenError> {
    let value = c.query_row("SELECT value FROM meta WHERE key = ?", params![key], |row| row.get(0)).optional()?;
    value.ok_or_else(|| OpenError::Damaged(format!("`{key}` is missing from the table meta")))
}

/// What the tables hold, in seq order; an entry that two tables hold is there once.
#[derive(Default)]
struct Tables {
    entries: BTreeMap<u64, Entry>,
    findings: Vec<String>,
}

impl Tables {
    fn add(&mut self, table: &str, seq: i64, at: i64, format: i64, text: &str) {
        let change = u16::try_from(format)
            .map_err(|_| entries::EntryError::Unreadable(format!("format {format}")))
            .and_then(|format| entries::decode(format, text));
        match change {
            Ok(change) => {
                let seq = unsigned(seq);
                self.entries.insert(seq, Entry { seq, at: Wall(at), change });
            }
            Err(e) => self.findings.push(format!("a row of the table {table} (entry {seq}) is set aside: {e}")),
        }
    }
}

fn read(c: &Connection, tables: &mut Tables) -> Result<(), OpenError> {
    let plain = OBJECTS.into_iter().chain(["lease", "address_quarantine", "quarantine"]);
    let plain = plain.map(|table| (table, format!("SELECT seq, at, format, entry FROM {table}")));
    let ends = "SELECT end_seq, end_at, format, end_entry FROM lease WHERE end_seq IS NOT NULL".to_owned();
    let open = "SELECT seq, at, format, entry FROM tx JOIN tx_open USING (source, txid)".to_owned();
    for (table, sql) in plain.chain([("lease", ends), ("tx", open)]) {
        let mut statement = c.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
            tables.add(table, row.get(0)?, row.get(1)?, row.get(2)?, text);
        }
    }
    Ok(())
}

/// Appends the unfolded entries; returns them as the port's tail, and the highest number.
fn replay(c: &Connection, watermark: u64, entries: &mut Vec<Entry>) -> Result<(Tail, u64), OpenError> {
    let mut tail = Tail::default();
    let mut head = watermark;
    let mut statement = c.prepare("SELECT seq, n, at, format, crc, entries FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, n) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
        let damaged = |why: String| OpenError::Damaged(format!("row {seq} of the journal {why}"));
        let last = seq + n.max(1) - 1;
        if last <= watermark {
            continue;
        }
        if seq > head + 1 || (seq <= head && head > watermark) {
            return Err(damaged(format!("does not follow entry {head}")));
        }
        let text: String = row.get(5)?;
        if i64::from(sqlite::crc(text.as_bytes())) != row.get::<_, i64>(4)? {
            return Err(damaged("has a wrong checksum".to_owned()));
        }
        let format = u16::try_from(row.get::<_, i64>(3)?).unwrap_or(u16::MAX);
        let changes = entries::decode_row(format, &text).map_err(|e| damaged(e.to_string()))?;
        if changes.len() as u64 != n {
            return Err(damaged(format!("holds {} entries instead of {n}", changes.len())));
        }
        let at = Wall(row.get(2)?);
        let batch: Vec<Entry> = changes.into_iter().zip(seq..).map(|(change, seq)| Entry { seq, at, change }).collect();
        let done = batch.iter().filter(|e| e.seq <= watermark).count();
        entries.extend_from_slice(&batch[done..]);
        tail.push(sqlite::batch(batch).map_err(|e| damaged(e.to_string()))?, done);
        head = last;
    }
    Ok((tail, head))
}

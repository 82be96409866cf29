//! Reads the tables back as the changes that would make them, and the tail of the journal behind them.
//! A row of a table that cannot be read is set aside by name; a row of the journal that cannot be read
//! is a damaged database (RL-113).

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::entries;
use super::fold::OBJECTS;
use super::ledger::{Entry, Recovered};
use super::open::OpenError;
use super::sqlite::{self, Tail, unsigned};
use crate::domain::time::Wall;

/// Everything that a start needs to know.
pub(super) async fn load(c: &mut SqliteConnection) -> Result<(Recovered, Tail), OpenError> {
    let epoch = meta(c, "epoch").await?;
    let folded = meta(c, "folded").await?;
    let watermark: u64 =
        folded.parse().map_err(|_| OpenError::Damaged(format!("the watermark `{folded}` is no number")))?;
    let mut tables = Tables::default();
    read(c, &mut tables).await?;
    let Tables { entries, findings } = tables;
    let mut entries: Vec<Entry> = entries.into_values().collect();
    if entries.last().is_some_and(|e| e.seq > watermark) {
        return Err(OpenError::Damaged("the tables hold entries beyond their watermark".to_owned()));
    }
    let (tail, head) = replay(c, watermark, &mut entries).await?;
    Ok((Recovered { entries, head, epoch, findings }, tail))
}

async fn meta(c: &mut SqliteConnection, key: &str) -> Result<String, OpenError> {
    sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
        .bind(key)
        .fetch_optional(c)
        .await?
        .ok_or_else(|| OpenError::Damaged(format!("`{key}` is missing from the table meta")))
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

async fn read(c: &mut SqliteConnection, tables: &mut Tables) -> Result<(), sqlx::Error> {
    let plain = OBJECTS.into_iter().chain(["lease", "address_quarantine", "quarantine"]);
    for table in plain {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT seq, at, format, entry FROM ");
        for row in sql.push(table).build().fetch_all(&mut *c).await? {
            tables.add(table, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        }
    }
    let ends = "SELECT end_seq, end_at, format, end_entry FROM lease WHERE end_seq IS NOT NULL";
    let open = "SELECT seq, at, format, entry FROM tx JOIN tx_open USING (source, txid)";
    for (table, sql) in [("lease", ends), ("tx", open)] {
        for row in sqlx::query(sql).fetch_all(&mut *c).await? {
            tables.add(table, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        }
    }
    Ok(())
}

/// Appends the unfolded entries; returns them as the port's tail, and the highest number.
async fn replay(c: &mut SqliteConnection, watermark: u64, entries: &mut Vec<Entry>) -> Result<(Tail, u64), OpenError> {
    let mut tail = Tail::default();
    let mut head = watermark;
    let rows = sqlx::query("SELECT seq, n, at, format, crc, entries FROM journal ORDER BY seq").fetch_all(c).await?;
    for row in rows {
        let (seq, n) = (unsigned(row.try_get(0)?), unsigned(row.try_get(1)?));
        let damaged = |why: String| OpenError::Damaged(format!("row {seq} of the journal {why}"));
        let last = seq + n.max(1) - 1;
        if last <= watermark {
            continue;
        }
        if seq > head + 1 || (seq <= head && head > watermark) {
            return Err(damaged(format!("does not follow entry {head}")));
        }
        let text: String = row.try_get(5)?;
        if i64::from(sqlite::crc(text.as_bytes())) != row.try_get::<i64, _>(4)? {
            return Err(damaged("has a wrong checksum".to_owned()));
        }
        let format = u16::try_from(row.try_get::<i64, _>(3)?).unwrap_or(u16::MAX);
        let changes = entries::decode_row(format, &text).map_err(|e| damaged(e.to_string()))?;
        if changes.len() as u64 != n {
            return Err(damaged(format!("holds {} entries instead of {n}", changes.len())));
        }
        let at = Wall(row.try_get(2)?);
        let batch: Vec<Entry> = changes.into_iter().zip(seq..).map(|(change, seq)| Entry { seq, at, change }).collect();
        let done = batch.iter().filter(|e| e.seq <= watermark).count();
        entries.extend_from_slice(&batch[done..]);
        tail.push(sqlite::batch(batch).map_err(|e| damaged(e.to_string()))?, done);
        head = last;
    }
    Ok((tail, head))
}

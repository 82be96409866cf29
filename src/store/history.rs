//! What outlives the journal: events, transactions, audit, assignments of addresses. Read through a small
//! pool of its own that cannot write.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions, Row as _, Sqlite, SqlitePool};

use super::entries;
use super::fold::tx_key;
use super::ledger::Entry;
use super::memory::Memory;
use super::sqlite::{signed, unsigned};
use super::unfolded::{Unfolded, transaction};
use crate::domain::change::{Change, TxKey};
use crate::domain::net::Mac;
use crate::domain::time::Wall;

/// Rows that one call returns at most.
pub const PAGE: usize = 1000;

/// Why history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history cannot be read: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("an old entry cannot be read: {0}")]
    Entry(#[from] entries::EntryError),
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    pub seq: u64,
    pub at: Wall,
    pub who: String,
    pub action: String,
    pub object: String,
    pub detail: String,
}

/// One assignment of an address to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub network: String,
    pub ip: String,
    /// `id:` or `hw:1:` and hexadecimal digits.
    pub client: String,
    pub mac: Option<String>,
    pub fqdn: Option<String>,
    pub hostname: Option<String>,
    pub began: Wall,
    /// As of its last extension.
    pub expires: Wall,
    pub ended: Option<Wall>,
    /// released, expired, declined, revoked.
    pub reason: Option<String>,
}

/// Which assignments are asked for; what is absent does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub ip: Option<IpAddr>,
    pub mac: Option<Mac>,
    /// Only those that lasted at that time.
    pub at: Option<Wall>,
}

/// Questions to the past. `limit` is cut to [`PAGE`].
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// Events with a number above `after`, in order, for replay (`Last-Event-ID`, CL-505). From the tables
    /// without extensions of leases, audit and tokens, from the journal's tail with them. Fewer than `limit`
    /// means that the end was reached; what was committed since comes through [`super::Ledger::subscribe`].
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Entry>, HistoryError>;

    /// The number of the oldest event that is kept: a cursor below it missed something (410 `gone`).
    async fn oldest_event(&self) -> Result<Option<u64>, HistoryError>;

    /// All kept entries of one transaction, in order; empty if it is unknown (CL-502).
    async fn transaction(&self, key: &TxKey) -> Result<Vec<Entry>, HistoryError>;

    /// The audit, newest first, below the number `before` if given.
    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditLine>, HistoryError>;

    /// Who held an address, or what addresses a MAC held, newest first. What was granted in the last moments
    /// may be missing: it is in the views.
    async fn assignments(&self, asked: &Asked, limit: usize) -> Result<Vec<Assignment>, HistoryError>;
}

/// History in the database.
#[derive(Debug, Clone)]
pub struct SqliteHistory {
    pool: SqlitePool,
    unfolded: Unfolded,
}

impl SqliteHistory {
    /// A pool of read-only connections on an existing database, whose journal's tail `unfolded` knows.
    pub(super) async fn open(path: &Path, unfolded: Unfolded) -> Result<SqliteHistory, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("query_only", "ON")
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .min_connections(0)
            .idle_timeout(Duration::from_secs(60))
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options);
        Ok(SqliteHistory { pool, unfolded })
    }

    /// Ends the connections; a checkpoint on close needs them gone.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl History for SqliteHistory {
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Entry>, HistoryError> {
        let limit = limit.min(PAGE);
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query("SELECT seq, at, format, entry FROM event WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(signed(after))
            .bind(limit as i64)
            .fetch_all(&mut *tx)
            .await?;
        let mut out = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        if out.len() < limit {
            out.extend(tail(&mut tx, after, limit - out.len()).await?);
        }
        tx.commit().await?;
        Ok(out)
    }

    async fn oldest_event(&self) -> Result<Option<u64>, HistoryError> {
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT coalesce((SELECT min(seq) FROM event), (SELECT min(seq) FROM journal))")
                .fetch_one(&self.pool)
                .await?;
        Ok(oldest.map(unsigned))
    }

    async fn transaction(&self, key: &TxKey) -> Result<Vec<Entry>, HistoryError> {
        let key = tx_key(&key.source, &key.txid);
        // in this order: what is folded in between is found twice, not missed
        let unfolded = self.unfolded.of(&key);
        let rows = sqlx::query("SELECT seq, at, format, entry FROM tx WHERE source = ? AND txid = ? ORDER BY seq")
            .bind(&key.0)
            .bind(&key.1)
            .fetch_all(&self.pool)
            .await?;
        let mut out = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let folded = out.last().map_or(0, |e| e.seq);
        out.extend(unfolded.into_iter().filter(|e| e.seq > folded));
        Ok(out)
    }

    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditLine>, HistoryError> {
        let rows = sqlx::query(
            "SELECT seq, at, who, action, object, detail FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(before.map_or(i64::MAX, signed))
        .bind(limit.min(PAGE) as i64)
        .fetch_all(&self.pool)
        .await?;
        let line = |row: SqliteRow| {
            Ok(AuditLine {
                seq: unsigned(row.try_get(0)?),
                at: Wall(row.try_get(1)?),
                who: row.try_get(2)?,
                action: row.try_get(3)?,
                object: row.try_get(4)?,
                detail: row.try_get(5)?,
            })
        };
        rows.into_iter().map(line).collect()
    }

    async fn assignments(&self, asked: &Asked, limit: usize) -> Result<Vec<Assignment>, HistoryError> {
        let mut sql = sqlx::QueryBuilder::<Sqlite>::new(
            "SELECT network, ip, client, mac, fqdn, hostname, began, expires, ended, reason FROM lease_history WHERE 1",
        );
        if let Some(ip) = asked.ip {
            sql.push(" AND ip = ").push_bind(ip.to_string());
        }
        if let Some(mac) = asked.mac {
            sql.push(" AND mac = ").push_bind(mac.to_string());
        }
        if let Some(at) = asked.at {
            sql.push(" AND began <= ").push_bind(at.0).push(" AND coalesce(ended, expires) >= ").push_bind(at.0);
        }
        sql.push(" ORDER BY began DESC LIMIT ").push_bind(limit.min(PAGE) as i64);
        let rows = sql.build().fetch_all(&self.pool).await?;
        let assignment = |row: SqliteRow| {
            Ok(Assignment {
                network: row.try_get(0)?,
                ip: row.try_get(1)?,
                client: row.try_get(2)?,
                mac: row.try_get(3)?,
                fqdn: row.try_get(4)?,
                hostname: row.try_get(5)?,
                began: Wall(row.try_get(6)?),
                expires: Wall(row.try_get(7)?),
                ended: row.try_get::<Option<i64>, _>(8)?.map(Wall),
                reason: row.try_get(9)?,
            })
        };
        rows.into_iter().map(assignment).collect()
    }
}

fn entry(row: &SqliteRow) -> Result<Entry, HistoryError> {
    let format = u16::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u16::MAX);
    let change = entries::decode(format, row.try_get(3)?)?;
    Ok(Entry { seq: unsigned(row.try_get(0)?), at: Wall(row.try_get(1)?), change })
}

/// Entries above `after` that are in the journal and not yet in the tables.
async fn tail(tx: &mut sqlx::Transaction<'_, Sqlite>, after: u64, limit: usize) -> Result<Vec<Entry>, HistoryError> {
    let folded: String = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'folded'").fetch_one(&mut **tx).await?;
    let after = after.max(folded.parse().unwrap_or(0));
    let sql = "SELECT seq, at, format, entries FROM journal WHERE seq + n - 1 > ? ORDER BY seq LIMIT ?";
    let rows = sqlx::query(sql)
        .bind(signed(after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut **tx)
        .await?;
    let mut out = Vec::new();
    for row in rows {
        let format = u16::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u16::MAX);
        let (first, at) = (unsigned(row.try_get(0)?), Wall(row.try_get(1)?));
        let changes = entries::decode_row(format, row.try_get(3)?)?;
        let entries = changes.into_iter().zip(first..).map(|(change, seq)| Entry { seq, at, change });
        out.extend(entries.filter(|e| e.seq > after));
        if out.len() >= limit {
            break;
        }
    }
    out.truncate(limit);
    Ok(out)
}

fn is_of(change: &Change, source: &str, txid: &str) -> bool {
    transaction(change).is_some_and(|key| key.source == source && key.txid.eq_ignore_ascii_case(txid))
}

/// For tests: all of a journal in memory is its history.
#[async_trait]
impl History for Memory {
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Entry>, HistoryError> {
        let entries = self.recovered().entries.into_iter().filter(|e| e.seq > after);
        Ok(entries.take(limit.min(PAGE)).collect())
    }

    async fn oldest_event(&self) -> Result<Option<u64>, HistoryError> {
        Ok(self.recovered().entries.first().map(|e| e.seq))
    }

    async fn transaction(&self, key: &TxKey) -> Result<Vec<Entry>, HistoryError> {
        let entries = self.recovered().entries.into_iter();
        Ok(entries.filter(|e| is_of(&e.change, &key.source, &key.txid)).collect())
    }

    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditLine>, HistoryError> {
        let line = |e: Entry| match e.change {
            Change::Audit { who, action, object, detail } if before.is_none_or(|before| e.seq < before) => {
                Some(AuditLine { seq: e.seq, at: e.at, who, action, object, detail })
            }
            _ => None,
        };
        Ok(self.recovered().entries.into_iter().rev().filter_map(line).take(limit.min(PAGE)).collect())
    }

    async fn assignments(&self, _asked: &Asked, _limit: usize) -> Result<Vec<Assignment>, HistoryError> {
        Ok(Vec::new())
    }
}

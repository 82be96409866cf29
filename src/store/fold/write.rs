//! One transaction brings the tables up: multi-row statements, watermark included. First ends what ends,
//! then begins what begins. An entry that a unique index refuses goes to the quarantine table, from where
//! every start replays it: nothing acknowledged is dropped.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{Address, Folding, Granted, Stored};
use crate::store::entries::FORMAT;
use crate::store::sqlite::signed;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// One transaction: the tables, the quarantine, the watermark, and the journal rows that are done with.
pub(in crate::store) async fn write(c: &mut SqliteConnection, folding: &Folding) -> Result<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *c).await?;
    let done = match write_all(c, folding).await {
        Ok(()) => sqlx::query("COMMIT").execute(&mut *c).await.map(drop),
        Err(e) => Err(e),
    };
    if done.is_err() {
        // A failed statement may have rolled back on its own; then there is nothing to undo.
        if let Err(e) = sqlx::query("ROLLBACK").execute(&mut *c).await {
            tracing::debug!(%e, "rollback after a failed fold");
        }
    }
    done
}

async fn write_all(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    end_leases(c, f).await?;
    let mut refused = begin_leases(c, f).await?;
    write_history(c, f).await?;
    write_address_quarantine(c, f).await?;
    write_objects(c, f).await?;
    write_transactions(c, f).await?;
    write_logs(c, f).await?;
    refused.sort_by_key(|(stored, _)| stored.seq);
    if !refused.is_empty() {
        tracing::error!(count = refused.len(), "two active leases of one address: the later ones are in quarantine");
        let mut sql = QueryBuilder::new("INSERT OR REPLACE INTO quarantine (seq, at, format, entry, reason) ");
        sql.push_values(&refused, |mut row, (stored, reason)| {
            bind_stored(&mut row, stored);
            row.push_bind(reason);
        });
        run(c, sql).await?;
    }
    sqlx::query("UPDATE meta SET value = ? WHERE key = 'folded'")
        .bind(f.watermark.to_string())
        .execute(&mut *c)
        .await?;
    // the first condition ends the search at the watermark: behind it there may be thousands of rows
    let sql = "DELETE FROM journal WHERE seq <= ?1 AND seq + n - 1 <= ?1";
    sqlx::query(sql).bind(signed(f.watermark)).execute(c).await.map(drop)
}

async fn run(c: &mut SqliteConnection, mut sql: QueryBuilder<Sqlite>) -> Result<()> {
    sql.build().execute(c).await.map(drop)
}

type Row<'a, 'b> = sqlx::query_builder::Separated<'a, Sqlite, &'b str>;

/// seq, at, format, entry.
fn bind_stored(row: &mut Row<'_, '_>, stored: &Stored) {
    row.push_bind(signed(stored.seq)).push_bind(stored.at).push_bind(i64::from(FORMAT)).push_bind(stored.text.clone());
}

async fn end_leases(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    if f.ends.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::new(
        "UPDATE lease SET active = 0, end_seq = e.column3, end_at = e.column4, end_entry = e.column5 FROM (",
    );
    sql.push_values(&f.ends, |mut row, ((network, ip), end)| {
        row.push_bind(network.clone()).push_bind(ip.to_string());
        row.push_bind(signed(end.entry.seq)).push_bind(end.entry.at).push_bind(end.entry.text.clone());
    });
    sql.push(") AS e WHERE lease.network = e.column1 AND lease.ip = e.column2 AND lease.active = 1");
    run(c, sql).await
}

/// Returns what the index over active rows refused.
async fn begin_leases(c: &mut SqliteConnection, f: &Folding) -> Result<Vec<(Stored, String)>> {
    if f.leases.is_empty() {
        return Ok(Vec::new());
    }
    let addresses: BTreeSet<&Address> = f.leases.keys().map(|(address, _)| address).collect();
    let mut sql = QueryBuilder::new("DELETE FROM lease WHERE active = 0 AND (network, ip) IN (");
    sql.push_values(addresses, |mut row, (network, ip)| {
        row.push_bind(network.clone()).push_bind(ip.to_string());
    });
    sql.push(")");
    run(c, sql).await?;
    let Err(error) = run(c, leases(f.leases.iter())).await else { return Ok(Vec::new()) };
    if !is_unique(&error) {
        return Err(error);
    }
    let mut in_order: Vec<_> = f.leases.iter().collect();
    in_order.sort_by_key(|(_, granted)| granted.entry.seq);
    let mut refused = Vec::new();
    for row in in_order {
        match run(c, leases(std::iter::once(row))).await {
            Ok(()) => {}
            Err(e) if is_unique(&e) => {
                refused.push((row.1.entry.clone(), e.to_string()));
                refused.extend(row.1.end.clone().map(|end| (end, "ends a lease in quarantine".to_owned())));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(refused)
}

fn is_unique(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation())
}

fn leases<'a>(rows: impl Iterator<Item = (&'a (Address, String), &'a Granted)>) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(
        "INSERT INTO lease (network, ip, client, mac, fqdn, active, began, expires, \
         seq, at, format, entry, end_seq, end_at, end_entry) ",
    );
    sql.push_values(rows, |mut row, (((network, ip), client), granted)| {
        row.push_bind(network.clone()).push_bind(ip.to_string()).push_bind(client.clone());
        row.push_bind(granted.mac.clone()).push_bind(granted.fqdn.clone()).push_bind(granted.end.is_none());
        row.push_bind(granted.began).push_bind(granted.expires);
        bind_stored(&mut row, &granted.entry);
        row.push_bind(granted.end.as_ref().map(|e| signed(e.seq))).push_bind(granted.end.as_ref().map(|e| e.at));
        row.push_bind(granted.end.as_ref().map(|e| e.text.clone()));
    });
    sql.push(
        " ON CONFLICT (network, ip, client) DO UPDATE SET mac = excluded.mac, fqdn = excluded.fqdn, \
         active = excluded.active, began = excluded.began, expires = excluded.expires, seq = excluded.seq, \
         at = excluded.at, format = excluded.format, entry = excluded.entry, end_seq = excluded.end_seq, \
         end_at = excluded.end_at, end_entry = excluded.end_entry",
    );
    sql
}

async fn write_history(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    if !f.ends.is_empty() {
        let mut sql = QueryBuilder::new("UPDATE lease_history SET ended = e.column3, reason = e.column4 FROM (");
        sql.push_values(&f.ends, |mut row, ((network, ip), end)| {
            row.push_bind(network.clone()).push_bind(ip.to_string());
            row.push_bind(end.entry.at).push_bind(end.reason);
        });
        sql.push(
            ") AS e WHERE lease_history.network = e.column1 AND lease_history.ip = e.column2 \
             AND lease_history.ended IS NULL",
        );
        run(c, sql).await?;
    }
    if f.history.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::new(
        "INSERT INTO lease_history (network, ip, began, client, mac, fqdn, hostname, expires, ended, reason, seq) ",
    );
    sql.push_values(&f.history, |mut row, (((network, ip), began, client), assigned)| {
        row.push_bind(network.clone()).push_bind(ip.to_string()).push_bind(*began).push_bind(client.clone());
        row.push_bind(assigned.mac.clone()).push_bind(assigned.fqdn.clone()).push_bind(assigned.hostname.clone());
        row.push_bind(assigned.expires).push_bind(assigned.ended.map(|(at, _)| at));
        row.push_bind(assigned.ended.map(|(_, reason)| reason)).push_bind(signed(assigned.seq));
    });
    sql.push(
        " ON CONFLICT (network, ip, began, client) DO UPDATE SET mac = excluded.mac, fqdn = excluded.fqdn, \
         hostname = excluded.hostname, expires = excluded.expires, ended = excluded.ended, \
         reason = excluded.reason, seq = excluded.seq",
    );
    run(c, sql).await
}

async fn write_address_quarantine(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    if f.address_quarantine.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::new("INSERT OR REPLACE INTO address_quarantine (network, ip, seq, at, format, entry) ");
    sql.push_values(&f.address_quarantine, |mut row, ((network, ip), stored)| {
        row.push_bind(network.clone()).push_bind(ip.to_string());
        bind_stored(&mut row, stored);
    });
    run(c, sql).await
}

/// The tables that hold one object a row, by its id.
pub(in crate::store) const OBJECTS: [&str; 6] = ["reservation", "host", "record", "device", "phone_config", "token"];

async fn write_objects(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    for table in OBJECTS {
        let rows = || f.objects.iter().filter(|((at, _), _)| *at == table);
        let gone: Vec<&String> = rows().filter(|(_, stored)| stored.is_none()).map(|((_, id), _)| id).collect();
        if !gone.is_empty() {
            let mut sql = QueryBuilder::new("DELETE FROM ");
            sql.push(table).push(" WHERE id IN (");
            sql.push_values(gone, |mut row, id| {
                row.push_bind(id.clone());
            });
            sql.push(")");
            run(c, sql).await?;
        }
        let put: Vec<(&String, &Stored)> =
            rows().filter_map(|((_, id), stored)| stored.as_ref().map(|s| (id, s))).collect();
        if !put.is_empty() {
            let mut sql = QueryBuilder::new("INSERT OR REPLACE INTO ");
            sql.push(table).push(" (id, seq, at, format, entry) ");
            sql.push_values(put, |mut row, (id, stored)| {
                row.push_bind(id.clone());
                bind_stored(&mut row, stored);
            });
            run(c, sql).await?;
        }
    }
    Ok(())
}

async fn write_transactions(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    if f.tx.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::new("INSERT OR REPLACE INTO tx (source, txid, step, seq, at, format, entry) ");
    sql.push_values(&f.tx, |mut row, ((source, txid, step), stored)| {
        row.push_bind(source.clone()).push_bind(txid.clone()).push_bind(*step);
        bind_stored(&mut row, stored);
    });
    run(c, sql).await?;
    for (open, sql, end) in [
        (true, "INSERT OR IGNORE INTO tx_open (source, txid) ", ""),
        (false, "DELETE FROM tx_open WHERE (source, txid) IN (", ")"),
    ] {
        let keys: Vec<_> = f.tx_open.iter().filter(|(_, is)| **is == open).map(|(key, _)| key).collect();
        if !keys.is_empty() {
            let mut sql = QueryBuilder::new(sql);
            sql.push_values(keys, |mut row, (source, txid)| {
                row.push_bind(source.clone()).push_bind(txid.clone());
            });
            sql.push(end);
            run(c, sql).await?;
        }
    }
    Ok(())
}

async fn write_logs(c: &mut SqliteConnection, f: &Folding) -> Result<()> {
    if !f.audit.is_empty() {
        let mut sql = QueryBuilder::new("INSERT OR REPLACE INTO audit (seq, at, who, action, object, detail) ");
        sql.push_values(&f.audit, |mut row, (seq, at, line)| {
            row.push_bind(signed(*seq)).push_bind(*at);
            for part in line {
                row.push_bind(part.clone());
            }
        });
        run(c, sql).await?;
    }
    if !f.event.is_empty() {
        let mut sql = QueryBuilder::new("INSERT OR REPLACE INTO event (seq, at, format, entry) ");
        sql.push_values(&f.event, |mut row, stored| bind_stored(&mut row, stored));
        run(c, sql).await?;
    }
    Ok(())
}

/// Days that the append-only tables reach back, before the newest entry.
const KEPT: [(&str, i64); 3] = [("event", 30), ("tx", 60), ("audit", 365)];

/// Octets of old events, at most: then the oldest go before their time (CL-507).
const EVENT_BYTES: i64 = 1 << 30;

/// Removes what is older than its retention, at most 1,000 rows a table; true if there may be more.
/// Assignments of addresses are kept for `history_days` after their end.
pub(in crate::store) async fn prune(c: &mut SqliteConnection, history_days: i64) -> Result<bool> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT at FROM event ORDER BY seq DESC LIMIT 1").fetch_optional(&mut *c).await?;
    let Some(newest) = newest else { return Ok(false) };
    let mut more = false;
    for (table, days) in KEPT {
        let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM ");
        sql.push(table).push(" WHERE seq IN (SELECT seq FROM (SELECT seq, at FROM ").push(table);
        sql.push(" ORDER BY seq LIMIT 1000) WHERE at < ").push_bind(newest.saturating_sub(days * 86_400_000));
        // a transaction that is open is kept for as long as it takes
        sql.push(if table == "tx" { ") AND (source, txid) NOT IN (SELECT source, txid FROM tx_open)" } else { ")" });
        more |= sql.build().execute(&mut *c).await?.rows_affected() == 1000;
    }
    // who holds an address now is never forgotten
    let sql = "DELETE FROM lease_history WHERE (network, ip, began, client) IN (SELECT network, ip, began, client \
         FROM lease_history WHERE ended < ? LIMIT 1000)";
    let before = newest.saturating_sub(history_days.saturating_mul(86_400_000));
    more |= sqlx::query(sql).bind(before).execute(&mut *c).await?.rows_affected() == 1000;
    Ok(more | cut_events(c, EVENT_BYTES).await?)
}

/// Removes the oldest 1,000 events if all of them, by the size of the newest, hold more octets than that.
async fn cut_events(c: &mut SqliteConnection, most: i64) -> Result<bool> {
    // there are at most as many as numbers between the first and the last: counting takes longer
    let (span, size): (Option<i64>, Option<f64>) = sqlx::query_as(
        "SELECT (SELECT max(seq) FROM event) - (SELECT min(seq) FROM event) + 1, \
         (SELECT avg(length(entry)) FROM (SELECT entry FROM event ORDER BY seq DESC LIMIT 100))",
    )
    .fetch_one(&mut *c)
    .await?;
    // a row's key and header, roughly
    let each = size.unwrap_or(0.0) + 32.0;
    #[allow(clippy::cast_precision_loss)]
    let fits = |count: i64| count as f64 * each <= most as f64;
    if fits(span.unwrap_or(0)) || fits(sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut *c).await?) {
        return Ok(false);
    }
    let sql = "DELETE FROM event WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT 1000)";
    Ok(sqlx::query(sql).execute(&mut *c).await?.rows_affected() == 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection;

    async fn database() -> SqliteConnection {
        let mut c = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
        let schema = include_str!("../../../migrations/sqlite/0001_journal_and_tables.sql");
        sqlx::raw_sql(schema).execute(&mut c).await.expect("a schema");
        c
    }

    async fn count(c: &mut SqliteConnection, table: &'static str) -> i64 {
        let sql = if table == "event" { "SELECT count(*) FROM event" } else { "SELECT count(*) FROM lease_history" };
        sqlx::query_scalar(sql).fetch_one(c).await.expect("counted")
    }

    #[tokio::test]
    async fn events_beyond_their_bound_go_the_oldest_first() {
        let mut c = database().await;
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
             INSERT INTO event SELECT i, 0, 1, 'xxxxxxxx' FROM n";
        sqlx::raw_sql(sql).execute(&mut c).await.expect("filled");
        assert!(!cut_events(&mut c, 3000 * 40).await.expect("looked"), "they fit");
        assert!(cut_events(&mut c, 2500 * 40).await.expect("cut"));
        assert_eq!(count(&mut c, "event").await, 2000);
        let oldest: i64 = sqlx::query_scalar("SELECT min(seq) FROM event").fetch_one(&mut c).await.expect("read");
        assert_eq!(oldest, 1001);
    }

    #[tokio::test]
    async fn an_assignment_is_kept_as_long_as_the_law_wants_and_one_that_lasts_for_ever() {
        let mut c = database().await;
        let day = 86_400_000_i64;
        let sql = format!(
            "INSERT INTO event VALUES (1, {}, 1, 'x'); INSERT INTO lease_history \
             (network, ip, began, client, expires, ended, seq) VALUES \
             ('a', '10.0.0.1', 0, 'hw:1:02', {day}, {day}, 1), ('a', '10.0.0.2', 0, 'hw:1:03', {day}, NULL, 2), \
             ('a', '10.0.0.3', 0, 'hw:1:04', {day}, {}, 3);",
            400 * day,
            300 * day
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut c).await.expect("filled");
        prune(&mut c, 365).await.expect("pruned");
        assert_eq!(count(&mut c, "lease_history").await, 2);
        prune(&mut c, 30).await.expect("pruned");
        assert_eq!(count(&mut c, "lease_history").await, 1, "who has the address now");
    }
}

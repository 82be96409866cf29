//! What the append-only tables forget, and when. A bounded piece of work at a time.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

/// Days that the append-only tables reach back, before the newest entry.
const KEPT: [(&str, i64); 3] = [("event", 30), ("tx", 60), ("audit", 365)];

/// Octets of old events, at most: then the oldest go before their time (CL-507).
const EVENT_BYTES: i64 = 1 << 30;

/// Removes what is older than its retention, at most 1,000 rows a table; true if there may be more.
/// Assignments of addresses are kept for `history_days` after their end.
pub(in crate::store) fn prune(c: &Connection, history_days: i64) -> Result<bool> {
    let newest: Option<i64> =
        c.query_row("SELECT at FROM event ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    let Some(newest) = newest else { return Ok(false) };
    let mut more = false;
    for (table, days) in KEPT {
        // a transaction that is open is kept for as long as it takes
        let but = if table == "tx" { "AND (source, txid) NOT IN (SELECT source, txid FROM tx_open)" } else { "" };
        let sql = format!(
            "DELETE FROM {table} WHERE seq IN (SELECT seq FROM (SELECT seq, at FROM {table} ORDER BY seq LIMIT 1000) \
             WHERE at < ?) {but}"
        );
        more |= c.execute(&sql, params![newest.saturating_sub(days * 86_400_000)])? == 1000;
    }
    // who holds an address now is never forgotten
    let sql = "DELETE FROM lease_history WHERE (network, ip, began, client) IN (SELECT network, ip, began, client \
         FROM lease_history WHERE ended < ? LIMIT 1000)";
    let before = newest.saturating_sub(history_days.saturating_mul(86_400_000));
    more |= c.execute(sql, params![before])? == 1000;
    Ok(more | cut_events(c, EVENT_BYTES)?)
}

/// Removes the oldest 1,000 events if all of them, by the size of the newest, hold more octets than that.
fn cut_events(c: &Connection, most: i64) -> Result<bool> {
    // there are at most as many as numbers between the first and the last: counting takes longer
    let sql = "SELECT (SELECT max(seq) FROM event) - (SELECT min(seq) FROM event) + 1, \
         (SELECT avg(length(entry)) FROM (SELECT entry FROM event ORDER BY seq DESC LIMIT 100))";
    let (span, size): (Option<i64>, Option<f64>) = c.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // a row's key and header, roughly
    let each = size.unwrap_or(0.0) + 32.0;
    #[allow(clippy::cast_precision_loss)]
    let fits = |count: i64| count as f64 * each <= most as f64;
    if fits(span.unwrap_or(0)) || fits(c.query_row("SELECT count(*) FROM event", [], |row| row.get(0))?) {
        return Ok(false);
    }
    let sql = "DELETE FROM event WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT 1000)";
    Ok(c.execute(sql, [])? == 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let c = Connection::open_in_memory().expect("a database");
        c.execute_batch(include_str!("../../../migrations/sqlite/0001_journal_and_tables.sql")).expect("a schema");
        c
    }

    fn count(c: &Connection, table: &str) -> i64 {
        c.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
    }

    #[test]
    fn events_beyond_their_bound_go_the_oldest_first() {
        let c = database();
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
             INSERT INTO event SELECT i, 0, 1, 'xxxxxxxx' FROM n";
        c.execute_batch(sql).expect("filled");
        assert!(!cut_events(&c, 3000 * 40).expect("looked"), "they fit");
        assert!(cut_events(&c, 2500 * 40).expect("cut"));
        assert_eq!(count(&c, "event"), 2000);
        let oldest: i64 = c.query_row("SELECT min(seq) FROM event", [], |row| row.get(0)).expect("read");
        assert_eq!(oldest, 1001);
    }

    #[test]
    fn an_assignment_is_kept_as_long_as_the_law_wants_and_one_that_lasts_for_ever() {
        let c = database();
        let day = 86_400_000_i64;
        let sql = format!(
            "INSERT INTO event VALUES (1, {}, 1, 'x'); INSERT INTO lease_history \
             (network, ip, began, client, expires, ended, seq) VALUES \
             ('a', '10.0.0.1', 0, 'hw:1:02', {day}, {day}, 1), ('a', '10.0.0.2', 0, 'hw:1:03', {day}, NULL, 2), \
             ('a', '10.0.0.3', 0, 'hw:1:04', {day}, {}, 3);",
            400 * day,
            300 * day
        );
        c.execute_batch(&sql).expect("filled");
        prune(&c, 365).expect("pruned");
        assert_eq!(count(&c, "lease_history"), 2);
        prune(&c, 30).expect("pruned");
        assert_eq!(count(&c, "lease_history"), 1, "who has the address now");
    }
}

//! Leases into their tables. A renewal changes what a renewal can change, and no index: nearly all entries
//! are renewals.

use std::net::IpAddr;

use rusqlite::{Connection, Error, Result, params};

use super::{FORMAT, Stored, client_text, run};
use crate::domain::lease::{Cause, End, Lease};

/// What the statements of one grant have in common.
struct Row<'a> {
    lease: &'a Lease,
    ip: String,
    client: String,
    mac: Option<String>,
}

pub(super) fn granted(c: &Connection, lease: &Lease, stored: &Stored<'_>) -> Result<()> {
    let row = Row {
        lease,
        ip: lease.ip.to_string(),
        client: client_text(&lease.client),
        mac: lease.mac.map(|mac| mac.to_string()),
    };
    let renews = !matches!(lease.cause, Cause::New);
    if !(renews && row.extend(c, stored)?) {
        match row.begin(c, stored) {
            Err(error) if is_unique(&error) => {
                tracing::error!(ip = row.ip, %error, "two active leases of one address: the later one is in quarantine");
                let sql = "INSERT OR REPLACE INTO quarantine (seq, at, format, entry, reason) VALUES (?, ?, ?, ?, ?)";
                run(c, sql, params![stored.seq, stored.at, FORMAT, stored.text, error.to_string()])?;
            }
            other => other?,
        }
    }
    if !(renews && row.extend_history(c, stored)?) {
        row.begin_history(c, stored)?;
    }
    Ok(())
}

fn is_unique(error: &Error) -> bool {
    /// SQLITE_CONSTRAINT_UNIQUE.
    const UNIQUE: i32 = 2067;
    matches!(error, Error::SqliteFailure(failure, _) if failure.extended_code == UNIQUE)
}

impl Row<'_> {
    /// The active lease of this client, of the same hardware address, as it stands now. False if there is none.
    fn extend(&self, c: &Connection, stored: &Stored<'_>) -> Result<bool> {
        let Row { lease, ip, client, mac } = self;
        let sql = "UPDATE lease SET fqdn = ?, began = ?, expires = ?, seq = ?, at = ?, format = ?, entry = ? \
                   WHERE network = ? AND ip = ? AND client = ? AND active = 1 AND mac IS ?";
        let (began, expires) = (lease.began.0, lease.expires.0);
        let new = params![
            lease.fqdn,
            began,
            expires,
            stored.seq,
            stored.at,
            FORMAT,
            stored.text,
            lease.network,
            ip,
            client,
            mac
        ];
        Ok(run(c, sql, new)? == 1)
    }

    /// A new active lease in the place of those that are over.
    fn begin(&self, c: &Connection, stored: &Stored<'_>) -> Result<()> {
        let Row { lease, ip, client, mac } = self;
        let gone = "DELETE FROM lease WHERE network = ? AND ip = ? AND active = 0";
        run(c, gone, params![lease.network, ip])?;
        let sql = "INSERT INTO lease (network, ip, client, mac, fqdn, active, began, expires, seq, at, format, entry) \
                   VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?) \
                   ON CONFLICT (network, ip, client) DO UPDATE SET mac = excluded.mac, fqdn = excluded.fqdn, \
                   began = excluded.began, expires = excluded.expires, seq = excluded.seq, at = excluded.at, \
                   format = excluded.format, entry = excluded.entry";
        let (began, expires) = (lease.began.0, lease.expires.0);
        let new = params![
            lease.network,
            ip,
            client,
            mac,
            lease.fqdn,
            began,
            expires,
            stored.seq,
            stored.at,
            FORMAT,
            stored.text
        ];
        run(c, sql, new).map(drop)
    }

    fn hostname(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.lease.hostname.as_deref().map(String::from_utf8_lossy)
    }

    /// The assignment that this extends. False if there is none.
    fn extend_history(&self, c: &Connection, stored: &Stored<'_>) -> Result<bool> {
        let Row { lease, ip, client, mac } = self;
        let sql = "UPDATE lease_history SET fqdn = ?, hostname = ?, expires = ?, seq = ? WHERE network = ? AND ip = ? \
                   AND began = ? AND client = ? AND ended IS NULL AND mac IS ?";
        let (began, expires) = (lease.began.0, lease.expires.0);
        let new = params![lease.fqdn, self.hostname(), expires, stored.seq, lease.network, ip, began, client, mac];
        Ok(run(c, sql, new)? == 1)
    }

    fn begin_history(&self, c: &Connection, stored: &Stored<'_>) -> Result<()> {
        let Row { lease, ip, client, mac } = self;
        let sql = "INSERT INTO lease_history (network, ip, began, client, mac, fqdn, hostname, expires, seq) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
                   ON CONFLICT (network, ip, began, client) DO UPDATE SET mac = excluded.mac, fqdn = excluded.fqdn, \
                   hostname = excluded.hostname, expires = excluded.expires, ended = NULL, reason = NULL, \
                   seq = excluded.seq";
        let (began, expires) = (lease.began.0, lease.expires.0);
        let new = params![lease.network, ip, began, client, mac, lease.fqdn, self.hostname(), expires, stored.seq];
        run(c, sql, new).map(drop)
    }
}

pub(super) fn ended(c: &Connection, network: &str, ip: IpAddr, end: End, stored: &Stored<'_>) -> Result<()> {
    let reason = match end {
        End::Released => "released",
        End::Expired => "expired",
        End::Revoked => "revoked",
        End::Declined { .. } => {
            quarantined(c, network, ip, stored)?;
            "declined"
        }
    };
    let ip = ip.to_string();
    let sql = "UPDATE lease SET active = 0, end_seq = ?, end_at = ?, end_entry = ? \
               WHERE network = ? AND ip = ? AND active = 1";
    run(c, sql, params![stored.seq, stored.at, stored.text, network, ip])?;
    let sql = "UPDATE lease_history SET ended = ?, reason = ? WHERE network = ? AND ip = ? AND ended IS NULL";
    run(c, sql, params![stored.at, reason, network, ip]).map(drop)
}

pub(super) fn quarantined(c: &Connection, network: &str, ip: IpAddr, stored: &Stored<'_>) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO address_quarantine (network, ip, seq, at, format, entry) \
               VALUES (?, ?, ?, ?, ?, ?)";
    run(c, sql, params![network, ip.to_string(), stored.seq, stored.at, FORMAT, stored.text]).map(drop)
}

-- The journal is the truth; every other table is folded from it, behind the commits.
-- Times are milliseconds since 1970-01-01T00:00:00Z. An `entry` is one change as JSON, in `format`;
-- `seq` is its number in the total order, `at` the time of its commit.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- random per database and per restore; the highest entry that the tables hold
INSERT INTO meta VALUES ('epoch', lower(hex(randomblob(16)))), ('folded', '0');

-- one row per batch: entry i of it has the number seq + i
CREATE TABLE journal (
    seq     INTEGER PRIMARY KEY NOT NULL,
    n       INTEGER NOT NULL CHECK (n > 0),
    at      INTEGER NOT NULL,
    node    TEXT NOT NULL,
    format  INTEGER NOT NULL,
    crc     INTEGER NOT NULL,
    entries TEXT NOT NULL
) STRICT;

-- the last grant of each client at each address, and how it ended
CREATE TABLE lease (
    network   TEXT NOT NULL,
    ip        TEXT NOT NULL,
    client    TEXT NOT NULL,
    mac       TEXT,
    fqdn      TEXT,
    active    INTEGER NOT NULL,
    began     INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    format    INTEGER NOT NULL,
    entry     TEXT NOT NULL,
    end_seq   INTEGER,
    end_at    INTEGER,
    end_entry TEXT,
    PRIMARY KEY (network, ip, client)
) STRICT, WITHOUT ROWID;

-- an address has one active owner: the alarm behind the owner task
CREATE UNIQUE INDEX lease_one_active ON lease (network, ip) WHERE active = 1;
CREATE INDEX lease_mac ON lease (mac) WHERE mac IS NOT NULL;

-- addresses kept out of use, for as long as the entry says
CREATE TABLE address_quarantine (
    network TEXT NOT NULL,
    ip      TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    format  INTEGER NOT NULL,
    entry   TEXT NOT NULL,
    PRIMARY KEY (network, ip)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservation (
    id TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, format INTEGER NOT NULL, entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE host (
    id TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, format INTEGER NOT NULL, entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE record (
    id TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, format INTEGER NOT NULL, entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE device (
    id TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, format INTEGER NOT NULL, entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE phone_config (
    id TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, format INTEGER NOT NULL, entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE token (
    id TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, format INTEGER NOT NULL, entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- steps of a transaction: 1 accepted, 2 reopened, 3 final, 4 cancelled, 5 ended; txid in lower case
CREATE TABLE tx (
    source TEXT NOT NULL,
    txid   TEXT NOT NULL,
    step   INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    format INTEGER NOT NULL,
    entry  TEXT NOT NULL,
    PRIMARY KEY (source, txid, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX tx_seq ON tx (seq);

-- transactions that are not ended or cancelled
CREATE TABLE tx_open (
    source TEXT NOT NULL,
    txid   TEXT NOT NULL,
    PRIMARY KEY (source, txid)
) STRICT, WITHOUT ROWID;

-- what outlives the journal, append-only, each with its own retention

CREATE TABLE event (
    seq    INTEGER PRIMARY KEY NOT NULL,
    at     INTEGER NOT NULL,
    format INTEGER NOT NULL,
    entry  TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY NOT NULL,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

-- one row per assignment of an address to a client
CREATE TABLE lease_history (
    network  TEXT NOT NULL,
    ip       TEXT NOT NULL,
    began    INTEGER NOT NULL,
    client   TEXT NOT NULL,
    mac      TEXT,
    fqdn     TEXT,
    hostname TEXT,
    expires  INTEGER NOT NULL,
    ended    INTEGER,
    reason   TEXT,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (network, ip, began, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_history_open ON lease_history (network, ip) WHERE ended IS NULL;
CREATE INDEX lease_history_mac ON lease_history (mac) WHERE mac IS NOT NULL;
CREATE INDEX lease_history_ip ON lease_history (ip);

-- entries that a table refused; they are replayed at every start like the rest
CREATE TABLE quarantine (
    seq    INTEGER PRIMARY KEY NOT NULL,
    at     INTEGER NOT NULL,
    format INTEGER NOT NULL,
    entry  TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

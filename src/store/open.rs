//! Opens a state directory: `lanlord.db`, its marker and its lock. Refuses network filesystems, newer
//! schemas, a second daemon, and to start empty where a database has been (RL-102, 106, 107, 109).

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr};

use super::disk::Disk;
use super::history::SqliteHistory;
use super::ledger::Recovered;
use super::load;
use super::sqlite::SqlitePort;

/// File names within the state directory.
pub const DATABASE: &str = "lanlord.db";
const MARKER: &str = "initialised";
const LOCK: &str = "lock";

/// Two connections that write or checkpoint at once can corrupt the log of earlier libraries.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// Every migration, in order, forward only.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "journal and tables", include_str!("../../migrations/sqlite/0001_journal_and_tables.sql")),
    (2, "history by end", include_str!("../../migrations/sqlite/0002_history_by_end.sql")),
    (3, "leases without mac index", include_str!("../../migrations/sqlite/0003_leases_without_mac_index.sql")),
];

/// Why the state directory cannot be used. All of these need a person: exit code 7.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path}: {error}; the state directory must be on a local disk and writable for this user: choose another with --state"
    )]
    Io { path: PathBuf, error: io::Error },
    #[error("{path} is on {filesystem}: the journal needs a local filesystem, choose another --state directory")]
    NetworkFilesystem { path: PathBuf, filesystem: &'static str },
    #[error("{0} is in use by another lanlord")]
    InUse(PathBuf),
    #[error(
        "the database is missing or damaged: {0}; it is left as it is. Move it away together with its -wal file \
         and put a backup in its place; to start empty instead, remove the file `{MARKER}` as well"
    )]
    Damaged(String),
    #[error("the database has schema {found}, this lanlord knows {known}: install the newer version again")]
    NewerSchema { found: i64, known: i64 },
    #[error("SQLite {0} is too old, at least 3.51.3 is needed")]
    OldSqlite(String),
    #[error("the database did not accept `{setting}`: it is `{found}`")]
    Setting { setting: &'static str, found: String },
    #[error("the database cannot be migrated: {0}")]
    Migrate(#[from] MigrateError),
    #[error("the database cannot be read: {0}")]
    Sql(rusqlite::Error),
    #[error("the database cannot be opened for migrations or history: {0}")]
    Pool(#[from] sqlx::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> OpenError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                OpenError::Damaged(error.to_string())
            }
            _ => OpenError::Sql(error),
        }
    }
}

/// An open state directory.
pub struct Opened {
    pub port: SqlitePort,
    pub recovered: Recovered,
    pub history: SqliteHistory,
}

/// Opens the database in `dir`, making both if they have never been there. `node` names this appliance in
/// the journal.
pub async fn open(dir: &Path, node: &str) -> Result<Opened, OpenError> {
    let io_error = |error| OpenError::Io { path: dir.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(io_error)?;
    refuse_network(dir)?;
    let lock = lock(dir)?;
    let path = dir.join(DATABASE);
    let new = find(dir, &path)?;
    let connection = connect(&path)?;
    check_settings(&connection)?;
    migrate(&connection, &path).await?;
    let (recovered, tail) = load::load(&connection)?;
    if new {
        mark(dir).map_err(io_error)?;
    }
    let history = SqliteHistory::open(&path, tail.transactions()).await?;
    let port = SqlitePort::new(Disk::new(connection, node.to_owned(), tail, Some(lock))).map_err(io_error)?;
    Ok(Opened { port, recovered, history })
}

/// RL-106: the write-ahead log needs shared memory.
fn refuse_network(dir: &Path) -> Result<(), OpenError> {
    let stat = nix::sys::statfs::statfs(dir)
        .map_err(|errno| OpenError::Io { path: dir.to_owned(), error: io::Error::from(errno) })?;
    match network_filesystem(stat.filesystem_type().0 as u32) {
        Some(filesystem) => Err(OpenError::NetworkFilesystem { path: dir.to_owned(), filesystem }),
        None => Ok(()),
    }
}

/// By the magic number of statfs(2).
fn network_filesystem(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("CIFS"),
        0x0102_1997 => Some("9p"),
        _ => None,
    }
}

/// The lock of a state directory. It is given back by name: a process that is being started at the same time has
/// inherited the file until its exec, and closing ours alone would leave it locked for so long.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of the state directory stays until this process ends");
        }
    }
}

fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let path = dir.join(LOCK);
    let io_error = |error| OpenError::Io { path: path.clone(), error };
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path).map_err(io_error)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(io_error(error)),
    }
}

/// True if there is no marker yet. RL-107: with the marker there, a database must be there too.
fn find(dir: &Path, path: &Path) -> Result<bool, OpenError> {
    let io_error = |error| OpenError::Io { path: path.to_owned(), error };
    let new = !dir.join(MARKER).try_exists().map_err(io_error)?;
    let length = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(io_error(e)),
    };
    if length == 0 && !new {
        return Err(OpenError::Damaged(format!("{} is missing or empty", path.display())));
    }
    // SQLite gives its other files the mode of this one
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(io_error)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(io_error)?;
    Ok(new)
}

/// RL-110: write, fsync, rename, fsync the directory.
fn mark(dir: &Path) -> io::Result<()> {
    let temporary = dir.join(format!("{MARKER}.new"));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(b"A database has been made here. If it is missing, something is wrong.\n")?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join(MARKER))?;
    File::open(dir)?.sync_all()
}

/// Everything that a connection must be told, in SQL.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
    PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 0;";

/// Statements that are kept prepared: all of the fold's, and those of the journal.
const STATEMENTS: usize = 64;

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch(SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// RL-102: read back, or refuse to run.
fn check_settings(c: &Connection) -> Result<(), OpenError> {
    let version: String = c.query_row("SELECT sqlite_version()", [], |row| row.get(0))?;
    if parse_version(&version) < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite(version));
    }
    for (setting, wanted) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("trusted_schema", "0"),
        ("cell_size_check", "1"),
        ("mmap_size", "0"),
        ("busy_timeout", "5000"),
        ("wal_autocheckpoint", "0"),
    ] {
        let found = match c.pragma_query_value(None, setting, |row| row.get(0))? {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        if found != wanted {
            return Err(OpenError::Setting { setting, found });
        }
    }
    Ok(())
}

fn parse_version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

async fn migrate(c: &Connection, path: &Path) -> Result<(), OpenError> {
    let known = MIGRATIONS[MIGRATIONS.len() - 1].0;
    if c.table_exists(None, "_sqlx_migrations")? {
        let found: Option<i64> = c.query_row("SELECT max(version) FROM _sqlx_migrations", [], |row| row.get(0))?;
        if let Some(found) = found.filter(|found| *found > known) {
            return Err(OpenError::NewerSchema { found, known });
        }
    }
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(5))
        .pragma("synchronous", "FULL")
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging();
    let mut second = options.connect().await?;
    Migrator::with_migrations(migrations.to_vec()).run(&mut second).await?;
    Ok(second.close().await?)
}

#[cfg(test)]
mod tests;

//! Where configurations of others are read from. Owns the bounds of what is read (RL: every input is
//! bounded) and the places that reports name. Refuses files that are no files, and what is too large.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one file.
pub const FILE_BYTES: usize = 64 << 20;
/// Files of one import, those that are included counted too.
pub const FILES: usize = 512;
/// How deep includes may lead.
pub const DEPTH: usize = 16;

/// A line of a file; lines count from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

impl Place {
    /// The place of another line of the same file.
    pub fn at(&self, line: usize) -> Place {
        Place { file: self.file.clone(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why nothing could be imported at all: exit code 2 (AP-302).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("{file}: cannot be read: {why}")]
    Io { file: String, why: String },
    #[error("{0}: more than {FILE_BYTES} bytes")]
    Large(String),
    #[error("{0}: one file too many; {FILES} can be read at once")]
    Many(String),
    #[error("{place}: {what}")]
    Syntax { place: Place, what: String },
}

/// Files on disk, or in memory for tests.
#[derive(Debug)]
pub struct Files {
    memory: Option<BTreeMap<PathBuf, Vec<u8>>>,
    read: Cell<usize>,
}

impl Files {
    /// Those of this machine.
    pub fn on_disk() -> Files {
        Files { memory: None, read: Cell::new(0) }
    }

    /// Only these.
    pub fn in_memory(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Files {
        Files { memory: Some(files.into_iter().collect()), read: Cell::new(0) }
    }

    /// The text of a file, without a byte order mark. What is not UTF-8 is read as Latin-1, as old
    /// configurations are written.
    pub fn text(&self, path: &Path) -> Result<String, Unreadable> {
        let name = path.display().to_string();
        self.read.set(self.read.get() + 1);
        if self.read.get() > FILES {
            return Err(Unreadable::Many(name));
        }
        let mut bytes = self.bytes(path, &name)?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        if bytes.len() > FILE_BYTES {
            return Err(Unreadable::Large(name));
        }
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().iter().copied().map(char::from).collect()))
    }

    fn bytes(&self, path: &Path, name: &str) -> Result<Vec<u8>, Unreadable> {
        let wrong = |why: String| Unreadable::Io { file: name.to_owned(), why };
        if let Some(memory) = &self.memory {
            return memory.get(path).cloned().ok_or_else(|| wrong("no such file".to_owned()));
        }
        let about = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
        if !about.is_file() {
            return Err(wrong("it is no file".to_owned()));
        }
        if about.len() > FILE_BYTES as u64 {
            return Err(Unreadable::Large(name.to_owned()));
        }
        fs::read(path).map_err(|e| wrong(e.to_string()))
    }

    /// The files of a folder, by name; at most [`FILES`].
    pub fn folder(&self, path: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        let name = path.display().to_string();
        let wrong = |why: String| Unreadable::Io { file: name.clone(), why };
        let mut out: Vec<PathBuf> = match &self.memory {
            Some(memory) => memory.keys().filter(|file| file.parent() == Some(path)).cloned().collect(),
            None => {
                let entries = fs::read_dir(path).map_err(|e| wrong(e.to_string()))?;
                entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.path())
                    .filter(|p| p.is_file())
                    .take(FILES + 1)
                    .collect()
            }
        };
        if out.len() > FILES {
            return Err(Unreadable::Many(name));
        }
        out.sort();
        Ok(out)
    }

    /// True if that is a folder.
    pub fn is_folder(&self, path: &Path) -> bool {
        match &self.memory {
            Some(memory) => memory.keys().any(|file| file.parent() == Some(path)),
            None => path.is_dir(),
        }
    }
}

/// A path as a configuration writes it: a relative one starts at the folder of the file that names it.
pub fn beside(file: &Path, written: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(written)
}

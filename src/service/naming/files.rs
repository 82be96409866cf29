//! The zone directory. Files are opened for reading only and never written (DN-201).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path};

use crate::domain::dns::name::Name;
use crate::domain::dns::zonefile::{self, Parsed, Problem, Severity};

/// Octets of one zone file, and of one included file.
const MAX_FILE: u64 = 512 << 20;

/// What the directory holds, by origin; every zone with its problems if it is not sound.
pub type Loaded = BTreeMap<Name, Result<Parsed, Vec<Problem>>>;

/// Reads all `*.zone` files. Dot files and editors' copies do not count. `Err` if the directory itself
/// cannot be read or a file's name is no origin.
pub fn load(dir: &Path) -> Result<Loaded, Vec<Problem>> {
    let mut loaded = Loaded::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(e) => return Err(vec![problem(&dir.display().to_string(), format!("cannot be read: {e}"))]),
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    let mut problems = Vec::new();
    for name in names {
        let Some(stem) = name.strip_suffix(".zone").filter(|s| !s.is_empty() && !s.starts_with('.')) else { continue };
        match Name::parse(stem) {
            Err(e) => problems.push(problem(&name, format!("`{stem}` is no zone name: {e}"))),
            Ok(origin) => {
                let result = read(dir, &name)
                    .map_err(|why| vec![problem(&name, why)])
                    .and_then(|text| zonefile::parse(&origin, &name, &text, &|inner| read(dir, inner)));
                loaded.insert(origin, result);
            }
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// A file below the zone directory; links and `..` must not lead out of it.
fn read(dir: &Path, name: &str) -> Result<String, String> {
    let relative = Path::new(name);
    if !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("`{name}` is not inside the zone directory"));
    }
    let failed = |e: io::Error| format!("`{name}` cannot be read: {e}");
    let base = dir.canonicalize().map_err(failed)?;
    let path = base.join(relative).canonicalize().map_err(failed)?;
    if !path.starts_with(&base) {
        return Err(format!("`{name}` leads out of the zone directory"));
    }
    let size = fs::metadata(&path).map_err(failed)?.len();
    if size > MAX_FILE {
        return Err(format!("`{name}` is larger than {MAX_FILE} octets"));
    }
    let bytes = fs::read(&path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("`{name}` is not UTF-8 at line {line}; write other octets as \\DDD")
    })
}

fn problem(file: &str, message: String) -> Problem {
    Problem { severity: Severity::Error, file: file.to_owned(), line: 0, column: 0, message, hint: String::new() }
}

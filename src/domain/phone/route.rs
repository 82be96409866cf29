//! Request names to file rules, and the path rules of PR-43 and PR-50. Generated files never touch a
//! path: a name that matches no rule is no file.

use std::sync::Arc;

use regex::bytes::Regex;

use super::extract::compile;
use super::plugin::{FileRule, Plugin, Scope};
use crate::domain::net::Mac;

/// Longest name that is looked at; the rest of a longer one cannot match.
pub const NAME_BYTES: usize = 512;

/// Why a path is refused before any rule sees it. The sender cannot tell these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadPath {
    TooLong,
    /// NUL or another control byte.
    Control,
    Backslash,
    /// A `.` or `..` segment.
    Dots,
    /// `%` is left after decoding: a second layer, or a broken one.
    Percent,
    Empty,
}

/// A request name: bytes with exactly one leading `/`, free of everything that climbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// From the bytes of a TFTP request: the leading `/` is optional, nothing is decoded.
    pub fn from_tftp(bytes: &[u8]) -> Result<Name, BadPath> {
        Name::checked(bytes)
    }

    /// From a raw HTTP path: percent encoding is decoded once.
    pub fn from_http(raw: &[u8]) -> Result<Name, BadPath> {
        if raw.len() > NAME_BYTES * 3 {
            return Err(BadPath::TooLong);
        }
        Name::checked(&decode(raw)?)
    }

    fn checked(bytes: &[u8]) -> Result<Name, BadPath> {
        let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(BadPath::Empty);
        }
        if bytes.len() >= NAME_BYTES {
            return Err(BadPath::TooLong);
        }
        for b in bytes {
            match b {
                0..=0x1f | 0x7f => return Err(BadPath::Control),
                b'\\' => return Err(BadPath::Backslash),
                b'%' => return Err(BadPath::Percent),
                _ => {}
            }
        }
        if bytes.split(|b| *b == b'/').any(|s| s.is_empty() || s == b"." || s == b"..") {
            return Err(BadPath::Dots);
        }
        Ok(Name([b"/", bytes].concat()))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn decode(raw: &[u8]) -> Result<Vec<u8>, BadPath> {
    let (mut out, mut i) = (Vec::with_capacity(raw.len()), 0);
    while i < raw.len() {
        if raw[i] == b'%' {
            let hex = raw.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok()).ok_or(BadPath::Percent)?;
            if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(BadPath::Percent);
            }
            out.push(u8::from_str_radix(hex, 16).map_err(|_| BadPath::Percent)?);
            i += 3;
        } else {
            out.push(raw[i]);
            i += 1;
        }
    }
    Ok(out)
}

/// A file rule that answers a name.
#[derive(Debug, Clone)]
pub struct Route<'a> {
    pub plugin: &'a Plugin,
    pub file: &'a FileRule,
    /// The MAC that the name holds: whose file it is.
    pub mac: Option<Mac>,
    /// The model that the name holds.
    pub model: Option<String>,
}

/// The file maps of all plugins, compiled.
pub struct Router {
    plugins: Arc<[Plugin]>,
    /// (plugin, file rule, pattern), in the order of the plugins.
    rules: Vec<(usize, usize, Regex)>,
}

impl Router {
    /// Compiles all file rules; one that does not compile is left out (the lint names it).
    pub fn new(plugins: Arc<[Plugin]>) -> Router {
        let mut rules = Vec::new();
        for (p, plugin) in plugins.iter().enumerate() {
            for (f, file) in plugin.files.iter().enumerate() {
                if let Ok(regex) = compile(&file.request) {
                    rules.push((p, f, regex));
                }
            }
        }
        Router { plugins, rules }
    }

    /// The rule of `plugin` that answers `name`.
    pub fn of_plugin(&self, plugin: &str, name: &Name) -> Option<Route<'_>> {
        self.all(name).find(|route| route.plugin.id == plugin)
    }

    /// The first rule of any plugin whose file is the same for everybody (PR-13).
    pub fn generic(&self, name: &Name) -> Option<Route<'_>> {
        self.all(name).find(|route| route.file.scope != Scope::Device)
    }

    /// The rule for a device: its own plugin's, else a generic file of any.
    pub fn route(&self, plugin: Option<&str>, name: &Name) -> Option<Route<'_>> {
        plugin.and_then(|p| self.of_plugin(p, name)).or_else(|| self.generic(name))
    }

    /// Every rule that answers.
    pub fn all<'a, 'n>(&'a self, name: &'n Name) -> impl Iterator<Item = Route<'a>> + use<'a, 'n> {
        self.rules.iter().filter_map(|(p, f, regex)| {
            let captures = regex.captures(name.bytes())?;
            let mac = captures.name("mac").and_then(|m| Mac::parse(m.as_bytes())).filter(|m| m.is_identity());
            let (plugin, file) = (&self.plugins[*p], &self.plugins[*p].files[*f]);
            let model = captures.name("model").and_then(|m| std::str::from_utf8(m.as_bytes()).ok()).map(str::to_owned);
            (file.scope != Scope::Device || mac.is_some()).then_some(Route { plugin, file, mac, model })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_climbs_is_no_name() {
        for raw in [
            "/..",
            "/a/../b",
            "/./a",
            "/a//b",
            "//abs",
            "/%2e%2e/x",
            "/a%00b",
            "/a\\b",
            "/%5cx",
            "/%252e",
            "/%",
            "/%4",
            "/%zz",
            "/",
            "",
        ] {
            assert!(Name::from_http(raw.as_bytes()).is_err(), "{raw}");
        }
        assert_eq!(Name::from_http(b"/Aastra%2faastra.cfg").map(|n| n.0), Ok(b"/Aastra/aastra.cfg".to_vec()));
        assert_eq!(Name::from_tftp(b"spa3102.cfg"), Name::from_tftp(b"/spa3102.cfg"));
        assert_eq!(Name::from_tftp(&[b'a'; 512]), Err(BadPath::TooLong));
        assert!(Name::from_tftp(b"/\xff\xfe.cfg").is_ok(), "invalid UTF-8 is data");
    }
}

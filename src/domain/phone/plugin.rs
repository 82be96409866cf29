//! A phone vendor as data: match rules, DHCP recipe, file map, models. Owns the typed form; reading it
//! from files is the configuration's part, judging it is [`super::lint`]'s.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::net::Mac;

/// The version of the plugin format that this daemon reads.
pub const FORMAT: i64 = 1;

/// Where evidence is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `User-Agent` of an HTTP request, first 1,024 bytes.
    HttpUserAgent,
    /// Path of an HTTP request, decoded once, first 512 bytes, with its leading `/`.
    HttpPath,
    /// Query of an HTTP request without its `?`.
    HttpQuery,
    /// File name of a TFTP request, with a leading `/`.
    TftpPath,
    /// A DHCPv4 option, trailing NULs cut.
    Dhcp(u8),
    /// The vendor's block of a hardware address.
    Oui,
    /// A SIP plug-and-play subscription.
    Pnp,
}

impl Source {
    /// Every source that a rule may name.
    pub const ALL: [Source; 11] = [
        Source::HttpUserAgent,
        Source::HttpPath,
        Source::HttpQuery,
        Source::TftpPath,
        Source::Dhcp(12),
        Source::Dhcp(43),
        Source::Dhcp(60),
        Source::Dhcp(77),
        Source::Dhcp(124),
        Source::Oui,
        Source::Pnp,
    ];

    /// The name as rules write it, e.g. `dhcp.60`.
    pub fn parse(name: &str) -> Option<Source> {
        Source::ALL.into_iter().find(|source| source.to_string() == name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::HttpUserAgent => f.write_str("http.user-agent"),
            Source::HttpPath => f.write_str("http.path"),
            Source::HttpQuery => f.write_str("http.query"),
            Source::TftpPath => f.write_str("tftp.path"),
            Source::Dhcp(code) => write!(f, "dhcp.{code}"),
            Source::Oui => f.write_str("oui"),
            Source::Pnp => f.write_str("pnp"),
        }
    }
}

/// How much a match is worth. From `Probable` on, a vendor counts as known (PR-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Improbable = 100,
    Unknown = 200,
    Probable = 300,
    Incomplete = 400,
    Complete = 500,
    Exact = 600,
}

impl Level {
    /// The level as rules write it.
    pub fn parse(name: &str) -> Option<Level> {
        Some(match name {
            "improbable" => Level::Improbable,
            "unknown" => Level::Unknown,
            "probable" => Level::Probable,
            "incomplete" => Level::Incomplete,
            "complete" => Level::Complete,
            "exact" => Level::Exact,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Improbable => "improbable",
            Level::Unknown => "unknown",
            Level::Probable => "probable",
            Level::Incomplete => "incomplete",
            Level::Complete => "complete",
            Level::Exact => "exact",
        })
    }
}

/// One match rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique within the plugin.
    pub id: String,
    pub source: Source,
    pub level: Level,
    /// Byte regular expression; groups may be `vendor model version mac sn uuid` only. `None` for a rule
    /// of source `oui`.
    pub regex: Option<String>,
    /// For source `oui` the blocks that match. With a regex: its `mac` group must be in one of them.
    pub oui: Vec<[u8; 3]>,
    /// Values by field; `{group}` stands for what the group matched.
    pub set: BTreeMap<String, String>,
    /// Replaces the captured `model`; a capture that is not listed gives no model.
    pub model_map: BTreeMap<String, String>,
}

impl Rule {
    /// Literal characters of the pattern: of two equal matches the one that asked for more wins.
    pub fn specificity(&self) -> u32 {
        let (mut weight, mut depth, mut chars) = (0, 0u32, self.regex.as_deref().unwrap_or("").chars());
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                '[' | '{' | '<' => depth += 1,
                ']' | '}' | '>' => depth = depth.saturating_sub(1),
                c if depth == 0 && c.is_ascii_alphanumeric() => weight += 1,
                _ => {}
            }
        }
        weight
    }
}

/// Who gets the same bytes (PR-59).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One device; the request must name its MAC.
    Device,
    /// All phones of a model.
    Model,
    /// All phones of the vendor.
    Common,
    /// Bytes from the plugin's `static/` directory.
    Static,
}

/// How values are written into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Escape {
    Xml,
    /// `key: value` and `key = value` lines.
    KeyValue,
    Ini,
    /// Between double quotes.
    Quoted,
    Json,
    /// For static files.
    None,
}

impl Escape {
    /// The escaper as file rules write it.
    pub fn parse(name: &str) -> Option<Escape> {
        Some(match name {
            "xml" => Escape::Xml,
            "kv" => Escape::KeyValue,
            "ini" => Escape::Ini,
            "quoted" => Escape::Quoted,
            "json" => Escape::Json,
            "none" => Escape::None,
            _ => return None,
        })
    }
}

/// One entry of the file map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// Regular expression over the whole request name with its leading `/`; groups `mac` and `model`.
    pub request: String,
    pub template: String,
    /// `Content-Type` without charset.
    pub media: String,
    /// Lines end with CR LF instead of LF.
    pub crlf: bool,
    pub escape: Escape,
    pub scope: Scope,
    /// Holds passwords or keys: only for the device itself (PR-51).
    pub secret: bool,
}

/// One model of the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub name: String,
    /// SIP lines.
    pub lines: u32,
    /// Programmable keys.
    pub keys: u32,
}

/// What DHCP sends to phones that a rule recognises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpRecipe {
    /// Ids of match rules (sources `dhcp.*` and `oui`); any of them selects the recipe.
    pub when: Vec<String>,
    /// Send although the client did not ask (PR-27).
    pub force: bool,
    pub send: Vec<DhcpSend>,
    /// `siaddr`: next server, e.g. `{{ tftp_ip }}`.
    pub siaddr: Option<String>,
    /// The BOOTP `file` field.
    pub file: Option<String>,
}

/// One DHCPv4 option of a recipe; texts may hold `{{ http_url }}`, `{{ tftp_ip }}` and `{{ dns_ip }}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpSend {
    pub option: u8,
    pub value: DhcpValue,
}

/// How a recipe's option is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpValue {
    /// Its bytes, without NUL.
    Text(String),
    /// IPv4 addresses; an empty one is left out.
    Addresses(Vec<String>),
    /// Sub-options of option 43.
    Tlv(Vec<(u8, TlvValue)>),
}

/// Value of a sub-option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlvValue {
    Text(String),
    Byte(u8),
}

/// A string that a plugin's rules must match, with what they must learn from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Id of the rule that matches it.
    pub rule: String,
    pub bytes: Vec<u8>,
    /// Expected fields; a field that is not listed must not be learned.
    pub expect: BTreeMap<String, String>,
}

/// A request name and the template that must answer it; none means that no rule may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSample {
    pub request: String,
    pub template: Option<String>,
}

/// One phone vendor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plugin {
    pub id: String,
    pub vendor: String,
    pub rules: Vec<Rule>,
    pub dhcp: Vec<DhcpRecipe>,
    pub files: Vec<FileRule>,
    pub models: Vec<Model>,
    /// `Event` of the NOTIFY that makes the phone fetch its files again.
    pub notify: Option<String>,
    /// Sources by name.
    pub templates: BTreeMap<String, String>,
    /// Bytes of `static/` by name.
    pub statics: BTreeMap<String, Vec<u8>>,
    pub samples: Vec<Sample>,
    pub file_samples: Vec<FileSample>,
    /// Strings of others, by source, that no rule of this plugin may match.
    pub foreign: Vec<(Source, Vec<u8>)>,
}

impl Plugin {
    /// The model whose name equals `name`, ASCII case ignored.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|m| m.name.eq_ignore_ascii_case(name))
    }

    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|r| r.id == id)
    }

    /// True if a rule of this plugin names the block of `mac`.
    pub fn owns_block(&self, mac: Mac) -> bool {
        self.rules.iter().any(|r| r.source == Source::Oui && r.oui.contains(&mac.oui()))
    }
}

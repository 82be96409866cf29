//! What a file server asks provisioning, and what it gets: the same for TFTP and HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use super::boot::BootFile;
pub use crate::domain::phone::classify::Protocol;
use crate::domain::phone::gate::Denial;
use crate::domain::phone::retrieve::Nobody;
use crate::domain::phone::route::BadPath;
use crate::domain::time::Wall;

/// One request for a file, as it arrived.
#[derive(Debug, Clone)]
pub struct FileRequest {
    pub protocol: Protocol,
    pub peer: IpAddr,
    /// Name of the interface that it arrived on, if the shell knows.
    pub interface: Option<Arc<str>>,
    /// The address of ours that was asked.
    pub local: IpAddr,
    /// HTTP: the path as sent, not decoded, without query. TFTP: the bytes of the name.
    pub path: Vec<u8>,
    pub query: Option<Vec<u8>>,
    pub user_agent: Option<Vec<u8>>,
}

/// A file, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub bytes: Arc<[u8]>,
    /// Hex digest of the bytes: a strong validator.
    pub etag: String,
    /// `Content-Type` without charset.
    pub media: String,
    /// Seconds since 1970 of their last change, once it can be told from the next one.
    pub modified: Option<i64>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReply {
    File(Served),
    /// A file of the boot folder.
    Boot(BootFile),
    /// Missing, denied and unknown alike: the shells answer all three with the same bytes (PR-52).
    NotFound,
    /// A file that this device may have could not be made; the reason is in its explanation.
    Failed,
    /// Nothing could be written down just now; the phone asks again.
    Busy,
}

/// Why a request came out as it did: for people and metrics, never for the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Served {
        template: String,
        bytes: usize,
    },
    BadPath(BadPath),
    /// No plugin has a file of that name.
    NoFile,
    Denied(Denial),
    /// Secrets are withheld from this source for having asked for too many foreign files (PR-53).
    Blocked,
    Failed(String),
    Busy(String),
}

impl Decision {
    /// A closed word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Served { .. } => "served",
            Decision::BadPath(_) => "bad-path",
            Decision::NoFile => "no-file",
            Decision::Denied(Denial::Nobody) => "denied-nobody",
            Decision::Denied(Denial::Foreign) => "denied-foreign",
            Decision::Denied(Denial::ClaimOnly) => "denied-claim",
            Decision::Blocked => "blocked",
            Decision::Failed(_) => "failed",
            Decision::Busy(_) => "busy",
        }
    }

    /// All words, for a fixed set of labels.
    pub const WORDS: [&'static str; 9] = [
        "served",
        "bad-path",
        "no-file",
        "denied-nobody",
        "denied-foreign",
        "denied-claim",
        "blocked",
        "failed",
        "busy",
    ];
}

/// Who a request was attributed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribution {
    Device { id: String, by: crate::domain::phone::retrieve::By },
    Nobody(Reason),
}

/// Why to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    NoIdentity,
    UnknownVendor,
    Mismatch,
    Off,
    /// A claim that waits for an administrator.
    Pending,
    /// The lease and the neighbour table name different stations, or two bindings match.
    Conflict,
}

impl From<Nobody> for Reason {
    fn from(nobody: Nobody) -> Reason {
        match nobody {
            Nobody::NoIdentity => Reason::NoIdentity,
            Nobody::UnknownVendor => Reason::UnknownVendor,
            Nobody::Mismatch => Reason::Mismatch,
            Nobody::Off => Reason::Off,
        }
    }
}

impl Reason {
    /// A closed word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Reason::NoIdentity => "no-identity",
            Reason::UnknownVendor => "unknown-vendor",
            Reason::Mismatch => "mac-mismatch",
            Reason::Off => "off",
            Reason::Pending => "pending",
            Reason::Conflict => "binding-conflict",
        }
    }

    /// All of them, for a fixed set of labels.
    pub const ALL: [Reason; 6] =
        [Reason::NoIdentity, Reason::UnknownVendor, Reason::Mismatch, Reason::Off, Reason::Pending, Reason::Conflict];
}

/// One request of a device, explained (PR-14): rule → evidence → decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub at: Wall,
    pub protocol: Protocol,
    pub peer: IpAddr,
    /// The request name, cut to 128 bytes.
    pub name: String,
    /// `plugin/rule` of what matched, best first, at most four.
    pub rules: Vec<String>,
    pub attribution: Attribution,
    pub decision: Decision,
}

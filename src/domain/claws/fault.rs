//! What went wrong with a message, as its sender is told: a closed code, a text that says what to do and,
//! for XML, the place.

/// An answer other than success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// One of the closed list of codes (claws reference, section 10).
    pub code: &'static str,
    pub message: String,
    /// Line and column, both from 1, in the text as it was sent.
    pub place: Option<(u32, u32)>,
    /// The transaction that it is about, as far as it is known.
    pub txid: Option<String>,
}

/// Every code and the HTTP status that carries it.
const STATUS: [(&str, u16); 32] = [
    ("xml-malformed", 400),
    ("xml-forbidden", 400),
    ("xml-encoding", 400),
    ("xml-limit", 400),
    ("undeclared-prefix", 400),
    ("grammar", 400),
    ("server-attribute", 400),
    ("bad-txid", 400),
    ("use-stream", 400),
    ("unauthenticated", 401),
    ("forbidden", 403),
    ("source-mismatch", 403),
    ("not-member", 403),
    ("unknown-transaction", 404),
    ("gone", 410),
    ("ahead", 410),
    ("txid-reuse", 409),
    ("txid-too-old", 409),
    ("ambiguous-txid", 409),
    ("already-answered", 409),
    ("round-closed", 409),
    ("session-live", 409),
    ("fenced", 409),
    ("no-session", 409),
    ("too-large", 413),
    ("media-type", 415),
    ("wrapper-mismatch", 422),
    ("denied", 422),
    ("rate-limited", 429),
    ("journal-unavailable", 503),
    ("overloaded", 503),
    ("stopping", 503),
];

impl Fault {
    /// A fault without a place.
    pub fn new(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into(), place: None, txid: None }
    }

    /// The same fault, at a place.
    pub fn at(mut self, line: u32, column: u32) -> Fault {
        self.place = Some((line, column));
        self
    }

    /// The same fault, about a transaction.
    pub fn about(mut self, txid: &str) -> Fault {
        self.txid = Some(txid.to_owned());
        self
    }

    /// The HTTP status of its code.
    pub fn status(&self) -> u16 {
        STATUS.iter().find(|(code, _)| *code == self.code).map_or(500, |(_, status)| *status)
    }
}

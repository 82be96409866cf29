//! From decisions to the messages that the bus sends.

use super::{Course, Progress};
use crate::domain::change::{Contribution, TxOutcome};
use crate::domain::claws::xml::{Element, decode};
use crate::domain::claws::{CLAWS, Fault};
use crate::domain::time::Wall;

/// What a broadcast says about its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Provisional,
    Verify,
    Final,
    Cancelled,
    Completed,
    Failed,
}

const PHASES: [(Phase, &str); 6] = [
    (Phase::Provisional, "provisional"),
    (Phase::Verify, "verify"),
    (Phase::Final, "final"),
    (Phase::Cancelled, "cancelled"),
    (Phase::Completed, "completed"),
    (Phase::Failed, "failed"),
];

impl Phase {
    /// The word of the schema.
    pub fn word(self) -> &'static str {
        PHASES.iter().find(|(phase, _)| *phase == self).map_or("", |(_, word)| word)
    }

    /// The phase of that word.
    pub fn read(word: &str) -> Option<Phase> {
        PHASES.iter().find(|(_, known)| *known == word).map(|(phase, _)| *phase)
    }
}

/// A `claws:event` as subscribers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast<'a> {
    pub txid: &'a str,
    pub phase: Phase,
    /// Time of acceptance: the same in all broadcasts of a transaction (CL-203).
    pub timestamp: Wall,
    pub seq: u64,
    /// How long answers are waited for; provisional only.
    pub deadline_ms: Option<u64>,
    /// Why it was cancelled.
    pub reason: Option<&'a str>,
    pub source: &'a str,
    pub identity: &'a str,
    pub correlation_id: Option<&'a str>,
    pub outcomes: &'a [TxOutcome],
    pub payload: Option<Element>,
}

impl Broadcast<'_> {
    /// The message.
    pub fn element(self) -> Element {
        let mut event = Element::new(CLAWS, "event")
            .with("txid", self.txid)
            .with("status", self.phase.word())
            .with("timestamp", self.timestamp.rfc3339())
            .with("seq", self.seq.to_string());
        if let Some(ms) = self.deadline_ms {
            event = event.with("deadline-ms", ms.to_string());
        }
        if let Some(reason) = self.reason {
            event = event.with("reason", reason);
        }
        event = event.child(Element::new(CLAWS, "source").text_of(self.source));
        if !self.identity.is_empty() {
            event = event.child(Element::new(CLAWS, "identity").text_of(self.identity));
        }
        if let Some(id) = self.correlation_id {
            event = event.child(Element::new(CLAWS, "correlation-id").text_of(id));
        }
        event = self.outcomes.iter().fold(event, |event, one| event.child(outcome(one)));
        match self.payload {
            Some(payload) => event.child(payload),
            None => event,
        }
    }
}

/// How one module fared.
pub fn outcome(one: &TxOutcome) -> Element {
    let element = Element::new(CLAWS, "outcome").with("module", &one.module).with("result", &one.result);
    let element = if one.late { element.with("late", "true") } else { element };
    element.text_of(&one.detail)
}

/// Where one element of the result came from. An element that does not read back is left out: it was
/// written by this program, so that is a damaged journal, which is found elsewhere.
pub fn contribution(one: &Contribution) -> Option<Element> {
    let element = decode(one.element.as_bytes()).ok()?;
    let by = one.by.iter().map(|by| Element::new(CLAWS, "by").text_of(by));
    let contribution = by.fold(Element::new(CLAWS, "contribution").with("op", &one.op), Element::child);
    Some(contribution.child(element))
}

/// Progress on its way to the initiator.
pub fn progress_out(progress: &Progress, timestamp: Wall) -> Element {
    let mut event = Element::new(CLAWS, "event")
        .with("txid", &progress.txid)
        .with("status", "final")
        .with("timestamp", timestamp.rfc3339())
        .child(Element::new(CLAWS, "source").text_of(&progress.source));
    let mut add = |name: &str, text: &str| {
        let event_so_far = std::mem::replace(&mut event, Element::new("", ""));
        event = event_so_far.child(Element::new(CLAWS, name).text_of(text));
    };
    if let Some(version) = &progress.version {
        add("module-version", version);
    }
    add("correlation-id", &progress.correlation_id);
    add("progress-percent", &progress.percent.to_string());
    if let Some(message) = &progress.message {
        add("progress-message", message);
    }
    match progress.course {
        Some(Course::Running) => add("progress-state", "running"),
        Some(Course::Done) => add("progress-state", "done"),
        Some(Course::Failed) => add("progress-state", "failed"),
        None => {}
    }
    event
}

/// The answer to a submission, a query, and to GET of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub txid: String,
    /// One of the schema's states.
    pub state: &'static str,
    pub reason: Option<String>,
    pub seq: Option<u64>,
    pub timestamp: Option<Wall>,
    pub digest: Option<String>,
    pub source: Option<String>,
    pub identity: Option<String>,
    pub outcomes: Vec<TxOutcome>,
    pub payload: Option<Element>,
    pub contributions: Vec<Contribution>,
}

impl Description {
    /// The message.
    pub fn element(&self) -> Element {
        let mut out = Element::new(CLAWS, "transaction").with("txid", &self.txid).with("state", self.state);
        let attributes = [
            ("reason", self.reason.clone()),
            ("seq", self.seq.map(|seq| seq.to_string())),
            ("timestamp", self.timestamp.map(Wall::rfc3339)),
            ("digest", self.digest.clone()),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                out = out.with(name, value);
            }
        }
        for (name, text) in [("source", &self.source), ("identity", &self.identity)] {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                out = out.child(Element::new(CLAWS, name).text_of(text));
            }
        }
        out = self.outcomes.iter().fold(out, |out, one| out.child(outcome(one)));
        if let Some(payload) = &self.payload {
            out = out.child(payload.clone());
        }
        self.contributions.iter().filter_map(contribution).fold(out, Element::child)
    }
}

/// The first message of a stream.
pub fn welcome(session: &str, epoch: &str, after: u64, low: u64, high: u64, heartbeat_ms: u64) -> Element {
    Element::new(CLAWS, "welcome")
        .with("session", session)
        .with("epoch", epoch)
        .with("after", after.to_string())
        .with("low", low.to_string())
        .with("high", high.to_string())
        .with("heartbeat-ms", heartbeat_ms.to_string())
}

/// The last message of a stream.
pub fn bye(code: &str) -> Element {
    let bye = Element::new(CLAWS, "bye");
    if code == "drain" { bye.with("drain", "true") } else { bye.with("code", code) }
}

/// The body of any refusal.
pub fn error(fault: &Fault) -> Element {
    let mut error = Element::new(CLAWS, "error").with("code", fault.code);
    if let Some((line, column)) = fault.place {
        error = error.with("line", line.to_string()).with("column", column.to_string());
    }
    if let Some(txid) = &fault.txid {
        error = error.with("txid", txid);
    }
    error.text_of(&fault.message)
}

//! The grammar of messages: what a client may send as a closed list of types, and what the bus sends.
//! Owns `claws.rnc` in code. Refuses server attributes on the way in, and any meaning of a payload.

mod downlink;
mod uplink;

pub use downlink::{Broadcast, Description, Phase, bye, contribution, error, outcome, progress_out, welcome};
pub use uplink::{parse, payload_of};

use super::xml::Element;

/// A command or notice on its way in: `claws:event` with a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    pub txid: String,
    pub source: String,
    pub identity: Option<String>,
    pub correlation_id: Option<String>,
    /// May shorten the transaction's deadline.
    pub deadline_ms: Option<u32>,
    pub payload: Element,
}

/// What a block of an update does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Append,
    Remove,
}

/// One block of an update; the element has lost its `update-action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edit {
    pub action: Action,
    pub block: Element,
}

/// A module's answer to a provisional event; without edits it means "no opinion".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    pub txid: String,
    /// `seq` of the broadcast that it answers.
    pub re: Option<u64>,
    pub round: u8,
    pub source: Option<String>,
    pub version: Option<String>,
    /// The module's reservation lasts this long (CL-307).
    pub hold_ms: Option<u32>,
    pub edits: Vec<Edit>,
}

/// A module's refusal of a provisional event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub txid: String,
    pub re: Option<u64>,
    pub round: u8,
    pub source: Option<String>,
    pub code: String,
    pub message: String,
}

/// Whether the work that progress tells of goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    Running,
    Done,
    Failed,
}

/// How far a module has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its own txid; one stream of progress keeps it.
    pub txid: String,
    pub re: Option<u64>,
    pub source: String,
    pub version: Option<String>,
    /// The transaction that it tells of.
    pub correlation_id: String,
    /// 0 to 100.
    pub percent: u8,
    /// As sent, line breaks included.
    pub message: Option<String>,
    pub course: Option<Course>,
}

/// What an applier made of a final event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Applied,
    Failed,
    Ignored,
}

impl Applied {
    /// The word of the schema.
    pub fn word(self) -> &'static str {
        match self {
            Applied::Applied => "applied",
            Applied::Failed => "failed",
            Applied::Ignored => "ignored",
        }
    }
}

/// An applier's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub txid: String,
    pub seq: u64,
    pub result: Applied,
    pub message: Option<String>,
}

/// One alternative of a subscription; what is `None` or empty matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Namespace of the payload.
    pub ns: Option<String>,
    /// Local name of the payload.
    pub event: Option<String>,
    /// Namespace of a descendant.
    pub has_ns: Option<String>,
    /// Local name of a descendant.
    pub has: Option<String>,
    pub phases: Vec<Phase>,
}

/// A named list of alternatives; an empty one removes the subscription of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: String,
    pub matches: Vec<Match>,
}

/// Everything that a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uplink {
    Submission(Submission),
    Update(Update),
    Reject(Reject),
    Progress(Progress),
    Ack(Ack),
    Subscribe(Subscription),
    Heartbeat { applied: Option<u64> },
    Query { txid: String, re: Option<u64> },
    Bye,
}

/// True for a UUID or the sketch's 6-4-4-12 form, in any case (CL-207).
pub fn is_txid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let shape = match lengths[..] {
        [first, 4, 4, 12] | [first, 4, 4, 4, 12] => (6..=8).contains(&first),
        _ => false,
    };
    shape && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Match {
    /// True if an event with that payload, in that phase, is wanted.
    pub fn accepts(&self, payload: &Element, phase: Phase) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
        let phases = if self.phases.is_empty() {
            // the default: what modules live on (CL-501)
            matches!(phase, Phase::Provisional | Phase::Final | Phase::Cancelled)
        } else {
            self.phases.contains(&phase)
        };
        phases
            && is(&self.ns, &payload.ns)
            && is(&self.event, &payload.name)
            && (self.has_ns.is_none() && self.has.is_none() || self.descends(payload))
    }

    /// True if it may accept a notice of that name; `by_name` if only naming it counts.
    pub fn names(&self, ns: &str, event: &str, by_name: bool) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
        let phases = self.phases.is_empty() || self.phases.contains(&Phase::Final);
        phases && is(&self.ns, ns) && is(&self.event, event) && !(by_name && self.event.is_none())
    }

    fn descends(&self, element: &Element) -> bool {
        element.children().any(|child| {
            let ns = self.has_ns.as_deref().is_none_or(|ns| ns == child.ns);
            (ns && self.has.as_deref().is_none_or(|name| name == child.name)) || self.descends(child)
        })
    }
}

#[cfg(test)]
mod tests;

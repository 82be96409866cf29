//! From a tree to a message, strictly by the schema.

use super::{
    Ack, Action, Applied, Course, Edit, Match, Phase, Progress, Reject, Submission, Subscription, Update, Uplink,
    is_txid,
};
use crate::domain::claws::xml::{Element, Node};
use crate::domain::claws::{CLAWS, Fault};

/// Attributes that only the bus may set on an event (CL-206).
const SERVER_ATTRIBUTES: [&str; 5] = ["status", "timestamp", "seq", "round", "reason"];

/// Events of the bus itself that may be a payload (claws reference, section 9).
const OWN_EVENTS: [&str; 4] = ["configure-module", "grant", "revoke", "compensate"];

/// Reads a message that a client sent.
pub fn parse(root: &Element) -> Result<Uplink, Fault> {
    if root.ns != CLAWS {
        return Err(grammar(format!("`{}` is no message: the root is an element of {CLAWS}", root.name)));
    }
    match root.name.as_str() {
        "event" => event(root),
        "event-update" => update(root).map(Uplink::Update),
        "reject" => reject(root).map(Uplink::Reject),
        "ack" => ack(root).map(Uplink::Ack),
        "subscribe" => subscribe(root).map(Uplink::Subscribe),
        "heartbeat" => Ok(Uplink::Heartbeat { applied: number(root, "applied")? }),
        "query" => Ok(Uplink::Query { txid: txid(root)?, re: number(root, "re")? }),
        "bye" => Ok(Uplink::Bye),
        "hello" => Err(Fault::new("use-stream", "over HTTP the hello is GET /claws/v1/stream")),
        other => Err(grammar(format!("`claws:{other}` is nothing that a client sends"))),
    }
}

/// The one child that belongs to another vocabulary, or is an event of the bus's own.
pub fn payload_of(root: &Element) -> Result<Option<&Element>, Fault> {
    let mut found = None;
    for child in root.children() {
        let own = child.ns == CLAWS && OWN_EVENTS.contains(&child.name.as_str());
        if (child.ns != CLAWS || own) && found.replace(child).is_some() {
            return Err(grammar("an event has one payload element"));
        }
    }
    Ok(found)
}

fn event(root: &Element) -> Result<Uplink, Fault> {
    let payload = payload_of(root)?;
    let progress = payload.is_none() && root.find(CLAWS, "correlation-id").is_some();
    let tolerated = |name: &str| progress && name == "status" && root.attribute("status") == Some("final");
    if let Some(name) = SERVER_ATTRIBUTES.iter().find(|name| root.attribute(name).is_some() && !tolerated(name)) {
        return Err(Fault::new("server-attribute", format!("`{name}` is set by the bus; leave it out")));
    }
    no_stray_text(root)?;
    match payload {
        None if progress => self::progress(root).map(Uplink::Progress),
        None => Err(grammar("an event has a payload, or a claws:correlation-id if it is progress")),
        Some(payload) => submission(root, payload).map(Uplink::Submission),
    }
}

fn submission(root: &Element, payload: &Element) -> Result<Submission, Fault> {
    only(root, &["txid", "deadline-ms", "dry-run", "trace-parent"])?;
    if let Some("true" | "1") = root.attribute("dry-run") {
        return Err(grammar("dry-run is not offered by this version"));
    }
    children_among(root, &["source", "identity", "module-version", "correlation-id"], true)?;
    foreign(payload, false)?;
    let correlation_id = optional(root, "correlation-id")?;
    if let Some(id) = correlation_id.as_deref().filter(|id| !is_txid(id)) {
        return Err(Fault::new("bad-txid", format!("`{id}` is no transaction id")));
    }
    Ok(Submission {
        txid: txid(root)?,
        source: required(root, "source")?,
        identity: optional(root, "identity")?,
        correlation_id,
        deadline_ms: number(root, "deadline-ms")?,
        payload: payload.clone(),
    })
}

fn progress(root: &Element) -> Result<Progress, Fault> {
    only(root, &["txid", "status", "re"])?;
    let known =
        ["source", "module-version", "correlation-id", "progress-percent", "progress-message", "progress-state"];
    children_among(root, &known, false)?;
    let correlation_id = required(root, "correlation-id")?;
    if !is_txid(&correlation_id) {
        return Err(Fault::new("bad-txid", format!("`{correlation_id}` is no transaction id")));
    }
    let percent = required(root, "progress-percent")?;
    let percent = percent.trim().parse().ok().filter(|p| *p <= 100);
    let course = match optional(root, "progress-state")?.as_deref() {
        None => None,
        Some("running") => Some(Course::Running),
        Some("done") => Some(Course::Done),
        Some("failed") => Some(Course::Failed),
        Some(other) => return Err(grammar(format!("`{other}` is no progress-state: running, done or failed"))),
    };
    Ok(Progress {
        txid: txid(root)?,
        re: number(root, "re")?,
        source: required(root, "source")?,
        version: optional(root, "module-version")?,
        correlation_id,
        percent: percent.ok_or_else(|| grammar("claws:progress-percent is a number from 0 to 100"))?,
        message: root.find(CLAWS, "progress-message").map(Element::text),
        course,
    })
}

fn update(root: &Element) -> Result<Update, Fault> {
    only(root, &["txid", "re", "round"])?;
    no_stray_text(root)?;
    children_among(root, &["source", "module-version", "hold"], true)?;
    let hold_ms = match root.find(CLAWS, "hold") {
        None => None,
        Some(hold) => Some(number(hold, "ttl-ms")?.ok_or_else(|| grammar("claws:hold needs ttl-ms"))?),
    };
    let edits = root.children().filter(|child| child.ns != CLAWS).map(edit).collect::<Result<_, _>>()?;
    Ok(Update {
        txid: txid(root)?,
        re: number(root, "re")?,
        round: number(root, "round")?.unwrap_or(0),
        source: optional(root, "source")?,
        version: optional(root, "module-version")?,
        hold_ms,
        edits,
    })
}

fn edit(child: &Element) -> Result<Edit, Fault> {
    let action = match child.attribute("update-action") {
        Some("append") => Action::Append,
        Some("remove") => Action::Remove,
        _ => return Err(grammar(format!("block `{}` needs update-action=\"append\" or \"remove\"", child.name))),
    };
    foreign(child, true)?;
    let mut block = child.clone();
    block.attributes.retain(|a| !(a.ns.is_empty() && a.name == "update-action"));
    Ok(Edit { action, block })
}

fn reject(root: &Element) -> Result<Reject, Fault> {
    only(root, &["txid", "re", "round"])?;
    children_among(root, &["source", "module-version", "code", "message", "field"], false)?;
    Ok(Reject {
        txid: txid(root)?,
        re: number(root, "re")?,
        round: number(root, "round")?.unwrap_or(0),
        source: optional(root, "source")?,
        code: required(root, "code")?,
        message: optional(root, "message")?.unwrap_or_default(),
    })
}

fn ack(root: &Element) -> Result<Ack, Fault> {
    only(root, &["txid", "seq", "result"])?;
    let result = match root.attribute("result") {
        Some("applied") => Applied::Applied,
        Some("failed") => Applied::Failed,
        Some("ignored") => Applied::Ignored,
        _ => return Err(grammar("an ack has result=\"applied\", \"failed\" or \"ignored\"")),
    };
    Ok(Ack {
        txid: txid(root)?,
        seq: number(root, "seq")?.ok_or_else(|| grammar("an ack names the seq of the final event"))?,
        result,
        message: optional(root, "message")?,
    })
}

/// Alternatives in one subscription.
const MATCHES: usize = 64;

fn subscribe(root: &Element) -> Result<Subscription, Fault> {
    only(root, &["id"])?;
    let id = root.attribute("id").filter(|id| (1..=128).contains(&id.len()));
    let id = id.ok_or_else(|| grammar("a subscription has an id of 1 to 128 bytes"))?;
    children_among(root, &["match"], false)?;
    let matches = root.children().map(alternative).collect::<Result<Vec<_>, _>>()?;
    if matches.len() > MATCHES {
        return Err(grammar(format!("a subscription has at most {MATCHES} alternatives")));
    }
    Ok(Subscription { id: id.to_owned(), matches })
}

fn alternative(element: &Element) -> Result<Match, Fault> {
    only(element, &["ns", "event", "has-ns", "has", "phases"])?;
    let text = |name: &str| element.attribute(name).map(str::to_owned);
    let words = element.attribute("phases").unwrap_or("").split_ascii_whitespace();
    let phase = |word: &str| Phase::read(word).ok_or_else(|| grammar(format!("`{word}` is no phase")));
    Ok(Match {
        ns: text("ns"),
        event: text("event"),
        has_ns: text("has-ns"),
        has: text("has"),
        phases: words.map(phase).collect::<Result<_, _>>()?,
    })
}

fn txid(root: &Element) -> Result<String, Fault> {
    match root.attribute("txid") {
        None => Err(grammar(format!("`claws:{}` needs a txid", root.name))),
        Some(id) if is_txid(id) => Ok(id.to_owned()),
        Some(id) => Err(Fault::new("bad-txid", format!("`{id}` is no transaction id; use a UUID"))),
    }
}

/// A number in an attribute.
fn number<T: std::str::FromStr>(root: &Element, name: &str) -> Result<Option<T>, Fault> {
    match root.attribute(name) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| grammar(format!("`{name}` is no number in range: `{text}`"))),
    }
}

/// Attributes beside these are refused; those of other namespaces are not ours to judge.
fn only(root: &Element, known: &[&str]) -> Result<(), Fault> {
    let unknown = root.attributes.iter().find(|a| a.ns.is_empty() && !known.contains(&a.name.as_str()));
    unknown.map_or(Ok(()), |a| Err(grammar(format!("attribute `{}` is unknown on `claws:{}`", a.name, root.name))))
}

/// Children of the bus's namespace are these, at most once each; others only if `foreign`.
fn children_among(root: &Element, known: &[&str], foreign: bool) -> Result<(), Fault> {
    let mut seen: Vec<&str> = Vec::new();
    for child in root.children() {
        if child.ns != CLAWS {
            if foreign {
                continue;
            }
            return Err(grammar(format!("`{}` does not belong into `claws:{}`", child.name, root.name)));
        }
        let own = foreign && OWN_EVENTS.contains(&child.name.as_str());
        if !own && !known.contains(&child.name.as_str()) {
            return Err(grammar(format!("`claws:{}` does not belong into `claws:{}`", child.name, root.name)));
        }
        let repeatable = ["match", "field"].contains(&child.name.as_str());
        if !repeatable && seen.contains(&child.name.as_str()) {
            return Err(grammar(format!("`claws:{}` stands there twice", child.name)));
        }
        seen.push(&child.name);
    }
    Ok(())
}

fn required(root: &Element, name: &str) -> Result<String, Fault> {
    let text = optional(root, name)?.filter(|text| !text.is_empty());
    text.ok_or_else(|| grammar(format!("`claws:{}` needs a `claws:{name}`", root.name)))
}

/// A name or short text of at most 128 characters; `message` may be longer.
fn optional(root: &Element, name: &str) -> Result<Option<String>, Fault> {
    let Some(child) = root.find(CLAWS, name) else { return Ok(None) };
    let text = child.text();
    if child.children().next().is_some() || (name != "message" && text.chars().count() > 128) {
        return Err(grammar(format!("`claws:{name}` holds a text of at most 128 characters")));
    }
    Ok(Some(text))
}

/// Elements of the bus's namespace and `update-action` have no place in what modules own (CL-205).
fn foreign(element: &Element, block: bool) -> Result<(), Fault> {
    let action = element.attributes.iter().any(|a| a.ns.is_empty() && a.name == "update-action");
    if action && !block {
        return Err(grammar("update-action stands on the blocks of an event-update only"));
    }
    for child in element.children() {
        if child.ns == CLAWS {
            return Err(grammar(format!("`claws:{}` has no place inside a payload", child.name)));
        }
        foreign(child, false)?;
    }
    Ok(())
}

fn no_stray_text(root: &Element) -> Result<(), Fault> {
    let stray = root.nodes.iter().any(|node| matches!(node, Node::Text(text) if !text.trim().is_empty()));
    if stray { Err(grammar(format!("text has no place directly in `claws:{}`", root.name))) } else { Ok(()) }
}

fn grammar(message: impl Into<String>) -> Fault {
    Fault::new("grammar", message)
}

//! An object of Kea's JSON as a table that remembers what was looked at, so that nothing in it is dropped
//! in silence.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::super::report::Report;
use super::super::source::Place;
use super::json::{Node, Value};

/// An object under inspection.
pub struct Table<'a> {
    pub place: Place,
    members: &'a [(String, Node)],
    seen: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Table<'a> {
    /// The members of a node; none if it is no object.
    pub fn new(node: &'a Node) -> Table<'a> {
        let members: &[(String, Node)] = match &node.value {
            Value::Object(members) => members,
            _ => &[],
        };
        Table { place: node.place.clone(), members, seen: RefCell::default() }
    }

    /// The value of a key; of several, the last, as Kea has it.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        let (name, node) = self.members.iter().rev().find(|(name, _)| name == key)?;
        self.seen.borrow_mut().insert(name);
        Some(node)
    }

    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Node::text)
    }

    /// A text that is not empty: Kea writes "" for what is not set.
    pub fn filled(&self, key: &str) -> Option<&'a str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Node::number)
    }

    pub fn seconds(&self, key: &str) -> Option<u32> {
        self.number(key).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(Node::flag)
    }

    pub fn list(&self, key: &str) -> &'a [Node] {
        self.get(key).map(Node::list).unwrap_or_default()
    }

    /// Where a key stands, or the table itself.
    pub fn at(&self, key: &str) -> Place {
        self.get(key).map_or_else(|| self.place.clone(), |node| node.place.clone())
    }

    /// Texts of a list; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Vec<&'a str> {
        match self.get(key) {
            Some(node) => node.text().into_iter().chain(node.list().iter().filter_map(Node::text)).collect(),
            None => Vec::new(),
        }
    }

    /// Says of these keys, as far as they are there, that lanlord has no use for them.
    pub fn needless(&self, keys: &[(&str, &str)], report: &mut Report) {
        for (key, why) in keys {
            if let Some(node) = self.get(key) {
                report.adapted(&node.place, format!("{key} {}", node.shown()), *why);
            }
        }
    }

    /// Says of these keys, as far as they are there and mean something, that they are not carried over.
    /// `idle` is the value that changes nothing.
    pub fn refuse(&self, keys: &[(&str, &str, &str, &str)], report: &mut Report) {
        for (key, idle, why, todo) in keys {
            let Some(node) = self.get(key) else { continue };
            let shown = node.shown();
            if shown.trim_matches('"') == *idle || matches!(&node.value, Value::List(items) if items.is_empty()) {
                report.imported(&node.place, format!("{key} {shown}"));
            } else {
                report.refused(&node.place, format!("{key} {shown}"), *why, *todo);
            }
        }
    }

    /// What nobody looked at is unknown.
    pub fn finish(self, report: &mut Report) {
        let seen = self.seen.into_inner();
        for (key, node) in self.members.iter().filter(|(key, _)| !seen.contains(key.as_str())) {
            if matches!(key.as_str(), "user-context" | "comment") {
                report.adapted(&node.place, key.clone(), "comments are not carried over");
            } else {
                let why = "this directive is not known here";
                report.refused(
                    &node.place,
                    format!("{key} {}", node.shown()),
                    why,
                    "look up what it does, and whether you need it",
                );
            }
        }
    }
}

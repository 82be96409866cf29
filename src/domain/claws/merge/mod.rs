//! One base payload and the answers of many modules into one result, whatever order they arrived in
//! (CL-401..407). Owns conflicts and who contributed what. Refuses to know what any element means.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Grants;
use super::message::{Action, Edit};
use super::vocabulary::{Cardinality, Key, cardinality, key, value};
use super::xml::{Element, MESSAGE, NODES, Node};
use crate::domain::change::Contribution;

/// One module's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub module: String,
    /// Smaller comes first in output; ties go by name.
    pub priority: u32,
    pub edits: Vec<Edit>,
}

/// What to do with two values where one can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// No result.
    #[default]
    Fail,
    /// The answer of the module that comes later is left out as a whole.
    Priority,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub payload: Element,
    /// One per element of the result and per removed element, in order (CL-210).
    pub contributions: Vec<Contribution>,
    /// Modules whose answer lost a conflict under [`OnConflict::Priority`].
    pub denied: Vec<String>,
    /// Removals that matched nothing, as (module, element).
    pub idle: Vec<(String, String)>,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two values where one can be; both sides are named.
    #[error("{key}: {} says `{}`, {} says `{}`", .left.0, .left.1, .right.0, .right.1)]
    Values { key: String, left: (String, String), right: (String, String) },
    #[error("the result is larger than a message may be ({MESSAGE} bytes, {NODES} nodes)")]
    TooLarge,
}

impl Conflict {
    /// The reason of the cancellation.
    pub fn reason(&self) -> &'static str {
        match self {
            Conflict::Values { .. } => "conflict",
            Conflict::TooLarge => "too-large",
        }
    }
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("block `{0}` is not named like the payload `{1}`, or has attributes that the payload has not")]
    Wrapper(String, String),
    #[error("the module may not {0} `{1}`")]
    Denied(&'static str, String),
}

/// CL-401, CL-402: the blocks are named like the payload, and touch granted namespaces only. An update
/// counts whole or not at all.
pub fn check(base: &Element, edits: &[Edit], grants: &Grants) -> Result<(), Invalid> {
    for edit in edits {
        let known = edit.block.attributes.iter().all(|a| base.attributes.contains(a));
        if !edit.block.is(&base.ns, &base.name) || !known {
            return Err(Invalid::Wrapper(edit.block.name.clone(), base.name.clone()));
        }
        let (granted, verb) = match edit.action {
            Action::Append => (&grants.append, "append"),
            Action::Remove => (&grants.remove, "remove"),
        };
        if let Some(child) = edit.block.children().find(|child| !granted.allows(&child.ns)) {
            return Err(Invalid::Denied(verb, key(child).to_string()));
        }
    }
    Ok(())
}

/// Merges checked answers. `submitter` is named as the origin of the base's elements.
pub fn merge(base: &Element, submitter: &str, answers: &[Answer], rule: OnConflict) -> Result<Merged, Conflict> {
    let mut sorted: Vec<&Answer> = answers.iter().collect();
    sorted.sort_by(|a, b| (a.priority, &a.module).cmp(&(b.priority, &b.module)));
    // L3: the same answer again counts once
    sorted.dedup();
    let base_children: Vec<&Element> = base.children().collect();
    let mut denied = Vec::new();
    loop {
        let effects: Vec<Effect<'_>> = sorted.iter().map(|answer| Effect::of(answer, &base_children)).collect();
        let Some((loser, conflict)) = clash(&base_children, submitter, &effects) else {
            let merged = compose(base, &base_children, submitter, &effects, denied);
            return if merged.payload.count() > NODES || merged.payload.write().len() > MESSAGE {
                Err(Conflict::TooLarge)
            } else {
                Ok(merged)
            };
        };
        match rule {
            OnConflict::Fail => return Err(conflict),
            OnConflict::Priority => denied.push(sorted.remove(loser).module.clone()),
        }
    }
}

/// An element with what it is compared by.
#[derive(Debug, Clone)]
struct Item<'a> {
    key: Key,
    value: String,
    element: &'a Element,
}

impl<'a> Item<'a> {
    fn of(element: &'a Element) -> Item<'a> {
        Item { key: key(element), value: value(element), element }
    }

    fn same(&self, other: &Item<'_>) -> bool {
        self.key == other.key && self.value == other.value
    }
}

/// What one answer does to the base, evaluated alone and in document order (CL-403).
struct Effect<'a> {
    module: &'a str,
    /// Indices of base elements that it takes out.
    removed: BTreeSet<usize>,
    /// Indices of base elements that it also wants.
    kept: BTreeSet<usize>,
    added: Vec<Item<'a>>,
    idle: Vec<&'a Element>,
}

impl<'a> Effect<'a> {
    fn of(answer: &'a Answer, base: &[&Element]) -> Effect<'a> {
        let mut effect = Effect {
            module: &answer.module,
            removed: BTreeSet::new(),
            kept: BTreeSet::new(),
            added: Vec::new(),
            idle: Vec::new(),
        };
        let mut index: BTreeMap<(Key, String), Vec<usize>> = BTreeMap::new();
        if answer.edits.iter().any(|edit| edit.action == Action::Append) {
            for (i, element) in base.iter().enumerate() {
                index.entry((key(element), value(element))).or_default().push(i);
            }
        }
        for edit in &answer.edits {
            for child in edit.block.children() {
                match edit.action {
                    Action::Append => effect.append(child, &index),
                    Action::Remove => effect.remove(child, base),
                }
            }
        }
        effect
    }

    fn append(&mut self, element: &'a Element, base: &BTreeMap<(Key, String), Vec<usize>>) {
        let item = Item::of(element);
        match base.get(&(item.key.clone(), item.value.clone())) {
            Some(indices) => {
                indices.iter().for_each(|i| {
                    self.removed.remove(i);
                });
                self.kept.extend(indices);
            }
            None if self.added.iter().any(|other| other.same(&item)) => {}
            None => self.added.push(item),
        }
    }

    fn remove(&mut self, pattern: &'a Element, base: &[&Element]) {
        let mut hit = false;
        for (i, element) in base.iter().enumerate() {
            if matches(pattern, element) && !self.removed.contains(&i) {
                self.removed.insert(i);
                self.kept.remove(&i);
                hit = true;
            }
        }
        let before = self.added.len();
        self.added.retain(|item| !matches(pattern, item.element));
        if !hit && self.added.len() == before {
            self.idle.push(pattern);
        }
    }
}

/// A pattern matches elements of its name whose attributes include its own and whose value, if it has
/// text, is equal.
fn matches(pattern: &Element, element: &Element) -> bool {
    element.is(&pattern.ns, &pattern.name)
        && pattern.attributes.iter().all(|a| element.attributes.contains(a))
        && (pattern.nodes.is_empty() || value(pattern) == value(element))
}

/// The first pair of values where one can be, with the index of the answer that gives way.
fn clash(base: &[&Element], submitter: &str, effects: &[Effect<'_>]) -> Option<(usize, Conflict)> {
    let mut claims: BTreeMap<Key, Vec<(usize, String, &str)>> = BTreeMap::new();
    for (i, effect) in effects.iter().enumerate() {
        let kept = effect.kept.iter().filter_map(|at| base.get(*at)).map(|element| Item::of(element));
        for item in effect.added.iter().cloned().chain(kept) {
            if cardinality(item.element) == Cardinality::Single {
                claims.entry(item.key).or_default().push((i, item.value, effect.module));
            }
        }
    }
    if claims.is_empty() {
        return None;
    }
    let items: Vec<Item<'_>> = base.iter().map(|element| Item::of(element)).collect();
    let mut found: Option<(usize, Conflict)> = None;
    for (key, values) in &claims {
        let between = values.iter().find(|(_, value, _)| *value != values[0].1).map(|other| {
            (other.0, (values[0].2.to_owned(), values[0].1.clone()), (other.2.to_owned(), other.1.clone()))
        });
        // CL-404: a value beside the base's own, which this module left in place
        let with_base = values.iter().find_map(|(i, value, module)| {
            let stands = items
                .iter()
                .enumerate()
                .find(|(at, item)| item.key == *key && item.value != *value && !effects[*i].removed.contains(at));
            stands.map(|(_, item)| {
                (*i, (submitter.to_owned(), item.value.clone()), ((*module).to_owned(), value.clone()))
            })
        });
        for (loser, left, right) in between.into_iter().chain(with_base) {
            if found.as_ref().is_none_or(|(worst, _)| loser > *worst) {
                found = Some((loser, Conflict::Values { key: key.to_string(), left, right }));
            }
        }
    }
    found
}

fn compose(
    base: &Element,
    base_children: &[&Element],
    submitter: &str,
    effects: &[Effect<'_>],
    denied: Vec<String>,
) -> Merged {
    let mut payload = Element { nodes: Vec::new(), ..base.clone() };
    let mut contributions = Vec::new();
    for (i, element) in base_children.iter().enumerate() {
        let owners = effects.iter().filter(|e| e.kept.contains(&i)).map(|e| e.module.to_owned());
        let removers: Vec<String> =
            effects.iter().filter(|e| e.removed.contains(&i)).map(|e| e.module.to_owned()).collect();
        let owners: Vec<String> = owners.collect();
        // CL-405: who appends an equal element keeps it against another's removal
        let (op, by) = if removers.is_empty() || !owners.is_empty() {
            payload.nodes.push(Node::Element((*element).clone()));
            ("submitted", std::iter::once(submitter.to_owned()).chain(owners).collect())
        } else {
            ("removed", removers)
        };
        contributions.push(Contribution { op: op.to_owned(), by, element: element.write() });
    }
    let mut places: BTreeMap<(Key, String), usize> = BTreeMap::new();
    for effect in effects {
        for item in &effect.added {
            match places.get(&(item.key.clone(), item.value.clone())) {
                Some(at) => contributions[*at].by.push(effect.module.to_owned()),
                None => {
                    places.insert((item.key.clone(), item.value.clone()), contributions.len());
                    payload.nodes.push(Node::Element(item.element.clone()));
                    let by = vec![effect.module.to_owned()];
                    contributions.push(Contribution { op: "appended".to_owned(), by, element: item.element.write() });
                }
            }
        }
    }
    let idle = effects.iter().flat_map(|e| e.idle.iter().map(|p| (e.module.to_owned(), key(p).to_string())));
    // text of a payload that has only text
    if base_children.is_empty() {
        let text = base.nodes.iter().filter(|node| matches!(node, Node::Text(_))).cloned();
        payload.nodes.splice(0..0, text);
    }
    Merged { payload, contributions, denied, idle: idle.collect() }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

//! Classes: which clients are meant, by shorthand or by expression. Owns the language, the set of classes
//! and the lazy answer for one message; refuses to know what a class is good for.
//!
//! The language is total: no loops, depth and length are bounded, a missing value is empty.

/// Places in a message.
mod access;
/// The tree and its evaluation.
mod expr;
/// Tokens.
mod lex;
/// Patterns of the shorthand keys.
mod matcher;
/// Tokens to tree.
mod parse;
/// What can be asked of a message.
mod subject;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

pub use matcher::{Matcher, Pattern, user_classes};
pub use subject::{Field, RelayPart, Subject};

use super::policy::{Boot, Setting};

/// Octets of an expression's text.
pub const MAX_TEXT: usize = 4096;
/// Levels of an expression.
pub const MAX_DEPTH: usize = 32;
/// Classes of one configuration.
pub const MAX_CLASSES: usize = 1024;

/// Every client.
pub const ALL: &str = "ALL";
/// Clients with a reservation, and those without.
pub const KNOWN: &str = "KNOWN";
pub const UNKNOWN: &str = "UNKNOWN";
/// Clients that get no answer.
pub const DROP: &str = "DROP";
/// Clients that get no name in DNS.
pub const SKIP_DNS: &str = "SKIP_DNS";

/// Why a text is no expression, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Offset in octets.
    pub at: usize,
    pub message: String,
}

impl ExprError {
    fn new(at: usize, message: impl Into<String>) -> ExprError {
        ExprError { at, message: message.into() }
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    test: Arc<expr::Test>,
}

impl Expression {
    /// Reads a text. `names` knows the codes of options.
    pub fn parse(text: &str, names: &dyn Fn(&str) -> Option<u16>) -> Result<Expression, ExprError> {
        Ok(Expression { test: Arc::new(parse::test(text, names)?) })
    }

    /// The classes that it asks for, each with its offset in the text.
    pub fn members(&self) -> Vec<(&str, usize)> {
        let mut out = Vec::new();
        self.test.members(&mut out);
        out
    }
}

/// What decides whether a client is in a class: all matchers that are given, and the expression.
#[derive(Debug, Clone, Default)]
pub struct Class {
    pub name: String,
    pub matchers: Vec<Matcher>,
    pub test: Option<Expression>,
    pub effects: Effects,
    /// What makes a client a member, as it is written.
    pub definition: String,
    /// `file:line`, if it comes from a configuration.
    pub place: Option<Arc<str>>,
}

/// What the members of a class get.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    pub settings: Vec<Setting>,
    pub boot: Boot,
    /// Seconds.
    pub lease_time: Option<u32>,
}

/// All classes of a policy, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    list: Vec<Class>,
    names: HashMap<String, usize>,
}

impl Classes {
    /// A set; of two classes of one name, the first counts.
    pub fn new(list: Vec<Class>) -> Classes {
        let mut names = HashMap::new();
        for (index, class) in list.iter().enumerate() {
            names.entry(class.name.clone()).or_insert(index);
        }
        Classes { list, names }
    }

    pub fn list(&self) -> &[Class] {
        &self.list
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True for a class of this set, and for one that is built in.
    pub fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name) || [ALL, KNOWN, UNKNOWN, DROP, SKIP_DNS].contains(&name)
    }

    /// A class that asks for itself, through others or directly; with the offset in its text.
    pub fn cycle(&self) -> Option<(&Class, usize)> {
        // 0 not seen, 1 on the way, 2 done
        let mut marks = vec![0_u8; self.list.len()];
        (0..self.list.len()).find_map(|index| self.walk(index, &mut marks))
    }

    fn walk(&self, index: usize, marks: &mut [u8]) -> Option<(&Class, usize)> {
        if marks[index] != 0 {
            return None;
        }
        marks[index] = 1;
        let class = &self.list[index];
        for (name, at) in class.test.iter().flat_map(Expression::members) {
            let Some(next) = self.names.get(name).copied() else { continue };
            if marks[next] == 1 {
                return Some((class, at));
            }
            if let Some(found) = self.walk(next, marks) {
                return Some(found);
            }
        }
        marks[index] = 2;
        None
    }
}

/// Which classes one client is in, found out when somebody asks and then remembered.
pub struct Membership<'a> {
    classes: &'a Classes,
    subject: &'a dyn Subject,
    known: bool,
    /// Classes that its reservation puts it into.
    given: &'a [String],
    /// One per class: not asked, being asked, no, yes. Empty while nobody asked.
    answers: RefCell<Vec<Answer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Unasked,
    Asking,
    No,
    Yes,
}

impl<'a> Membership<'a> {
    /// `known`: whether the client has a reservation; `given`: the classes that this one names.
    pub fn new(classes: &'a Classes, subject: &'a dyn Subject, known: bool, given: &'a [String]) -> Membership<'a> {
        Membership { classes, subject, known, given, answers: RefCell::default() }
    }

    /// True if the client is in the class of that name.
    pub fn has(&self, name: &str) -> bool {
        match name {
            ALL => true,
            KNOWN => self.known,
            UNKNOWN => !self.known,
            _ if self.given.iter().any(|given| given == name) => true,
            _ => self.classes.names.get(name).is_some_and(|index| self.has_index(*index)),
        }
    }

    /// True if no class is asked for, or the client is in one of them.
    pub fn has_any(&self, guard: &[String]) -> bool {
        guard.is_empty() || guard.iter().any(|name| self.has(name))
    }

    /// The classes that the client is in, in the order of the configuration.
    pub fn classes(&self) -> impl Iterator<Item = &'a Class> + '_ {
        let list = self.classes.list.iter().enumerate();
        list.filter(|(index, class)| self.given.contains(&class.name) || self.has_index(*index)).map(|(_, class)| class)
    }

    /// Whether an expression holds for the client.
    pub fn meets(&self, expression: &Expression) -> bool {
        let member = |name: &str| self.has(name);
        expression.test.holds(&expr::Scope { subject: self.subject, known: self.known, member: &member })
    }

    fn has_index(&self, index: usize) -> bool {
        {
            let mut answers = self.answers.borrow_mut();
            if answers.is_empty() {
                answers.resize(self.classes.list.len(), Answer::Unasked);
            }
            match answers[index] {
                Answer::Yes => return true,
                // a cycle is refused when the configuration is read; here it ends as "no"
                Answer::No | Answer::Asking => return false,
                Answer::Unasked => answers[index] = Answer::Asking,
            }
        }
        let class = &self.classes.list[index];
        let empty = class.matchers.is_empty() && class.test.is_none();
        let holds = !empty
            && class.matchers.iter().all(|matcher| matcher.holds(self.subject))
            && class.test.as_ref().is_none_or(|test| self.meets(test));
        self.answers.borrow_mut()[index] = if holds { Answer::Yes } else { Answer::No };
        holds
    }
}

#[cfg(test)]
mod tests;

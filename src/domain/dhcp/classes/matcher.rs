//! Shorthand: one field against a few patterns. What most classes need, without an expression.

use super::subject::{Field, Subject};
use crate::domain::hex;

/// What a field looks like: exactly, by its beginning or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Exact(Vec<u8>),
    /// `text*`.
    Begins(Vec<u8>),
    /// `*text`.
    Ends(Vec<u8>),
    /// `*`: whatever it is, but not nothing.
    Anything,
}

impl Pattern {
    /// `text`, `text*`, `*text`, `*`, or octets as `0x..` with the same asterisks; `None` if the octets are none.
    pub fn parse(text: &str) -> Option<Pattern> {
        if text == "*" {
            return Some(Pattern::Anything);
        }
        let (text, begins) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
        let (text, ends) = text.strip_prefix('*').filter(|_| !begins).map_or((text, false), |text| (text, true));
        let octets = match text.strip_prefix("0x") {
            Some(digits) => {
                let digits: Vec<u8> = digits.bytes().filter(|b| *b != b':').collect();
                hex::read(&digits).filter(|octets| !octets.is_empty())?
            }
            None => text.as_bytes().to_vec(),
        };
        Some(match (begins, ends) {
            (true, _) => Pattern::Begins(octets),
            (_, true) => Pattern::Ends(octets),
            _ => Pattern::Exact(octets),
        })
    }

    /// True if the octets look like this.
    pub fn fits(&self, octets: &[u8]) -> bool {
        match self {
            Pattern::Exact(wanted) => octets == wanted,
            Pattern::Begins(start) => octets.starts_with(start),
            Pattern::Ends(end) => octets.ends_with(end),
            Pattern::Anything => !octets.is_empty(),
        }
    }
}

/// RFC 3004 §4: texts with a length before each; `None` if the lengths do not add up (iPXE and others send
/// one bare text).
pub fn user_classes(value: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let step = |rest: &[u8]| Some(1 + usize::from(*rest.first()?));
    let mut at = 0;
    while at < value.len() {
        at += step(&value[at..])?;
    }
    let mut rest = value;
    let each = std::iter::from_fn(move || {
        let (entry, after) = rest.split_at_checked(step(rest)?)?;
        rest = after;
        Some(&entry[1..])
    });
    (at == value.len() && !value.is_empty()).then_some(each)
}

/// A field, and what it may look like; any of the patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    pub field: Field,
    pub any: Vec<Pattern>,
}

impl Matcher {
    /// True if the message has the field and it fits.
    pub fn holds(&self, subject: &dyn Subject) -> bool {
        let Some(value) = subject.field(self.field) else { return false };
        let fits = |octets: &[u8]| self.any.iter().any(|pattern| pattern.fits(octets));
        match self.field {
            // RFC 3004 §4: a list; many clients send bare text
            Field::UserClass => fits(&value) || user_classes(&value).is_some_and(|mut list| list.any(fits)),
            // RFC 4578 §2.1: a list of numbers
            Field::Arch => value.chunks(2).any(fits),
            _ => fits(&value),
        }
    }
}

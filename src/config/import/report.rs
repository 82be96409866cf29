//! What became of each directive: imported, adapted or refused, with its line, why and what to do. Owns
//! the rule that nothing is dropped in silence; refuses to decide what can be imported.

use std::fmt::Write as _;

use super::source::Place;

/// What became of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It means the same here.
    Imported,
    /// It is carried over in another form, or it is not needed here.
    Adapted,
    /// It is not carried over.
    Refused,
}

impl Fate {
    /// As reports write it.
    pub fn label(self) -> &'static str {
        match self {
            Fate::Imported => "imported",
            Fate::Adapted => "adapted",
            Fate::Refused => "refused",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub fate: Fate,
    pub place: Place,
    /// The directive or object, e.g. `subnet 10.0.0.0/24`.
    pub what: String,
    /// Why it was adapted or refused; empty if imported.
    pub why: String,
    /// What the administrator should do; empty if nothing.
    pub todo: String,
}

/// Lines of a report; more are counted only.
pub const ITEMS: usize = 400_000;

/// What became of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub items: Vec<Item>,
    /// Refusals that did not fit into `items`.
    pub more: usize,
}

impl Report {
    pub fn imported(&mut self, place: &Place, what: impl Into<String>) {
        self.push(Fate::Imported, place, what.into(), String::new(), String::new());
    }

    pub fn adapted(&mut self, place: &Place, what: impl Into<String>, why: impl Into<String>) {
        self.push(Fate::Adapted, place, what.into(), why.into(), String::new());
    }

    /// Adapted, and somebody should look at it.
    pub fn look(&mut self, place: &Place, what: impl Into<String>, why: impl Into<String>, todo: impl Into<String>) {
        self.push(Fate::Adapted, place, what.into(), why.into(), todo.into());
    }

    pub fn refused(&mut self, place: &Place, what: impl Into<String>, why: impl Into<String>, todo: impl Into<String>) {
        self.push(Fate::Refused, place, what.into(), why.into(), todo.into());
    }

    fn push(&mut self, fate: Fate, place: &Place, what: String, why: String, todo: String) {
        if self.items.len() < ITEMS {
            self.items.push(Item { fate, place: place.clone(), what, why, todo });
        } else {
            self.more += usize::from(fate == Fate::Refused);
        }
    }

    /// How many lines have that fate.
    pub fn count(&self, fate: Fate) -> usize {
        let shown = self.items.iter().filter(|item| item.fate == fate).count();
        shown + if fate == Fate::Refused { self.more } else { 0 }
    }

    /// True if something was refused: exit code 1 (AP-302).
    pub fn refuses(&self) -> bool {
        self.count(Fate::Refused) > 0
    }

    /// In the order of files and lines.
    pub fn sort(&mut self) {
        let mut order: Vec<_> = Vec::new();
        for item in &self.items {
            if !order.contains(&item.place.file) {
                order.push(item.place.file.clone());
            }
        }
        let rank = |item: &Item| order.iter().position(|file| *file == item.place.file);
        self.items.sort_by_cached_key(|item| (rank(item), item.place.line));
        self.items.dedup();
    }

    /// For people: what needs attention first, then how much was taken over. `all` lists what was
    /// imported as it stood, too.
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        let wanted = |item: &&Item| all || item.fate != Fate::Imported;
        for item in self.items.iter().filter(wanted) {
            let _ = write!(out, "{}: {}: {}", item.place, item.fate.label(), item.what);
            if !item.why.is_empty() {
                let _ = write!(out, ": {}", item.why);
            }
            if !item.todo.is_empty() {
                let _ = write!(out, "; {}", item.todo);
            }
            out.push('\n');
        }
        let count = |fate| self.count(fate);
        let _ = writeln!(
            out,
            "{} imported, {} adapted, {} refused",
            count(Fate::Imported),
            count(Fate::Adapted),
            count(Fate::Refused)
        );
        out
    }
}

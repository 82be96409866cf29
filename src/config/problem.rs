//! What is wrong with a configuration, where it stands and what to do. Owns how problems are printed;
//! refuses to decide what is one.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that must be changed before the configuration can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    pub file: PathBuf,
    /// Line and column of the offending text, both from 1; `None` if it is about the whole file.
    pub at: Option<(usize, usize)>,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// All problems of a configuration, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Line and column, from 1, of a byte of the text; columns count characters.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The known word that is nearest to `unknown`, if one is near enough to be meant.
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (distance(unknown, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().max(unknown.len()) / 4)
        .min()
        .map(|(_, word)| word)
}

/// Edits that turn one word into the other; `-` and `_` are the same sign.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_").chars().collect::<Vec<_>>();
    let (a, b) = (plain(a), plain(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A problem with a whole file.
pub fn about_file(file: &Path, message: impl Into<String>, hint: Option<&str>) -> Problem {
    Problem { file: file.to_owned(), at: None, message: message.into(), hint: hint.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        assert_eq!(position("a\nbü = 1", 0), (1, 1));
        assert_eq!(position("a\nbü = 1", 6), (2, 4));
        assert_eq!(position("a", 99), (1, 2));
    }

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        let known = ["lease_time", "router", "prefix"];
        assert_eq!(nearest("lease-time", known.into_iter()), Some("lease_time"));
        assert_eq!(nearest("ruoter", known.into_iter()), Some("router"));
        assert_eq!(nearest("banana", known.into_iter()), None);
    }
}

//! The text of dnsmasq as directives: a key, and what stands after `=`. Owns comments, quotes and the
//! files that `conf-file` and `conf-dir` name.

use std::path::Path;

use super::super::report::Report;
use super::super::source::{DEPTH, Files, Place, Unreadable, beside};

/// Directives of one import.
const LINES: usize = 2_000_000;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub place: Place,
    pub key: String,
    pub value: String,
}

impl Line {
    /// As it stands, at most 120 characters.
    pub fn shown(&self) -> String {
        let whole = if self.value.is_empty() { self.key.clone() } else { format!("{}={}", self.key, self.value) };
        if whole.chars().count() > 120 { whole.chars().take(117).chain("...".chars()).collect() } else { whole }
    }

    /// What stands between commas; a comma in quotes divides nothing.
    pub fn parts(&self) -> Vec<String> {
        split(&self.value)
    }
}

/// True if the last of the parts stands in quotes: then it is text, whatever it looks like.
pub fn quoted(text: &str) -> bool {
    text.trim_end().ends_with('"')
}

/// What stands between commas outside of quotes, without the quotes.
pub fn split(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                let c = rest.next().unwrap_or('\\');
                let told = "tnbre".find(c).map(|at| ['\t', '\n', '\u{8}', '\r', '\u{1b}'][at]);
                out.last_mut().into_iter().for_each(|last| last.push(told.unwrap_or(c)));
            }
            ',' if !quoted => out.push(String::new()),
            c => out.last_mut().into_iter().for_each(|last| last.push(c)),
        }
    }
    out.iter().map(|part| part.trim_matches(' ').to_owned()).collect()
}

/// Reads a file and those that it names.
pub fn read(files: &Files, path: &Path, report: &mut Report) -> Result<Vec<Line>, Unreadable> {
    let mut out = Vec::new();
    into(files, path, 0, &mut out, report)?;
    Ok(out)
}

fn into(files: &Files, path: &Path, depth: usize, out: &mut Vec<Line>, report: &mut Report) -> Result<(), Unreadable> {
    let text = files.text(path)?;
    let place = Place { file: path.display().to_string().into(), line: 1 };
    for line in directives(&text, &place) {
        if out.len() >= LINES || depth > DEPTH {
            let what = format!("more than {LINES} directives, or files more than {DEPTH} deep");
            return Err(Unreadable::Syntax { place: line.place, what });
        }
        match line.key.as_str() {
            "conf-file" => {
                report.imported(&line.place, line.shown());
                into(files, &beside(path, &line.value), depth + 1, out, report)?;
            }
            "conf-dir" => folder(files, path, &line, depth, out, report)?,
            _ => out.push(line),
        }
    }
    Ok(())
}

/// `conf-dir=DIR[,*.ending][,.ending]`: with a star only these, without one all but these.
fn folder(
    files: &Files,
    path: &Path,
    line: &Line,
    depth: usize,
    out: &mut Vec<Line>,
    report: &mut Report,
) -> Result<(), Unreadable> {
    let parts = line.parts();
    let (wanted, unwanted): (Vec<&String>, Vec<&String>) = parts[1..].iter().partition(|part| part.starts_with('*'));
    report.imported(&line.place, line.shown());
    for file in files.folder(&beside(path, &parts[0]))? {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let hidden = name.ends_with('~') || name.starts_with('.') || (name.starts_with('#') && name.ends_with('#'));
        let in_wanted = wanted.is_empty() || wanted.iter().any(|ending| name.ends_with(&ending[1..]));
        if !hidden && in_wanted && !unwanted.iter().any(|ending| name.ends_with(ending.as_str())) {
            into(files, &file, depth + 1, out, report)?;
        }
    }
    Ok(())
}

/// The directives of a text. A `#` begins a comment at the start of a line or after a blank.
pub fn directives(text: &str, place: &Place) -> Vec<Line> {
    let mut out = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = uncommented(line).trim();
        if line.is_empty() {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        out.push(Line { place: place.at(n + 1), key: key.trim().to_owned(), value: value.trim().to_owned() });
    }
    out
}

/// A line up to its comment.
pub fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    let mut blank = true;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if blank && !quoted => return &line[..at],
            _ => {}
        }
        blank = c.is_whitespace();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_lose_their_comments_and_keep_their_quotes() {
        let text = "# all\n dhcp-option = 43,\"a,b#c\" # end\nno-ping\nfoo=a#b\n\n";
        let lines = directives(text, &Place { file: "f".into(), line: 1 });
        let seen: Vec<String> = lines.iter().map(|l| format!("{} {:?}", l.place, l.parts())).collect();
        assert_eq!(seen, ["f:2 [\"43\", \"a,b#c\"]", "f:3 [\"\"]", "f:4 [\"a#b\"]"]);
    }

    #[test]
    fn a_file_that_names_itself_is_refused() {
        let files = Files::in_memory([("a".into(), b"conf-file=a\n".to_vec())]);
        assert!(read(&files, Path::new("a"), &mut Report::default()).is_err());
    }
}

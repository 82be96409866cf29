//! Reads Rust sources just well enough to know which paths they mention and on which line.

use std::path::Path;

/// One file below `src/`.
pub struct Source {
    /// Path below `src/`, with forward slashes.
    pub relative: String,
    pub text: String,
    /// Its module path, e.g. `["server", "http", "api"]`.
    pub module: Vec<String>,
    /// A file that holds only tests.
    pub is_test: bool,
    tokens: Vec<(String, usize)>,
}

/// A path as resolved: `crate::…` for our own modules, else as written.
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
}

/// Words that may stand before a path without being part of it.
const KEYWORDS: &[&str] =
    &["use", "pub", "fn", "mut", "return", "in", "as", "impl", "dyn", "for", "let", "else", "match", "if", "move"];

/// All files below `src/`, in order of their names.
pub fn sources(root: &Path) -> Vec<Source> {
    let src = root.join("src");
    let (mut out, mut waiting) = (Vec::new(), vec![src.clone()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("src is readable").map(|e| e.expect("an entry")) {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let relative = path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").replace('\\', "/");
                out.push(Source::new(&relative, &std::fs::read_to_string(&path).expect("UTF-8 text")));
            }
        }
    }
    assert!(!out.is_empty(), "no sources found");
    out.sort_by(|a, b| a.relative.cmp(&b.relative));
    out
}

impl Source {
    pub fn new(relative: &str, text: &str) -> Source {
        let mut module: Vec<String> = relative.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let is_test = module.iter().any(|part| part == "tests" || part == "fixture" || part.ends_with("_tests"));
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let tokens = if is_test { Vec::new() } else { without_tests(tokens(text)) };
        Source { relative: relative.to_owned(), text: text.to_owned(), module, is_test, tokens }
    }

    /// Lines on which one of these words stands in code.
    pub fn lines_with(&self, words: &[&str]) -> Vec<usize> {
        self.tokens.iter().filter(|(token, _)| words.contains(&token.as_str())).map(|(_, line)| *line).collect()
    }

    /// Every path of two or more segments, with groups spread out, and what is used whole.
    pub fn mentions(&self) -> Vec<Mention> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let starts = self.is_word(at) && (at == 0 || self.token(at - 1) != "::" || !self.follows_word(at));
            if starts { at = self.path(at, Vec::new(), &mut out) } else { at += 1 }
        }
        out
    }

    fn follows_word(&self, at: usize) -> bool {
        at >= 2 && (self.is_word(at - 2) || self.token(at - 2) == ">")
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |(token, _)| token)
    }

    fn is_word(&self, at: usize) -> bool {
        let token = self.token(at);
        token.starts_with(|c: char| c.is_alphabetic() || c == '_') && !KEYWORDS.contains(&token)
    }

    /// Reads one path (or the inside of a group) from `at`; returns where it ended.
    fn path(&self, mut at: usize, mut so_far: Vec<String>, out: &mut Vec<Mention>) -> usize {
        let line = self.tokens[at].1;
        loop {
            if self.token(at) == "{" {
                return self.group(at + 1, &so_far, out);
            }
            if !self.is_word(at) {
                break;
            }
            so_far.push(self.token(at).to_owned());
            at += 1;
            if self.token(at) != "::" {
                break;
            }
            at += 1;
        }
        let used_whole = so_far.len() == 1 && at >= 2 && self.token(at - 2) == "use";
        if so_far.len() > 1 || used_whole {
            out.push(Mention { path: self.resolve(so_far), line });
        }
        at.max(1)
    }

    fn group(&self, mut at: usize, prefix: &[String], out: &mut Vec<Mention>) -> usize {
        while at < self.tokens.len() && self.token(at) != "}" {
            if self.is_word(at) || self.token(at) == "{" {
                let before = at;
                at = self.path(at, prefix.to_vec(), out);
                if self.token(at) == "as" {
                    at += 2;
                }
                at = at.max(before + 1);
            } else {
                at += 1;
            }
        }
        at + 1
    }

    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let is_self = path.first().is_some_and(|segment| segment == "self");
        if supers == 0 && !is_self {
            return path;
        }
        let kept = self.module.len().saturating_sub(supers);
        let rest = path.into_iter().skip(supers + usize::from(is_self));
        std::iter::once("crate".to_owned()).chain(self.module[..kept].iter().cloned()).chain(rest).collect()
    }
}

/// Words, `::` and single signs, without comments, strings and character literals.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let bytes: Vec<char> = text.chars().collect();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let c = bytes[at];
        let next = bytes.get(at + 1).copied().unwrap_or(' ');
        let end = match c {
            '/' if next == '/' => find(&bytes, at, |c| c == '\n'),
            '/' if next == '*' => comment(&bytes, at),
            '"' => string(&bytes, at),
            '\'' => quote(&bytes, at),
            'r' | 'b' | 'c' if raw(&bytes, at).is_some() => raw(&bytes, at).expect("just seen"),
            ':' if next == ':' => {
                out.push(("::".to_owned(), line));
                at + 2
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = find(&bytes, at, |c| !c.is_alphanumeric() && c != '_');
                out.push((bytes[at..end].iter().collect(), line));
                end
            }
            c => {
                if !c.is_whitespace() {
                    out.push((c.to_string(), line));
                }
                at + 1
            }
        };
        line += bytes[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    out
}

fn find(text: &[char], from: usize, is_end: impl Fn(char) -> bool) -> usize {
    (from..text.len()).find(|at| is_end(text[*at])).unwrap_or(text.len())
}

fn comment(text: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from + 2, 1);
    while at < text.len() && depth > 0 {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn string(text: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// A character literal, or a lifetime.
fn quote(text: &[char], from: usize) -> usize {
    match (text.get(from + 1), text.get(from + 2)) {
        (Some('\\'), _) => find(text, from + 3, |c| c == '\'') + 1,
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
    .min(text.len())
}

/// The end of `r"…"`, `br#"…"#`, `b"…"`, if one starts here.
fn raw(text: &[char], from: usize) -> Option<usize> {
    if from > 0 && (text[from - 1].is_alphanumeric() || text[from - 1] == '_') {
        return None;
    }
    let mut at = from;
    while matches!(text.get(at), Some('b' | 'c')) {
        at += 1;
    }
    if text.get(at) != Some(&'r') {
        return (at > from && text.get(at) == Some(&'"')).then(|| string(text, at));
    }
    let hashes = text[at + 1..].iter().take_while(|c| **c == '#').count();
    at += 1 + hashes;
    if text.get(at) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| text[at] == '"' && text[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (at + 1..text.len()).find(|at| closes(*at)).map(|at| at + 1 + hashes)
}

/// Leaves out what stands under `#[cfg(test)]`.
fn without_tests(tokens: Vec<(String, usize)>) -> Vec<(String, usize)> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let here = &tokens[at..];
        if here.len() < mark.len() || !here.iter().zip(mark).all(|((token, _), mark)| token == mark) {
            out.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at = end_of_item(&tokens, at + mark.len());
    }
    out
}

/// Behind the item that starts here: its closing brace, or a semicolon outside any brace.
fn end_of_item(tokens: &[(String, usize)], from: usize) -> usize {
    let mut depth = 0;
    for (at, (token, _)) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

//! The text of ISC dhcpd as statements: words up to a semicolon, or up to a body in braces. Owns strings,
//! comments, includes and their bounds; refuses to know what a statement means.

use std::path::{Path, PathBuf};

use super::super::source::{DEPTH as INCLUDES, Files, Place, Unreadable, beside};

/// How deep bodies may lie within one another.
const DEPTH: usize = 48;
/// Statements of one import.
const STATEMENTS: usize = 20_000_000;

/// A word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tok {
    /// Letters, digits and `-_.:/`: a keyword, a number, an address, octets.
    Word(String),
    /// What stood in quotes, with its escapes resolved.
    Text(Vec<u8>),
    Sign(char),
}

impl Tok {
    /// The word, if it is one.
    pub fn word(&self) -> Option<&str> {
        match self {
            Tok::Word(word) => Some(word),
            _ => None,
        }
    }

    /// A word or a text, as text.
    pub fn name(&self) -> Option<String> {
        match self {
            Tok::Word(word) => Some(word.clone()),
            Tok::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Tok::Sign(_) => None,
        }
    }
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    pub place: Place,
    pub head: Vec<Tok>,
    pub body: Option<Vec<Statement>>,
}

impl Statement {
    /// The word at that position of the head; empty if there is none.
    pub fn word(&self, at: usize) -> &str {
        self.head.get(at).and_then(Tok::word).unwrap_or_default()
    }

    /// The word or text at that position of the head.
    pub fn name(&self, at: usize) -> Option<String> {
        self.head.get(at).and_then(Tok::name)
    }

    pub fn body(&self) -> &[Statement] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The head as text, for reports.
    pub fn shown(&self) -> String {
        if self.head.is_empty() { "{".to_owned() } else { shown(&self.head) }
    }
}

/// Words as text, at most 120 characters.
pub fn shown(words: &[Tok]) -> String {
    let mut out = String::new();
    for (n, word) in words.iter().enumerate() {
        let piece = match word {
            Tok::Word(word) => word.clone(),
            Tok::Text(bytes) => format!("\"{}\"", bytes.escape_ascii()),
            Tok::Sign(sign) => sign.to_string(),
        };
        let tight = n == 0 || matches!(word, Tok::Sign(',' | ')')) || matches!(words[n - 1], Tok::Sign('('));
        if !tight {
            out.push(' ');
        }
        out.push_str(&piece);
        if out.len() > 120 {
            out = out.chars().take(117).collect();
            out.push_str("...");
            break;
        }
    }
    out
}

/// Reads a file and what it includes.
pub fn read(files: &Files, path: &Path) -> Result<Vec<Statement>, Unreadable> {
    let mut count = 0;
    read_one(files, path, &mut Vec::new(), &mut count)
}

fn read_one(
    files: &Files,
    path: &Path,
    above: &mut Vec<PathBuf>,
    count: &mut usize,
) -> Result<Vec<Statement>, Unreadable> {
    let text = files.text(path)?;
    let place = Place { file: path.display().to_string().into(), line: 1 };
    above.push(path.to_owned());
    let mut parser = Parser { files, path, text: &text, at: 0, place, above, count };
    let out = parser.statements(0)?;
    parser.above.pop();
    Ok(out)
}

struct Parser<'a> {
    files: &'a Files,
    path: &'a Path,
    text: &'a str,
    at: usize,
    place: Place,
    /// The files that include this one, and itself.
    above: &'a mut Vec<PathBuf>,
    count: &'a mut usize,
}

impl Parser<'_> {
    fn wrong(&self, what: impl Into<String>) -> Unreadable {
        Unreadable::Syntax { place: self.place.clone(), what: what.into() }
    }

    fn ahead(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.ahead()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.place.line += 1;
        }
        Some(c)
    }

    fn blanks(&mut self) {
        while let Some(c) = self.ahead() {
            if c == '#' {
                while self.next().is_some_and(|c| c != '\n') {}
            } else if c.is_whitespace() {
                self.next();
            } else {
                break;
            }
        }
    }

    /// Statements up to a closing brace, or to the end of the file at the top.
    fn statements(&mut self, depth: usize) -> Result<Vec<Statement>, Unreadable> {
        if depth > DEPTH {
            return Err(self.wrong(format!("bodies lie more than {DEPTH} levels deep")));
        }
        let mut out = Vec::new();
        loop {
            self.blanks();
            match self.ahead() {
                None if depth == 0 => return Ok(out),
                None => return Err(self.wrong("a `}` is missing at the end")),
                Some('}') if depth > 0 => {
                    self.next();
                    return Ok(out);
                }
                Some('}') => return Err(self.wrong("a `}` too many")),
                Some(';') => drop(self.next()),
                Some(_) => self.statement(depth, &mut out)?,
            }
        }
    }

    fn statement(&mut self, depth: usize, out: &mut Vec<Statement>) -> Result<(), Unreadable> {
        *self.count += 1;
        if *self.count > STATEMENTS {
            return Err(self.wrong(format!("more than {STATEMENTS} statements")));
        }
        let mut statement = Statement { place: self.place.clone(), head: Vec::new(), body: None };
        loop {
            self.blanks();
            match self.ahead() {
                None => return Err(self.wrong("a `;` is missing at the end")),
                Some(';') => {
                    self.next();
                    break;
                }
                // `= { integer 8, ip-address }`: the form of a record
                Some('{') if matches!(statement.head.last(), Some(Tok::Sign('='))) || is_array(&statement.head) => {
                    statement.head.push(Tok::Sign('{'));
                    self.next();
                }
                Some('}') if statement.head.contains(&Tok::Sign('{')) => {
                    statement.head.push(Tok::Sign('}'));
                    self.next();
                }
                Some('{') => {
                    self.next();
                    statement.body = Some(self.statements(depth + 1)?);
                    break;
                }
                Some('}') => return Err(self.wrong("a `;` is missing before `}`")),
                Some('"') => statement.head.push(Tok::Text(self.string()?)),
                Some(c) if part(c) => statement.head.push(Tok::Word(self.run())),
                Some(c) => {
                    statement.head.push(Tok::Sign(c));
                    self.next();
                }
            }
        }
        if statement.word(0) == "include" {
            let name = statement.name(1).unwrap_or_default();
            out.extend(self.include(&name)?);
        } else {
            out.push(statement);
        }
        Ok(())
    }

    fn include(&mut self, name: &str) -> Result<Vec<Statement>, Unreadable> {
        let path = beside(self.path, name);
        if self.above.len() >= INCLUDES || self.above.contains(&path) {
            return Err(self.wrong(format!("{name} includes itself, or files lead more than {INCLUDES} deep")));
        }
        read_one(self.files, &path, self.above, self.count)
    }

    fn run(&mut self) -> String {
        let mut out = String::new();
        while let Some(c) = self.ahead().filter(|c| part(*c)) {
            out.push(c);
            self.next();
        }
        out
    }

    /// `\"`, `\\`, `\n`, `\t`, `\r`, `\xhh` and `\ooo` in octal.
    fn string(&mut self) -> Result<Vec<u8>, Unreadable> {
        let wrong = self.wrong("a string is not closed");
        self.next();
        let mut out = Vec::new();
        loop {
            match self.next().ok_or_else(|| wrong.clone())? {
                '"' => return Ok(out),
                '\\' => match self.next().ok_or_else(|| wrong.clone())? {
                    'n' => out.push(b'\n'),
                    't' => out.push(b'\t'),
                    'r' => out.push(b'\r'),
                    'b' => out.push(8),
                    'x' => out.push(self.digits(16, 2, 0)),
                    c @ '0'..='7' => {
                        let first = c as u32 - '0' as u32;
                        out.push(self.digits(8, 2, first));
                    }
                    c => push(&mut out, c),
                },
                c => push(&mut out, c),
            }
        }
    }

    fn digits(&mut self, radix: u32, most: usize, first: u32) -> u8 {
        let mut value = first;
        for _ in 0..most {
            let Some(digit) = self.ahead().and_then(|c| c.to_digit(radix)) else { break };
            self.next();
            value = value * radix + digit;
        }
        value as u8
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    let mut buffer = [0; 4];
    out.extend(c.encode_utf8(&mut buffer).as_bytes());
}

fn is_array(head: &[Tok]) -> bool {
    let of = |tok: &Tok, word: &str| tok.word() == Some(word);
    matches!(head, [.., array, last] if of(array, "array") && of(last, "of"))
}

fn part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(files: &[(&str, &str)]) -> Result<Vec<Statement>, Unreadable> {
        let files = Files::in_memory(files.iter().map(|(n, t)| (PathBuf::from(n), t.as_bytes().to_vec())));
        read(&files, Path::new("a"))
    }

    #[test]
    fn statements_and_bodies_have_their_lines() {
        let text = "# c\nsubnet 10.0.0.0 netmask 255.0.0.0 {\n range 10.0.0.1\n 10.0.0.9; }\ninclude \"b\";\noption x code 1 = { integer 8, text };";
        let tree = parse(&[("a", text), ("b", "\nhost h { filename \"a\\\\\\101\\x42\"; }")]).expect("readable");
        let seen: Vec<String> = tree.iter().map(|s| format!("{} {}", s.place, s.shown())).collect();
        assert_eq!(
            seen,
            ["a:2 subnet 10.0.0.0 netmask 255.0.0.0", "b:2 host h", "a:6 option x code 1 = { integer 8, text }"]
        );
        assert_eq!(tree[0].body()[0].shown(), "range 10.0.0.1 10.0.0.9");
        assert_eq!(tree[1].body()[0].name(1).as_deref(), Some("a\\AB"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, what) in [
            ("a {\n b;", "a:2: a `}` is missing at the end"),
            ("\n}", "a:2: a `}` too many"),
            ("a b", "a:1: a `;` is missing at the end"),
            ("a \"b", "a:1: a string is not closed"),
            ("include \"a\";", "a:1: a includes itself, or files lead more than 16 deep"),
            ("include \"z\";", "z: cannot be read: no such file"),
        ] {
            assert_eq!(parse(&[("a", text)]).map(|_| ()).unwrap_err().to_string(), what, "{text}");
        }
        assert!(parse(&[("a", &"a {".repeat(1000))]).is_err());
    }
}

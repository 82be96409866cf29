//! The JSON of Kea: with comments (`//`, `#`, `/* */`), trailing commas and `<?include "file"?>`, each
//! value with its line. Owns the bounds: depth, files, size. Refuses nothing that Kea reads.

use std::path::{Path, PathBuf};

use super::super::source::{DEPTH as INCLUDES, Files, Place, Unreadable, beside};

/// How deep objects and lists may lie within one another.
const DEPTH: usize = 64;
/// Values of one import.
const VALUES: usize = 4_000_000;

/// A value with the place that it begins at.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

/// What may stand in JSON.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; a key may stand twice.
    Object(Vec<(String, Node)>),
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<u64> {
        match &self.value {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub fn flag(&self) -> Option<bool> {
        match self.value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// For messages: a scalar as it stands, else its kind.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(text) => text.clone(),
            Value::Text(text) => format!("\"{text}\""),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Object(_) => "an object".to_owned(),
        }
    }
}

/// Reads a file and what it includes.
pub fn read(files: &Files, path: &Path) -> Result<Node, Unreadable> {
    let text = files.text(path)?;
    let mut parser = Parser { files, stack: Vec::new(), values: 0 };
    parser.open(path, text)?;
    let node = parser.value(0)?;
    match parser.peek()? {
        None => Ok(node),
        Some(c) => Err(parser.wrong(format!("`{c}` after the end"))),
    }
}

struct Open {
    path: PathBuf,
    place: Place,
    text: String,
    /// Byte of the next character.
    at: usize,
}

struct Parser<'a> {
    files: &'a Files,
    /// The file that is being read, last; those that include it before.
    stack: Vec<Open>,
    values: usize,
}

impl Parser<'_> {
    fn open(&mut self, path: &Path, text: String) -> Result<(), Unreadable> {
        if self.stack.len() >= INCLUDES {
            return Err(self.wrong(format!("includes lead more than {INCLUDES} files deep")));
        }
        let place = Place { file: path.display().to_string().into(), line: 1 };
        self.stack.push(Open { path: path.to_owned(), place, text, at: 0 });
        Ok(())
    }

    fn place(&self) -> Place {
        self.stack.last().map(|open| open.place.clone()).unwrap_or_default()
    }

    fn wrong(&self, what: impl Into<String>) -> Unreadable {
        Unreadable::Syntax { place: self.place(), what: what.into() }
    }

    fn next(&mut self) -> Option<char> {
        let open = self.stack.last_mut()?;
        let c = open.text[open.at..].chars().next()?;
        open.at += c.len_utf8();
        if c == '\n' {
            open.place.line += 1;
        }
        Some(c)
    }

    fn ahead(&self) -> Option<char> {
        self.stack.last().and_then(|open| open.text[open.at..].chars().next())
    }

    /// The character after the next one.
    fn second(&self) -> Option<char> {
        self.stack.last().and_then(|open| open.text[open.at..].chars().nth(1))
    }

    /// The next character that means something, after blanks, comments and includes.
    fn peek(&mut self) -> Result<Option<char>, Unreadable> {
        loop {
            match (self.ahead(), self.second()) {
                (Some(c), _) if c.is_whitespace() || c == '\u{feff}' => drop(self.next()),
                (Some('#'), _) | (Some('/'), Some('/')) => self.line_comment(),
                (Some('/'), Some('*')) => self.block_comment()?,
                (Some('<'), Some('?')) => self.include()?,
                (None, _) if self.stack.len() > 1 => drop(self.stack.pop()),
                (c, _) => return Ok(c),
            }
        }
    }

    fn line_comment(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn block_comment(&mut self) -> Result<(), Unreadable> {
        let wrong = self.wrong("a comment is not closed");
        self.next();
        self.next();
        let mut before = ' ';
        loop {
            let c = self.next().ok_or_else(|| wrong.clone())?;
            if before == '*' && c == '/' {
                return Ok(());
            }
            before = c;
        }
    }

    fn include(&mut self) -> Result<(), Unreadable> {
        let wrong = self.wrong("an include must be written <?include \"file\"?>");
        let mut words = String::new();
        while let Some(c) = self.next() {
            words.push(c);
            if words.ends_with("?>") {
                break;
            }
            if words.len() > 4096 {
                return Err(wrong);
            }
        }
        let inner = words.strip_prefix("<?").and_then(|w| w.strip_suffix("?>")).ok_or_else(|| wrong.clone())?;
        let name = inner.trim().strip_prefix("include").map(str::trim).ok_or_else(|| wrong.clone())?;
        let name = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).ok_or(wrong)?;
        let path = beside(&self.stack.last().map(|open| open.path.clone()).unwrap_or_default(), name);
        if self.stack.iter().any(|open| open.path == path) {
            return Err(self.wrong(format!("{name} includes itself")));
        }
        let text = self.files.text(&path)?;
        self.open(&path, text)
    }

    fn value(&mut self, depth: usize) -> Result<Node, Unreadable> {
        self.values += 1;
        if depth > DEPTH || self.values > VALUES {
            return Err(self.wrong(format!("deeper than {DEPTH} levels, or more than {VALUES} values")));
        }
        let first = self.peek()?.ok_or_else(|| self.wrong("the text ends too early"))?;
        let place = self.place();
        let value = match first {
            '{' => self.object(depth)?,
            '[' => self.array(depth)?,
            '"' => Value::Text(self.string()?),
            '-' | '0'..='9' => Value::Number(self.run(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))),
            c if c.is_ascii_alphabetic() => match self.run(|c| c.is_ascii_alphanumeric()).as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                other => return Err(self.wrong(format!("`{other}` is no value"))),
            },
            c => return Err(self.wrong(format!("`{c}` begins no value"))),
        };
        Ok(Node { place, value })
    }

    fn run(&mut self, part: fn(char) -> bool) -> String {
        let mut out = String::new();
        while let Some(c) = self.ahead().filter(|c| part(*c)) {
            out.push(c);
            self.next();
        }
        out
    }

    fn string(&mut self) -> Result<String, Unreadable> {
        let wrong = self.wrong("a string is not closed");
        self.next();
        let mut out = String::new();
        loop {
            match self.next().ok_or_else(|| wrong.clone())? {
                '"' => return Ok(out),
                '\\' => out.push(match self.next().ok_or_else(|| wrong.clone())? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => self.codepoint()?,
                    c @ ('"' | '\\' | '/') => c,
                    c => return Err(self.wrong(format!("`\\{c}` is no escape"))),
                }),
                c => out.push(c),
            }
        }
    }

    fn codepoint(&mut self) -> Result<char, Unreadable> {
        let mut code = 0u32;
        for _ in 0..4 {
            let digit = self.next().and_then(|c| c.to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.wrong("`\\u` needs four hexadecimal digits"))?;
        }
        char::from_u32(code).ok_or_else(|| self.wrong("`\\u` names no character"))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Unreadable> {
        self.next();
        let mut out = Vec::new();
        loop {
            match self.peek()? {
                Some(']') => {
                    self.next();
                    return Ok(Value::List(out));
                }
                _ => out.push(self.value(depth + 1)?),
            }
            self.separated(']')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Unreadable> {
        self.next();
        let mut out = Vec::new();
        loop {
            match self.peek()? {
                Some('}') => {
                    self.next();
                    return Ok(Value::Object(out));
                }
                Some('"') => {
                    let place = self.place();
                    let key = self.string()?;
                    if self.peek()? != Some(':') {
                        return Err(self.wrong(format!("`:` is missing after \"{key}\"")));
                    }
                    self.next();
                    let node = self.value(depth + 1)?;
                    // an object or a list is where its key is, for those who read the report
                    out.push((key, Node { place, value: node.value }));
                }
                Some(c) => return Err(self.wrong(format!("a key in quotes is missing before `{c}`"))),
                None => return Err(self.wrong("an object is not closed")),
            }
            self.separated('}')?;
        }
    }

    /// After an element: a comma, or the end.
    fn separated(&mut self, end: char) -> Result<(), Unreadable> {
        match self.peek()? {
            Some(',') => drop(self.next()),
            Some(c) if c == end => {}
            Some(c) => return Err(self.wrong(format!("a comma or `{end}` is missing before `{c}`"))),
            None => return Err(self.wrong(format!("`{end}` is missing at the end"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(files: &[(&str, &str)]) -> Result<Node, Unreadable> {
        let files = Files::in_memory(files.iter().map(|(n, t)| (PathBuf::from(n), t.as_bytes().to_vec())));
        read(&files, Path::new("a"))
    }

    #[test]
    fn comments_includes_and_trailing_commas_are_read_with_their_lines() {
        let text = "// x\n{ /* y\n */ \"a\": [1, 2,], # z\n <?include \"b\"?>\n \"c\": { \"d\": true, }, }";
        let node = parse(&[("a", text), ("b", "\n\"i\": \"\\u0041\",\n")]).expect("readable");
        let Value::Object(members) = node.value else { panic!("an object") };
        let seen: Vec<String> = members.iter().map(|(k, n)| format!("{k} {} {}", n.place, n.shown())).collect();
        assert_eq!(seen, ["a a:3 a list of 2", "i b:2 \"A\"", "c a:5 an object"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, what) in [
            ("{\n\"a\" 1}", "a:2: `:` is missing after \"a\""),
            ("{\"a\": 1 \"b\": 2}", "a:1: a comma or `}` is missing before `\"`"),
            ("[1, <?include \"a\"?>]", "a:1: a includes itself"),
            ("{\"a\": \"x", "a:1: a string is not closed"),
            ("", "a:1: the text ends too early"),
        ] {
            assert_eq!(parse(&[("a", text)]).map(|_| ()).unwrap_err().to_string(), what, "{text}");
        }
        assert!(parse(&[("a", &"[".repeat(100_000))]).is_err());
    }
}

//! Logical lines of a zone file: words with their places, comments dropped, parentheses joined.

use crate::domain::dns::rdata::Word;

/// One logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// It began with a blank: the owner is that of the record before.
    pub blank: bool,
    pub words: Vec<Word>,
}

/// Something that is no line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Words of one record's data, as an API takes them; an error message if quotes or parentheses do not match.
pub fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut all = Vec::new();
    for line in lines(text) {
        all.extend(line.map_err(|e| e.message)?.words);
    }
    Ok(all)
}

/// The lines of a text. After an error, reading goes on with the next physical line.
pub fn lines(text: &str) -> impl Iterator<Item = Result<Line, BadLine>> {
    let mut scan = Scan { chars: text.chars().peekable(), line: 1, column: 1 };
    std::iter::from_fn(move || {
        scan.chars.peek()?;
        Some(scan.logical())
    })
}

struct Scan<'t> {
    chars: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    column: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_line(&mut self) {
        while self.chars.peek().is_some_and(|c| *c != '\n') {
            self.next();
        }
    }

    fn logical(&mut self) -> Result<Line, BadLine> {
        let blank = self.chars.peek().is_some_and(|c| matches!(c, ' ' | '\t'));
        let mut words = Vec::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        while let Some(&c) = self.chars.peek() {
            let at = (self.line, self.column);
            match c {
                '\n' if open.is_empty() => {
                    self.next();
                    return Ok(Line { blank, words });
                }
                ' ' | '\t' | '\r' | '\n' => {
                    self.next();
                }
                ';' => self.skip_line(),
                '(' => {
                    open.push(at);
                    self.next();
                }
                ')' => {
                    self.next();
                    if open.pop().is_none() {
                        self.skip_line();
                        return Err(bad(at, "`)` without `(`"));
                    }
                }
                '"' => words.push(self.quoted(at)?),
                _ => words.push(self.plain(at)),
            }
        }
        match open.pop() {
            Some(at) => Err(bad(at, "this `(` is never closed")),
            None => Ok(Line { blank, words }),
        }
    }

    fn quoted(&mut self, at: (usize, usize)) -> Result<Word, BadLine> {
        self.next();
        let mut text = String::new();
        loop {
            match self.chars.peek() {
                None | Some('\n') => return Err(bad(at, "this quote is not closed on its line")),
                Some('"') => {
                    self.next();
                    return Ok(Word { text, quoted: true, line: at.0, column: at.1 });
                }
                Some(_) => self.take_one(&mut text),
            }
        }
    }

    fn plain(&mut self, at: (usize, usize)) -> Word {
        let mut text = String::new();
        while self.chars.peek().is_some_and(|c| !matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '(' | ')' | '"')) {
            self.take_one(&mut text);
        }
        Word { text, quoted: false, line: at.0, column: at.1 }
    }

    /// One character; a backslash takes the next one along, unless the line ends there.
    fn take_one(&mut self, text: &mut String) {
        let Some(c) = self.next() else { return };
        text.push(c);
        if c == '\\' && self.chars.peek().is_some_and(|c| *c != '\n') {
            text.extend(self.next());
        }
    }
}

fn bad((line, column): (usize, usize), message: &str) -> BadLine {
    BadLine { line, column, message: message.to_owned() }
}

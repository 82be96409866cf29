//! Conditions on requests, as all three servers have them, and the tokens that they are written in. Owns
//! the tree and its spelling in our language; refuses to evaluate anything.

use super::model::class_name;
use crate::domain::hex;
use crate::domain::net::Mac;

/// Depth of a condition (DH-306).
pub const DEPTH: usize = 32;
/// Bytes of one condition as it is written (DH-306).
pub const BYTES: usize = 4096;

/// A condition, or a value in one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expr {
    /// Bytes; a missing value is empty.
    Text(Vec<u8>),
    Number(u32),
    Always(bool),
    Option(u16),
    Sub(u16, u16),
    /// One of the words of our language that stand alone: `mac`, `interface`, `relay.circuit_id`.
    Word(&'static str),
    /// A longer one, ready: `vendor[4491].option[1]`, `relay6[0].peeraddr`.
    Path(String),
    /// A number as text, by the name of the function.
    Told(&'static str, Box<Expr>),
    Substring(Box<Expr>, i64, Option<i64>),
    Concat(Box<Expr>, Box<Expr>),
    Split(Box<Expr>, Box<Expr>, u32),
    HexString(Box<Expr>, Box<Expr>),
    Lower(Box<Expr>),
    Upper(Box<Expr>),
    IfElse(Box<Expr>, Box<Expr>, Box<Expr>),
    Exists(Box<Expr>),
    Member(String),
    /// A regular expression that is found somewhere in the value.
    Match(String, Box<Expr>),
    Eq(Box<Expr>, Box<Expr>),
    /// Flat, as are those below: there may be thousands.
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
}

impl Expr {
    pub fn text(bytes: impl Into<Vec<u8>>) -> Expr {
        Expr::Text(bytes.into())
    }

    pub fn equals(self, other: Expr) -> Expr {
        Expr::Eq(Box::new(self), Box::new(other))
    }

    pub fn and(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Always(true), only) | (only, Expr::Always(true)) => only,
            (Expr::And(mut all), b) => {
                all.push(b);
                Expr::And(all)
            }
            (a, b) => Expr::And(vec![a, b]),
        }
    }

    pub fn or(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Always(false), only) | (only, Expr::Always(false)) => only,
            (Expr::Or(mut any), b) => {
                any.push(b);
                Expr::Or(any)
            }
            (a, b) => Expr::Or(vec![a, b]),
        }
    }

    pub fn negated(self) -> Expr {
        match self {
            Expr::Always(value) => Expr::Always(!value),
            Expr::Not(inner) => *inner,
            other => Expr::Not(Box::new(other)),
        }
    }

    pub fn exists(self) -> Expr {
        Expr::Exists(Box::new(self))
    }

    /// `length` bytes from `start` on.
    pub fn substring(self, start: i64, length: Option<i64>) -> Expr {
        Expr::Substring(Box::new(self), start, length)
    }

    /// Names of classes that it asks for.
    pub fn members(&self) -> Vec<&str> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Expr::Member(name) => out.push(name),
            Expr::Substring(a, ..)
            | Expr::Lower(a)
            | Expr::Upper(a)
            | Expr::Exists(a)
            | Expr::Not(a)
            | Expr::Told(_, a)
            | Expr::Match(_, a) => {
                a.collect(out);
            }
            Expr::Concat(a, b) | Expr::Split(a, b, _) | Expr::HexString(a, b) => {
                a.collect(out);
                b.collect(out);
            }
            Expr::Eq(a, b) => {
                a.collect(out);
                b.collect(out);
            }
            Expr::And(list) | Expr::Or(list) => list.iter().for_each(|e| e.collect(out)),
            Expr::IfElse(a, b, c) => [a, b, c].into_iter().for_each(|e| e.collect(out)),
            Expr::Text(_)
            | Expr::Number(_)
            | Expr::Always(_)
            | Expr::Option(_)
            | Expr::Sub(..)
            | Expr::Word(_)
            | Expr::Path(_) => {}
        }
    }

    /// The hardware addresses, if it asks for nothing but whether it is one of them.
    pub fn macs(&self) -> Option<Vec<Mac>> {
        let one = |e: &Expr| match e {
            Expr::Eq(a, b) if **a == Expr::Word("mac") => match &**b {
                Expr::Text(octets) => <[u8; 6]>::try_from(&octets[..]).ok().map(Mac),
                _ => None,
            },
            _ => None,
        };
        match self {
            Expr::Or(any) => any.iter().map(one).collect(),
            other => one(other).map(|mac| vec![mac]),
        }
    }

    /// In our language.
    pub fn spelled(&self) -> String {
        let word = |name: &str, arguments: &[&Expr]| {
            let list: Vec<String> = arguments.iter().map(|e| e.spelled()).collect();
            format!("{name}({})", list.join(", "))
        };
        match self {
            Expr::Text(bytes) => literal(bytes),
            Expr::Number(n) => literal(&n.to_be_bytes()),
            Expr::Always(true) => "true".to_owned(),
            Expr::Always(false) => "false".to_owned(),
            Expr::Option(code) => format!("option[{code}]"),
            Expr::Sub(code, sub) => format!("option[{code}].sub[{sub}]"),
            Expr::Word(word) => (*word).to_owned(),
            Expr::Path(path) => path.clone(),
            Expr::Told(name, of) => word(name, &[of]),
            Expr::Substring(a, start, Some(length)) => format!("substring({}, {start}, {length})", a.spelled()),
            Expr::Substring(a, start, None) => format!("substring({}, {start}, all)", a.spelled()),
            Expr::Concat(a, b) => word("concat", &[a, b]),
            Expr::Split(a, b, n) => format!("split({}, {}, {n})", a.spelled(), b.spelled()),
            Expr::HexString(a, b) => word("hexstring", &[a, b]),
            Expr::Lower(a) => word("lcase", &[a]),
            Expr::Upper(a) => word("ucase", &[a]),
            Expr::IfElse(a, b, c) => word("ifelse", &[a, b, c]),
            Expr::Exists(a) => format!("{}.exists", a.spelled()),
            Expr::Member(name) if name == "KNOWN" => "known".to_owned(),
            Expr::Member(name) if name == "UNKNOWN" => "unknown".to_owned(),
            Expr::Member(name) => format!("member('{}')", class_name(name)),
            // ours must fit the whole value
            Expr::Match(regex, of) => format!("match('.*({regex}).*', {})", of.spelled()),
            Expr::Eq(a, b) => format!("{} == {}", a.spelled(), b.spelled()),
            Expr::And(all) => all.iter().map(|e| e.inner(2)).collect::<Vec<_>>().join(" and "),
            Expr::Or(any) => any.iter().map(|e| e.inner(1)).collect::<Vec<_>>().join(" or "),
            Expr::Not(a) => match &**a {
                Expr::Eq(left, right) => format!("{} != {}", left.spelled(), right.spelled()),
                other => format!("not {}", other.inner(3)),
            },
        }
    }

    fn inner(&self, around: u8) -> String {
        let own = match self {
            Expr::Or(..) => 1,
            Expr::And(..) => 2,
            Expr::Not(..) if around == 3 => 2,
            Expr::Eq(..) if around == 3 => 2,
            _ => 4,
        };
        if own < around || (own == 2 && around == 3) { format!("({})", self.spelled()) } else { self.spelled() }
    }
}

/// Bytes as a literal: text in quotes if it is plain, else hexadecimal.
fn literal(bytes: &[u8]) -> String {
    let plain = bytes.iter().all(|b| (0x20..0x7f).contains(b) && !matches!(b, b'\'' | b'"' | b'\\'));
    if plain { format!("'{}'", String::from_utf8_lossy(bytes)) } else { format!("0x{}", hex::write(bytes)) }
}

/// A piece of a condition as it is written elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Word(String),
    Quoted(Vec<u8>),
    Number(String),
    /// `(`, `)`, `[`, `]`, `,`, `.`, `+`, `*`, `==`, `!=`, `=`, `~=`.
    Sign(&'static str),
}

const SIGNS: [&str; 14] = ["~~", "~=", "==", "!=", "(", ")", "[", "]", ",", ".", "+", "*", "=", "-"];

/// The tokens of a condition. Words may hold hyphens, as `pkt4` and `vendor-class` do.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    if text.len() > BYTES {
        return Err(format!("it has more than {BYTES} bytes"));
    }
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = |f: fn(char) -> bool, from: &str| from.find(|c| !f(c)).unwrap_or(from.len());
        if first == '\'' || first == '"' {
            let close = rest[1..].find(first).ok_or("a quote is not closed")?;
            out.push(Token::Quoted(rest.as_bytes()[1..=close].to_vec()));
            rest = &rest[close + 2..];
        } else if first.is_ascii_digit() {
            let at = end(|c| c.is_ascii_alphanumeric() || c == '.' || c == ':', rest);
            out.push(Token::Number(rest[..at].to_owned()));
            rest = &rest[at..];
        } else if first.is_ascii_alphabetic() || first == '_' {
            let at = end(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_', rest);
            out.push(Token::Word(rest[..at].to_owned()));
            rest = &rest[at..];
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            return Err(format!("`{first}` has no meaning in a condition"));
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

/// A row of tokens that is being read.
pub struct Reader {
    tokens: std::vec::IntoIter<Token>,
    ahead: Option<Token>,
    pub depth: usize,
}

impl Reader {
    pub fn new(text: &str) -> Result<Reader, String> {
        let mut tokens = tokens(text)?.into_iter();
        let ahead = tokens.next();
        Ok(Reader { tokens, ahead, depth: 0 })
    }

    pub fn peek(&self) -> Option<&Token> {
        self.ahead.as_ref()
    }

    pub fn next(&mut self) -> Option<Token> {
        let token = self.ahead.take();
        self.ahead = self.tokens.next();
        token
    }

    /// Takes that sign, if it is next.
    pub fn sign(&mut self, sign: &str) -> bool {
        let here = matches!(&self.ahead, Some(Token::Sign(s)) if *s == sign);
        if here {
            self.next();
        }
        here
    }

    /// Takes that word, if it is next.
    pub fn word(&mut self, word: &str) -> bool {
        let here = matches!(&self.ahead, Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        if here {
            self.next();
        }
        here
    }

    pub fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before {}", self.shown())) }
    }

    /// What comes next, for messages.
    pub fn shown(&self) -> String {
        match &self.ahead {
            None => "the end".to_owned(),
            Some(Token::Word(text) | Token::Number(text)) => format!("`{text}`"),
            Some(Token::Quoted(bytes)) => format!("'{}'", String::from_utf8_lossy(bytes)),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
        }
    }

    /// A decimal or hexadecimal number, perhaps negative.
    pub fn integer(&mut self) -> Result<i64, String> {
        let sign = if self.sign("-") { -1 } else { 1 };
        match self.next() {
            Some(Token::Number(text)) => {
                let value = match text.strip_prefix("0x") {
                    Some(digits) => i64::from_str_radix(digits, 16),
                    None => text.parse::<i64>(),
                };
                value.map(|n| sign * n).map_err(|_| format!("`{text}` is no number"))
            }
            _ => Err(format!("a number is missing before {}", self.shown())),
        }
    }

    /// Goes one level down; the caller goes up again by subtracting from `depth`.
    pub fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH { Err(format!("it is nested more than {DEPTH} levels deep")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_spelled_with_the_parentheses_that_they_need() {
        let a = || Expr::Member("a".to_owned());
        let b = || Expr::Option(60).substring(0, Some(3)).equals(Expr::text("foo"));
        assert_eq!(
            a().and(b()).or(a()).spelled(),
            "member('a') and substring(option[60], 0, 3) == 'foo' or member('a')"
        );
        assert_eq!(
            a().or(b()).and(a()).spelled(),
            "(member('a') or substring(option[60], 0, 3) == 'foo') and member('a')"
        );
        assert_eq!(b().negated().spelled(), "substring(option[60], 0, 3) != 'foo'");
        assert_eq!(a().or(b()).negated().spelled(), "not (member('a') or substring(option[60], 0, 3) == 'foo')");
        assert_eq!(Expr::text([0, 1]).spelled(), "0x0001");
    }
}

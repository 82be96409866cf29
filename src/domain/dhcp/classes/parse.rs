//! Tokens as an expression: recursive descent, bounded in depth. Every complaint has its place in the text.

use super::access;
use super::expr::{Access, Spelling, Test, Value};
use super::lex::{Token, tokens};
use super::subject::Field;
use super::{ExprError, MAX_DEPTH};

/// Octets of a compiled pattern of `match`.
const MAX_PATTERN: usize = 1 << 20;

/// A cursor over tokens.
pub(super) struct Parser<'t> {
    tokens: Vec<(usize, Token)>,
    at: usize,
    end: usize,
    depth: usize,
    /// Codes of options by name.
    pub names: &'t dyn Fn(&str) -> Option<u16>,
}

/// What a value turned out to be while it was read: `.exists` makes a test of it.
enum Operand {
    Value(Value),
    Test(Test),
}

pub(super) fn test(text: &str, names: &dyn Fn(&str) -> Option<u16>) -> Result<Test, ExprError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.len(), depth: 0, names };
    let test = parser.or()?;
    match parser.tokens.get(parser.at) {
        None => Ok(test),
        Some(_) => Err(parser.error("the expression should end here, or go on with `and`, `or`, `==`, `!=` or `in`")),
    }
}

impl Parser<'_> {
    pub fn error(&self, message: impl Into<String>) -> ExprError {
        ExprError::new(self.tokens.get(self.at).map_or(self.end, |(at, _)| *at), message)
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// True if a dot and one of these words come next.
    pub fn follows(&self, words: &[&str]) -> bool {
        let word = self.tokens.get(self.at + 1).map(|(_, token)| token);
        self.peek() == Some(&Token::Sign('.'))
            && matches!(word, Some(Token::Word(word)) if words.contains(&word.as_str()))
    }

    /// A complaint about the token that was taken last.
    pub fn back(&mut self, message: &str) -> ExprError {
        self.at = self.at.saturating_sub(1);
        self.error(message)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found == word)
    }

    /// Takes a keyword if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    /// Takes a sign if it comes next.
    pub fn sign(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, sign: char) -> Result<(), ExprError> {
        if self.sign(sign) { Ok(()) } else { Err(self.error(format!("`{sign}` is missing"))) }
    }

    pub fn name(&mut self, expected: &str) -> Result<String, ExprError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.error(format!("{expected} is missing"))),
        }
    }

    pub fn number(&mut self, most: u32) -> Result<u32, ExprError> {
        match self.peek() {
            Some(Token::Number(number)) if *number <= most => {
                let number = *number;
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.error(format!("a number from 0 to {most} is missing"))),
        }
    }

    pub fn signed(&mut self) -> Result<i64, ExprError> {
        let negative = self.sign('-');
        let number = i64::from(self.number(u32::MAX)?);
        Ok(if negative { -number } else { number })
    }

    fn text(&mut self) -> Result<Vec<u8>, ExprError> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.error("text in quotes is missing")),
        }
    }

    /// Runs one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ExprError>) -> Result<T, ExprError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("the expression is more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Test, ExprError> {
        let first = self.and()?;
        self.or_after(first)
    }

    fn or_after(&mut self, first: Test) -> Result<Test, ExprError> {
        let mut tests = vec![first];
        while self.word("or") {
            tests.push(self.and()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Or(tests) })
    }

    fn and(&mut self) -> Result<Test, ExprError> {
        let first = self.not()?;
        self.and_after(first)
    }

    fn and_after(&mut self, first: Test) -> Result<Test, ExprError> {
        let mut tests = vec![first];
        while self.word("and") {
            tests.push(self.not()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::And(tests) })
    }

    fn not(&mut self) -> Result<Test, ExprError> {
        if self.word("not") {
            return Ok(Test::Not(Box::new(self.deeper(Self::not)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Test, ExprError> {
        match self.operand()? {
            Operand::Test(test) => Ok(test),
            Operand::Value(value) => self.compare(value),
        }
    }

    /// What a value is compared with.
    fn compare(&mut self, value: Value) -> Result<Test, ExprError> {
        if self.sign('=') {
            return Ok(Test::Equal(value, self.value()?));
        }
        if self.sign('!') {
            return Ok(Test::Not(Box::new(Test::Equal(value, self.value()?))));
        }
        let not = self.word("not");
        if self.word("in") {
            let test = Test::In(value, self.arguments()?);
            return Ok(if not { Test::Not(Box::new(test)) } else { test });
        }
        Err(self.error("a value is no test: compare it by `==`, `!=` or `in`, or ask for it by `.exists`"))
    }

    /// A value where a test is none.
    pub fn value(&mut self) -> Result<Value, ExprError> {
        let start = self.at;
        match self.operand()? {
            Operand::Value(value) => Ok(value),
            Operand::Test(_) => {
                self.at = start;
                Err(self.error("this is true or false; a value is needed here"))
            }
        }
    }

    /// `( value, .. )`.
    fn arguments(&mut self) -> Result<Vec<Value>, ExprError> {
        self.expect('(')?;
        let mut out = vec![self.value()?];
        while self.sign(',') {
            out.push(self.value()?);
        }
        self.expect(')')?;
        Ok(out)
    }

    fn operand(&mut self) -> Result<Operand, ExprError> {
        let first = self.deeper(Self::primary)?;
        let Operand::Value(first) = first else { return Ok(first) };
        let mut parts = vec![first];
        while self.sign('+') {
            match self.deeper(Self::primary)? {
                Operand::Value(value) => parts.push(value),
                Operand::Test(_) => return Err(self.error("only values can be joined by `+`")),
            }
        }
        Ok(Operand::Value(if parts.len() == 1 { parts.remove(0) } else { Value::Concat(parts) }))
    }

    fn primary(&mut self) -> Result<Operand, ExprError> {
        let token = self.peek().cloned().ok_or_else(|| self.error("a value or a test is missing"))?;
        let literal = match token {
            Token::Text(octets) | Token::Octets(octets) | Token::Address(octets) => Value::Literal(octets),
            Token::Number(number) => Value::Number(number),
            Token::Word(word) => return self.word_or_call(&word),
            Token::Sign('(') => return self.in_parentheses(),
            Token::Sign(_) => return Err(self.error("a value or a test is missing")),
        };
        self.at += 1;
        Ok(Operand::Value(literal))
    }

    /// A test, or a value that stands in parentheses. Read once, from left to right: trying both would take
    /// time that doubles with each level.
    fn in_parentheses(&mut self) -> Result<Operand, ExprError> {
        self.expect('(')?;
        let first = if self.is_word("not") {
            self.not()?
        } else {
            match self.operand()? {
                Operand::Test(test) => test,
                Operand::Value(value) if self.sign(')') => return Ok(Operand::Value(value)),
                Operand::Value(value) => self.compare(value)?,
            }
        };
        let both = self.and_after(first)?;
        let test = self.or_after(both)?;
        self.expect(')')?;
        Ok(Operand::Test(test))
    }

    fn word_or_call(&mut self, word: &str) -> Result<Operand, ExprError> {
        let start = self.at;
        self.at += 1;
        let constant = match word {
            "true" => Some(Test::Always(true)),
            "false" => Some(Test::Always(false)),
            "known" => Some(Test::Known(true)),
            "unknown" => Some(Test::Known(false)),
            "member" | "match" => Some(self.asks(word)?),
            _ => None,
        };
        if let Some(test) = constant {
            return Ok(Operand::Test(test));
        }
        if self.peek() == Some(&Token::Sign('(')) {
            return self.call(word, start).map(Operand::Value);
        }
        let access = access::read(self, word)?;
        let Some(access) = access else {
            self.at = start;
            return Err(self.error(format!("`{word}` is not known here")));
        };
        self.suffix(access)
    }

    /// `.hex`, `.text`, `.exists`, or nothing.
    fn suffix(&mut self, access: Access) -> Result<Operand, ExprError> {
        if !self.sign('.') {
            return Ok(Operand::Value(Value::Access(access)));
        }
        match self.name("`hex`, `text` or `exists`")?.as_str() {
            "hex" => Ok(Operand::Value(Value::Access(access))),
            "text" => Ok(Operand::Value(Value::Shown(access))),
            "exists" => Ok(Operand::Test(Test::Exists(access))),
            _ => {
                self.at -= 1;
                Err(self.error("`hex`, `text` or `exists` is missing"))
            }
        }
    }

    /// `member('NAME')`, `match('pattern', value)`.
    fn asks(&mut self, word: &str) -> Result<Test, ExprError> {
        self.expect('(')?;
        let start = self.at;
        let text = String::from_utf8(self.text()?).map_err(|_| self.error("the text is not UTF-8"))?;
        let test = if word == "member" {
            Test::Member(text, self.tokens[start].0)
        } else {
            self.expect(',')?;
            let build =
                |text: &str| regex::bytes::RegexBuilder::new(text).unicode(false).size_limit(MAX_PATTERN).build();
            // by itself first: `a))|((b` would be right between our own parentheses, and match half of a value
            let whole = build(&text).and_then(|_| build(&format!("^(?s:(?:{text}))$")));
            let regex = whole.map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default();
                ExprError::new(self.tokens[start].0, format!("the pattern is wrong: {why}"))
            })?;
            Test::Matches(Box::new(regex), self.value()?)
        };
        self.expect(')')?;
        Ok(test)
    }

    fn call(&mut self, word: &str, start: usize) -> Result<Value, ExprError> {
        if word == "concat" {
            return self.arguments().map(Value::Concat);
        }
        self.expect('(')?;
        let value = match word {
            "substring" => self.substring()?,
            "split" => {
                let value = Box::new(self.value()?);
                self.expect(',')?;
                let delimiters = self.text()?;
                self.expect(',')?;
                Value::Split(value, delimiters, self.number(1024)? as usize)
            }
            "hexstring" => {
                let value = Box::new(self.value()?);
                self.expect(',')?;
                Value::Hexstring(value, self.text()?)
            }
            "ifelse" => {
                let test = Box::new(self.deeper(Self::or)?);
                self.expect(',')?;
                let yes = Box::new(self.value()?);
                self.expect(',')?;
                Value::IfElse(test, yes, Box::new(self.value()?))
            }
            "lcase" | "ucase" => Value::Case(Box::new(self.value()?), word == "ucase"),
            _ => match spelling(word) {
                Some(spelling) => Value::Spelled(Box::new(self.value()?), spelling),
                None => {
                    self.at = start;
                    return Err(self.error(format!("there is no function `{word}`")));
                }
            },
        };
        self.expect(')')?;
        Ok(value)
    }

    fn substring(&mut self) -> Result<Value, ExprError> {
        let value = Box::new(self.value()?);
        self.expect(',')?;
        let start = self.signed()?;
        self.expect(',')?;
        let length = if self.word("all") { None } else { Some(self.signed()?) };
        Ok(Value::Substring(value, start, length))
    }
}

fn spelling(word: &str) -> Option<Spelling> {
    Some(match word {
        "addrtotext" => Spelling::Address,
        "int8totext" => Spelling::Integer(1, true),
        "int16totext" => Spelling::Integer(2, true),
        "int32totext" => Spelling::Integer(4, true),
        "uint8totext" => Spelling::Integer(1, false),
        "uint16totext" => Spelling::Integer(2, false),
        "uint32totext" => Spelling::Integer(4, false),
        _ => return None,
    })
}

/// Names of fields that stand alone.
pub(super) fn field(word: &str) -> Option<Field> {
    Some(match word {
        "mac" => Field::Mac,
        "client_id" => Field::ClientId,
        "duid" => Field::Duid,
        "hostname" => Field::Hostname,
        "vendor_class" => Field::VendorClass,
        "user_class" => Field::UserClass,
        "arch" => Field::Arch,
        "interface" => Field::Interface,
        "network" => Field::Network,
        "message_type" => Field::MessageType,
        _ => return None,
    })
}

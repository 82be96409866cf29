//! dhcpd's expressions, into the tree of [`Expr`]. Refuses, with a reason, what cannot be asked here.

use super::super::expr::{BYTES, DEPTH, Expr};
use super::super::registry;
use super::tree::Tok;

/// Looks up the code of an option, and of the sub-option if it has one, by its name.
pub type Names<'a> = &'a dyn Fn(&str) -> Option<(u16, Option<u16>)>;

/// A condition.
pub fn condition(words: &[Tok], names: Names<'_>) -> Result<Expr, String> {
    bounded(words)?;
    let mut reader = Reader { words, at: 0, depth: 0, names };
    let expr = reader.or()?;
    reader.end()?;
    Ok(expr)
}

/// Each word becomes at least one octet of ours.
fn bounded(words: &[Tok]) -> Result<(), String> {
    if words.len() > BYTES { Err(format!("it has more than {BYTES} words")) } else { Ok(()) }
}

/// A value, such as what a class matches by.
pub fn value(words: &[Tok], names: Names<'_>) -> Result<Expr, String> {
    bounded(words)?;
    let mut reader = Reader { words, at: 0, depth: 0, names };
    let expr = reader.data()?;
    reader.end()?;
    Ok(expr)
}

/// `left = right`, with what dhcpd and we count differently smoothed out.
pub fn equal(left: Expr, right: Expr) -> Expr {
    match (left, right) {
        // `hardware` begins with the type of the link
        (Expr::Concat(first, rest), Expr::Text(bytes)) | (Expr::Text(bytes), Expr::Concat(first, rest)) if matches!(&*first, Expr::Text(head) if bytes.starts_with(head)) =>
        {
            let head = if let Expr::Text(head) = &*first { head.len() } else { 0 };
            rest.equals(Expr::Text(bytes[head..].to_vec()))
        }
        // octets as dhcpd prints them have no leading zeros
        (Expr::HexString(of, by), Expr::Text(text)) | (Expr::Text(text), Expr::HexString(of, by)) => {
            let shown = String::from_utf8_lossy(&text).into_owned();
            let octets = match &*by {
                Expr::Text(by) if by.as_slice() == b":" || by.as_slice() == b"-" => registry::bytes(&shown),
                _ => None,
            };
            match octets {
                Some(octets) => unwrapped(*of, octets),
                None => Expr::HexString(of, by).equals(Expr::Text(text)),
            }
        }
        (left, right) => left.equals(right),
    }
}

fn unwrapped(of: Expr, octets: Vec<u8>) -> Expr {
    equal(of, Expr::Text(octets))
}

struct Reader<'a> {
    words: &'a [Tok],
    at: usize,
    depth: usize,
    names: Names<'a>,
}

impl Reader<'_> {
    fn end(&self) -> Result<(), String> {
        if self.at == self.words.len() { Ok(()) } else { Err(format!("{} is not expected there", self.shown())) }
    }

    fn shown(&self) -> String {
        self.words
            .get(self.at)
            .map_or("the end".to_owned(), |tok| format!("`{}`", super::tree::shown(std::slice::from_ref(tok))))
    }

    fn word(&mut self, word: &str) -> bool {
        let here = self.words.get(self.at).and_then(Tok::word).is_some_and(|w| w.eq_ignore_ascii_case(word));
        self.at += usize::from(here);
        here
    }

    fn sign(&mut self, sign: char) -> bool {
        let here = self.words.get(self.at) == Some(&Tok::Sign(sign));
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before {}", self.shown())) }
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH { Err(format!("it is nested more than {DEPTH} levels deep")) } else { Ok(()) }
    }

    fn or(&mut self) -> Result<Expr, String> {
        self.deeper()?;
        let mut left = self.and()?;
        while self.word("or") {
            left = left.or(self.and()?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, String> {
        let mut left = self.not()?;
        while self.word("and") {
            left = left.and(self.not()?);
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, String> {
        if self.word("not") {
            self.deeper()?;
            let inner = self.not()?;
            self.depth -= 1;
            return Ok(inner.negated());
        }
        if self.sign('(') {
            let inner = self.or()?;
            self.expect(')')?;
            return Ok(inner);
        }
        if self.word("exists") {
            return Ok(self.option()?.exists());
        }
        if self.word("known") || self.word("static") {
            return Ok(Expr::Member("KNOWN".to_owned()));
        }
        if self.word("true") {
            return Ok(Expr::Always(true));
        }
        if self.word("false") {
            return Ok(Expr::Always(false));
        }
        let left = self.data()?;
        if self.sign('=') {
            return Ok(equal(left, self.data()?));
        }
        if self.sign('!') {
            self.expect('=')?;
            return Ok(equal(left, self.data()?).negated());
        }
        if self.sign('~') {
            return self.regex(left);
        }
        Err(format!("`=` is missing before {}", self.shown()))
    }

    /// `~= "pattern"` and, whatever the case, `~~ "pattern"`: found somewhere in the value.
    fn regex(&mut self, of: Expr) -> Result<Expr, String> {
        let any_case = self.sign('~');
        if !any_case && !self.sign('=') {
            return Err(format!("`=` or `~` is missing before {}", self.shown()));
        }
        let Some(Tok::Text(pattern)) = self.words.get(self.at) else {
            return Err(format!("a pattern in quotes is missing before {}", self.shown()));
        };
        self.at += 1;
        let text = String::from_utf8(pattern.clone()).map_err(|_| "the pattern is not UTF-8".to_owned())?;
        let fine = !text.contains(['\'', '"']) && regex::bytes::Regex::new(&text).is_ok();
        if !fine {
            return Err("its regular expression means nothing here".to_owned());
        }
        Ok(Expr::Match(if any_case { format!("(?i){text}") } else { text }, Box::new(of)))
    }

    fn data(&mut self) -> Result<Expr, String> {
        self.deeper()?;
        let out = self.single();
        self.depth -= 1;
        out
    }

    fn single(&mut self) -> Result<Expr, String> {
        if self.sign('(') {
            let inner = self.data()?;
            self.expect(')')?;
            return Ok(inner);
        }
        let Some(tok) = self.words.get(self.at) else { return Err("a value is missing at the end".to_owned()) };
        self.at += 1;
        let word = match tok {
            Tok::Text(bytes) => return Ok(Expr::Text(bytes.clone())),
            Tok::Word(word) => word.as_str(),
            Tok::Sign(sign) => return Err(format!("a value is missing before `{sign}`")),
        };
        match word.to_ascii_lowercase().as_str() {
            "option" => self.option(),
            "hardware" => Ok(Expr::Concat(Box::new(Expr::text([1])), Box::new(Expr::Word("mac")))),
            "substring" => {
                let (of, start, length) = self.three()?;
                Ok(cut(of, start, Some(length)))
            }
            "suffix" => {
                self.expect('(')?;
                let of = self.data()?;
                self.expect(',')?;
                let length = self.integer()?;
                self.expect(')')?;
                Ok(of.substring(-length, None))
            }
            "lcase" => self.enclosed().map(|e| Expr::Lower(Box::new(e))),
            "ucase" => self.enclosed().map(|e| Expr::Upper(Box::new(e))),
            "concat" => self.concat(),
            "pick-first-value" | "pick" => self.first_value(),
            "binary-to-ascii" => self.ascii(),
            "packet" => self.packet(),
            other => literal(other).ok_or_else(|| format!("`{other}` cannot be asked here")),
        }
    }

    fn option(&mut self) -> Result<Expr, String> {
        self.word("option");
        let name = self.words.get(self.at).and_then(Tok::word).unwrap_or_default();
        self.at += 1;
        match (self.names)(name) {
            Some((code, None)) => Ok(Expr::Option(code)),
            Some((code, Some(sub))) => Ok(Expr::Sub(code, sub)),
            None => Err(format!("there is no option `{name}`")),
        }
    }

    fn integer(&mut self) -> Result<i64, String> {
        let text = self.words.get(self.at).and_then(Tok::word).unwrap_or_default();
        self.at += 1;
        text.parse().map_err(|_| format!("`{text}` is no number"))
    }

    fn enclosed(&mut self) -> Result<Expr, String> {
        self.expect('(')?;
        let inner = self.data()?;
        self.expect(')')?;
        Ok(inner)
    }

    fn three(&mut self) -> Result<(Expr, i64, i64), String> {
        self.expect('(')?;
        let of = self.data()?;
        self.expect(',')?;
        let start = self.integer()?;
        self.expect(',')?;
        let length = self.integer()?;
        self.expect(')')?;
        Ok((of, start, length))
    }

    fn list(&mut self) -> Result<Vec<Expr>, String> {
        self.expect('(')?;
        let mut out = vec![self.data()?];
        while self.sign(',') {
            out.push(self.data()?);
        }
        self.expect(')')?;
        Ok(out)
    }

    fn concat(&mut self) -> Result<Expr, String> {
        let parts = self.list()?;
        let mut parts = parts.into_iter().rev();
        let last = parts.next().ok_or("concat needs values")?;
        Ok(parts.fold(last, |rest, part| Expr::Concat(Box::new(part), Box::new(rest))))
    }

    fn first_value(&mut self) -> Result<Expr, String> {
        let parts = self.list()?;
        let mut parts = parts.into_iter().rev();
        let last = parts.next().ok_or("pick-first-value needs values")?;
        Ok(parts.fold(last, |rest, part| {
            let there = part.clone().exists();
            Expr::IfElse(Box::new(there), Box::new(part), Box::new(rest))
        }))
    }

    /// `binary-to-ascii(16, 8, ":", value)`.
    fn ascii(&mut self) -> Result<Expr, String> {
        self.expect('(')?;
        let base = self.integer()?;
        self.expect(',')?;
        let width = self.integer()?;
        self.expect(',')?;
        let by = self.data()?;
        self.expect(',')?;
        let of = self.data()?;
        self.expect(')')?;
        if base != 16 || width != 8 {
            return Err("binary-to-ascii can be asked only for octets in hexadecimal".to_owned());
        }
        Ok(Expr::HexString(Box::new(of), Box::new(by)))
    }

    /// Fields of the packet at their offsets.
    fn packet(&mut self) -> Result<Expr, String> {
        self.expect('(')?;
        let start = self.integer()?;
        self.expect(',')?;
        let length = self.integer()?;
        self.expect(')')?;
        match (start, length) {
            (24, 4) => Ok(Expr::Word("relay.giaddr")),
            (12, 4) => Ok(Expr::Word("pkt4.ciaddr")),
            (28, 6) => Ok(Expr::Word("mac")),
            _ => Err("octets of the packet cannot be asked here, but for ciaddr, giaddr and chaddr".to_owned()),
        }
    }
}

/// A part of a value; the type before the hardware address is counted away.
fn cut(of: Expr, start: i64, length: Option<i64>) -> Expr {
    match of {
        Expr::Concat(first, rest) if start >= 1 && matches!(&*first, Expr::Text(head) if head.len() == 1) => {
            match (&*rest, start, length) {
                (Expr::Word("mac"), 1, Some(6)) => *rest,
                _ => rest.substring(start - 1, length),
            }
        }
        other => other.substring(start, length),
    }
}

/// `01:02:ab` and single octets.
fn literal(word: &str) -> Option<Expr> {
    if let Ok(ip) = word.parse::<std::net::Ipv4Addr>() {
        return Some(Expr::Text(ip.octets().to_vec()));
    }
    let octets = word.split(':').map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() <= 2));
    octets.collect::<Option<Vec<u8>>>().map(Expr::Text)
}

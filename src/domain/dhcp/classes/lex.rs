//! Text of an expression as tokens. Owns literals: text in quotes, octets, numbers, addresses.

use std::net::IpAddr;

use super::{ExprError, MAX_TEXT};
use crate::domain::hex;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Text in quotes, as octets.
    Text(Vec<u8>),
    /// `0x..`.
    Octets(Vec<u8>),
    Number(u32),
    /// Four or sixteen octets.
    Address(Vec<u8>),
    /// A name or keyword.
    Word(String),
    /// `( ) [ ] . , + - *`, `==` as `=`, `!=` as `!`.
    Sign(char),
}

/// All tokens with the offset that each starts at.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExprError> {
    if text.len() > MAX_TEXT {
        return Err(ExprError::new(0, format!("the expression has {} octets; {MAX_TEXT} are possible", text.len())));
    }
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, length) = token(text, at, c)?;
        out.push((at, token));
        at += length;
    }
    Ok(out)
}

fn token(text: &str, at: usize, c: char) -> Result<(Token, usize), ExprError> {
    let rest = &text[at..];
    if c == '\'' || c == '"' {
        let end = rest[1..].find(c).ok_or_else(|| ExprError::new(at, "the text has no closing quote"))?;
        return Ok((Token::Text(rest.as_bytes()[1..=end].to_vec()), end + 2));
    }
    if let Some(found) = address(rest) {
        return Ok(found);
    }
    if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let digits = run(digits, |c| c.is_ascii_alphanumeric());
        // an odd number of digits starts with half an octet
        let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
        let octets = hex::read(padded.as_bytes()).filter(|octets| !octets.is_empty());
        let octets = octets.ok_or_else(|| ExprError::new(at, format!("`0x{digits}` is not hexadecimal")))?;
        return Ok((Token::Octets(octets), 2 + digits.len()));
    }
    if c.is_ascii_digit() {
        let digits = run(rest, |c| c.is_ascii_digit());
        let number = digits.parse().map_err(|_| ExprError::new(at, format!("{digits} does not fit into 32 bits")))?;
        return Ok((Token::Number(number), digits.len()));
    }
    if c.is_ascii_alphabetic() || c == '_' {
        let word = run(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        return Ok((Token::Word(word.to_owned()), word.len()));
    }
    match rest.get(..2) {
        Some("==") => return Ok((Token::Sign('='), 2)),
        Some("!=") => return Ok((Token::Sign('!'), 2)),
        _ => {}
    }
    if "()[].,+-*".contains(c) {
        return Ok((Token::Sign(c), 1));
    }
    Err(ExprError::new(at, format!("`{}` means nothing here", c.escape_default())))
}

fn run(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !wanted(c)).unwrap_or(text.len())]
}

/// An address: a run of its characters that reads as one and is not a plain number or word.
fn address(rest: &str) -> Option<(Token, usize)> {
    let run = run(rest, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
    if !run.contains(':') && run.matches('.').count() != 3 {
        return None;
    }
    Some(match run.parse::<IpAddr>().ok()? {
        IpAddr::V4(ip) => (Token::Address(ip.octets().to_vec()), run.len()),
        IpAddr::V6(ip) => (Token::Address(ip.octets().to_vec()), run.len()),
    })
}

//! `$GENERATE`: one record per number of a range (DN-207).

use std::fmt::Write as _;

use crate::domain::dns::rdata::Word;

/// Records from one line.
const MAX: u64 = 65_536;

/// `start-stop[/step]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// From the words of the line; the index of the wrong word and a message if they are malformed.
    pub fn parse(words: &[Word]) -> Result<Range, (usize, String)> {
        let [_, range, _, _, _, ..] = words else { return Err((0, "too few words".to_owned())) };
        let (span, step) = range.text.split_once('/').unwrap_or((&range.text, "1"));
        let parts = span.split_once('-').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        match (parts, number(step)) {
            (Some((start, stop)), Some(step)) if start <= stop && step > 0 => {
                if u64::from(stop - start) / u64::from(step) >= MAX {
                    return Err((1, format!("more than {MAX} records")));
                }
                Ok(Range { start, stop, step })
            }
            _ => Err((1, format!("`{}` is no range", range.text))),
        }
    }

    pub fn values(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The words with `$` and `${offset,width,base}` replaced by the number.
pub fn substitute(words: &[Word], value: u32) -> Result<Vec<Word>, String> {
    words.iter().map(|w| Ok(Word { text: replace(&w.text, value)?, ..w.clone() })).collect()
}

fn replace(text: &str, value: u32) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                out.push(c);
                if let Some(next) = rest.chars().next() {
                    out.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
            '$' if rest.starts_with('$') => {
                out.push_str("\\$");
                rest = &rest[1..];
            }
            '$' if rest.starts_with('{') => {
                let end = rest.find('}').ok_or_else(|| format!("`{{` without `}}` in `{text}`"))?;
                modified(&rest[1..end], value, &mut out).ok_or_else(|| format!("bad modifier `${}`", &rest[..=end]))?;
                rest = &rest[end + 1..];
            }
            '$' => write!(out, "{value}").expect("a string takes it"),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// `offset[,width[,base]]`; base one of `d o x X n N`.
fn modified(modifier: &str, value: u32, out: &mut String) -> Option<()> {
    let mut parts = modifier.split(',');
    let offset: i64 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Some(0), |w| w.parse().ok()).filter(|w| *w <= 255)?;
    let base = parts.next().unwrap_or("d");
    let n = u32::try_from(i64::from(value).checked_add(offset)?).ok()?;
    match (base, parts.next()) {
        (_, Some(_)) => return None,
        ("d", _) => write!(out, "{n:0width$}"),
        ("o", _) => write!(out, "{n:0width$o}"),
        ("x", _) => write!(out, "{n:0width$x}"),
        ("X", _) => write!(out, "{n:0width$X}"),
        ("n" | "N", _) => {
            nibbles(n, width, base == "N", out);
            Ok(())
        }
        _ => return None,
    }
    .ok()
}

/// Hexadecimal digits, lowest first, dots between them; the width counts the dots.
fn nibbles(mut n: u32, width: usize, upper: bool, out: &mut String) {
    let start = out.len();
    loop {
        let digit = char::from_digit(n & 15, 16).expect("below 16");
        out.push(if upper { digit.to_ascii_uppercase() } else { digit });
        n >>= 4;
        if n == 0 && out.len() - start >= width {
            return;
        }
        out.push('.');
    }
}

//! Expressions over a client's message: the tree, and what it is for one message. There are no loops and no
//! state; a missing value is empty; every value is bounded.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::subject::{Field, RelayPart, Subject};
use crate::domain::dhcp::value;

/// Octets of a computed value; what is longer is cut off.
const MAX_OCTETS: usize = 4096;

/// What a test is true for.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Always(bool),
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
    Equal(Value, Value),
    In(Value, Vec<Value>),
    Exists(Access),
    Matches(Box<regex::bytes::Regex>, Value),
    /// A class by name, and where the text names it.
    Member(String, usize),
    Known(bool),
}

/// What is compared: octets.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Literal(Vec<u8>),
    /// Four octets; equal to shorter fields that hold the same number.
    Number(u32),
    Access(Access),
    /// As people write the option.
    Shown(Access),
    Substring(Box<Value>, i64, Option<i64>),
    Concat(Vec<Value>),
    Split(Box<Value>, Vec<u8>, usize),
    Hexstring(Box<Value>, Vec<u8>),
    IfElse(Box<Test>, Box<Value>, Box<Value>),
    Case(Box<Value>, bool),
    Spelled(Box<Value>, Spelling),
}

/// How octets become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Address,
    /// Octets, and whether there is a sign.
    Integer(usize, bool),
}

/// A place in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// An option, then the sub-options inside of it.
    Option(u16, Vec<u16>),
    /// A sub-option of option 82.
    Relay(u16),
    Relay6(i8, RelayPart),
    Field(Field),
    /// An option of an enterprise; the whole if there is no code. `None` is any enterprise.
    Vendor(Option<u32>, Option<u16>),
    /// Data of an enterprise's vendor class by number.
    VendorClass(Option<u32>, usize),
    VendorEnterprise,
    VendorClassEnterprise,
}

/// What an expression may ask beside the message.
pub(super) struct Scope<'a> {
    pub subject: &'a dyn Subject,
    pub known: bool,
    pub member: &'a dyn Fn(&str) -> bool,
}

impl Test {
    /// Whether it holds. Depth was bounded when it was parsed.
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        match self {
            Test::Always(answer) => *answer,
            Test::Not(test) => !test.holds(scope),
            Test::And(tests) => tests.iter().all(|test| test.holds(scope)),
            Test::Or(tests) => tests.iter().any(|test| test.holds(scope)),
            Test::Equal(a, b) => equal(a, b, scope),
            Test::In(value, list) => list.iter().any(|other| equal(value, other, scope)),
            Test::Exists(access) => access.read(scope.subject).is_some(),
            Test::Matches(regex, value) => regex.is_match(&value.octets(scope)),
            Test::Member(class, _) => (scope.member)(class),
            Test::Known(known) => scope.known == *known,
        }
    }

    /// Every class that it asks for, with its offset in the text.
    pub fn members<'a>(&'a self, out: &mut Vec<(&'a str, usize)>) {
        match self {
            Test::Member(class, at) => out.push((class, *at)),
            Test::Not(test) => test.members(out),
            Test::And(tests) | Test::Or(tests) => tests.iter().for_each(|test| test.members(out)),
            Test::Equal(a, b) => [a, b].into_iter().for_each(|value| value.members(out)),
            Test::In(value, list) => std::iter::once(value).chain(list).for_each(|value| value.members(out)),
            Test::Matches(_, value) => value.members(out),
            Test::Always(_) | Test::Exists(_) | Test::Known(_) => {}
        }
    }
}

/// Octet by octet; a number equals a field of one, two or four octets that holds it.
fn equal(a: &Value, b: &Value, scope: &Scope<'_>) -> bool {
    let number = |number: u32, other: &[u8]| match *other {
        [x] => number == u32::from(x),
        [x, y] => number == u32::from(u16::from_be_bytes([x, y])),
        [x, y, z, w] => number == u32::from_be_bytes([x, y, z, w]),
        _ => false,
    };
    match (a, b) {
        (Value::Number(n), other) | (other, Value::Number(n)) => number(*n, &other.octets(scope)),
        _ => a.octets(scope) == b.octets(scope),
    }
}

impl Value {
    fn octets<'a>(&'a self, scope: &Scope<'a>) -> Cow<'a, [u8]> {
        match self {
            Value::Literal(octets) => Cow::Borrowed(octets),
            Value::Number(number) => number.to_be_bytes().to_vec().into(),
            Value::Access(access) => access.read(scope.subject).unwrap_or_default(),
            Value::Shown(access) => shown(access, scope.subject),
            Value::Substring(value, start, length) => substring(value.octets(scope), *start, *length),
            Value::Concat(parts) => {
                let mut out = Vec::new();
                parts.iter().for_each(|part| append(&mut out, &part.octets(scope)));
                out.into()
            }
            Value::Split(value, delimiters, field) => {
                let whole = value.octets(scope);
                let mut fields = whole.split(|b| delimiters.contains(b));
                fields.nth(field.saturating_sub(1)).filter(|_| *field > 0).unwrap_or_default().to_vec().into()
            }
            Value::Hexstring(value, separator) => hexstring(&value.octets(scope), separator).into(),
            Value::IfElse(test, yes, no) => if test.holds(scope) { yes } else { no }.octets(scope),
            Value::Case(value, true) => value.octets(scope).to_ascii_uppercase().into(),
            Value::Case(value, false) => value.octets(scope).to_ascii_lowercase().into(),
            Value::Spelled(value, spelling) => spelling.write(&value.octets(scope)).into_bytes().into(),
        }
    }

    fn members<'a>(&'a self, out: &mut Vec<(&'a str, usize)>) {
        match self {
            Value::Substring(value, ..)
            | Value::Split(value, ..)
            | Value::Hexstring(value, _)
            | Value::Case(value, _)
            | Value::Spelled(value, _) => value.members(out),
            Value::Concat(parts) => parts.iter().for_each(|part| part.members(out)),
            Value::IfElse(test, yes, no) => {
                test.members(out);
                yes.members(out);
                no.members(out);
            }
            Value::Literal(_) | Value::Number(_) | Value::Access(_) | Value::Shown(_) => {}
        }
    }
}

fn append(out: &mut Vec<u8>, more: &[u8]) {
    let room = MAX_OCTETS.saturating_sub(out.len());
    out.extend(&more[..more.len().min(room)]);
}

fn hexstring(octets: &[u8], separator: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, octet) in octets.iter().enumerate() {
        if n > 0 {
            append(&mut out, separator);
        }
        append(&mut out, format!("{octet:02x}").as_bytes());
    }
    out
}

/// A start below zero counts from the end, a length below zero runs backwards; outside is empty.
fn substring(value: Cow<'_, [u8]>, start: i64, length: Option<i64>) -> Cow<'_, [u8]> {
    let size = i64::try_from(value.len()).unwrap_or(i64::MAX);
    if start >= size || start < -size {
        return Cow::Borrowed(&[]);
    }
    let start = if start < 0 { start + size } else { start };
    let (from, to) = match length {
        None => (start, size),
        Some(length) if length < 0 => (start.saturating_add(length).max(0), start),
        Some(length) => (start, start.saturating_add(length).min(size)),
    };
    let (from, to) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
    match value {
        Cow::Borrowed(octets) => Cow::Borrowed(&octets[from..to]),
        Cow::Owned(octets) => Cow::Owned(octets[from..to].to_vec()),
    }
}

/// The option as the registry writes it; octets where it is text or unknown.
fn shown<'a>(access: &Access, subject: &'a dyn Subject) -> Cow<'a, [u8]> {
    let octets = access.read(subject).unwrap_or_default();
    let code = match access {
        Access::Option(code, subs) if subs.is_empty() && !subject.is_v6() => u8::try_from(*code).ok(),
        _ => None,
    };
    let Some(code) = code.filter(|code| value::is_typed(*code)) else { return octets };
    value::show_value(code, &octets).into_bytes().into()
}

impl Spelling {
    fn write(self, octets: &[u8]) -> String {
        match self {
            Spelling::Address => match *octets {
                [a, b, c, d] => Ipv4Addr::new(a, b, c, d).to_string(),
                _ => <[u8; 16]>::try_from(octets).map(|ip| Ipv6Addr::from(ip).to_string()).unwrap_or_default(),
            },
            Spelling::Integer(size, signed) if octets.len() == size => {
                let number = octets.iter().fold(0_i64, |number, octet| number << 8 | i64::from(*octet));
                let bits = 8 * size;
                let negative = signed && number >> (bits - 1) & 1 == 1;
                (if negative { number - (1 << bits) } else { number }).to_string()
            }
            Spelling::Integer(..) => String::new(),
        }
    }
}

impl Access {
    /// What stands there; `None` if nothing does.
    fn read<'a>(&self, subject: &'a dyn Subject) -> Option<Cow<'a, [u8]>> {
        match self {
            Access::Option(code, subs) => {
                let mut value = subject.option(*code)?;
                for sub in subs {
                    value = part(value, |whole| sub_option(whole, *sub, subject.is_v6()))?;
                }
                Some(value)
            }
            Access::Relay(sub) => subject.relay(*sub),
            Access::Relay6(level, what) => subject.relay6(*level, *what),
            Access::Field(field) => subject.field(*field),
            Access::Vendor(..) | Access::VendorClass(..) | Access::VendorEnterprise | Access::VendorClassEnterprise => {
                self.of_vendor(subject)
            }
        }
    }

    /// RFC 3925 §3 and §4; RFC 9915 §21.16 and §21.17.
    fn of_vendor<'a>(&self, subject: &'a dyn Subject) -> Option<Cow<'a, [u8]>> {
        let v6 = subject.is_v6();
        let classes = if v6 { 16 } else { 124 };
        let options = if v6 { 17 } else { 125 };
        match self {
            Access::Vendor(enterprise, code) => {
                let block = part(subject.option(options)?, |whole| enterprise_block(whole, *enterprise, v6))?;
                match code {
                    Some(code) => part(block, |whole| sub_option(whole, *code, v6)),
                    None => Some(block),
                }
            }
            Access::VendorClass(enterprise, number) => {
                let block = part(subject.option(classes)?, |whole| enterprise_block(whole, *enterprise, v6))?;
                part(block, |whole| datum(whole, *number, v6))
            }
            Access::VendorEnterprise => part(subject.option(options)?, |whole| whole.get(..4)),
            _ => part(subject.option(classes)?, |whole| whole.get(..4)),
        }
    }
}

/// A part of a value, borrowed where the value is.
fn part<'a>(whole: Cow<'a, [u8]>, find: impl Fn(&[u8]) -> Option<&[u8]>) -> Option<Cow<'a, [u8]>> {
    match whole {
        Cow::Borrowed(octets) => find(octets).map(Cow::Borrowed),
        Cow::Owned(octets) => find(&octets).map(|found| Cow::Owned(found.to_vec())),
    }
}

/// The first sub-option of that code; headers of one octet each, in DHCPv6 of two.
fn sub_option(mut whole: &[u8], wanted: u16, v6: bool) -> Option<&[u8]> {
    loop {
        let (code, length, rest) = match (v6, whole) {
            (true, [a, b, c, d, rest @ ..]) => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]), rest),
            (false, [a, b, rest @ ..]) => (u16::from(*a), u16::from(*b), rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length.into())?;
        if code == wanted {
            return Some(value);
        }
        whole = rest;
    }
}

/// What follows an enterprise's number: in DHCPv4 with a length of one octet, in DHCPv6 to the end.
fn enterprise_block(mut whole: &[u8], wanted: Option<u32>, v6: bool) -> Option<&[u8]> {
    loop {
        let (enterprise, rest) = whole.split_first_chunk::<4>()?;
        let fits = wanted.is_none_or(|wanted| wanted == u32::from_be_bytes(*enterprise));
        if v6 {
            return fits.then_some(rest);
        }
        let (length, rest) = rest.split_first()?;
        let (block, rest) = rest.split_at_checked((*length).into())?;
        if fits {
            return Some(block);
        }
        whole = rest;
    }
}

/// Data of a vendor class by number, each with its length before it. Some DHCPv4 clients send one datum without a
/// length of its own, as Kea reads it, instead of the list that RFC 3925 §3 has: that is taken, too.
fn datum(whole: &[u8], number: usize, v6: bool) -> Option<&[u8]> {
    let mut list = Vec::new();
    let mut rest = whole;
    while !rest.is_empty() {
        let split = match (v6, rest) {
            (true, [a, b, data @ ..]) => data.split_at_checked(usize::from(u16::from_be_bytes([*a, *b]))),
            (false, [a, data @ ..]) => data.split_at_checked(usize::from(*a)),
            _ => None,
        };
        let Some((value, after)) = split else {
            return (!v6 && number == 0).then_some(whole);
        };
        list.push(value);
        rest = after;
    }
    list.get(number).copied()
}

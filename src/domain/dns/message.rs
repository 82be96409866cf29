//! Answers of other servers: their reading, and what of them is believed. Any byte may come in.

use super::lookup::rcode;
use super::name::{self, MAX_NAME};
use super::query::{HEADER, IN, flag};
use super::rrset::rtype;

/// Records of one message that are looked at.
const MAX_RECORDS: usize = 500;
/// Pointers followed in one name.
const MAX_JUMPS: usize = 64;
/// NSEC and NSEC3: the proof of a negative, passed on to who sets DO.
const PROOFS: [u16; 2] = [47, 50];
/// Longest time that an answer is kept (RFC 8767 §4 speaks of a week; a day is enough).
const MAX_TTL: u32 = 86_400;
/// Longest time that a negative answer is kept (DN-504).
const MAX_NEGATIVE: u32 = 900;

/// One record, its names not compressed. The owner is lower-case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub owner: Box<[u8]>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub data: Box<[u8]>,
}

/// What an upstream said, reduced to what answers the question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    pub rcode: u16,
    /// The chain from the question's name on, and its end.
    pub answers: Vec<Record>,
    /// SOA of a negative, with its proof if that was asked for.
    pub authority: Vec<Record>,
    /// TC: ask again by TCP.
    pub truncated: bool,
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    #[error("not a response")]
    NoResponse,
    #[error("another id")]
    Id,
    #[error("another question")]
    Question,
    #[error("malformed")]
    Malformed,
}

/// The message that asks one question, EDNS with 1232 octets. `name` is used as it is written: its case
/// comes back in a genuine answer (0x20).
pub fn ask(id: u16, name: &[u8], qtype: u16, dnssec: bool, checking_disabled: bool) -> Vec<u8> {
    let mut flags = flag::RD;
    if checking_disabled {
        flags |= flag::CD;
    }
    let mut out = Vec::with_capacity(HEADER + name.len() + 4 + 11);
    for word in [id, flags, 1, 0, 0, 1] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(name);
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    out.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, if dnssec { 0x80 } else { 0 }, 0, 0, 0]);
    out
}

/// Reads the answer to the message `asked`. Id and question must be the same, octet by octet; with
/// `any_case` (over TCP, where nobody can guess) the case of letters does not matter.
pub fn read(asked: &[u8], packet: &[u8], any_case: bool) -> Result<Resolved, NotOurs> {
    let header = packet.first_chunk::<HEADER>().ok_or(NotOurs::Malformed)?;
    let word = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
    let flags = word(2);
    if flags & flag::QR == 0 || flags & flag::OPCODE != 0 {
        return Err(NotOurs::NoResponse);
    }
    if asked.first_chunk::<2>() != packet.first_chunk::<2>() {
        return Err(NotOurs::Id);
    }
    let question = question_of(asked).ok_or(NotOurs::Malformed)?;
    let echoed = packet.get(HEADER..HEADER + question.len()).unwrap_or_default();
    let bare_error = word(4) == 0 && flags & 15 != 0;
    let same = if any_case { echoed.eq_ignore_ascii_case(question) } else { echoed == question };
    if !bare_error && (word(4) != 1 || !same) {
        return Err(NotOurs::Question);
    }
    let mut resolved = Resolved { rcode: flags & 15, truncated: flags & flag::TC != 0, ..Resolved::default() };
    if resolved.truncated || bare_error {
        return Ok(resolved);
    }
    let mut at = HEADER + question.len();
    let mut sections = [Vec::new(), Vec::new()];
    for (section, count) in [word(6), word(8)].into_iter().enumerate() {
        for _ in 0..count {
            let (record, next) = record(packet, at).ok_or(NotOurs::Malformed)?;
            at = next;
            if sections[section].len() < MAX_RECORDS && record.class == IN {
                sections[section].push(record);
            }
        }
    }
    let [answers, authority] = sections;
    let name = question[..question.len() - 4].to_ascii_lowercase();
    let qtype = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
    let (answers, last) = chain(&name, qtype, answers);
    resolved.answers = answers;
    resolved.authority = believed(&last, authority);
    Ok(resolved)
}

fn question_of(message: &[u8]) -> Option<&[u8]> {
    let rest = message.get(HEADER..)?;
    let len = name::labels(rest).map(|l| l.len() + 1).sum::<usize>() + 5;
    rest.get(..len)
}

/// Bailiwick: records of the question's name, of the names that its aliases lead to, of the DNAMEs above
/// them; in that order. Gives the last name too.
fn chain(name: &[u8], qtype: u16, records: Vec<Record>) -> (Vec<Record>, Vec<u8>) {
    let mut kept: Vec<Record> = Vec::new();
    let mut at = name.to_vec();
    for _ in 0..=super::lookup::MAX_CHAIN {
        let before = kept.len();
        for record in &records {
            let here = *record.owner == *at;
            let above = record.rtype == rtype::DNAME && name::is_within(&at, &record.owner);
            if (here || above) && !kept.contains(record) {
                kept.push(record.clone());
            }
        }
        kept[before..].sort_by_key(|r| (r.rtype != rtype::DNAME, r.rtype));
        let alias = kept[before..].iter().find(|r| r.rtype == rtype::CNAME && *r.owner == *at);
        match alias.filter(|_| !matches!(qtype, rtype::CNAME | rtype::ANY)) {
            Some(alias) => at = alias.data.to_ascii_lowercase(),
            None => break,
        }
    }
    (kept, at)
}

/// SOA and proofs of a zone that the last name is in, and their signatures.
fn believed(last: &[u8], authority: Vec<Record>) -> Vec<Record> {
    let apex =
        authority.iter().find(|r| r.rtype == rtype::SOA && name::is_within(last, &r.owner)).map(|r| r.owner.clone());
    let Some(apex) = apex else { return Vec::new() };
    let wanted = |r: &Record| match r.rtype {
        rtype::SOA => r.owner == apex,
        rtype::RRSIG => name::is_within(&r.owner, &apex),
        other => PROOFS.contains(&other) && name::is_within(&r.owner, &apex),
    };
    authority.into_iter().filter(wanted).collect()
}

/// One record at an offset, and the offset behind it.
fn record(packet: &[u8], at: usize) -> Option<(Record, usize)> {
    let (owner, at) = expand(packet, at)?;
    let head = packet.get(at..)?.first_chunk::<10>()?;
    let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
    let (rtype, class, len) = (word(0), word(2), usize::from(word(8)));
    let ttl = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    // RFC 2181 §8: the top bit set means zero
    let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl.min(MAX_TTL) };
    let start = at + 10;
    let end = start + len;
    packet.get(start..end)?;
    let data = rdata(packet, rtype, start, end)?;
    Some((Record { owner: owner.to_ascii_lowercase().into(), rtype, class, ttl, data: data.into() }, end))
}

/// Data with its names expanded, for the types that may compress them (RFC 3597 §4).
fn rdata(packet: &[u8], rtype: u16, start: usize, end: usize) -> Option<Vec<u8>> {
    // octets in front of the names, how many names, octets behind them
    let (before, names, behind) = match rtype {
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => (0, 1, 0),
        6 => (0, 2, 20),
        14 | 17 => (0, 2, 0),
        15 | 18 | 21 | 36 => (2, 1, 0),
        26 => (2, 2, 0),
        33 => (6, 1, 0),
        _ => return Some(packet[start..end].to_vec()),
    };
    let mut out = packet.get(start..start + before).filter(|_| start + before <= end)?.to_vec();
    let mut at = start + before;
    for _ in 0..names {
        let (name, next) = expand(packet, at)?;
        out.extend_from_slice(&name);
        at = next;
    }
    let rest = packet.get(at..end).filter(|rest| rest.len() == behind)?;
    out.extend_from_slice(rest);
    (out.len() <= usize::from(u16::MAX)).then_some(out)
}

/// A name that may be compressed, and the offset behind it. Pointers only lead back.
fn expand(packet: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::with_capacity(32);
    let (mut at, mut behind, mut lowest) = (start, None, start);
    for _ in 0..MAX_JUMPS + MAX_NAME {
        match *packet.get(at)? {
            0 => {
                out.push(0);
                return Some((out, behind.unwrap_or(at + 1)));
            }
            len @ 1..=63 => {
                let label = packet.get(at..at + 1 + usize::from(len))?;
                out.extend_from_slice(label);
                if out.len() >= MAX_NAME {
                    return None;
                }
                at += label.len();
            }
            high @ 0xc0..=0xff => {
                let to = usize::from(high & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
                if to >= lowest {
                    return None;
                }
                behind.get_or_insert(at + 2);
                lowest = to;
                at = to;
            }
            _ => return None,
        }
    }
    None
}

impl Resolved {
    /// How long it may be kept, seconds: the lowest TTL, for a negative that of its SOA (RFC 2308 §5).
    pub fn ttl(&self) -> u32 {
        let negative = self.rcode == rcode::NXDOMAIN
            || self.answers.iter().all(|r| matches!(r.rtype, rtype::CNAME | rtype::DNAME | rtype::RRSIG));
        let lowest = self.answers.iter().map(|r| r.ttl).min();
        if !negative {
            return lowest.unwrap_or(0);
        }
        let soa = self.authority.iter().find(|r| r.rtype == rtype::SOA);
        let minimum = soa.and_then(|r| r.data.last_chunk::<4>()).map_or(0, |m| u32::from_be_bytes(*m));
        let bound = soa.map_or(0, |r| r.ttl.min(minimum)).min(MAX_NEGATIVE);
        lowest.map_or(bound, |l| l.min(bound))
    }

    /// The same after some seconds in a cache.
    pub fn aged(&self, seconds: u32) -> Resolved {
        let mut aged = self.clone();
        let all = aged.answers.iter_mut().chain(&mut aged.authority);
        all.for_each(|r| r.ttl = r.ttl.saturating_sub(seconds));
        aged
    }

    /// Octets that it takes, roughly.
    pub fn weight(&self) -> usize {
        let all = self.answers.iter().chain(&self.authority);
        128 + all.map(|r| 64 + r.owner.len() + r.data.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;

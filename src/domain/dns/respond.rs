//! From a packet to its answer, as a function of a snapshot. Owns header, EDNS and truncation; one path for
//! UDP and TCP, without allocation but for what the lookup needs.

use super::lookup::{self, Answer, Owner, Records, Rr, rcode};
use super::message::{Record, Resolved};
use super::name;
use super::query::{Edns, HEADER, Query, Rejected, UDP_SIZE, flag};
use super::rrset::FIXED;
use super::zone::State;

/// Who asks, as far as the answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// TCP: no limit but that of the message.
    pub stream: bool,
    /// May have foreign names resolved (DN-501).
    pub recursion: bool,
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not answered; why, as a word for the counter.
    Silent(&'static str),
    /// An answer was appended, with this code.
    Answered(u16),
    /// Somebody who may asks for a name of others: nothing was appended.
    Foreign(Foreign),
}

/// What has to be asked elsewhere; then [`complete`] makes the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// Lower-case wire form: the question's, or where a chain of our zones leads to.
    pub name: Box<[u8]>,
    pub qtype: u16,
    /// DO and CD are passed on (DN-509).
    pub dnssec: bool,
    pub checking_disabled: bool,
}

/// Octets of an OPT record without options.
const OPT: usize = 11;

/// Answers a packet from the snapshot; appends to `out`.
pub fn respond(state: &State, packet: &[u8], asker: Asker, out: &mut Vec<u8>) -> Verdict {
    let query = match Query::parse(packet, asker.stream) {
        Ok(query) => query,
        Err(Rejected::Silence(why)) => return Verdict::Silent(why),
        Err(Rejected::Code { rcode, id, flags, question, edns }) => {
            return Verdict::Answered(refuse(Head { id, flags, question, edns }, rcode, asker, out));
        }
    };
    let answer = lookup::lookup(state, query.name(), query.qtype);
    if let Some(foreign) = &answer.foreign {
        if asker.recursion && query.recursion_desired() {
            return Verdict::Foreign(Foreign {
                name: foreign.as_ref().into(),
                qtype: query.qtype,
                dnssec: query.edns.is_some_and(|e| e.dnssec),
                checking_disabled: query.flags & flag::CD != 0,
            });
        }
        if answer.answer.is_empty() {
            // no open recursion, no referral to the root (DN-720)
            return Verdict::Answered(refuse(Head::of(&query), rcode::REFUSED, asker, out));
        }
    }
    Verdict::Answered(write(&query, &answer, None, asker, out))
}

/// The answer to a packet that was [`Verdict::Foreign`], now that the name was resolved (`None`: it could
/// not be). Appends to `out`; gives the code.
pub fn complete(state: &State, packet: &[u8], asker: Asker, resolved: Option<&Resolved>, out: &mut Vec<u8>) -> u16 {
    let Ok(query) = Query::parse(packet, asker.stream) else { return rcode::SERVFAIL };
    let answer = lookup::lookup(state, query.name(), query.qtype);
    match resolved {
        // the zones may have changed meanwhile: then the name is ours, and so is the answer
        _ if answer.foreign.is_none() => write(&query, &answer, None, asker, out),
        Some(resolved) => write(&query, &answer, Some(resolved), asker, out),
        None => refuse(Head::of(&query), rcode::SERVFAIL, asker, out),
    }
}

/// What of a question goes into any answer.
struct Head<'a> {
    id: u16,
    flags: u16,
    question: &'a [u8],
    edns: Option<Edns>,
}

impl<'a> Head<'a> {
    fn of(query: &Query<'a>) -> Head<'a> {
        Head { id: query.id, flags: query.flags, question: query.question, edns: query.edns }
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[0; HEADER - 2]);
        out.extend_from_slice(self.question);
    }

    /// OPT if one was asked with, then the header with its counts.
    fn end(&self, out: &mut Vec<u8>, base: usize, bits: u16, rcode: u16, counts: [u16; 3]) {
        let mut additional = counts[2];
        if let Some(edns) = self.edns {
            additional += 1;
            let [high, low] = (UDP_SIZE as u16).to_be_bytes();
            let flags = if edns.dnssec { 0x80 } else { 0 };
            out.extend_from_slice(&[0, 0, 41, high, low, (rcode >> 4) as u8, 0, flags, 0, 0, 0]);
        }
        let copied = self.flags & (flag::OPCODE | flag::RD);
        let flags = flag::QR | copied | bits | (rcode & 15);
        let questions = u16::from(!self.question.is_empty());
        let words = [flags, questions, counts[0], counts[1], additional];
        for (slot, word) in out[base + 2..base + HEADER].chunks_exact_mut(2).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
    }
}

fn available(asker: Asker) -> u16 {
    if asker.recursion { flag::RA } else { 0 }
}

/// An answer without records.
fn refuse(head: Head<'_>, rcode: u16, asker: Asker, out: &mut Vec<u8>) -> u16 {
    let base = out.len();
    head.begin(out);
    head.end(out, base, available(asker), rcode, [0; 3]);
    rcode
}

fn write(query: &Query<'_>, answer: &Answer<'_>, more: Option<&Resolved>, asker: Asker, out: &mut Vec<u8>) -> u16 {
    let head = Head::of(query);
    let base = out.len();
    head.begin(out);
    let reserve = if query.edns.is_some() { OPT } else { 0 };
    let mut body = Body { out, base, end: base + query.limit(asker.stream) - reserve, question: query.name() };
    let mut counts = [0u16; 3];
    let cut = body.fill(answer, more, &mut counts);
    let mut bits = available(asker);
    if answer.authoritative {
        bits |= flag::AA;
    }
    if cut {
        bits |= flag::TC;
    }
    if more.is_some() {
        bits |= query.flags & flag::CD;
    }
    let rcode = more.map_or(answer.rcode, |resolved| resolved.rcode);
    head.end(out, base, bits, rcode, counts);
    rcode
}

/// The sections of an answer under way.
struct Body<'o, 'q> {
    out: &'o mut Vec<u8>,
    base: usize,
    end: usize,
    question: &'q [u8],
}

impl Body<'_, '_> {
    /// Whole sets only. True if something that must be there did not fit: answer, authority, or the glue of
    /// a referral (RFC 9471).
    fn fill(&mut self, answer: &Answer<'_>, more: Option<&Resolved>, counts: &mut [u16; 3]) -> bool {
        for rr in &answer.answer {
            let Some(n) = self.set(rr) else { return true };
            counts[0] += n;
        }
        if let Some(resolved) = more {
            let Some(n) = self.records(&resolved.answers) else { return true };
            counts[0] += n;
        }
        for rr in &answer.authority {
            let Some(n) = self.set(rr) else { return true };
            counts[1] += n;
        }
        if let Some(resolved) = more {
            let Some(n) = self.records(&resolved.authority) else { return true };
            counts[1] += n;
        }
        for rr in &answer.additional {
            match self.set(rr) {
                Some(n) => counts[2] += n,
                None => return answer.referral,
            }
        }
        false
    }

    /// Number of records written; `None`, and nothing written, if they do not fit.
    fn set(&mut self, rr: &Rr<'_>) -> Option<u16> {
        let start = self.out.len();
        let count = match (&rr.owner, &rr.records, rr.ttl) {
            (Owner::Query, Records::Stored(set), None) => {
                if start + set.bytes.len() <= self.end {
                    self.out.extend_from_slice(set.bytes);
                }
                if self.out.len() == start && !set.bytes.is_empty() {
                    return None;
                }
                return Some(set.count);
            }
            (owner, Records::Stored(set), ttl) => {
                for record in set.records() {
                    self.owner(owner);
                    let at = self.out.len();
                    self.out.extend_from_slice(record);
                    if let Some(ttl) = ttl {
                        self.out[at + 4..at + 8].copy_from_slice(&ttl.to_be_bytes());
                    }
                }
                set.count
            }
            (owner, Records::Made(set), _) => {
                for data in &set.rdata {
                    self.owner(owner);
                    self.fixed(set.rtype, 1, set.ttl, data);
                }
                set.rdata.len() as u16 // one
            }
        };
        if self.out.len() > self.end {
            self.out.truncate(start);
            return None;
        }
        Some(count)
    }

    /// Records of others, each set whole: they come sorted by set.
    fn records(&mut self, records: &[Record]) -> Option<u16> {
        let start = self.out.len();
        for record in records {
            self.name(&record.owner);
            self.fixed(record.rtype, record.class, record.ttl, &record.data);
            if self.out.len() > self.end {
                self.out.truncate(start);
                return None;
            }
        }
        u16::try_from(records.len()).ok()
    }

    fn fixed(&mut self, rtype: u16, class: u16, ttl: u32, data: &[u8]) {
        let mut fixed = [0; FIXED];
        fixed[..2].copy_from_slice(&rtype.to_be_bytes());
        fixed[2..4].copy_from_slice(&class.to_be_bytes());
        fixed[4..8].copy_from_slice(&ttl.to_be_bytes());
        fixed[8..].copy_from_slice(&(data.len() as u16).to_be_bytes()); // data of a stored or received record
        self.out.extend_from_slice(&fixed);
        self.out.extend_from_slice(data);
    }

    fn owner(&mut self, owner: &Owner<'_>) {
        match owner {
            Owner::Query => self.out.extend_from_slice(&[0xc0, HEADER as u8]),
            Owner::Name(wire) => self.name(wire),
        }
    }

    /// A name, from the label on at which it ends as the question does a pointer.
    fn name(&mut self, wire: &[u8]) {
        debug_assert!(self.base <= self.out.len());
        let mut at = wire;
        while let Some(above) = name::parent(at) {
            if name::is_within(self.question, at) {
                let offset = (HEADER + self.question.len() - at.len()) as u16; // at most 12 + 255
                self.out.extend_from_slice(&(0xc000 | offset).to_be_bytes());
                return;
            }
            self.out.extend_from_slice(&at[..at.len() - above.len()]);
            at = above;
        }
        self.out.push(0);
    }
}

#[cfg(test)]
mod tests;

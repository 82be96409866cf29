//! From a question to the record sets of its answer: RFC 1034 §4.3.2 with the wildcards of RFC 4592 and
//! the DNAMEs of RFC 6672. Owns nothing: a function of a snapshot, O(labels) for every kind of answer.

use std::borrow::Cow;

use super::name::{self, MAX_NAME};
use super::path::Path;
use super::rrset::{RrSet, SetRef, rtype};
use super::zone::{Kind, Node, State, Zone};

/// CNAME and DNAME steps in one answer (limits table of the reliability reference).
pub const MAX_CHAIN: usize = 16;
/// Names whose addresses are added to one answer.
const MAX_ADDITIONAL: usize = 24;

/// Response codes.
pub mod rcode {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const YXDOMAIN: u16 = 6;
    pub const NOTAUTH: u16 = 9;
    pub const BADVERS: u16 = 16;
}

/// Who a record set in an answer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The name in the question.
    Query,
    /// Another name, lower-case wire form.
    Name(Cow<'a, [u8]>),
}

/// The records of a set in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records<'a> {
    Stored(SetRef<'a>),
    /// Made for this question (the CNAME of a DNAME).
    Made(Box<RrSet>),
}

/// A record set in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rr<'a> {
    pub owner: Owner<'a>,
    pub records: Records<'a>,
    /// Served with this TTL instead of its own.
    pub ttl: Option<u32>,
}

/// What a snapshot has to say to a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    pub rcode: u16,
    /// AA: the first owner is ours (RFC 1034 §6.2.7).
    pub authoritative: bool,
    pub answer: Vec<Rr<'a>>,
    pub authority: Vec<Rr<'a>>,
    pub additional: Vec<Rr<'a>>,
    /// The answer is a referral: its additional section is glue.
    pub referral: bool,
    /// No zone of ours holds this name: the question's if `answer` is empty, else where the chain left us.
    pub foreign: Option<Cow<'a, [u8]>>,
}

enum Step<'a> {
    Done,
    Follow(Cow<'a, [u8]>),
}

/// Looks a lower-case wire name up. Class IN; `qtype` is a data type or ANY.
pub fn lookup<'a>(state: &'a State, qname: &'a [u8], qtype: u16) -> Answer<'a> {
    let mut answer = Answer::default();
    let mut at: Cow<'a, [u8]> = Cow::Borrowed(qname);
    let mut seen: Vec<Cow<'a, [u8]>> = Vec::new();
    loop {
        let first = seen.is_empty();
        match step(state, &mut answer, &at, first, qtype) {
            Step::Done => break,
            Step::Follow(next) => {
                seen.push(at);
                if seen.len() > MAX_CHAIN {
                    return Answer { rcode: rcode::SERVFAIL, ..Answer::default() };
                }
                if seen.contains(&next) {
                    break; // each name once: the chain so far is the answer
                }
                at = next;
            }
        }
    }
    add_addresses(state, &mut answer);
    answer
}

/// One name of the chain.
fn step<'a>(state: &'a State, answer: &mut Answer<'a>, qname: &Cow<'a, [u8]>, first: bool, qtype: u16) -> Step<'a> {
    let path = Path::new(state.seed, qname);
    let Some(zone) = zone_for(state, &path, qtype) else {
        answer.foreign = Some(qname.clone());
        return Step::Done;
    };
    if zone.kind == Kind::Broken {
        *answer = Answer { rcode: rcode::SERVFAIL, ..Answer::default() };
        return Step::Done;
    }
    answer.authoritative |= first;
    let owner = if first { Owner::Query } else { Owner::Name(qname.clone()) };
    match zone.kind {
        Kind::Denied => negative(answer, zone, rcode::NXDOMAIN),
        Kind::Nothing => negative(answer, zone, rcode::NOERROR),
        Kind::Data | Kind::Broken => return in_zone(state, answer, zone, &path, owner, qtype),
    }
    Step::Done
}

/// RFC 4035 §3.1.4.1: a DS at an apex belongs to the zone above, if that is ours.
fn zone_for<'a>(state: &'a State, path: &Path<'_>, qtype: u16) -> Option<&'a Zone> {
    let zone = state.covering(path, path.depth())?;
    if qtype == rtype::DS && zone.depth() == path.depth() && path.depth() > 0 {
        let above = state.covering(path, path.depth() - 1).filter(|z| z.kind == Kind::Data);
        return above.or(Some(zone));
    }
    Some(zone)
}

fn in_zone<'a>(
    state: &'a State,
    answer: &mut Answer<'a>,
    zone: &'a Zone,
    path: &Path<'_>,
    owner: Owner<'a>,
    qtype: u16,
) -> Step<'a> {
    let last = path.depth();
    if zone.is_open()
        && let Some(node) = zone.node(path.hash(last), path.suffix(last))
    {
        return exact(answer, zone, node, path, owner, qtype);
    }
    // from the apex down to the deepest name that exists
    let mut encloser = zone.depth();
    for depth in zone.depth()..=last {
        let Some(node) = zone.node(path.hash(depth), path.suffix(depth)) else { break };
        encloser = depth;
        let cut = if depth > zone.depth() { node.set(rtype::NS) } else { None };
        if let Some(ns) = cut.filter(|_| !(qtype == rtype::DS && depth == last)) {
            refer(state, answer, path.suffix(depth), ns);
            return Step::Done;
        }
        if depth == last {
            return exact(answer, zone, node, path, owner, qtype);
        }
        if let Some(dname) = node.set(rtype::DNAME) {
            let step = substitute(answer, path, depth, dname, owner);
            // the CNAME itself was asked for
            return if matches!(qtype, rtype::CNAME | rtype::ANY) { Step::Done } else { step };
        }
    }
    // RFC 4592 §3.3.1: the source of synthesis is `*` directly below the closest encloser
    let wild = path.wildcard(encloser).and_then(|(wild, hash)| zone.node(hash, wild.as_wire()));
    match wild {
        Some(node) => exact(answer, zone, node, path, owner, qtype),
        None => {
            negative(answer, zone, rcode::NXDOMAIN);
            Step::Done
        }
    }
}

/// A node that the question is about, its own or a wildcard's.
fn exact<'a>(
    answer: &mut Answer<'a>,
    zone: &'a Zone,
    node: Node<'a>,
    path: &Path<'_>,
    owner: Owner<'a>,
    qtype: u16,
) -> Step<'a> {
    let at_apex = path.depth() == zone.depth();
    if at_apex && matches!(qtype, rtype::SOA | rtype::ANY) {
        answer.answer.push(Rr { owner, records: Records::Stored(zone.soa.set()), ttl: None });
        return Step::Done;
    }
    // RFC 8482 §4.1: one set is enough for ANY
    let found = if qtype == rtype::ANY { node.sets().next() } else { node.set(qtype) };
    if let Some(set) = found {
        answer.answer.push(Rr { owner, records: Records::Stored(set), ttl: None });
        return Step::Done;
    }
    match node.set(rtype::CNAME) {
        Some(cname) => {
            answer.answer.push(Rr { owner, records: Records::Stored(cname), ttl: None });
            match cname.rdata().next() {
                Some(target) => Step::Follow(Cow::Borrowed(target)),
                None => Step::Done,
            }
        }
        None => {
            negative(answer, zone, rcode::NOERROR);
            Step::Done
        }
    }
}

/// RFC 6672 §3.2: the DNAME itself, and a CNAME from the question to the name with its suffix replaced.
fn substitute<'a>(
    answer: &mut Answer<'a>,
    path: &Path<'_>,
    depth: usize,
    dname: SetRef<'a>,
    owner: Owner<'a>,
) -> Step<'a> {
    let (whole, suffix) = (path.suffix(path.depth()), path.suffix(depth));
    let dname_owner = Owner::Name(Cow::Owned(suffix.to_vec()));
    answer.answer.push(Rr { owner: dname_owner, records: Records::Stored(dname), ttl: None });
    let Some(target) = dname.rdata().next() else { return Step::Done };
    let made = [&whole[..whole.len() - suffix.len()], target].concat();
    if made.len() > MAX_NAME {
        answer.rcode = rcode::YXDOMAIN;
        return Step::Done;
    }
    let cname = RrSet { rtype: rtype::CNAME, ttl: dname.ttl, soft: false, rdata: vec![made.clone()] };
    answer.answer.push(Rr { owner, records: Records::Made(Box::new(cname)), ttl: None });
    Step::Follow(Cow::Owned(made))
}

/// RFC 2308 §3: the SOA with min(its TTL, MINIMUM). The code is that of the last name (RFC 6604).
fn negative<'a>(answer: &mut Answer<'a>, zone: &'a Zone, rcode: u16) {
    answer.rcode = rcode;
    answer.authority.push(Rr {
        owner: Owner::Name(Cow::Borrowed(zone.apex.as_wire())),
        records: Records::Stored(zone.soa.set()),
        ttl: Some(zone.soa.negative_ttl),
    });
}

/// A cut: the NS below it and the addresses of its servers, occluded ones too.
fn refer<'a>(state: &'a State, answer: &mut Answer<'a>, cut: &[u8], ns: SetRef<'a>) {
    if answer.answer.is_empty() {
        answer.authoritative = false;
    }
    answer.referral = true;
    let owner = Owner::Name(Cow::Owned(cut.to_vec()));
    answer.authority.push(Rr { owner, records: Records::Stored(ns), ttl: None });
    ns.rdata().take(MAX_ADDITIONAL).for_each(|target| addresses(state, target, &mut answer.additional));
}

/// A and AAAA of the targets of SRV, MX, NS and NAPTR.
fn add_addresses<'a>(state: &'a State, answer: &mut Answer<'a>) {
    let mut targets = Vec::new();
    for rr in &answer.answer {
        let Records::Stored(set) = rr.records else { continue };
        match set.rtype {
            rtype::NS => targets.extend(set.rdata()),
            rtype::MX => targets.extend(set.rdata().filter_map(|d| d.get(2..))),
            rtype::SRV => targets.extend(set.rdata().filter_map(|d| d.get(6..))),
            rtype::NAPTR => targets.extend(set.rdata().filter_map(naptr_target)),
            _ => {}
        }
    }
    targets.truncate(MAX_ADDITIONAL);
    targets.into_iter().for_each(|target| addresses(state, target, &mut answer.additional));
}

/// The replacement of a NAPTR whose flag is `a` (RFC 3403 §4.1); after three strings.
fn naptr_target(rdata: &[u8]) -> Option<&[u8]> {
    let mut rest = rdata.get(4..)?;
    let mut flags = &b""[..];
    for i in 0..3 {
        let (len, tail) = rest.split_first()?;
        let (text, tail) = tail.split_at_checked(usize::from(*len))?;
        if i == 0 {
            flags = text;
        }
        rest = tail;
    }
    flags.eq_ignore_ascii_case(b"a").then_some(rest)
}

fn addresses<'a>(state: &'a State, target: &'a [u8], out: &mut Vec<Rr<'a>>) {
    let known = |rr: &Rr<'_>| matches!(&rr.owner, Owner::Name(n) if **n == *target);
    if out.iter().any(known) {
        return;
    }
    let Some(node) = state.node(target) else { return };
    for rtype in [rtype::A, rtype::AAAA] {
        if let Some(set) = node.set(rtype) {
            let owner = Owner::Name(Cow::Borrowed(target));
            out.push(Rr { owner, records: Records::Stored(set), ttl: None });
        }
    }
}

impl Rr<'_> {
    /// Type of the set.
    pub fn rtype(&self) -> u16 {
        match &self.records {
            Records::Stored(set) => set.rtype,
            Records::Made(set) => set.rtype,
        }
    }

    /// TTL as served.
    pub fn ttl(&self) -> u32 {
        self.ttl.unwrap_or(match &self.records {
            Records::Stored(set) => set.ttl,
            Records::Made(set) => set.ttl,
        })
    }

    /// Data of the records.
    pub fn rdata(&self) -> Vec<&[u8]> {
        match &self.records {
            Records::Stored(set) => set.rdata().collect(),
            Records::Made(set) => set.rdata.iter().map(Vec::as_slice).collect(),
        }
    }
}

/// One line of an answer as text, for `explain` and for tests: `owner ttl type count`.
pub fn describe(rr: &Rr<'_>, qname: &[u8]) -> String {
    let mut owner = String::new();
    let wire = match &rr.owner {
        Owner::Query => qname,
        Owner::Name(name) => name,
    };
    name::write_text(wire, &mut owner).expect("a string takes it");
    format!("{owner} {} {} {}", rr.ttl(), rr.rtype(), rr.rdata().len())
}

#[cfg(test)]
mod tests;

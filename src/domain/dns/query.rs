//! A question as it came over the wire. Owns what makes a packet a question (dns reference, section 12);
//! anything else is answered with a code, or with silence.

use super::lookup::rcode;
use super::name::MAX_NAME;
use super::rrset::rtype;

/// Octets of a header.
pub const HEADER: usize = 12;
/// Class IN.
pub const IN: u16 = 1;
/// Largest UDP answer that we send, and the size that we announce (DNS flag day 2020).
pub const UDP_SIZE: usize = 1_232;
/// Largest UDP answer to a question without EDNS (RFC 1035 §4.2.1).
const PLAIN_SIZE: usize = 512;
/// RFC 7873 §4: a client cookie has 8 octets, with a server's 16 to 40.
const COOKIE: u16 = 10;

/// Header bits.
pub mod flag {
    pub const QR: u16 = 0x8000;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const CD: u16 = 0x0010;
    pub const OPCODE: u16 = 0x7800;
}

/// What the OPT record of a question said (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    pub size: u16,
    pub version: u8,
    /// The DO bit.
    pub dnssec: bool,
}

/// A question that can be looked up.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    pub id: u16,
    pub flags: u16,
    /// Name, type and class as they were written: echoed byte by byte.
    pub question: &'a [u8],
    name: [u8; MAX_NAME],
    name_len: usize,
    pub qtype: u16,
    pub qclass: u16,
    pub edns: Option<Edns>,
}

/// A packet that is no question to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected<'a> {
    /// Nothing is sent back; the word is for the counter.
    Silence(&'static str),
    /// A header with that code, the question if it could be read, an OPT if one was.
    Code { rcode: u16, id: u16, flags: u16, question: &'a [u8], edns: Option<Edns> },
}

impl<'a> Query<'a> {
    /// Reads a packet. `stream` tells TCP from UDP.
    pub fn parse(packet: &'a [u8], stream: bool) -> Result<Query<'a>, Rejected<'a>> {
        let Some(header) = packet.first_chunk::<HEADER>() else { return Err(Rejected::Silence("short")) };
        let word = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
        let (id, flags) = (word(0), word(2));
        // never answer an answer
        if flags & flag::QR != 0 {
            return Err(Rejected::Silence("response"));
        }
        let code = |rcode, question| Rejected::Code { rcode, id, flags, question, edns: None };
        match (flags & flag::OPCODE) >> 11 {
            0 => {}
            4 => return Err(code(rcode::NOTAUTH, &packet[..0])), // NOTIFY: we are nobody's secondary
            5 => return Err(code(rcode::REFUSED, &packet[..0])), // UPDATE
            _ => return Err(code(rcode::NOTIMP, &packet[..0])),
        }
        // RFC 9619: exactly one question
        if word(4) != 1 {
            return Err(code(rcode::FORMERR, &packet[..0]));
        }
        let mut query = Query {
            id,
            flags,
            question: &packet[..0],
            name: [0; MAX_NAME],
            name_len: 0,
            qtype: 0,
            qclass: 0,
            edns: None,
        };
        let end = query.read_question(packet).ok_or(code(rcode::FORMERR, &packet[..0]))?;
        let counts = [word(6), word(8), word(10)];
        let malformed = code(rcode::FORMERR, query.question);
        if query.read_records(&packet[end..], counts).is_none() {
            return Err(malformed);
        }
        query.screen(stream)
    }

    /// The name in lower-case wire form.
    pub fn name(&self) -> &[u8] {
        &self.name[..self.name_len]
    }

    /// RD: the client asks for recursion.
    pub fn recursion_desired(&self) -> bool {
        self.flags & flag::RD != 0
    }

    /// Octets that the answer may have.
    pub fn limit(&self, stream: bool) -> usize {
        match self.edns {
            _ if stream => usize::from(u16::MAX),
            Some(edns) => usize::from(edns.size).clamp(PLAIN_SIZE, UDP_SIZE),
            None => PLAIN_SIZE,
        }
    }

    /// Name without compression, type, class. Gives the offset behind them.
    fn read_question(&mut self, packet: &'a [u8]) -> Option<usize> {
        let mut at = HEADER;
        loop {
            match *packet.get(at)? {
                0 => break,
                len @ 1..=63 => at += 1 + usize::from(len),
                _ => return None, // a pointer or a label type that does not exist
            }
            if at - HEADER >= MAX_NAME {
                return None;
            }
        }
        let end = at + 5;
        self.question = packet.get(HEADER..end)?;
        self.name_len = at + 1 - HEADER;
        let lower = &mut self.name[..self.name_len];
        lower.copy_from_slice(&packet[HEADER..=at]);
        lower.make_ascii_lowercase();
        self.qtype = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
        self.qclass = u16::from_be_bytes([packet[at + 3], packet[at + 4]]);
        Some(end)
    }

    /// Whatever follows the question must be well formed and end with the packet; one OPT at most, in the
    /// additional section, owned by the root.
    fn read_records(&mut self, mut rest: &'a [u8], counts: [u16; 3]) -> Option<()> {
        for (section, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let (root, tail) = skip_name(rest)?;
                let head = tail.first_chunk::<10>()?;
                let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
                let (data, tail) = tail[10..].split_at_checked(usize::from(word(8)))?;
                if word(0) == rtype::OPT {
                    if section != 2 || !root || self.edns.is_some() {
                        return None;
                    }
                    options_are_sound(data)?;
                    self.edns = Some(Edns { size: word(2), version: head[5], dnssec: head[6] & 0x80 != 0 });
                }
                rest = tail;
            }
        }
        rest.is_empty().then_some(())
    }

    /// Questions that are well formed and still not for the lookup.
    fn screen(self, stream: bool) -> Result<Query<'a>, Rejected<'a>> {
        let code = |rcode| {
            let Query { id, flags, question, edns, .. } = self;
            Err(Rejected::Code { rcode, id, flags, question, edns })
        };
        match (self.edns, self.qclass, self.qtype) {
            (Some(edns), ..) if edns.version > 0 => code(rcode::BADVERS),
            (_, IN, rtype::AXFR | rtype::IXFR) if !stream => code(rcode::NOTIMP),
            (_, IN, rtype::AXFR | rtype::IXFR) => code(rcode::REFUSED),
            (_, IN, rtype::OPT | rtype::TSIG | rtype::TKEY) => code(rcode::FORMERR),
            (_, IN, rtype::MAILA | rtype::MAILB) => code(rcode::NOTIMP),
            (_, IN, _) => Ok(self),
            _ => code(rcode::REFUSED),
        }
    }
}

/// Behind a name that may be compressed; true if it was the root.
fn skip_name(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return Some((at == 0, &bytes[at + 1..])),
            len @ 1..=63 => at += 1 + usize::from(len),
            0xc0..=0xff => return Some((false, bytes.get(at + 2..)?)),
            _ => return None,
        }
        if at >= MAX_NAME {
            return None;
        }
    }
}

fn options_are_sound(mut data: &[u8]) -> Option<()> {
    while !data.is_empty() {
        let head = data.first_chunk::<4>()?;
        let (code, len) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        if code == COOKIE && !matches!(len, 8 | 16..=40) {
            return None;
        }
        data = data.get(4 + usize::from(len)..)?;
    }
    Some(())
}

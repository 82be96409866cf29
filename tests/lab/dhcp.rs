//! The DHCPv4 of a tiny client, written for tests from RFC 2131 and 2132 alone: it shares no code with the
//! server, so that the two cannot be wrong together. Needs nothing but std; crash tests and benches include it.
#![allow(dead_code)] // each user takes what it needs

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;
pub const INFORM: u8 = 8;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const HEADER: usize = 240;

/// A message, either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub op: u8,
    pub hops: u8,
    pub xid: u32,
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    pub yiaddr: Ipv4Addr,
    pub siaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub chaddr: [u8; 6],
    /// In wire order; values of one code are joined when read.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Message {
    /// What a client sends: option 53 first, then whatever [`with`](Self::with) adds.
    pub fn new(kind: u8, xid: u32, chaddr: [u8; 6]) -> Message {
        let none = Ipv4Addr::UNSPECIFIED;
        Message {
            op: 1,
            hops: 0,
            xid,
            flags: 0,
            ciaddr: none,
            yiaddr: none,
            siaddr: none,
            giaddr: none,
            chaddr,
            options: vec![(53, vec![kind])],
        }
    }

    pub fn with(mut self, code: u8, value: impl AsRef<[u8]>) -> Message {
        self.options.push((code, value.as_ref().to_vec()));
        self
    }

    /// The REQUEST that takes this OFFER (SELECTING), with the options that the DISCOVER had.
    pub fn request(&self, discover: &Message) -> Message {
        let mut out = Message::new(REQUEST, self.xid, self.chaddr).with(50, self.yiaddr.octets());
        out = out.with(54, self.option(54).unwrap_or_default());
        out.flags = discover.flags;
        out.giaddr = discover.giaddr;
        out.options.extend(discover.options.iter().filter(|(code, _)| ![50, 53, 54].contains(code)).cloned());
        out
    }

    pub fn kind(&self) -> u8 {
        self.option(53).and_then(|v| v.first().copied()).unwrap_or(0)
    }

    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(c, _)| *c == code).map(|(_, v)| &v[..])
    }

    pub fn u32(&self, code: u8) -> Option<u32> {
        self.option(code)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub fn ip(&self, code: u8) -> Option<Ipv4Addr> {
        let four: [u8; 4] = self.option(code)?.get(..4)?.try_into().ok()?;
        Some(four.into())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![self.op, 1, 6, self.hops];
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.flags.to_be_bytes());
        for ip in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            out.extend_from_slice(&ip.octets());
        }
        out.extend_from_slice(&self.chaddr);
        out.resize(HEADER - 4, 0);
        out.extend_from_slice(&COOKIE);
        for (code, value) in &self.options {
            for part in value.chunks(255) {
                out.extend_from_slice(&[*code, part.len() as u8]);
                out.extend_from_slice(part);
            }
        }
        out.push(255);
        // RFC 1542 §2.1: some relays drop what is shorter than a BOOTP message
        out.resize(out.len().max(300), 0);
        out
    }

    /// `None` for anything that is not a whole DHCP message.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        let (header, mut rest) = bytes.split_at_checked(HEADER)?;
        if header[236..] != COOKIE || header[2] != 6 {
            return None;
        }
        let ip = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut place = BTreeMap::new();
        while let [code, after @ ..] = rest {
            match code {
                0 => rest = after,
                255 => break,
                code => {
                    let (len, after) = after.split_first()?;
                    let (value, after) = after.split_at_checked(usize::from(*len))?;
                    let at = *place.entry(*code).or_insert(options.len());
                    match options.get_mut(at) {
                        Some((_, joined)) => joined.extend_from_slice(value),
                        None => options.push((*code, value.to_vec())),
                    }
                    rest = after;
                }
            }
        }
        Some(Message {
            op: header[0],
            hops: header[3],
            xid: u32::from_be_bytes(header[4..8].try_into().ok()?),
            flags: u16::from_be_bytes([header[10], header[11]]),
            ciaddr: ip(12),
            yiaddr: ip(16),
            siaddr: ip(20),
            giaddr: ip(24),
            chaddr: header[28..34].try_into().ok()?,
            options,
        })
    }
}

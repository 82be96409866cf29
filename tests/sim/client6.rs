//! A DHCPv6 client as RFC 9915 §18.2 describes it, with moods: addresses, prefixes or both, rapid or not; it renews,
//! rebinds, releases, declines, loses power and asks whether it is still where it was. It is written from the RFC
//! alone: it shares no code with the server.

use std::net::Ipv6Addr;

use crate::random::Random;

pub const SOLICIT: u8 = 1;
pub const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
pub const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;

pub const IA_NA: u16 = 3;
pub const IA_PD: u16 = 25;
const NOT_ON_LINK: u16 = 4;

/// Where a client stands: off, bound, or waiting for the answer to a message of that type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage6 {
    Off,
    Waiting(u8),
    Bound,
}

/// One address (length 128) or prefix of one identity association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Option 3 or 25.
    pub code: u16,
    pub iaid: u32,
    pub ip: Ipv6Addr,
    pub length: u8,
}

impl Piece {
    pub fn overlaps(&self, other: &Piece) -> bool {
        let mask = u128::MAX << (128 - u32::from(self.length.min(other.length)));
        (u128::from(self.ip) ^ u128::from(other.ip)) & mask == 0
    }
}

#[derive(Debug, Clone)]
pub struct Client6 {
    pub duid: Vec<u8>,
    pub source: Ipv6Addr,
    name: Option<String>,
    /// Option 3 or 25, and the IAID.
    ias: Vec<(u16, u32)>,
    /// The length of a prefix that it would like.
    hint: u8,
    rapid: bool,
    pub stage: Stage6,
    pub timer: u64,
    xid: u32,
    server: Vec<u8>,
    /// When the exchange that is on its way began: lifetimes count from then.
    asked: u64,
    tries: u32,
    /// What it may use, and until when by its own count, in milliseconds.
    pub holds: Vec<(Piece, u64)>,
    /// What it was offered.
    offered: Vec<Piece>,
}

pub struct Act6 {
    pub send: Option<Vec<u8>>,
    pub again_in: u64,
}

/// One address or prefix of a reply, with its valid lifetime in seconds.
pub type Given = (Piece, u32);

/// What a reply says, as far as anybody here looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply6 {
    pub kind: u8,
    pub xid: u32,
    pub duid: Vec<u8>,
    pub server: Vec<u8>,
    pub status: u16,
    pub given: Vec<Given>,
    /// Associations that are refused, with their status.
    pub refused: Vec<(u16, u32, u16)>,
}

impl Client6 {
    pub fn new(number: u8, random: &mut Random) -> Client6 {
        let mac = [2, 0, 0, 0, 0, number];
        let named = random.chance(60);
        // some tell their hardware address, by DUID-LL or by their link-local address, and some tell nobody
        let (duid, source) = match random.below(3) {
            0 => ([&[0, 3, 0, 1][..], &mac].concat(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0x1234, 0, 0, number.into())),
            1 => {
                let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x00ff, 0xfe00, number.into());
                ([&[0, 4][..], &[number; 16]].concat(), source)
            }
            _ => ([&[0, 4][..], &[number; 16]].concat(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0x1234, 0, 0, number.into())),
        };
        let ias = match random.below(4) {
            0 => vec![(IA_PD, 2)],
            1 => vec![(IA_NA, 1), (IA_PD, 1)],
            2 => vec![(IA_NA, 1), (IA_NA, 2)],
            _ => vec![(IA_NA, 1)],
        };
        Client6 {
            duid,
            source,
            // some want the same name, and the name of a DHCPv4 client
            name: named.then(|| format!("pc{}", if random.chance(30) { 0 } else { number })),
            ias,
            hint: random.between(52, 64) as u8,
            rapid: random.chance(30),
            stage: Stage6::Off,
            timer: 0,
            xid: 0,
            server: Vec::new(),
            asked: 0,
            tries: 0,
            holds: Vec::new(),
            offered: Vec::new(),
        }
    }

    /// What of its own it may use now, by its own count.
    pub fn uses(&self, now: u64) -> impl Iterator<Item = &Piece> {
        self.holds.iter().filter(move |(_, until)| *until > now).map(|(piece, _)| piece)
    }

    /// Its timer went off.
    pub fn wake(&mut self, now: u64, random: &mut Random) -> Act6 {
        let had = !self.holds.is_empty();
        self.holds.retain(|(_, until)| *until > now);
        if had && self.holds.is_empty() {
            self.stage = Stage6::Off;
        }
        match self.stage {
            Stage6::Off if self.holds.is_empty() || random.chance(30) => {
                // RFC 9915 §18.2.1: whoever solicits has nothing
                self.holds.clear();
                self.begin(SOLICIT, now, random)
            }
            // §18.2.12: after a restart, of addresses it is asked whether they fit; of prefixes as when rebinding
            Stage6::Off if self.holds.iter().any(|(piece, _)| piece.code == IA_PD) => self.begin(REBIND, now, random),
            Stage6::Off => self.begin(CONFIRM, now, random),
            Stage6::Waiting(kind) if self.tries < 3 => {
                self.tries += 1;
                Act6 { send: Some(self.message(kind)), again_in: random.between(1_000, 3_000) }
            }
            Stage6::Waiting(RENEW) => self.begin(REBIND, now, random),
            Stage6::Waiting(kind) => self.give_up(kind, random),
            Stage6::Bound => self.live(now, random),
        }
    }

    fn begin(&mut self, kind: u8, now: u64, random: &mut Random) -> Act6 {
        self.xid = random.below(1 << 24) as u32;
        (self.asked, self.tries, self.stage) = (now, 0, Stage6::Waiting(kind));
        Act6 { send: Some(self.message(kind)), again_in: random.between(1_000, 3_000) }
    }

    /// Nobody answers.
    fn give_up(&mut self, kind: u8, random: &mut Random) -> Act6 {
        self.stage = match kind {
            // §18.2.3, §18.2.5: what it has lasts until its time is over
            CONFIRM | REBIND if !self.holds.is_empty() => Stage6::Bound,
            _ => Stage6::Off,
        };
        Act6 { send: None, again_in: random.between(500, 5_000) }
    }

    /// What a client with leases does.
    fn live(&mut self, now: u64, random: &mut Random) -> Act6 {
        match random.below(100) {
            0..55 => self.begin(RENEW, now, random),
            55..60 => self.begin(REBIND, now, random),
            60..72 => {
                let act = self.begin(RELEASE, now, random);
                // §18.2.7: "MUST stop using all of the leases being released before" it sends
                self.offered = std::mem::take(&mut self.holds).into_iter().map(|(piece, _)| piece).collect();
                act
            }
            72..76 => {
                let addresses = |piece: &&(Piece, u64)| piece.0.code == IA_NA;
                self.offered = self.holds.iter().filter(addresses).map(|(piece, _)| *piece).collect();
                self.holds.clear();
                self.begin(DECLINE, now, random)
            }
            // the plug is pulled: it may come back, and remembers
            76..86 => {
                self.stage = Stage6::Off;
                Act6 { send: None, again_in: random.between(100, 30_000) }
            }
            _ => Act6 { send: None, again_in: random.between(1_000, 30_000) },
        }
    }

    /// A packet came for it; `Some` if it acts on it.
    pub fn receive(&mut self, reply: &Reply6, now: u64, random: &mut Random) -> Option<Act6> {
        let Stage6::Waiting(asked) = self.stage else { return None };
        if reply.xid != self.xid {
            return None;
        }
        match (reply.kind, asked) {
            (ADVERTISE, SOLICIT) if !reply.given.is_empty() => {
                self.server.clone_from(&reply.server);
                self.offered = reply.given.iter().map(|(piece, _)| *piece).collect();
                Some(self.begin(REQUEST, now, random))
            }
            (REPLY, RELEASE | DECLINE) => {
                self.stage = Stage6::Off;
                Some(Act6 { send: None, again_in: random.between(500, 20_000) })
            }
            (REPLY, CONFIRM) => {
                let moved = reply.status == NOT_ON_LINK;
                if moved {
                    self.holds.clear();
                }
                self.stage = if moved { Stage6::Off } else { Stage6::Bound };
                Some(Act6 { send: None, again_in: random.between(100, 20_000) })
            }
            (REPLY, SOLICIT | REQUEST | RENEW | REBIND) => {
                self.server.clone_from(&reply.server);
                self.take(reply);
                self.stage = if self.holds.is_empty() { Stage6::Off } else { Stage6::Bound };
                // §18.2.10.1: what has no binding is requested anew
                if self.stage == Stage6::Bound && asked == RENEW && !reply.refused.is_empty() {
                    self.offered = self.holds.iter().map(|(piece, _)| *piece).collect();
                    return Some(self.begin(REQUEST, now, random));
                }
                Some(Act6 { send: None, again_in: random.between(500, 20_000) })
            }
            _ => None,
        }
    }

    /// §18.2.10.1: lifetimes are extended, what has lifetime 0 is gone, what is not named stays.
    fn take(&mut self, reply: &Reply6) {
        for (piece, valid) in &reply.given {
            self.holds.retain(|(held, _)| held != piece);
            if *valid > 0 {
                self.holds.push((*piece, self.asked + u64::from(*valid) * 1_000));
            }
        }
    }

    fn message(&self, kind: u8) -> Vec<u8> {
        let mut out = vec![kind];
        out.extend(&self.xid.to_be_bytes()[1..]);
        option(&mut out, 1, &self.duid);
        if matches!(kind, REQUEST | RENEW | RELEASE | DECLINE) {
            option(&mut out, 2, &self.server);
        }
        option(&mut out, 8, &[0, 0]);
        if kind == SOLICIT && self.rapid {
            option(&mut out, 14, &[]);
        }
        if let Some(name) = self.name.as_ref().filter(|_| matches!(kind, SOLICIT | REQUEST | RENEW | REBIND)) {
            let wire = [&[1, name.len() as u8][..], name.as_bytes()].concat();
            option(&mut out, 39, &wire);
        }
        let held: Vec<Piece> = match kind {
            REQUEST | RELEASE | DECLINE => self.offered.clone(),
            SOLICIT => Vec::new(),
            _ => self.holds.iter().map(|(piece, _)| *piece).collect(),
        };
        let all = matches!(kind, SOLICIT | REQUEST | RENEW | REBIND);
        for (code, iaid) in &self.ias {
            let mut pieces: Vec<Piece> = held.iter().filter(|p| (p.code, p.iaid) == (*code, *iaid)).copied().collect();
            if kind == CONFIRM && *code == IA_PD || !all && pieces.is_empty() {
                continue;
            }
            if pieces.is_empty() && *code == IA_PD {
                let ip = Ipv6Addr::UNSPECIFIED;
                pieces.push(Piece { code: *code, iaid: *iaid, ip, length: self.hint });
            }
            let mut value = [&iaid.to_be_bytes()[..], &[0; 8]].concat();
            for piece in pieces {
                let (code, body) = match piece.code {
                    IA_NA => (5, [&piece.ip.octets()[..], &[0; 8]].concat()),
                    _ => (26, [&[0; 8][..], &[piece.length], &piece.ip.octets()].concat()),
                };
                option(&mut value, code, &body);
            }
            option(&mut out, *code, &value);
        }
        out
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// Codes and values, in their order.
fn options(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
    let mut out = Vec::new();
    while let [a, b, c, d, tail @ ..] = rest {
        let (value, after) = tail.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        out.push((u16::from_be_bytes([*a, *b]), value));
        rest = after;
    }
    assert!(rest.is_empty(), "an option is cut");
    out
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four octets"))
}

fn status(value: &[u8]) -> u16 {
    u16::from_be_bytes([value[0], value[1]])
}

/// Reads a message of the server: whatever is wrong with it is the server's fault, and ends the test.
pub fn read(bytes: &[u8]) -> Reply6 {
    let (kind, xid) = (bytes[0], number(&[0, bytes[1], bytes[2], bytes[3]]));
    let (duid, server) = (Vec::new(), Vec::new());
    let mut out = Reply6 { kind, xid, duid, server, status: 0, given: Vec::new(), refused: Vec::new() };
    for (code, value) in options(&bytes[4..]) {
        match code {
            1 => out.duid = value.to_vec(),
            2 => out.server = value.to_vec(),
            13 => out.status = status(value),
            IA_NA | IA_PD => association(code, value, &mut out),
            _ => {}
        }
    }
    out
}

fn association(code: u16, value: &[u8], out: &mut Reply6) {
    let iaid = number(value);
    for (inner, value) in options(&value[12..]) {
        let (ip, length, valid): (&[u8], u8, u32) = match inner {
            5 => (&value[..16], 128, number(&value[20..])),
            26 => (&value[9..25], value[8], number(&value[4..])),
            13 if status(value) != 0 => {
                out.refused.push((code, iaid, status(value)));
                continue;
            }
            _ => continue,
        };
        let ip: [u8; 16] = ip.try_into().expect("sixteen octets");
        out.given.push((Piece { code, iaid, ip: ip.into(), length }, valid));
    }
}

//! A DHCP client as RFC 2131 §4.4 describes it, with moods: it renews, releases, declines, reboots, or just
//! goes away. It knows nothing of the server but what packets tell.

use std::net::Ipv4Addr;

use crate::random::Random;

const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Off,
    Selecting,
    Requesting(Ipv4Addr),
    Rebooting(Ipv4Addr),
    Bound,
    Renewing,
}

#[derive(Debug, Clone)]
pub struct Client {
    pub mac: [u8; 6],
    id: Option<Vec<u8>>,
    name: String,
    pub stage: Stage,
    /// Which timer counts; the world sets it.
    pub timer: u64,
    xid: u32,
    server: Ipv4Addr,
    /// When the request that is on its way was first sent: the lease counts from then.
    asked: u64,
    tries: u32,
    /// The address that it may use, and until when by its own count, in milliseconds.
    pub holds: Option<(Ipv4Addr, u64)>,
    /// What it remembers over a reboot.
    remembers: Option<Ipv4Addr>,
}

/// What a client does at one moment: packets, each with whether it is sent to the server alone; and when it
/// wants to be called again.
pub struct Act {
    pub send: Option<(Vec<u8>, bool)>,
    pub again_in: u64,
}

/// What a reply says, as far as anybody here looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub kind: u8,
    pub xid: u32,
    pub mac: [u8; 6],
    pub ip: Ipv4Addr,
    pub server: Ipv4Addr,
    /// Seconds.
    pub lease: u32,
}

pub const OFFER: u8 = 2;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;

impl Client {
    pub fn new(number: u8, random: &mut Random) -> Client {
        let mac = [2, 0, 0, 0, 0, number];
        Client {
            mac,
            id: random.chance(50).then(|| vec![1, 2, 0, 0, 0, 0, number]),
            // some want the same name
            name: format!("pc{}", if random.chance(30) { 0 } else { number }),
            stage: Stage::Off,
            timer: 0,
            xid: 0,
            server: Ipv4Addr::UNSPECIFIED,
            asked: 0,
            tries: 0,
            holds: None,
            remembers: None,
        }
    }

    /// True if it may use the address now, by its own count.
    pub fn uses(&self, ip: Ipv4Addr, now: u64) -> bool {
        self.holds.is_some_and(|(held, until)| held == ip && until > now)
    }

    /// The source address of a packet of its own: ciaddr.
    pub fn source(&self, packet: &[u8]) -> Ipv4Addr {
        Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15])
    }

    /// Its timer went off.
    pub fn wake(&mut self, now: u64, random: &mut Random) -> Act {
        if self.holds.is_some_and(|(_, until)| until <= now) {
            self.holds = None;
            self.stage = Stage::Off;
        }
        match self.stage {
            Stage::Off => self.begin(now, random),
            Stage::Selecting | Stage::Requesting(_) | Stage::Rebooting(_) => self.again(now, random),
            Stage::Renewing if self.tries < 3 => self.again(now, random),
            Stage::Renewing | Stage::Bound => self.live(now, random),
        }
    }

    fn begin(&mut self, now: u64, random: &mut Random) -> Act {
        self.xid = random.below(1 << 32) as u32;
        (self.asked, self.tries) = (now, 0);
        let (stage, send) = match self.remembers.filter(|_| random.chance(50)) {
            Some(ip) => (Stage::Rebooting(ip), self.packet(3, Ipv4Addr::UNSPECIFIED, &[(50, &ip.octets())])),
            None => {
                // RFC 2131 §4.4.1: a client in INIT has no address, whatever it had before it lost power
                self.holds = None;
                (Stage::Selecting, self.packet(1, Ipv4Addr::UNSPECIFIED, &[]))
            }
        };
        self.stage = stage;
        Act { send: Some((send, false)), again_in: random.between(1_000, 3_000) }
    }

    /// The same message again; after some tries from the start.
    fn again(&mut self, now: u64, random: &mut Random) -> Act {
        self.tries += 1;
        if self.tries > 3 {
            self.stage = Stage::Off;
            self.holds = None;
            return Act { send: None, again_in: random.between(500, 5_000) };
        }
        let nowhere = Ipv4Addr::UNSPECIFIED;
        let send = match self.stage {
            Stage::Requesting(ip) => {
                (self.packet(3, nowhere, &[(50, &ip.octets()), (54, &self.server.octets())]), false)
            }
            Stage::Rebooting(ip) => (self.packet(3, nowhere, &[(50, &ip.octets())]), false),
            Stage::Renewing => match self.holds {
                Some((ip, _)) => (self.packet(3, ip, &[]), random.chance(70)),
                None => return self.begin(now, random),
            },
            _ => (self.packet(1, nowhere, &[]), false),
        };
        Act { send: Some(send), again_in: random.between(1_000, 3_000) }
    }

    /// What a client with a lease does.
    fn live(&mut self, now: u64, random: &mut Random) -> Act {
        let Some((ip, until)) = self.holds else { return self.begin(now, random) };
        let left = until.saturating_sub(now);
        self.xid = random.below(1 << 32) as u32;
        (self.asked, self.tries) = (now, 0);
        match random.below(100) {
            0..60 => {
                self.stage = Stage::Renewing;
                Act { send: Some((self.packet(3, ip, &[]), true)), again_in: random.between(1_000, 3_000) }
            }
            60..72 => {
                let release = self.packet(7, ip, &[(54, &self.server.octets())]);
                self.leave(Some(ip));
                Act { send: Some((release, true)), again_in: random.between(1_500, 20_000) }
            }
            72..76 => {
                let nowhere = Ipv4Addr::UNSPECIFIED;
                let decline = self.packet(4, nowhere, &[(50, &ip.octets()), (54, &self.server.octets())]);
                self.leave(None);
                Act { send: Some((decline, false)), again_in: random.between(1_500, 10_000) }
            }
            // the plug is pulled: it may come back, and remembers
            76..86 => {
                self.remembers = Some(ip);
                self.stage = Stage::Off;
                Act { send: None, again_in: random.between(100, 30_000) }
            }
            _ => {
                self.stage = Stage::Bound;
                Act { send: None, again_in: random.between(1_000, left.max(1_001)) }
            }
        }
    }

    fn leave(&mut self, remember: Option<Ipv4Addr>) {
        self.stage = Stage::Off;
        self.holds = None;
        self.remembers = remember;
    }

    /// A packet came for it; `Some` if it acts on it.
    pub fn receive(&mut self, reply: &Reply, now: u64, random: &mut Random) -> Option<Act> {
        if reply.xid != self.xid {
            return None;
        }
        match (reply.kind, self.stage) {
            (OFFER, Stage::Selecting) => {
                (self.stage, self.server, self.asked, self.tries) = (Stage::Requesting(reply.ip), reply.server, now, 0);
                let options: [(u8, &[u8]); 2] = [(50, &reply.ip.octets()), (54, &reply.server.octets())];
                let send = self.packet(3, Ipv4Addr::UNSPECIFIED, &options);
                Some(Act { send: Some((send, false)), again_in: random.between(1_000, 3_000) })
            }
            (ACK, Stage::Requesting(_) | Stage::Rebooting(_) | Stage::Renewing) => {
                // RFC 2131 §4.4.1: the lease counts from the moment when the request was sent
                let until = self.asked + u64::from(reply.lease) * 1_000;
                (self.stage, self.server) = (Stage::Bound, reply.server);
                (self.holds, self.remembers) = (Some((reply.ip, until)), Some(reply.ip));
                Some(Act { send: None, again_in: random.between(500, u64::from(reply.lease) * 700) })
            }
            (NAK, Stage::Requesting(_) | Stage::Rebooting(_) | Stage::Renewing) => {
                self.leave(None);
                Some(Act { send: None, again_in: random.between(100, 2_000) })
            }
            _ => None,
        }
    }

    /// RFC 2131 §2, figure 1.
    fn packet(&self, kind: u8, ciaddr: Ipv4Addr, options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = vec![1, 1, 6, 0];
        out.extend(self.xid.to_be_bytes());
        out.extend([0, 0, 0x80, 0]);
        out.extend(ciaddr.octets());
        out.resize(28, 0);
        out.extend(self.mac);
        out.resize(236, 0);
        out.extend(COOKIE);
        out.extend([53, 1, kind]);
        if let Some(id) = &self.id {
            out.extend([61, id.len() as u8]);
            out.extend(id);
        }
        if kind == 1 || kind == 3 {
            out.extend([12, self.name.len() as u8]);
            out.extend(self.name.as_bytes());
            out.extend([55, 3, 1, 3, 51]);
        }
        for (code, value) in options {
            out.extend([*code, value.len() as u8]);
            out.extend(*value);
        }
        out.push(255);
        out.resize(out.len().max(300), 0);
        out
    }
}

/// Reads a reply; `None` if it is none.
pub fn read(bytes: &[u8]) -> Option<Reply> {
    let four = |at: usize| bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    let mut out = Reply {
        kind: 0,
        xid: u32::from_be_bytes(four(4)?),
        mac: bytes.get(28..34)?.try_into().ok()?,
        ip: four(16)?.into(),
        server: Ipv4Addr::UNSPECIFIED,
        lease: 0,
    };
    let mut rest = bytes.get(240..).filter(|_| bytes[0] == 2 && four(236) == Some(COOKIE))?;
    while let [code, tail @ ..] = rest {
        if *code == 255 {
            break;
        }
        if *code == 0 {
            rest = tail;
            continue;
        }
        let (value, after) = tail.get(1..)?.split_at_checked(usize::from(*tail.first()?))?;
        match (code, value) {
            (53, [kind]) => out.kind = *kind,
            (51, [a, b, c, d]) => out.lease = u32::from_be_bytes([*a, *b, *c, *d]),
            (54, [a, b, c, d]) => out.server = Ipv4Addr::new(*a, *b, *c, *d),
            _ => {}
        }
        rest = after;
    }
    (out.kind != 0).then_some(out)
}

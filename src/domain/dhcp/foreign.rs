//! Other DHCP servers on our links (DH-813): what a question to them looks like, what their answers give away,
//! and who was heard lately. Owns how long one counts as being there; refuses to fight any of them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::review::Finding;
use super::wire::{COOKIE, HEADER, Kind, Packet, code};
use crate::domain::hex;
use crate::domain::net::Mac;
use crate::domain::time::Mono;

/// One that was not heard for so long is gone: four questions of ours.
pub const GONE: Duration = Duration::from_secs(180);
/// One that stays is told again after so long.
const AGAIN: Duration = Duration::from_secs(3600);
/// Servers that are remembered; the one heard longest ago goes first.
const SERVERS: usize = 64;
/// Servers that are told in an hour: who forges many is told as a number by the metric.
const TOLD: u32 = 16;

/// Who it is: an address, or a DUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    V4(Ipv4Addr),
    V6(Vec<u8>),
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Server::V4(ip) => ip.fmt(f),
            Server::V6(duid) => write!(f, "DUID {}", hex::write(duid)),
        }
    }
}

/// One sight of a server that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub server: Server,
    pub interface: Arc<str>,
    /// Of the frame that it answered in; `None` where only its clients spoke of it.
    pub mac: Option<Mac>,
    /// What it offers, or gave.
    pub gives: Option<IpAddr>,
}

/// What a server's answer tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub server: Ipv4Addr,
    pub gives: Option<Ipv4Addr>,
    /// The relay that it answers through.
    pub relay: Option<Ipv4Addr>,
}

/// Reads an OFFER, ACK or NAK that was sent from `source`; `None` for anything else.
pub fn answer(datagram: &[u8], source: Ipv4Addr) -> Option<Answer> {
    let packet = Packet::walk(datagram).ok().filter(|packet| packet.op() == 2)?;
    let kind = Kind::of(*packet.option(code::TYPE)?.first()?)?;
    let given = |ip: Ipv4Addr| Some(ip).filter(|ip| !ip.is_unspecified());
    let server = packet.ip(code::SERVER_ID).and_then(given).or(given(source))?;
    matches!(kind, Kind::Offer | Kind::Ack | Kind::Nak).then(|| Answer {
        server,
        gives: given(packet.yiaddr()),
        relay: given(packet.giaddr()),
    })
}

/// A DISCOVER of our own: whoever answers it is a server. By its hardware address, so that an answer to that
/// reaches us; under an identifier of its own, so that it stands in nobody's way.
pub fn question(own: Mac, xid: u32) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[..3].copy_from_slice(&[1, 1, 6]);
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    // RFC 2131 §4.1: the broadcast bit
    out[10] = 0x80;
    out[28..34].copy_from_slice(&own.0);
    out[HEADER - 4..].copy_from_slice(&COOKIE);
    out.extend([code::TYPE, 1, Kind::Discover.number()]);
    let id = [b"\0lanlord-probe-".as_slice(), &own.0].concat();
    out.extend([code::CLIENT_ID, id.len() as u8]);
    out.extend(id);
    out.extend([code::REQUEST_LIST, 2, 1, 3, 255]);
    out.resize(300, 0);
    out
}

#[derive(Debug, Clone)]
struct Known {
    heard: Heard,
    last: Mono,
    told: Option<Mono>,
}

/// Those that were heard.
#[derive(Debug, Default)]
pub struct Foreign {
    servers: Vec<Known>,
    /// When the hour began, and how many were told in it.
    hour: (Mono, u32),
}

impl Foreign {
    /// Takes in one sight. A sentence if somebody should be told: of a new one, and of one that stays once an
    /// hour.
    pub fn hear(&mut self, heard: Heard, now: Mono) -> Option<String> {
        let same = |known: &Known| known.heard.server == heard.server && known.heard.interface == heard.interface;
        let at = match self.servers.iter().position(same) {
            Some(at) => {
                let known = &mut self.servers[at];
                // who was gone is told anew
                known.told = known.told.filter(|_| now.since(known.last) < GONE);
                known.last = now;
                known.heard.mac = heard.mac.or(known.heard.mac);
                known.heard.gives = heard.gives.or(known.heard.gives);
                at
            }
            None => {
                if self.servers.len() >= SERVERS
                    && let Some(oldest) = (0..self.servers.len()).min_by_key(|at| self.servers[*at].last)
                {
                    self.servers.swap_remove(oldest);
                }
                self.servers.push(Known { heard, last: now, told: None });
                self.servers.len() - 1
            }
        };
        if self.servers[at].told.is_some_and(|told| now.since(told) < AGAIN) || !self.may_tell(now) {
            return None;
        }
        self.servers[at].told = Some(now);
        Some(sentence(&self.servers[at].heard))
    }

    fn may_tell(&mut self, now: Mono) -> bool {
        if now.since(self.hour.0) >= AGAIN {
            self.hour = (now, 0);
        }
        self.hour.1 = self.hour.1.saturating_add(1);
        self.hour.1 <= TOLD
    }

    /// Those that are there now, and do not belong there.
    pub fn findings(&self, belongs: impl Fn(&Server) -> bool, now: Mono) -> Vec<Finding> {
        let here = self.servers.iter().filter(|known| now.since(known.last) < GONE);
        let there = here.filter(|known| !belongs(&known.heard.server));
        there
            .map(|known| {
                let heard = &known.heard;
                let id = format!("foreign-dhcp {} {}", heard.interface, heard.server);
                let key = if matches!(heard.server, Server::V4(_)) { "dhcp4" } else { "dhcp6" };
                let fix = format!(
                    "turn it off, or find the port of the switch that it is at; if it belongs there, name it in \
                     {key}.known_servers"
                );
                Finding { grave: true, ..Finding::new(id, sentence(heard), fix) }
            })
            .collect()
    }
}

fn sentence(heard: &Heard) -> String {
    let Heard { server, interface, mac, gives } = heard;
    let how = match mac {
        Some(mac) => format!(", hardware address {mac}, answers clients on {interface}"),
        None => format!(" is there on {interface}: clients take its offers"),
    };
    let gives = gives.map_or_else(String::new, |ip| format!("; it gives {ip}"));
    format!("another DHCP server, {server}{how}{gives}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(n: u32) -> Heard {
        Heard { server: Server::V4(Ipv4Addr::from(n)), interface: "eth0".into(), mac: None, gives: None }
    }

    #[test]
    fn a_server_is_told_once_an_hour_and_gone_after_three_minutes() {
        let mut foreign = Foreign::default();
        let at = |seconds: u64| Mono(1_000_000 + seconds * 1_000);
        let mac = Some(Mac([2, 0, 0, 0, 0, 9]));
        assert!(foreign.hear(heard(9), at(0)).is_some());
        assert!(foreign.hear(Heard { mac, ..heard(9) }, at(45)).is_none());
        let found = foreign.findings(|_| false, at(200));
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("0.0.0.9, hardware address 02:00:00:00:00:09"), "{}", found[0].text);
        assert!(foreign.findings(|server| *server == heard(9).server, at(200)).is_empty(), "named meanwhile");
        assert!(foreign.findings(|_| false, at(226)).is_empty());
        assert!(foreign.hear(heard(9), at(300)).is_some(), "it came back");
        for seconds in (345..3_900).step_by(45) {
            assert!(foreign.hear(heard(9), at(seconds)).is_none());
        }
        assert!(foreign.hear(heard(9), at(3_910)).is_some(), "an hour later");
    }

    #[test]
    fn a_thousand_forged_servers_are_told_as_a_few() {
        let mut foreign = Foreign::default();
        let told = (1..=1_000).filter_map(|n| foreign.hear(heard(n), Mono(u64::from(n)))).count();
        assert_eq!((told, foreign.servers.len()), (TOLD as usize, SERVERS));
        assert!(foreign.hear(heard(5_000), Mono(3_700_000)).is_some());
    }

    #[test]
    fn answers_of_servers_are_read_and_nothing_else_is() {
        let question = question(Mac([2, 0, 0, 0, 0, 1]), 7);
        let source = Ipv4Addr::new(10, 0, 0, 9);
        assert_eq!(answer(&question, source), None);
        let mut offer = question.clone();
        offer[0] = 2;
        assert_eq!(answer(&offer, source), None, "a DISCOVER is no answer");
        offer[242] = Kind::Offer.number();
        offer[16..20].copy_from_slice(&[10, 0, 0, 50]);
        let gives = Some(Ipv4Addr::new(10, 0, 0, 50));
        assert_eq!(answer(&offer, source), Some(Answer { server: source, gives, relay: None }));
        offer.truncate(243);
        offer.extend([code::SERVER_ID, 4, 10, 0, 0, 8, 255]);
        assert_eq!(answer(&offer, source).map(|a| a.server), Some(Ipv4Addr::new(10, 0, 0, 8)));
        for length in 0..offer.len() {
            answer(&offer[..length], source);
        }
    }
}

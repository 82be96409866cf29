//! RL-9, DH-906: a crowd behind a wire that loses, doubles and reorders, in both directions. What happens to a
//! datagram follows from the seed, its client and its number alone, so that a run repeats up to the machine's timing.
//! `CROWD=1000` for the full size, `SEED=n` for another run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::daemon::{Daemon, config};
use super::dhcp::{ACK, DISCOVER, Message, NAK, OFFER, REQUEST};
use super::space::{Lab, now};
use super::station::{discover, server};
use super::wire::{BROADCAST, Mac, Packet, Wire};

/// Percent of the datagrams that arrive never, twice, late.
const LOST: u64 = 30;
const DOUBLED: u64 = 20;
const LATE: u64 = 25;
/// The longest that a late one takes: others overtake it.
const LATEST: u64 = 700;
/// A client repeats itself after one second, and a bit.
const AGAIN: Duration = Duration::from_millis(1_000);
/// DH-906: all bound within this time, by the clients' own timers: what a busy machine adds is not the server's.
const BOUND: Duration = Duration::from_secs(60);
/// When the test gives up.
const HANGS: Duration = Duration::from_secs(300);
/// MAC of the server in the lab.
const SERVER_MAC: Mac = [2, 0x77, 0, 0, 0, 1];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What a client is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Selecting,
    Requesting,
    Renewing,
    Done,
}

struct Station {
    mac: Mac,
    xid: u32,
    stage: Stage,
    /// What it repeats until it is answered.
    message: Message,
    /// Sent, and received, so far.
    counts: [u64; 2],
    /// How often it has sent what it is waiting with.
    tries: u32,
    /// By its own timers: how long until it was bound.
    waited: Duration,
    ip: Option<Ipv4Addr>,
}

/// What is due at some time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The timer of a client; one that was set for an earlier message does not count.
    Again(usize, Stage, u32),
    Out(usize, Vec<u8>),
    In(usize, Vec<u8>),
}

struct Crowd {
    seed: u64,
    wire: Wire,
    stations: Vec<Station>,
    due: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    made: u64,
    /// Every address that anybody was ever told, with who was: also by what was lost on its way.
    told: BTreeMap<Ipv4Addr, Mac>,
    open: usize,
    /// Datagrams that were lost, doubled, late.
    fates: [u64; 3],
}

/// SplitMix64: one number of many, by what it is for.
fn hash(words: [u64; 4]) -> u64 {
    words.into_iter().fold(0x9e37_79b9_7f4a_7c15, |sum, word| {
        let mut z = (sum ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
}

impl Crowd {
    fn new(seed: u64, wire: Wire, size: usize) -> Crowd {
        let station = |n: usize| {
            let [high, low] = u16::try_from(n).expect("a crowd of some thousands").to_be_bytes();
            let (mac, xid) = ([2, 0x9a, 0, 0, high, low], n as u32 + 1);
            let message = discover(mac, xid);
            let (stage, waited) = (Stage::Selecting, Duration::ZERO);
            Station { mac, xid, stage, message, counts: [0; 2], tries: 0, waited, ip: None }
        };
        let stations = (0..size).map(station).collect();
        let (due, told) = (BinaryHeap::new(), BTreeMap::new());
        Crowd { seed, wire, stations, due, made: 0, told, open: size, fates: [0; 3] }
    }

    fn at(&mut self, when: Instant, due: Due) {
        self.made += 1;
        self.due.push(Reverse((when, self.made, due)));
    }

    /// The delays of the copies of a datagram that arrive.
    fn fate(&mut self, client: usize, incoming: bool) -> Vec<Duration> {
        let way = usize::from(incoming);
        self.stations[client].counts[way] += 1;
        let count = self.stations[client].counts[way];
        let chance = |what: u64| hash([self.seed, (client as u64) << 1 | way as u64, count, what]);
        if chance(0) % 100 < LOST {
            self.fates[0] += 1;
            return Vec::new();
        }
        let copies = 1 + u64::from(chance(1) % 100 < DOUBLED);
        self.fates[1] += copies - 1;
        let late = |copy: u64| match chance(2 + copy) % 100 < LATE {
            true => chance(8 + copy) % LATEST,
            false => 0,
        };
        let delays: Vec<u64> = (0..copies).map(late).collect();
        self.fates[2] += delays.iter().filter(|delay| **delay > 0).count() as u64;
        delays.into_iter().map(Duration::from_millis).collect()
    }

    /// Sends what a client has to say, and sets its timer.
    fn say(&mut self, client: usize) {
        let (bytes, stage) = (self.stations[client].message.to_bytes(), self.stations[client].stage);
        for delay in self.fate(client, false) {
            self.at(now() + delay, Due::Out(client, bytes.clone()));
        }
        let station = &mut self.stations[client];
        station.tries += 1;
        let jitter = hash([self.seed, client as u64, u64::from(station.tries), 99]) % 200;
        let (wait, tries) = (AGAIN + Duration::from_millis(jitter), station.tries);
        if station.ip.is_none() {
            station.waited += wait;
        }
        self.at(now() + wait, Due::Again(client, stage, tries));
    }

    fn enter(&mut self, client: usize, stage: Stage, message: Message) {
        let station = &mut self.stations[client];
        (station.stage, station.message) = (stage, message);
        self.say(client);
    }

    /// Puts a client's datagram on the wire: by broadcast, or to the server alone from a bound address.
    fn send(&mut self, client: usize, payload: Vec<u8>) {
        let from_mac = self.stations[client].mac;
        let ciaddr = Ipv4Addr::new(payload[12], payload[13], payload[14], payload[15]);
        let bound = !ciaddr.is_unspecified();
        let (to_mac, to) = if bound { (SERVER_MAC, server()) } else { (BROADCAST, Ipv4Addr::BROADCAST) };
        self.wire.send(&Packet { from_mac, to_mac, from: (ciaddr, 68), to: (to, 67), payload });
    }

    /// Something came from the server. The laws hold for it whether it reaches its client or not.
    fn hear(&mut self, payload: &[u8]) {
        let Some(m) = Message::parse(payload).filter(|m| m.op == 2) else { return };
        let client = m.xid as usize - 1;
        let station = self.stations.get(client).expect("an answer to one of us");
        assert_eq!(m.chaddr, station.mac, "xid {}", m.xid);
        assert_ne!(m.kind(), NAK, "nothing that is asked here is wrong: {m:?}");
        let owner = *self.told.entry(m.yiaddr).or_insert(m.chaddr);
        assert_eq!(owner, m.chaddr, "{} was promised to two", m.yiaddr);
        let others = self.told.iter().filter(|(ip, mac)| **mac == m.chaddr && **ip != m.yiaddr);
        assert_eq!(others.count(), 0, "a retransmission of {:02x?} got another address: {:?}", m.chaddr, m.yiaddr);
        for delay in self.fate(client, true) {
            self.at(now() + delay, Due::In(client, payload.to_vec()));
        }
    }

    /// A client takes in what has reached it.
    fn take(&mut self, client: usize, payload: &[u8]) {
        let m = Message::parse(payload).expect("it was read before");
        let station = &self.stations[client];
        let (mac, xid) = (station.mac, station.xid);
        match (station.stage, m.kind()) {
            (Stage::Selecting, OFFER) => {
                let request = m.request(&station.message);
                self.enter(client, Stage::Requesting, request);
            }
            (Stage::Requesting, ACK) => {
                self.stations[client].ip = Some(m.yiaddr);
                self.wire.held.insert(m.yiaddr, mac);
                let mut renew = Message::new(REQUEST, xid, mac).with(55, [1, 3, 6, 15, 66]);
                renew.ciaddr = m.yiaddr;
                self.enter(client, Stage::Renewing, renew);
            }
            // the ACK of the REQUEST before may come late, too: it says the same
            (Stage::Renewing, ACK) => {
                assert_eq!(Some(m.yiaddr), self.stations[client].ip);
                self.stations[client].stage = Stage::Done;
                self.open -= 1;
            }
            _ => {}
        }
    }

    /// Until all are bound, and have renewed.
    fn run(&mut self) {
        let limit = now() + HANGS;
        for client in 0..self.stations.len() {
            assert_eq!(self.stations[client].message.kind(), DISCOVER);
            self.say(client);
        }
        while self.open > 0 {
            assert!(now() < limit, "{} of {} hang", self.open, self.stations.len());
            while self.due.peek().is_some_and(|Reverse((when, ..))| *when <= now()) {
                let Some(Reverse((_, _, due))) = self.due.pop() else { break };
                match due {
                    Due::Again(client, stage, tries) => {
                        if (self.stations[client].stage, self.stations[client].tries) == (stage, tries) {
                            self.say(client);
                        }
                    }
                    Due::Out(client, bytes) => self.send(client, bytes),
                    Due::In(client, bytes) => self.take(client, &bytes),
                }
            }
            let next = self.due.peek().map(|Reverse((when, ..))| *when);
            if let Some(packet) = next.filter(|_| self.open > 0).and_then(|next| self.wire.receive(next))
                && (packet.from.1, packet.to.1) == (67, 68)
            {
                self.hear(&packet.payload);
            }
        }
    }
}

/// RL-9: "30 % loss, 20 % duplicates, 25 % reorder: all bound <= 60 s; a retransmission gets the same IP; 0 double
/// allocation".
#[test]
fn a_crowd_is_bound_through_loss_doubling_and_reordering() {
    let (size, seed) = (number("CROWD", 200), number("SEED", 1));
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(3_600));
    let mut crowd = Crowd::new(seed, Wire::open(&lab, "c1"), size as usize);
    let start = now();
    crowd.run();
    let slowest = crowd.stations.iter().map(|s| s.waited).max().expect("a crowd");
    let [lost, doubled, late] = crowd.fates;
    eprintln!(
        "{size} clients in {:?}, the slowest bound in {slowest:?}: {lost} lost, {doubled} doubled, {late} late",
        start.elapsed()
    );
    assert!(slowest <= BOUND, "the slowest took {slowest:?}");
    // 0 double allocation, by what clients hold, by what anybody was ever told and by what the server has
    let held: HashSet<Ipv4Addr> = crowd.stations.iter().filter_map(|s| s.ip).collect();
    assert_eq!(held.len() as u64, size);
    assert_eq!(crowd.told.into_keys().collect::<HashSet<_>>(), held);
    let leased: HashSet<Ipv4Addr> = daemon.leased().iter().map(|ip| ip.parse().expect("an address")).collect();
    assert_eq!(leased, held);
    // the wire was as bad as it was said to be
    assert!(lost > size && doubled > size / 4 && late > size / 2, "{lost} {doubled} {late}");
}

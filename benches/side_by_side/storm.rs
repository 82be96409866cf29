//! The generator of DHCPv4 load, and a responder that does nothing but answer: what the wire and the generator
//! can do at most. Both are this program again, in a namespace and on a core of their own.
//!
//! Clients stand behind a relay, or on the link with the broadcast bit set. An exchange is DISCOVER, OFFER, REQUEST,
//! ACK; or, of clients that have an address, REQUEST and ACK. In the open loop exchanges begin at a rate, whatever
//! comes back; in the closed one a new exchange begins when one has ended. No address may be acknowledged to two.

use anyhow::{Context, Result, bail, ensure};
use lanlord::net::{Inbox, Outbox, Udp};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// An exchange without its ACK by then is lost.
const PATIENCE: Duration = Duration::from_secs(1);
const MAGIC: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    pub relayed: bool,
    /// Clients, one after the other and round again.
    pub clients: u32,
    /// Number of the first one, so that runs need not have clients in common.
    pub first: u32,
    /// Exchanges that begin in a second; closed loop if not given.
    pub rate: Option<f64>,
    /// Exchanges under way at most.
    pub window: usize,
    pub seconds: f64,
    /// Clients that have an address renew it.
    pub renew: bool,
    /// Each client has its turn once: then it is over, whatever is left of the time.
    pub once: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            relayed: true,
            clients: 60_000,
            first: 0,
            rate: None,
            window: 256,
            seconds: 3.0,
            renew: false,
            once: false,
        }
    }
}

impl Plan {
    /// As arguments of this program.
    pub fn arguments(&self) -> Vec<String> {
        let rate = self.rate.map_or("-".into(), |r| r.to_string());
        let (way, kind) = (
            if self.relayed { "relayed" } else { "direct" },
            match (self.renew, self.once) {
                (true, _) => "renew",
                (false, true) => "once",
                (false, false) => "new",
            },
        );
        let numbers = [self.clients.to_string(), self.first.to_string(), rate, self.window.to_string()];
        let mut out = vec!["storm".to_owned(), way.into(), kind.into()];
        out.extend(numbers);
        out.push(self.seconds.to_string());
        out
    }

    fn parse(words: &[String]) -> Result<Plan> {
        let [way, kind, clients, first, rate, window, seconds] = words else { bail!("storm needs seven words") };
        Ok(Plan {
            relayed: way == "relayed",
            renew: kind == "renew",
            once: kind == "once",
            clients: clients.parse()?,
            first: first.parse()?,
            rate: if rate == "-" { None } else { Some(rate.parse()?) },
            window: window.parse()?,
            seconds: seconds.parse()?,
        })
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub begun: f64,
    pub completed: f64,
    /// Of the time in which exchanges began.
    pub per_second: f64,
    pub lost: f64,
    pub duplicates: f64,
    pub offer_p99_ms: f64,
    pub ack_p50_ms: f64,
    pub ack_p99_ms: f64,
}

impl Outcome {
    fn line(&self) -> String {
        let all = [
            self.begun,
            self.completed,
            self.per_second,
            self.lost,
            self.duplicates,
            self.offer_p99_ms,
            self.ack_p50_ms,
            self.ack_p99_ms,
        ];
        all.map(|n| n.to_string()).join(" ")
    }

    /// Reads the last line of a run.
    pub fn parse(text: &str) -> Result<Outcome> {
        let line = text.lines().last().with_context(|| format!("the generator said nothing: {text}"))?;
        let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().context(line.to_owned())?;
        let [begun, completed, per_second, lost, duplicates, offer_p99_ms, ack_p50_ms, ack_p99_ms] = numbers[..] else {
            bail!("the generator said: {line}")
        };
        let out = Outcome { begun, completed, per_second, lost, duplicates, offer_p99_ms, ack_p50_ms, ack_p99_ms };
        ensure!(out.duplicates == 0.0, "an address was acknowledged to two clients: {line}");
        Ok(out)
    }

    /// Exchanges that came to nothing, of those that began.
    pub fn loss(&self) -> f64 {
        if self.begun > 0.0 { self.lost / self.begun } else { 1.0 }
    }
}

/// Runs the generator or the responder if the arguments say so.
pub fn dispatch(arguments: &[String], server: Ipv4Addr, own: Ipv4Addr) -> Option<Result<()>> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match arguments.first().map(String::as_str) {
        Some("storm") => Some((|| {
            let plan = Plan::parse(&arguments[1..])?;
            println!("{}", runtime()?.block_on(Storm::new(plan, server, own)?.run())?.line());
            Ok(())
        })()),
        Some("stub") => Some((|| runtime()?.block_on(respond(server)))()),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Discovering,
    Requesting,
}

#[derive(Clone, Copy)]
struct Client {
    stage: Stage,
    ip: Ipv4Addr,
    /// When its last message left, since the start.
    sent: Duration,
    /// Numbers its exchanges.
    exchange: u32,
}

struct Storm {
    plan: Plan,
    server: Ipv4Addr,
    own: Ipv4Addr,
    clients: Vec<Client>,
    owners: HashMap<Ipv4Addr, u32>,
    waiting: VecDeque<(Duration, u32, u32)>,
    under_way: usize,
    next: u32,
    out: Outbox,
    offers: Vec<Duration>,
    acks: Vec<Duration>,
    outcome: Outcome,
}

impl Storm {
    fn new(plan: Plan, server: Ipv4Addr, own: Ipv4Addr) -> Result<Storm> {
        ensure!(plan.clients > 0, "no clients");
        let idle = Client { stage: Stage::Idle, ip: Ipv4Addr::UNSPECIFIED, sent: Duration::ZERO, exchange: 0 };
        Ok(Storm {
            clients: vec![idle; plan.clients as usize],
            plan,
            server,
            own,
            owners: HashMap::new(),
            waiting: VecDeque::new(),
            under_way: 0,
            next: 0,
            out: Outbox::new(),
            offers: Vec::new(),
            acks: Vec::new(),
            outcome: Outcome::default(),
        })
    }

    async fn run(mut self) -> Result<Outcome> {
        let socket = Udp::dhcp4("eth0", if self.plan.relayed { 67 } else { 68 })?;
        let mut inbox = Inbox::new(64, 1500);
        let (start, load) = (Instant::now(), Duration::from_secs_f64(self.plan.seconds));
        loop {
            let now = start.elapsed();
            if now < load && !self.all_had_their_turn() {
                self.begin(now);
            } else if self.under_way == 0 || now > load + PATIENCE {
                break;
            }
            if !self.out.is_empty() {
                socket.send(&mut self.out).await;
            }
            if let Ok(received) = tokio::time::timeout(Duration::from_millis(1), socket.receive(&mut inbox)).await {
                received?;
                let now = start.elapsed();
                inbox.iter().for_each(|datagram| self.take(datagram.bytes, now));
            }
            self.give_up(start.elapsed());
        }
        Ok(self.conclude())
    }

    fn all_had_their_turn(&self) -> bool {
        self.plan.once && self.outcome.begun >= f64::from(self.plan.clients)
    }

    /// Begins what is due.
    fn begin(&mut self, now: Duration) {
        let due = |storm: &Storm| match storm.plan.rate {
            Some(rate) => storm.outcome.begun < now.as_secs_f64() * rate,
            None => storm.under_way < storm.plan.window,
        };
        // bounded, so that a generator that fell behind still listens
        for _ in 0..64 {
            if !due(self) || self.all_had_their_turn() {
                return;
            }
            let number = self.next;
            self.next = (self.next + 1) % self.plan.clients;
            let client = &mut self.clients[number as usize];
            if client.stage != Stage::Idle {
                return;
            }
            client.exchange += 1;
            client.sent = now;
            let renews = self.plan.renew && !client.ip.is_unspecified();
            client.stage = if renews { Stage::Requesting } else { Stage::Discovering };
            let (exchange, ip) = (client.exchange, client.ip);
            self.waiting.push_back((now + PATIENCE, number, exchange));
            self.under_way += 1;
            self.outcome.begun += 1.0;
            if renews {
                self.send(number, REQUEST, Some(ip), None);
            } else {
                self.send(number, DISCOVER, None, None);
            }
        }
    }

    fn send(&mut self, number: u32, kind: u8, ciaddr: Option<Ipv4Addr>, offer: Option<(Ipv4Addr, [u8; 4])>) {
        let mut bytes = [0u8; 300];
        bytes[..4].copy_from_slice(&[1, 1, 6, u8::from(self.plan.relayed)]);
        bytes[4..8].copy_from_slice(&number.to_be_bytes());
        if self.plan.relayed {
            bytes[24..28].copy_from_slice(&self.own.octets());
        } else {
            bytes[10] = 0x80;
        }
        if let Some(ip) = ciaddr {
            bytes[12..16].copy_from_slice(&ip.octets());
        }
        let id = (self.plan.first + number).to_be_bytes();
        bytes[28..34].copy_from_slice(&[2, 0xbe, id[0], id[1], id[2], id[3]]);
        bytes[236..240].copy_from_slice(&MAGIC);
        let mut at = 240;
        let mut option = |code: u8, value: &[u8]| {
            bytes[at..at + 2].copy_from_slice(&[code, value.len() as u8]);
            bytes[at + 2..at + 2 + value.len()].copy_from_slice(value);
            at += 2 + value.len();
        };
        option(53, &[kind]);
        if let Some((ip, server)) = offer {
            option(50, &ip.octets());
            option(54, &server);
        }
        option(12, format!("pc{}", self.plan.first + number).as_bytes());
        option(55, &[1, 3, 6, 12, 15, 28, 42]);
        bytes[at] = 255;
        let to = if self.plan.relayed { self.server } else { Ipv4Addr::BROADCAST };
        self.out.push(SocketAddr::from((to, 67)), None, 0, &bytes);
    }

    fn take(&mut self, bytes: &[u8], now: Duration) {
        let Some((kind, server)) = reply(bytes) else { return };
        let number = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        let ip = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]);
        match (client.stage, kind) {
            (Stage::Discovering, OFFER) => {
                self.offers.push(now - client.sent);
                (client.stage, client.sent) = (Stage::Requesting, now);
                self.send(number, REQUEST, None, Some((ip, server)));
            }
            (Stage::Requesting, ACK) => {
                self.acks.push(now - client.sent);
                (client.stage, client.ip) = (Stage::Idle, ip);
                self.under_way -= 1;
                self.outcome.completed += 1.0;
                if self.owners.insert(ip, number).is_some_and(|owner| owner != number) {
                    self.outcome.duplicates += 1.0;
                }
            }
            _ => {}
        }
    }

    fn give_up(&mut self, now: Duration) {
        while self.waiting.front().is_some_and(|(deadline, ..)| *deadline <= now) {
            let Some((_, number, exchange)) = self.waiting.pop_front() else { return };
            let client = &mut self.clients[number as usize];
            if client.exchange == exchange && client.stage != Stage::Idle {
                client.stage = Stage::Idle;
                self.under_way -= 1;
                self.outcome.lost += 1.0;
            }
        }
    }

    fn conclude(mut self) -> Outcome {
        self.outcome.lost += self.under_way as f64;
        self.outcome.per_second = self.outcome.completed / self.plan.seconds;
        let quantile = |all: &mut Vec<Duration>, q: f64| {
            all.sort_unstable();
            let at = ((all.len() as f64 * q) as usize).min(all.len().saturating_sub(1));
            all.get(at).map_or(0.0, |d| d.as_secs_f64() * 1e3)
        };
        self.outcome.offer_p99_ms = quantile(&mut self.offers, 0.99);
        self.outcome.ack_p50_ms = quantile(&mut self.acks, 0.5);
        self.outcome.ack_p99_ms = quantile(&mut self.acks, 0.99);
        self.outcome
    }
}

/// Type and server identifier of a reply.
fn reply(bytes: &[u8]) -> Option<(u8, [u8; 4])> {
    if bytes.len() < 244 || bytes[0] != 2 || bytes[236..240] != MAGIC {
        return None;
    }
    let (mut kind, mut server) = (None, [0; 4]);
    let mut rest = &bytes[240..];
    while let [code, len, tail @ ..] = rest {
        let (value, after) = tail.split_at_checked(usize::from(*len))?;
        match code {
            53 => kind = value.first().copied(),
            54 => server = value.try_into().ok()?,
            255 => break,
            _ => {}
        }
        rest = after;
    }
    Some((kind?, server))
}

/// Answers every DISCOVER and REQUEST, and remembers nothing.
async fn respond(own: Ipv4Addr) -> Result<()> {
    let socket = Udp::dhcp4("eth0", 67)?;
    let (mut inbox, mut out) = (Inbox::new(64, 1500), Outbox::new());
    loop {
        socket.receive(&mut inbox).await?;
        for datagram in inbox.iter() {
            let request = datagram.bytes;
            if request.len() < 244 {
                continue;
            }
            let mut bytes = request[..240].to_vec();
            bytes[0] = 2;
            let id = u32::from_be_bytes([request[30], request[31], request[32], request[33]]);
            let ip = Ipv4Addr::from(u32::from(own) + 256 + id % 60_000);
            bytes[16..20].copy_from_slice(&ip.octets());
            let kind = if request[242] == DISCOVER { OFFER } else { ACK };
            bytes.extend([53, 1, kind, 54, 4]);
            bytes.extend(own.octets());
            bytes.extend([51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 0, 0, 255]);
            let relay = Ipv4Addr::new(request[24], request[25], request[26], request[27]);
            let to = if relay.is_unspecified() { (Ipv4Addr::BROADCAST, 68) } else { (relay, 67) };
            out.push(SocketAddr::from(to), None, datagram.ifindex, &bytes);
        }
        socket.send(&mut out).await;
    }
}

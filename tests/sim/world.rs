//! One run: clients, a network that loses, doubles and reorders, a server that is killed again and again,
//! and the laws that it must keep. A life of the server is a runtime of its own, on paused time: a crash
//! drops everything in it at whatever await it stands.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use lanlord::clock::Clock;
use lanlord::domain::dhcp::v4::Arrival;
use lanlord::service::bindings::Bindings;
use lanlord::service::bus::Bus;
use lanlord::service::hosts::Hosts;
use lanlord::service::leasing::{Leasing, Outgoing, Replies, Replies6};
use lanlord::service::naming::Naming;
use lanlord::service::provisioning::Provisioning;
use lanlord::store::Ledger;
use lanlord::store::ledger::WriterEnd;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Told};
use crate::client::{self, Act, Client};
use crate::client6::Client6;
use crate::disk::{Honesty, Media};
use crate::laws::{self, Broken, Durable};
use crate::phones;
use crate::random::Random;
use crate::rules;
use crate::six;
use crate::tally::Tally;
use crate::time::Time;
use crate::writes::Illegal;

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const INTERFACE: &str = "eth1";
pub const NETWORK: &str = "lan";
pub const DOMAIN: &str = "home.arpa";
/// Simulated milliseconds of one run.
const LENGTH: u64 = 4 * 60 * 1_000;

/// What is wrong with the server on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub honesty: Honesty,
    /// Provisioning makes a device of every address that asks for a file.
    pub devices_by_address: bool,
    /// Only clients of DHCPv6, so that it is they who notice.
    pub only6: bool,
    /// Names do not follow what is committed.
    pub names_stand: bool,
    /// Somebody else writes into the journal what no decision may.
    pub writes: Option<Illegal>,
}

/// Everything that outlives a crash.
pub struct World {
    pub random: Random,
    /// Milliseconds since the run began.
    pub now: u64,
    pub media: Media,
    pub clients: Vec<Client>,
    pub clients6: Vec<Client6>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events_made: u64,
    /// One line for each thing that happened, for whoever replays a seed.
    pub trace: Vec<String>,
    pub tally: Tally,
    pub durable: Durable,
    seed: u64,
    pub faults: Faults,
    /// Whether clients, and others, ask for phone files in this run: the plugins take their time to load.
    phones: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A timer of a client; one that was set before its last act does not count.
    Wake {
        client: usize,
        set: u64,
    },
    ToServer {
        bytes: Vec<u8>,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    },
    ToClient {
        client: usize,
        bytes: Vec<u8>,
    },
    Wake6 {
        client: usize,
        set: u64,
    },
    ToServer6 {
        client: usize,
        bytes: Vec<u8>,
    },
    ToClient6 {
        client: usize,
        bytes: Vec<u8>,
    },
    DiskFull(bool),
    /// An entry that no decision may make.
    Write,
    /// Somebody asks for a phone's files.
    Fetch,
    /// A frontend adds or removes a host.
    Submit,
}

/// The services of one life.
pub struct Server {
    pub leasing: Arc<Leasing>,
    pub naming: Naming,
    pub bindings: Arc<Bindings>,
    pub hosts: Hosts,
    bus: Bus,
    told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    pub ledger: Ledger,
    phones: Option<Arc<Provisioning>>,
    pub routes: Arc<six::Table>,
    replies: Replies,
    replies6: Replies6,
    end: WriterEnd,
}

impl Server {
    fn start(world: &World, time: Arc<Time>) -> Server {
        let naming = Naming::open(rules::naming(1), time.wall());
        let bindings = Bindings::new(time.clone());
        // else nobody could prove the MAC of a DHCPv6 lease, and it would identify nobody
        bindings.neighbours().set_segments(vec![(INTERFACE.into(), six::own())]);
        let (leasing, replies) = Leasing::new(rules::policy(world.seed), Arc::new(naming.clone()), time.clone());
        let replies6 = leasing.replies6().expect("nobody else has taken them");
        let (disk, recovered) = world.media.open();
        let (bus, hosts) = bus::service(time.clone(), &leasing, &naming, world.now);
        let mut views = vec![bindings.view(), leasing.view()];
        views.extend((!world.faults.names_stand).then(|| naming.view()));
        let phones = world.phones.then(|| phones::service(bindings.clone(), time.clone(), world.now));
        views.extend(phones.iter().map(|(_, devices)| devices.view()));
        views.extend([hosts.view(), bus.view()]);
        let (ledger, end) = Ledger::start(disk, recovered, views, time);
        let routes = Arc::new(six::Table::of(leasing.prefix_routes()));
        leasing.set_routes(routes.clone());
        leasing.start(ledger.clone(), CancellationToken::new());
        let phones = phones.map(|(phones, devices)| {
            devices.attach(ledger.clone());
            tokio::spawn(phones.clone().follow(ledger.clone(), CancellationToken::new()));
            phones
        });
        bus.start(ledger.clone(), None);
        let told = mpsc::channel(64);
        tokio::spawn(bus::listen(bus.clone(), told.0.clone()));
        Server { leasing, naming, bindings, hosts, bus, told, ledger, phones, routes, replies, replies6, end }
    }
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> World {
        let mut random = Random::new(seed);
        let number = random.between(4, 14) as u8;
        // both families share the number of clients, and hosts have one of each
        let six = if faults.only6 { number } else { random.below(1 + u64::from(number) / 2) as u8 };
        let four = if faults.only6 { 0 } else { number - six };
        let clients = (1..=four).map(|n| Client::new(n, &mut random)).collect::<Vec<_>>();
        let clients6 = (1..=six).map(|n| Client6::new(n, &mut random)).collect::<Vec<_>>();
        let mut world = World {
            media: Media::new(seed, faults.honesty),
            random,
            now: 0,
            clients,
            clients6,
            events: BinaryHeap::new(),
            events_made: 0,
            trace: Vec::new(),
            tally: Tally::default(),
            durable: Durable::default(),
            seed,
            faults,
            phones: seed.is_multiple_of(8),
        };
        for client in 0..usize::from(four) {
            let at = world.random.below(30_000);
            world.wake(client, at);
        }
        for client in 0..usize::from(six) {
            let at = world.random.below(30_000);
            world.set6(client, at);
        }
        for _ in 0..if faults.only6 { 0 } else { world.random.below(25) } {
            let at = world.random.below(LENGTH);
            world.event(at, Event::Submit);
        }
        if faults.writes.is_some() {
            world.event(60_000, Event::Write);
        }
        for _ in 0..if world.phones { 60 } else { 0 } {
            let at = world.random.below(LENGTH);
            world.event(at, Event::Fetch);
        }
        for _ in 0..world.random.below(4) {
            let (at, lasts) = (world.random.below(LENGTH), world.random.between(100, 15_000));
            world.event(at, Event::DiskFull(true));
            world.event(at + lasts, Event::DiskFull(false));
        }
        world
    }

    /// Lives until the end of the run, or until a law is broken.
    pub fn run(&mut self) -> Result<(), Broken> {
        while self.now < LENGTH {
            let until = (self.now + self.random.between(1_000, 90_000)).min(LENGTH);
            self.tally.lives += 1;
            self.note(format!("life {} until {until}", self.tally.lives));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let lived = runtime.block_on(self.live(until));
            drop(runtime);
            lived?;
            self.media.crash();
            self.now += self.random.below(4_000);
        }
        // the last crash may have kept what nobody has looked at yet
        let counts = laws::whole_journal(self)?;
        (self.tally.entries, self.tally.devices) = counts;
        Ok(())
    }

    /// From a start to the moment of a crash.
    async fn live(&mut self, until: u64) -> Result<(), Broken> {
        let time = Arc::new(Time::from(self.now));
        let mut server = Server::start(self, time.clone());
        laws::after_start(self, &server)?;
        loop {
            let next = self.events.peek().map_or(until, |Reverse((at, ..))| *at).min(until);
            let due = time.start + Duration::from_millis(next.saturating_sub(time.base));
            tokio::select! {
                biased;
                reply = server.replies.recv() => {
                    self.now = time.now();
                    if let Some(reply) = reply {
                        self.answered(&server, reply)?;
                    }
                }
                reply = server.replies6.recv() => {
                    self.now = time.now();
                    if let Some(reply) = reply {
                        self.answered6(&server, reply)?;
                    }
                }
                told = server.told.1.recv() => {
                    self.now = time.now();
                    if let Some(told) = told {
                        laws::as_it_is_told(self, &server, &told)?;
                    }
                }
                _ = &mut server.end => {
                    self.now = time.now();
                    self.note("the disk cannot be trusted: the process ends".to_owned());
                    return Ok(());
                }
                () = tokio::time::sleep_until(due) => {
                    self.now = time.now();
                    if self.now >= until {
                        self.note("killed".to_owned());
                        return Ok(());
                    }
                    self.next_event(&server);
                }
            }
        }
    }

    fn next_event(&mut self, server: &Server) {
        let Some(Reverse((at, _, event))) = self.events.pop() else { return };
        match event {
            Event::Wake { client, set } => {
                if self.clients[client].timer == set {
                    let act = self.clients[client].wake(self.now, &mut self.random);
                    self.act(client, act);
                }
            }
            // what arrived while the server was down is lost
            Event::ToServer { .. } if at < self.now.saturating_sub(1) => {}
            Event::ToServer { bytes, source, destination } => {
                let arrival = Arrival { interface: INTERFACE, local: SERVER, source, source_port: 68, destination };
                let received = server.leasing.receive(&arrival, &bytes);
                self.note(format!("server: type {} from {:02x}: {received:?}", bytes[242], bytes[33]));
            }
            Event::ToClient { client, bytes } => {
                let Some(reply) = client::read(&bytes) else { return };
                if let Some(act) = self.clients[client].receive(&reply, self.now, &mut self.random) {
                    self.note(format!("client {:02x}: {:?}", reply.mac[5], self.clients[client].stage));
                    self.act(client, act);
                }
            }
            Event::Wake6 { client, set } => self.wake6(client, set),
            Event::ToServer6 { .. } if at < self.now.saturating_sub(1) => {}
            Event::ToServer6 { client, bytes } => self.serve6(server, client, &bytes),
            Event::ToClient6 { client, bytes } => self.deliver6(client, &bytes),
            Event::Write => self.write(server),
            Event::Fetch => self.fetch(server),
            Event::Submit => {
                let submission = bus::submission(&self.clients, self.events_made, &mut self.random);
                self.note(format!("submitted: {}", submission.txid));
                tokio::spawn(bus::submit(server.bus.clone(), submission, server.told.0.clone()));
            }
            Event::DiskFull(full) => {
                self.note(format!("disk full: {full}"));
                self.tally.full += u64::from(full);
                self.media.full(full);
            }
        }
    }

    /// From a leased address or a free one, as a client or as a phone that does not exist.
    fn fetch(&mut self, server: &Server) {
        let Some(phones) = server.phones.clone() else { return };
        let request = phones::request(&self.clients, &mut self.random);
        self.tally.fetched += 1;
        self.note(format!("{} asks for {}", request.peer, String::from_utf8_lossy(&request.path)));
        if self.faults.devices_by_address {
            let (ledger, device) = (server.ledger.clone(), phones::by_address(&request));
            tokio::spawn(async move { ledger.commit(vec![device]).await });
        }
        tokio::spawn(async move { phones.serve(request).await });
    }

    /// A reply leaves the server: now the laws must hold. Then the network has it.
    fn answered(&mut self, server: &Server, out: Outgoing) -> Result<(), Broken> {
        let reply = client::read(&out.bytes).expect("the server sends replies");
        self.note(format!("server: {} {} to {:02x}", reply.kind, reply.ip, reply.mac[5]));
        match reply.kind {
            client::ACK => self.tally.acks += 1,
            client::NAK => self.tally.naks += 1,
            _ => {}
        }
        laws::as_it_leaves(self, server, &reply)?;
        if let Some(client) = self.clients.iter().position(|c| c.mac == reply.mac) {
            for delay in self.fates() {
                self.event(delay, Event::ToClient { client, bytes: out.bytes.clone() });
            }
        }
        Ok(())
    }

    fn act(&mut self, client: usize, act: Act) {
        if let Some((bytes, unicast)) = act.send {
            let source = self.clients[client].source(&bytes);
            let destination = if unicast { SERVER } else { Ipv4Addr::BROADCAST };
            for delay in self.fates() {
                self.event(delay, Event::ToServer { bytes: bytes.clone(), source, destination });
            }
        }
        self.wake(client, act.again_in);
    }

    /// What the network does to a packet: the delay of each copy that arrives, in milliseconds.
    pub fn fates(&mut self) -> Vec<u64> {
        let copies = match self.random.below(100) {
            0..15 => 0,
            15..25 => 2,
            _ => 1,
        };
        (0..copies).map(|_| if self.random.chance(20) { self.random.between(50, 400) } else { 1 }).collect()
    }

    fn wake(&mut self, client: usize, delay: u64) {
        let set = self.events_made;
        self.clients[client].timer = set;
        self.event(delay, Event::Wake { client, set });
    }

    pub fn event(&mut self, delay: u64, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse((self.now + delay, self.events_made, event)));
    }

    pub fn events_made(&self) -> u64 {
        self.events_made
    }

    pub fn note(&mut self, line: String) {
        self.trace.push(format!("{:>8} {line}", self.now));
    }
}

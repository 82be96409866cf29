//! One run: lives of a server, each ended by a crash, and a calm one at the end in which everything must
//! come to its end.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lanlord::clock::Clock;
use lanlord::domain::claws::access::{Namespaces, Patterns};
use lanlord::domain::claws::message::Submission;
use lanlord::domain::claws::transaction::Role;
use lanlord::domain::claws::xml::Element;
use lanlord::domain::claws::{DNS, HOST, LAN};
use lanlord::domain::dhcp::policy::{Network, Policy, Pool, Subnet, Subnet6};
use lanlord::service::bus::builtin::{AddressModule, NameModule};
use lanlord::service::bus::{Bus, Credential, Module, Parts, Settings};
use lanlord::service::hosts::Hosts;
use lanlord::service::leasing::Leasing;
use lanlord::service::naming::{self, Naming};
use lanlord::store::Ledger;
use tokio_util::sync::CancellationToken;

use crate::disk::{Honesty, Media};
use crate::laws::{Broken, Durable, Stage, broken};
use crate::module;
use crate::random::Random;
use crate::time::Time;

/// Simulated milliseconds until the calm life begins.
const LENGTH: u64 = 30_000;
/// The calm life: longer than any deadline.
const CALM: u64 = 40_000;
const REQUIRED: &str = "required";
const OPTIONAL: &str = "optional";

/// What a run had in it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub lives: u64,
    pub finals: u64,
    pub cancelled: u64,
    pub reopened: u64,
    pub failed: u64,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.lives += other.lives;
        self.finals += other.finals;
        self.cancelled += other.cancelled;
        self.reopened += other.reopened;
        self.failed += other.failed;
    }
}

/// What outlives a crash, beside the disk.
struct Memory {
    random: Random,
    now: u64,
    /// Transactions that somebody was told are accepted.
    accepted: Vec<String>,
    submitted: u32,
    broken: Option<Broken>,
    trace: Vec<String>,
    durable: Durable,
}

impl Memory {
    /// What the disk holds now, for sure.
    fn durable(&mut self, media: &Media) -> Result<&Durable, Broken> {
        media.durable(|entries| self.durable.follow(entries))?;
        Ok(&self.durable)
    }
}

pub struct World {
    memory: Arc<Mutex<Memory>>,
    media: Media,
    lives: u64,
}

/// The services of one life, and those who use them.
pub struct Life {
    pub bus: Bus,
    hosts: Hosts,
    naming: Naming,
    time: Arc<Time>,
    media: Media,
    memory: Arc<Mutex<Memory>>,
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().expect("no holder panics")
}

impl Life {
    pub fn between(&self, low: u64, high: u64) -> u64 {
        lock(&self.memory).random.between(low, high)
    }

    pub fn chance(&self, percent: u64) -> bool {
        lock(&self.memory).random.chance(percent)
    }

    pub fn complain(&self, law: &'static str, what: String) {
        lock(&self.memory).broken.get_or_insert(Broken { law, what });
    }

    fn note(&self, line: String) {
        let line = format!("{:>8} {line}", self.time.now());
        lock(&self.memory).trace.push(line);
    }

    /// What somebody was told is on the disk.
    pub fn must_have(&self, law: &'static str, txid: &str, stages: &[Stage]) {
        let mut memory = lock(&self.memory);
        let found = match memory.durable(&self.media) {
            Ok(durable) if durable.has(txid, stages) => return,
            Ok(durable) => Broken { law, what: format!("{txid} is not {stages:?}: {:?}", durable.stages.get(txid)) },
            Err(broken) => broken,
        };
        memory.broken.get_or_insert(found);
    }

    /// I7, I8 at a start: hosts and names are what the journal says.
    fn check_views(&self) -> Result<(), Broken> {
        let kept: Vec<_> = lock(&self.memory).durable(&self.media)?.hosts.values().cloned().collect();
        let served: Vec<_> = self.hosts.page(None, usize::MAX).iter().map(|host| host.as_ref().clone()).collect();
        if served != kept {
            return broken("I7", format!("the disk says {kept:?}, the view {served:?}"));
        }
        for host in kept {
            let Some(name) = &host.fqdn else { continue };
            let records = self.naming.records(name);
            let addresses = host.interfaces.iter().flat_map(|interface| &interface.addresses);
            for ip in addresses.filter(|ip| matches!(ip, IpAddr::V4(_))) {
                if !records.iter().any(|r| r.rtype == "A" && r.data == ip.to_string()) {
                    return broken("I7", format!("{name} has no A {ip}: {records:?}"));
                }
            }
        }
        Ok(())
    }

    async fn submit(self: Arc<Life>, number: u32, seed: u64, wait: u64) {
        let mut random = Random::new(seed);
        let txid = format!("01890a5d-ac96-774b-bcce-{number:012}");
        let message = Submission {
            txid: txid.clone(),
            source: "web".to_owned(),
            identity: Some("web".to_owned()),
            correlation_id: None,
            deadline_ms: None,
            payload: payload(&mut random),
        };
        let who = self.bus.principal("web", false);
        match self.bus.submit(&who, message, Duration::from_millis(wait)).await {
            Ok(accepted) => {
                self.note(format!("{number}: {} {:?}", accepted.description.state, accepted.description.reason));
                lock(&self.memory).accepted.push(txid.clone());
                let any = [Stage::Accepted, Stage::Final, Stage::Cancelled, Stage::Ended];
                self.must_have("I2", &txid, if accepted.decided { &any[1..] } else { &any });
            }
            Err(fault) => self.note(format!("{number}: {fault}")),
        }
    }
}

/// Few names, MACs and addresses, so that hosts meet.
fn payload(random: &mut Random) -> Element {
    let name = Element::new(HOST, "hostname").text_of(format!("pc{}", random.below(8)));
    if random.chance(25) {
        return Element::new(HOST, "remove-host").child(name);
    }
    let mac =
        Element::new(HOST, "mac-addr").with("name", "e").text_of(format!("02:00:00:00:00:{:02}", random.below(8)));
    let mut payload = Element::new(HOST, "add-host").child(name).child(mac);
    if random.chance(30) {
        let address = Element::new(LAN, "address").with("name", "e");
        payload = payload.child(address.text_of(format!("10.77.0.{}", random.between(50, 59))));
    }
    if random.chance(50) {
        payload = payload.child(Element::new(DNS, "auto-assign-fqdn"));
    }
    payload
}

fn policy() -> Policy {
    let mut subnet = Subnet::new("10.77.0.0/24".parse().expect("a prefix"));
    subnet.pools = vec![Pool::new(Ipv4Addr::new(10, 77, 0, 50), Ipv4Addr::new(10, 77, 0, 57))];
    let network = Network {
        name: "lan".to_owned(),
        interface: Some("eth1".to_owned()),
        domain: "home.arpa".to_owned(),
        subnets: vec![subnet],
        subnets6: vec![Subnet6::new("2001:db8::/64".parse().expect("a prefix"))],
        ..Network::default()
    };
    Policy::new(vec![network])
}

fn settings() -> Settings {
    let named = |name: &str| Credential { name: name.to_owned(), ..Credential::default() };
    let any = Namespaces(vec!["dns".to_owned(), "lan".to_owned()]);
    let module = |name: &str| Credential { append: any.clone(), remove: any.clone(), ..named(name) };
    let mut required = Module::named(REQUIRED);
    required.policy.role = Role::Required;
    required.policy.veto = true;
    Settings {
        credentials: vec![Credential { submit: Patterns::any(), ..named("web") }, module(REQUIRED), module(OPTIONAL)],
        modules: vec![required],
        apply_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

impl World {
    pub fn new(seed: u64, honesty: Honesty) -> World {
        let memory = Memory {
            random: Random::new(seed),
            now: 0,
            accepted: Vec::new(),
            submitted: 0,
            broken: None,
            trace: Vec::new(),
            durable: Durable::default(),
        };
        World { memory: Arc::new(Mutex::new(memory)), media: Media::new(seed, honesty), lives: 0 }
    }

    pub fn trace(&self) -> Vec<String> {
        lock(&self.memory).trace.clone()
    }

    /// Lives until the end of the run, or until a law is broken.
    pub fn run(&mut self) -> Result<Tally, Broken> {
        while lock(&self.memory).now < LENGTH {
            let until = {
                let mut memory = lock(&self.memory);
                memory.now + memory.random.between(500, 20_000)
            };
            self.one_life(until, false)?;
        }
        loop {
            let until = lock(&self.memory).now + CALM;
            if self.one_life(until, true)? {
                break;
            }
        }
        let mut memory = lock(&self.memory);
        let durable = memory.durable(&self.media)?;
        for (txid, stage) in &durable.stages {
            if ![Stage::Cancelled, Stage::Ended].contains(stage) {
                return broken("CL-304", format!("{txid} never ended: {stage:?}"));
            }
        }
        let count = |wanted| durable.stages.values().filter(|stage| **stage == wanted).count() as u64;
        Ok(Tally {
            lives: self.lives,
            finals: count(Stage::Ended),
            cancelled: count(Stage::Cancelled),
            reopened: durable.reopened,
            failed: durable.failed,
        })
    }

    /// True if it lived to its end.
    fn one_life(&mut self, until: u64, calm: bool) -> Result<bool, Broken> {
        self.lives += 1;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let lived = runtime.block_on(self.live(until, calm));
        drop(runtime);
        let whole = lived?;
        if let Some(broken) = lock(&self.memory).broken.clone() {
            return Err(broken);
        }
        let mut memory = lock(&self.memory);
        if !calm || !whole {
            self.media.crash();
            // what was written may be gone, what was synced never: read it all again
            memory.durable = Durable::default();
        }
        memory.durable(&self.media)?;
        // CL-107: what was accepted survives
        if let Some(lost) = memory.accepted.iter().find(|txid| !memory.durable.stages.contains_key(*txid)) {
            return broken("I2", format!("{lost} was accepted and is lost"));
        }
        let down = memory.random.below(4_000);
        memory.now += down;
        Ok(whole)
    }

    async fn live(&self, until: u64, calm: bool) -> Result<bool, Broken> {
        let base = lock(&self.memory).now;
        let time = Arc::new(Time::from(base));
        let naming = Naming::open(naming::Settings::new("home.arpa", 1), time.wall());
        let (leasing, _replies) = Leasing::new(policy(), Arc::new(naming.clone()), time.clone());
        let hosts = Hosts::default();
        let memory = self.memory.clone();
        let parts = Parts {
            clock: time.clone(),
            random: Arc::new(move |bytes: &mut [u8]| {
                let mut memory = lock(&memory);
                bytes.iter_mut().for_each(|byte| *byte = memory.random.below(256) as u8);
            }),
            hosts: hosts.clone(),
            addresses: leasing.clone(),
            enrichers: vec![
                Arc::new(NameModule::new(Vec::new(), "home.arpa", leasing.clone())),
                Arc::new(AddressModule::new(leasing.clone())),
            ],
            ballots: vec![leasing.clone(), Arc::new(naming.clone())],
        };
        let bus = Bus::new(settings(), parts);
        let (disk, recovered) = self.media.open();
        let views = vec![leasing.view(), naming.view(), hosts.view(), bus.view()];
        let (ledger, mut end) = Ledger::start(disk, recovered, views, time.clone());
        drop(leasing.start(ledger.clone(), CancellationToken::new()));
        let (media, memory) = (self.media.clone(), self.memory.clone());
        let life = Arc::new(Life { bus, hosts, naming, time, media, memory });
        life.note(format!("life {} until {until}", self.lives));
        life.check_views()?;
        life.bus.start(ledger, None);
        for name in [REQUIRED, OPTIONAL] {
            tokio::spawn(module::live(life.clone(), name, calm));
        }
        let died = tokio::select! {
            biased;
            _ = &mut end => true,
            () = use_it(life.clone(), until, calm) => false,
        };
        life.note(if died { "the disk cannot be trusted".to_owned() } else { "killed".to_owned() });
        lock(&self.memory).now = life.time.now();
        Ok(!died)
    }
}

/// Submits new and old transactions until the time has come.
async fn use_it(life: Arc<Life>, until: u64, calm: bool) {
    while life.time.now() < until {
        let pause = life.between(1, 1_500).min(until.saturating_sub(life.time.now()).max(1));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if calm {
            continue;
        }
        let number = {
            let mut memory = lock(&life.memory);
            let old = memory.submitted > 0 && memory.random.chance(10);
            if old {
                let submitted = u64::from(memory.submitted);
                memory.random.below(submitted) as u32
            } else {
                memory.submitted += 1;
                memory.submitted - 1
            }
        };
        let wait = life.between(0, 1) * life.between(1, 8_000);
        // the content follows from the number, so an old one is the same again
        tokio::spawn(life.clone().submit(number, u64::from(number) + 77, wait));
        if life.chance(2) {
            let full = life.chance(60);
            life.media.full(full);
        }
    }
}

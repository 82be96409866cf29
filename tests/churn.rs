//! PR-24: phones come, go, move, swap and share addresses for weeks; whoever is asked for a file is never
//! taken for another, and no device appears that is no phone. An oracle knows the sender of each request.
//! The negative control, the seed's retriever by last seen address, must report junk on the same trace.
//!
//! Pure and seeded: `CHURN_SEED`, `CHURN_PHONES` and `CHURN_DAYS` choose another run.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lanlord::clock::Clock;
use lanlord::config::plugins::load;
use lanlord::domain::change::Change;
use lanlord::domain::lease::{Cause, ClientKey, End, Lease};
use lanlord::domain::net::Mac;
use lanlord::domain::phone::plugin::Plugin;
use lanlord::domain::phone::retrieve::Known;
use lanlord::domain::time::{Mono, Wall};
use lanlord::service::bindings::Bindings;
use lanlord::service::devices::Devices;
use lanlord::service::provisioning::{FileReply, FileRequest, Protocol, Provisioning, Settings};
use lanlord::service::secrets::Secrets;
use lanlord::store::Ledger;
use lanlord::store::memory::Memory;

/// xorshift64*: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.roll() >> 16) as usize % n
    }
    fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }
}

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn wall(&self) -> Wall {
        Wall(self.0.load(Ordering::Relaxed))
    }
    fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// How a link gets its addresses.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Own,
    Relay,
    Static,
}

const LINKS: [(&str, Kind); 3] = [("voice", Kind::Own), ("branch", Kind::Relay), ("fixed", Kind::Static)];

struct Family {
    class: Option<&'static str>,
    protocol: Protocol,
    common: &'static str,
    own: fn(Mac) -> String,
    agent: Option<fn(Mac) -> String>,
}

fn upper(mac: Mac) -> String {
    mac.hex().to_ascii_uppercase()
}

fn dashes(mac: Mac) -> String {
    mac.to_string().to_ascii_uppercase().replace(':', "-")
}

const FAMILIES: [Family; 5] = [
    Family {
        class: Some("LINKSYS SPA-3102"),
        protocol: Protocol::Tftp,
        common: "/spa3102.cfg",
        own: |m| format!("/{}.xml", m.hex()),
        agent: None,
    },
    // The same adapter, silent about itself in DHCP.
    Family {
        class: None,
        protocol: Protocol::Tftp,
        common: "/spa3102.cfg",
        own: |m| format!("/{}.xml", m.hex()),
        agent: None,
    },
    Family {
        class: Some("AastraIPPhone6731i"),
        protocol: Protocol::Http,
        common: "/Aastra/aastra.cfg",
        own: |m| format!("/Aastra/{}.cfg", upper(m)),
        agent: Some(|m| format!("Aastra6731i MAC:{} V:3.2.2.1136-SIP", dashes(m))),
    },
    Family {
        class: Some("yealink"),
        protocol: Protocol::Http,
        common: "/y000000000028.cfg",
        own: |m| format!("/{}.cfg", m.hex()),
        agent: Some(|m| format!("Yealink SIP-T46G 28.72.0.1 {m}")),
    },
    Family {
        class: Some("snomD785"),
        protocol: Protocol::Http,
        common: "/snomD785.htm",
        own: |m| format!("/snomD785-{}.htm", upper(m)),
        agent: Some(|m| format!("Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 {} SXM:0 UXM:0)", upper(m))),
    },
];

struct Phone {
    mac: Mac,
    family: usize,
    link: usize,
    /// Its address, while it is switched on.
    at: Option<u16>,
    /// The address that it had, and until when its lease runs although it is off.
    left: Option<(u16, i64)>,
}

/// The seed's retriever: by MAC, else by the address last seen, else a new device.
#[derive(Default)]
struct LastSeen {
    devices: Vec<(Option<Mac>, (usize, u16))>,
    wrong: usize,
}

impl LastSeen {
    fn request(&mut self, at: (usize, u16), says: Option<Mac>, truth: Mac) {
        let by_mac = says.and_then(|mac| self.devices.iter().position(|d| d.0 == Some(mac)));
        match by_mac.or_else(|| self.devices.iter().position(|d| d.1 == at)) {
            Some(i) => {
                self.wrong += usize::from(self.devices[i].0.is_some_and(|mac| mac != truth));
                self.devices[i].1 = at;
                self.devices[i].0 = self.devices[i].0.or(says);
            }
            None => self.devices.push((says, at)),
        }
    }
}

struct World {
    dice: Dice,
    clock: Arc<Hand>,
    disk: Memory,
    bindings: Arc<Bindings>,
    devices: Arc<Devices>,
    service: Arc<Provisioning>,
    ledger: Ledger,
    plugins: Arc<[Plugin]>,
    phones: Vec<Phone>,
    /// Who holds an address of a link: phone, and whether it is on.
    held: [HashMap<u16, usize>; 3],
    pool: u16,
    seen: BTreeSet<Mac>,
    control: LastSeen,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    requests: usize,
    wrong: usize,
    unattributed: usize,
    own_files: usize,
    refused: usize,
    squatters: usize,
    squatters_served_a_secret: usize,
    boots: usize,
    restarts: usize,
    moves: usize,
    swaps: usize,
}

fn service(
    disk: &Memory,
    clock: &Arc<Hand>,
    plugins: &Arc<[Plugin]>,
) -> (Arc<Bindings>, Arc<Devices>, Arc<Provisioning>, Ledger) {
    let bindings = Bindings::new(clock.clone());
    let devices = Devices::new(Default::default(), Default::default(), Arc::new(Secrets::from_key(&[1; 32])));
    let (ledger, _end) =
        Ledger::start(disk.clone(), disk.recovered(), vec![bindings.view(), devices.view()], clock.clone());
    devices.attach(ledger.clone());
    let counter = Arc::new(AtomicI64::new(disk.recovered().head as i64));
    let random = Arc::new(move |out: &mut [u8]| {
        let n = counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        out.iter_mut().zip(n.into_iter().cycle()).for_each(|(o, n)| *o = n);
        out[0] ^= 0x5a;
    });
    let service = Provisioning::new(
        Settings::default(),
        plugins.clone(),
        bindings.clone(),
        devices.clone(),
        clock.clone(),
        random,
    );
    bindings.neighbours().set_segments(vec![
        ("voice0".into(), "10.0.0.0/16".parse().expect("a prefix")),
        ("fixed0".into(), "10.2.0.0/16".parse().expect("a prefix")),
    ]);
    (bindings, devices, service, ledger)
}

fn interface(link: usize) -> &'static str {
    ["voice0", "core0", "fixed0"][link]
}

fn address(link: usize, n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(10, u8::try_from(link).expect("three links"), high, low).into()
}

impl World {
    fn new(seed: u64, phones: usize) -> World {
        let (plugins, problems) = load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plugins")]);
        assert!(problems.is_empty());
        let plugins: Arc<[Plugin]> = plugins.into();
        let (clock, disk) = (Arc::new(Hand::default()), Memory::default());
        let (bindings, devices, service, ledger) = service(&disk, &clock, &plugins);
        let mut dice = Dice(seed.wrapping_mul(2) | 1);
        let phones = (0..phones).map(|n| new_phone(&mut dice, n)).collect::<Vec<_>>();
        // A third of the phones live on each link, half of them at once: few addresses for many.
        let pool = u16::try_from(phones.len() * 11 / 60).expect("fits").max(8);
        World {
            dice,
            clock,
            disk,
            bindings,
            devices,
            service,
            ledger,
            plugins,
            phones,
            held: Default::default(),
            pool,
            seen: BTreeSet::new(),
            control: LastSeen::default(),
            tally: Tally::default(),
        }
    }

    fn now(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    async fn commit(&self, change: Change) {
        self.ledger.commit(vec![change]).await.expect("the disk in memory takes everything");
    }

    /// A free address of the link; the oldest lease of a phone that is off makes room if none is.
    async fn free(&mut self, link: usize) -> Option<u16> {
        let pool = self.pool;
        let start = self.dice.below(usize::from(pool)) as u16;
        let free = (0..pool).map(|i| (start + i) % pool).find(|n| !self.held[link].contains_key(n));
        if let Some(n) = free {
            return Some(n);
        }
        let off = self.held[link].iter().filter(|(_, p)| self.phones[**p].at.is_none()).map(|(n, p)| (*n, *p));
        let (n, phone) = off.min_by_key(|(n, p)| (self.phones[*p].left.map_or(0, |l| l.1), *n))?;
        self.end(link, n, phone, End::Expired).await;
        Some(n)
    }

    async fn end(&mut self, link: usize, n: u16, phone: usize, end: End) {
        self.held[link].remove(&n);
        self.phones[phone].left = None;
        if LINKS[link].1 != Kind::Static {
            let network = LINKS[link].0.to_owned();
            self.commit(Change::LeaseEnded { network, ip: address(link, n), end }).await;
        }
    }

    async fn boot(&mut self, phone: usize) {
        let link = self.phones[phone].link;
        let sticky = self.phones[phone].left.map(|(n, _)| n);
        let n = match sticky {
            Some(n) => n,
            None => match self.free(link).await {
                Some(n) => n,
                None => return,
            },
        };
        self.tally.boots += 1;
        self.held[link].insert(n, phone);
        self.phones[phone].at = Some(n);
        self.phones[phone].left = None;
        let (mac, family) = (self.phones[phone].mac, &FAMILIES[self.phones[phone].family]);
        if LINKS[link].1 != Kind::Static {
            let lease = self.lease(link, n, mac, family.class);
            self.commit(Change::LeaseGranted(Box::new(lease.clone()))).await;
            // The follower runs behind the ACK: sometimes the phone is faster.
            if self.dice.percent(80) {
                self.service.leased(&lease).await;
            }
        }
        if LINKS[link].1 != Kind::Relay {
            self.bindings.neighbours().learn(interface(link), address(link, n), Some(mac));
        }
        if self.dice.percent(60) {
            self.ask(phone, link, n, family.common.to_owned(), None).await;
        }
        for _ in 0..=self.dice.below(2) {
            self.ask(phone, link, n, (family.own)(mac), Some(mac)).await;
        }
    }

    fn lease(&self, link: usize, n: u16, mac: Mac, class: Option<&str>) -> Lease {
        let relay = (LINKS[link].1 == Kind::Relay).then(|| address(link, 65_000));
        let now = self.now();
        Lease {
            ip: address(link, n),
            delegated: None,
            network: LINKS[link].0.to_owned(),
            subnet: ipnet::IpNet::new(address(link, 0), 16).expect("a prefix"),
            client: ClientKey::Hw(1, mac.0.to_vec()),
            mac: Some(mac),
            client_id: None,
            hostname: None,
            fqdn: None,
            vendor_class: class.map(|c| c.as_bytes().to_vec()),
            user_class: None,
            requested: vec![1, 3, 66],
            relay_info: None,
            circuit_id: None,
            remote_id: None,
            relay,
            interface: interface(link).to_owned(),
            began: Wall(now),
            // Renewals are not played: a lease lasts until its end is played.
            expires: Wall::NEVER,
            preferred: None,
            cause: Cause::New,
        }
    }

    fn request(&self, phone: usize, link: usize, n: u16, path: &str) -> FileRequest {
        let family = &FAMILIES[self.phones[phone].family];
        let mac = self.phones[phone].mac;
        FileRequest {
            protocol: family.protocol,
            peer: address(link, n),
            interface: Some(interface(link).into()),
            local: address(link, 65_001),
            path: path.as_bytes().to_vec(),
            query: None,
            user_agent: family.agent.map(|agent| agent(mac).into_bytes()),
        }
    }

    /// One request of a phone that holds its address, and the oracle's judgement.
    async fn ask(&mut self, phone: usize, link: usize, n: u16, path: String, says: Option<Mac>) {
        let mac = self.phones[phone].mac;
        self.clock.0.fetch_add(1, Ordering::Relaxed);
        let reply = self.service.serve(self.request(phone, link, n, &path)).await;
        self.seen.insert(mac);
        let agent_says = FAMILIES[self.phones[phone].family].agent.map(|_| mac);
        self.control.request((link, n), says.or(agent_says), mac);
        self.tally.requests += 1;
        let id = self.devices.by_mac(mac).map(|d| d.id.clone());
        let last = id.and_then(|id| self.service.explain(&id).pop());
        let right = last.is_some_and(|t| t.at == Wall(self.now()) && t.name == path);
        let nobody = self.service.ring().last().is_some_and(|u| u.at == Wall(self.now()));
        self.tally.unattributed += usize::from(nobody);
        self.tally.wrong += usize::from(!right && !nobody);
        match (says.is_some(), &reply) {
            (true, FileReply::File(_)) => self.tally.own_files += 1,
            (false, FileReply::File(_)) => {}
            _ => self.tally.refused += 1,
        }
    }

    /// A client that goes on using an address after its lease ended and another phone got it.
    async fn squat(&mut self, phone: usize) {
        let (link, mac) = (self.phones[phone].link, self.phones[phone].mac);
        if LINKS[link].1 != Kind::Own || self.phones[phone].at.is_some() {
            return;
        }
        let Some((n, holder)) = self.held[link].iter().map(|(n, p)| (*n, *p)).min() else { return };
        let holder_mac = self.phones[holder].mac;
        if holder == phone {
            return;
        }
        self.tally.squatters += 1;
        self.clock.0.fetch_add(1, Ordering::Relaxed);
        let (before, neighbours) = (self.devices.count(), self.bindings.neighbours());
        neighbours.learn(interface(link), address(link, n), Some(mac));
        let own = (FAMILIES[self.phones[phone].family].own)(mac);
        let reply = self.service.serve(self.request(phone, link, n, &own)).await;
        neighbours.learn(interface(link), address(link, n), Some(holder_mac));
        let served = matches!(reply, FileReply::File(_)) || self.devices.count() != before;
        self.tally.squatters_served_a_secret += usize::from(served);
    }

    async fn switch_off(&mut self, phone: usize) {
        let link = self.phones[phone].link;
        let Some(n) = self.phones[phone].at.take() else { return };
        if LINKS[link].1 == Kind::Own {
            self.bindings.neighbours().learn(interface(link), address(link, n), None);
        }
        if self.dice.percent(30) || LINKS[link].1 == Kind::Static {
            self.end(link, n, phone, End::Released).await;
        } else {
            self.phones[phone].left = Some((n, self.now() + 12 * 3_600_000));
        }
    }

    async fn expire(&mut self) {
        let now = self.now();
        for phone in 0..self.phones.len() {
            if let Some((n, until)) = self.phones[phone].left
                && until <= now
            {
                self.end(self.phones[phone].link, n, phone, End::Expired).await;
            }
        }
    }

    /// Away from its link: to another VLAN, or into the bin with a new phone in its place.
    async fn leave(&mut self, phone: usize) {
        self.switch_off(phone).await;
        if let Some((n, _)) = self.phones[phone].left {
            self.end(self.phones[phone].link, n, phone, End::Expired).await;
        }
    }

    fn restart(&mut self) {
        self.tally.restarts += 1;
        let (bindings, devices, service, ledger) = service(&self.disk, &self.clock, &self.plugins);
        for (link, held) in self.held.iter().enumerate().filter(|(link, _)| LINKS[*link].1 != Kind::Relay) {
            for (n, phone) in held.iter().filter(|(_, p)| self.phones[**p].at.is_some()) {
                bindings.neighbours().learn(interface(link), address(link, *n), Some(self.phones[*phone].mac));
            }
        }
        (self.bindings, self.devices, self.service, self.ledger) = (bindings, devices, service, ledger);
    }

    async fn day(&mut self) {
        for _ in 0..self.phones.len() {
            self.clock.0.fetch_add(i64::try_from(86_400_000 / self.phones.len()).expect("a day"), Ordering::Relaxed);
            let phone = self.dice.below(self.phones.len());
            match self.dice.below(100) {
                0..50 => self.switch_off(phone).await,
                50..95 if self.phones[phone].at.is_none() => self.boot(phone).await,
                95 => {
                    self.leave(phone).await;
                    self.phones[phone].link = self.dice.below(3);
                    self.tally.moves += 1;
                }
                96 => {
                    self.leave(phone).await;
                    let serial = self.phones.len() + self.tally.swaps;
                    self.phones[phone] = new_phone(&mut self.dice, serial);
                    self.tally.swaps += 1;
                }
                97 => self.squat(phone).await,
                98 if self.dice.percent(5) => self.restart(),
                _ => {}
            }
        }
        self.expire().await;
    }
}

fn new_phone(dice: &mut Dice, serial: usize) -> Phone {
    let [.., a, b, c] = serial.to_be_bytes();
    let family = dice.below(FAMILIES.len());
    let block = [[0, 0x0e, 0x08], [0, 0x0e, 0x08], [0, 0x08, 0x5d], [0, 0x15, 0x65], [0, 0x04, 0x13]][family];
    Phone { mac: Mac([block[0], block[1], block[2], a, b, c]), family, link: dice.below(3), at: None, left: None }
}

fn chosen(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn weeks_of_churn_leave_one_device_per_phone_and_attribute_nothing_wrongly() {
    let (seed, phones, days) = (chosen("CHURN_SEED", 1), chosen("CHURN_PHONES", 1000), chosen("CHURN_DAYS", 28));
    let mut world = World::new(seed, usize::try_from(phones).expect("fits"));
    for _ in 0..days {
        world.day().await;
    }
    let (tally, devices) = (&world.tally, world.devices.all());
    let shown = format!("seed {seed}: {tally:?}, {} devices of {} phones", devices.len(), world.seen.len());
    assert!(tally.requests > 300 && tally.squatters > 0 && tally.swaps > 0 && tally.moves > 0, "{shown}");
    let macs: BTreeSet<Mac> = devices.iter().filter_map(|d| d.mac).collect();
    assert_eq!(tally.wrong, 0, "{shown}");
    assert_eq!(macs.len(), devices.len(), "a device without MAC, or two with one: {shown}");
    let junk = macs.difference(&world.seen).count();
    assert_eq!(junk, 0, "{shown}");
    assert_eq!(macs, world.seen, "a phone that was seen is no device: {shown}");
    assert!(tally.unattributed * 1000 <= tally.requests, "{shown}");
    assert_eq!(tally.refused, 0, "a phone did not get its own file: {shown}");
    assert_eq!(tally.squatters_served_a_secret, 0, "{shown}");
    // The control: the same trace, retrieved by the address last seen.
    let junk = world.control.devices.iter().filter(|d| d.0.is_none()).count();
    eprintln!("{shown}; by the address last seen: {junk} junk, {} wrong", world.control.wrong);
    assert!(junk > 0 && world.control.wrong > 0, "the trace does not show what it is for: {shown}");
}

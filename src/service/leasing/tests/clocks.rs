//! RL-6, DH-507, DH-508: whatever somebody does to the clock, no lease ends before its client's time and no address
//! has two clients. `CLOCKS=1000000` for the long run, `CLOCK_SEED` for one schedule.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::clock::Sure;
use crate::service::leasing::steps::Steps;

const HOUR: i64 = 3_600_000;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;
/// 2027, after any build of today.
const BEGIN: i64 = 1_800_000_000_000;
const CLIENTS: usize = 5;

/// A machine whose clock may be wrong. All in milliseconds.
#[derive(Default)]
struct Machine {
    truth: AtomicI64,
    error: AtomicI64,
    started: AtomicI64,
    booted: AtomicI64,
    unset: AtomicBool,
}

impl Machine {
    fn truth(&self) -> i64 {
        self.truth.load(Ordering::Relaxed)
    }

    fn error(&self) -> i64 {
        self.error.load(Ordering::Relaxed)
    }

    fn set_error(&self, error: i64) {
        self.error.store(error, Ordering::Relaxed);
    }
}

impl Clock for Machine {
    fn wall(&self) -> Wall {
        Wall(self.truth() + self.error())
    }

    fn mono(&self) -> Mono {
        Mono((self.truth() - self.started.load(Ordering::Relaxed)) as u64)
    }

    fn up(&self) -> Duration {
        Duration::from_millis((self.truth() - self.booted.load(Ordering::Relaxed)) as u64)
    }

    fn synchronised(&self) -> bool {
        !self.unset.load(Ordering::Relaxed)
    }
}

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn among<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// One run of the daemon.
struct Run {
    leasing: Arc<Leasing>,
    replies: Replies,
    ledger: Ledger,
    steps: Steps,
    cancel: CancellationToken,
}

impl Run {
    fn start(disk: &Memory, machine: &Arc<Machine>) -> Run {
        machine.started.store(machine.truth(), Ordering::Relaxed);
        let recovered = disk.recovered();
        let committed = recovered.entries.last().map_or(Wall::LONG_AGO, |entry| entry.at);
        let clock: Arc<dyn Clock> = Arc::new(Sure::new(machine.clone(), committed));
        let mut policy = policy("lan");
        policy.rules.rates.client = crate::domain::dhcp::meters::Rate::of(0);
        let (leasing, replies) = Leasing::new(policy, Arc::new(PlainNames), clock.clone());
        let (ledger, _) = Ledger::start(disk.clone(), recovered, vec![leasing.view()], clock);
        let cancel = CancellationToken::new();
        // as `start` does, but time is looked at when the test says so
        assert!(leasing.ledger.set(ledger.clone()).is_ok());
        leasing.core().book.go_live();
        let queue = leasing.queue.lock().unwrap().take().expect("the first start");
        drop(tokio::spawn(leasing.clone().release(queue, cancel.clone())));
        Run { leasing, replies, ledger, steps: Steps::default(), cancel }
    }

    async fn tick(&mut self) {
        self.leasing.follow_clock(&mut self.steps, &self.ledger, &self.cancel).await;
        while self.leasing.end_what_is_over(&self.ledger).await > 0 {}
    }

    async fn ask(&mut self, datagram: &[u8]) -> Option<(Kind, Ipv4Addr, u32)> {
        let received = self.leasing.receive(&arrival(), datagram);
        if !matches!(received, Received::Answered(_) | Received::Committing) {
            return None;
        }
        let out = tokio::time::timeout(Duration::from_secs(60), self.replies.recv()).await.expect("a reply")?;
        let packet = Packet::walk(&out.bytes).unwrap();
        let kind = Kind::of(packet.option(53).unwrap()[0]).unwrap();
        Some((kind, packet.yiaddr(), packet.u32(code::LEASE_TIME).unwrap_or(0)))
    }
}

/// What a client believes: its address, and until when in truth.
type Belief = Option<(Ipv4Addr, i64)>;

struct Schedule {
    random: Random,
    machine: Arc<Machine>,
    disk: Memory,
    run: Run,
    clients: [Belief; CLIENTS],
    starts: i64,
    xid: u32,
    /// What has happened, for whoever looks at one schedule.
    story: Vec<String>,
}

impl Schedule {
    async fn new(seed: u64) -> Schedule {
        let machine = Arc::new(Machine::default());
        machine.truth.store(BEGIN, Ordering::Relaxed);
        machine.booted.store(BEGIN - TEN_YEARS, Ordering::Relaxed);
        let disk = Memory::default();
        let mut run = Run::start(&disk, &machine);
        run.tick().await;
        Schedule {
            random: Random(seed),
            machine,
            disk,
            run,
            clients: [None; CLIENTS],
            starts: 1,
            xid: 0,
            story: Vec::new(),
        }
    }

    fn active(&self, client: usize) -> Option<Ipv4Addr> {
        self.clients[client].filter(|(_, until)| *until > self.machine.truth()).map(|(ip, _)| ip)
    }

    /// A client that has an address keeps it; one that has none gets one.
    async fn speak(&mut self, client: usize) {
        self.xid += 2;
        let (number, mac) = (self.xid, client as u8 + 1);
        let reply = match self.active(client) {
            Some(ip) => self.run.ask(&message(Kind::Request, mac, number, &[(50, &ip.octets())])).await,
            None => {
                let offer = self.run.ask(&message(Kind::Discover, mac, number, &[])).await;
                let (kind, ip, _) = offer.expect("five clients, ten addresses");
                assert_eq!(kind, Kind::Offer);
                self.run.ask(&select(mac, number + 1, ip)).await
            }
        };
        let (kind, ip, seconds) = reply.expect("an answer");
        assert_eq!(kind, Kind::Ack, "client {client} was refused what it has: {:?}", self.clients[client]);
        let other = (0..CLIENTS).find(|other| *other != client && self.active(*other) == Some(ip));
        assert_eq!(other, None, "{ip} has two clients");
        self.clients[client] = Some((ip, self.machine.truth() + i64::from(seconds) * 1_000));
        self.note(format!("client {client} has {ip} for {seconds} s"));
    }

    fn note(&mut self, what: String) {
        self.story.push(format!("{:>8} s: {what}", (self.machine.truth() - BEGIN) / 1_000));
    }

    async fn pass(&mut self, seconds: u64) {
        let mut left = seconds;
        while left > 0 {
            let some = left.min(100);
            self.machine.truth.fetch_add(some as i64 * 1_000, Ordering::Relaxed);
            self.run.tick().await;
            left -= some;
        }
    }

    async fn set(&mut self, error: i64) {
        self.note(format!("the clock is set to {:+} s", error / 1_000));
        self.machine.set_error(error);
        self.run.tick().await;
    }

    async fn restart(&mut self) {
        let before = self.leased();
        self.run.cancel.cancel();
        self.run.ledger.stop().await;
        self.run = Run::start(&self.disk, &self.machine);
        self.note(format!("a start, the clock shows {:+} s", self.machine.error() / 1_000));
        self.starts += 1;
        assert_eq!(self.leased(), before, "nothing that has ended comes back, and nothing goes");
        self.run.tick().await;
    }

    /// The power is off for a while; the clock that runs on may be lost, or be far ahead until it is set.
    async fn reboot(&mut self) {
        let off = self.random.below(7_200) as i64 * 1_000;
        let truth = self.machine.truth.fetch_add(off, Ordering::Relaxed) + off;
        self.machine.booted.store(truth, Ordering::Relaxed);
        match self.random.below(3) {
            0 => {}
            1 => self.machine.set_error(-truth),
            _ if self.machine.error() != 0 => {}
            _ => {
                self.machine.unset.store(true, Ordering::Relaxed);
                self.machine.set_error(TEN_YEARS);
                self.restart().await;
                for _ in 0..self.random.below(4) {
                    let (client, time) = (self.random.below(CLIENTS as u64) as usize, self.random.below(140));
                    self.pass(time).await;
                    self.speak(client).await;
                }
                self.machine.unset.store(false, Ordering::Relaxed);
                return self.set(0).await;
            }
        }
        self.restart().await;
    }

    async fn step(&mut self) {
        match self.random.below(10) {
            0..=3 => {
                let client = self.random.below(CLIENTS as u64) as usize;
                self.speak(client).await;
            }
            4 | 5 => {
                let time = 1 + self.random.below(1_200);
                self.pass(time).await;
            }
            6 | 7 => {
                let (truth, now) = (self.machine.truth(), self.machine.error());
                let all = [0, HOUR, -HOUR, TEN_YEARS, -truth, 2_208_988_800_000 - truth, now + 3_000, now - 9_000];
                let error = self.random.among(&all);
                self.set(error).await;
            }
            8 => self.restart().await,
            _ => self.reboot().await,
        }
    }

    fn leased(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.run.leasing.leases().iter().map(|lease| lease.ip).collect();
        all.sort();
        all
    }

    /// Nobody who is within its time is without its lease. Ends on disk are kept to ten seconds.
    fn check(&self) {
        let slack = 12_000 * self.starts;
        for (client, belief) in self.clients.iter().enumerate() {
            let Some((ip, until)) = belief.filter(|(_, until)| *until - slack > self.machine.truth()) else { continue };
            let lease = self.run.leasing.lease("lan", ip.into());
            let held =
                lease.is_some_and(|lease| lease.client == ClientKey::Hw(1, vec![2, 0, 0, 0, 0, client as u8 + 1]));
            let early = (until - self.machine.truth()) / 1_000;
            assert!(
                held,
                "client {client} lost {ip} {early} s early:
{}",
                self.story.join(
                    "
"
                )
            );
        }
    }

    /// With a clock that is right all ends at last.
    async fn drain(&mut self) {
        self.set(0).await;
        for _ in 0..150 {
            self.pass(100).await;
            if self.leased().is_empty() {
                return;
            }
        }
        panic!("leases that nobody renews for four hours do not end: {:?}", self.leased());
    }
}

async fn follow(seed: u64) {
    let mut schedule = Schedule::new(seed).await;
    for _ in 0..12 {
        schedule.step().await;
        schedule.check();
    }
    schedule.drain().await;
    schedule.run.cancel.cancel();
    schedule.run.ledger.stop().await;
}

/// RL-6: "clock +1 h, -1 h, +10 y, boot in 1970 then NTP step, 2038: 0 active leases reclaimed, 0 duplicates".
#[test]
fn ten_thousand_clock_schedules_reclaim_no_lease_and_double_no_address() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("CLOCK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CLOCKS").unwrap_or(10_000),
    };
    let halves = [0, 1].map(|odd| {
        let half: Vec<u64> = seeds.clone().filter(|seed| seed % 2 == odd).collect();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            for seed in half {
                let followed = std::panic::AssertUnwindSafe(|| runtime.block_on(follow(seed)));
                if let Err(why) = std::panic::catch_unwind(followed) {
                    eprintln!("the schedule is CLOCK_SEED={seed}");
                    std::panic::resume_unwind(why);
                }
            }
        })
    });
    for half in halves {
        half.join().expect("every schedule holds");
    }
}

/// DH-507: "event `claws:clock-step`".
#[tokio::test]
async fn a_step_is_an_event_and_the_ends_on_disk_follow_it() {
    let mut schedule = Schedule::new(1).await;
    schedule.speak(0).await;
    let declined =
        Change::Quarantined { network: "lan".to_owned(), ip: ip(150).into(), until: Wall(BEGIN + HOUR), mac: None };
    schedule.run.ledger.commit(vec![declined]).await.unwrap();
    schedule.set(TEN_YEARS).await;
    let entries = schedule.disk.recovered().entries;
    let seen =
        |entry: &&Entry| matches!(&entry.change, Change::Seen { what: crate::domain::change::Sight::ClockStep, .. });
    assert_eq!(entries.iter().filter(seen).count(), 1);
    let lease = schedule.run.leasing.leases().pop().unwrap();
    assert_eq!(lease.expires.0, BEGIN + TEN_YEARS + 600_000);
    assert_eq!(schedule.run.leasing.quarantined()[0].2, Wall(BEGIN + TEN_YEARS + HOUR));
    assert!(schedule.run.leasing.findings().iter().all(|finding| finding.id != "clock"));
    schedule.set(-BEGIN).await;
    let told = schedule.run.leasing.findings();
    assert!(told.iter().any(|finding| finding.id == "clock" && finding.text.contains("behind the build")), "{told:?}");
}

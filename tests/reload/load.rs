//! DHCP load from several clients at once, and a book of what was acknowledged. Every answer is judged.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::dhcp::{ACK, DISCOVER, Message, NAK, OFFER, RELEASE, REQUEST};

/// Our address as a relay: clients need no interface of their own then.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Threads, each with clients of its own.
const THREADS: u8 = 3;
/// Clients of a thread.
const CLIENTS: u64 = 60;
/// How long one answer may take, and how often it is asked for.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 10;

/// Which configurations an answer may be of.
#[derive(Default)]
pub struct Generations {
    oldest: AtomicU32,
    newest: AtomicU32,
    seen: AtomicU32,
}

impl Generations {
    /// From now on an answer may be of that one.
    pub fn written(&self, n: u32) {
        self.newest.store(n, Ordering::SeqCst);
    }

    /// From now on no question is answered by an older one.
    pub fn in_force(&self, n: u32) {
        self.oldest.store(n, Ordering::SeqCst);
    }

    /// The newest that an answer was of.
    pub fn seen(&self) -> u32 {
        self.seen.load(Ordering::SeqCst)
    }

    fn judge(&self, oldest: u32, answer: &Message) {
        let [ten, zero, high, low] = answer.ip(6).expect("an answer names the DNS server").octets();
        let n = u32::from(high) * 250 + u32::from(low);
        let newest = self.newest.load(Ordering::SeqCst);
        assert!([ten, zero] == [10, 0] && (oldest..=newest).contains(&n), "an answer of {n}, not {oldest} to {newest}");
        self.seen.fetch_max(n, Ordering::SeqCst);
    }
}

/// What the daemon said was done.
#[derive(Default)]
pub struct Book {
    pub leases: BTreeMap<[u8; 6], Ipv4Addr>,
    /// ACKs.
    pub exchanges: usize,
    /// Questions that were asked more than once.
    pub again: usize,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    exchanges: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Book>>,
}

impl Load {
    pub fn start(daemon: &Daemon, generations: &Arc<Generations>) -> Load {
        let (stop, exchanges) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let thread = |number| {
            let socket = UdpSocket::bind((RELAY, 0)).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("set");
            socket.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, daemon.port)).expect("connected");
            let station = Station { socket, generations: generations.clone(), again: 0 };
            let (stop, exchanges) = (stop.clone(), exchanges.clone());
            std::thread::spawn(move || station.work(number, &stop, &exchanges))
        };
        let threads = (0..THREADS).map(thread).collect();
        Load { stop, exchanges, threads }
    }

    /// ACKs so far. Fails with the thread that failed.
    pub fn exchanges(&self) -> usize {
        assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a thread has found something wrong");
        self.exchanges.load(Ordering::SeqCst)
    }

    pub fn stop(self) -> Book {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Book::default();
        for thread in self.threads {
            let book = thread.join().expect("no panic");
            for (mac, ip) in book.leases {
                let other = all.leases.iter().find(|(_, held)| **held == ip);
                assert!(other.is_none(), "{ip} belongs to {mac:?} and to {other:?}");
                all.leases.insert(mac, ip);
            }
            (all.exchanges, all.again) = (all.exchanges + book.exchanges, all.again + book.again);
        }
        all
    }
}

/// A relay with clients behind it.
struct Station {
    socket: UdpSocket,
    generations: Arc<Generations>,
    again: usize,
}

impl Station {
    fn work(mut self, number: u8, stop: &AtomicBool, exchanges: &AtomicUsize) -> Book {
        let mut book = Book::default();
        let mut random = u64::from(number) + 1;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        while !stop.load(Ordering::SeqCst) {
            let (mac, xid) = ([2, 0x9a, 0, 0, number, below(CLIENTS) as u8], below(1 << 31) as u32);
            match book.leases.get(&mac).copied() {
                Some(ip) if below(20) == 0 => {
                    let mut release = message(RELEASE, mac, xid).with(54, Ipv4Addr::LOCALHOST.octets());
                    release.ciaddr = ip;
                    self.socket.send(&release.to_bytes()).expect("sent");
                    book.leases.remove(&mac);
                    continue;
                }
                Some(ip) => {
                    // a lease in force is never refused, and stays where it is: nothing takes its address away
                    let mut renewal = message(REQUEST, mac, xid);
                    match below(2) {
                        0 => renewal.ciaddr = ip,
                        _ => renewal = renewal.with(50, ip.octets()),
                    }
                    let ack = self.ask(&renewal, &[ACK, NAK]);
                    assert_eq!((ack.kind(), ack.yiaddr), (ACK, ip), "{mac:?} renews");
                }
                None => {
                    let discover = message(DISCOVER, mac, xid);
                    let offer = self.ask(&discover, &[OFFER]);
                    // whatever was loaded in between, the offer stands
                    let ack = self.ask(&offer.request(&discover), &[ACK, NAK]);
                    assert_eq!((ack.kind(), ack.yiaddr), (ACK, offer.yiaddr), "{mac:?} takes its offer");
                    book.leases.insert(mac, ack.yiaddr);
                }
            }
            book.exchanges += 1;
            exchanges.fetch_add(1, Ordering::SeqCst);
        }
        book.again = self.again;
        book
    }

    /// Sends until an answer to exactly this comes.
    fn ask(&mut self, question: &Message, kinds: &[u8]) -> Message {
        let oldest = self.generations.oldest.load(Ordering::SeqCst);
        for again in 0..TRIES {
            self.again += usize::from(again > 0);
            self.socket.send(&question.to_bytes()).expect("sent");
            let mut bytes = [0; 1500];
            while let Ok(n) = self.socket.recv(&mut bytes) {
                let answer = Message::parse(&bytes[..n]).filter(|m| m.xid == question.xid && kinds.contains(&m.kind()));
                if let Some(answer) = answer {
                    if answer.kind() != NAK {
                        self.generations.judge(oldest, &answer);
                    }
                    return answer;
                }
            }
        }
        panic!("no answer to {question:?}");
    }
}

fn message(kind: u8, mac: [u8; 6], xid: u32) -> Message {
    // RFC 8357: answers come to the port that we ask from
    let mut message = Message::new(kind, xid, mac).with(55, [1, 3, 6]).with(82, [19, 0]);
    (message.giaddr, message.hops) = (RELAY, 1);
    message
}

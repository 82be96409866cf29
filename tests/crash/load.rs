//! Load on the daemon, and a book of what it acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lanlord::clock::{Clock as _, System};
use lanlord::domain::time::Wall;

use crate::Random;
use crate::daemon::{Daemon, PATIENCE, request};
use crate::dhcp::{ACK, DISCOVER, Message, NAK, OFFER, RELEASE, REQUEST};

/// Our address as a relay: clients need no interface of their own then.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Clients that take turns.
const CLIENTS: u64 = 150;

/// Between two rounds of edits.
const EDIT: Duration = Duration::from_millis(5);

/// What the daemon said was done.
#[derive(Default)]
pub struct Acknowledged {
    /// By hardware address: the address and until when, counted from when it was asked for.
    pub leases: BTreeMap<[u8; 6], (Ipv4Addr, Wall)>,
    pub edits: Edits,
    /// ACKs so far.
    pub exchanges: usize,
}

/// What was answered over HTTP.
#[derive(Default)]
pub struct Edits {
    /// Names of tokens.
    pub tokens: BTreeSet<String>,
    /// Hardware addresses of devices.
    pub devices: BTreeSet<String>,
    /// Hosts whose final event was told, with its txid.
    pub hosts: BTreeMap<String, String>,
}

/// Threads that ask for things until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// ACKs and rounds of edits since the start.
    acks: Arc<AtomicU64>,
    rounds: Arc<AtomicU64>,
    leases: JoinHandle<Acknowledged>,
    api: JoinHandle<Edits>,
}

impl Load {
    pub fn start(daemon: &Daemon, mut so_far: Acknowledged, round: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let socket = UdpSocket::bind((RELAY, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        socket.connect(daemon.dhcp).expect("connected");
        let edits = std::mem::take(&mut so_far.edits);
        let (one, two) = (stop.clone(), stop.clone());
        let (acks, rounds) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (acked, edited) = (acks.clone(), rounds.clone());
        let api = daemon.state().join("api.sock");
        Load {
            stop,
            acks,
            rounds,
            leases: std::thread::spawn(move || exchange(&socket, so_far, round, &one, &acked)),
            api: std::thread::spawn(move || edit(&api, edits, round, &two, &edited)),
        }
    }

    /// Waits until so much was acknowledged since the start, however long a busy machine takes for it.
    pub fn wait(&self, acks: u64, rounds: u64) {
        let mut waited = Duration::ZERO;
        while self.acks.load(Ordering::SeqCst) < acks || self.rounds.load(Ordering::SeqCst) < rounds {
            assert!(waited < PATIENCE, "no {acks} ACKs and {rounds} rounds of edits after {waited:?}");
            // a thread that failed acknowledges no more: `stop` tells why
            if self.leases.is_finished() || self.api.is_finished() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
            waited += Duration::from_millis(1);
        }
    }

    /// Ends the threads and returns the book.
    pub fn stop(self) -> Acknowledged {
        self.stop.store(true, Ordering::SeqCst);
        let mut out = self.leases.join().expect("no panic");
        out.edits = self.api.join().expect("no panic");
        out
    }
}

fn edit(api: &Path, mut edits: Edits, round: u64, stop: &AtomicBool, done: &AtomicU64) -> Edits {
    let post = |path: &str, kind: &str, body: &str, status: &str| {
        request(api, "POST", path, kind, body).is_some_and(|answer| answer.starts_with(&format!("HTTP/1.1 {status}")))
    };
    for n in (0..).take_while(|_| !stop.load(Ordering::SeqCst)) {
        // the number of tokens is limited
        let token = format!("token-{round}-{n}");
        let body = format!(r#"{{"name":"{token}","scopes":["lease:read"]}}"#);
        if n < 20 && post("/api/v1/tokens", "application/json", &body, "201") {
            edits.tokens.insert(token);
        }
        let mac = mac(0x97, round, n);
        let body = format!(r#"{{"mac":"{mac}","description":"a phone"}}"#);
        if post("/api/v1/devices", "application/json", &body, "201") {
            edits.devices.insert(mac);
        }
        let (host, txid) = (format!("host-{round}-{n}"), format!("{round:06x}-0000-0000-{n:012x}"));
        if post("/claws/v1/messages", "application/xml", &add_host(&host, &txid, round, n), "200") {
            edits.hosts.insert(host, txid);
        }
        done.fetch_add(1, Ordering::SeqCst);
        // on a quiet machine a thousand hosts a second would use the pool up, and clients would be left without
        std::thread::sleep(EDIT);
    }
    edits
}

fn mac(kind: u8, round: u64, n: u64) -> String {
    format!("02:{kind:02x}:{:02x}:{:02x}:{:02x}:{:02x}", round >> 8 & 0xff, round & 0xff, n >> 8 & 0xff, n & 0xff)
}

/// `host:add-host` as a frontend sends it.
fn add_host(name: &str, txid: &str, round: u64, n: u64) -> String {
    let mac = mac(0x98, round, n);
    format!(
        "<claws:event xmlns:claws=\"urn:openclaws:ns:claws:1\" xmlns:host=\"urn:openclaws:ns:host:1\" \
         xmlns:dns=\"urn:openclaws:ns:dns:1\" txid=\"{txid}\">\
         <claws:source>crash test</claws:source><claws:identity>root</claws:identity>\
         <host:add-host><host:hostname>{name}</host:hostname>\
         <host:mac-addr name=\"ethernet\">{mac}</host:mac-addr><dns:auto-assign-fqdn/>\
         </host:add-host></claws:event>"
    )
}

fn message(kind: u8, mac: [u8; 6], xid: u32) -> Message {
    // RFC 8357: answers come to the port that we ask from
    let mut message = Message::new(kind, xid, mac).with(82, [19, 0]);
    (message.giaddr, message.hops) = (RELAY, 1);
    message
}

/// Sends, and waits for the answer to exactly this, five seconds on a busy machine; `None` if none comes.
fn ask(socket: &UdpSocket, question: &Message, kinds: &[u8], stop: &AtomicBool) -> Option<Message> {
    socket.send(&question.to_bytes()).ok()?;
    let mut bytes = [0; 1500];
    for _ in 0..50 {
        let n = match socket.recv(&mut bytes) {
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock && !stop.load(Ordering::SeqCst) => continue,
            Err(_) => return None,
        };
        let answer = Message::parse(&bytes[..n]).filter(|m| m.xid == question.xid && kinds.contains(&m.kind()));
        if answer.is_some() {
            return answer;
        }
    }
    None
}

fn exchange(
    socket: &UdpSocket,
    mut book: Acknowledged,
    round: u64,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Acknowledged {
    let mut random = Random(round + 1);
    while !stop.load(Ordering::SeqCst) {
        let mac = [2, 0x99, 0, 0, 0, random.below(CLIENTS) as u8];
        let xid = random.below(1 << 32) as u32;
        let held = book.leases.get(&mac).copied();
        let asked = System.wall();
        let answer = match held {
            Some((ip, _)) if random.below(10) == 0 => {
                let mut release = message(RELEASE, mac, xid);
                release.ciaddr = ip;
                // done or not when the daemon dies: nothing was promised either way
                book.leases.remove(&mac);
                let _ = socket.send(&release.with(54, SERVER.octets()).to_bytes());
                continue;
            }
            Some((ip, _)) => ask(socket, &message(REQUEST, mac, xid).with(50, ip.octets()), &[ACK, NAK], stop),
            None => {
                let discover = message(DISCOVER, mac, xid).with(12, format!("pc-{}", mac[5]));
                ask(socket, &discover, &[OFFER], stop)
                    .and_then(|offer| ask(socket, &offer.request(&discover), &[ACK, NAK], stop))
            }
        };
        let Some(answer) = answer else { continue };
        if answer.kind() == NAK {
            // only a lease that we released ourselves, and that went, may be refused
            assert!(held.is_none_or(|(_, until)| until <= asked), "a lease in force was refused: {held:?}");
            book.leases.remove(&mac);
            continue;
        }
        let lease = answer.u32(51).expect("an ACK has a lease time");
        let until = asked.plus(Duration::from_secs(u64::from(lease)));
        let other =
            book.leases.iter().find(|(other, (ip, end))| **other != mac && *ip == answer.yiaddr && *end > asked);
        assert!(other.is_none(), "{} was given to {mac:?} and is held by {other:?}", answer.yiaddr);
        book.leases.insert(mac, (answer.yiaddr, until));
        book.exchanges += 1;
        done.fetch_add(1, Ordering::SeqCst);
    }
    book
}

/// What the daemon calls itself towards these clients.
pub const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;

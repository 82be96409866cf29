//! Names of others, asked of configured upstreams for those who may. Equal questions in flight are one;
//! answers are kept; a dead upstream never slows local names.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::cache::Cache;
use super::counters::Counters;
use crate::domain::dns::lookup::rcode;
use crate::domain::dns::message::{self, NotOurs, Resolved};
use crate::domain::dns::query::UDP_SIZE;
use crate::domain::dns::respond::Foreign;

/// Questions that may wait, all together and of one client (limits table).
const WAITING: usize = 1_000;
const WAITING_EACH: usize = 100;
/// Time for all upstreams together, and for one try.
pub(super) const TOTAL: Duration = Duration::from_secs(5);
const TRY: Duration = Duration::from_millis(1_500);
/// Tries over the list of upstreams.
const ROUNDS: usize = 2;

type Flight = Arc<OnceCell<Option<Arc<Resolved>>>>;

/// Asks upstreams.
pub struct Forwarder {
    upstreams: Vec<SocketAddr>,
    counters: Arc<Counters>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Foreign, Flight>>,
    waiting: Arc<Semaphore>,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place in the queue; given back when it is dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = lock(&self.clients);
        if let Some(n) = clients.get_mut(&self.ip) {
            *n -= 1;
            if *n == 0 {
                clients.remove(&self.ip);
            }
        }
    }
}

/// Nothing behind these locks is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("no answer in time")]
    Timeout,
    #[error("the answer came with the letters in another case")]
    Case,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the answer is {0}")]
    Bogus(#[from] NotOurs),
}

impl Forwarder {
    pub fn new(upstreams: Vec<SocketAddr>, counters: Arc<Counters>) -> Forwarder {
        Forwarder {
            upstreams,
            counters,
            cache: Mutex::default(),
            flights: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING)),
            clients: Arc::default(),
        }
    }

    /// False without upstreams: then nobody is offered recursion.
    pub fn is_configured(&self) -> bool {
        !self.upstreams.is_empty()
    }

    /// A place for one more question of that client; `None` if it, or everybody, has too many waiting.
    pub fn place(&self, ip: IpAddr) -> Option<Place> {
        let permit = self.waiting.clone().try_acquire_owned().ok()?;
        let mut clients = lock(&self.clients);
        let n = clients.entry(ip).or_default();
        if *n >= WAITING_EACH {
            return None;
        }
        *n += 1;
        drop(clients);
        Some(Place { _permit: permit, clients: self.clients.clone(), ip })
    }

    /// What upstreams say, from the cache if it is there; `None` if none could be asked.
    pub async fn resolve(&self, key: Foreign) -> Option<Arc<Resolved>> {
        if let Some(kept) = lock(&self.cache).get(&key, Instant::now()) {
            Counters::bump(&self.counters.cache_hits);
            return Some(kept);
        }
        let flight = lock(&self.flights).entry(key.clone()).or_default().clone();
        let resolved = timeout(TOTAL, flight.get_or_init(|| self.fetch(&key))).await.ok().cloned().flatten();
        // whoever comes later asks the cache, or anew
        let mut flights = lock(&self.flights);
        if flights.get(&key).is_some_and(|f| Arc::ptr_eq(f, &flight)) {
            flights.remove(&key);
        }
        resolved
    }

    async fn fetch(&self, key: &Foreign) -> Option<Arc<Resolved>> {
        Counters::bump(&self.counters.forwarded);
        let deadline = Instant::now() + TOTAL;
        let mut last = None;
        for upstream in self.upstreams.iter().cycle().take(self.upstreams.len() * ROUNDS) {
            let until = deadline.min(Instant::now() + TRY);
            match self.ask(*upstream, key, until).await {
                Ok(resolved) if matches!(resolved.rcode, rcode::NOERROR | rcode::NXDOMAIN) => {
                    let resolved = Arc::new(resolved);
                    lock(&self.cache).put(key.clone(), resolved.clone(), Instant::now());
                    return Some(resolved);
                }
                Ok(failed) => last = Some(failed.rcode),
                Err(error) => tracing::debug!(%upstream, %error, "an upstream failed"),
            }
            Counters::bump(&self.counters.upstream_failed);
            if Instant::now() >= deadline {
                break;
            }
        }
        // an upstream's REFUSED or FORMERR is about us, not about the client
        let rcode = if last == Some(rcode::YXDOMAIN) { rcode::YXDOMAIN } else { rcode::SERVFAIL };
        let failure = Arc::new(Resolved { rcode, ..Resolved::default() });
        lock(&self.cache).put(key.clone(), failure.clone(), Instant::now());
        Some(failure)
    }

    /// UDP, then TCP if the answer was cut or its letters came back in another case.
    async fn ask(&self, upstream: SocketAddr, key: &Foreign, until: Instant) -> Result<Resolved, TryError> {
        let asked = question(key);
        match self.ask_udp(upstream, &asked, until).await {
            Ok(resolved) if !resolved.truncated => Ok(resolved),
            Ok(_) | Err(TryError::Case) => self.ask_tcp(upstream, &asked, until).await,
            Err(error) => Err(error),
        }
    }

    /// A socket of its own for each question: the port is random too. Whatever is not the answer is counted,
    /// and the wait goes on.
    async fn ask_udp(&self, upstream: SocketAddr, asked: &[u8], until: Instant) -> Result<Resolved, TryError> {
        let any: IpAddr = if upstream.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(upstream).await?;
        socket.send(asked).await?;
        let mut buffer = [0; UDP_SIZE * 4];
        loop {
            let len = timeout_at(until, socket.recv(&mut buffer)).await.map_err(|_| TryError::Timeout)??;
            match message::read(asked, &buffer[..len], false) {
                Ok(resolved) => return Ok(resolved),
                Err(NotOurs::Question) if message::read(asked, &buffer[..len], true).is_ok() => {
                    return Err(TryError::Case);
                }
                Err(_) => Counters::bump(&self.counters.upstream_bogus),
            }
        }
    }

    async fn ask_tcp(&self, upstream: SocketAddr, asked: &[u8], until: Instant) -> Result<Resolved, TryError> {
        let exchange = async {
            let mut stream = TcpStream::connect(upstream).await?;
            let length = u16::try_from(asked.len()).unwrap_or(u16::MAX).to_be_bytes();
            stream.write_all(&[&length, asked].concat()).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout_at(until, exchange).await.map_err(|_| TryError::Timeout)??;
        Ok(message::read(asked, &answer, true)?)
    }
}

/// Random id, letters in random case (0x20).
fn question(key: &Foreign) -> Vec<u8> {
    let mut noise = [0u8; 2 + 32];
    // without entropy the id would be guessable, but the port still is not
    let _ = SystemRandom::new().fill(&mut noise);
    let [a, b, bits @ ..] = noise;
    let mut name = key.name.to_vec();
    for (i, byte) in name.iter_mut().enumerate() {
        if bits[i / 8 % bits.len()] >> (i % 8) & 1 == 1 {
            byte.make_ascii_uppercase();
        }
    }
    message::ask(u16::from_be_bytes([a, b]), &name, key.qtype, key.dnssec, key.checking_disabled)
}

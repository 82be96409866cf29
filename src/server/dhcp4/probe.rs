//! Asks links whether an address is in use (DH-505): by ARP where we are on the link, else by ICMP echo.
//! One task and one socket per link, there only while questions come: a quiet server listens to no ARP.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::net::Mac;
use crate::net::{Arp, Echo, LinkWatch};
use crate::service::leasing::{Probe, Question, Sighting};

/// How long a station on the link, and one behind a relay, may take to answer.
const ON_LINK: Duration = Duration::from_millis(100);
const BEHIND_RELAY: Duration = Duration::from_millis(300);
/// Questions that may wait for a link, and be under way on it.
const QUESTIONS: usize = 256;
/// Packets that are looked at when a wait is over, before nobody is said to be there.
const BACKLOG: usize = 256;
/// A link that nothing is asked of for so long is listened to no more.
const IDLE: Duration = Duration::from_secs(30);

/// One question, and where its answer goes.
struct Ask {
    ip: Ipv4Addr,
    answer: oneshot::Sender<Sighting>,
}

/// The links that are being asked, by interface; `None` is whatever the routing table leads to.
pub(super) struct Prober {
    links: LinkWatch,
    cancel: CancellationToken,
    asked: Mutex<HashMap<Option<String>, mpsc::Sender<Ask>>>,
}

impl Prober {
    pub fn new(links: LinkWatch, cancel: CancellationToken) -> Prober {
        Prober { links, cancel, asked: Mutex::default() }
    }

    /// The way to a link's task, which is started if there is none. At most one per interface and one more.
    fn link(&self, interface: Option<&String>) -> Option<mpsc::Sender<Ask>> {
        let mut asked = self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        asked.retain(|_, link| !link.is_closed());
        if let Some(link) = asked.get(&interface.cloned()) {
            return Some(link.clone());
        }
        let (link, questions) = mpsc::channel(QUESTIONS);
        let cancel = self.cancel.clone();
        match interface {
            Some(name) => {
                let mac = self.links.links().by_name(name)?.mac?;
                let arp = Arp::open(name, mac).inspect_err(|why| tracing::debug!(%why, "no ARP probes")).ok()?;
                tokio::spawn(cancel.run_until_cancelled_owned(listen(arp, ON_LINK, questions)));
            }
            None => {
                let ident = std::process::id() as u16;
                let echo = Echo::open(ident).inspect_err(|why| tracing::debug!(%why, "no ICMP probes")).ok()?;
                tokio::spawn(cancel.run_until_cancelled_owned(listen(echo, BEHIND_RELAY, questions)));
            }
        }
        asked.insert(interface.cloned(), link.clone());
        Some(link)
    }
}

#[async_trait]
impl Probe for Prober {
    async fn probe(&self, question: &Question) -> Sighting {
        let Some(link) = self.link(question.interface.as_ref()) else { return Sighting::Unable };
        let (answer, heard) = oneshot::channel();
        if link.send(Ask { ip: question.ip, answer }).await.is_err() {
            return Sighting::Unable;
        }
        heard.await.unwrap_or(Sighting::Unable)
    }
}

/// A way of asking.
trait Ear: Send + Sync {
    fn drain(&self);
    fn ask(&self, ip: Ipv4Addr) -> impl Future<Output = io::Result<()>> + Send;
    fn heard(&self) -> impl Future<Output = io::Result<(Ipv4Addr, Option<Mac>)>> + Send;
}

impl Ear for Arp {
    fn drain(&self) {
        Arp::drain(self);
    }
    async fn ask(&self, ip: Ipv4Addr) -> io::Result<()> {
        Arp::ask(self, ip).await
    }
    async fn heard(&self) -> io::Result<(Ipv4Addr, Option<Mac>)> {
        Arp::heard(self).await.map(|(ip, mac)| (ip, Some(mac)))
    }
}

impl Ear for Echo {
    fn drain(&self) {
        Echo::drain(self);
    }
    async fn ask(&self, ip: Ipv4Addr) -> io::Result<()> {
        Echo::ask(self, ip).await
    }
    async fn heard(&self) -> io::Result<(Ipv4Addr, Option<Mac>)> {
        Echo::heard(self).await.map(|ip| (ip, None))
    }
}

/// Asks and listens until nobody asks any more or the link is gone; then what waits is not answered, which
/// counts as unable.
async fn listen<E: Ear>(ear: E, patience: Duration, mut questions: mpsc::Receiver<Ask>) {
    let mut waiting: VecDeque<(Instant, Ask)> = VecDeque::new();
    loop {
        let due = waiting.front().map_or_else(|| Instant::now() + IDLE, |(due, _)| *due);
        tokio::select! {
            question = questions.recv(), if waiting.len() < QUESTIONS => {
                let Some(ask) = question else { return };
                if waiting.is_empty() {
                    ear.drain();
                }
                match ear.ask(ask.ip).await {
                    Ok(()) => waiting.push_back((Instant::now() + patience, ask)),
                    // no route, no carrier: this one cannot be asked
                    Err(_) => tell(ask, Sighting::Unable),
                }
            }
            heard = ear.heard(), if !waiting.is_empty() => {
                let Ok(heard) = heard else { return };
                note(&mut waiting, heard);
            }
            () = tokio::time::sleep_until(due) => {
                if waiting.is_empty() {
                    return;
                }
                // on a busy machine the answer and the end of the wait come in one moment: what has been said counts
                for _ in 0..BACKLOG {
                    match ear.heard().now_or_never() {
                        Some(Ok(heard)) => note(&mut waiting, heard),
                        Some(Err(_)) => return,
                        None => break,
                    }
                }
                let now = Instant::now();
                while let Some((_, ask)) = waiting.pop_front_if(|(due, _)| *due <= now) {
                    tell(ask, Sighting::Nobody);
                }
            }
        }
    }
}

/// Tells whoever asked about this address that somebody is there.
fn note(waiting: &mut VecDeque<(Instant, Ask)>, (ip, mac): (Ipv4Addr, Option<Mac>)) {
    let (answered, others): (VecDeque<_>, _) = waiting.drain(..).partition(|(_, ask)| ask.ip == ip);
    *waiting = others;
    answered.into_iter().for_each(|(_, ask)| tell(ask, Sighting::Somebody(mac)));
}

/// Whoever asked may be gone: then there is nobody to tell.
fn tell(ask: Ask, sighting: Sighting) {
    let _ = ask.answer.send(sighting);
}

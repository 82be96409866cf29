//! One interface: hears solicitations and other routers, speaks when the schedule says so.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv6Net;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Foreign, Radv, Served};
use crate::domain::ra::{self, FINALS, Heard, Prefix, Schedule, delay};
use crate::domain::time::Mono;
use crate::metrics;
use crate::net::icmp6::ALL_NODES;
use crate::net::{Datagram, Icmp6, Inbox, Link, NetError, Place, Presence};

/// Answers to single hosts that may wait; more are answered by one to all.
const WAITING: usize = 64;
/// Foreign routers that are remembered, and for how long each is not told again.
const FOREIGN: usize = 16;
const AGAIN: Duration = Duration::from_secs(3600);
/// Between two of the last words.
const PAUSE: Duration = Duration::from_millis(50);
/// RFC 4862 §5.5.3 e: hosts keep a prefix for two hours whatever they are told, so it is deprecated that long.
const DEPRECATED: Duration = Duration::from_secs(7200);
/// Prefixes on their way out that are remembered.
const LEAVING: usize = 8;
/// Resolvers that are named if they are our own addresses.
const OWN_DNS: usize = 3;

pub(super) struct Speaker {
    pub shell: Radv,
    pub told: watch::Receiver<Served>,
    pub cancel: CancellationToken,
}

/// What a speaker knows from one serving to the next.
#[derive(Default)]
struct Memory {
    foreign: VecDeque<(Ipv6Addr, Mono)>,
    leaving: VecDeque<(Prefix, Mono)>,
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The interface by index and the address that we speak from.
type Key = (u32, Ipv6Addr);

impl Speaker {
    pub async fn run(self) {
        let interface = self.told.borrow().interface.clone();
        let place = Place { links: &self.shell.links, interface: &interface, cancel: &self.cancel };
        let memory = Mutex::new(Memory::default());
        let note = |presence| (self.shell.ears.state)(&interface, Some(presence));
        place.attend(ready, note, |key| self.serve(&interface, key, &memory)).await;
    }

    async fn serve(&self, interface: &str, (index, from): Key, memory: &Mutex<Memory>) -> Result<(), NetError> {
        let socket = Icmp6::router(interface, index, &[ra::SOLICITATION, ra::ADVERTISEMENT])?;
        (self.shell.ears.state)(interface, Some(Presence::Serving));
        let mut told = self.told.clone();
        let mut session = Session {
            speaker: self,
            interface,
            served: told.borrow_and_update().clone(),
            from,
            index,
            socket,
            schedule: Schedule::begin(self.now(), self.random()),
            waiting: Vec::new(),
        };
        let mut inbox = Inbox::new(16, 1500);
        loop {
            let wait = session.due().since(self.now());
            tokio::select! {
                () = self.cancel.cancelled() => return session.take_leave().await,
                received = session.socket.receive(&mut inbox) => {
                    received.map_err(NetError::receiving(interface))?;
                    inbox.iter().for_each(|d| session.hear(&d, &mut lock(memory)));
                }
                () = tokio::time::sleep(wait) => session.speak(&mut lock(memory)),
                Ok(()) = told.changed() => {
                    let new = told.borrow_and_update().clone();
                    session.change(new, &mut lock(memory));
                }
            }
        }
    }

    fn now(&self) -> Mono {
        self.shell.clock.mono()
    }

    fn random(&self) -> u64 {
        let mut octets = [0; 8];
        (self.shell.random)(&mut octets);
        u64::from_le_bytes(octets)
    }
}

fn ready(link: &Link) -> Result<Key, &'static str> {
    if !link.up {
        return Err("the link to come up");
    }
    link.link_local().map(|ip| (link.index, ip)).ok_or("an IPv6 link-local address of the interface")
}

/// One serving of an interface.
struct Session<'a> {
    speaker: &'a Speaker,
    interface: &'a str,
    served: Served,
    from: Ipv6Addr,
    index: u32,
    socket: Icmp6,
    schedule: Schedule,
    /// Hosts that wait for an answer of their own.
    waiting: Vec<(Mono, Ipv6Addr)>,
}

impl Session<'_> {
    fn due(&self) -> Mono {
        self.waiting.iter().map(|(due, _)| *due).fold(self.schedule.due(), Mono::min)
    }

    fn hear(&mut self, datagram: &Datagram<'_>, memory: &mut Memory) {
        let IpAddr::V6(from) = datagram.source.ip() else { return };
        let own = self.speaker.shell.links.links();
        if own.by_index(self.index).is_some_and(|link| link.ipv6().any(|ip| ip == from)) {
            return;
        }
        match ra::read(datagram.bytes, from, datagram.hops) {
            Err(why) => {
                metrics::count("lanlord_ra_refused_total", &[("reason", &format!("{why:?}").to_ascii_lowercase())]);
            }
            Ok(Heard::Solicitation { from }) => self.answer(from),
            Ok(Heard::Advertisement { from, lifetime, managed, other, prefixes }) => {
                metrics::count("lanlord_rogue_ra_seen_total", &[("iface", self.interface)]);
                let interface = self.interface.to_owned();
                self.report(Foreign { interface, from, lifetime, managed, other, prefixes }, memory);
            }
        }
    }

    /// RFC 7772 §5.1: a host with an address gets an answer of its own, which wakes nobody else.
    fn answer(&mut self, host: Option<Ipv6Addr>) {
        metrics::count("lanlord_ra_solicitations_total", &[("iface", self.interface)]);
        let (now, random) = (self.speaker.now(), self.speaker.random());
        match host {
            Some(host) if self.waiting.iter().any(|(_, waits)| *waits == host) => {}
            Some(host) if self.waiting.len() < WAITING => self.waiting.push((now.plus(delay(random)), host)),
            _ => self.schedule.solicited(now, random),
        }
    }

    fn report(&self, foreign: Foreign, memory: &mut Memory) {
        if self.served.known.contains(&foreign.from) {
            return;
        }
        let now = self.speaker.now();
        memory.foreign.retain(|(_, at)| now.since(*at) < AGAIN);
        if memory.foreign.len() < FOREIGN && !memory.foreign.iter().any(|(from, _)| *from == foreign.from) {
            memory.foreign.push_back((foreign.from, now));
            (self.speaker.shell.ears.foreign)(foreign);
        }
    }

    /// Sends what is due.
    fn speak(&mut self, memory: &mut Memory) {
        let now = self.speaker.now();
        let message = self.message(false, Some(memory));
        let (due, later): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|(due, _)| *due <= now);
        self.waiting = later;
        if self.schedule.due() <= now {
            self.send(ALL_NODES, &message);
            self.schedule.sent(&self.served.said, now, self.speaker.random());
        } else {
            due.iter().for_each(|(_, host)| self.send(*host, &message));
        }
    }

    fn send(&self, to: Ipv6Addr, message: &[u8]) {
        let sent = self.socket.send(self.from, to, message);
        metrics::counter("lanlord_ra_sent_total", &[("iface", self.interface)])
            .fetch_add(sent.sent as u64, std::sync::atomic::Ordering::Relaxed);
        if let Some(error) = sent.last_error {
            tracing::debug!(interface = self.interface, %to, %error, "a router advertisement could not be sent");
        }
    }

    fn message(&self, ending: bool, memory: Option<&mut Memory>) -> Vec<u8> {
        let links = self.speaker.shell.links.links();
        let link = links.by_index(self.index);
        let mut said = self.served.said.clone();
        if self.served.own_dns && said.dns.is_empty() {
            let own = link.into_iter().flat_map(|link| link.ipv6());
            said.dns = own.filter(|ip| !ip.is_unicast_link_local()).take(OWN_DNS).collect();
        }
        if let Some(memory) = memory {
            let now = self.speaker.now();
            memory.leaving.retain(|(_, until)| *until > now);
            let left = |until: &Mono| u32::try_from(until.since(now).as_secs()).unwrap_or(0);
            said.prefixes.extend(memory.leaving.iter().map(|(p, until)| Prefix {
                valid: left(until),
                preferred: 0,
                ..*p
            }));
        }
        ra::encode(&said, link.and_then(|link| link.mac), ending)
    }

    /// Other settings: hosts hear of them soon; a prefix that is not there any more is deprecated.
    fn change(&mut self, new: Served, memory: &mut Memory) {
        let now = self.speaker.now();
        let stays = |net: Ipv6Net| new.said.prefixes.iter().any(|p| p.net == net);
        memory.leaving.retain(|(p, _)| !stays(p.net));
        for prefix in self.served.said.prefixes.iter().filter(|p| !stays(p.net)) {
            // RFC 9096 §3.5: not for longer than it was promised
            let valid = Duration::from_secs(prefix.valid.into()).min(DEPRECATED);
            memory.leaving.push_back((*prefix, now.plus(valid)));
        }
        while memory.leaving.len() > LEAVING {
            memory.leaving.pop_front();
        }
        self.served = new;
        self.schedule.changed(self.speaker.now(), self.speaker.random());
    }

    /// RFC 4861 §6.2.5: hosts look for another router at once.
    async fn take_leave(&self) -> Result<(), NetError> {
        let message = self.message(true, None);
        for n in 0..FINALS {
            if n > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            self.send(ALL_NODES, &message);
        }
        Ok(())
    }
}

//! A link in text: policy, clients, clock and a journal in memory around the real decisions.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::change::Change;
use lanlord::domain::dhcp::book::{Book, Effect, Hold};
use lanlord::domain::dhcp::policy::Policy;
use lanlord::domain::dhcp::v6::book::{Book6, Effect6};
use lanlord::domain::dhcp::v6::wire::{Packet, encode};
use lanlord::domain::dhcp::v6::{Arrival6, Decision6, Facts6, Outcome6, Request6, decide};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::time::{Mono, Now, Wall};

mod config;
mod wire;
#[path = "../dhcp/words.rs"]
#[allow(dead_code)] // shared with the runner of DHCPv4, which uses other words
mod words;

use wire::{compare, datagram, equal, kind};
use words::{Step, Words};

/// Names without collisions: scenarios of names belong to the naming service.
struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

/// Our DUID in all scenarios.
pub const SERVER: [u8; 6] = [0, 4, 9, 9, 9, 9];

pub struct World {
    policy: Policy,
    book: Book6,
    /// Reservations and declines.
    shared: Book,
    journal: Vec<(Wall, Change)>,
    elapsed: Duration,
    commits_fail: bool,
    /// What came back for the last request, until it is looked at.
    answer: Option<Answer>,
    /// Changes of the last request.
    written: usize,
    xid: u32,
    /// `$NAME` and what it stands for, an address or a prefix.
    names: HashMap<String, String>,
}

impl Default for World {
    fn default() -> World {
        let mut policy = Policy::default();
        policy.rules6.server_id = SERVER.to_vec();
        policy.rules6.secret = [7; 32];
        World {
            policy,
            book: Book6::default(),
            shared: Book::default(),
            journal: Vec::new(),
            elapsed: Duration::ZERO,
            commits_fail: false,
            answer: None,
            written: 0,
            xid: 0,
            names: HashMap::new(),
        }
    }
}

struct Answer {
    bytes: Vec<u8>,
    to: Option<SocketAddrV6>,
    silence: String,
}

impl World {
    pub fn line(&mut self, line: &str) -> Step {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = if head == "<" { rest.to_owned() } else { self.filled(rest) };
        let words = Words(rest.split_whitespace().collect());
        match head {
            ">" => {
                if let Some(reply) = self.unexpected().next() {
                    return Err(reply);
                }
                self.send(&words)
            }
            "<" => self.expect(&words),
            "@" => self.wait(&rest),
            "!" => self.check(&words),
            _ => self.configure(head, &rest, &words),
        }
    }

    /// The text with every known `$NAME` replaced.
    fn filled(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name.as_str(), value))
    }

    /// A reply that no line looked at.
    pub fn unexpected(&self) -> impl Iterator<Item = String> + '_ {
        let reply = self.answer.as_ref().filter(|answer| answer.to.is_some());
        reply.map(|answer| format!("nobody expected {}", kind(&answer.bytes))).into_iter()
    }

    fn now(&self) -> Now {
        Now { wall: Wall(1_700_000_000_000).plus(self.elapsed), mono: Mono(0).plus(self.elapsed) }
    }

    fn configure(&mut self, head: &str, rest: &str, words: &Words<'_>) -> Step {
        if head == "own" {
            self.book.set_own(words.0.iter().map(|ip| ip.parse().expect("an address")).collect());
            return Ok(());
        }
        self.policy = config::line(&self.policy, head, rest, words)?;
        let policy = Arc::new(self.policy.clone());
        self.book = std::mem::take(&mut self.book).under(policy.clone());
        self.shared = self.shared.under(policy);
        Ok(())
    }

    fn send(&mut self, words: &Words<'_>) -> Step {
        if !words.has("again") {
            self.xid += 1;
        }
        let datagram = datagram(words, self.xid)?;
        let source: Ipv6Addr = words.value("src").unwrap_or("fe80::99").parse().expect("an address");
        let destination: Ipv6Addr = words.value("dst").unwrap_or("ff02::1:2").parse().expect("an address");
        let arrival = Arrival6 {
            interface: words.value("iface").unwrap_or("eth0"),
            index: 2,
            source,
            source_port: words.value("sport").map_or(546, |port| port.parse().unwrap()),
            destination,
            multicast: destination.is_multicast(),
        };
        self.written = 0;
        self.book.sweep(self.now().mono);
        let neighbour = words.value("neighbour").map(words::mac);
        let (policy, now) = (self.policy.clone(), self.now());
        let packet = match Packet::walk(&datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.answer = Some(Answer { bytes: Vec::new(), to: None, silence: why.label().to_owned() });
                return Ok(());
            }
        };
        let request = Request6::read(packet, arrival, neighbour);
        let (book, shared) = (self.book.clone(), self.shared.clone());
        let facts = Facts6 { book: &book, shared: &shared, names: &PlainNames };
        let decision = decide(&request, &facts, &policy, now);
        self.answer = Some(self.carry_out(&request, decision));
        Ok(())
    }

    /// Commit before answer; a failed commit is silence (DH-213).
    fn carry_out(&mut self, request: &Request6<'_>, decision: Decision6<'_>) -> Answer {
        let now = self.now();
        for effect in decision.effects {
            match effect {
                Effect6::Offer { network, client, items, until } => self.book.offer(network, &client, &items, until),
                Effect6::Forget { network, client } => self.book.forget_offers(network, &client),
                Effect6::CountDecline { client } => self.shared.affect(Effect::CountDecline { client }, now.mono),
            }
        }
        let ticket = self.book.begin(&decision.changes);
        let failed = self.commits_fail && !decision.changes.is_empty();
        if !failed {
            self.written = decision.changes.len();
            decision.changes.into_iter().for_each(|change| self.commit(change));
        }
        self.book.settle(ticket);
        let silent = |why: &str| Answer { bytes: Vec::new(), to: None, silence: why.to_owned() };
        match decision.outcome {
            Outcome6::Silent(why) => silent(why.label()),
            Outcome6::Send(..) if failed => silent("commit-failed"),
            Outcome6::Send(reply, to) => {
                let mut bytes = Vec::new();
                encode(&reply, &request.relays, &mut bytes);
                Answer { bytes, to: Some(to), silence: String::new() }
            }
        }
    }

    fn commit(&mut self, change: Change) {
        let now = self.now();
        self.book.apply(&change, now.wall, now);
        self.shared.apply(&change, now.wall, now);
        self.journal.push((now.wall, change));
    }

    fn expect(&mut self, words: &Words<'_>) -> Step {
        let answer = self.answer.take().ok_or("nothing was asked")?;
        if let Some(n) = words.value("writes") {
            equal("changes written", n.to_owned(), self.written.to_string())?;
        }
        let wanted = words.0.first().copied().unwrap_or_default();
        if wanted == "SILENT" {
            if answer.to.is_some() {
                return Err(format!("got {}", kind(&answer.bytes)));
            }
            let why = words.0.get(1).filter(|w| !w.contains('='));
            return why.map_or(Ok(()), |why| equal("reason", (*why).to_owned(), answer.silence));
        }
        let Some(to) = answer.to else { return Err(format!("silence: {}", answer.silence)) };
        let bytes = wire::as_request(&answer.bytes);
        let packet = Packet::walk(&bytes).map_err(|e| e.to_string())?;
        equal("kind", wanted.to_owned(), packet.message.kind.name().to_owned())?;
        equal("xid", self.xid.to_string(), packet.message.xid.to_string())?;
        for word in &words.0[1..] {
            if let Some((key, value)) = word.split_once('=') {
                compare(&packet, to, key, value, &mut self.names)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, text: &str) -> Step {
        let text = text.trim().trim_start_matches('+');
        let (number, unit) = text.split_at(text.len() - 1);
        let factor = HashMap::from([("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)])[unit];
        self.elapsed += Duration::from_secs(number.parse::<u64>().map_err(|e| e.to_string())? * factor);
        let now = self.now();
        self.book.sweep(now.mono);
        self.book.sweep_holds(now.mono);
        self.book.sweep_quarantines(now.wall);
        self.book.forget_long_past(now.wall);
        let over = self.book.expired(now.mono, 1000);
        over.into_iter().for_each(|change| self.commit(change));
        Ok(())
    }

    fn check(&mut self, words: &Words<'_>) -> Step {
        match words.0[0] {
            "commits-fail" => self.commits_fail = true,
            "commits-work" => self.commits_fail = false,
            "restart" => self.restart(),
            "lease" => self.check_lease(words)?,
            "no-lease" => {
                if let Some(lease) = self.lease(words) {
                    return Err(format!("leased to {:?}", lease.client));
                }
            }
            "leases" => equal("leases", words.0[1].to_owned(), self.book.leases().count().to_string())?,
            "hold" => {
                let until = self.now().mono.plus(Duration::from_secs(10));
                let hold = Hold { holder: "test".to_owned(), mac: None, until };
                self.book.hold(0, words.0[1].parse().expect("an address"), hold);
            }
            "host" => self.commit(config::host(words)),
            "host-removed" => self.commit(Change::HostRemoved { id: words.0[1].to_owned() }),
            other => return Err(format!("no such check: {other}")),
        }
        Ok(())
    }

    fn lease(&self, words: &Words<'_>) -> Option<lanlord::domain::lease::Lease> {
        let ip = words.0[1].split('/').next().unwrap_or_default().parse().expect("an address");
        (0..self.policy.networks.len()).find_map(|network| self.book.lease(network, ip)).map(|lease| (**lease).clone())
    }

    fn check_lease(&self, words: &Words<'_>) -> Step {
        let lease = self.lease(words).ok_or("no lease")?;
        if let Some((_, length)) = words.0[1].split_once('/') {
            equal("length", length.to_owned(), lease.delegated.unwrap_or(128).to_string())?;
        }
        let seconds = |at: Wall| at.since(self.now().wall).as_secs().to_string();
        for word in &words.0[2..] {
            let (key, value) = word.split_once('=').ok_or("key=value")?;
            let have = match key {
                "left" => seconds(lease.expires),
                "preferred" => lease.preferred.map_or("none".to_owned(), seconds),
                "mac" => lease.mac.map_or("none".to_owned(), |mac| mac.to_string()),
                "name" => lease.fqdn.clone().unwrap_or_else(|| "none".to_owned()),
                "via" => lease.relay.map_or("none".to_owned(), |ip| ip.to_string()),
                "client" => format!("{:?}", lease.client),
                other => return Err(format!("no such field: {other}")),
            };
            equal(key, value.to_owned(), have)?;
        }
        Ok(())
    }

    /// Everything in memory is lost; what was journalled comes back.
    fn restart(&mut self) {
        let (policy, now) = (Arc::new(self.policy.clone()), self.now());
        self.book = Book6::new(policy.clone());
        self.shared = Book::new(policy);
        for (at, change) in &self.journal {
            self.book.apply(change, *at, now);
            self.shared.apply(change, *at, now);
        }
    }
}

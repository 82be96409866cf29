//! A network in text: policy, clients, clock and a journal in memory around the real decisions.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::change::Change;
use lanlord::domain::dhcp::book::{Book, Hold};
use lanlord::domain::dhcp::policy::Policy;
use lanlord::domain::dhcp::v4::{Arrival, Decision, Delivery, Facts, Now, Outcome, Request, decide, decide_boot};
use lanlord::domain::dhcp::wire::{Packet, encode};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::time::{Mono, Wall};

mod config;
mod wire;
mod words;

use config::{host, last_subnet, network, recipe, reservation, rule, setting, subnet};
use wire::{compare, datagram, equal, kind, show};
use words::{Step, Words, ip};

/// Names without collisions: scenarios of names belong to the naming service.
struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

#[derive(Default)]
pub struct World {
    policy: Policy,
    book: Book,
    journal: Vec<(Wall, Change)>,
    elapsed: Duration,
    commits_fail: bool,
    /// Lines of a configuration that are not taken in yet, and what it left out.
    toml: String,
    findings: Vec<String>,
    /// What came back for the last request, until it is looked at.
    answer: Option<Answer>,
    /// Changes of the last request.
    written: usize,
    xid: u32,
}

struct Answer {
    bytes: Vec<u8>,
    delivery: Option<Delivery>,
    silence: String,
}

impl World {
    pub fn line(&mut self, line: &str) -> Step {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words(rest.split_whitespace().collect());
        if head != "|" {
            self.configured()?;
        }
        match head {
            "|" => {
                self.toml.push_str(rest);
                self.toml.push('\n');
                Ok(())
            }
            ">" => {
                if let Some(reply) = self.unexpected().next() {
                    return Err(reply);
                }
                self.send(&words)
            }
            "<" => self.expect(&words),
            "@" => self.wait(rest),
            "!" => self.check(&words),
            _ => self.configure(head, rest, &words),
        }
    }

    /// A reply that no line looked at.
    pub fn unexpected(&self) -> impl Iterator<Item = String> + '_ {
        let reply = self.answer.as_ref().filter(|answer| answer.delivery.is_some());
        reply.map(|answer| format!("nobody expected {}", kind(&answer.bytes))).into_iter()
    }

    fn now(&self) -> Now {
        Now { wall: Wall(1_700_000_000_000).plus(self.elapsed), mono: Mono(0).plus(self.elapsed) }
    }

    /// Takes in the lines of a configuration that stand before.
    fn configured(&mut self) -> Step {
        if self.toml.is_empty() {
            return Ok(());
        }
        let toml = std::mem::take(&mut self.toml);
        let config = lanlord::config::parse(std::path::Path::new("t.toml"), &toml).map_err(|e| e.to_string())?;
        self.findings = config.findings.iter().map(ToString::to_string).collect();
        self.policy = config.policy;
        self.book = self.book.under(Arc::new(self.policy.clone()));
        Ok(())
    }

    fn configure(&mut self, head: &str, rest: &str, words: &Words<'_>) -> Step {
        let old = std::mem::take(&mut self.policy);
        let mut networks = old.networks.clone();
        let mut next = old.clone();
        match head {
            "network" => networks.push(network(words)),
            "subnet" => networks.last_mut().ok_or("no network yet")?.subnets.push(subnet(words)),
            "option" | "force" => next.options.push(setting(rest, head == "force")?),
            "network-option" => networks.last_mut().ok_or("no network")?.options.push(setting(rest, false)?),
            "subnet-option" => last_subnet(&mut networks)?.options.push(setting(rest, false)?),
            "pool-option" => {
                let pool = last_subnet(&mut networks)?.pools.last_mut().ok_or("no pool")?;
                pool.options.push(setting(rest, false)?);
            }
            "recipe" => next.recipes.push(recipe(words)?),
            "reserve" => next.reservations.push(reservation(words, next.reservations.len())),
            "forget-reservations" => next.reservations.clear(),
            "forget-networks" => networks.clear(),
            "http-url" => next.http_url = rest.to_owned(),
            "rule" => rule(&mut next, words)?,
            "own" => {
                self.book.set_own([ip(words.0[0])].into());
            }
            _ => return Err(format!("no such line: {head}")),
        }
        let mut policy = Policy::new(networks);
        policy.options = next.options;
        policy.recipes = next.recipes;
        policy.reservations = next.reservations;
        policy.http_url = next.http_url;
        policy.rules = next.rules;
        policy.times = next.times;
        policy.classes = next.classes;
        policy.boot = next.boot;
        policy.menu = next.menu;
        self.policy = policy;
        self.book = self.book.under(Arc::new(self.policy.clone()));
        Ok(())
    }

    fn send(&mut self, words: &Words<'_>) -> Step {
        self.xid += 1;
        let datagram = datagram(words, self.xid)?;
        let interface = words.value("iface").unwrap_or("eth0");
        let arrival = Arrival {
            interface,
            local: words.ip("local").unwrap_or(Ipv4Addr::new(10, 0, 0, 1)),
            source: words.ip("src").or(words.ip("ciaddr")).unwrap_or(Ipv4Addr::UNSPECIFIED),
            source_port: words.value("sport").map_or(68, |port| port.parse().unwrap()),
            destination: words.ip("dst").unwrap_or(Ipv4Addr::BROADCAST),
        };
        let silent = |why: &str| Answer { bytes: Vec::new(), delivery: None, silence: why.to_owned() };
        self.written = 0;
        let packet = match Packet::walk(&datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.answer = Some(silent(why.label()));
                return Ok(());
            }
        };
        let request = match Request::read(packet, arrival) {
            Ok(request) => request,
            Err(why) => {
                self.answer = Some(silent(why.label()));
                return Ok(());
            }
        };
        let facts = Facts { book: &self.book, names: &PlainNames, sightings: None };
        // port=4011: where clients with another server's address ask what to boot
        let at_boot = words.value("port") == Some("4011");
        let ask = if at_boot { decide_boot } else { decide };
        let decision = ask(&request, &facts, &self.policy, self.now());
        self.answer = Some(self.carry_out(decision));
        Ok(())
    }

    /// Commit before answer; a failed commit is silence (DH-213).
    fn carry_out(&mut self, decision: Decision) -> Answer {
        let now = self.now();
        decision.effects.into_iter().for_each(|effect| self.book.affect(effect, now.mono));
        let ticket = self.book.begin(&decision.changes);
        let failed = self.commits_fail && !decision.changes.is_empty();
        if !failed {
            self.written = decision.changes.len();
            for change in decision.changes {
                self.commit(change);
            }
        }
        self.book.settle(ticket);
        match decision.outcome {
            Outcome::Silent(why) => Answer { bytes: Vec::new(), delivery: None, silence: why.label().to_owned() },
            Outcome::Look(ip) => Answer { bytes: Vec::new(), delivery: None, silence: format!("looks-at-{ip}") },
            Outcome::Send(..) if failed => {
                Answer { bytes: Vec::new(), delivery: None, silence: "commit-failed".to_owned() }
            }
            Outcome::Send(reply, delivery) => {
                let mut bytes = Vec::new();
                encode(&reply, 1500, &mut bytes);
                Answer { bytes, delivery: Some(delivery), silence: String::new() }
            }
        }
    }

    fn commit(&mut self, change: Change) {
        let at = self.now().wall;
        self.book.apply(&change, at, self.now());
        self.journal.push((at, change));
    }

    fn expect(&mut self, words: &Words<'_>) -> Step {
        let answer = self.answer.take().ok_or("nothing was asked")?;
        if let Some(n) = words.value("writes") {
            equal("changes written", n.to_owned(), self.written.to_string())?;
        }
        let wanted = words.0.first().copied().unwrap_or_default();
        if wanted == "SILENT" {
            if answer.delivery.is_some() {
                return Err(format!("got {}", kind(&answer.bytes)));
            }
            let why = words.0.get(1).filter(|w| !w.contains('='));
            return why.map_or(Ok(()), |why| equal("reason", (*why).to_owned(), answer.silence));
        }
        let Some(delivery) = answer.delivery else { return Err(format!("silence: {}", answer.silence)) };
        let packet = Packet::walk(&answer.bytes).map_err(|e| e.to_string())?;
        equal("kind", wanted.to_owned(), kind(&answer.bytes))?;
        if answer.bytes.len() < 300 {
            return Err(format!("only {} octets", answer.bytes.len()));
        }
        equal("xid", self.xid.to_string(), packet.xid().to_string())?;
        for word in &words.0[1..] {
            if let Some((key, value)) = word.split_once('=') {
                compare(&packet, &answer.bytes, &delivery, key, value)?;
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
        if !self.commits_fail {
            for change in self.book.expired(now.mono, 1000) {
                self.commit(change);
            }
        }
        Ok(())
    }

    fn check(&mut self, words: &Words<'_>) -> Step {
        match words.0.first().copied().unwrap_or_default() {
            "commits-fail" => self.commits_fail = true,
            "commits-work" => self.commits_fail = false,
            "restart" => self.restart(),
            "lease" => {
                let lease = self.lease(words).ok_or("no lease")?;
                for (key, value) in words.0[2..].iter().filter_map(|w| w.split_once('=')) {
                    let have = match key {
                        "mac" => lease.mac.map(|m| m.to_string()),
                        "name" => lease.fqdn.clone(),
                        "left" => Some(lease.expires.since(self.now().wall).as_secs().to_string()),
                        "82" => lease.relay_info.as_ref().map(|v| show(v)),
                        "circuit" => lease.circuit_id.as_ref().map(|v| show(v)),
                        "class" => lease.vendor_class.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()),
                        "network" => Some(lease.network.clone()),
                        _ => return Err(format!("no such field: {key}")),
                    };
                    equal(key, value.to_owned(), have.unwrap_or_default())?;
                }
            }
            "no-lease" => {
                if let Some(lease) = self.lease(words) {
                    return Err(format!("leased to {:?}", lease.client));
                }
            }
            "finding" => {
                let wanted = words.0[1..].join(" ");
                if !self.findings.iter().any(|finding| finding.contains(&wanted)) {
                    return Err(format!("not found: {:?}", self.findings));
                }
            }
            "free" => {
                let free: usize = self.book.usage().iter().map(|usage| usage.free).sum();
                equal("free addresses", words.0[1].to_owned(), free.to_string())?;
            }
            "hold" => {
                let hold =
                    Hold { holder: "test".to_owned(), mac: None, until: self.now().mono.plus(Duration::from_secs(10)) };
                self.book.hold(0, ip(words.0[1]), hold);
            }
            "host" => self.commit(host(words)),
            "host-removed" => self.commit(Change::HostRemoved { id: words.0[1].to_owned() }),
            "reservation" => {
                self.commit(Change::ReservationPut(Box::new(reservation(&Words(words.0[1..].to_vec()), 900))))
            }
            other => return Err(format!("no such check: {other}")),
        }
        Ok(())
    }

    /// The lease of an address, on the network that is named or on the first; also of one that is not configured
    /// any more.
    fn lease(&self, words: &Words<'_>) -> Option<lanlord::domain::lease::Lease> {
        let wanted = words.value("network").or(self.policy.networks.first().map(|n| n.name.as_str()));
        let all = self.book.leases().map(|kept| kept.lease());
        let ip = std::net::IpAddr::V4(ip(words.0[1]));
        all.into_iter().find(|lease| lease.ip == ip && Some(lease.network.as_str()) == wanted)
    }

    /// Everything in memory is lost; what was journalled comes back.
    fn restart(&mut self) {
        self.book = Book::new(Arc::new(self.policy.clone()));
        let now = self.now();
        self.journal.iter().for_each(|(at, change)| self.book.apply(change, *at, now));
    }
}

//! A network in text: policy, clients, clock and a journal in memory around the real decisions.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::change::Change;
use lanlord::domain::dhcp::book::{Book, Hold};
use lanlord::domain::dhcp::policy::{
    Identify, LeaseTimes, Match, Network, Policy, Pool, Recipe, Setting, Subnet, Value,
};
use lanlord::domain::dhcp::v4::{Arrival, Decision, Delivery, Facts, Now, Outcome, Request, Target, decide};
use lanlord::domain::dhcp::wire::{COOKIE, Kind, Packet, encode};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::host::{CustomOption, Host, Interface};
use lanlord::domain::lease::{Origin, Reservation, ReservationKey};
use lanlord::domain::net::Mac;
use lanlord::domain::time::{Mono, Wall};

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

type Step = Result<(), String>;

/// Words of a line: `key=value` and bare ones.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn values(&self, key: &'a str) -> impl Iterator<Item = &'a str> + '_ {
        self.0.iter().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn ip(&self, key: &str) -> Option<Ipv4Addr> {
        self.value(key).map(ip)
    }
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no address"))
}

fn mac(text: &str) -> Mac {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no MAC"))
}

fn range(text: &str) -> (Ipv4Addr, Ipv4Addr) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (ip(first), ip(last))
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim_start_matches("0x").replace(':', "");
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `0x..`, a dotted quad, or text in which `_` stands for a blank.
fn bytes(text: &str) -> Vec<u8> {
    if text.starts_with("0x") {
        hex(text)
    } else if let Ok(ip) = text.parse::<Ipv4Addr>() {
        ip.octets().to_vec()
    } else {
        text.replace('_', " ").into_bytes()
    }
}

fn numbers(text: &str) -> Vec<u8> {
    text.split(',').map(|n| n.parse().unwrap()).collect()
}

impl World {
    pub fn line(&mut self, line: &str) -> Step {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words(rest.split_whitespace().collect());
        match head {
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
        let facts = Facts { book: &self.book, names: &PlainNames };
        let decision = decide(&request, &facts, &self.policy, self.now());
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
        let network = |w: &World| words.value("network").and_then(|n| w.policy.by_name(n)).unwrap_or(0);
        match words.0.first().copied().unwrap_or_default() {
            "commits-fail" => self.commits_fail = true,
            "commits-work" => self.commits_fail = false,
            "restart" => self.restart(),
            "lease" => {
                let lease = self.book.lease(network(self), ip(words.0[1])).ok_or("no lease")?;
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
                if let Some(lease) = self.book.lease(network(self), ip(words.0[1])) {
                    return Err(format!("leased to {:?}", lease.client));
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

    /// Everything in memory is lost; what was journalled comes back.
    fn restart(&mut self) {
        self.book = Book::new(Arc::new(self.policy.clone()));
        let now = self.now();
        self.journal.iter().for_each(|(at, change)| self.book.apply(change, *at, now));
    }
}

fn show(value: &[u8]) -> String {
    value.iter().fold("0x".to_owned(), |out, b| out + &format!("{b:02x}"))
}

fn kind(bytes: &[u8]) -> String {
    let number = Packet::walk(bytes).ok().and_then(|p| p.option(53)?.first().copied());
    let kind = number.and_then(Kind::of).map_or("nothing", Kind::name);
    kind.trim_start_matches("DHCP").to_owned()
}

fn equal(what: &str, want: String, have: String) -> Step {
    if want == have { Ok(()) } else { Err(format!("{what}: wanted {want}, got {have}")) }
}

fn compare(packet: &Packet<'_>, bytes: &[u8], delivery: &Delivery, key: &str, value: &str) -> Step {
    let to = match delivery.to {
        Target::Relay(ip, port) => format!("relay:{ip}:{port}"),
        Target::Unicast(ip) => format!("unicast:{ip}"),
        Target::Broadcast => "broadcast".to_owned(),
        Target::Hardware(mac, ip) => format!("frame:{mac}/{ip}"),
    };
    let have = match key {
        "ip" => packet.yiaddr().to_string(),
        "ciaddr" => packet.ciaddr().to_string(),
        "siaddr" => packet.siaddr().to_string(),
        "giaddr" => packet.giaddr().to_string(),
        "flags" => packet.flags().to_string(),
        "file" => String::from_utf8_lossy(packet.file()).into_owned(),
        "from" => delivery.from.to_string(),
        "to" => to,
        "writes" => return Ok(()),
        "size" => {
            let fits = bytes.len() <= value.parse::<usize>().unwrap();
            return if fits { Ok(()) } else { Err(format!("{} octets", bytes.len())) };
        }
        "codes" => packet.codes().map(|c| c.to_string()).collect::<Vec<_>>().join(","),
        "no" => {
            let there: Vec<u8> = numbers(value).into_iter().filter(|c| packet.option(*c).is_some()).collect();
            return if there.is_empty() { Ok(()) } else { Err(format!("has {there:?}")) };
        }
        "last" => {
            // the last option before the end, as it lies on the wire
            let end = bytes.iter().rposition(|b| *b == 255).unwrap();
            let want = bytes_of_last(value);
            let have = &bytes[end.saturating_sub(want.len())..end];
            return equal("last option", show(&want), show(have));
        }
        code => {
            let code: u8 = code.parse().map_err(|_| format!("no such field: {code}"))?;
            let have = packet.option(code).ok_or(format!("no option {code}"))?;
            let number = value.parse::<u32>().ok().filter(|_| have.len() == 4);
            let want = number.map_or_else(|| bytes_list(value), |n| n.to_be_bytes().to_vec());
            return equal(&format!("option {code}"), show(&want), show(&have));
        }
    };
    equal(key, value.to_owned(), have)
}

fn bytes_of_last(value: &str) -> Vec<u8> {
    let (code, data) = value.split_once(':').unwrap();
    let data = hex(data);
    [vec![code.parse().unwrap(), data.len() as u8], data].concat()
}

/// Addresses separated by commas, or as [`bytes`].
fn bytes_list(value: &str) -> Vec<u8> {
    let addresses: Result<Vec<Ipv4Addr>, _> = value.split(',').map(str::parse).collect();
    match addresses {
        Ok(list) => list.iter().flat_map(|ip: &Ipv4Addr| ip.octets()).collect(),
        Err(_) => bytes(value),
    }
}

fn datagram(words: &Words<'_>, xid: u32) -> Result<Vec<u8>, String> {
    let number = match words.0.first().copied().unwrap_or_default() {
        "DISCOVER" => 1,
        "OFFER" => 2,
        "REQUEST" => 3,
        "DECLINE" => 4,
        "RELEASE" => 7,
        "INFORM" => 8,
        "BOOTP" => 0,
        other => return Err(format!("no such message: {other}")),
    };
    let mut out = vec![0u8; 240];
    out[0] = if number == 2 { 2 } else { 1 };
    let hw = words.value("mac").map(|m| mac(m).0.to_vec()).unwrap_or_default();
    out[1] = words.value("htype").map_or(1, |n| n.parse().unwrap());
    out[2] = hw.len() as u8;
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    if words.has("broadcast") {
        out[10] = 0x80;
    }
    for (at, key) in [(12, "ciaddr"), (24, "giaddr")] {
        out[at..at + 4].copy_from_slice(&words.ip(key).unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    }
    out[28..28 + hw.len()].copy_from_slice(&hw);
    out[236..240].copy_from_slice(&COOKIE);
    let mut put = |code: u8, value: &[u8]| {
        out.push(code);
        out.push(value.len() as u8);
        out.extend(value);
    };
    if number != 0 {
        put(53, &[number]);
    }
    for (key, code) in [("want", 50), ("server", 54)] {
        if let Some(ip) = words.ip(key) {
            put(code, &ip.octets());
        }
    }
    if let Some(seconds) = words.value("time") {
        put(51, &seconds.parse::<u32>().unwrap().to_be_bytes());
    }
    let prl = words.value("prl").unwrap_or("1,3,6,15,28");
    if prl != "none" {
        put(55, &numbers(prl));
    }
    for word in &words.0[1..] {
        if let Some((code, value)) = word.split_once('=')
            && let Ok(code) = code.parse::<u8>()
        {
            put(code, &bytes(value));
        }
    }
    if let Some(raw) = words.value("raw") {
        out.extend(hex(raw));
    } else {
        out.push(255);
    }
    Ok(out)
}

fn network(words: &Words<'_>) -> Network {
    Network {
        name: words.0[0].to_owned(),
        interface: words.value("interface").map(str::to_owned),
        relays: words.values("relay").map(ip).collect(),
        domain: words.value("domain").unwrap_or_default().to_owned(),
        authoritative: words.has("authoritative"),
        identify: if words.value("identify") == Some("mac") { Identify::Mac } else { Identify::ClientId },
        trusted: words.has("trusted"),
        recipes: !words.has("no-recipes"),
        ipv6_only: words.value("ipv6-only").map(|n| n.parse().unwrap()),
        ..Network::default()
    }
}

fn subnet(words: &Words<'_>) -> Subnet {
    let mut subnet = Subnet::new(words.0[0].parse().expect("a prefix"));
    for pool in words.values("pool") {
        let (first, last) = range(pool);
        subnet.pools.push(Pool::new(first, last));
    }
    for exclude in words.values("exclude") {
        let (first, last) = range(exclude);
        subnet.pools.last_mut().expect("a pool").exclude.push(first..=last);
    }
    subnet.router = words.ip("router");
    subnet.server_id = words.ip("server");
    subnet.next_server = words.ip("next-server");
    subnet.file = words.value("file").map(str::to_owned);
    subnet.relays = words.values("relay").map(ip).collect();
    subnet.times = words.value("time").map(|text| {
        let n: Vec<u32> = text.split('/').map(|n| n.parse().unwrap()).collect();
        LeaseTimes { default: n[0], min: n[1], max: n[2], infinite: words.has("infinite") }
    });
    subnet
}

fn last_subnet(networks: &mut [Network]) -> Result<&mut Subnet, String> {
    networks.last_mut().and_then(|n| n.subnets.last_mut()).ok_or("no subnet yet".to_owned())
}

fn setting(rest: &str, force: bool) -> Result<Setting, String> {
    let (code, text) = rest.split_once(' ').ok_or("no value")?;
    Setting::parse(code.parse().map_err(|_| "no code")?, text, force).map_err(|e| e.to_string())
}

fn recipe(words: &Words<'_>) -> Result<Recipe, String> {
    let mut recipe = Recipe { name: "test".to_owned(), ..Recipe::default() };
    recipe.when = Match {
        vendor_class: words.values("class").map(|c| c.replace('_', " ")).collect(),
        vendor_class_regex: words.value("regex").map(|r| regex::bytes::Regex::new(r).expect("a regex")),
        oui: words.values("oui").map(|o| hex(o).try_into().expect("three octets")).collect(),
    };
    recipe.siaddr = words.value("siaddr").map(str::to_owned);
    recipe.file = words.value("file").map(str::to_owned);
    for (key, value) in words.0.iter().filter_map(|w| w.split_once('=')) {
        if let Ok(code) = key.parse::<u8>() {
            recipe.settings.push(Setting::parse(code, value, true).map_err(|e| e.to_string())?);
        }
        if let Some(sub) = key.strip_prefix("43.") {
            let value = Value::Sub(vec![(sub.parse().unwrap(), value.to_owned())]);
            recipe.settings.push(Setting { code: 43, value, force: true });
        }
    }
    Ok(recipe)
}

fn reservation(words: &Words<'_>, number: usize) -> Reservation {
    let mut keys: Vec<ReservationKey> = words.values("mac").map(|m| ReservationKey::Mac(mac(m))).collect();
    keys.extend(words.values("id").map(|id| ReservationKey::ClientId(hex(id))));
    keys.extend(words.values("circuit").map(|id| ReservationKey::CircuitId(bytes(id))));
    let options = words.0.iter().filter_map(|w| w.split_once('='));
    Reservation {
        id: format!("r{number}"),
        network: words.value("network").map(str::to_owned),
        keys,
        ip: words.ip("ip").map(Into::into),
        name: words.value("name").map(str::to_owned),
        options: options.filter_map(|(code, value)| Some((code.parse().ok()?, bytes(value)))).collect(),
        origin: Origin::Config("scenario".to_owned()),
    }
}

fn host(words: &Words<'_>) -> Change {
    let interface = Interface {
        name: "ethernet".to_owned(),
        mac: words.value("mac").map(mac),
        roaming: words.has("roaming"),
        vlan: None,
        networks: Vec::new(),
        addresses: words.values("ip").map(|text| text.parse().expect("an address")).collect(),
    };
    let options = words.0.iter().filter_map(|w| w.split_once('='));
    let option = |(number, value): (&str, &str)| {
        Some(CustomOption { number: number.parse().ok()?, interface: None, family: 4, value: bytes(value) })
    };
    Change::HostPut(Box::new(Host {
        id: words.0[1].to_owned(),
        hostname: words.0[1].to_owned(),
        fqdn: words.value("fqdn").map(str::to_owned),
        aliases: Vec::new(),
        interfaces: vec![interface],
        options: options.filter_map(option).collect(),
        properties: Vec::new(),
    }))
}

fn rule(policy: &mut Policy, words: &Words<'_>) -> Step {
    for word in &words.0 {
        match word.split_once('=').unwrap_or((word, "")) {
            ("rapid-commit", _) => policy.rules.rapid_commit = true,
            ("bare", _) => policy.rules.accept_bare_request = true,
            ("no-echo", _) => policy.rules.echo_client_id = false,
            ("cache", part) => policy.rules.cache_fraction = part.parse().unwrap(),
            (other, _) => return Err(format!("no such rule: {other}")),
        }
    }
    Ok(())
}

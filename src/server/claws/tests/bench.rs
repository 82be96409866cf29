//! A daemon's worth of the bus in one process: real leasing, naming, ledger and HTTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::middleware::{self, Next};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::clock::System;
use crate::domain::claws::access::{Namespaces, Patterns, Principal};
use crate::domain::claws::transaction::Role;
use crate::domain::claws::xml::{Element, decode};
use crate::domain::claws::{CLAWS, HOST};
use crate::domain::dhcp::policy::{Network, Policy, Pool, Subnet, Subnet6};
use crate::server::claws::router;
use crate::service::bus::builtin::{AddressModule, Enricher, NameModule, ZoneRule};
use crate::service::bus::{Bus, Credential, Module, Parts, Settings};
use crate::service::hosts::Hosts;
use crate::service::leasing::{Leasing, Replies};
use crate::service::naming::{self, Naming};
use crate::store::memory::Memory;
use crate::store::{History, Ledger};

pub const DNS_MODULE: &str = "DNS Management Module";
pub const ADDRESS_MODULE: &str = "Address and Network Management Module";

/// A hang guard; nothing here takes that long.
pub const GUARD: Duration = Duration::from_secs(120);

pub struct Bench {
    pub address: SocketAddr,
    pub bus: Bus,
    pub hosts: Hosts,
    pub naming: Naming,
    pub leasing: Arc<Leasing>,
    /// What clients would get.
    pub replies: tokio::sync::Mutex<Replies>,
    pub disk: Memory,
    pub ledger: Ledger,
}

fn credential(name: &str) -> Credential {
    Credential { name: name.to_owned(), ..Credential::default() }
}

/// The web client of the sketch, a second frontend, and its two modules.
pub fn settings() -> Settings {
    let frontend = |name: &str| Credential {
        delegate: Patterns::only("Alice"),
        submit: Patterns::only("host:*"),
        ..credential(name)
    };
    let module = |name: &str, namespaces: &[&str]| {
        let namespaces = Namespaces(namespaces.iter().map(|ns| (*ns).to_owned()).collect());
        Credential { append: namespaces.clone(), remove: namespaces, assume_prefixes: Some(true), ..credential(name) }
    };
    Settings {
        credentials: vec![
            frontend("Web Client"),
            frontend("Other Client"),
            module(DNS_MODULE, &["dns"]),
            module(ADDRESS_MODULE, &["lan", "dhcp"]),
        ],
        ..Settings::default()
    }
}

/// With the DNS module in another role.
pub fn with_dns_module(change: impl FnOnce(&mut Module)) -> Settings {
    let mut module = Module::named(DNS_MODULE);
    change(&mut module);
    Settings { modules: vec![module], ..settings() }
}

pub fn required(module: &mut Module) {
    module.policy.role = Role::Required;
}

fn policy() -> Policy {
    let mut subnet = Subnet::new("192.168.50.0/24".parse().unwrap());
    let ip = |n| std::net::Ipv4Addr::new(192, 168, 50, n);
    subnet.pools = vec![Pool::new(ip(4), ip(9))];
    let network = Network {
        name: "guest-network".to_owned(),
        interface: Some("eth0".to_owned()),
        domain: "guest.example.com".to_owned(),
        subnets: vec![subnet],
        subnets6: vec![Subnet6::new("2000::/3".parse().unwrap())],
        ..Network::default()
    };
    let mut policy = Policy::new(vec![network]);
    // nobody looks at the link here
    policy.rules.probe = false;
    policy.rules.cache_fraction = 0.0;
    policy
}

fn naming_settings() -> naming::Settings {
    naming::Settings {
        networks: vec![naming::Domain {
            network: "guest-network".to_owned(),
            domain: "guest.example.com".to_owned(),
            subnets: vec!["192.168.50.0/24".parse().unwrap(), "2000::/3".parse().unwrap()],
        }],
        domains: vec!["roamer.example.com".to_owned()],
        ..naming::Settings::new("example.com", 7)
    }
}

/// Starts all of it on what the disk remembers. `enrich`: whether the built-in modules answer.
pub async fn start(settings: Settings, enrich: bool, disk: Memory) -> Bench {
    let clock = Arc::new(System);
    let naming = Naming::open(naming_settings(), crate::clock::Clock::wall(&System));
    let (leasing, replies) = Leasing::new(policy(), Arc::new(naming.clone()), clock.clone());
    let hosts = Hosts::default();
    let rules = vec![ZoneRule { domain: "roamer.example.com".to_owned(), roaming: Some(true), vlan: None }];
    let builtin: Vec<Arc<dyn Enricher>> = vec![
        Arc::new(NameModule::new(rules, "example.com", leasing.clone())),
        Arc::new(AddressModule::new(leasing.clone())),
    ];
    let counter = AtomicU64::new(1);
    let parts = Parts {
        clock: clock.clone(),
        random: Arc::new(move |bytes: &mut [u8]| {
            let number = counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            bytes.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        }),
        hosts: hosts.clone(),
        addresses: leasing.clone(),
        enrichers: if enrich { builtin } else { Vec::new() },
        ballots: vec![leasing.clone(), Arc::new(naming.clone())],
    };
    let bus = Bus::new(settings, parts);
    let views = vec![leasing.view(), naming.view(), hosts.view(), bus.view()];
    let (ledger, _end) = Ledger::start(disk.clone(), disk.recovered(), views, clock);
    drop(leasing.start(ledger.clone(), CancellationToken::new()));
    let history: Arc<dyn History> = Arc::new(disk.clone());
    bus.start(ledger.clone(), Some(history));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app(bus.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Bench { address, bus, hosts, naming, leasing, replies: replies.into(), disk, ledger }
}

/// In the daemon the token names the credential; here it is the credential's name.
fn app(bus: Bus) -> axum::Router {
    let of = bus.clone();
    let authenticate = middleware::from_fn(move |mut request: Request, next: Next| {
        let token = request.headers().get("authorization").and_then(|v| v.to_str().ok());
        let name = token.and_then(|t| t.strip_prefix("Bearer ")).map(str::to_owned);
        if let Some(name) = name {
            let principal = of.principal(&name, name == "root");
            request.extensions_mut().insert(principal);
        }
        next.run(request)
    });
    router(bus, Arc::new(|extensions| extensions.get::<Principal>().cloned())).layer(authenticate)
}

/// Status and body of an answer.
pub struct Answer {
    pub status: u16,
    pub body: Option<Element>,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body.as_ref().and_then(|body| body.attribute("code")).unwrap_or("")
    }

    pub fn state(&self) -> &str {
        self.body.as_ref().and_then(|body| body.attribute("state")).unwrap_or("")
    }

    pub fn attribute(&self, name: &str) -> &str {
        self.body.as_ref().and_then(|body| body.attribute(name)).unwrap_or("")
    }
}

impl Bench {
    async fn send(&self, request: hyper::Request<Full<Bytes>>) -> hyper::Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    fn request(&self, who: &str, method: &str, path: &str) -> hyper::http::request::Builder {
        let request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        if who.is_empty() { request } else { request.header("authorization", format!("Bearer {who}")) }
    }

    async fn answer(&self, request: hyper::Request<Full<Bytes>>) -> Answer {
        let response = tokio::time::timeout(GUARD, self.send(request)).await.expect("an answer in time");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: decode(&bytes).ok() }
    }

    pub async fn post_with(&self, who: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let mut request = self.request(who, "POST", "/claws/v1/messages");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/xml");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request.body(Full::from(body.to_vec())).unwrap()).await
    }

    pub async fn post(&self, who: &str, body: &str) -> Answer {
        self.post_with(who, body.as_bytes(), &[]).await
    }

    pub async fn get(&self, who: &str, path: &str) -> Answer {
        self.answer(self.request(who, "GET", path).body(Full::default()).unwrap()).await
    }

    /// The state of a transaction once it is one of these.
    pub async fn until(&self, who: &str, txid: &str, states: &[&str]) -> Answer {
        let path = format!("/claws/v1/tx/{txid}?explain");
        let waiting = async {
            loop {
                let answer = self.get(who, &path).await;
                if states.contains(&answer.state()) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(GUARD, waiting).await.expect("the state is reached in time")
    }

    /// Opens a stream; the status if it is refused.
    pub async fn open(&self, who: &str, query: &str, last: Option<&str>) -> Result<Feed, Answer> {
        let mut request = self.request(who, "GET", &format!("/claws/v1/stream?{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.send(request.body(Full::default()).unwrap()).await;
        let status = response.status().as_u16();
        if status != 200 {
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            return Err(Answer { status, body: decode(&bytes).ok() });
        }
        let mut feed = Feed { body: response.into_body(), text: String::new(), frames: VecDeque::new() };
        let welcome = feed.next().await;
        assert!(welcome.message.is(CLAWS, "welcome"));
        Ok(feed)
    }

    pub async fn module(&self, who: &str) -> Feed {
        self.open(who, "role=module", None).await.map_err(|answer| answer.status).unwrap()
    }

    pub async fn frontend(&self, who: &str) -> Feed {
        self.open(who, "role=frontend", None).await.map_err(|answer| answer.status).unwrap()
    }
}

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct Frame {
    pub id: Option<String>,
    pub message: Element,
}

impl Frame {
    pub fn status(&self) -> &str {
        self.message.attribute("status").unwrap_or("")
    }

    pub fn seq(&self) -> String {
        self.message.attribute("seq").unwrap_or("").to_owned()
    }

    /// Local name of the payload, of whatever vocabulary.
    pub fn event(&self) -> &str {
        self.message.children().find(|child| child.ns != CLAWS).map_or("", |child| child.name.as_str())
    }

    /// Text of the first such element of the payload.
    pub fn text(&self, ns: &str, name: &str) -> String {
        let payload = self.message.children().find(|child| child.ns != CLAWS);
        payload.and_then(|payload| payload.find(ns, name)).map(Element::text).unwrap_or_default()
    }

    pub fn percent(&self) -> Option<String> {
        self.message.find(CLAWS, "progress-percent").map(Element::text)
    }

    pub fn payload(&self) -> &Element {
        self.message.children().find(|child| child.ns == HOST).expect("a payload of the host vocabulary")
    }
}

/// The reader's end of a stream.
pub struct Feed {
    body: hyper::body::Incoming,
    text: String,
    frames: VecDeque<Frame>,
}

impl Feed {
    /// The next event; fails if none comes in time.
    pub async fn next(&mut self) -> Frame {
        tokio::time::timeout(GUARD, self.read()).await.expect("an event in time").expect("the stream goes on")
    }

    /// None if nothing comes for that long, or the stream ends.
    pub async fn within(&mut self, time: Duration) -> Option<Frame> {
        tokio::time::timeout(time, self.read()).await.ok().flatten()
    }

    /// The next event of that status.
    pub async fn status(&mut self, status: &str) -> Frame {
        loop {
            let frame = self.next().await;
            if frame.status() == status && frame.percent().is_none() {
                return frame;
            }
        }
    }

    /// The next event with a payload of that name.
    pub async fn event(&mut self, name: &str) -> Frame {
        loop {
            let frame = self.next().await;
            if frame.event() == name {
                return frame;
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        while self.frames.is_empty() {
            let chunk = self.body.frame().await?.ok()?.into_data().ok()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                self.frames.extend(frame(&block));
            }
        }
        self.frames.pop_front()
    }
}

fn frame(block: &str) -> Option<Frame> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    assert!(block.lines().filter(|line| line.starts_with("data:")).count() <= 1, "one line per message");
    let message = decode(field("data: ")?.as_bytes()).unwrap();
    Some(Frame { id: field("id: "), message })
}

/// A submission of a host with that name, MAC and more children.
pub fn add_host(txid: u32, name: &str, mac: &str, more: &str) -> String {
    format!(
        "<claws:event txid='{}'><claws:source>Web Client</claws:source><claws:identity>Alice</claws:identity>\
         <host:add-host><host:hostname>{name}</host:hostname><host:mac-addr name='e'>{mac}</host:mac-addr>{more}\
         </host:add-host></claws:event>",
        txid_of(txid)
    )
}

pub fn txid_of(number: u32) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012}")
}

/// An update of the DNS module with these children appended.
pub fn append(txid: &str, re: &str, children: &str) -> String {
    format!(
        "<claws:event-update txid='{txid}' re='{re}'><host:add-host update-action='append'>{children}</host:add-host>\
         </claws:event-update>"
    )
}

//! Notices over real HTTP (DH-609): who hears of leases, conflicts, pools and strangers, and what slow
//! listeners cost.

use std::net::Ipv4Addr;

use super::bench::{ADDRESS_MODULE, Bench, DNS_MODULE, Frame, GUARD, add_host, settings, start, txid_of};
use super::dhcp::{ACK, DISCOVER, Message, OFFER, RELEASE, REQUEST};
use crate::clock::{Clock as _, System};
use crate::domain::change::Change;
use crate::domain::claws::access::Namespaces;
use crate::domain::claws::{DHCP, HOST, LAN};
use crate::domain::dhcp::v4::Arrival;
use crate::domain::lease::End;
use crate::domain::net::Mac;
use crate::domain::time::Wall;
use crate::service::bus::Settings;
use crate::store::memory::Memory;

pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);

/// Nobody here shows that it lives, however slow the machine is.
fn patient() -> Settings {
    Settings { heartbeat: std::time::Duration::from_secs(600), ..settings() }
}

pub fn mac(n: u8) -> [u8; 6] {
    [2, 0x77, 0, 0, 0, n]
}

/// One message in, and whatever comes out.
pub async fn ask(bench: &Bench, message: &Message, interface: &str, answered: bool) -> Option<Message> {
    let broadcast = message.ciaddr.is_unspecified();
    let arrival = Arrival {
        interface,
        local: SERVER,
        source: message.ciaddr,
        source_port: 68,
        destination: if broadcast { Ipv4Addr::BROADCAST } else { SERVER },
    };
    bench.leasing.receive(&arrival, &message.to_bytes());
    if !answered {
        return None;
    }
    let mut replies = bench.replies.lock().await;
    let reply = tokio::time::timeout(GUARD, replies.recv()).await.expect("an answer in time").expect("it goes on");
    Message::parse(&reply.bytes)
}

pub async fn bind(bench: &Bench, n: u8) -> Message {
    let discover = Message::new(DISCOVER, u32::from(n), mac(n)).with(12, format!("pc-{n}")).with(60, "<b>&");
    let offer = ask(bench, &discover, "eth0", true).await.expect("an offer");
    assert_eq!(offer.kind(), OFFER);
    let ack = ask(bench, &offer.request(&discover), "eth0", true).await.expect("an answer");
    assert_eq!(ack.kind(), ACK);
    ack
}

async fn renew(bench: &Bench, n: u8, ip: Ipv4Addr) {
    // in the millisecond of its grant a lease is not extended: nothing would be written, and nothing told
    let granted = System.wall();
    while System.wall() == granted {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut renewal = Message::new(REQUEST, 1_000 + u32::from(n), mac(n));
    renewal.ciaddr = ip;
    assert_eq!(ask(bench, &renewal, "eth0", true).await.map(|m| m.kind()), Some(ACK));
}

fn subscribe(id: &str, matches: &str) -> String {
    format!("<claws:subscribe xmlns:claws='urn:openclaws:ns:claws:1' id='{id}'>{matches}</claws:subscribe>")
}

/// The numbers of events only grow.
fn in_order(frames: &[Frame]) {
    let numbers: Vec<u64> = frames.iter().map(|frame| frame.seq().parse().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_hears_of_a_lease_from_its_grant_to_its_end() {
    let bench = start(patient(), true, Memory::default()).await;
    let mut module = bench.module(ADDRESS_MODULE).await;
    let ack = bind(&bench, 1).await;
    let granted = module.next().await;
    assert_eq!((granted.event(), granted.status()), ("lease-granted", "final"));
    assert_eq!(granted.id, Some(granted.seq()));
    assert_eq!(granted.text(LAN, "address"), ack.yiaddr.to_string());
    assert_eq!(granted.text(HOST, "mac-addr"), "02:77:00:00:00:01");
    assert_eq!((granted.text(HOST, "hostname"), granted.text(DHCP, "vendor-class")), ("pc-1".into(), "<b>&".into()));
    assert_eq!(granted.text(crate::domain::claws::DNS, "fqdn"), "pc-1.guest.example.com");
    // extensions come to those who name them only, whatever else they subscribed to
    renew(&bench, 1, ack.yiaddr).await;
    let mut release = Message::new(RELEASE, 9, mac(1)).with(54, SERVER.octets());
    release.ciaddr = ack.yiaddr;
    ask(&bench, &release, "eth0", false).await;
    let released = module.next().await;
    assert_eq!((released.event(), released.text(LAN, "address")), ("lease-released", ack.yiaddr.to_string()));
    assert_eq!(released.text(DHCP, "cause"), "");

    let ended = |end| Change::LeaseEnded { network: "guest-network".to_owned(), ip: [192, 168, 50, 8].into(), end };
    let until = Wall(4_000_000_000_000);
    let conflict = Change::Quarantined {
        network: "guest-network".to_owned(),
        ip: [192, 168, 50, 9].into(),
        until,
        mac: Some(Mac(mac(9))),
    };
    let changes = vec![ended(End::Expired), ended(End::Declined { until }), ended(End::Revoked), conflict];
    bench.ledger.commit(changes).await.expect("committed");
    let mut frames = Vec::new();
    for event in ["lease-expired", "lease-declined", "lease-released", "address-conflict"] {
        frames.push(module.next().await);
        assert_eq!(frames.last().map(Frame::event), Some(event));
    }
    assert_eq!(frames[2].text(DHCP, "cause"), "revoked");
    assert_eq!(frames[3].text(HOST, "mac-addr"), "02:77:00:00:00:09");
    in_order(&frames);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_are_filtered_by_event_namespace_and_right() {
    let mut settings = patient();
    let of = |settings: &mut Settings, name: &str, namespaces: &[&str]| {
        let credential = settings.credentials.iter_mut().find(|c| c.name == name).expect("a credential");
        credential.subscribe = Namespaces(namespaces.iter().map(|ns| (*ns).to_owned()).collect());
    };
    of(&mut settings, DNS_MODULE, &["dns", "host"]);
    let bench = start(settings, true, Memory::default()).await;
    let (mut deaf, mut module) = (bench.module(DNS_MODULE).await, bench.module(ADDRESS_MODULE).await);
    let named = format!("<claws:match ns='{DHCP}' event='lease-renewed'/>");
    assert_eq!(bench.post(ADDRESS_MODULE, &subscribe("a", &named)).await.status, 202);
    let ack = bind(&bench, 1).await;
    renew(&bench, 1, ack.yiaddr).await;
    let renewed = module.next().await;
    assert_eq!((renewed.event(), renewed.text(DHCP, "cause")), ("lease-renewed", "renew".to_owned()));

    let conflicts = format!("<claws:match ns='{LAN}'/><claws:match has='vendor-class' event='lease-granted'/>");
    assert_eq!(bench.post(ADDRESS_MODULE, &subscribe("a", &conflicts)).await.status, 202);
    renew(&bench, 1, ack.yiaddr).await;
    let conflict = |last: u8| {
        let (network, ip) = ("guest-network".to_owned(), [192, 168, 50, last].into());
        Change::Quarantined { network, ip, until: Wall(4_000_000_000_000), mac: None }
    };
    let ended = Change::LeaseEnded { network: "guest-network".to_owned(), ip: ack.yiaddr.into(), end: End::Expired };
    bench.ledger.commit(vec![ended, conflict(9)]).await.expect("committed");
    assert_eq!(module.next().await.event(), "address-conflict", "neither the renewal nor the end");
    bind(&bench, 2).await;
    assert_eq!(module.next().await.event(), "lease-granted", "it has a vendor class");

    // who may not see the namespace hears nothing of it, and still what it may
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", "02:00:00:00:00:01", "")).await.status, 202);
    assert_eq!(deaf.next().await.event(), "add-host");
    // a frontend sees its own transactions, and no leases
    let mut frontend = bench.frontend("Web Client").await;
    bind(&bench, 3).await;
    assert_eq!(bench.post("Web Client", &add_host(2, "pc2", "02:00:00:00:00:02", "")).await.status, 202);
    // of the first one it may see the end meanwhile
    loop {
        let frame = frontend.next().await;
        assert!(!frame.event().starts_with("lease"), "{}", frame.event());
        if frame.message.attribute("txid") == Some(txid_of(2).as_str()) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_and_asks_for_them_hears_notices_too() {
    let bench = start(patient(), true, Memory::default()).await;
    let mut root = bench.frontend("root").await;
    bind(&bench, 1).await;
    assert_eq!(bench.post("root", &subscribe("x", &format!("<claws:match ns='{DHCP}'/>"))).await.status, 202);
    bind(&bench, 2).await;
    let granted = root.next().await;
    assert_eq!((granted.event(), granted.text(HOST, "mac-addr")), ("lease-granted", "02:77:00:00:00:02".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_comes_in_its_place_but_for_extensions() {
    let bench = start(patient(), true, Memory::default()).await;
    let first = bind(&bench, 1).await;
    let start = bench.ledger.head();
    renew(&bench, 1, first.yiaddr).await;
    bind(&bench, 2).await;
    bench
        .post_with("Web Client", add_host(1, "pc1", "02:00:00:00:00:01", "").as_bytes(), &[("prefer", "wait=10")])
        .await;
    bind(&bench, 3).await;
    let named = "<claws:match event='lease-renewed'/><claws:match/>";
    let mut module = bench.open(ADDRESS_MODULE, "role=module", Some(&start.to_string())).await.ok().expect("open");
    assert_eq!(bench.post(ADDRESS_MODULE, &subscribe("a", named)).await.status, 202);
    let mut frames = vec![module.next().await, module.next().await, module.next().await];
    let events: Vec<&str> = frames.iter().map(Frame::event).collect();
    assert_eq!(events, ["lease-granted", "add-host", "lease-granted"]);
    renew(&bench, 1, first.yiaddr).await;
    frames.push(module.next().await);
    assert_eq!(frames[3].event(), "lease-renewed", "live, it comes");
    in_order(&frames);
    assert_eq!(bench.until("Web Client", &txid_of(1), &["completed", "applying"]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_that_run_low_and_clients_that_nobody_serves_are_told_of() {
    let bench = start(patient(), true, Memory::default()).await;
    let mut module = bench.module(ADDRESS_MODULE).await;
    // six addresses: five are 83 %
    for n in 1..=4 {
        bind(&bench, n).await;
        module.event("lease-granted").await;
    }
    bind(&bench, 5).await;
    let low = module.event("pool-low").await;
    assert_eq!(low.message.find(LAN, "pool-low").and_then(|e| e.attribute("percent")), Some("80"));
    assert_eq!((low.text(LAN, "free"), low.text(LAN, "size")), ("1".to_owned(), "6".to_owned()));
    bind(&bench, 6).await;
    let full = module.event("pool-low").await;
    assert_eq!(full.message.find(LAN, "pool-low").and_then(|e| e.attribute("percent")), Some("100"));

    let before = bench.ledger.head();
    let stranger = Message::new(DISCOVER, 7, mac(7)).with(12, "guest");
    for _ in 0..3 {
        ask(&bench, &stranger, "eth7", false).await;
    }
    let unknown = module.event("unknown-client").await;
    assert_eq!(
        (unknown.text(HOST, "mac-addr"), unknown.text(DHCP, "reason")),
        ("02:77:00:00:00:07".into(), "no-subnet".into())
    );
    assert_eq!((unknown.text(DHCP, "interface"), unknown.text(HOST, "hostname")), ("eth7".into(), "guest".into()));
    // a full pool is the pool's matter, and the same stranger is no news
    ask(&bench, &Message::new(DISCOVER, 8, mac(8)), "eth0", false).await;
    assert_eq!(bench.ledger.head(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_listener_costs_nobody_else_and_misses_nothing() {
    let bench = start(patient(), true, Memory::default()).await;
    let (mut slow, mut quick) = (bench.module(DNS_MODULE).await, bench.module(ADDRESS_MODULE).await);
    let Change::LeaseGranted(lease) = granted(&bench).await else { unreachable!("it was granted") };
    // more than is kept for streams, while one of them reads nothing at all
    let total = 8_500_u32;
    for chunk in (1..=total).collect::<Vec<_>>().chunks(500) {
        let changes = chunk.iter().map(|n| {
            let ip = Ipv4Addr::from_bits(0x0a00_0000 + n);
            Change::LeaseGranted(Box::new(crate::domain::lease::Lease { ip: ip.into(), ..(*lease).clone() }))
        });
        bench.ledger.commit(changes.collect()).await.expect("committed");
    }
    // the leases of others go on as ever
    let ack = tokio::time::timeout(GUARD, bind(&bench, 2)).await.expect("an ACK waits for no subscriber");
    for feed in [&mut quick, &mut slow] {
        let mut seen = 0;
        loop {
            let frame = feed.event("lease-granted").await;
            match frame.text(LAN, "address") {
                ip if ip == ack.yiaddr.to_string() => break,
                ip if ip.starts_with("10.") => seen += 1,
                _ => {}
            }
        }
        assert_eq!(seen, total);
    }
}

async fn granted(bench: &Bench) -> Change {
    bind(bench, 1).await;
    let lease = bench.leasing.leases().first().cloned().expect("a lease");
    Change::LeaseGranted(Box::new((*lease).clone()))
}

//! Commands about reservations, options and leases over real HTTP (DH-609): who sees the final event finds
//! them in force.

use super::bench::{ADDRESS_MODULE, Answer, Bench, add_host, settings, start, txid_of};
use super::dhcp::{ACK, DISCOVER, INFORM, Message, OFFER};
use super::notices::{SERVER, ask, bind, mac};
use crate::domain::change::Change;
use crate::domain::claws::access::Patterns;
use crate::domain::claws::{DHCP, LAN};
use crate::domain::lease::{Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;
use crate::service::bus::Settings;
use crate::store::memory::Memory;

const WAIT: &[(&str, &str)] = &[("prefer", "wait=15")];

/// A web client that may order leases, and modules that nobody misses.
fn permitted() -> Settings {
    let mut settings = settings();
    let web = settings.credentials.iter_mut().find(|c| c.name == "Web Client").expect("a credential");
    web.submit = Patterns(vec!["host:*".to_owned(), "dhcp:*".to_owned()]);
    Settings { heartbeat: std::time::Duration::from_secs(600), ..settings }
}

fn event(txid: u32, payload: &str) -> String {
    format!(
        "<claws:event txid='{}'><claws:source>Web Client</claws:source><claws:identity>Alice</claws:identity>\
         {payload}</claws:event>",
        txid_of(txid)
    )
}

async fn order(bench: &Bench, txid: u32, payload: &str) -> Answer {
    bench.post_with("Web Client", event(txid, payload).as_bytes(), WAIT).await
}

fn reserve(n: u8, ip: &str) -> String {
    format!(
        "<dhcp:add-reservation><host:mac-addr>{}</host:mac-addr><lan:address>{ip}</lan:address>\
         <host:hostname>desk-{n}</host:hostname></dhcp:add-reservation>",
        Mac(mac(n))
    )
}

/// The options that a client with an address is told.
async fn told(bench: &Bench, n: u8, ip: std::net::Ipv4Addr, code: u8) -> Option<Vec<u8>> {
    let mut inform = Message::new(INFORM, 77, mac(n)).with(55, [1, 3, code]);
    inform.ciaddr = ip;
    let ack = ask(bench, &inform, "eth0", true).await.expect("an answer");
    assert_eq!(ack.kind(), ACK);
    ack.option(code).map(<[u8]>::to_vec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_is_in_force_when_its_final_event_is_seen_and_gone_when_it_is_removed() {
    let bench = start(permitted(), true, Memory::default()).await;
    let mut module = bench.module(ADDRESS_MODULE).await;
    for n in 1..=5 {
        assert_eq!(
            bench.post("Web Client", &event(n.into(), &reserve(n, &format!("192.168.50.{}", 100 + n)))).await.status,
            202
        );
        assert_eq!(module.event("add-reservation").await.status(), "provisional");
        let update = format!("<claws:event-update txid='{}'/>", txid_of(n.into()));
        assert_eq!(bench.post(ADDRESS_MODULE, &update).await.status, 202);
        assert_eq!(module.event("add-reservation").await.status(), "final");
        let offer = ask(&bench, &Message::new(DISCOVER, 1, mac(n)), "eth0", true).await.expect("an offer");
        assert_eq!((offer.kind(), offer.yiaddr.octets()[3]), (OFFER, 100 + n), "at once");
    }
    drop(module);
    let twice = order(&bench, 10, &reserve(1, "192.168.50.120")).await;
    assert_eq!((twice.status, twice.attribute("reason")), (409, "conflict"));
    let rival = order(&bench, 11, &reserve(9, "192.168.50.101")).await;
    assert_eq!((rival.status, rival.attribute("reason")), (409, "conflict"));
    let elsewhere = order(&bench, 12, &reserve(9, "10.1.1.1")).await;
    assert_eq!((elsewhere.status, elsewhere.attribute("reason")), (409, "invalid"));

    let remove =
        format!("<dhcp:remove-reservation><host:mac-addr>{}</host:mac-addr></dhcp:remove-reservation>", Mac(mac(1)));
    assert_eq!(order(&bench, 13, &remove).await.status, 200);
    assert_eq!(bench.leasing.reservations().len(), 4);
    let gone = order(&bench, 14, &remove).await;
    assert_eq!((gone.status, gone.attribute("reason")), (409, "unknown-reservation"));
    let by_address = "<dhcp:remove-reservation><lan:address>192.168.50.102</lan:address></dhcp:remove-reservation>";
    assert_eq!(order(&bench, 15, by_address).await.status, 200);
    // what it undid can be ordered anew
    assert_eq!(order(&bench, 16, &reserve(1, "192.168.50.101")).await.status, 200);
    assert_eq!(bench.leasing.reservations().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_set_changed_and_unset_for_a_client_and_for_a_host() {
    let bench = start(permitted(), true, Memory::default()).await;
    let ack = bind(&bench, 1).await;
    let client = format!("<host:mac-addr>{}</host:mac-addr>", Mac(mac(1)));
    let set = |who: &str, text: &str| {
        format!("<dhcp:set-option>{who}<dhcp:custom-option number='252'>{text}</dhcp:custom-option></dhcp:set-option>")
    };
    let unset = |who: &str| format!("<dhcp:unset-option>{who}<dhcp:custom-option number='252'/></dhcp:unset-option>");
    assert_eq!(told(&bench, 1, ack.yiaddr, 252).await, None);
    assert_eq!(order(&bench, 1, &set(&client, r"\n")).await.status, 200);
    assert_eq!(told(&bench, 1, ack.yiaddr, 252).await, Some(b"\n".to_vec()), "DH-405");
    assert_eq!(order(&bench, 2, &set(&client, "http://wpad/x")).await.status, 200);
    assert_eq!(told(&bench, 1, ack.yiaddr, 252).await, Some(b"http://wpad/x".to_vec()));
    assert_eq!(order(&bench, 3, &unset(&client)).await.status, 200);
    assert_eq!(told(&bench, 1, ack.yiaddr, 252).await, None);
    let again = order(&bench, 4, &unset(&client)).await;
    assert_eq!((again.status, again.attribute("reason")), (409, "unknown-option"));

    let host = add_host(5, "pc2", &Mac(mac(2)).to_string(), "");
    assert_eq!(bench.post_with("Web Client", host.as_bytes(), WAIT).await.status, 200);
    let ack = bind(&bench, 2).await;
    let named = "<host:hostname>PC2</host:hostname>";
    assert_eq!(order(&bench, 6, &set(named, "x")).await.status, 200);
    assert_eq!(told(&bench, 2, ack.yiaddr, 252).await, Some(b"x".to_vec()));
    // what belongs to a host is changed there
    let foreign = order(&bench, 7, &set(&format!("<host:mac-addr>{}</host:mac-addr>", Mac(mac(2))), "y")).await;
    assert_eq!((foreign.status, foreign.attribute("reason")), (409, "foreign"));
    assert_eq!(order(&bench, 8, &unset(named)).await.status, 200);
    assert_eq!(told(&bench, 2, ack.yiaddr, 252).await, None);
    let nobody = order(&bench, 9, &set("<host:hostname>nobody</host:hostname>", "x")).await;
    assert_eq!((nobody.status, nobody.attribute("reason")), (409, "unknown-host"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_released_by_order_and_the_notice_follows_the_final_event() {
    let bench = start(permitted(), true, Memory::default()).await;
    let ack = bind(&bench, 1).await;
    let mut root = bench.frontend("root").await;
    let named = format!(
        "<claws:subscribe xmlns:claws='urn:openclaws:ns:claws:1' id='a'><claws:match ns='{DHCP}'/></claws:subscribe>"
    );
    assert_eq!(bench.post("root", &named).await.status, 202);
    let release = format!("<dhcp:release-lease><lan:address>{}</lan:address></dhcp:release-lease>", ack.yiaddr);
    assert_eq!(order(&bench, 1, &release).await.status, 200);
    assert!(bench.leasing.leases().is_empty());
    let mut events = Vec::new();
    while events.last().map(String::as_str) != Some("lease-released") {
        let frame = root.next().await;
        if frame.percent().is_none() && frame.status() == "final" {
            events.push(frame.event().to_owned());
            if frame.event() == "lease-released" {
                let texts = (frame.text(DHCP, "cause"), frame.text(LAN, "address"));
                assert_eq!(texts, ("revoked".to_owned(), ack.yiaddr.to_string()));
            }
        }
    }
    assert_eq!(events, ["release-lease", "lease-released"]);
    let gone = order(&bench, 2, &release).await;
    assert_eq!((gone.status, gone.attribute("reason")), (409, "unknown-lease"));
    // its client is served anew
    let again = bind(&bench, 1).await;
    assert_eq!(again.ip(54), Some(SERVER));
    assert!(bench.leasing.lease("guest-network", again.yiaddr.into()).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_need_the_right_and_leave_the_configuration_alone() {
    let bench = start(permitted(), true, Memory::default()).await;
    let theirs = event(1, &reserve(1, "192.168.50.101")).replace("Web Client", "Other Client");
    let refused = bench.post("Other Client", &theirs).await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));
    let of_config = Reservation {
        keys: vec![ReservationKey::Mac(Mac(mac(3)))],
        ip: Some([192, 168, 50, 103].into()),
        ..Reservation::new("c", Origin::Config("lanlord.toml:7".to_owned()))
    };
    bench.ledger.commit(vec![Change::ReservationPut(Box::new(of_config))]).await.expect("committed");
    let remove = "<dhcp:remove-reservation><dhcp:id>c</dhcp:id></dhcp:remove-reservation>";
    let refused = order(&bench, 2, remove).await;
    assert_eq!((refused.status, refused.attribute("reason")), (409, "foreign"));
    let nonsense = "<dhcp:set-option><host:hostname>x</host:hostname><dhcp:custom-option number='53'>1</dhcp:custom-option></dhcp:set-option>";
    let refused = order(&bench, 3, nonsense).await;
    assert_eq!((refused.status, refused.attribute("reason")), (409, "invalid"));
    assert_eq!(bench.leasing.reservations().len(), 1);
}

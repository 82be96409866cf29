//! The failure scenarios of the claws reference, section 13, that need no killed process.

use std::time::Duration;

use super::bench::{
    ADDRESS_MODULE, DNS_MODULE, Feed, add_host, append, required, settings, start, txid_of, with_dns_module,
};
use crate::domain::change::Change;
use crate::domain::claws::CLAWS;
use crate::domain::claws::xml::{Element, MESSAGE};
use crate::store::memory::Memory;

const MAC: &str = "02:00:00:00:00:01";
const WAIT: &[(&str, &str)] = &[("prefer", "wait=15")];

/// The provisional event's number, once the module has it.
async fn asked(module: &mut Feed) -> String {
    module.status("provisional").await.seq()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_an_optional_module_that_dies_is_not_waited_for() {
    let bench = start(settings(), true, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    asked(&mut dns).await;
    drop(dns);
    let answer = bench.until("Web Client", &txid_of(1), &["completed", "cancelled"]).await;
    assert_eq!(answer.state(), "completed");
    assert_eq!(outcome(answer.body.as_ref(), DNS_MODULE), "gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_an_optional_module_that_hangs_is_given_up_at_its_timeout() {
    let settings = with_dns_module(|module| module.policy.timeout = Duration::from_millis(100));
    let bench = start(settings, true, Memory::default()).await;
    let _dns = bench.module(DNS_MODULE).await;
    let answer = bench.post_with("Web Client", add_host(1, "pc1", MAC, "").as_bytes(), WAIT).await;
    assert_eq!((answer.status, answer.state()), (200, "applying"));
    assert_eq!(outcome(answer.body.as_ref(), DNS_MODULE), "timed-out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_a_required_module_that_dies_cancels_and_frees_the_reservations() {
    let bench = start(with_dns_module(required), true, Memory::default()).await;
    let absent = bench.post_with("Web Client", add_host(1, "pc1", MAC, "").as_bytes(), WAIT).await;
    assert_eq!((absent.status, absent.attribute("reason")), (409, "module-unavailable"));
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(2, "pc1", MAC, "")).await.status, 202);
    asked(&mut dns).await;
    drop(dns);
    let answer = bench.until("Web Client", &txid_of(2), &["cancelled"]).await;
    assert_eq!(answer.attribute("reason"), "module-unavailable");
    assert_eq!(bench.hosts.count(), 0);
    // six addresses are in the pool: had the two attempts kept theirs, these would not fit
    for n in 3..9 {
        let held = bench.leasing.hold(&format!("test{n}"), None, None, crate::domain::time::Mono(u64::MAX));
        assert!(held.is_ok(), "{held:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_f4_an_update_counts_once_a_different_or_late_one_never() {
    let bench = start(settings(), false, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    let mut lan = bench.module(ADDRESS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    let re = asked(&mut dns).await;
    let name = |name: &str| append(&txid_of(1), &re, &format!("<dns:fqdn>{name}.example.com</dns:fqdn>"));
    assert_eq!(bench.post(DNS_MODULE, &name("a")).await.status, 202);
    assert_eq!(bench.post(DNS_MODULE, &name("a")).await.status, 202, "the same again");
    let other = bench.post(DNS_MODULE, &name("b")).await;
    assert_eq!((other.status, other.code()), (409, "already-answered"));
    asked(&mut lan).await;
    assert_eq!(bench.post(ADDRESS_MODULE, &append(&txid_of(1), &re, "")).await.status, 202);
    let frame = dns.status("final").await;
    assert_eq!(frame.payload().find(crate::domain::claws::DNS, "fqdn").unwrap().text(), "a.example.com");
    let late =
        bench.post(ADDRESS_MODULE, &append(&txid_of(1), &re, "<lan:address name='e'>192.0.2.9</lan:address>")).await;
    assert_eq!((late.status, late.code()), (409, "round-closed"));
    audited(&bench, ADDRESS_MODULE, "claws.round-closed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_hostile_bodies_are_refused_quickly_and_others_are_served() {
    let bench = start(settings(), false, Memory::default()).await;
    let deep = "<a>".repeat(80_000);
    let bomb = "<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><a>&b;</a>";
    let cases: [(&[u8], u16); 7] = [
        (bomb.as_bytes(), 400),
        (b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", 400),
        (deep.as_bytes(), 400),
        (b"\xff\xfe<\0a\0/\0>\0", 400),
        (b"<a>\0</a>", 400),
        (b"", 400),
        (&vec![b' '; MESSAGE + 1], 413),
    ];
    for (body, status) in cases {
        let answer = bench.post_with("Web Client", body, &[]).await;
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&body[..body.len().min(40)]));
        assert!(answer.body.is_some_and(|body| body.is(CLAWS, "error")));
    }
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_a_submission_is_one_transaction_however_often_it_is_sent() {
    let bench = start(settings(), true, Memory::default()).await;
    let body = add_host(1, "pc1", MAC, "");
    let all = (0..100).map(|_| bench.post("Web Client", &body));
    for answer in futures_util::future::join_all(all).await {
        assert!([200, 202].contains(&answer.status), "{}", answer.status);
    }
    let done = bench.until("Web Client", &txid_of(1), &["completed"]).await;
    let begun = |change: &Change| matches!(change, Change::TxAccepted(_));
    assert_eq!(bench.disk.recovered().entries.iter().filter(|e| begun(&e.change)).count(), 1);
    let again = bench.post("Web Client", &body).await;
    assert_eq!((again.status, again.attribute("digest")), (200, done.attribute("digest")));
    let reuse = bench.post("Web Client", &add_host(1, "pc2", MAC, "")).await;
    assert_eq!((reuse.status, reuse.code()), (409, "txid-reuse"));
    let theirs = add_host(1, "pc3", "02:00:00:00:00:03", "").replace("Web Client", "Other Client");
    assert_eq!(bench.post("Other Client", &theirs).await.status, 202, "a txid is its source's own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_modules_that_name_differently_are_both_named() {
    let mut settings = settings();
    settings.credentials.iter_mut().find(|c| c.name == ADDRESS_MODULE).unwrap().append.0.push("dns".to_owned());
    let bench = start(settings, false, Memory::default()).await;
    let (mut dns, mut lan) = (bench.module(DNS_MODULE).await, bench.module(ADDRESS_MODULE).await);
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    let re = asked(&mut dns).await;
    asked(&mut lan).await;
    let says = |name: &str| append(&txid_of(1), &re, &format!("<dns:fqdn>{name}.example.com</dns:fqdn>"));
    assert_eq!(bench.post(DNS_MODULE, &says("a")).await.status, 202);
    assert_eq!(bench.post(ADDRESS_MODULE, &says("b")).await.status, 202);
    let answer = bench.until("Web Client", &txid_of(1), &["cancelled"]).await;
    assert_eq!(answer.attribute("reason"), "conflict");
    let text = answer.body.map(|body| body.write()).unwrap_or_default();
    assert!(text.contains("a.example.com") && text.contains("b.example.com"), "{text}");
    assert_eq!(dns.status("cancelled").await.message.attribute("reason"), Some("conflict"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_of_two_transactions_that_want_one_thing_exactly_one_is_final() {
    let bench = start(settings(), false, Memory::default()).await;
    let address = "<lan:address name='e'>192.168.50.7</lan:address>";
    let bodies: Vec<String> =
        (0..8).map(|n| add_host(n, &format!("pc{n}"), &format!("02:00:00:00:01:0{n}"), address)).collect();
    let all = bodies.iter().map(|body| bench.post_with("Web Client", body.as_bytes(), WAIT));
    let states: Vec<u16> = futures_util::future::join_all(all).await.iter().map(|a| a.status).collect();
    assert_eq!(states.iter().filter(|s| **s == 200).count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|s| **s == 409).count(), 7, "{states:?}");
    assert_eq!(bench.hosts.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_strangers_are_refused_by_name() {
    let bench = start(settings(), false, Memory::default()).await;
    let body = add_host(1, "pc1", MAC, "");
    assert_eq!(bench.post("", &body).await.status, 401);
    let code = |answer: super::bench::Answer| (answer.status, answer.code().to_owned());
    assert_eq!(code(bench.post("Other Client", &body).await), (403, "source-mismatch".to_owned()));
    assert_eq!(code(bench.post("Web Client", &body.replace("Alice", "Bob")).await), (403, "forbidden".to_owned()));
    let zone = body.replace("host:add-host", "dns:add-zone");
    assert_eq!(code(bench.post("Web Client", &zone).await), (403, "forbidden".to_owned()));
    assert_eq!(bench.open("Web Client", "role=module", None).await.map_err(|a| a.status).err(), Some(403));
    assert_eq!(bench.open("", "role=frontend", None).await.map_err(|a| a.status).err(), Some(401));
    audited(&bench, "Other Client", "claws.source-mismatch").await;
    audited(&bench, "Web Client", "claws.forbidden").await;
    assert_eq!(bench.post("Web Client", &body).await.status, 202);
    assert_eq!(bench.get("Other Client", &format!("/claws/v1/tx/{}", txid_of(1))).await.status, 404, "CL-704");
    assert_eq!(bench.get("root", &format!("/claws/v1/tx/{}", txid_of(1))).await.status, 200);
    let plain = bench.post_with("Web Client", body.as_bytes(), &[("content-type", "text/plain")]).await;
    assert_eq!((plain.status, plain.code()), (415, "media-type"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_f16_answers_beyond_ones_rights_change_nothing() {
    let bench = start(settings(), false, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    let re = asked(&mut dns).await;
    let foreign = append(&txid_of(1), &re, "<lan:address name='e'>192.0.2.1</lan:address>");
    let by_frontend = bench.post("Web Client", &foreign).await;
    assert_eq!((by_frontend.status, by_frontend.code()), (403, "not-member"));
    let progress = format!(
        "<claws:event txid='{}'><claws:source>Other Client</claws:source><claws:correlation-id>{}</claws:correlation-id>\
         <claws:progress-percent>5</claws:progress-percent></claws:event>",
        txid_of(9),
        txid_of(1)
    );
    assert_eq!(bench.post("Other Client", &progress).await.code(), "not-member");
    let denied = bench.post(DNS_MODULE, &foreign).await;
    assert_eq!((denied.status, denied.code()), (422, "denied"));
    let frame = dns.status("final").await;
    assert!(frame.payload().find(crate::domain::claws::LAN, "address").is_none());
    let end = bench.get("Web Client", &format!("/claws/v1/tx/{}", txid_of(1))).await;
    assert_eq!(outcome(end.body.as_ref(), DNS_MODULE), "denied");
    let inside = add_host(2, "pc2", MAC, "<dns:alias update-action='append'>x.example.com</dns:alias>");
    assert_eq!(bench.post("Web Client", &inside).await.code(), "grammar");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_a_frontend_that_reloads_sees_the_rest_and_others_see_nothing() {
    let bench = start(settings(), false, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    let mut other = bench.frontend("Other Client").await;
    let web = bench.frontend("Web Client").await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    let re = asked(&mut dns).await;
    drop(web);
    assert_eq!(bench.post(DNS_MODULE, &append(&txid_of(1), &re, "")).await.status, 202);
    let applied = dns.status("final").await.seq();
    let progress = format!(
        "<claws:event txid='{}'><claws:source>{DNS_MODULE}</claws:source><claws:correlation-id>{}</claws:correlation-id>\
         <claws:progress-percent>40</claws:progress-percent></claws:event>",
        txid_of(9),
        txid_of(1)
    );
    assert_eq!(bench.post(DNS_MODULE, &progress).await.status, 202);
    let mut web = bench.open("Web Client", "role=frontend", Some(&re)).await.map_err(|a| a.status).unwrap();
    let (mut forty, mut done) = (false, false);
    let ack = format!("<claws:ack txid='{}' seq='{applied}' result='applied'/>", txid_of(1));
    while !(forty && done) {
        let frame = web.next().await;
        done |= frame.status() == "final" && frame.percent().is_none();
        forty |= frame.percent().as_deref() == Some("40");
    }
    assert_eq!(bench.post(DNS_MODULE, &ack).await.status, 202);
    web.status("completed").await;
    assert!(other.within(Duration::from_millis(50)).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_who_joins_while_collecting_is_not_awaited_and_sees_the_final() {
    let bench = start(settings(), false, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    let re = asked(&mut dns).await;
    let mut lan = bench.module(ADDRESS_MODULE).await;
    assert_eq!(bench.post(DNS_MODULE, &append(&txid_of(1), &re, "")).await.status, 202);
    assert_eq!(lan.next().await.status(), "final");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_one_session_per_module_and_a_takeover_fences_the_older() {
    let bench = start(settings(), false, Memory::default()).await;
    let beat = "<claws:heartbeat/>";
    assert_eq!(bench.post(DNS_MODULE, beat).await.code(), "no-session");
    let mut old = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post(DNS_MODULE, beat).await.status, 202);
    let second = bench.open(DNS_MODULE, "role=module", None).await.map_err(|a| a.code().to_owned());
    assert_eq!(second.err().as_deref(), Some("session-live"));
    let _new = bench.open(DNS_MODULE, "role=module&takeover=true", None).await.map_err(|a| a.status).unwrap();
    assert_eq!(old.next().await.message.attribute("code"), Some("fenced"));
    let fenced = bench.post_with(DNS_MODULE, beat.as_bytes(), &[("claws-session", "old")]).await;
    assert_eq!((fenced.status, fenced.code()), (409, "fenced"));
    assert_eq!(bench.post(DNS_MODULE, beat).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cl511_three_missed_heartbeats_end_a_session() {
    let mut settings = with_dns_module(required);
    settings.heartbeat = Duration::from_millis(50);
    let bench = start(settings, false, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(dns.next().await.message.attribute("code"), Some("timed-out"));
    assert!(bench.bus.live_modules().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_full_disk_accepts_and_broadcasts_nothing() {
    let bench = start(settings(), true, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    bench.disk.refuse(true);
    let answer = bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await;
    assert_eq!((answer.status, answer.code()), (503, "journal-unavailable"));
    assert!(dns.within(Duration::from_millis(50)).await.is_none());
    bench.disk.refuse(false);
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    asked(&mut dns).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cl505_a_module_that_was_away_gets_the_finals_that_it_missed_once() {
    let bench = start(settings(), true, Memory::default()).await;
    for n in 1..4 {
        let body = add_host(n, &format!("pc{n}"), &format!("02:00:00:00:02:0{n}"), "");
        assert_eq!(bench.post_with("Web Client", body.as_bytes(), WAIT).await.status, 200);
    }
    let disk = bench.disk.clone();
    bench.bus.stop().await;
    bench.ledger.stop().await;
    // and after a restart, from history
    let bench = start(settings(), true, disk).await;
    let mut dns = bench.open(DNS_MODULE, "role=module", Some("0")).await.map_err(|a| a.status).unwrap();
    let mut last = 0;
    for n in 1..4 {
        let frame = dns.next().await;
        assert_eq!((frame.status(), frame.message.attribute("txid")), ("final", Some(txid_of(n).as_str())));
        let seq: u64 = frame.seq().parse().unwrap();
        assert!(seq > last);
        last = seq;
    }
    assert!(dns.within(Duration::from_millis(50)).await.is_none());
    let ahead =
        bench.open(DNS_MODULE, "role=module&takeover=true", Some("99999")).await.map_err(|a| a.code().to_owned());
    assert_eq!(ahead.err().as_deref(), Some("ahead"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cl305_a_restart_while_collecting_asks_again() {
    let bench = start(settings(), true, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    let re = asked(&mut dns).await;
    let disk = bench.disk.clone();
    bench.bus.stop().await;
    bench.ledger.stop().await;
    let bench = start(settings(), true, disk).await;
    let mut dns = bench.open(DNS_MODULE, "role=module", Some(&re)).await.map_err(|a| a.status).unwrap();
    let again = asked(&mut dns).await;
    assert_ne!(again, re);
    let name = append(&txid_of(1), &again, "<dns:fqdn>pc1.example.com</dns:fqdn>");
    assert_eq!(bench.post(DNS_MODULE, &name).await.status, 202);
    dns.status("final").await;
    assert_eq!(bench.hosts.find("pc1").unwrap().fqdn.as_deref(), Some("pc1.example.com"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cl305_a_restart_with_too_little_time_left_cancels() {
    let mut settings = settings();
    settings.deadline = Duration::from_millis(1_500);
    let bench = start(settings.clone(), true, Memory::default()).await;
    let mut dns = bench.module(DNS_MODULE).await;
    assert_eq!(bench.post("Web Client", &add_host(1, "pc1", MAC, "")).await.status, 202);
    asked(&mut dns).await;
    let disk = bench.disk.clone();
    bench.bus.stop().await;
    bench.ledger.stop().await;
    let bench = start(settings, true, disk).await;
    let answer = bench.until("Web Client", &txid_of(1), &["cancelled"]).await;
    assert_eq!(answer.attribute("reason"), "server-restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_host_frees_its_names_and_addresses() {
    let bench = start(settings(), true, Memory::default()).await;
    let body = add_host(1, "pc1", MAC, "<dns:auto-assign-fqdn/>");
    assert_eq!(bench.post_with("Web Client", body.as_bytes(), WAIT).await.status, 200);
    assert_eq!(bench.naming.records("pc1.guest.example.com").len(), 2);
    let remove = add_host(2, "pc1", MAC, "").replace("host:add-host", "host:remove-host");
    assert_eq!(bench.post_with("Web Client", remove.as_bytes(), WAIT).await.status, 200);
    assert_eq!((bench.hosts.count(), bench.naming.records("pc1.guest.example.com").len()), (0, 0));
    let again = remove.replace(&txid_of(2), &txid_of(3));
    let answer = bench.post_with("Web Client", again.as_bytes(), WAIT).await;
    assert_eq!((answer.status, answer.attribute("reason")), (409, "unknown-host"));
}

/// A line of the audit is in the journal, or comes soon.
async fn audited(bench: &super::bench::Bench, name: &str, word: &str) {
    let line = |change: &Change| matches!(change, Change::Audit { who, action, .. } if who == name && action == word);
    let waiting = async {
        while !bench.disk.recovered().entries.iter().any(|entry| line(&entry.change)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::bench::GUARD, waiting).await.expect("a line in the audit");
}

fn outcome(body: Option<&Element>, module: &str) -> String {
    let outcomes = body.into_iter().flat_map(Element::children).filter(|c| c.is(CLAWS, "outcome"));
    let mut mine = outcomes.filter(|o| o.attribute("module") == Some(module));
    mine.next().and_then(|o| o.attribute("result")).unwrap_or("").to_owned()
}

//! Conflict detection with simulated links.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;

use super::*;
use crate::domain::dhcp::meters::Rate;
use crate::service::leasing::{Probe, Question, Sighting};

/// A link: who answers at which address, and how often it was asked; a gate holds answers back.
struct Link {
    users: Mutex<HashMap<Ipv4Addr, Option<Mac>>>,
    asked: Mutex<Vec<Question>>,
    answers: Semaphore,
    count: AtomicUsize,
}

impl Link {
    fn with(users: &[(u8, Option<u8>)], answers: usize) -> Arc<Link> {
        let users = users.iter().map(|(at, mac)| (ip(*at), mac.map(|m| Mac([2, 0, 0, 0, 0, m])))).collect();
        let (asked, count) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Link { users: Mutex::new(users), asked, answers: Semaphore::new(answers), count })
    }

    fn asked(&self, at: u8) -> usize {
        self.asked.lock().unwrap().iter().filter(|question| question.ip == ip(at)).count()
    }
}

#[async_trait]
impl Probe for Link {
    async fn probe(&self, question: &Question) -> Sighting {
        self.asked.lock().unwrap().push(question.clone());
        self.answers.acquire().await.expect("open").forget();
        self.count.fetch_add(1, Ordering::AcqRel);
        self.users.lock().unwrap().get(&question.ip).map_or(Sighting::Nobody, |mac| Sighting::Somebody(*mac))
    }
}

fn probing(link: &Arc<Link>) -> Bench {
    let b = bench(Memory::default(), 1000);
    drop(b.leasing.probe_with(link.clone(), b.cancel.clone()).expect("the first prober"));
    b
}

fn quarantined(b: &Bench) -> Vec<Ipv4Addr> {
    b.leasing.core().book.quarantined().map(|(_, ip, _)| ip).collect()
}

#[tokio::test]
async fn a_newcomer_waits_for_its_probe_and_nobody_else_does() {
    let link = Link::with(&[], 0);
    let mut b = probing(&link);
    assert_eq!(b.push(&message(Kind::Discover, 1, 1, &[])), Received::Deferred);
    b.quiet().await;
    // others are served meanwhile: one that informs itself, and a reservation
    let from = Arrival { source: ip(50), ..arrival() };
    assert_eq!(b.leasing.receive(&from, &message(Kind::Inform, 2, 1, &[])), Received::Answered(Kind::Ack));
    assert_eq!(b.reply().await.0, Kind::Ack);
    // the newest datagram is the one that is answered, once
    assert_eq!(b.push(&message(Kind::Discover, 1, 7, &[])), Received::Deferred);
    link.answers.add_permits(1000);
    assert_eq!(b.reply().await, (Kind::Offer, ip(100)));
    b.quiet().await;
    assert_eq!(link.asked(100), 1);
}

/// DH-505: cached for a minute, candidates probed ahead.
#[tokio::test]
async fn the_next_addresses_are_probed_ahead_and_believed_for_a_minute() {
    let link = Link::with(&[], 1000);
    let mut b = probing(&link);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    assert_eq!(b.reply().await, (Kind::Offer, ip(100)));
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    while link.count.load(Ordering::Acquire) < 10 && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(link.count.load(Ordering::Acquire), 10, "the whole pool is looked at");
    assert_eq!(b.push(&message(Kind::Discover, 2, 1, &[])), Received::Answered(Kind::Offer));
    assert_eq!(b.reply().await.1, ip(101));
    assert_eq!(link.asked(101), 1);
    b.clock.forward(Duration::from_secs(61));
    assert_eq!(b.push(&message(Kind::Discover, 3, 1, &[])), Received::Deferred);
    assert_eq!(b.reply().await.0, Kind::Offer);
    assert_eq!(b.leasing.counters().iter().filter(|row| row.0 == "lanlord_dhcp_probes_total").count(), 3);
}

/// DH-506: quarantined with the MAC, the next one is tried, three at most.
#[tokio::test]
async fn an_address_in_use_is_quarantined_and_the_next_is_offered() {
    let link = Link::with(&[(100, Some(0x77))], 1000);
    let mut b = probing(&link);
    assert_eq!(b.push(&message(Kind::Discover, 1, 1, &[])), Received::Deferred);
    assert_eq!(b.reply().await, (Kind::Offer, ip(101)));
    assert_eq!(quarantined(&b), [ip(100)]);
    let noted = b.disk.recovered().entries.into_iter().map(|entry| entry.change).find_map(|change| match change {
        Change::Quarantined { ip, mac, .. } => Some((ip, mac)),
        _ => None,
    });
    assert_eq!(noted, Some((ip(100).into(), Some(Mac([2, 0, 0, 0, 0, 0x77])))));
}

#[tokio::test]
async fn at_most_three_addresses_are_tried() {
    let all: Vec<(u8, Option<u8>)> = (100..=109).map(|n| (n, None)).collect();
    let link = Link::with(&all, 1000);
    let mut b = probing(&link);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    b.quiet().await;
    assert_eq!(quarantined(&b).len(), 3);
}

#[tokio::test]
async fn an_answer_of_the_asker_itself_is_no_conflict() {
    let link = Link::with(&[(100, Some(1))], 1000);
    let mut b = probing(&link);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    assert_eq!(b.reply().await, (Kind::Offer, ip(100)));
    assert!(quarantined(&b).is_empty());
}

/// DH-505: not for renewals, reservations and what a client left within ten minutes; DH-506: no lease is
/// ever deleted, whoever answers.
#[tokio::test]
async fn holders_and_those_who_come_back_soon_are_not_probed() {
    let link = Link::with(&[], 1000);
    let mut b = probing(&link);
    let at = b.bind(1).await;
    link.users.lock().unwrap().insert(at, Some(Mac([2, 0, 0, 0, 0, 0x66])));
    b.clock.forward(Duration::from_secs(120));
    assert_eq!(b.push(&message(Kind::Discover, 1, 3, &[])), Received::Answered(Kind::Offer));
    assert_eq!(b.reply().await, (Kind::Offer, at));
    let mut release = message(Kind::Release, 1, 4, &[]);
    release[12..16].copy_from_slice(&at.octets());
    assert_eq!(b.leasing.receive(&Arrival { source: at, ..arrival() }, &release), Received::Committing);
    let gone = || b.leasing.core().book.leases().next().is_none();
    for _ in 0..500 {
        if gone() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    b.clock.forward(Duration::from_secs(300));
    assert_eq!(b.push(&message(Kind::Discover, 1, 5, &[])), Received::Answered(Kind::Offer));
    assert_eq!(b.reply().await, (Kind::Offer, at));
    b.clock.forward(Duration::from_secs(400));
    assert_eq!(b.push(&message(Kind::Discover, 1, 6, &[])), Received::Deferred, "more than ten minutes ago");
}

#[tokio::test]
async fn the_knob_turns_probing_off_and_so_does_a_storm() {
    let link = Link::with(&[], 0);
    let mut b = probing(&link);
    let mut off = policy("lan");
    off.rules.probe = false;
    b.leasing.reload(off);
    assert_eq!(b.push(&message(Kind::Discover, 1, 1, &[])), Received::Answered(Kind::Offer));
    b.reply().await;
    let mut on = policy("lan");
    on.rules.rates.client = Rate::of(0);
    b.leasing.reload(on);
    let answered = (0..250).filter(|n| {
        let received = b.push(&message(Kind::Discover, 2 + (n % 5) as u8, *n, &[]));
        received == Received::Answered(Kind::Offer)
    });
    assert!(answered.count() >= 45, "above 200 a second nobody waits");
}

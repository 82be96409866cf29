use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::change::Change;
use crate::domain::dhcp::policy::{LeaseTimes, Network, Pool, Subnet, Subnet6};
use crate::domain::dhcp::v4::Arrival;
use crate::domain::dhcp::wire::{COOKIE, Packet, code};
use crate::domain::dns::naming::{self, NameRequest};
use crate::domain::host::{Host, Interface};
use crate::domain::lease::{End, Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;
use crate::domain::time::{Mono, Wall};
use crate::store::memory::Memory;
use crate::store::{Port, PortError, Recovered};

/// Booting beside another server.
mod boot;
/// Clocks that somebody sets.
mod clocks;
/// Floods.
mod flood;
/// Conflict detection.
mod probing;
/// DHCPv6.
mod six;

struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

/// A clock that the test moves.
#[derive(Default)]
struct Hands(AtomicU64, AtomicI64);

impl Hands {
    /// Somebody sets the time of day.
    fn step(&self, seconds: i64) {
        self.1.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn wall(&self) -> Wall {
        Wall(1_700_000_000_000 + self.0.load(Ordering::SeqCst) as i64 + self.1.load(Ordering::SeqCst))
    }

    fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::SeqCst))
    }
}

/// A disk that lets one batch through for each permit.
struct Gated(Memory, Arc<Semaphore>);

impl Port for Gated {
    async fn append(&mut self, batch: crate::store::ledger::Batch) -> Result<(), PortError> {
        self.1.acquire().await.expect("never closed").forget();
        self.0.append(batch).await
    }

    async fn fold(&mut self) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn close(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

struct Bench {
    leasing: Arc<Leasing>,
    replies: Replies,
    ledger: Ledger,
    disk: Memory,
    gate: Arc<Semaphore>,
    clock: Arc<Hands>,
    cancel: CancellationToken,
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn policy(name: &str) -> Policy {
    let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap());
    subnet.pools = vec![Pool::new(ip(100), ip(109))];
    subnet.times = Some(LeaseTimes { default: 600, min: 60, max: 3600, infinite: false });
    let mut network = Network { name: name.to_owned(), interface: Some("eth0".to_owned()), ..Network::default() };
    network.subnets = vec![subnet];
    network.subnets6 = vec![Subnet6::new("2001:db8::/64".parse().unwrap())];
    network.domain = "lan.example".to_owned();
    network.vlan = Some(7);
    Policy::new(vec![network])
}

/// A daemon's leasing on what a disk remembers; `permits` batches can be written before somebody adds more.
fn bench(disk: Memory, permits: usize) -> Bench {
    let clock = Arc::new(Hands::default());
    let (leasing, replies) = Leasing::new(policy("lan"), Arc::new(PlainNames), clock.clone());
    let recovered: Recovered = disk.recovered();
    let gate = Arc::new(Semaphore::new(permits));
    let port = Gated(disk.clone(), gate.clone());
    let (ledger, _) = Ledger::start(port, recovered, vec![leasing.view()], clock.clone());
    let cancel = CancellationToken::new();
    drop(leasing.start(ledger.clone(), cancel.clone()));
    Bench { leasing, replies, ledger, disk, gate, clock, cancel }
}

fn message(kind: Kind, client: u8, xid: u32, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = vec![0u8; 240];
    out[..3].copy_from_slice(&[1, 1, 6]);
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    out[28..34].copy_from_slice(&[2, 0, 0, 0, 0, client]);
    out[236..].copy_from_slice(&COOKIE);
    out.extend([53, 1, kind.number()]);
    for (code, value) in options {
        out.extend([*code, value.len() as u8]);
        out.extend(*value);
    }
    out.push(255);
    out
}

fn arrival() -> Arrival<'static> {
    Arrival {
        interface: "eth0",
        local: ip(1),
        source: Ipv4Addr::UNSPECIFIED,
        source_port: 68,
        destination: Ipv4Addr::BROADCAST,
    }
}

fn select(client: u8, xid: u32, at: Ipv4Addr) -> Vec<u8> {
    let options: [(u8, &[u8]); 2] = [(code::SERVER_ID, &ip(1).octets()), (code::REQUESTED_IP, &at.octets())];
    message(Kind::Request, client, xid, &options)
}

impl Bench {
    fn push(&self, datagram: &[u8]) -> Received {
        self.leasing.receive(&arrival(), datagram)
    }

    async fn reply(&mut self) -> (Kind, Ipv4Addr) {
        let wait = tokio::time::timeout(Duration::from_secs(5), self.replies.recv());
        let out = wait.await.expect("a reply").expect("an open channel");
        let packet = Packet::walk(&out.bytes).unwrap();
        (Kind::of(packet.option(53).unwrap()[0]).unwrap(), packet.yiaddr())
    }

    async fn quiet(&mut self) {
        let wait = tokio::time::timeout(Duration::from_millis(50), self.replies.recv());
        assert!(wait.await.is_err(), "nothing may be sent");
    }

    async fn bind(&mut self, client: u8) -> Ipv4Addr {
        self.push(&message(Kind::Discover, client, 1, &[]));
        let (_, at) = self.reply().await;
        assert_eq!(self.push(&select(client, 2, at)), Received::Committing);
        assert_eq!(self.reply().await, (Kind::Ack, at));
        at
    }

    fn granted(&self) -> usize {
        let entries = self.disk.recovered().entries;
        entries.iter().filter(|e| matches!(e.change, Change::LeaseGranted(_))).count()
    }
}

/// I2, DH-212: "never answered early, never committed twice".
#[tokio::test]
async fn an_ack_waits_for_its_commit_and_a_retransmission_joins_it() {
    let mut b = bench(Memory::default(), 0);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    let (kind, at) = b.reply().await;
    assert_eq!(kind, Kind::Offer);
    assert_eq!(b.push(&select(1, 2, at)), Received::Committing);
    assert_eq!(b.push(&select(1, 2, at)), Received::Joined);
    b.quiet().await;
    assert!(b.leasing.leases().is_empty(), "not visible before it is durable");
    b.gate.add_permits(1);
    assert_eq!(b.reply().await, (Kind::Ack, at));
    assert_eq!(b.leasing.leases().len(), 1, "visible before the ACK leaves");
    b.quiet().await;
    assert_eq!(b.granted(), 1);
    assert_eq!(b.leasing.in_flight(), 0);
}

/// Messages of one client are handled in the order in which they came.
#[tokio::test]
async fn another_message_of_the_client_waits_for_its_commit() {
    let mut b = bench(Memory::default(), 0);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    let (_, at) = b.reply().await;
    b.push(&select(1, 2, at));
    assert_eq!(b.push(&message(Kind::Decline, 1, 3, &[(50, &at.octets())])), Received::Deferred);
    // somebody else is not held up, and does not get the address
    b.push(&message(Kind::Discover, 2, 4, &[(50, &at.octets())]));
    let (kind, other) = b.reply().await;
    assert!(kind == Kind::Offer && other != at);
    b.gate.add_permits(2);
    assert_eq!(b.reply().await, (Kind::Ack, at));
    b.quiet().await;
    let last = b.disk.recovered().entries.pop().unwrap().change;
    assert!(matches!(last, Change::LeaseEnded { end: End::Declined { .. }, .. }), "{last:?}");
}

/// DH-213: "Commit failed: roll back the pending lease, send nothing".
#[tokio::test]
async fn a_failed_commit_is_silence_and_leaves_no_trace() {
    let mut b = bench(Memory::default(), 100);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    let (_, at) = b.reply().await;
    b.disk.refuse(true);
    assert_eq!(b.push(&select(1, 2, at)), Received::Committing);
    b.quiet().await;
    assert!(b.leasing.leases().is_empty() && b.leasing.in_flight() == 0);
    b.disk.refuse(false);
    b.push(&select(1, 2, at));
    assert_eq!(b.reply().await, (Kind::Ack, at));
    let failed = b.leasing.counters().into_iter().find(|(_, labels, _)| labels == &[("reason", "commit-failed")]);
    assert_eq!(failed.map(|(_, _, n)| n), Some(1));
}

#[tokio::test]
async fn a_restart_finds_the_leases_again() {
    let mut b = bench(Memory::default(), 100);
    let at = b.bind(1).await;
    b.cancel.cancel();
    b.ledger.stop().await;
    let mut again = bench(b.disk.clone(), 100);
    assert_eq!(again.leasing.leases().len(), 1);
    assert_eq!(again.push(&message(Kind::Request, 1, 9, &[(50, &at.octets())])), Received::Answered(Kind::Ack));
    assert_eq!(again.reply().await, (Kind::Ack, at));
    again.push(&message(Kind::Discover, 2, 9, &[(50, &at.octets())]));
    assert_ne!(again.reply().await.1, at);
}

/// DH-509.
#[tokio::test]
async fn leases_that_are_over_end_in_the_ledger() {
    let mut b = bench(Memory::default(), 100);
    let at = b.bind(1).await;
    b.clock.forward(Duration::from_secs(601));
    tokio::time::sleep(2 * release::TICK).await;
    assert!(b.leasing.leases().is_empty());
    let last = b.disk.recovered().entries.pop().unwrap().change;
    assert_eq!(last, Change::LeaseEnded { network: "lan".to_owned(), ip: at.into(), end: End::Expired });
}

#[tokio::test]
async fn an_expiry_that_cannot_be_written_keeps_the_lease() {
    let mut b = bench(Memory::default(), 100);
    b.bind(1).await;
    b.clock.forward(Duration::from_secs(601));
    b.disk.refuse(true);
    assert_eq!(b.leasing.end_what_is_over(&b.ledger).await, 0);
    assert_eq!(b.leasing.leases().len(), 1);
    b.disk.refuse(false);
    assert_eq!(b.leasing.end_what_is_over(&b.ledger).await, 1);
    assert!(b.leasing.leases().is_empty());
}

/// DH-507: "A step > 2 s expires nothing early and revives nothing".
#[tokio::test]
async fn a_step_of_the_wall_clock_ends_no_lease_early_and_none_late() {
    let mut b = bench(Memory::default(), 100);
    b.bind(1).await;
    b.clock.step(7200);
    assert_eq!(b.leasing.end_what_is_over(&b.ledger).await, 0);
    b.bind(2).await;
    b.clock.step(-20_000);
    b.bind(3).await;
    b.clock.forward(Duration::from_secs(599));
    assert_eq!(b.leasing.end_what_is_over(&b.ledger).await, 0);
    b.clock.forward(Duration::from_secs(2));
    assert_eq!(b.leasing.end_what_is_over(&b.ledger).await, 3);
}

/// DH-509: "Expiry in ledger batches <= 1000".
#[tokio::test]
async fn many_leases_end_a_thousand_at_a_time() {
    let mut b = bench(Memory::default(), 100);
    let at = b.bind(1).await;
    let one = b.leasing.lease("lan", at.into()).unwrap();
    let many = (0..2500u32).map(|n| {
        let ip = Ipv4Addr::from(u32::from(ip(0)) + 4096 + n);
        let client = ClientKey::Hw(1, n.to_be_bytes().to_vec());
        Change::LeaseGranted(Box::new(crate::domain::lease::Lease { ip: ip.into(), client, ..one.as_ref().clone() }))
    });
    b.ledger.commit(many.collect()).await.unwrap();
    assert_eq!(b.leasing.leases().len(), 2501);
    b.cancel.cancel();
    tokio::task::yield_now().await;
    b.clock.forward(Duration::from_secs(601));
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(b.leasing.end_what_is_over(&b.ledger).await);
    }
    assert_eq!(counts, [1000, 1000, 501, 0]);
}

#[tokio::test]
async fn a_reload_while_a_commit_is_in_flight_loses_nothing() {
    let mut b = bench(Memory::default(), 0);
    b.push(&message(Kind::Discover, 1, 1, &[]));
    let (_, at) = b.reply().await;
    b.push(&select(1, 2, at));
    let mut networks = vec![Network { name: "first".to_owned(), ..Network::default() }];
    networks.extend(policy("lan").networks);
    b.leasing.reload(Policy::new(networks));
    assert_eq!(b.push(&select(1, 2, at)), Received::Joined);
    b.gate.add_permits(10);
    assert_eq!(b.reply().await, (Kind::Ack, at));
    assert_eq!(b.push(&select(1, 3, at)), Received::Answered(Kind::Ack), "nothing is stuck in flight");
    // a network that is gone keeps its leases
    b.leasing.reload(policy("other"));
    assert_eq!(b.leasing.leases().len(), 1);
}

#[tokio::test]
async fn holds_are_offered_to_nobody_until_given_back() {
    let mut b = bench(Memory::default(), 100);
    let until = b.clock.mono().plus(Duration::from_secs(10));
    let held = b.leasing.hold("tx1", Some("7"), None, until).unwrap();
    assert_eq!(held.len(), 2);
    assert_eq!((held[0].ip, held[0].network.as_str()), (IpAddr::V4(ip(100)), "lan"));
    assert_eq!(held[1].ip, "2001:db8::64".parse::<IpAddr>().unwrap());
    let second = b.leasing.hold("tx2", None, None, until).unwrap();
    assert!(second[0].ip != held[0].ip && second[1].ip != held[1].ip);
    assert_ne!(b.bind(1).await, ip(100));
    b.leasing.unhold("tx1");
    b.push(&message(Kind::Discover, 2, 1, &[(50, &ip(100).octets())]));
    assert_eq!(b.reply().await.1, ip(100));
    assert!(matches!(b.leasing.hold("x", Some("nowhere"), None, until), Err(HoldError::NoNetwork(_))));
    // a host keeps the address that it has
    let at = b.bind(3).await;
    let own = b.leasing.hold("tx3", None, Some(Mac([2, 0, 0, 0, 0, 3])), until).unwrap();
    assert_eq!(own[0].ip, IpAddr::V4(at));
}

#[tokio::test]
async fn a_committed_host_is_served_at_once() {
    let mut b = bench(Memory::default(), 100);
    let until = b.clock.mono().plus(Duration::from_secs(10));
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let held = b.leasing.hold("tx", None, Some(mac), until).unwrap();
    let interface = Interface {
        name: "ethernet".to_owned(),
        mac: Some(mac),
        roaming: false,
        vlan: None,
        networks: Vec::new(),
        addresses: held.iter().map(|h| h.ip).collect(),
    };
    let host = Host {
        id: "alice-pc".to_owned(),
        hostname: "Alice-PC".to_owned(),
        fqdn: Some("alice-pc.lan.example".to_owned()),
        aliases: Vec::new(),
        interfaces: vec![interface],
        options: vec![crate::domain::host::CustomOption { number: 252, interface: None, family: 4, value: vec![0x0a] }],
        properties: Vec::new(),
    };
    b.ledger.commit(vec![Change::HostPut(Box::new(host))]).await.unwrap();
    b.leasing.unhold("tx");
    b.push(&message(Kind::Discover, 1, 1, &[(55, &[1, 3])]));
    let out = b.replies.recv().await.unwrap();
    let packet = Packet::walk(&out.bytes).unwrap();
    assert_eq!(IpAddr::V4(packet.yiaddr()), held[0].ip);
    assert_eq!(packet.option(252).as_deref(), Some(&[0x0a][..]), "fc 01 0a");
    let next = b.leasing.hold("tx2", None, None, until).unwrap();
    assert!(next.iter().all(|h| held.iter().all(|mine| mine.ip != h.ip)), "both families are taken");
}

#[tokio::test]
async fn reservations_of_users_come_and_go_and_rivals_are_named() {
    let mut b = bench(Memory::default(), 100);
    let reservation = |id: &str, mac: u8, at: u8| Reservation {
        keys: vec![ReservationKey::Mac(Mac([2, 0, 0, 0, 0, mac]))],
        ip: Some(ip(at).into()),
        ..Reservation::new(id, Origin::User("alice".to_owned()))
    };
    b.leasing.put_reservation(reservation("a", 1, 50)).await.unwrap();
    let refused = b.leasing.put_reservation(reservation("b", 2, 50)).await.unwrap_err();
    assert_eq!(refused.to_string(), "address 10.0.0.50 is taken by a");
    // of two addresses in one subnet only one could ever be served
    let refused = b.leasing.put_reservation(reservation("b", 1, 51)).await.unwrap_err();
    assert_eq!(refused.to_string(), "MAC 02:00:00:00:00:01 is taken by a");
    // both are free when they are asked for: the ledger's order decides
    let at_once = (0..8).map(|n| b.leasing.put_reservation(reservation(&format!("c{n}"), 10 + n, 60)));
    let made = futures_util::future::join_all(at_once).await;
    assert_eq!(made.iter().filter(|one| one.is_ok()).count(), 1);
    let taken = |one: &Result<_, ObjectError>| matches!(one, Err(ObjectError::Conflict(c)) if c.rival == "c0");
    assert_eq!(made.iter().filter(|one| taken(one)).count(), 7);
    assert!(matches!(b.leasing.remove_reservation("zzz").await, Err(ObjectError::Missing(_))));
    assert_eq!(b.bind(1).await, ip(50));
    b.leasing.remove_reservation("a").await.unwrap();
    b.leasing.revoke("lan", ip(50).into()).await.unwrap();
    assert!(b.leasing.leases().is_empty());
    assert!(matches!(b.leasing.revoke("lan", ip(50).into()).await, Err(ObjectError::Missing(_))));
    assert_eq!(b.bind(1).await, ip(100));
}

/// Without a ledger, or with its queue full, the client is not answered and nothing stays marked.
#[tokio::test]
async fn what_cannot_be_queued_has_not_happened() {
    let clock = Arc::new(Hands::default());
    let (leasing, mut replies) = Leasing::new(policy("lan"), Arc::new(PlainNames), clock);
    leasing.receive(&arrival(), &message(Kind::Discover, 1, 1, &[]));
    let offer = replies.recv().await.unwrap();
    let at = Packet::walk(&offer.bytes).unwrap().yiaddr();
    for _ in 0..2 {
        assert_eq!(leasing.receive(&arrival(), &select(1, 2, at)), Received::Overloaded);
    }
    assert_eq!(leasing.in_flight(), 0);
    assert_eq!(leasing.receive(&arrival(), &[0; 10]), Received::Malformed);
}

/// 200 clients at once: every one bound, no address twice, in few batches.
#[tokio::test]
async fn many_clients_share_batches_and_no_address() {
    let mut networks = policy("lan").networks;
    networks[0].subnets[0] = Subnet::new("10.8.0.0/16".parse().unwrap());
    networks[0].subnets[0].pools = vec![Pool::new(Ipv4Addr::new(10, 8, 1, 0), Ipv4Addr::new(10, 8, 9, 255))];
    let mut b = bench(Memory::default(), 0);
    b.leasing.reload(Policy::new(networks));
    for client in 0..200 {
        b.push(&message(Kind::Discover, client, 1, &[]));
    }
    for client in 0..200 {
        let (_, at) = b.reply().await;
        b.push(&select(client, 2, at));
    }
    b.gate.add_permits(3);
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let (kind, at) = b.reply().await;
        assert_eq!(kind, Kind::Ack);
        assert!(seen.insert(at), "{at} twice");
    }
    assert_eq!((b.granted(), b.leasing.leases().len()), (200, 200));
}

/// The packet log.
mod steps;

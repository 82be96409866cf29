//! DHCPv6 through the service: the same ledger, order and rollback as DHCPv4.

use std::net::Ipv6Addr;

use super::*;
use crate::domain::dhcp::policy::{Delegation, Pool6};
use crate::domain::dhcp::v6::Arrival6;
use crate::domain::dhcp::v6::wire::encode::Leased;
use crate::domain::dhcp::v6::wire::{self, IaReply, Item, Kind as Kind6, Reply};

const DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];

/// Routes as they were told, in order.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Routes for Told {
    async fn install(&self, route: &PrefixRoute) -> Result<(), RouteError> {
        let line = format!("{} via {} dev {}", route.prefix, route.via, route.interface);
        self.0.lock().unwrap().push(line);
        Ok(())
    }

    async fn remove(&self, prefix: ipnet::Ipv6Net) -> Result<(), RouteError> {
        self.0.lock().unwrap().push(format!("no {prefix}"));
        Ok(())
    }
}

struct Six {
    bench: Bench,
    replies: Replies6,
    routes: Arc<Told>,
}

fn policy6() -> Policy {
    let mut policy = policy("lan");
    let mut networks = std::mem::take(&mut policy.networks);
    let subnet = &mut networks[0].subnets6[0];
    let pool = |a: &str, b: &str| Pool6 { range: a.parse().unwrap()..=b.parse().unwrap(), exclude: Vec::new() };
    subnet.pools = vec![pool("2001:db8::1000", "2001:db8::1fff")];
    subnet.delegate = vec![Delegation { prefix: "2001:db8:100::/40".parse().unwrap(), length: 56, exclude: None }];
    Policy::new(networks)
}

fn six(disk: Memory, permits: usize) -> Six {
    let bench = bench(disk, permits);
    bench.leasing.reload(policy6());
    let routes = Arc::new(Told::default());
    bench.leasing.set_routes(routes.clone());
    Six { replies: bench.leasing.replies6().expect("nobody else has taken them"), bench, routes }
}

fn ia(code: u16, leased: Vec<Leased<'static>>) -> Item<'static> {
    Item::Ia(IaReply { code, iaid: 7, t1: 0, t2: 0, leased, status: None })
}

fn message6(kind: Kind6, xid: u32, items: Vec<Item<'_>>) -> Vec<u8> {
    let mut all = vec![Item::Raw(1, (&DUID[..]).into())];
    if matches!(kind, Kind6::Request | Kind6::Renew | Kind6::Release) {
        all.push(Item::Raw(2, vec![0, 4].into()));
    }
    all.extend(items);
    let mut bytes = Vec::new();
    wire::encode(&Reply { kind, xid, items: all }, &[], &mut bytes);
    bytes
}

impl Six {
    fn push(&self, datagram: &[u8]) -> Received {
        let arrival = Arrival6 {
            interface: "eth0",
            index: 3,
            source: "fe80::ff:fe00:1".parse().unwrap(),
            source_port: 546,
            destination: "ff02::1:2".parse().unwrap(),
            multicast: true,
        };
        self.bench.leasing.receive6(&arrival, None, datagram)
    }

    /// Kind, addresses and prefixes with their valid lifetime.
    async fn reply(&mut self) -> (Kind6, Vec<(Ipv6Addr, u8, u32)>) {
        let wait = tokio::time::timeout(Duration::from_secs(5), self.replies.recv());
        let out = wait.await.expect("a reply").expect("an open channel");
        assert_eq!(out.to.to_string(), "[fe80::ff:fe00:1%3]:546");
        let packet = wire::Packet::walk(&out.bytes).unwrap();
        let items = packet.message.ias().flat_map(|ia| ia.items()).map(|item| (item.ip, item.length, item.valid));
        (packet.message.kind, items.collect())
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.routes.0.lock().unwrap())
    }
}

fn leased((ip, length, valid): (Ipv6Addr, u8, u32)) -> Leased<'static> {
    Leased { ip, length, preferred: 0, valid, exclude: None }
}

#[tokio::test]
async fn a_reply_waits_for_its_commit_and_a_retransmission_joins_it() {
    let mut six = six(Memory::default(), 0);
    assert_eq!(six.push(&message6(Kind6::Solicit, 1, vec![ia(3, Vec::new())])), Received::Answered6(Kind6::Advertise));
    let (kind, offered) = six.reply().await;
    assert_eq!((kind, offered.len()), (Kind6::Advertise, 1));
    let request = message6(Kind6::Request, 2, vec![ia(3, vec![leased(offered[0])])]);
    assert_eq!(six.push(&request), Received::Committing);
    assert_eq!(six.push(&request), Received::Joined);
    assert_eq!(six.push(&message6(Kind6::Solicit, 3, vec![ia(3, Vec::new())])), Received::Deferred);
    assert!(six.replies.try_recv().is_err(), "an answer before the commit");
    six.bench.gate.add_permits(8);
    assert_eq!(six.reply().await, (Kind6::Reply, offered.clone()));
    // what had to wait is answered with what is leased now
    assert_eq!(six.reply().await, (Kind6::Advertise, offered));
}

#[tokio::test]
async fn a_failed_commit_is_silence_and_leaves_no_trace() {
    let mut six = six(Memory::default(), 8);
    six.bench.disk.refuse(true);
    assert_eq!(six.push(&message6(Kind6::Request, 2, vec![ia(3, Vec::new())])), Received::Committing);
    six.bench.quiet().await;
    assert!(six.replies.try_recv().is_err());
    six.bench.disk.refuse(false);
    assert_eq!(six.push(&message6(Kind6::Request, 3, vec![ia(3, Vec::new())])), Received::Committing);
    assert_eq!(six.reply().await.1.len(), 1);
}

/// DH-707: the route is there before the reply, and goes with the lease.
#[tokio::test]
async fn a_delegation_has_its_route_for_as_long_as_it_lives() {
    let mut six = six(Memory::default(), 64);
    six.push(&message6(Kind6::Request, 1, vec![ia(25, Vec::new())]));
    let (_, given) = six.reply().await;
    let prefix = format!("{}/56", given[0].0);
    let route = format!("{prefix} via fe80::ff:fe00:1 dev eth0");
    assert_eq!(six.told(), [route.as_str()]);
    let kept = six.bench.leasing.prefix_routes();
    assert_eq!(kept.iter().map(|r| r.prefix.to_string()).collect::<Vec<_>>(), [prefix.as_str()]);
    six.push(&message6(Kind6::Release, 2, vec![ia(25, vec![leased(given[0])])]));
    assert_eq!(six.reply().await.0, Kind6::Reply);
    assert_eq!(six.told(), [format!("no {prefix}")]);
    // the same again, until its time is over
    six.push(&message6(Kind6::Request, 3, vec![ia(25, Vec::new())]));
    assert_eq!(six.reply().await.1, given);
    six.told();
    six.bench.clock.forward(Duration::from_secs(43_201));
    let ledger = six.bench.ledger.clone();
    assert_eq!(six.bench.leasing.end_what_is_over(&ledger).await, 1);
    assert_eq!(six.told(), [format!("no {prefix}")]);
}

/// CLAWS and DHCPv6 share the addresses: what is held for a host is nobody's, and what the host got waits
/// for its MAC.
#[tokio::test]
async fn the_address_of_a_host_waits_for_it() {
    let mut six = six(Memory::default(), 64);
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let until = Mono(10_000);
    let held = six.bench.leasing.hold("tx", None, Some(mac), until).unwrap();
    let v6 = held.iter().find(|held| held.ip.is_ipv6()).expect("one of each family").ip;
    let interface = Interface {
        name: "eth0".to_owned(),
        mac: Some(mac),
        roaming: false,
        vlan: None,
        networks: Vec::new(),
        addresses: vec![v6],
    };
    let host = Host {
        id: "h1".to_owned(),
        hostname: "h1".to_owned(),
        fqdn: Some("h1.lan.example".to_owned()),
        aliases: Vec::new(),
        interfaces: vec![interface],
        options: Vec::new(),
        properties: Vec::new(),
    };
    six.bench.ledger.commit(vec![Change::HostPut(Box::new(host))]).await.unwrap();
    six.bench.leasing.unhold("tx");
    six.push(&message6(Kind6::Request, 1, vec![ia(3, Vec::new())]));
    let (_, given) = six.reply().await;
    assert_eq!(IpAddr::V6(given[0].0), v6);
    let next = six.bench.leasing.hold("other", None, None, until).unwrap();
    assert!(next.iter().all(|held| held.ip != v6), "held twice");
}

#[tokio::test]
async fn a_restart_finds_the_leases_of_both_families_again() {
    let disk = Memory::default();
    let mut first = six(disk.clone(), 64);
    first.push(&message6(Kind6::Request, 1, vec![ia(3, Vec::new()), ia(25, Vec::new())]));
    let (_, given) = first.reply().await;
    assert_eq!(given.len(), 2);
    first.bench.cancel.cancel();
    let second = six(disk, 64);
    assert_eq!(second.bench.leasing.prefix_routes().len(), 1);
    let mut second = second;
    second.push(&message6(Kind6::Renew, 2, vec![ia(3, vec![leased(given[0])]), ia(25, vec![leased(given[1])])]));
    let (_, renewed) = second.reply().await;
    assert_eq!(
        renewed.iter().map(|r| (r.0, r.1)).collect::<Vec<_>>(),
        given.iter().map(|r| (r.0, r.1)).collect::<Vec<_>>()
    );
}

/// DH-608, DH-709: one list, one way to end a lease, one judge of hosts, for both families.
#[tokio::test]
async fn both_families_are_listed_ended_and_judged_alike() {
    let mut six = six(Memory::default(), 64);
    six.push(&message6(Kind6::Request, 1, vec![ia(3, Vec::new()), ia(25, Vec::new())]));
    let (_, given) = six.reply().await;
    six.told();
    let leasing = six.bench.leasing.clone();
    assert_eq!(leasing.leases().len(), 2);
    let address = IpAddr::V6(given.iter().find(|g| g.1 == 128).expect("an address").0);
    let prefix = IpAddr::V6(given.iter().find(|g| g.1 == 56).expect("a prefix").0);
    assert_eq!(leasing.lease("lan", prefix).and_then(|l| l.prefix()).map(|p| p.prefix_len()), Some(56));
    let (holder, other) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    assert_eq!(leasing.objection(address, Some(holder)), None);
    let why = leasing.objection(address, Some(other)).expect("somebody else leases it");
    assert!(why.contains("is leased to 02:00:00:00:00:01"), "{why}");
    leasing.revoke("lan", prefix).await.unwrap();
    assert_eq!(six.told(), [format!("no {prefix}/56")]);
    leasing.revoke("lan", address).await.unwrap();
    assert!(leasing.leases().is_empty());
    assert!(matches!(leasing.revoke("lan", address).await, Err(ObjectError::Missing(_))));
}

/// DH-612, DH-709: the packet log has DHCPv6, each message with its answer and why, or why there was none.
#[tokio::test]
async fn the_packet_log_tells_of_dhcpv6_what_became_of_each_association() {
    let mut six = six(Memory::default(), 64);
    six.push(&message6(Kind6::Solicit, 1, vec![ia(3, Vec::new())]));
    let (_, offered) = six.reply().await;
    six.push(&message6(
        Kind6::Request,
        2,
        vec![ia(3, vec![leased(offered[0])]), ia(25, Vec::new()), ia(4, Vec::new())],
    ));
    let (_, given) = six.reply().await;
    six.push(&message6(Kind6::Renew, 3, vec![ia(3, vec![leased(given[0])])]));
    six.reply().await;
    six.push(&message6(Kind6::Rebind, 4, vec![Item::Ia(IaReply { iaid: 9, ..empty() })]));
    six.push(&message6(Kind6::Release, 5, vec![ia(3, vec![leased(given[0])])]));
    six.reply().await;
    six.push(&message6(Kind6::Confirm, 6, vec![ia(3, vec![leased(given[0])])]));
    six.reply().await;
    let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    let (ip, prefix) = (given[0].0, given[1].0);
    let told: Vec<String> =
        six.bench.leasing.steps(|step| step.mac == mac, 10).iter().map(|step| step.text()).collect();
    let wanted = [
        format!("SOLICIT via eth0 -> ADVERTISE {ip} for 43200 s: set aside for this client until it decides"),
        format!(
            "REQUEST for {ip} via eth0 -> REPLY {ip} for 43200 s: IA_NA 7 has {ip} for 43200 s; \
             IA_PD 7 has {prefix}/56 for 43200 s; IA_TA 7 has NoAddrsAvail (no temporary addresses); \
             leased, and written down before the answer left"
        ),
        format!(
            "RENEW for {ip} via eth0 -> REPLY {ip} for 43200 s: \
             the lease stands as it is, and is hardly older: nothing new is written down"
        ),
        "REBIND via eth0 -> no answer: none of it was leased by us, and another server may have (RFC 9915 18.3.5)"
            .to_owned(),
        format!("RELEASE for {ip} via eth0 -> REPLY: free again, and remembered for this client"),
        format!("CONFIRM for {ip} via eth0 -> REPLY: all on this link"),
    ];
    assert_eq!(told, wanted);
    // by everything that names the client
    assert_eq!(six.bench.leasing.steps(|step| step.is_about(prefix.into()), 10).len(), 1);
    let by_duid = |step: &Step| step.client.as_ref().is_some_and(|client| client.duid() == Some(&DUID[..]));
    assert_eq!(six.bench.leasing.steps(by_duid, 10).len(), wanted.len());
}

fn empty() -> IaReply<'static> {
    IaReply { code: 3, iaid: 7, t1: 0, t2: 0, leased: Vec::new(), status: None }
}

/// DH-213 for DHCPv6.
#[tokio::test]
async fn the_packet_log_tells_of_a_dhcpv6_commit_that_failed() {
    let mut six = six(Memory::default(), 8);
    six.bench.disk.refuse(true);
    six.push(&message6(Kind6::Request, 2, vec![ia(3, Vec::new())]));
    six.bench.quiet().await;
    let steps = six.bench.leasing.steps(|_| true, 10);
    let last = steps.last().expect("a step").text();
    assert!(last.starts_with("REPLY via eth0 -> no answer: it could not be written down"), "{last}");
}

//! What the DHCPv6 targets do with their input. Every assertion here is a promise to the rest of the daemon.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use lanlord::domain::change::Change;
use lanlord::domain::dhcp::book::{Book, Effect};
use lanlord::domain::dhcp::policy::{Delegation, Network, Policy, Pool6, Setting6, Subnet6, Times6};
use lanlord::domain::dhcp::v6::book::{Book6, Effect6};
use lanlord::domain::dhcp::v6::options::parse_value;
use lanlord::domain::dhcp::v6::wire::encode::Reply;
use lanlord::domain::dhcp::v6::wire::{MAX_DATAGRAM, MAX_IAS, MAX_RELAYS, Packet, encode};
use lanlord::domain::dhcp::v6::{Arrival6, Decision6, Facts6, Outcome6, Request6, decide};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::lease::{Lease, Origin, Reservation, ReservationKey};
use lanlord::domain::net::Mac;
use lanlord::domain::time::{Mono, Now, Wall};

struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn network(interface: &str, third: u16) -> Network {
    let base = Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, 0);
    let at = |n: u16| Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, n);
    let mut subnet = Subnet6::new(Ipv6Net::new(base, 64).expect("a length"));
    subnet.pools = vec![Pool6 { range: at(0)..=at(3), exclude: vec![at(2)..=at(2)] }];
    let delegated = Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0x100 + third, 0, 0, 0, 0, 0), 54).expect("a length");
    let exclude = Some(Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0x100 + third, 1, 0, 0, 0, 0), 64).expect("a length"));
    subnet.delegate = vec![Delegation { prefix: delegated, length: 56, exclude }];
    subnet.times = Some(Times6 { preferred: 100, valid: 300 });
    Network {
        name: interface.to_owned(),
        interface: Some(interface.to_owned()),
        domain: "lan.example".to_owned(),
        subnets6: vec![subnet],
        authoritative: third.is_multiple_of(2),
        interface_ids: vec![b"port-7".to_vec()],
        ..Network::default()
    }
}

/// Two links with options and reservations; and nothing at all.
fn policies() -> &'static [Arc<Policy>; 2] {
    static POLICIES: OnceLock<[Arc<Policy>; 2]> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let mut policy = Policy::new(vec![network("eth0", 0), network("eth1", 1)]);
        for (code, text) in [(23, "${server_ip}"), (24, "a.example b.example"), (103, "${http_url}/${mac}")] {
            policy.options6.push(Setting6::parse(code, text).expect("a value"));
        }
        policy.reservations = vec![Reservation {
            keys: vec![ReservationKey::Mac(Mac([2, 0, 0, 0, 0, 9]))],
            ip6: vec![ip("2001:db8::3"), ip("2001:db8::99")],
            prefix6: vec![net("2001:db8:100:100::/56")],
            ..Reservation::new("r", Origin::Config("fuzz".to_owned()))
        }];
        policy.rules6.rapid_commit = true;
        policy.rules6.use_multicast = true;
        policy.rules6.server_id = vec![0, 4, 9, 9, 9, 9];
        [Arc::new(policy), Arc::new(Policy::default())]
    })
}

/// One datagram: the walk, and everything that reads what it found.
pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::walk(data) else { return };
    assert!(data.len() <= MAX_DATAGRAM && packet.relays.len() <= MAX_RELAYS);
    let ias: Vec<_> = packet.message.ias().collect();
    assert!(ias.len() <= MAX_IAS);
    assert!(ias.iter().flat_map(|ia| ia.items()).all(|item| item.length <= 128));
    // the mirror of any relays can be walked, once its types are those of requests
    let mut mirror = Vec::new();
    encode(&Reply::new(packet.message.kind, packet.message.xid), &packet.relays, &mut mirror);
    assert!(mirror.len() <= data.len() + 4, "a mirror that grows");
    for code in 0..200 {
        let _ = parse_value(code, &String::from_utf8_lossy(data.get(..64).unwrap_or(data)));
    }
}

/// The input is a sequence of steps: one octet of circumstances, two of length, that many of a datagram.
pub fn session(data: &[u8]) {
    for policy in policies() {
        let mut book = Book6::new(policy.clone());
        let mut shared = Book::new(policy.clone());
        let mut rest = data;
        let mut tick = 0;
        while let [how, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
            step(policy, (&mut book, &mut shared), *how, &after[..length], tick);
            rest = &after[length..];
            tick += 1;
            if tick == 16 {
                break;
            }
        }
    }
}

fn step(policy: &Arc<Policy>, (book, shared): (&mut Book6, &mut Book), how: u8, datagram: &[u8], tick: u64) {
    let arrival = Arrival6 {
        interface: ["eth0", "eth1", "eth9", "eth0"][usize::from(how & 3)],
        index: 2,
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(how >> 5)),
        source_port: 546,
        destination: ip("ff02::1:2"),
        multicast: how & 4 == 0,
    };
    let now = Now { wall: Wall(1_700_000_000_000).plus(Duration::from_secs(tick * 50)), mono: Mono(tick * 50_000) };
    let Ok(packet) = Packet::walk(datagram) else { return };
    let request = Request6::read(packet, arrival, None);
    book.sweep(now.mono);
    book.sweep_quarantines(now.wall);
    let decision = decide(&request, &Facts6 { book, shared, names: &PlainNames }, policy, now);
    let Decision6 { outcome, changes, effects } = decision;
    if policy.networks.is_empty() {
        assert!(matches!(outcome, Outcome6::Silent(_)), "an answer without a subnet");
        assert!(changes.is_empty(), "a change without a subnet");
    }
    if let Outcome6::Send(reply, _) = outcome {
        check_reply(&reply, &request);
    }
    for effect in effects {
        match effect {
            Effect6::Offer { network, client, items, until } => book.offer(network, &client, &items, until),
            Effect6::Forget { network, client } => book.forget_offers(network, &client),
            Effect6::CountDecline { client } => shared.affect(Effect::CountDecline { client }, now.mono),
        }
    }
    let ticket = book.begin(&changes);
    if how & 8 == 0 {
        for change in &changes {
            book.apply(change, now.wall, now);
            if let Change::LeaseGranted(lease) = change {
                check_lease(policy, lease);
            }
        }
    }
    book.settle(ticket);
    if how & 16 != 0 {
        book.expired(now.mono, 10).iter().for_each(|change| book.apply(change, now.wall, now));
        *book = std::mem::take(book).under(policy.clone());
    }
    one_holder_each(book);
}

fn check_reply(reply: &Reply<'_>, request: &Request6<'_>) {
    let mut bytes = Vec::new();
    encode(reply, &[], &mut bytes);
    assert!(bytes.len() < 8192, "{} octets", bytes.len());
    let Ok(back) = Packet::walk(&bytes) else {
        return assert!(bytes.len() > MAX_DATAGRAM, "what we write can be read");
    };
    assert_eq!((back.message.kind, back.message.xid), (reply.kind, request.message.xid));
    assert_eq!(back.message.options.find(1), request.duid, "the client's identifier as received");
    for ia in back.message.ias() {
        assert!(request.ias.iter().any(|asked| (asked.code, asked.iaid) == (ia.code, ia.iaid)), "an IA of nobody");
        assert!(ia.items().all(|item| item.preferred <= item.valid), "preferred beyond valid");
    }
}

/// Inside a pool or reserved, and nowhere else.
fn check_lease(policy: &Policy, lease: &Lease) {
    let network = policy.networks.iter().find(|network| network.name == lease.network).expect("a network of ours");
    let reserved = policy.reservations.iter().any(|r| {
        r.ip6.iter().any(|ip| lease.ip == *ip) || r.prefix6.iter().any(|p| Some(IpNet::V6(*p)) == lease.prefix())
    });
    let subnet = &network.subnets6[0];
    let registered = format!("{:?}", lease.client).starts_with("reg:");
    let ours = match (lease.ip, lease.prefix()) {
        (_, Some(IpNet::V6(prefix))) => subnet.delegate.iter().any(|d| d.gives(prefix)),
        (std::net::IpAddr::V6(ip), None) => subnet.pooled(ip) || registered && subnet.prefix.contains(&ip),
        _ => false,
    };
    assert!(ours || reserved, "{lease:?}");
    assert!(lease.preferred.is_none_or(|preferred| preferred <= lease.expires));
}

fn one_holder_each(book: &Book6) {
    let mut seen = HashSet::new();
    let mut prefixes: Vec<IpNet> = Vec::new();
    for lease in book.leases() {
        assert!(seen.insert((lease.network.clone(), lease.ip)), "{} twice", lease.ip);
        prefixes.extend(lease.prefix());
    }
    for (at, prefix) in prefixes.iter().enumerate() {
        let meets = |other: &IpNet| other.contains(prefix) || prefix.contains(other);
        assert!(!prefixes[..at].iter().any(meets), "{prefix} overlaps another delegation");
    }
}

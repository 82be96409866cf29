//! Attacks on DHCP from the link (SE-3, SE-4): floods of invented clients, addresses taken by whole exchanges,
//! forged RELEASE and DECLINE. `FLOOD_SECONDS=60 cargo test --release --test lab flood` for the long one.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::daemon::{Daemon, text};
use super::dhcp::{ACK, DECLINE, DISCOVER, Message, OFFER, RELEASE, REQUEST};
use super::space::{Lab, SERVER, due, now, wait};
use super::station::{answer, ask, bind, discover, server};
use super::wire::{BROADCAST, Mac, Packet, Wire};

/// Invented clients a second.
const RATE: u64 = 10_000;
const SERVER_MAC: Mac = [2, 0x77, 0, 0, 0, 1];
/// The machine may be busy: how long anything may take that takes a second on a quiet one.
const LIMIT: Duration = super::space::PATIENCE;

/// A /24 with a hundred addresses in the pool, nobody looked for before an offer, and one client with a name only.
fn config(more: &str) -> String {
    let reserved: String = (0..5)
        .map(|n| format!("[[network.reservation]]\nmac = \"{}\"\nip = \"10.77.0.{}\"\n", shown(mac(1, n)), 20 + n))
        .collect();
    format!(
        r#"
[server]
domain = "home.arpa"
[[network]]
name = "voice"
interface = "eth0"
[[network.subnet]]
prefix = "10.77.0.0/24"
pool = ["10.77.0.100-10.77.0.199"]
router = "{SERVER}"
{reserved}
[[network.reservation]]
mac = "{}"
name = "by-name-only"
[dhcp4]
enabled = true
lease_time = 3600
offer_hold = "5s"
probe = false
{more}
"#,
        shown(mac(1, 9)),
    )
}

fn mac(kind: u8, n: u32) -> Mac {
    let [a, b, c, d] = n.to_be_bytes();
    [2 | kind << 4, a, 0x99, b, c, d]
}

fn shown(mac: Mac) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

/// Sends to the server's card alone, so that the flood does not drown the test's own stations.
fn send(wire: &mut Wire, from_mac: Mac, m: &Message) {
    let to = (Ipv4Addr::BROADCAST, 67);
    wire.send(&Packet { from_mac, to_mac: SERVER_MAC, from: (m.ciaddr, 68), to, payload: m.to_bytes() });
}

/// A client asks by unicast to keep what it has; repeated like any client does.
fn renew(wire: &mut Wire, mac: Mac, ip: Ipv4Addr, xid: u32) -> bool {
    // it says what it said before: nothing new is to be written down
    let mut m = Message::new(REQUEST, xid, mac).with(55, [1, 3, 6, 15, 66]);
    m.ciaddr = ip;
    let packet =
        Packet { from_mac: mac, to_mac: SERVER_MAC, from: (ip, 68), to: (server(), 67), payload: m.to_bytes() };
    let end = now() + LIMIT;
    while now() < end {
        wire.send(&packet);
        let again = now() + Duration::from_secs(1);
        if answer(wire, xid, again).is_some_and(|(m, _)| m.kind() == ACK && m.yiaddr == ip) {
            return true;
        }
    }
    false
}

fn found(daemon: &Daemon, id: &str) -> bool {
    let status = daemon.get("/api/v1/status");
    let all = status["findings"].as_array().expect("findings");
    all.iter().any(|finding| text(finding, "id") == id && finding["fix"].is_string())
}

/// SE-3: "renewals + reservations 100 %, 0 database writes, RSS +<= 64 MiB, pool usable <= 60 s later".
#[test]
fn a_flood_of_invented_clients_starves_nobody_who_is_known_and_writes_nothing() {
    let seconds = std::env::var("FLOOD_SECONDS").map_or(10, |s| s.parse().expect("seconds"));
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(""));
    let mut wire = Wire::open(&lab, "c2");
    let holders: Vec<(Mac, Ipv4Addr)> = (0..10)
        .map(|n| mac(2, n))
        .chain((0..5).map(|n| mac(1, n)))
        .map(|mac| (mac, bind(&mut wire, &discover(mac, u32::from(mac[5]) + 1)).0.yiaddr))
        .collect();
    let (seq, memory) = (daemon.metric("lanlord_ledger_seq", ""), daemon.resident());
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut asked, mut worst) = (0u32, Duration::ZERO);
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&lab, &over, &sent));
        let start = now();
        let mut xid = 1_000;
        while start.elapsed() < Duration::from_secs(seconds) {
            for (mac, ip) in &holders {
                xid += 1;
                let began = now();
                assert!(renew(&mut wire, *mac, *ip, xid), "{ip} was not renewed under the flood");
                worst = worst.max(began.elapsed());
                asked += 1;
            }
            // a reserved client that starts anew
            let (reserved, ip) = holders[10 + (xid as usize % 5)];
            let (offer, _) = ask(&mut wire, &discover(reserved, xid + 1_000_000), OFFER).expect("an OFFER");
            assert_eq!(offer.yiaddr, ip);
            std::thread::sleep(Duration::from_millis(300));
        }
        assert!(found(&daemon, "dhcp-known-share"), "it is told while it goes on");
        over.store(true, Ordering::Relaxed);
    });
    let grown = daemon.resident().saturating_sub(memory);
    eprintln!(
        "{} invented clients in {seconds} s; {asked} renewals, the slowest {worst:?}; memory + {} KiB; lost in the queue {}, cut {}",
        sent.load(Ordering::Relaxed),
        grown >> 10,
        daemon.metric("lanlord_dhcp_silent_total", "queue-full"),
        daemon.metric("lanlord_dhcp_silent_total", "flood"),
    );
    assert!(sent.load(Ordering::Relaxed) > 1_000, "there was a flood");
    assert_eq!(daemon.metric("lanlord_ledger_seq", ""), seq, "nothing was written");
    assert!(grown <= 64 << 20, "{grown} octets more");
    let usable = || ask(&mut wire, &discover(mac(4, 1), 77), OFFER).is_some();
    assert!(wait(due(Duration::from_secs(60)), usable), "a newcomer gets an address when the offers have run out");
}

/// Invents a client for each message, at the rate as far as the machine allows.
fn flood(lab: &Lab, over: &AtomicBool, sent: &AtomicU64) {
    let mut wire = Wire::open(lab, "c1");
    let start = now();
    while !over.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_micros() as u64).saturating_mul(RATE) / 1_000_000;
        let count = sent.load(Ordering::Relaxed);
        if count >= due {
            std::thread::sleep(Duration::from_micros(500));
        }
        for n in count..due.min(count + 200) {
            let mac = mac(3, n as u32);
            send(&mut wire, mac, &Message::new(DISCOVER, n as u32, mac));
        }
        sent.store(due.min(count + 200).max(count), Ordering::Relaxed);
    }
}

/// SE-3: "Full-exchange starvation: buckets, known share, alarm <= 5 s".
#[test]
fn whole_exchanges_of_invented_clients_leave_the_known_share_and_raise_an_alarm() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(""));
    let (mut attacker, mut wire) = (Wire::open(&lab, "c1"), Wire::open(&lab, "c2"));
    let (held, _) = bind(&mut wire, &discover(mac(2, 1), 1));
    let mut taken = 0;
    for n in 0..89 {
        bind(&mut attacker, &discover(mac(3, n), 100 + n));
        taken += 1;
    }
    let more = discover(mac(3, 1_000), 5_000);
    send(&mut attacker, more.chaddr, &more);
    let began = now();
    daemon.within(LIMIT, "the alarm", |d| found(d, "dhcp-known-share"));
    eprintln!("{taken} addresses were taken; told after {:?}", began.elapsed());
    assert_eq!(daemon.metric("lanlord_dhcp_pool_addresses", "state=\"free\""), 10);
    assert!(daemon.metric("lanlord_dhcp_silent_total", "known-share") > 0);
    assert!(renew(&mut wire, mac(2, 1), held.yiaddr, 6_000));
    let (named, _) = bind(&mut wire, &discover(mac(1, 9), 6_001));
    assert!(named.yiaddr.octets()[3] >= 100, "one that is known has an address of the share");
    // what the administrator reads of one that was refused
    let log = daemon.list(&format!("/api/v1/dhcp/log?client={}", shown(more.chaddr)));
    assert_eq!(text(&log[0], "silence"), "known-share");
}

/// SE-4: "forged RELEASE/DECLINE, chaddr != L2 source: 0 freed, quarantine bounded".
#[test]
fn forged_releases_and_declines_free_nothing() {
    const FORGED: u32 = 1_000;
    let forged = std::env::var("FORGED").map_or(FORGED, |n| n.parse().expect("a number"));
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config("check_source_mac = true\nclient_rate = 0"));
    let (mut attacker, mut wire) = (Wire::open(&lab, "c1"), Wire::open(&lab, "c2"));
    let holders: Vec<(Mac, Ipv4Addr)> =
        (0..10).map(|n| (mac(2, n), bind(&mut wire, &discover(mac(2, n), n + 1)).0.yiaddr)).collect();
    let seq = daemon.metric("lanlord_ledger_seq", "");
    let own = mac(3, 1);
    for n in 0..forged {
        let (victim, ip) = holders[n as usize % holders.len()];
        let other = holders[(n as usize + 1) % holders.len()].1;
        let mut release = Message::new(RELEASE, 9_000 + n, victim).with(54, server().octets());
        release.ciaddr = ip;
        let decline = Message::new(DECLINE, 9_000 + n, victim).with(50, ip.octets()).with(54, server().octets());
        let mut send = |from_mac, from, to, m: &Message| {
            let packet = Packet { from_mac, to_mac: SERVER_MAC, from: (from, 68), to: (to, 67), payload: m.to_bytes() };
            attacker.send(&packet);
        };
        let none = Ipv4Addr::UNSPECIFIED;
        match n % 4 {
            // all is forged but the frame
            0 => send(own, ip, server(), &release),
            1 => send(own, none, Ipv4Addr::BROADCAST, &decline),
            // even the frame is, but not where the datagram comes from
            2 => send(victim, other, server(), &release),
            // in one's own name, what is another's
            _ => {
                release.chaddr = own;
                send(own, ip, server(), &release);
            }
        }
        if n % 50 == 0 {
            // no faster than the server's socket takes them in on a busy machine
            assert!(renew(&mut wire, mac(2, 0), holders[0].1, 500_000 + n));
        }
    }
    daemon.within(LIMIT, "all were seen", |d| {
        let seen = |label| d.metric("lanlord_dhcp_silent_total", label);
        seen("source-mac") >= u64::from(forged) / 4 && seen("not-owner") >= u64::from(forged) / 4
    });
    let counted = ["source-mac", "not-owner"].map(|label| daemon.metric("lanlord_dhcp_silent_total", label));
    eprintln!("{forged} forged: dropped for their frame {}, for their owner {}", counted[0], counted[1]);
    assert_eq!(daemon.leased().len(), holders.len(), "nothing is freed");
    assert!(daemon.list("/api/v1/quarantine").is_empty());
    assert_eq!(daemon.metric("lanlord_ledger_seq", ""), seq);
    assert!(found(&daemon, "dhcp-source-mac") && found(&daemon, "dhcp-not-owner"));
    let log = daemon.list(&format!("/api/v1/dhcp/log?client={}&limit=1000", shown(holders[1].0)));
    assert!(log.iter().any(|step| step["silence"] == "source-mac" && step["message"] == "DHCPDECLINE"), "{log:?}");
    // DH-209: one client that declines whatever it is offered
    for n in 0..20 {
        let Some((offer, _)) = ask(&mut attacker, &discover(own, 20_000 + n), OFFER) else { continue };
        let decline = Message::new(DECLINE, 30_000 + n, own).with(50, offer.yiaddr.octets());
        attacker.send(&Packet {
            from_mac: own,
            to_mac: BROADCAST,
            from: (Ipv4Addr::UNSPECIFIED, 68),
            to: (Ipv4Addr::BROADCAST, 67),
            payload: decline.with(54, server().octets()).to_bytes(),
        });
    }
    daemon.within(LIMIT, "the alarm", |d| found(d, "dhcp-too-many-declines"));
    daemon.within(LIMIT, "four are in quarantine", |d| d.list("/api/v1/quarantine").len() == 4);
    // who is honest is served with the check on: by broadcast, and renewing by unicast
    assert!(holders.iter().all(|(mac, ip)| renew(&mut wire, *mac, *ip, 40_000 + u32::from(mac[5]))));
}

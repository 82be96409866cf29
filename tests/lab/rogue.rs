//! Another DHCP server on the link (SE-5, DH-813): a real dnsmasq, which is told of and never fought.

use std::time::Duration;

use super::daemon::{Daemon, config, text};
use super::dhcp::{ACK, DISCOVER, Message, OFFER, REQUEST};
use super::space::{Lab, Process, need, now};
use super::station::broadcast;
use super::wire::{Mac, Wire};

const ROGUE: &str = "10.77.0.250";
const ID: &str = "foreign-dhcp eth0 10.77.0.250";
/// It takes a second on a quiet machine; after the start 45 s pass at most between two questions.
const SOON: Duration = super::space::PATIENCE;
const ROUND: Duration = Duration::from_secs(240);

fn rogue(lab: &Lab) -> Process {
    need(&[("dnsmasq", "dnsmasq-base")]);
    lab.address("c1", "eth0", &format!("{ROGUE}/16"));
    let leases = format!("--dhcp-leasefile={}/rogue.leases", lab.dir().display());
    let pid = format!("--pid-file={}/rogue.pid", lab.dir().display());
    let fixed = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--port=0",
        "--no-ping",
        "--interface=eth0",
        "--dhcp-authoritative",
        "--dhcp-range=10.77.9.10,10.77.9.99,1h",
    ];
    lab.start("rogue", "c1", &[&fixed[..], &[&leases, &pid]].concat())
}

fn finding(daemon: &Daemon) -> Option<String> {
    let status = daemon.get("/api/v1/status");
    let all = status["findings"].as_array().expect("findings");
    let found = all.iter().find(|finding| text(finding, "id") == ID)?;
    assert!(text(found, "fix").contains("dhcp4.known_servers"));
    Some(text(found, "text").to_owned())
}

/// "active probe at start", and `known_servers`, taken over by a reload.
#[test]
fn a_server_that_is_there_at_the_start_is_told_with_its_addresses() {
    let lab = Lab::up();
    let _rogue = rogue(&lab);
    let daemon = Daemon::start(&lab, &config(600));
    daemon.within(SOON, "the other server is told", |d| {
        finding(d).is_some_and(|text| text.contains("02:77:00:00:01:01"))
    });
    let told = finding(&daemon).expect("still there");
    assert!(told.contains(ROGUE) && told.contains("eth0") && told.contains("10.77.9."), "{told}");
    assert!(daemon.metric("lanlord_rogue_dhcp_seen_total", "family=\"4\"") > 0);
    let seen = |d: &Daemon| {
        let all = d.list("/api/v1/events?limit=1000");
        all.iter().map(ToString::to_string).filter(|event| event.contains("foreign-dhcp")).count()
    };
    daemon.until("the event", |d| seen(d) == 1);
    daemon.reload(&config(600).replace("[dhcp4]", &format!("[dhcp4]\nknown_servers = [\"{ROGUE}\"]")));
    daemon.until("it belongs there now", |d| finding(d).is_none());
}

/// "every 45 s ... within 60 s".
#[test]
fn a_server_that_comes_later_is_found_by_a_question() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let _rogue = rogue(&lab);
    let began = now();
    daemon.within(ROUND, "the other server is told", |d| finding(d).is_some());
    eprintln!("told after {:?}", began.elapsed());
}

/// Passive: what it answers to others, and whom clients choose.
#[test]
fn a_server_is_overheard_without_being_asked() {
    let lab = Lab::up();
    let _rogue = rogue(&lab);
    let quiet = config(600).replace("[dhcp4]", "[dhcp4]\nrogue_probe = false");
    let daemon = Daemon::start(&lab, &quiet);
    let mut wire = Wire::open(&lab, "c2");
    let mac: Mac = [2, 0x99, 0, 0, 7, 7];
    // both answer; the client takes the other one's
    let mut discover = Message::new(DISCOVER, 70, mac);
    discover.flags = 0x8000;
    let offer = from_rogue(&mut wire, &discover, OFFER);
    daemon.within(SOON, "the other server is overheard", |d| {
        finding(d).is_some_and(|text| text.contains("02:77:00:00:01:01"))
    });
    let request = offer.request(&discover);
    assert_eq!(request.kind(), REQUEST);
    from_rogue(&mut wire, &request, ACK);
    daemon.within(SOON, "its client is heard", |d| d.metric("lanlord_dhcp_silent_total", "other-server") > 0);
    assert!(daemon.leased().is_empty());
}

/// Repeats the message until the other server answers it.
fn from_rogue(wire: &mut Wire, m: &Message, kind: u8) -> Message {
    let end = now() + SOON;
    while now() < end {
        broadcast(wire, m);
        let again = now() + Duration::from_secs(2);
        while let Some((reply, packet)) = super::station::answer(wire, m.xid, again) {
            if packet.from.0.to_string() == ROGUE && reply.kind() == kind {
                return reply;
            }
        }
    }
    panic!("dnsmasq does not answer");
}

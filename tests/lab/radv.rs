//! DH-721 to DH-724: router advertisements, as the kernel's own host and rdisc6 hear them.

use std::net::Ipv6Addr;
use std::process::Command;
use std::time::Duration;

use lanlord::domain::ra;
use lanlord::net::Icmp6;

use super::daemon::Daemon;
use super::space::{Lab, PATIENCE, due, need, now, wait};

/// Only IPv6, only router advertisements and names.
fn config(keys: &str) -> String {
    format!(
        "[server]\ndomain = \"home.arpa\"\n[[network]]\nname = \"voice\"\ninterface = \"eth0\"\n[[network.subnet]]\n\
         prefix = \"fd77::/64\"\n[network.ra]\n{keys}\n[dns]\n"
    )
}

/// The addresses of `eth0` that come from router advertisements, without link-local ones.
fn autonomous(lab: &Lab, name: &str) -> Vec<Ipv6Addr> {
    let text = lab.ip(name, &["-6", "-o", "addr", "show", "dev", "eth0", "scope", "global"]);
    let words = text.lines().filter(|l| !l.contains("tentative")).filter_map(|l| l.split_whitespace().nth(3));
    words.filter_map(|w| w.split('/').next()?.parse().ok()).collect()
}

fn routers(lab: &Lab, name: &str) -> String {
    lab.ip(name, &["-6", "route", "show", "default"])
}

/// True once the link-local address has passed the detection of duplicates.
fn tried(lab: &Lab, name: &str) -> bool {
    let text = lab.ip(name, &["-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"]);
    text.contains("fe80::") && !text.contains("tentative")
}

/// What rdisc6 prints about the first answer to its question.
pub fn rdisc6(lab: &Lab, name: &str) -> String {
    need(&[("rdisc6", "ndisc6")]);
    let out = Command::new("ip")
        .args(["netns", "exec", &lab.ns(name), "rdisc6", "-1", "-w", "10000", "-r", "6", "eth0"])
        .output()
        .expect("rdisc6");
    assert!(
        out.status.success(),
        "rdisc6: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The kernel's host gets an address, a router and, when the router leaves, another mind (RFC 4861 §6.2.5).
#[test]
fn a_host_configures_itself_and_forgets_the_router_that_leaves() {
    let lab = Lab::up6();
    let mut daemon = Daemon::start(&lab, &config("enabled = true"));
    let since = now();
    lab.enable6("c1");
    assert!(wait(PATIENCE, || autonomous(&lab, "c1").len() == 1), "no address");
    // its DAD takes a second, ours at most half of one, and the answer comes once the question is asked
    assert!(since.elapsed() < due(Duration::from_secs(6)), "{:?}", since.elapsed());
    let address = autonomous(&lab, "c1")[0];
    assert!(address.to_string().starts_with("fd77::"), "{address}");
    let via = routers(&lab, "c1");
    assert!(via.contains("default via fe80::") && via.contains("proto ra") && via.contains("hoplimit 64"), "{via}");
    daemon.stop();
    assert!(wait(PATIENCE, || routers(&lab, "c1").is_empty()), "{}", routers(&lab, "c1"));
    assert_eq!(autonomous(&lab, "c1"), [address], "the address stays until its time is over");
}

#[test]
fn everything_that_is_configured_is_said_and_asking_twice_is_answered_twice() {
    let lab = Lab::up6();
    let daemon = Daemon::start(
        &lab,
        &config(
            "enabled = true\nmax_interval = 1800\nlifetime = 2000\npreference = \"high\"\nmtu = 1400\nautonomous = false\n\
             valid_lifetime = 5400\npreferred_lifetime = 2700\nroutes = [\"fd99::/48 low\"]\n\
             search = [\"home.arpa\"]\nnat64 = \"64:ff9b::/96\"\ncaptive_portal = \"https://portal.home.arpa/api\"",
        ),
    );
    lab.enable6("c2");
    assert!(wait(PATIENCE, || tried(&lab, "c2")), "no link-local address");
    for round in 0..2 {
        let since = now();
        let heard = rdisc6(&lab, "c2");
        // 0 to 500 ms, to the host itself: the three seconds between two to all do not hold it up
        assert!(since.elapsed() < due(Duration::from_secs(2)), "round {round}: {:?}", since.elapsed());
        for part in [
            "Hop limit : 64",
            "Stateful address conf. : No",
            "Stateful other conf. : No",
            "Router preference : high",
            "Router lifetime : 2000",
            "Prefix : fd77::/64",
            "On-link : Yes",
            "Autonomous address conf.: No",
            "Valid time : 5400",
            "Pref. time : 2700",
            "Route : fd99::/48",
            "Route preference : low",
            "Recursive DNS server : fd77::1",
            "DNS server lifetime : 5400",
            "DNS search list : home.arpa",
            "MTU : 1400",
            "Source link-layer address: 02:77:00:00:00:01",
        ] {
            assert!(heard.contains(part), "no `{part}` in {heard}");
        }
    }
    assert!(daemon.metric("lanlord_ra_solicitations_total", "eth0") >= 2);
    assert!(autonomous(&lab, "c2").is_empty(), "A = 0: no host makes an address");
}

/// DH-723: "M/O follow the DHCPv6 mode", with A only where DHCPv6 gives no addresses.
#[test]
fn the_flags_say_what_the_dhcpv6_server_does() {
    let lab = Lab::up6();
    let ra = config("enabled = true");
    let pool = ra.replace("prefix = \"fd77::/64\"", "prefix = \"fd77::/64\"\npool = [\"fd77::1000-fd77::1fff\"]");
    let daemon = Daemon::start(&lab, &format!("{pool}[dhcp6]\nenabled = true\n"));
    lab.enable6("c2");
    let flags = |managed: &str, other: &str, autonomous: &str| {
        let expected = [
            format!("Stateful address conf. : {managed}"),
            format!("Stateful other conf. : {other}"),
            format!("Autonomous address conf.: {autonomous}"),
        ];
        let mut heard = String::new();
        let right = wait(PATIENCE, || {
            heard = rdisc6(&lab, "c2");
            expected.iter().all(|part| heard.contains(part))
        });
        assert!(right, "no {expected:?} in {heard}");
    };
    assert!(wait(PATIENCE, || tried(&lab, "c2")), "no link-local address");
    flags("Yes", "Yes", "No");
    daemon.reload(&format!("{pool}[dhcp6]\nenabled = true\nmode = \"stateless\"\n"));
    flags("No", "Yes", "Yes");
}

/// A reload changes what is said without a restart: a prefix that is gone is deprecated, and the table turned off is
/// the end of the router.
#[test]
fn a_reload_deprecates_a_prefix_and_ends_a_router() {
    let lab = Lab::up6();
    let daemon = Daemon::start(&lab, &config("enabled = true"));
    lab.enable6("c1");
    assert!(wait(PATIENCE, || autonomous(&lab, "c1").len() == 1), "no address");
    let other = config("enabled = true").replace("fd77::/64", "fd66::/64");
    daemon.reload(&other);
    let show = || lab.ip("c1", &["-6", "-o", "addr", "show", "dev", "eth0", "scope", "global"]);
    let moved = || {
        let text = show();
        let old = text.lines().find(|l| l.contains("fd77::"));
        text.contains("fd66::") && old.is_some_and(|l| l.contains("deprecated") && l.contains("preferred_lft 0sec"))
    };
    assert!(wait(PATIENCE, moved), "{}", show());
    daemon.reload(&config("enabled = false"));
    assert!(wait(PATIENCE, || routers(&lab, "c1").is_empty()), "{}", routers(&lab, "c1"));
}

/// DH-724: "RA is off by default, per interface".
#[test]
fn nothing_is_said_and_no_socket_is_open_unless_it_is_enabled() {
    let lab = Lab::up6();
    let daemon = Daemon::start(&lab, &config("mtu = 1400"));
    let sockets = lab.inside("srv", || {
        let raw = std::fs::read_to_string("/proc/thread-self/net/raw6").expect("raw6");
        let udp = std::fs::read_to_string("/proc/thread-self/net/udp6").expect("udp6");
        (raw.lines().count(), udp.lines().filter(|l| l.contains(":0223 ")).count())
    });
    assert_eq!(sockets, (1, 0), "a heading, and nothing on port 547");
    assert_eq!(daemon.metric("lanlord_ra_sent_total", ""), 0);
}

/// DH-724: "a foreign RA raises an event".
#[test]
fn a_foreign_router_raises_an_event_once_and_a_known_one_none() {
    let lab = Lab::up6();
    let daemon = Daemon::start(&lab, &config("enabled = true\nknown_routers = [\"fe80::77:ff:fe00:2\"]"));
    lab.enable6("c3");
    let from: Ipv6Addr = "fe80::77:ff:fe00:103".parse().expect("an address");
    let known: Ipv6Addr = "fe80::77:ff:fe00:2".parse().expect("an address");
    let said = ra::Settings {
        prefixes: vec![ra::Prefix {
            net: "2001:db8:bad::/64".parse().expect("a prefix"),
            on_link: true,
            autonomous: true,
            valid: 60,
            preferred: 60,
        }],
        ..ra::Settings::default()
    };
    let message = ra::encode(&said, None, false);
    let speak = |name: &str, from: Ipv6Addr| {
        lab.inside(name, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let index = nix::net::if_::if_nametoindex("eth0").expect("eth0");
                let socket = Icmp6::router("eth0", index, &[ra::SOLICITATION]).expect("a socket");
                socket.send(from, lanlord::net::icmp6::ALL_NODES, &message).sent == 1
            })
        })
    };
    assert!(wait(PATIENCE, || speak("c3", from)), "not sent");
    assert!(speak("relay", known), "not sent");
    daemon.until("the event", |d| !foreign(d).is_empty());
    assert!(speak("c3", from) && speak("relay", known));
    daemon.until("both are counted", |d| d.metric("lanlord_rogue_ra_seen_total", "eth0") >= 4);
    let events = foreign(&daemon);
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("fe80::77:ff:fe00:103") && events[0].contains("2001:db8:bad::/64"), "{events:?}");
    let board = daemon.get("/readyz").to_string();
    assert!(board.contains("other router eth0") && board.contains("known_routers"), "{board}");
}

fn foreign(daemon: &Daemon) -> Vec<String> {
    let all = daemon.list("/api/v1/events?limit=100");
    all.iter().map(ToString::to_string).filter(|text| text.contains("foreign-router")).collect()
}

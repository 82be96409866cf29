//! Issue 3: "dhclient -6, dhcpcd -6, dhcp6c, systemd-networkd … through dhcrelay -6, one and two hops", with the
//! names and the prefix routes that come of it. What a client holds is read from its kernel, what the server
//! thinks from its API.

use std::net::Ipv6Addr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Kind};
use super::daemon::{Daemon, text};
use super::space::{Lab, PATIENCE, due, need, wait};

/// Seconds: T1 after three.
const PREFERRED: u32 = 6;
const VALID: u32 = 120;

fn config() -> String {
    format!(
        r#"
[server]
domain = "home.arpa"
[[network]]
name = "voice"
interface = "eth0"
[network.ra]
enabled = true
[[network.subnet]]
prefix = "fd77::/64"
pool = ["fd77::1000-fd77::1fff"]
delegate = [{{ prefix = "fd90::/48", length = 56 }}]
[[network]]
name = "far"
[[network.subnet]]
prefix = "fd78::/64"
pool = ["fd78::1000-fd78::1fff"]
[dhcp6]
enabled = true
preferred_time = {PREFERRED}
lease_time = {VALID}
[dns]
"#
    )
}

/// The leases of one kind: `true` for delegated prefixes.
pub fn leases(daemon: &Daemon, prefixes: bool) -> Vec<Value> {
    let all = daemon.list("/api/v1/leases?limit=1000");
    all.into_iter().filter(|l| l.get("delegated").is_some_and(|d| !d.is_null()) == prefixes).collect()
}

/// Global addresses of `eth0` that no host makes by itself.
pub fn held(lab: &Lab, ns: &str) -> Vec<Ipv6Addr> {
    let text = lab.ip(ns, &["-6", "-o", "addr", "show", "dev", "eth0", "scope", "global"]);
    let words = text.lines().filter_map(|l| l.split_whitespace().nth(3));
    words.filter_map(|w| w.split('/').next()?.parse().ok()).collect()
}

/// Turns IPv6 on and waits until its link-local address may be used: clients need one.
pub fn ready(lab: &Lab, ns: &str) {
    lab.enable6(ns);
    let tried = || {
        let text = lab.ip(ns, &["-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"]);
        text.contains("fe80::") && !text.contains("tentative")
    };
    assert!(wait(PATIENCE, tried), "no link-local address in {ns}");
}

/// What the server's DNS says, one answer a line.
pub fn dig(lab: &Lab, question: &[&str]) -> String {
    let ns = lab.ns("srv");
    let out = Command::new("ip")
        .args(["netns", "exec", &ns, "dig", "+short", "+time=5", "+tries=10", "@127.0.0.1"])
        .args(question)
        .output()
        .expect("dig");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// One address, kept, named, and given back.
fn gets_an_address(kind: Kind, releases: bool) {
    need(&[("dig", "bind9-dnsutils")]);
    let lab = Lab::up6();
    let daemon = Daemon::start(&lab, &config());
    ready(&lab, "c1");
    let mut client = Client::start(&lab, kind, "c1", "pc6", &[]);
    daemon.until("a lease", |d| !leases(d, false).is_empty());
    let lease = leases(&daemon, false).remove(0);
    let ip: Ipv6Addr = text(&lease, "ip").parse().expect("an IPv6 address");
    assert!(("fd77::1000".parse::<Ipv6Addr>().unwrap()..="fd77::1fff".parse().unwrap()).contains(&ip), "{ip}");
    assert!(wait(PATIENCE, || held(&lab, "c1").contains(&ip)), "{kind:?} does not hold {ip}: {:?}", held(&lab, "c1"));
    named(&lab, &daemon, &lease);
    told_its_resolver(kind, &mut client);
    let began = text(&lease, "expires").to_owned();
    daemon.until("a renewal", |d| leases(d, false).iter().any(|l| text(l, "expires") > began.as_str()));
    assert_eq!(leases(&daemon, false).len(), 1, "the same address");
    let log = daemon.list(&format!("/api/v1/dhcp/log?client={ip}&limit=1000"));
    let says = |what: &str| log.iter().any(|step| text(step, "text").contains(what));
    // a client may sleep through T1, and is at T2 then: renewal or rebinding
    assert!(says("leased, and written down") && says("extended at the client's re"), "{log:?}");
    if releases {
        client.release();
        daemon.until("the release", |d| leases(d, false).is_empty());
        assert_eq!(dig(&lab, &["-x", &ip.to_string()]), "", "its name went with it");
    }
}

/// Options 23 and 24, or the advertisement's: this server, and its domain. dhcp6c is not asked for them.
fn told_its_resolver(kind: Kind, client: &mut Client) {
    match kind {
        Kind::Dhcp6c => {}
        Kind::Networkd6 => {
            assert!(wait(PATIENCE, || client.links().contains("fd77::1")), "{}", client.links());
        }
        _ => {
            // dhclient calls the answer to INFORMATION-REQUEST a renewal
            let told = if kind == Kind::DhclientInfo { client.renewed() } else { client.bound() };
            assert_eq!((told.dns.as_str(), told.domain.trim_end_matches('.')), ("fd77::1", "home.arpa"), "{told:?}");
        }
    }
}

/// In stateless mode there is an answer to INFORMATION-REQUEST, and to nothing else.
#[test]
fn a_host_with_an_address_of_its_own_is_told_the_rest() {
    let lab = Lab::up6();
    let daemon = Daemon::start(&lab, &config().replace("[dhcp6]\n", "[dhcp6]\nmode = \"stateless\"\n"));
    ready(&lab, "c1");
    let mut client = Client::start(&lab, Kind::DhclientInfo, "c1", "pc6", &[]);
    told_its_resolver(Kind::DhclientInfo, &mut client);
    ready(&lab, "c2");
    let _other = Client::start(&lab, Kind::Dhclient6, "c2", "pc7", &[]);
    daemon.until("SOLICIT is heard", |d| d.metric("lanlord_dhcp_messages_total", "SOLICIT") >= 2);
    assert!(leases(&daemon, false).is_empty());
}

/// The name of a lease leads to it and back.
fn named(lab: &Lab, daemon: &Daemon, lease: &Value) {
    let (ip, name) = (text(lease, "ip"), lease.get("fqdn").and_then(Value::as_str));
    let name = name.unwrap_or_else(|| panic!("no name in {lease}")).to_owned();
    daemon.until("AAAA", |_| dig(lab, &[&name, "AAAA"]) == ip);
    assert_eq!(dig(lab, &["-x", ip]), format!("{name}."));
}

#[test]
fn dhclient_6() {
    gets_an_address(Kind::Dhclient6, true);
}

#[test]
fn dhcpcd_6() {
    gets_an_address(Kind::Dhcpcd6, true);
}

#[test]
fn dhcp6c() {
    gets_an_address(Kind::Dhcp6c, true);
}

/// networkd 252 has no word for a DHCPv6 release when it ends.
#[test]
fn systemd_networkd_6() {
    gets_an_address(Kind::Networkd6, false);
}

/// DH-707: the route is there before the client can use its prefix, and goes with the delegation.
fn gets_a_prefix(kind: Kind) {
    let lab = Lab::up6();
    let mut daemon = Daemon::start(&lab, &config());
    ready(&lab, "c1");
    let client = Client::start(&lab, kind, "c1", "cpe", &[]);
    daemon.until("a delegation", |d| !leases(d, true).is_empty());
    let lease = leases(&daemon, true).remove(0);
    let prefix = format!("{}/{}", text(&lease, "ip"), lease["delegated"]);
    assert!(prefix.starts_with("fd90:") && prefix.ends_with("/56"), "{prefix}");
    let routes = || lab.ip("srv", &["-6", "route", "show", "proto", "76"]);
    let link_local = "fe80::77:ff:fe00:101";
    let expected = format!("{prefix} via {link_local} dev eth0");
    assert!(wait(PATIENCE, || routes().contains(&expected)), "no `{expected}` in {}", routes());
    // a kernel that lost it, and a daemon that comes back
    daemon.kill();
    lab.ip("srv", &["-6", "route", "flush", "proto", "76"]);
    lab.ip(
        "srv",
        &[
            "-6",
            "route",
            "add",
            "fd90:0:0:ff00::/56",
            "via",
            "fe80::99",
            "dev",
            "eth0",
            "proto",
            "76",
            "metric",
            "1025",
        ],
    );
    daemon.again();
    assert!(wait(PATIENCE, || routes().contains(&expected)), "no `{expected}` in {}", routes());
    assert!(wait(PATIENCE, || !routes().contains("fe80::99")), "a route without delegation stays: {}", routes());
    // the link flaps: the kernel drops its routes
    lab.ip("srv", &["link", "set", "eth0", "down"]);
    assert_eq!(routes(), "");
    lab.ip("srv", &["link", "set", "eth0", "up"]);
    lab.address("srv", "eth0", "fd77::1/64");
    assert!(wait(PATIENCE, || routes().contains(&expected)), "no `{expected}` in {}", routes());
    client.release();
    daemon.until("the release", |d| leases(d, true).is_empty());
    assert!(wait(PATIENCE, || routes().is_empty()), "{}", routes());
}

#[test]
fn dhclient_takes_a_prefix() {
    gets_a_prefix(Kind::DhclientPd);
}

#[test]
fn dhcp6c_takes_a_prefix() {
    gets_a_prefix(Kind::Dhcp6cPd);
}

/// Without CAP_NET_ADMIN the prefix is delegated all the same, and an event names the missing route.
#[test]
fn without_the_capability_the_missing_route_is_named() {
    let lab = Lab::up6();
    let daemon = Daemon::start_without(&lab, &config(), "net_admin");
    ready(&lab, "c1");
    let _client = Client::start(&lab, Kind::DhclientPd, "c1", "cpe", &[]);
    daemon.until("a delegation", |d| !leases(d, true).is_empty());
    let missing = |d: &Daemon| {
        let events = d.list("/api/v1/events?limit=100");
        events.iter().any(|e| e.to_string().contains("CAP_NET_ADMIN") && e.to_string().contains("fd90:"))
    };
    daemon.until("the event", missing);
    assert_eq!(lab.ip("srv", &["-6", "route", "show", "proto", "76"]), "");
}

/// DH-804 for IPv6: the card comes after the start, and another one of its name after that.
#[test]
fn a_card_that_comes_late_is_served() {
    let lab = Lab::up6();
    lab.unplug("srv");
    let daemon = Daemon::start_waiting(&lab, &config());
    daemon.until("the log names what is missing", |d| {
        let log = d.log();
        ["DHCPv6 is", "router advertisements are"].iter().all(|what| {
            log.contains(&format!("{what} not served on eth0: waiting for the interface, which does not exist"))
        })
    });
    for round in 0..2 {
        lab.plug("srv", "02:77:00:00:00:01");
        lab.address("srv", "eth0", "fd77::1/64");
        let since = super::space::now();
        daemon.until("ready", |d| d.is_ready());
        assert!(since.elapsed() < due(Duration::from_secs(3)), "round {round}: {:?}", since.elapsed());
        if round == 0 {
            lab.unplug("srv");
        }
    }
    ready(&lab, "c1");
    let client = Client::start(&lab, Kind::Dhclient6, "c1", "pc6", &[]);
    daemon.until("a lease", |d| !leases(d, false).is_empty());
    client.release();
    daemon.until("the release", |d| leases(d, false).is_empty());
}

fn through_relays(two: bool) {
    need(&[("dhcrelay", "isc-dhcp-relay"), ("dig", "bind9-dnsutils")]);
    let lab = Lab::up6();
    let daemon = Daemon::start(&lab, &config());
    let near = ["dhcrelay", "-6", "-d", "-I", "-l", "eth1", "-u", "fd77::1%eth0"];
    let far = ["dhcrelay", "-6", "-d", "-I", "-l", "eth1", "-u", "fd79::1%eth2"];
    let mut relays = Vec::new();
    if two {
        lab.second_hop();
        lab.second_hop6();
        relays.push(lab.start("dhcrelay-near", "c3", &near));
        relays.push(lab.start("dhcrelay-far", "relay", &far));
    } else {
        relays.push(lab.start("dhcrelay", "relay", &near));
    }
    ready(&lab, "far");
    let client = Client::start(&lab, Kind::Dhclient6, "far", "faraway6", &[]);
    daemon.until("a lease", |d| !leases(d, false).is_empty());
    let lease = leases(&daemon, false).remove(0);
    let ip: Ipv6Addr = text(&lease, "ip").parse().expect("an IPv6 address");
    assert!(ip.to_string().starts_with("fd78::1"), "of the network behind the relay: {ip}");
    assert!(wait(PATIENCE, || held(&lab, "far").contains(&ip)), "{:?}", held(&lab, "far"));
    named(&lab, &daemon, &lease);
    client.release();
    daemon.until("the release", |d| leases(d, false).is_empty());
    drop(relays);
}

#[test]
fn dhcrelay_6_one_hop() {
    through_relays(false);
}

#[test]
fn dhcrelay_6_two_hops() {
    through_relays(true);
}

//! DH-708: a subnet that is part of the prefix of another interface, which the provider changes. What a real client
//! holds is read from its kernel, what it is told by advertisements with rdisc6.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::client::{Client, Kind};
use super::clients6::{dig, held, leases, ready};
use super::daemon::{Daemon, text};
use super::radv::rdisc6;
use super::space::{Lab, need, wait};

/// The client renews after three seconds.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
[server]
domain = "home.arpa"
[[network]]
name = "voice"
interface = "eth0"
[network.ra]
enabled = true
[[network.subnet]]
prefix_from = "up0"
prefix_id = 2
pool = ["::1000-::1fff"]
[dhcp6]
enabled = true
preferred_time = 6
lease_time = 12
[dns]
"#;

/// The address of the client's lease in that prefix, once the server has one.
fn leased(daemon: &Daemon, prefix: &str) -> Ipv6Addr {
    let mut found = None;
    daemon.within(PATIENCE, &format!("a lease in {prefix}"), |d| {
        let all = leases(d, false);
        found = all.iter().map(|lease| text(lease, "ip").to_owned()).find(|ip| ip.starts_with(prefix));
        found.is_some()
    });
    found.expect("one").parse().expect("an address")
}

#[test]
fn a_subnet_follows_the_prefix_that_the_provider_changes() {
    need(&[("dig", "bind9-dnsutils")]);
    let lab = Lab::up6();
    let up0 = |arguments: &[&str]| drop(lab.ip("srv", arguments));
    up0(&["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
    up0(&["link", "set", "up0", "up"]);
    up0(&["link", "set", "up1", "up"]);
    let daemon = Daemon::start_waiting(&lab, CONFIG);
    daemon.until("it says what is missing", |d| d.log().contains("a subnet waits: up0 has no IPv6 prefix"));
    up0(&["addr", "add", "2001:db8:aa00::1/56", "dev", "up0", "nodad"]);
    ready(&lab, "c1");
    let client = Client::start(&lab, Kind::Dhclient6, "c1", "pc6", &[]);
    let old = leased(&daemon, "2001:db8:aa00:2::1");
    assert!(wait(PATIENCE, || held(&lab, "c1").contains(&old)), "{:?}", held(&lab, "c1"));
    let heard = |parts: &[&str]| {
        let mut said = String::new();
        let right = wait(PATIENCE, || {
            said = rdisc6(&lab, "c1");
            parts.iter().all(|part| said.contains(part))
        });
        assert!(right, "no {parts:?} in {said}");
    };
    // RFC 9096 §4: what may change is not promised for long
    let lasting = "On-link : Yes Autonomous address conf.: No Valid time : 5400 (0x00001518) seconds Pref. time : 2700";
    heard(&[&format!("Prefix : 2001:db8:aa00:2::/64 {lasting}")]);
    let name = dig(&lab, &["-x", &old.to_string()]);
    assert!(name.ends_with(".home.arpa."), "{name}");

    // the provider has another prefix; for a while both are there
    up0(&["addr", "add", "2001:db8:bb00::1/56", "dev", "up0", "nodad"]);
    up0(&["addr", "change", "2001:db8:aa00::1/56", "dev", "up0", "preferred_lft", "0"]);
    let new = leased(&daemon, "2001:db8:bb00:2::1");
    let moved = || held(&lab, "c1").contains(&new) && !held(&lab, "c1").contains(&old);
    assert!(wait(PATIENCE, moved), "{:?}", held(&lab, "c1"));
    daemon.within(PATIENCE, "the end of the old lease", |d| {
        leases(d, false).iter().all(|lease| text(lease, "ip") != old.to_string())
    });
    heard(&[
        &format!("Prefix : 2001:db8:bb00:2::/64 {lasting}"),
        "Prefix : 2001:db8:aa00:2::/64 On-link : Yes Autonomous address conf.: No Valid time : 5",
        "Pref. time : 0 ",
    ]);
    assert_eq!(dig(&lab, &["-x", &new.to_string()]), name);
    assert_eq!(dig(&lab, &["AAAA", &name]), new.to_string());
    client.release();
    daemon.within(PATIENCE, "the release", |d| leases(d, false).is_empty());
}

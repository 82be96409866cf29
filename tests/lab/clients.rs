//! Issue 2 §2: "udhcpc, busybox, dhclient, dhcpcd and systemd-networkd get, renew and release leases;
//! dhcrelay works".

use super::client::{Client, Kind};
use super::daemon::{Daemon, config, text};
use super::dhcp::Message;
use super::space::{Lab, PATIENCE, SERVER, need, now};
use super::station::resolve;
use super::wire::Wire;

/// Short enough that clients which renew only by themselves do so while we watch: T1 after 8 s.
const LEASE: u32 = 16;

fn gets_renews_and_releases(kind: Kind) {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(LEASE));
    let mut client = Client::start(&lab, kind, "c1", "pc1", &[]);
    let got = client.bound();
    assert_eq!((got.prefix.as_str(), got.router.as_str(), got.dns.as_str()), ("16", SERVER, SERVER), "{got:?}");
    assert_eq!((got.domain.as_str(), got.server.as_str()), ("home.arpa", SERVER), "{got:?}");
    assert_eq!(daemon.leased(), [got.ip.as_str()]);
    assert_eq!(resolve(&lab, "c1", "pc1.home.arpa"), [got.ip()]);
    let began = |d: &Daemon| text(&d.list("/api/v1/leases")[0], "expires").to_owned();
    let before = began(&daemon);
    let renewed = client.renewed();
    assert_eq!(renewed.ip, got.ip, "the same address");
    assert!(began(&daemon) > before, "the lease was extended");
    client.release();
    daemon.until("the lease is gone", |d| d.leased().is_empty());
    lab.address("c2", "eth0", "10.77.0.50/16");
    assert!(resolve(&lab, "c2", "pc1.home.arpa").is_empty(), "its name went with it");
}

#[test]
fn udhcpc() {
    gets_renews_and_releases(Kind::Udhcpc);
}

#[test]
fn busybox() {
    gets_renews_and_releases(Kind::Busybox);
}

#[test]
fn dhclient() {
    gets_renews_and_releases(Kind::Dhclient);
}

#[test]
fn dhcpcd() {
    gets_renews_and_releases(Kind::Dhcpcd);
}

/// DH-208: its RELEASE carries no server identifier.
#[test]
fn systemd_networkd() {
    gets_renews_and_releases(Kind::Networkd);
}

/// RFC 3046 §2.2: the server "SHALL echo the entire contents of the Relay Agent Information option".
#[test]
fn dhcrelay_gets_its_option_82_back() {
    need(&[("dhcrelay", "isc-dhcp-relay")]);
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(LEASE));
    let argv = ["dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "eth1", "-iu", "eth0", SERVER];
    let _relay = lab.start("dhcrelay", "relay", &argv);
    let mut tap = Wire::open(&lab, "relay");
    let mut client = Client::start(&lab, Kind::Udhcpc, "far", "faraway", &[]);
    let got = client.bound();
    assert!(got.ip.starts_with("10.78.0.") && got.router == "10.78.0.1", "{got:?}");
    assert_eq!(daemon.leased(), [got.ip.as_str()]);
    assert_eq!(resolve(&lab, "far", "faraway.home.arpa"), [got.ip()]);

    let (mut asked, mut told) = (Vec::new(), Vec::new());
    let end = now() + PATIENCE;
    // an OFFER and an ACK passed the relay
    while told.len() < 2 {
        let packet = tap.receive(end).expect("what the relay carries");
        let Some(m) = Message::parse(&packet.payload).filter(|m| !m.giaddr.is_unspecified()) else { continue };
        let rai = m.option(82).unwrap_or_else(|| panic!("no option 82 in {m:?}")).to_vec();
        if m.op == 1 {
            asked.push((m.xid, rai));
        } else {
            assert_eq!((packet.to.0.to_string(), packet.to.1), ("10.78.0.1".to_owned(), 67), "to giaddr, port 67");
            assert_eq!(m.options.last().map(|(code, _)| *code), Some(82), "option 82 is the last one");
            told.push((m.xid, rai));
        }
    }
    for reply in &told {
        assert!(asked.contains(reply), "{reply:?} is not what was sent: {asked:?}");
    }
    client.release();
    daemon.until("the lease is gone", |d| d.leased().is_empty());
}

/// Two relays one after the other: the first one's address stays in giaddr, its reply comes straight back to it, and
/// each option 82 that was added on the way is returned.
#[test]
fn two_relays_one_after_the_other_serve_a_client() {
    need(&[("dhcrelay", "isc-dhcp-relay")]);
    let lab = Lab::up();
    lab.second_hop();
    let daemon = Daemon::start(&lab, &config(LEASE));
    let near = ["dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "eth1", "-iu", "eth0", SERVER];
    let far = ["dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "eth1", "-iu", "eth2", "10.79.0.1"];
    let _near = lab.start("dhcrelay-near", "c3", &near);
    let _far = lab.start("dhcrelay-far", "relay", &far);
    let mut tap = Wire::open(&lab, "c3");
    let mut client = Client::start(&lab, Kind::Dhclient, "far", "faraway", &[]);
    let got = client.bound();
    assert!(got.ip.starts_with("10.78.0.") && got.router == "10.78.0.1", "{got:?}");
    assert_eq!(daemon.leased(), [got.ip.as_str()]);
    assert_eq!(resolve(&lab, "far", "faraway.home.arpa"), [got.ip()]);
    let (mut hops, end) = (0, now() + PATIENCE);
    // both relays count themselves
    while hops < 2 {
        let packet = tap.receive(end).unwrap_or_else(|| panic!("{hops} relays have counted themselves"));
        let Some(m) = Message::parse(&packet.payload).filter(|m| m.op == 1 && packet.to.0.to_string() == SERVER) else {
            continue;
        };
        assert_eq!(m.giaddr.to_string(), "10.78.0.1", "the first relay's");
        hops = hops.max(m.hops);
    }
    assert_eq!(hops, 2);
    client.release();
    daemon.until("the lease is gone", |d| d.leased().is_empty());
}

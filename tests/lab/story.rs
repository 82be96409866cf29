//! The SPA3102 story of the first seed (provisioning reference, section 2): a phone that says nothing of
//! itself in its first request comes back on another address.

use super::client::{Client, Kind};
use super::daemon::{Daemon, config, text};
use super::space::{Lab, SERVER, need};
use super::station::{bind, discover, tftp};
use super::wire::Wire;

const PHONE: &str = "00:11:22:33:44:77";
const VENDOR: &str = "LINKSYS SPA-3102";

/// One boot: the common file, then its own. Returns its own.
fn boot(lab: &Lab, ns: &str) -> Vec<u8> {
    let common = tftp(lab, ns, "/spa3102.cfg").expect("the common file");
    assert!(!common.is_empty());
    tftp(lab, ns, "/001122334477.xml").expect("its own file")
}

/// Exactly one device, that phone, last seen at `ip`. What a lease makes follows its ACK by moments.
fn one_device(daemon: &Daemon, ip: &str) {
    let there = |d: &Daemon| d.list("/api/v1/devices").iter().any(|device| text(device, "ip") == ip);
    daemon.until(&format!("a device at {ip}"), there);
    let devices = daemon.list("/api/v1/devices");
    assert_eq!(devices.len(), 1, "one device, no junk: {devices:?}");
    assert_eq!((text(&devices[0], "mac"), text(&devices[0], "ip")), (PHONE, ip), "{devices:?}");
    assert_eq!(text(&devices[0], "vendor"), "Cisco");
}

/// PR-20: our own client. The device stands before its first request.
#[test]
fn variant_a_own_dhcp() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    lab.mac("c1", PHONE);
    let options = ["-V", VENDOR];
    let mut first = Client::start(&lab, Kind::Busybox, "c1", "spa", &options);
    let day1 = first.bound().ip;
    one_device(&daemon, &day1);
    let served = boot(&lab, "c1");
    one_device(&daemon, &day1);
    first.release();
    lab.flush("c1");
    // another phone takes the address meanwhile
    let mut wire = Wire::open(&lab, "c2");
    let other =
        discover([2, 0x99, 0, 0, 0, 1], 1).with(50, day1.parse::<std::net::Ipv4Addr>().expect("an address").octets());
    let (ack, _) = bind(&mut wire, &other);
    assert_eq!(ack.yiaddr.to_string(), day1, "the address changed hands");
    let mut second = Client::start(&lab, Kind::Busybox, "c1", "spa", &options);
    let day3 = second.bound().ip;
    assert_ne!(day3, day1);
    one_device(&daemon, &day3);
    assert_eq!(boot(&lab, "c1"), served, "the same device from the first request on");
    one_device(&daemon, &day3);
}

/// PR-21: behind a relay, TFTP routed; the neighbour table knows only the router.
#[test]
fn variant_b_behind_a_relay() {
    need(&[("dhcrelay", "isc-dhcp-relay")]);
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let argv = ["dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "eth1", "-iu", "eth0", SERVER];
    let _relay = lab.start("dhcrelay", "relay", &argv);
    lab.mac("far", PHONE);
    let options = ["-V", VENDOR];
    let mut first = Client::start(&lab, Kind::Busybox, "far", "spa", &options);
    let day1 = first.bound().ip;
    assert!(day1.starts_with("10.78.0."), "{day1}");
    let served = boot(&lab, "far");
    one_device(&daemon, &day1);
    first.release();
    lab.flush("far");
    daemon.until("the first lease has ended", |d| d.leased().is_empty());
    // somebody else behind the relay takes the address
    lab.mac("far", "02:78:00:00:01:09");
    let wanted = ["-r", day1.as_str()];
    let mut other = Client::start(&lab, Kind::Busybox, "far", "other", &wanted);
    assert_eq!(other.bound().ip, day1, "the address changed hands");
    other.power_off();
    lab.mac("far", PHONE);
    let mut second = Client::start(&lab, Kind::Busybox, "far", "spa", &options);
    let day3 = second.bound().ip;
    assert_ne!(day3, day1);
    assert_eq!(boot(&lab, "far"), served, "the same device from the first request on");
    one_device(&daemon, &day3);
}

/// PR-22: a fixed address on our segment. The first request is enough: MAC from the neighbour table, model
/// from the file's name.
#[test]
fn variant_c_static_address() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    lab.mac("c1", PHONE);
    lab.address("c1", "eth0", "10.77.0.101/16");
    tftp(&lab, "c1", "/spa3102.cfg").expect("the common file");
    one_device(&daemon, "10.77.0.101");
    let served = boot(&lab, "c1");
    lab.flush("c1");
    // .101 goes to another station, which asks for nothing that is a phone's
    lab.address("c2", "eth0", "10.77.0.101/16");
    lab.address("c1", "eth0", "10.77.0.102/16");
    assert_eq!(boot(&lab, "c1"), served, "the same device from the first request on");
    one_device(&daemon, "10.77.0.102");
    assert!(tftp(&lab, "c2", "/no-such-file").is_err());
    one_device(&daemon, "10.77.0.102");
}

/// DH-404, DH-406, PR-27: each vendor's phone is told in its own way where its files are, asked or not; a PC
/// beside them is not. All four phones are devices by their leases alone.
#[test]
fn phones_are_told_where_their_files_are() {
    let lab = Lab::up();
    let daemon = Daemon::start(&lab, &config(600));
    let mut wire = Wire::open(&lab, "c1");
    let url = |path: &str| format!("http://{SERVER}:8667{path}").into_bytes();
    let aastra = url("/Aastra");
    let aastra = [&[2, aastra.len() as u8], &aastra[..], &[3, 1, 0]].concat();
    let cases = [
        ([0x00, 0x0e, 0x08], VENDOR, 66, SERVER.as_bytes().to_vec()),
        ([0x00, 0x08, 0x5d], "AastraIPPhone6731i", 43, aastra),
        ([0x00, 0x15, 0x65], "yealink", 66, url("")),
        ([0x00, 0x04, 0x13], "snomD785", 66, url("")),
        ([0x02, 0x00, 0x00], "MSFT 5.0", 0, Vec::new()),
    ];
    for (xid, (oui, class, code, value)) in (1..).zip(cases) {
        let [a, b, c] = oui;
        let mut hello = discover([a, b, c, 1, 1, 1], xid).with(60, class);
        hello.options.retain(|(code, _)| *code != 55);
        let (ack, _) = bind(&mut wire, &hello.with(55, [1, 3, 6, 15]));
        let told = [43, 66, 67, 150].into_iter().find_map(|code| Some((code, ack.option(code)?)));
        assert_eq!(told, Some((code, &value[..])).filter(|_| code != 0), "{class}");
    }
    daemon.until("four devices", |d| d.list("/api/v1/devices").len() == 4);
    assert_eq!(daemon.leased().len(), 5);
}

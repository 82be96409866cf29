//! An example with its clients. The file `clients` beside it:
//!
//! ```text
//! address eth1 10.20.0.1/24               what the server has; the first interface is where clients are
//! client pc on eth1 02:20:00:00:00:01 12='pc-1' 60=0x41
//! client far by 10.21.0.1 02:20:00:00:00:02 82=0x0106706f72742d37 ask=1,3,6
//! silent bad on eth1 02:de:ad:00:00:01    neither server answers it
//! client6 pc on eth1 0003000102200000 na pd ask=23,24
//! client6 far by 2001:db8::1 0003000102200001 na id=port-7
//! ```
//!
//! A client asks for all options, unless `ask` names them.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;
use lanlord::config::import::Format;
use lanlord::domain::hex;

use super::space::Lab;
use super::wire::Mac;

pub const CLIENTS: &str = "clients";
const CONFIGS: [&str; 6] =
    ["kea.conf", "kea-dhcp4.conf", "kea-dhcp6.conf", "dhcpd.conf", "dhcpd6.conf", "dnsmasq.conf"];

pub struct Example {
    pub name: String,
    pub format: Format,
    /// Its folder, a copy.
    pub folder: std::path::PathBuf,
    pub file: &'static str,
    pub addresses: Vec<(String, IpNet)>,
    pub clients: Vec<Client>,
    pub clients6: Vec<Client6>,
}

/// A DHCPv6 client.
pub struct Client6 {
    pub name: String,
    /// The link address of its relay.
    pub relay: Option<Ipv6Addr>,
    pub interface_id: Option<Vec<u8>>,
    pub duid: Vec<u8>,
    pub address: bool,
    pub prefix: bool,
    /// Option 6.
    pub ask: Vec<u16>,
}

pub struct Client {
    pub name: String,
    /// The relay's address; none for a client on the link.
    pub relay: Option<Ipv4Addr>,
    pub mac: Mac,
    pub options: Vec<(u8, Vec<u8>)>,
    pub silent: bool,
}

impl Example {
    /// True for a server of DHCPv6 alone.
    pub fn is_six(&self) -> bool {
        self.file.contains('6')
    }

    pub fn read(format: Format, folder: &Path) -> Example {
        let text = fs::read_to_string(folder.join(CLIENTS)).expect("clients");
        let file = CONFIGS.into_iter().find(|name| folder.join(name).exists()).expect("a configuration");
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let mut example = Example {
            name,
            format,
            folder: folder.to_owned(),
            file,
            addresses: Vec::new(),
            clients: Vec::new(),
            clients6: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["address", interface, net] => {
                    example.addresses.push(((*interface).to_owned(), net.parse().expect("an address")));
                }
                [kind @ ("client" | "silent"), name, how, at, mac, options @ ..] => {
                    let relay = (*how == "by").then(|| at.parse().expect("a relay"));
                    let silent = *kind == "silent";
                    let options = options.iter().map(|word| option(word)).collect();
                    example.clients.push(Client { name: (*name).to_owned(), relay, mac: octets(mac), options, silent });
                }
                ["client6", name, how, at, duid, words @ ..] => {
                    let given = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
                    let ask = given("ask=").unwrap_or("23,24,31,56");
                    example.clients6.push(Client6 {
                        name: (*name).to_owned(),
                        relay: (*how == "by").then(|| at.parse().expect("a link address")),
                        interface_id: given("id=").map(|id| id.as_bytes().to_vec()),
                        duid: hex::read(duid.as_bytes()).expect("hexadecimal"),
                        address: words.contains(&"na"),
                        prefix: words.contains(&"pd"),
                        ask: ask.split(',').map(|code| code.parse().expect("a code")).collect(),
                    });
                }
                _ => panic!("{}: {line}", folder.display()),
            }
        }
        let some = example.clients.iter().any(|c| !c.silent) || !example.clients6.is_empty();
        assert!(!example.addresses.is_empty() && some, "{}", folder.display());
        example
    }

    /// Gives the server's namespace the interface and addresses of the example, and a way to the relays.
    pub fn set(&self, lab: &mut Lab) {
        let (first, _) = &self.addresses[0];
        lab.flush("srv");
        lab.ip("srv", &["link", "set", "eth0", "down"]);
        if first != "eth0" {
            lab.ip("srv", &["link", "set", "eth0", "name", first]);
        }
        lab.ip("srv", &["link", "set", first, "up"]);
        if !self.clients6.is_empty() {
            // addresses are not tried for duplicates: nobody else is there
            lab.sysctl("srv", "ipv6/conf/default/accept_dad", "0");
            lab.sysctl("srv", &format!("ipv6/conf/{first}/accept_dad"), "0");
            lab.sysctl("c1", "ipv6/conf/eth0/accept_dad", "0");
            lab.sysctl("c1", "ipv6/conf/eth0/accept_ra", "0");
            lab.enable6("srv");
            lab.enable6("c1");
        }
        for (interface, net) in &self.addresses {
            assert_eq!(interface, first, "one interface is enough: relays speak for the others");
            lab.address("srv", interface, &net.to_string());
        }
        if self.clients.is_empty() {
            return;
        }
        lab.ip("srv", &["route", "add", "default", "via", &self.gateway().to_string(), "dev", first, "onlink"]);
    }

    /// Where datagrams to relays go.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, 254)
    }

    /// The server's address towards its clients.
    pub fn server(&self) -> Ipv4Addr {
        let four =
            self.addresses.iter().find_map(|(_, net)| if let IpNet::V4(net) = net { Some(net.addr()) } else { None });
        four.expect("an IPv4 address")
    }
}

fn octets(text: &str) -> Mac {
    let all: Vec<u8> = text.split(':').map(|part| u8::from_str_radix(part, 16).expect("an octet")).collect();
    all.try_into().expect("six octets")
}

/// `60='text'`, `93=0x0007`, `ask=1,3,6`.
fn option(word: &str) -> (u8, Vec<u8>) {
    let (code, value) = word.split_once('=').expect("code=value");
    if code == "ask" {
        return (55, value.split(',').map(|code| code.parse().expect("a code")).collect());
    }
    let bytes = match value.strip_prefix("0x") {
        Some(digits) => hex::read(digits.as_bytes()).expect("hexadecimal"),
        None => value.trim_matches('\'').as_bytes().to_vec(),
    };
    (code.parse().expect("a code"), bytes)
}

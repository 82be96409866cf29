//! The world's DHCPv6: datagrams between its clients and the server, and the table that routes stand in.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Mutex;

use async_trait::async_trait;
use ipnet::{IpNet, Ipv6Net};
use lanlord::domain::dhcp::policy::{Delegation, Policy, Pool6, Subnet6, Times6};
use lanlord::domain::dhcp::v6::Arrival6;
use lanlord::service::leasing::{Outgoing6, PrefixRoute, RouteError, Routes};

use crate::client6::{self, Act6};
use crate::laws::Broken;
use crate::laws6;
use crate::world::{Event, INTERFACE, Server, World};

pub const PREFIX: &str = "2001:db8:77::/64";
/// Addresses of the pool.
pub const POOL: std::ops::Range<u16> = 0x10..0x16;

pub fn address(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, number)
}

/// Our own address on the link.
pub fn own() -> IpNet {
    IpNet::new(address(1).into(), 64).expect("a prefix")
}

/// A few addresses and blocks, so that they change hands.
pub fn subnet() -> Subnet6 {
    let mut subnet = Subnet6::new(PREFIX.parse().expect("a prefix"));
    subnet.pools = vec![Pool6 { range: address(POOL.start)..=address(POOL.end - 1), exclude: Vec::new() }];
    let prefix = "2001:db8:f00::/54".parse().expect("a prefix");
    subnet.delegate = vec![Delegation { prefix, length: 56, exclude: None }];
    subnet
}

/// The rules of a run.
pub fn rules(policy: &mut Policy, seed: u64) {
    policy.rules6.times = Times6 { preferred: 40, valid: 60 };
    policy.rules6.rapid_commit = seed.is_multiple_of(2);
}

/// Routes to delegated prefixes, as the kernel would have them.
#[derive(Default)]
pub struct Table(pub Mutex<BTreeMap<Ipv6Net, PrefixRoute>>);

impl Table {
    /// As it is after a start.
    pub fn of(routes: Vec<PrefixRoute>) -> Table {
        Table(Mutex::new(routes.into_iter().map(|route| (route.prefix, route)).collect()))
    }
}

#[async_trait]
impl Routes for Table {
    async fn install(&self, route: &PrefixRoute) -> Result<(), RouteError> {
        self.0.lock().expect("no holder panics").insert(route.prefix, route.clone());
        Ok(())
    }

    async fn remove(&self, prefix: Ipv6Net) -> Result<(), RouteError> {
        self.0.lock().expect("no holder panics").remove(&prefix);
        Ok(())
    }
}

impl World {
    pub fn wake6(&mut self, client: usize, set: u64) {
        if self.clients6[client].timer == set {
            let act = self.clients6[client].wake(self.now, &mut self.random);
            self.act6(client, act);
        }
    }

    fn act6(&mut self, client: usize, act: Act6) {
        if let Some(bytes) = act.send {
            for delay in self.fates() {
                self.event(delay, Event::ToServer6 { client, bytes: bytes.clone() });
            }
        }
        self.set6(client, act.again_in);
    }

    pub fn set6(&mut self, client: usize, delay: u64) {
        let set = self.events_made();
        self.clients6[client].timer = set;
        self.event(delay, Event::Wake6 { client, set });
    }

    pub fn serve6(&mut self, server: &Server, client: usize, bytes: &[u8]) {
        let arrival = Arrival6 {
            interface: INTERFACE,
            index: 2,
            source: self.clients6[client].source,
            source_port: 546,
            destination: "ff02::1:2".parse().expect("an address"),
            multicast: true,
        };
        let received = server.leasing.receive6(&arrival, None, bytes);
        self.note(format!("server6: type {} from #{client}: {received:?}", bytes[0]));
    }

    pub fn deliver6(&mut self, client: usize, bytes: &[u8]) {
        let reply = client6::read(bytes);
        if let Some(act) = self.clients6[client].receive(&reply, self.now, &mut self.random) {
            self.note(format!(
                "client6 #{client}: {:?} {:?}",
                self.clients6[client].stage, self.clients6[client].holds
            ));
            self.act6(client, act);
        }
    }

    /// A reply leaves the server: now the laws must hold. Then the network has it.
    pub fn answered6(&mut self, server: &Server, out: Outgoing6) -> Result<(), Broken> {
        let reply = client6::read(&out.bytes);
        self.note(format!("server6: {reply:?} to {}", out.to));
        let client = self.clients6.iter().position(|c| c.duid == reply.duid).expect("one of ours");
        self.tally.six.count(&reply);
        laws6::as_it_leaves(self, server, client, &reply)?;
        for delay in self.fates() {
            self.event(delay, Event::ToClient6 { client, bytes: out.bytes.clone() });
        }
        Ok(())
    }
}

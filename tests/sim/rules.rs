//! The policy and the names of a run.

use std::net::Ipv4Addr;
use std::time::Duration;

use lanlord::domain::dhcp::policy::{LeaseTimes, Network, Policy, Pool, Subnet};
use lanlord::service::naming::{Domain, Settings};

use crate::six;
use crate::world::{DOMAIN, INTERFACE, NETWORK, SERVER};

/// A small pool, so that addresses change hands.
pub fn policy(seed: u64) -> Policy {
    let mut subnet = Subnet::new("10.77.0.0/24".parse().expect("a prefix"));
    subnet.pools = vec![Pool::new(Ipv4Addr::new(10, 77, 0, 100), Ipv4Addr::new(10, 77, 0, 107))];
    subnet.router = Some(SERVER);
    let network = Network {
        name: NETWORK.to_owned(),
        interface: Some(INTERFACE.to_owned()),
        domain: DOMAIN.to_owned(),
        subnets: vec![subnet],
        subnets6: vec![six::subnet()],
        authoritative: true,
        ..Network::default()
    };
    let mut policy = Policy::new(vec![network]);
    policy.times = LeaseTimes { default: 60, min: 10, max: 120, infinite: false };
    policy.rules.quarantine = Duration::from_secs(90);
    policy.rules.offer_hold = Duration::from_secs(10);
    six::rules(&mut policy, seed);
    policy
}

pub fn naming(seed: u64) -> Settings {
    let mut settings = Settings::new(DOMAIN, seed);
    settings.networks = vec![Domain {
        network: NETWORK.to_owned(),
        domain: DOMAIN.to_owned(),
        subnets: ["10.77.0.0/24", six::PREFIX].map(|p| p.parse().expect("a prefix")).to_vec(),
    }];
    settings
}

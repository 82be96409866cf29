//! The shells that speak to the network, each started as soon as its sockets can be had.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::services::Services;
use super::{keep_trying, settings};
use crate::config::Config;
use crate::net::{Frames, LinkWatch, Udp};
use crate::server::{dhcp4, dns, http::files, neighbours, tftp};
use crate::service::health::State;
use crate::service::leasing::Replies;

/// How often the board hears how the interfaces fare.
const TICK: Duration = Duration::from_millis(50);
/// Ticks until an interface that is not served yet counts as missing.
const PATIENCE: u32 = 20;

/// What all shells are started with.
pub(super) struct Shells<'a> {
    pub config: &'a Config,
    pub services: &'a Services,
    pub links: &'a LinkWatch,
    pub intake: &'a CancellationToken,
    pub tracker: &'a TaskTracker,
}

/// Servers of DNS that run, for the metrics.
pub(super) type Resolvers = Arc<Mutex<Vec<dns::Dns>>>;

impl Shells<'_> {
    /// Starts what the configuration turns on.
    pub fn start(&self, replies: Replies) -> Resolvers {
        self.neighbours();
        if self.config.dhcp4.enabled {
            self.dhcp4(replies);
        }
        let resolvers = Resolvers::default();
        if self.config.dns.enabled {
            self.dns(resolvers.clone());
        }
        if self.config.provisioning.enabled {
            self.tftp();
            self.files();
        }
        resolvers
    }

    fn neighbours(&self) {
        let (table, links) = (self.services.bindings.neighbours(), self.links.clone());
        let (health, cancel) = (self.services.health.clone(), self.intake.clone());
        self.tracker.spawn(async move {
            if let Err(error) = neighbours::run(table, links, cancel).await {
                tracing::warn!("the neighbour table cannot be followed: {error}");
                health.set("neighbours", State::Degraded(error.to_string()));
            }
        });
    }

    fn dhcp4(&self, replies: Replies) {
        let shell_settings = settings::dhcp4(self.config);
        let port = shell_settings.server_port;
        let (leasing, links) = (self.services.leasing.clone(), self.links.clone());
        let (health, cancel) = (self.services.health.clone(), self.intake.clone());
        health.set("dhcp4", State::Starting);
        self.tracker.spawn(async move {
            let usable = || async move { Udp::send_only(port).and_then(|_| Frames::open()).map(drop) };
            if keep_trying("dhcp4", &health, &cancel, usable).await.is_none() {
                return;
            }
            let shell = dhcp4::Dhcp4::new(shell_settings);
            let watch = shell.clone();
            let board = health.clone();
            let stop = cancel.clone();
            let watching = async move {
                let mut ticks = 0;
                while !stop.is_cancelled() {
                    ticks += 1;
                    for (interface, state) in watch.states() {
                        let waits = state == dhcp4::State::Waiting && ticks <= PATIENCE;
                        let state = if waits { State::Starting } else { interface_state(state) };
                        board.set(&format!("dhcp4 {interface}"), state);
                    }
                    stop.run_until_cancelled(tokio::time::sleep(TICK)).await;
                }
            };
            let (ended, ()) = tokio::join!(shell.run(leasing, replies, links, cancel), watching);
            if let Err(error) = ended {
                tracing::error!("DHCPv4 has ended: {error}");
                health.set("dhcp4", State::Fails(error.to_string()));
            }
        });
    }

    /// Each address by itself: one that is taken stops no other. New addresses of the networks' interfaces
    /// are served as they come.
    fn dns(&self, resolvers: Resolvers) {
        let (config, links) = (self.config.clone(), self.links.clone());
        let services = self.services.clone();
        let (tracker, cancel) = (self.tracker.clone(), self.intake.clone());
        let mut changes = self.links.changes();
        self.tracker.spawn(async move {
            let mut started = HashSet::new();
            loop {
                for address in dns_addresses(&config, &links).into_iter().filter(|a| started.insert(*a)) {
                    let address = SocketAddr::new(address, config.dns.port);
                    let shell_settings = dns_settings(&config, address);
                    let (services, resolvers) = (services.clone(), resolvers.clone());
                    let (tasks, cancel) = (tracker.clone(), cancel.clone());
                    tracker.spawn(async move {
                        let part = format!("dns {address}");
                        let start = || {
                            let started = dns::Dns::start(&shell_settings, services.naming.clone(), &tasks, &cancel);
                            std::future::ready(started)
                        };
                        if let Some(server) = keep_trying(&part, &services.health, &cancel, start).await {
                            resolvers.lock().unwrap_or_else(|e| e.into_inner()).push(server);
                        }
                    });
                }
                if !matches!(cancel.run_until_cancelled(changes.changed()).await, Some(Ok(()))) {
                    return;
                }
            }
        });
    }

    fn tftp(&self) {
        let shell_settings = tftp::Settings {
            listen: self.config.provisioning.listen.clone(),
            port: self.config.provisioning.tftp_port,
            ..tftp::Settings::default()
        };
        let (services, links, cancel) = (self.services.clone(), self.links.clone(), self.intake.clone());
        services.health.set("tftp", State::Starting);
        self.tracker.spawn(async move {
            let bind = || tftp::Tftp::bind(shell_settings.clone(), services.phones.clone(), links.clone());
            if let Some(shell) = keep_trying("tftp", &services.health, &cancel, bind).await {
                shell.run(cancel).await;
            }
        });
    }

    fn files(&self) {
        let shell_settings = files::Settings {
            listen: self.config.provisioning.listen.clone(),
            port: self.config.provisioning.http_port,
            trusted_proxies: self.config.provisioning.trusted_proxies.clone(),
            ..files::Settings::default()
        };
        let (services, links, cancel) = (self.services.clone(), self.links.clone(), self.intake.clone());
        services.health.set("phone files", State::Starting);
        self.tracker.spawn(async move {
            let bind = || files::Files::bind(shell_settings.clone(), services.phones.clone(), links.clone());
            if let Some(shell) = keep_trying("phone files", &services.health, &cancel, bind).await {
                shell.run(cancel).await;
            }
        });
    }
}

fn interface_state(state: dhcp4::State) -> State {
    match state {
        dhcp4::State::Serving => State::Works,
        dhcp4::State::Waiting => State::Fails("waiting for the interface and its address".to_owned()),
        dhcp4::State::Failing(why) => State::Fails(why),
    }
}

/// The configured addresses, or the loopback and our own on the networks.
fn dns_addresses(config: &Config, links: &LinkWatch) -> Vec<IpAddr> {
    let default = || {
        let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let links = links.links();
        let has_v6 =
            links.iter().any(|l| l.loopback && l.addresses.iter().any(|net| net.addr() == Ipv6Addr::LOCALHOST));
        all.extend(has_v6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        all.extend(settings::own_addresses(config, &links));
        all
    };
    config.dns.listen.clone().unwrap_or_else(default)
}

/// DN-501: other names for the loopback and our networks only, unless somebody says otherwise.
fn dns_settings(config: &Config, address: SocketAddr) -> dns::Settings {
    let mut shell_settings = dns::Settings::new(vec![address]);
    shell_settings.forward = config.dns.forward.clone();
    let networks = || config.networks.iter().flat_map(|network| network.subnets.iter().map(|subnet| subnet.prefix));
    match &config.dns.recursion {
        Some(clients) => shell_settings.recursion = clients.clone(),
        None => shell_settings.recursion.extend(networks().collect::<Vec<IpNet>>()),
    }
    shell_settings
}

//! The shells that speak to the network, each started as soon as its sockets can be had.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::own::Own;
use super::resolvers::Resolvers;
use super::services::Services;
use super::{keep_trying, settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::net::{Frames, LinkWatch, Udp};
use crate::server::{dhcp4, dns, http::files, neighbours, tftp};
use crate::service::health::State;
use crate::service::leasing::Replies;
use crate::store::Ledger;

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

impl Shells<'_> {
    /// Starts what the configuration turns on; gives the counters of DNS.
    pub fn start(&self, replies: Replies, clock: Arc<dyn Clock>, ledger: Ledger) -> Arc<dns::Counters> {
        self.own(clock.clone());
        self.radv(clock, ledger.clone());
        self.neighbours();
        if self.config.dhcp4.enabled {
            self.dhcp4(replies);
        }
        if self.config.dhcp6.enabled {
            self.dhcp6(ledger);
        }
        let counters = Arc::<dns::Counters>::default();
        if self.config.dns.enabled {
            self.dns(counters.clone());
        }
        if self.config.provisioning.enabled {
            self.tftp();
            self.files();
        }
        counters
    }

    fn own(&self, clock: Arc<dyn Clock>) {
        let (config, services) = (self.config.clone(), self.services.clone());
        let own = Own { config, services, clock, links: self.links.clone() };
        self.tracker.spawn(own.follow(self.intake.clone()));
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
        // before the part as a whole works: nobody may find us ready while a socket is not bound yet
        for interface in &shell_settings.interfaces {
            health.set(&format!("dhcp4 {interface}"), State::Starting);
        }
        self.tracker.spawn(async move {
            let usable = || async move { Udp::send_only(port).and_then(|_| Frames::open()).map(drop) };
            if keep_trying("dhcp4", &health, &cancel, links.changes(), usable).await.is_none() {
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
                        let waits = matches!(state, dhcp4::State::Waiting(_)) && ticks <= PATIENCE;
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

    fn dns(&self, counters: Arc<dns::Counters>) {
        let resolvers = Resolvers {
            config: Arc::new(self.config.clone()),
            services: self.services.clone(),
            links: self.links.clone(),
            counters,
        };
        resolvers.announce();
        self.tracker.spawn(resolvers.follow(self.intake.clone()));
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
            if let Some(shell) = keep_trying("tftp", &services.health, &cancel, links.changes(), bind).await {
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
            if let Some(shell) = keep_trying("phone files", &services.health, &cancel, links.changes(), bind).await {
                shell.run(cancel).await;
            }
        });
    }
}

fn interface_state(state: dhcp4::State) -> State {
    match state {
        dhcp4::State::Serving => State::Works,
        dhcp4::State::Waiting(what) => State::Fails(format!("waiting for {what}")),
        dhcp4::State::Failing(why) => State::Fails(why),
    }
}

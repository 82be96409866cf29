//! The shells that speak to the network, each started as soon as its sockets can be had.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::own::Own;
use super::resolvers::Resolvers;
use super::services::Services;
use super::{board, keep_trying, settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::net::{Frames, LinkWatch, Udp};
use crate::server::{dhcp4, dns, http::files, neighbours, tftp};
use crate::service::health::State;
use crate::service::leasing::Replies;
use crate::store::Ledger;

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
        self.dns(counters.clone());
        if self.config.serves_files() {
            self.tftp();
            self.files();
        }
        counters
    }

    fn own(&self, clock: Arc<dyn Clock>) {
        let own = Own { services: self.services.clone(), clock, links: self.links.clone() };
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
        let (health, cancel) = (self.services.health.clone(), self.intake.clone());
        let interfaces = self.derived(settings::interfaces4);
        // before the part as a whole works: nobody may find us ready while a socket is not bound yet
        board::expect(&health, "dhcp4", &interfaces.borrow());
        health.set("dhcp4", State::Starting);
        let (server_port, client_port) = (self.config.dhcp4.port, self.config.dhcp4.client_port);
        let check_source_mac = self.config.dhcp4.check_source_mac;
        let shell = dhcp4::Dhcp4 {
            settings: dhcp4::Settings { server_port, client_port, check_source_mac, ..dhcp4::Settings::default() },
            interfaces,
            boot_interfaces: self.derived(settings::boot_interfaces),
            leasing: self.services.leasing.clone(),
            links: self.links.clone(),
            state: board::watcher(&health, "dhcp4", "DHCPv4 is"),
            boot_state: board::watcher(&health, "proxydhcp", "ProxyDHCP is"),
        };
        let changes = self.links.changes();
        self.tracker.spawn(async move {
            let usable = || async move { Udp::send_only(server_port).and_then(|_| Frames::open()).map(drop) };
            if keep_trying("dhcp4", &health, &cancel, changes, usable).await.is_none() {
                return;
            }
            if let Err(error) = shell.run(replies, cancel).await {
                tracing::error!("DHCPv4 has ended: {error}");
                health.set("dhcp4", State::Fails(error.to_string()));
            }
        });
    }

    /// What a part is told by the configuration, now and after each reload that changes it.
    pub fn derived<T: PartialEq + Send + Sync + 'static>(&self, of: fn(&Config) -> T) -> watch::Receiver<T> {
        let mut configured = self.services.configured.subscribe();
        let (tell, told) = watch::channel(of(&configured.borrow_and_update()));
        let cancel = self.intake.clone();
        self.tracker.spawn(async move {
            while let Some(Ok(())) = cancel.run_until_cancelled(configured.changed()).await {
                let new = of(&configured.borrow_and_update());
                tell.send_if_modified(|old| {
                    let other = *old != new;
                    *old = new;
                    other
                });
            }
        });
        told
    }

    fn dns(&self, counters: Arc<dns::Counters>) {
        let resolvers = Resolvers { services: self.services.clone(), links: self.links.clone(), counters };
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

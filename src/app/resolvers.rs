//! The listeners of DNS: one server for each address, begun when the address comes and ended when it goes
//! (DH-804). Each address by itself: one that is taken stops no other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::services::Services;
use super::{keep_trying, settings};
use crate::config::Config;
use crate::net::LinkWatch;
use crate::server::dns::{Counters, Dns, Settings};
use crate::service::health::State;

/// What every listener is made of.
#[derive(Clone)]
pub(super) struct Resolvers {
    pub services: Services,
    pub links: LinkWatch,
    /// Of all listeners together, for the metrics.
    pub counters: Arc<Counters>,
}

/// A listener: cancel it, and its task ends when its sockets are closed.
struct Listener {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Resolvers {
    /// Puts the listeners of now on the board, before any has spoken: nobody may find us ready without them.
    pub fn announce(&self) {
        for address in self.addresses() {
            self.services.health.set(&part(SocketAddr::new(address, self.config().dns.port)), State::Starting);
        }
    }

    fn config(&self) -> Arc<Config> {
        self.services.configured.borrow().clone()
    }

    /// None while DNS is off, else the configured addresses, or the loopback and our own on the networks as they are now.
    fn addresses(&self) -> Vec<IpAddr> {
        let config = self.config();
        if !config.dns.enabled {
            return Vec::new();
        }
        let default = || {
            let links = self.links.links();
            let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
            let has_v6 = links.iter().any(|l| l.loopback && l.ipv6().any(|ip| ip == Ipv6Addr::LOCALHOST));
            all.extend(has_v6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
            all.extend(settings::own_addresses(&config.networks, &links));
            all
        };
        config.dns.listen.clone().unwrap_or_else(default)
    }

    /// DN-501: other names for the loopback and our networks only, unless somebody says otherwise.
    fn settings(&self, address: SocketAddr) -> Settings {
        let mut settings = Settings::new(vec![address]);
        settings.counters = self.counters.clone();
        let now = self.config();
        settings.forward = now.dns.forward.clone();
        let networks = now.networks.iter().flat_map(|network| network.subnets.iter().map(|subnet| subnet.prefix));
        match &now.dns.recursion {
            Some(clients) => settings.recursion = clients.clone(),
            None => settings.recursion.extend(networks.collect::<Vec<IpNet>>()),
        }
        settings
    }

    /// Keeps a listener on each address of ours until `cancel`.
    pub async fn follow(self, cancel: CancellationToken) {
        let mut open: HashMap<IpAddr, Listener> = HashMap::new();
        let mut changes = self.links.changes();
        let mut configured = self.services.configured.subscribe();
        let served = |config: &Config| (config.dns.port, config.dns.forward.clone(), config.dns.recursion.clone());
        let mut before = served(&self.config());
        loop {
            configured.mark_unchanged();
            let now = served(&self.config());
            if now != before {
                // all of them begin anew, each when its sockets are closed
                open.values().for_each(|listener| listener.stop.cancel());
                before = now;
            }
            let wanted = self.addresses();
            for (address, listener) in &open {
                if !wanted.contains(address) {
                    listener.stop.cancel();
                }
            }
            open.retain(|_, listener| !(listener.stop.is_cancelled() && listener.task.is_finished()));
            for address in wanted {
                // one that is closing holds its port until it is through
                let before = open.remove(&address);
                let kept = before.as_ref().is_some_and(|listener| !listener.stop.is_cancelled());
                let listener = match before {
                    Some(listener) if kept => listener,
                    before => self.listen(address, before, &cancel),
                };
                open.insert(address, listener);
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = changes.changed() => {}
                Ok(()) = configured.changed() => {}
            }
        }
        for listener in open.into_values() {
            // a listener that panicked has told so
            let _ = listener.task.await;
        }
    }

    fn listen(&self, address: IpAddr, before: Option<Listener>, cancel: &CancellationToken) -> Listener {
        let stop = cancel.child_token();
        let (all, ended) = (self.clone(), stop.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.task.await;
            }
            let port = all.config().dns.port;
            all.serve(SocketAddr::new(address, port), ended).await;
        });
        Listener { stop, task }
    }

    async fn serve(&self, address: SocketAddr, stop: CancellationToken) {
        let (part, tasks) = (part(address), TaskTracker::new());
        let settings = self.settings(address);
        let health = &self.services.health;
        let start = || std::future::ready(Dns::start(&settings, self.services.naming.clone(), &tasks, &stop));
        if keep_trying(&part, health, &stop, self.links.changes(), start).await.is_some() {
            stop.cancelled().await;
        }
        health.forget(&part);
        tasks.close();
        tasks.wait().await;
    }
}

/// What the board calls the listener of one address.
fn part(address: SocketAddr) -> String {
    format!("dns {address}")
}

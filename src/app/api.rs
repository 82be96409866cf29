//! The way in: REST, the status page and CLAWS on one router behind one door, on the Unix socket and on
//! loopback addresses.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::shells::Shells;
use super::{keep_trying, random, sockets};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Sources;
use crate::server::{claws, http};
use crate::service::access::{Credential, Right};
use crate::service::bus::Bus;
use crate::service::health::State;
use crate::service::reload::Reloads;

impl Shells<'_> {
    /// Starts the listeners of the API.
    pub fn api(&self, clock: Arc<dyn Clock>, reloads: Reloads, socket: PathBuf, sources: Sources) {
        let router = self.router(clock, reloads, sources);
        let (unix, health, cancel) = (router.clone(), self.services.health.clone(), self.intake.clone());
        let changes = self.links.changes();
        health.set("api socket", State::Starting);
        self.tracker.spawn(async move {
            let bind = || std::future::ready(sockets::unix(&socket));
            if let Some(listener) = keep_trying("api socket", &health, &cancel, changes, bind).await {
                http::accept::serve(listener, unix, cancel).await;
            }
        });
        for address in self.config.server.listen.clone() {
            let (router, health, cancel) = (router.clone(), self.services.health.clone(), self.intake.clone());
            let changes = self.links.changes();
            let part = format!("api {address}");
            health.set(&part, State::Starting);
            self.tracker.spawn(async move {
                let bind = || std::future::ready(sockets::tcp(address));
                if let Some(listener) = keep_trying(&part, &health, &cancel, changes, bind).await {
                    http::accept::serve(listener, router, cancel).await;
                }
            });
        }
    }

    fn router(&self, clock: Arc<dyn Clock>, reloads: Reloads, sources: Sources) -> Router {
        let services = self.services;
        let sessions = http::session::Sessions::new(clock.clone(), random());
        let api = http::api::Api {
            access: services.access.clone(),
            events: services.events.clone(),
            health: services.health.clone(),
            leasing: services.leasing.clone(),
            naming: services.naming.clone(),
            devices: services.devices.clone(),
            phones: services.phones.clone(),
            hosts: services.hosts.clone(),
            reloads,
            sources,
            domain: self.config.server.domain.clone(),
            sessions: sessions.clone(),
            new_id: Box::new(new_id),
            began: clock.mono(),
            clock,
            stopping: self.intake.clone(),
        };
        let door =
            http::guard::Door { access: services.access.clone(), sessions, settings: door_settings(self.config) };
        let claws = claws::router(services.bus.clone(), resolve(services.bus.clone()));
        http::api::router(Arc::new(api)).merge(claws).layer(from_fn_with_state(Arc::new(door), http::guard::guard))
    }
}

/// Who somebody is on the bus: administrators may submit anything, others what the configuration gives the
/// credential of their name.
fn resolve(bus: Bus) -> claws::Resolve {
    Arc::new(move |extensions| {
        let credential = extensions.get::<Credential>()?;
        let administrator = credential.may("bus", Right::Admin);
        (administrator || credential.may("bus", Right::Write)).then(|| bus.principal(&credential.name, administrator))
    })
}

fn door_settings(config: &Config) -> http::guard::Settings {
    let users = config.claws.credentials.iter();
    http::guard::Settings {
        own_uid: nix::unistd::geteuid().as_raw(),
        admin_group: config.server.admin_group.clone(),
        local: users.filter_map(|c| c.uid.map(|uid| (uid, c.name.clone()))).collect(),
    }
}

/// 128 random bits.
fn new_id() -> String {
    let mut bytes = [0u8; 16];
    random()(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

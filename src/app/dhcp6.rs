//! DHCPv6: its shell, and the keeper of routes to delegated prefixes, tied to leasing.

use super::shells::Shells;
use super::{board, keep_trying, settings};
use crate::domain::change::{Change, Sight};
use crate::net::Udp;
use crate::server::dhcp6::{Dhcp6, KernelRoutes};
use crate::service::health::{Health, State};
use crate::service::leasing::RouteError;
use crate::store::Ledger;

impl Shells<'_> {
    /// Starts the shell; nothing of DHCPv6 is open otherwise.
    pub fn dhcp6(&self, ledger: Ledger) {
        let Some(replies) = self.services.leasing.replies6() else { return };
        self.prefix_routes(ledger);
        let (health, cancel) = (self.services.health.clone(), self.intake.clone());
        let interfaces = self.derived(settings::interfaces6);
        board::expect(&health, "dhcp6", &interfaces.borrow());
        let shell = Dhcp6 {
            port: self.config.dhcp6.port,
            interfaces,
            leasing: self.services.leasing.clone(),
            neighbours: self.services.bindings.neighbours(),
            links: self.links.clone(),
            state: board::watcher(&health, "dhcp6", "DHCPv6 is"),
        };
        let (port, changes) = (shell.port, self.links.changes());
        health.set("dhcp6", State::Starting);
        self.tracker.spawn(async move {
            let usable = || std::future::ready(Udp::send_only6(port).map(drop));
            if keep_trying("dhcp6", &health, &cancel, changes, usable).await.is_none() {
                return;
            }
            if let Err(error) = shell.run(replies, cancel).await {
                tracing::error!("DHCPv6 has ended: {error}");
                health.set("dhcp6", State::Fails(error.to_string()));
            }
        });
    }

    /// DH-707. Without netlink prefixes are delegated all the same.
    fn prefix_routes(&self, ledger: Ledger) {
        let health = self.services.health.clone();
        let missing = move |error: &RouteError| report(&health, &ledger, error);
        match KernelRoutes::open(self.links.clone(), Box::new(missing)) {
            Ok(routes) => {
                self.services.leasing.set_routes(routes.clone());
                self.tracker.spawn(routes.follow(self.services.leasing.prefix_routes(), self.intake.clone()));
            }
            Err(error) => {
                self.services.health.set("prefix routes", State::Degraded(error.to_string()));
            }
        }
    }
}

/// An event, and a line on the board until the next start.
fn report(health: &Health, ledger: &Ledger, error: &RouteError) {
    tracing::warn!("{error}");
    health.set("prefix routes", State::Degraded(error.to_string()));
    let (object, detail) = (format!("lease/{}", error.prefix.network()), error.to_string());
    // told once for each prefix; without room in the queue the log and the board have told
    let _ = ledger.submit(vec![Change::Seen { what: Sight::RouteMissing, object, detail }].into());
}

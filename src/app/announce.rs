//! Router advertisements: what the configuration says, to the shell; what the shell hears, to those whom it
//! concerns.

use std::sync::Arc;

use super::shells::Shells;
use super::{random, settings};
use crate::clock::Clock;
use crate::domain::change::{Change, Sight};
use crate::net::Presence;
use crate::server::radv::{Ears, Foreign, Radv};
use crate::service::health::{Health, State};
use crate::store::Ledger;

impl Shells<'_> {
    /// Runs even if nothing is said yet: a reload may change that.
    pub fn radv(&self, clock: Arc<dyn Clock>, ledger: Ledger) {
        let served = self.services.announced.subscribe();
        for one in settings::radv(self.config) {
            self.services.health.set(&part(&one.interface), State::Starting);
        }
        let (health, foreign) = (self.services.health.clone(), self.services.health.clone());
        let ears = Ears {
            state: Arc::new(move |interface, presence| state(&health, interface, presence)),
            foreign: Arc::new(move |router| report(&foreign, &ledger, &router)),
        };
        let shell = Radv { links: self.links.clone(), clock, random: random(), ears };
        self.tracker.spawn(shell.run(served, self.intake.clone()));
    }
}

fn part(interface: &str) -> String {
    format!("router advertisements {interface}")
}

fn state(health: &Health, interface: &str, presence: Option<Presence>) {
    let Some(presence) = presence else { return health.forget(&part(interface)) };
    let state = match presence {
        Presence::Serving => State::Works,
        Presence::Waiting(what) => State::Fails(format!("waiting for {what}")),
        Presence::Failing(why) => State::Fails(why),
    };
    if health.parts().get(&part(interface)) == Some(&state) {
        return;
    }
    match &state {
        State::Fails(why) => tracing::warn!("no router advertisements on {interface}: {why}"),
        _ => tracing::info!(interface, "router advertisements are sent"),
    }
    health.set(&part(interface), state);
}

/// DH-724: an event, and a line on the board until the next start.
fn report(health: &Health, ledger: &Ledger, router: &Foreign) {
    let Foreign { interface, from, lifetime, .. } = router;
    let prefixes: Vec<String> = router.prefixes.iter().map(|(ip, len)| format!("{ip}/{len}")).collect();
    let detail = format!(
        "{from} sends router advertisements on {interface}: lifetime {lifetime} s, M={}, O={}, prefixes [{}]",
        u8::from(router.managed),
        u8::from(router.other),
        prefixes.join(", ")
    );
    let hint = "if it belongs there, name it in known_routers of [network.ra]";
    tracing::warn!("{detail}; {hint}");
    health.set(&format!("other router {interface}"), State::Degraded(format!("{detail}; {hint}")));
    // bounded: once an hour for each of a few routers; without room in the queue the next hour tells
    let _ = ledger.submit(
        vec![Change::Seen { what: Sight::ForeignRouter, object: format!("interface/{interface}"), detail }].into(),
    );
}

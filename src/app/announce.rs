//! Router advertisements: what the configuration says, to the shell; what the shell hears, to those whom it
//! concerns.

use std::sync::Arc;

use super::shells::Shells;
use super::{board, random, settings};
use crate::clock::Clock;
use crate::domain::change::{Change, Sight};
use crate::server::radv::{Ears, Foreign, Radv};
use crate::service::health::{Health, State};
use crate::store::Ledger;

/// Its name on the board.
const PART: &str = "router advertisements";

impl Shells<'_> {
    /// Runs even if nothing is said yet: a reload may change that.
    pub fn radv(&self, clock: Arc<dyn Clock>, ledger: Ledger) {
        let served = self.derived(settings::radv);
        let (health, foreign) = (&self.services.health, self.services.health.clone());
        let interfaces: Vec<String> = served.borrow().iter().map(|one| one.interface.clone()).collect();
        board::expect(health, PART, &interfaces);
        let ears = Ears {
            state: board::watcher(health, PART, "router advertisements are"),
            foreign: Arc::new(move |router| report(&foreign, &ledger, &router)),
        };
        let shell = Radv { links: self.links.clone(), clock, random: random(), ears };
        self.tracker.spawn(shell.run(served, self.intake.clone()));
    }
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

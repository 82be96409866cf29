//! The board: how interfaces fare, as the status page, `/readyz` and the log tell it.

use std::sync::Arc;

use crate::net::{Presence, Watcher};
use crate::service::health::{Health, State};

/// Puts what a shell says of its interfaces on the board as `PART INTERFACE`, and each change in the log, where
/// `service` names it.
pub(super) fn watcher(health: &Arc<Health>, part: &'static str, service: &'static str) -> Watcher {
    let health = health.clone();
    Arc::new(move |interface, presence| show(&health, &format!("{part} {interface}"), service, interface, presence))
}

/// Before any of them has spoken: nobody may find us ready without them.
pub(super) fn expect(health: &Health, part: &str, interfaces: &[String]) {
    interfaces.iter().for_each(|interface| health.set(&format!("{part} {interface}"), State::Starting));
}

fn show(health: &Health, part: &str, service: &str, interface: &str, presence: Option<Presence>) {
    let state = match presence {
        None => return health.forget(part),
        Some(Presence::Serving) => State::Works,
        Some(Presence::Waiting(what)) => State::Fails(format!("waiting for {what}")),
        Some(Presence::Failing(why)) => State::Fails(why),
    };
    if health.parts().get(part) == Some(&state) {
        return;
    }
    match &state {
        State::Fails(why) => tracing::warn!("{service} not served on {interface}: {why}"),
        _ => tracing::info!(interface, "{service} served"),
    }
    health.set(part, state);
}

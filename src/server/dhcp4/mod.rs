//! The DHCPv4 shell: sockets in front of `service::leasing`. Owns one receiving socket per served interface,
//! one socket for answers and one packet socket for clients without an address; refuses to read a packet:
//! it passes bytes on with where they came from.
//!
//! Interfaces may be missing, come late, flap or be replaced: each has a task that follows it (DH-804).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::net::Presence as State;
use crate::net::{Frames, LinkWatch, NetError, Udp};
use crate::service::leasing::{Leasing, Replies};

/// Datagrams in.
mod intake;
/// Replies out.
mod outlet;
/// Asking links whether an address is in use.
mod probe;

/// What the shell is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names of the interfaces to serve, each once; those that do not exist yet are waited for.
    pub interfaces: Vec<String>,
    /// Where servers and relays listen. Default 67; another one is for tests and benches.
    pub server_port: u16,
    /// Where clients listen. Default 68.
    pub client_port: u16,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { interfaces: Vec::new(), server_port: 67, client_port: 68 }
    }
}

/// The shell.
pub struct Dhcp4 {
    settings: Settings,
    states: Mutex<BTreeMap<String, State>>,
}

impl Dhcp4 {
    pub fn new(settings: Settings) -> Arc<Dhcp4> {
        let states = settings.interfaces.iter().map(|name| (name.clone(), State::Waiting(""))).collect();
        Arc::new(Dhcp4 { settings, states: Mutex::new(states) })
    }

    /// How each interface fares.
    pub fn states(&self) -> Vec<(String, State)> {
        let states = self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        states.iter().map(|(name, state)| (name.clone(), state.clone())).collect()
    }

    /// Serves until `cancel`, then lets out what is in flight. Fails only if answers could not be sent at
    /// all: no CAP_NET_RAW, or the server port is not to be had.
    pub async fn run(
        self: Arc<Self>,
        leasing: Arc<Leasing>,
        replies: Replies,
        links: LinkWatch,
        cancel: CancellationToken,
    ) -> Result<(), NetError> {
        let routed = Udp::send_only(self.settings.server_port)?;
        let frames = Frames::open()?;
        let prober = Arc::new(probe::Prober::new(links.clone(), cancel.clone()));
        drop(leasing.probe_with(prober, cancel.clone()));
        let tasks = TaskTracker::new();
        for interface in &self.settings.interfaces {
            let intake = intake::Intake {
                shell: self.clone(),
                interface: interface.clone(),
                leasing: leasing.clone(),
                links: links.clone(),
            };
            let cancel = cancel.clone();
            tasks.spawn(async move { intake.run(&cancel).await });
        }
        let outlet = outlet::Outlet { settings: self.settings.clone(), routed, frames, links };
        outlet.run(replies, &leasing, &cancel).await;
        tasks.close();
        tasks.wait().await;
        Ok(())
    }

    /// Notes a change of state, once.
    fn note(&self, interface: &str, state: State) {
        let mut states = self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let old = states.insert(interface.to_owned(), state.clone());
        if old.as_ref() == Some(&state) {
            return;
        }
        match state {
            State::Waiting(what) => tracing::warn!("DHCPv4 is not served on {interface}: waiting for {what}"),
            State::Serving => tracing::info!(interface, "serving DHCPv4"),
            State::Failing(why) => tracing::warn!(interface, %why, "DHCPv4 is not served here"),
        }
    }
}

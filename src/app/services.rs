//! The services, made in an order in which each finds what it needs, and their views in the order in which
//! a commit must reach them: who holds an address, who gets one, what is called how, then the rest.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::{AppError, settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::plugins;
use crate::domain::dns::zonefile::Severity;
use crate::domain::phone::lint;
use crate::domain::phone::plugin::Plugin;
use crate::net::Links;
use crate::service::access::{Access, Random};
use crate::service::bindings::Bindings;
use crate::service::bus::builtin::{AddressModule, Enricher, NameModule, ZoneRule};
use crate::service::bus::{self, Bus};
use crate::service::devices::Devices;
use crate::service::events::Events;
use crate::service::health::{Health, State};
use crate::service::hosts::Hosts;
use crate::service::leasing::{Leasing, Replies};
use crate::service::naming::Naming;
use crate::service::provisioning::Provisioning;
use crate::service::secrets::Secrets;
use crate::store::{History, Ledger, View};

/// All of them.
#[derive(Clone)]
pub(super) struct Services {
    pub health: Arc<Health>,
    pub access: Arc<Access>,
    pub events: Arc<Events>,
    pub bindings: Arc<Bindings>,
    pub leasing: Arc<Leasing>,
    pub naming: Naming,
    pub devices: Arc<Devices>,
    pub phones: Arc<Provisioning>,
    pub hosts: Hosts,
    pub bus: Bus,
    /// The configuration in force, for shells that follow its changes.
    pub configured: Arc<watch::Sender<Arc<Config>>>,
}

/// What services are made of.
pub(super) struct Ground<'a> {
    pub config: &'a Config,
    pub state: &'a std::path::Path,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub links: &'a Links,
    pub history: Arc<dyn History>,
}

impl Services {
    /// Services without a ledger; replies of DHCP come out of the second value.
    pub fn new(ground: Ground<'_>) -> Result<(Services, Replies), AppError> {
        let Ground { config, state, clock, random, links, history } = ground;
        let health = Health::new();
        let plugins = load_plugins(&config.provisioning.plugins, &health);
        let mut seed = [0u8; 8];
        random(&mut seed);
        let naming = Naming::open(settings::naming(config, links, u64::from_le_bytes(seed)), clock.wall());
        if let Some(problem) = naming.problems().iter().find(|p| p.severity == Severity::Error) {
            health.set("zones", State::Degraded(problem.to_string()));
        }
        let policy = settings::policy(config, &plugins);
        let (leasing, replies) = Leasing::new(policy, Arc::new(naming.clone()), clock.clone());
        let bindings = Bindings::new(clock.clone());
        let secrets = Secrets::load(state).map_err(|e| AppError::Failed(e.to_string()))?;
        let secret = secrets.derive("addresses of dhcp6");
        leasing.identify6(settings::duid(&secrets.derive("duid of dhcp6")), secret);
        let devices =
            Devices::new(config.provisioning.base.clone(), config.provisioning.template.clone(), Arc::new(secrets));
        let phones = Provisioning::new(
            settings::provisioning(config),
            plugins,
            bindings.clone(),
            devices.clone(),
            clock.clone(),
            random.clone(),
        );
        phones.set_boot(settings::boot(config));
        let hosts = Hosts::default();
        let bus = bus(config, &leasing, &naming, &hosts, &clock, &random);
        let access = Access::new(clock, random);
        let events = Events::new(history);
        let configured = Arc::new(watch::Sender::new(Arc::new(config.clone())));
        let services =
            Services { health, access, events, bindings, leasing, naming, devices, phones, hosts, bus, configured };
        Ok((services, replies))
    }

    /// Their read sides.
    pub fn views(&self) -> Vec<Box<dyn View>> {
        vec![
            self.bindings.view(),
            self.leasing.view(),
            self.naming.view(),
            self.devices.view(),
            self.access.view(),
            self.hosts.view(),
            // whoever sees a final event finds what it implies
            self.bus.view(),
        ]
    }

    /// Gives them their writer.
    pub fn attach(&self, ledger: &Ledger) {
        self.devices.attach(ledger.clone());
        self.access.attach(ledger.clone());
        self.events.attach(ledger.clone());
    }
}

/// The bus with its built-in modules: direct calls into leasing and naming.
fn bus(
    config: &Config,
    leasing: &Arc<Leasing>,
    naming: &Naming,
    hosts: &Hosts,
    clock: &Arc<dyn Clock>,
    random: &Random,
) -> Bus {
    let parts = bus::Parts {
        clock: clock.clone(),
        random: random.clone(),
        hosts: hosts.clone(),
        addresses: leasing.clone(),
        enrichers: enrichers(config, leasing),
        ballots: vec![leasing.clone(), Arc::new(naming.clone())],
    };
    Bus::new(settings::bus(config), parts)
}

/// The built-in modules of the bus that add to events.
pub(super) fn enrichers(config: &Config, leasing: &Arc<Leasing>) -> Vec<Arc<dyn Enricher>> {
    let mut enrichers: Vec<Arc<dyn Enricher>> = Vec::new();
    if config.claws.enrich_address {
        enrichers.push(Arc::new(AddressModule::new(leasing.clone())));
    }
    if config.claws.enrich_dns {
        let rules = config.claws.zones.iter().map(|zone| ZoneRule {
            domain: zone.domain.clone(),
            roaming: zone.roaming,
            vlan: zone.vlan.clone(),
        });
        enrichers.push(Arc::new(NameModule::new(rules.collect(), &config.server.domain, leasing.clone())));
    }
    enrichers
}

/// All plugins that can be read. Those that cannot are named on the board, and nobody else suffers.
pub(super) fn load_plugins(folders: &[PathBuf], health: &Health) -> Arc<[Plugin]> {
    let (plugins, problems) = plugins::load(folders);
    let plugins: Arc<[Plugin]> = plugins.into();
    let mut texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.extend(lint::lint(&plugins).iter().map(ToString::to_string));
    texts.iter().for_each(|text| tracing::warn!("{text}"));
    match texts.first() {
        None => health.forget("plugins"),
        Some(first) => health.set("plugins", State::Degraded(format!("{} problems, the first: {first}", texts.len()))),
    }
    plugins
}

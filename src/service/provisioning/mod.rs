//! Files for phones: extract, bind, retrieve or add, update, route, gate, render. One entry point,
//! [`Provisioning::serve`], for TFTP and HTTP alike.
//!
//! Owns the order of the steps and what they remember. A device that a request made is committed before
//! the request is answered (I2); an address alone makes none (I5); a file with secrets goes to the identity
//! it belongs to (I6). Refuses to tell a sender why it gets nothing.

use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;

use crate::clock::Clock;
use crate::domain::change::Change;
use crate::domain::device::{Added, Device, Role, Strength};
use crate::domain::hex;
use crate::domain::lease::{Binding, BindingSource};
use crate::domain::phone::classify::{Answer, Question, classify};
use crate::domain::phone::extract::{Clues, Extractor, Identified};
use crate::domain::phone::plugin::Plugin;
use crate::domain::phone::render::Renderer;
use crate::domain::phone::retrieve::{Asker, AutoCreate, By, Known, Retrieval, retrieve};
use crate::domain::phone::route::{Name, Router};
use crate::domain::phone::update;
use crate::domain::time::Wall;
use crate::service::bindings::{Bindings, Holder};
use crate::service::devices::{DeviceError, Devices};
use crate::service::secrets::Random;

/// Files for computers that boot from the network.
mod boot;
/// Counters by closed words.
mod counters;
/// Provisioning without its servers, for tests.
#[cfg(test)]
pub(crate) mod fixture;
/// Steps 5 to 7: route, gate, render.
mod give;
/// Devices from leases: the phone is known before it asks for its first file.
mod lease;
/// What is remembered without being written down.
pub mod memory;
/// The question and the answer.
pub mod request;
/// Since when files are what they are.
mod revisions;
#[cfg(test)]
mod tests;

use boot::{BootCounters, BootFolder};
pub use boot::{BootFile, BootSettings, Pieces};
use counters::Counters;
use memory::{Pending, Remembered, Unidentified};
pub use request::{Attribution, Decision, FileReply, FileRequest, Protocol, Reason, Served, Trace};
use revisions::Revisions;

/// Attempts to write an update down while others change the same device.
const ATTEMPTS: usize = 4;

/// What provisioning is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether there are files for phones; the boot folder is told apart. Default: true.
    pub phones: bool,
    /// Who becomes a device unasked. Default: `Bound`.
    pub auto_create: AutoCreate,
    /// A lease whose vendor class names a phone makes a device. Default: true.
    pub create_on_lease: bool,
    /// Devices that leases may make on one network in an hour: a vendor class is easily forged. Default: 100.
    pub new_devices_per_hour: u32,
    /// Sources that get secret files although they only claim who they are. Default: none.
    pub claims_allow: Vec<IpNet>,
    /// Base URL of the phones' HTTP server, without final slash. Default: the address that was asked, and
    /// `http_port`.
    pub http_url: Option<String>,
    /// Port of the phones' HTTP server. Default: 8667.
    pub http_port: u16,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            phones: true,
            auto_create: AutoCreate::Bound,
            create_on_lease: true,
            new_devices_per_hour: 100,
            claims_allow: Vec::new(),
            http_url: None,
            http_port: 8667,
        }
    }
}

/// The loaded plugins, compiled.
struct Pack {
    extractor: Extractor,
    router: Router,
    renderer: Renderer,
}

impl Pack {
    fn new(plugins: Arc<[Plugin]>) -> Pack {
        let (extractor, bad_rules) = Extractor::new(plugins.clone());
        let (renderer, bad_templates) = Renderer::new(&plugins);
        bad_rules.iter().for_each(|bad| tracing::error!(%bad, "a match rule was left out"));
        bad_templates.iter().for_each(|bad| tracing::error!(%bad, "a template was left out"));
        Pack { router: Router::new(plugins), extractor, renderer }
    }
}

/// The service. One per daemon, shared.
pub struct Provisioning {
    settings: ArcSwap<Settings>,
    pack: ArcSwap<Pack>,
    boot: ArcSwapOption<BootFolder>,
    boot_counters: BootCounters,
    bindings: Arc<Bindings>,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
    random: Random,
    remembered: Remembered,
    revisions: Revisions,
    counters: Counters,
    /// Set once the ledger runs: leases are followed from then on.
    following: OnceLock<()>,
    /// What leases made lately, by network.
    made: Mutex<lease::Made>,
}

/// A request with what was found out about it so far.
struct Case<'a> {
    request: &'a FileRequest,
    name: &'a Name,
    binding: Option<Arc<Binding>>,
    /// The binding is contradicted: nothing that the request says is believed.
    conflict: bool,
    found: Identified,
    now: Wall,
}

impl Case<'_> {
    fn bound(&self) -> Option<(crate::domain::net::Mac, BindingSource)> {
        let binding = self.binding.as_ref()?;
        Some((binding.mac.filter(|m| m.is_identity())?, binding.source))
    }

    fn strength(&self) -> Strength {
        if self.bound().is_some() { Strength::Bound } else { Strength::Claim }
    }
}

impl Provisioning {
    pub fn new(
        settings: Settings,
        plugins: Arc<[Plugin]>,
        bindings: Arc<Bindings>,
        devices: Arc<Devices>,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Arc<Provisioning> {
        Arc::new(Provisioning {
            settings: ArcSwap::from_pointee(settings),
            pack: ArcSwap::from_pointee(Pack::new(plugins)),
            boot: ArcSwapOption::empty(),
            boot_counters: BootCounters::default(),
            bindings,
            devices,
            clock,
            random,
            remembered: Remembered::default(),
            revisions: Revisions::default(),
            counters: Counters::default(),
            following: OnceLock::new(),
            made: Mutex::default(),
        })
    }

    /// Takes other settings; requests under way finish with the old ones.
    pub fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Takes other plugins into use; requests under way finish with the old ones. Lint them first.
    pub fn reload(&self, plugins: Arc<[Plugin]>) {
        self.pack.store(Arc::new(Pack::new(plugins)));
    }

    /// Takes another boot folder into use, or none. Transfers under way go on.
    pub fn set_boot(&self, settings: Option<BootSettings>) {
        self.boot.store(settings.map(|settings| Arc::new(BootFolder::new(settings))));
    }

    /// The plugins in use.
    pub fn plugins(&self) -> Arc<[Plugin]> {
        self.pack.load().extractor.plugins().clone()
    }

    /// What a request would teach, and why; writes nothing.
    pub fn classify(&self, question: &Question) -> Answer {
        let pack = self.pack.load();
        classify(&pack.extractor, &pack.router, question)
    }

    /// Unidentified requests, oldest first.
    pub fn ring(&self) -> Vec<Unidentified> {
        self.remembered.ring()
    }

    /// Claims that wait for an administrator, oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        self.remembered.pending()
    }

    /// The last requests of a device, oldest first.
    pub fn explain(&self, device: &str) -> Vec<Trace> {
        self.remembered.explain(device)
    }

    /// Metric, labels, value.
    #[allow(clippy::type_complexity)] // the shape that all services render their counters in
    pub fn counters(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>, u64)> {
        let mut all = self.counters.all();
        all.extend(self.boot_counters.all());
        all
    }

    /// Answers one request. Ready at the first poll unless something must be written down or the
    /// neighbour table must be asked.
    pub async fn serve(&self, request: FileRequest) -> FileReply {
        if let Some(reply) = self.boot_file(&request) {
            return reply;
        }
        if !self.settings.load().phones {
            return FileReply::NotFound;
        }
        let name = match request.protocol {
            Protocol::Http => Name::from_http(&request.path),
            Protocol::Tftp | Protocol::Dhcp => Name::from_tftp(&request.path),
        };
        let (reply, decision) = match name {
            Ok(name) => self.serve_named(&request, &name).await,
            Err(bad) => (FileReply::NotFound, Decision::BadPath(bad)),
        };
        self.counters.decided(request.protocol, decision.word());
        reply
    }

    fn boot_file(&self, request: &FileRequest) -> Option<FileReply> {
        let boot = self.boot.load_full()?;
        let holder = || self.bindings.by_ip(request.interface.as_deref(), request.peer);
        boot.answer(request, &self.boot_counters, holder)
    }

    async fn serve_named(&self, request: &FileRequest, name: &Name) -> (FileReply, Decision) {
        let pack = self.pack.load_full();
        let case = self.bind(&pack, request, name).await;
        let (device, attribution) = match self.attribute(&pack, &case).await {
            Ok(attributed) => attributed,
            Err(error) => return (FileReply::Busy, Decision::Busy(error.to_string())),
        };
        let (reply, decision) = self.give(&pack, &case, device.as_deref());
        self.remember(&case, attribution, &decision);
        (reply, decision)
    }

    /// Steps 1 and 2: who holds the address, and what do address and request say?
    async fn bind<'a>(&self, pack: &Pack, request: &'a FileRequest, name: &'a Name) -> Case<'a> {
        let holder = self.bindings.settle(request.interface.as_deref(), request.peer).await;
        let conflict = matches!(holder, Holder::Conflict { .. } | Holder::Ambiguous);
        let binding = match holder {
            Holder::Bound(binding) => Some(binding),
            _ => None,
        };
        let found = if conflict { Identified::default() } else { identify(pack, request, name, binding.as_deref()) };
        Case { request, name, binding, conflict, found, now: self.clock.wall() }
    }

    /// Steps 3 and 4: the device, made or brought up to date, written down.
    async fn attribute(&self, pack: &Pack, case: &Case<'_>) -> Result<(Option<Arc<Device>>, Attribution), DeviceError> {
        if case.conflict {
            return Ok((None, Attribution::Nobody(Reason::Conflict)));
        }
        let best = case.found.best();
        let own_file = best.is_some_and(|f| pack.router.of_plugin(&f.plugin, case.name).is_some());
        let asker = Asker { bound: case.bound(), found: &case.found, own_file };
        let facts = update::facts(&case.found, asker.vendor_known());
        for _ in 0..ATTEMPTS {
            let (seen, mut next, by) = match retrieve(asker, &*self.devices, self.settings.load().auto_create) {
                Retrieval::Nobody(why) => return Ok((None, Attribution::Nobody(why.into()))),
                Retrieval::Pending { mac, sn } => {
                    self.claim(case, mac, sn);
                    return Ok((None, Attribution::Nobody(Reason::Pending)));
                }
                Retrieval::Device { device, by, mismatch } => {
                    if mismatch.is_some() {
                        // What it says about another phone teaches nothing about this one.
                        self.counters.mismatch();
                        return Ok((Some(device.clone()), Attribution::Device { id: device.id.clone(), by }));
                    }
                    ((Some(device.clone())), (*device).clone(), by)
                }
                Retrieval::Add { mac, sn, .. } => {
                    let by = if mac.is_some() { By::BoundMac } else { By::Serial };
                    (None, update::new_device(self.new_id(), mac, sn, Added::Auto), by)
                }
            };
            next = update::learn(&next, &facts, case.strength(), case.now, &pack.extractor);
            if let Some((mac, source)) = case.bound() {
                update::witness(&mut next, mac, source_name(source), Strength::Bound, case.now);
                next.ip = Some(case.request.peer);
            }
            match self.write(seen, next).await {
                Ok(device) => {
                    let id = device.id.clone();
                    return Ok((Some(device), Attribution::Device { id, by }));
                }
                Err(DeviceError::Refused(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        // Somebody else keeps changing it: it exists, which is all that the rest needs.
        let device = case.bound().and_then(|(mac, _)| self.devices.by_mac(mac));
        let attribution = match &device {
            Some(d) => Attribution::Device { id: d.id.clone(), by: By::BoundMac },
            None => Attribution::Nobody(Reason::NoIdentity),
        };
        Ok((device, attribution))
    }

    /// Writes a device down if it differs from what is there, with its config if it gets one (PR-38).
    async fn write(&self, seen: Option<Arc<Device>>, mut next: Device) -> Result<Arc<Device>, DeviceError> {
        // Most requests of a known phone end here: nothing new, nothing to look up.
        if let Some(same) = seen.as_ref().filter(|s| ***s == next && s.configured) {
            return Ok(same.clone());
        }
        let template = self.devices.of_role(Role::Template);
        let template = template.as_ref().and_then(|t| {
            let flat = self.devices.effective(&t.id).ok()?;
            Some((t.id.as_str(), update::has_line_one(&flat.values)))
        });
        let config = update::autoprov(&next, template, format!("autoprov-{}", self.new_id()));
        if let Some(config) = &config {
            next.config = Some(config.id.clone());
        }
        next.configured = next.plugin.is_some()
            && match (&config, &next.config) {
                (Some(_), _) => true,
                (None, Some(id)) => self.devices.effective(id).is_ok(),
                (None, None) => false,
            };
        if let Some(same) = seen.as_ref().filter(|s| ***s == next) {
            return Ok(same.clone());
        }
        let created = seen.is_none();
        let mut changes: Vec<Change> = config.into_iter().map(|c| Change::ConfigPut(Box::new(c))).collect();
        changes.push(Change::DevicePut(Box::new(next.clone())));
        self.devices.update(seen, &next, changes).await?;
        if created {
            self.counters.created();
            self.remembered.settled(next.mac, next.sn.as_deref());
        }
        Ok(self.devices.device(&next.id).unwrap_or_else(|| Arc::new(next)))
    }

    fn claim(&self, case: &Case<'_>, mac: Option<crate::domain::net::Mac>, sn: Option<String>) {
        let (fields, now) = (&case.found.fields, case.now);
        let (vendor, model) = (fields.vendor.clone(), fields.model.clone());
        self.remembered.claim(Pending {
            mac,
            sn,
            vendor,
            model,
            peer: case.request.peer,
            first: now,
            last: now,
            requests: 1,
        });
    }

    fn remember(&self, case: &Case<'_>, attribution: Attribution, decision: &Decision) {
        let request = case.request;
        match &attribution {
            Attribution::Nobody(reason) => {
                self.counters.unidentified(*reason);
                let agent = request.user_agent.as_deref();
                let entry = Unidentified::new(case.now, request.protocol, request.peer, *reason, &request.path, agent);
                self.remembered.unidentified(entry);
            }
            Attribution::Device { id, .. } => {
                let name = case.name.bytes();
                let trace = Trace {
                    at: case.now,
                    protocol: request.protocol,
                    peer: request.peer,
                    name: String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned(),
                    rules: case.found.findings.iter().take(4).map(|f| f.name()).collect(),
                    attribution: attribution.clone(),
                    decision: decision.clone(),
                };
                self.remembered.trace(id, trace);
            }
        }
    }

    /// Thirty-two random hexadecimal digits.
    fn new_id(&self) -> String {
        let mut bytes = [0u8; 16];
        (self.random)(&mut bytes);
        hex::write(&bytes)
    }
}

fn source_name(source: BindingSource) -> &'static str {
    match source {
        BindingSource::Lease => "lease",
        BindingSource::Static => "static",
        BindingSource::Neighbour => "neighbour",
    }
}

/// Runs the rules over the request and what the lease says about its holder.
fn identify(pack: &Pack, request: &FileRequest, name: &Name, binding: Option<&Binding>) -> Identified {
    let option = |code: u8, bytes: Option<&'_ Vec<u8>>| bytes.map(|b| (code, b.clone()));
    let dhcp: Vec<(u8, Vec<u8>)> = binding
        .map(|b| {
            [option(12, b.hostname.as_ref()), option(60, b.vendor_class.as_ref()), option(77, b.user_class.as_ref())]
        })
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let path = Some(name.bytes());
    let clues = Clues {
        user_agent: request.user_agent.as_deref(),
        http_path: path.filter(|_| request.protocol == Protocol::Http),
        http_query: request.query.as_deref(),
        tftp_path: path.filter(|_| request.protocol == Protocol::Tftp),
        dhcp: dhcp.iter().map(|(code, bytes)| (*code, bytes.as_slice())).collect(),
        mac: binding.and_then(|b| b.mac),
    };
    pack.extractor.identify(&clues)
}

//! Devices and their configs: the read side that provisioning retrieves from, and the use cases of the API.
//!
//! Owns uniqueness (a MAC is one device's, PR-11 of retrieval depends on it): decided by a vote in the
//! ledger's task, against every earlier change. Refuses configs that do not validate or cannot be
//! flattened; seals their secrets before they enter the ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use crate::domain::change::Change;
use crate::domain::device::{Device, PhoneConfig, Role, Value};
use crate::domain::net::Mac;
use crate::domain::phone::retrieve::Known;
use crate::domain::phone::settings::{self, BadChain, Effective, Fault, Values};
use crate::service::secrets::Secrets;
use crate::store::{CommitError, Committed, Entry, Ledger, Outcome, Proposal, Refusal, View, Vote};

/// Id of the root of all configs.
pub const BASE: &str = "base";
/// Id of the stock config of devices that have none.
pub const DEFAULT: &str = "defaultconfigdevice";
/// Id of the stock template that new devices get a child of.
pub const AUTOPROV: &str = "autoprov";

/// Why a device or config was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("there is no such device or config: {0}")]
    Unknown(String),
    #[error("{}", .0.message)]
    Refused(Refusal),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Fault>),
    #[error(transparent)]
    Chain(#[from] BadChain),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

#[derive(Default)]
struct Tables {
    devices: HashMap<String, Arc<Device>>,
    by_mac: HashMap<Mac, String>,
    by_serial: HashMap<(String, String), String>,
    by_uuid: HashMap<String, String>,
    configs: BTreeMap<String, Arc<PhoneConfig>>,
    /// Ids of the configs that have a role: few, where there may be a config per device.
    roled: BTreeSet<String>,
}

impl Tables {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::DevicePut(device) => {
                self.forget(&device.id);
                for mac in device.mac.iter().chain(&device.mac_aliases) {
                    self.by_mac.insert(*mac, device.id.clone());
                }
                if let (Some(vendor), Some(sn)) = (&device.vendor, &device.sn) {
                    self.by_serial.insert((vendor.clone(), sn.clone()), device.id.clone());
                }
                self.by_uuid.extend(device.uuid.clone().map(|uuid| (uuid, device.id.clone())));
                self.devices.insert(device.id.clone(), Arc::new((**device).clone()));
            }
            Change::DeviceRemoved { id } => self.forget(id),
            Change::ConfigPut(config) => {
                self.roled.remove(&config.id);
                if config.role != Role::None {
                    self.roled.insert(config.id.clone());
                }
                self.configs.insert(config.id.clone(), Arc::new((**config).clone()));
            }
            Change::ConfigRemoved { id } => {
                self.roled.remove(id);
                self.configs.remove(id);
            }
            _ => {}
        }
    }

    fn forget(&mut self, id: &str) {
        let Some(old) = self.devices.remove(id) else { return };
        self.by_mac.retain_keys(old.mac.iter().chain(&old.mac_aliases), id);
        if let (Some(vendor), Some(sn)) = (&old.vendor, &old.sn) {
            self.by_serial.retain_keys([(vendor.clone(), sn.clone())].iter(), id);
        }
        self.by_uuid.retain_keys(old.uuid.iter(), id);
    }
}

/// Removes keys that still lead to one device.
trait RetainKeys<K> {
    fn retain_keys<'a>(&mut self, keys: impl Iterator<Item = &'a K>, id: &str)
    where
        K: 'a;
}

impl<K: std::hash::Hash + Eq> RetainKeys<K> for HashMap<K, String> {
    fn retain_keys<'a>(&mut self, keys: impl Iterator<Item = &'a K>, id: &str)
    where
        K: 'a,
    {
        for key in keys {
            if self.get(key).is_some_and(|held| held == id) {
                self.remove(key);
            }
        }
    }
}

/// Devices and configs as of the last commit. One per daemon, shared.
pub struct Devices {
    tables: Arc<RwLock<Tables>>,
    /// Configs that come from the configuration; one of the ledger with the same id replaces them.
    stock: BTreeMap<String, Arc<PhoneConfig>>,
    secrets: Arc<Secrets>,
    ledger: OnceLock<Ledger>,
}

impl Devices {
    /// `base` and `template` are the values of the stock configs: see [`stock`].
    pub fn new(base: Values, template: Values, secrets: Arc<Secrets>) -> Arc<Devices> {
        let stock = stock(base, template).into_iter().map(|c| (c.id.clone(), Arc::new(c))).collect();
        Arc::new(Devices { tables: Arc::default(), stock, secrets, ledger: OnceLock::new() })
    }

    /// The write side, for `Ledger::start`.
    pub fn view(&self) -> Box<dyn View> {
        Box::new(Feed(self.tables.clone()))
    }

    /// Gives the service its writer; until then changes are refused.
    pub fn attach(&self, ledger: Ledger) {
        let _ = self.ledger.set(ledger);
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn device(&self, id: &str) -> Option<Arc<Device>> {
        self.read().devices.get(id).cloned()
    }

    /// All devices, by id.
    pub fn all(&self) -> Vec<Arc<Device>> {
        let mut out: Vec<_> = self.read().devices.values().cloned().collect();
        out.sort_by(|a, b| a.id.cmp(&b.id));
        out
    }

    pub fn count(&self) -> usize {
        self.read().devices.len()
    }

    pub fn config(&self, id: &str) -> Option<Arc<PhoneConfig>> {
        self.read().configs.get(id).or_else(|| self.stock.get(id)).cloned()
    }

    /// All configs, by id, stock ones included.
    pub fn configs(&self) -> Vec<Arc<PhoneConfig>> {
        let tables = self.read();
        let mut all = self.stock.clone();
        all.extend(tables.configs.iter().map(|(id, config)| (id.clone(), config.clone())));
        all.into_values().collect()
    }

    /// The config of that role with the smallest id.
    pub fn of_role(&self, role: Role) -> Option<Arc<PhoneConfig>> {
        let roled: BTreeSet<String> = self.read().roled.iter().chain(self.stock.keys()).cloned().collect();
        roled.iter().filter_map(|id| self.config(id)).find(|c| c.role == role)
    }

    /// Flattened, with secrets still sealed.
    pub fn effective(&self, id: &str) -> Result<Effective, BadChain> {
        settings::flatten(id, &|id| self.config(id))
    }

    /// Flattened, with secrets opened; one that does not open is not set. Only for rendering.
    pub fn opened(&self, id: &str) -> Result<Values, BadChain> {
        let flat = self.effective(id)?;
        Ok(settings::map_secrets(&flat.values, &mut |key, value| match value {
            Value::Sealed(sealed) => {
                let at = flat.sources.get(key).map_or(id, String::as_str);
                self.secrets.open("config", at, key, sealed).map_or(Value::Null, Value::Text)
            }
            other => other.clone(),
        }))
    }

    /// Adds or replaces a device. Its MACs must be no other device's.
    pub async fn put(&self, device: Device) -> Result<Committed, DeviceError> {
        let macs: Vec<Mac> = device.mac.iter().chain(&device.mac_aliases).copied().collect();
        let vote = self.unique(device.id.clone(), macs);
        self.propose(vec![Change::DevicePut(Box::new(device))], vote).await
    }

    /// Removes a device and the transient config that was made for it.
    pub async fn remove(&self, id: &str) -> Result<Committed, DeviceError> {
        let device = self.device(id).ok_or_else(|| DeviceError::Unknown(id.to_owned()))?;
        let mut changes = vec![Change::DeviceRemoved { id: id.to_owned() }];
        let transient = device.config.as_deref().and_then(|c| self.config(c)).filter(|c| c.transient);
        changes.extend(transient.map(|c| Change::ConfigRemoved { id: c.id.clone() }));
        self.propose(changes, Box::new(|_| Ok(()))).await
    }

    /// Adds or replaces a config: every key known, the chain sound, secrets sealed. A text `***` keeps the
    /// secret that is there.
    pub async fn put_config(&self, mut config: PhoneConfig) -> Result<Committed, DeviceError> {
        let faults = settings::validate(&config.raw);
        if !faults.is_empty() {
            return Err(DeviceError::Invalid(faults));
        }
        let candidate = Arc::new(config.clone());
        settings::flatten(&config.id, &|id| {
            if id == candidate.id { Some(candidate.clone()) } else { self.config(id) }
        })?;
        let old = self.config(&config.id);
        config.raw = settings::map_secrets(&config.raw, &mut |key, value| match value {
            Value::Text(text) if text == "***" => {
                old.as_deref().and_then(|old| at(&old.raw, key)).cloned().unwrap_or(Value::Null)
            }
            Value::Text(text) => Value::Sealed(self.secrets.seal("config", &config.id, key, text)),
            other => other.clone(),
        });
        self.propose(vec![Change::ConfigPut(Box::new(config))], Box::new(|_| Ok(()))).await
    }

    /// Removes a config that nothing needs.
    pub async fn remove_config(&self, id: &str) -> Result<Committed, DeviceError> {
        if !self.read().configs.contains_key(id) {
            return Err(DeviceError::Unknown(id.to_owned()));
        }
        let tables = self.tables.clone();
        let wanted = id.to_owned();
        let vote: Vote = Box::new(move |_| {
            let tables = tables.read().unwrap_or_else(PoisonError::into_inner);
            let user = tables.devices.values().find(|d| d.config.as_ref() == Some(&wanted)).map(|d| &d.id);
            let child = tables.configs.values().find(|c| c.parents.contains(&wanted)).map(|c| &c.id);
            match user.or(child) {
                Some(user) => Err(refusal(format!("config `{wanted}` is in use by `{user}`"))),
                None => Ok(()),
            }
        });
        self.propose(vec![Change::ConfigRemoved { id: id.to_owned() }], vote).await
    }

    /// True in the ledger's task if no other device holds one of the MACs.
    fn unique(&self, id: String, macs: Vec<Mac>) -> Vote {
        let tables = self.tables.clone();
        Box::new(move |_| {
            let tables = tables.read().unwrap_or_else(PoisonError::into_inner);
            let taken = macs.iter().find_map(|mac| Some((mac, tables.by_mac.get(mac).filter(|held| **held != id)?)));
            taken.map_or(Ok(()), |(mac, other)| Err(refusal(format!("{mac} is already device `{other}`"))))
        })
    }

    /// Commits `changes` for a device that must still be as `seen`: `None` if it must not exist yet.
    pub(crate) async fn update(
        &self,
        seen: Option<Arc<Device>>,
        device: &Device,
        changes: Vec<Change>,
    ) -> Result<Committed, DeviceError> {
        let macs: Vec<Mac> = device.mac.iter().chain(&device.mac_aliases).copied().collect();
        let unique = self.unique(device.id.clone(), macs);
        let (tables, id) = (self.tables.clone(), device.id.clone());
        let vote: Vote = Box::new(move |at| {
            let now = tables.read().unwrap_or_else(PoisonError::into_inner).devices.get(&id).cloned();
            if now != seen {
                return Err(refusal(format!("device `{id}` was changed by somebody else")));
            }
            unique(at)
        });
        self.propose(changes, vote).await
    }

    async fn propose(&self, changes: Vec<Change>, vote: Vote) -> Result<Committed, DeviceError> {
        let ledger = self.ledger.get().ok_or(CommitError::Stopping)?;
        match ledger.propose(Proposal { changes, vote: Some(vote), otherwise: Vec::new() }).await? {
            Outcome::Committed(committed) => Ok(committed),
            Outcome::Refused { refusal, .. } => Err(DeviceError::Refused(refusal)),
        }
    }
}

fn refusal(message: String) -> Refusal {
    Refusal { code: "conflict".to_owned(), message }
}

/// The value under a dotted key.
fn at<'a>(values: &'a Values, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => values.get(key),
        Some((first, rest)) => match values.get(first)? {
            Value::Map(inner) => at(inner, rest),
            _ => None,
        },
    }
}

/// The configs that exist without anybody making them. `base` holds what all phones have in common,
/// `template` is what a new device starts with; empty, it has a line 1 that shows the phone is known.
pub fn stock(base: Values, template: Values) -> [PhoneConfig; 3] {
    let config = |id: &str, label: &str, parents: &[&str], role, raw| PhoneConfig {
        id: id.to_owned(),
        label: label.to_owned(),
        parents: parents.iter().map(|p| (*p).to_owned()).collect(),
        role,
        transient: false,
        raw,
    };
    let text = |t: &str| Value::Text(t.to_owned());
    let line = [("username", "autoprov"), ("number", "autoprov"), ("display_name", "Autoprov")];
    let line: Values = line.into_iter().map(|(k, v)| (k.to_owned(), text(v))).collect();
    let first: Values = [("1".to_owned(), Value::Map(line))].into();
    let template = if template.is_empty() { [("sip_lines".to_owned(), Value::Map(first))].into() } else { template };
    [
        config(BASE, "what all phones have in common", &[], Role::None, base),
        config(DEFAULT, "devices without a config", &[BASE], Role::Default, Values::new()),
        config(AUTOPROV, "what new devices start with", &[BASE, DEFAULT], Role::Template, template),
    ]
}

impl Known for Devices {
    fn by_mac(&self, mac: Mac) -> Option<Arc<Device>> {
        let tables = self.read();
        tables.by_mac.get(&mac).and_then(|id| tables.devices.get(id)).cloned()
    }

    fn by_serial(&self, vendor: &str, sn: &str) -> Option<Arc<Device>> {
        let tables = self.read();
        tables.by_serial.get(&(vendor.to_owned(), sn.to_owned())).and_then(|id| tables.devices.get(id)).cloned()
    }

    fn by_uuid(&self, uuid: &str) -> Option<Arc<Device>> {
        let tables = self.read();
        tables.by_uuid.get(uuid).and_then(|id| tables.devices.get(id)).cloned()
    }
}

struct Feed(Arc<RwLock<Tables>>);

impl View for Feed {
    fn apply(&mut self, batch: &[Entry]) {
        let ours = |e: &&Entry| {
            matches!(
                e.change,
                Change::DevicePut(_)
                    | Change::DeviceRemoved { .. }
                    | Change::ConfigPut(_)
                    | Change::ConfigRemoved { .. }
            )
        };
        if batch.iter().any(|e| ours(&e)) {
            let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
            batch.iter().filter(ours).for_each(|entry| tables.apply(&entry.change));
        }
    }
}

//! What the operator decided about the bus.

use std::time::Duration;

use crate::domain::claws::access::{Grants, ModuleRights, Namespaces, Patterns, Principal};
use crate::domain::claws::merge::OnConflict;
use crate::domain::claws::transaction::{DEADLINE, Policy};

/// All of it.
#[derive(Debug, Clone)]
pub struct Settings {
    pub credentials: Vec<Credential>,
    /// Modules by the name of their credential; a credential with `append` or `remove` that has no entry
    /// here is a module with the default policy.
    pub modules: Vec<Module>,
    /// From acceptance to decision, at most 60 s. Default 10 s.
    pub deadline: Duration,
    /// From the final event to the last ack. Default 30 s.
    pub apply_timeout: Duration,
    /// Modules show at this interval that they live; three misses end a session. Default 5 s.
    pub heartbeat: Duration,
    /// What two values for one thing lead to. Default: no result.
    pub on_conflict: OnConflict,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            credentials: Vec::new(),
            modules: Vec::new(),
            deadline: DEADLINE,
            apply_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            on_conflict: OnConflict::Fail,
        }
    }
}

/// What the holder of a credential may do on the bus.
#[derive(Debug, Clone, Default)]
pub struct Credential {
    pub name: String,
    /// Texts of `claws:source` that it may use; empty: its own name.
    pub sources: Patterns,
    /// Identities that it may speak for.
    pub delegate: Patterns,
    /// Events that it may submit, such as `host:*`.
    pub submit: Patterns,
    /// Payload namespaces that it may see as a module; empty: all.
    pub subscribe: Namespaces,
    pub append: Namespaces,
    pub remove: Namespaces,
    /// Sees transactions and progress of others.
    pub watch: bool,
    /// Missing declarations of known prefixes are added (CL-202). `None`: for frontends, not for modules.
    pub assume_prefixes: Option<bool>,
}

/// What the bus expects of a module.
#[derive(Debug, Clone)]
pub struct Module {
    /// Name of its credential.
    pub name: String,
    pub policy: Policy,
    /// Whether its ack of a final event is waited for.
    pub apply: bool,
}

impl Module {
    /// A module with the default policy.
    pub fn named(name: &str) -> Module {
        Module { name: name.to_owned(), policy: Policy::default(), apply: true }
    }
}

impl Settings {
    /// What somebody may do, by the name of the credential. An administrator may submit anything; others
    /// have what the configuration gives them.
    pub fn principal(&self, name: &str, administrator: bool) -> Principal {
        let configured = self.credentials.iter().find(|credential| credential.name == name);
        let Some(credential) = configured else {
            let nobody = Credential { name: name.to_owned(), ..Credential::default() };
            return if administrator { Principal::administrator(name) } else { self.of(&nobody) };
        };
        self.of(credential)
    }

    fn of(&self, credential: &Credential) -> Principal {
        let name = credential.name.as_str();
        let module = self.module(name).map(|module| ModuleRights {
            grants: Grants { append: credential.append.clone(), remove: credential.remove.clone() },
            subscribe: if credential.subscribe.0.is_empty() { Namespaces::any() } else { credential.subscribe.clone() },
            apply: module.apply,
        });
        let sources = &credential.sources;
        // CL-701: somebody may always speak for themselves
        let mut identities = credential.delegate.clone();
        identities.0.push(name.to_owned());
        Principal {
            name: name.to_owned(),
            sources: if sources.0.is_empty() { Patterns::only(name) } else { sources.clone() },
            identities,
            events: credential.submit.clone(),
            assume_prefixes: credential.assume_prefixes.unwrap_or(module.is_none()),
            watch: credential.watch,
            module,
        }
    }

    /// The module of that credential, if it is one.
    pub fn module(&self, name: &str) -> Option<Module> {
        if let Some(module) = self.modules.iter().find(|module| module.name == name) {
            return Some(module.clone());
        }
        let touches = |c: &Credential| !c.append.0.is_empty() || !c.remove.0.is_empty();
        self.credentials.iter().any(|c| c.name == name && touches(c)).then(|| Module::named(name))
    }

    /// Names of all modules that are known.
    pub fn module_names(&self) -> Vec<String> {
        let configured = self.modules.iter().map(|module| module.name.clone());
        let others = self.credentials.iter().map(|c| c.name.clone()).filter(|name| self.module(name).is_some());
        let mut names: Vec<String> = configured.chain(others).collect();
        names.sort();
        names.dedup();
        names
    }
}

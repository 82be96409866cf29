//! Who may do what on the bus. Owns patterns, namespace grants and the three questions that a submission
//! is asked (CL-701). Default: deny. Refuses to know how somebody proved who they are.

use super::Fault;
use super::namespace;
use super::xml::Element;

/// A list of patterns, each an exact text or one with `*` standing for anything. An empty list allows
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(pub Vec<String>);

impl Patterns {
    /// Everything.
    pub fn any() -> Patterns {
        Patterns(vec!["*".to_owned()])
    }

    /// Exactly this.
    pub fn only(text: &str) -> Patterns {
        Patterns(vec![text.to_owned()])
    }

    /// True if one pattern fits.
    pub fn allows(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| glob(pattern, text))
    }
}

/// `*` stands for any text; linear in the pattern's parts.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Namespaces by vocabulary name (`dns`), by URI, or `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces(pub Vec<String>);

impl Namespaces {
    /// Every namespace but the bus's own, which no module ever touches.
    pub fn any() -> Namespaces {
        Namespaces(vec!["*".to_owned()])
    }

    /// True if elements of that namespace are meant.
    pub fn allows(&self, ns: &str) -> bool {
        self.0.iter().any(|one| one == "*" || one == ns || namespace(one) == ns)
    }
}

/// Where a module may append and remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    pub append: Namespaces,
    pub remove: Namespaces,
}

/// What a module may do beyond submitting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRights {
    pub grants: Grants,
    /// Payload namespaces that it may see.
    pub subscribe: Namespaces,
    /// Its acks of finals are waited for.
    pub apply: bool,
}

/// Who sends: a credential and all that it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name of the credential: part of a transaction's key.
    pub name: String,
    /// Texts of `claws:source` that belong to it.
    pub sources: Patterns,
    /// Texts of `claws:identity` that it may speak for.
    pub identities: Patterns,
    /// Events that it may submit, as `host:add-host` or `host:*`.
    pub events: Patterns,
    /// Missing declarations of the known prefixes are added (CL-202).
    pub assume_prefixes: bool,
    /// Sees transactions of others (`tx.watch`).
    pub watch: bool,
    pub module: Option<ModuleRights>,
}

impl Principal {
    /// Somebody who may submit anything under any name, as the administrator on the local socket.
    pub fn administrator(name: &str) -> Principal {
        Principal {
            name: name.to_owned(),
            sources: Patterns::any(),
            identities: Patterns::any(),
            events: Patterns::any(),
            assume_prefixes: true,
            watch: true,
            module: None,
        }
    }

    /// CL-209: a source name belongs to a credential.
    pub fn owns_source(&self, source: &str) -> Result<(), Fault> {
        if self.sources.allows(source) {
            return Ok(());
        }
        Err(Fault::new("source-mismatch", "this credential may not use that claws:source"))
    }

    /// CL-701: source, identity and event, all three.
    pub fn may_submit(&self, source: &str, identity: Option<&str>, payload: &Element) -> Result<(), Fault> {
        self.owns_source(source)?;
        if !self.events.allows(&event_name(payload)) {
            return Err(Fault::new("forbidden", "this credential may not submit that event"));
        }
        match identity {
            Some(identity) if !self.identities.allows(identity) => {
                Err(Fault::new("forbidden", "this credential may not speak for that claws:identity"))
            }
            // CL-101: somebody answers for a command
            None if self.module.is_none() => Err(Fault::new("grammar", "a command needs a claws:identity")),
            _ => Ok(()),
        }
    }
}

/// `host:add-host`, or the URI in braces where no usual prefix exists.
pub fn event_name(payload: &Element) -> String {
    match super::usual_prefix(&payload.ns) {
        Some(prefix) => format!("{prefix}:{}", payload.name),
        None => format!("{{{}}}{}", payload.ns, payload.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claws::{DNS, HOST, LAN};

    fn frontend() -> Principal {
        Principal {
            name: "web".to_owned(),
            sources: Patterns::only("Web Client"),
            identities: Patterns(vec!["Alice".to_owned(), "staff-*".to_owned()]),
            events: Patterns::only("host:*"),
            assume_prefixes: true,
            watch: false,
            module: None,
        }
    }

    #[test]
    fn a_command_needs_source_identity_and_event() {
        let add = Element::new(HOST, "add-host");
        let code = |source, identity, payload: &Element| {
            frontend().may_submit(source, identity, payload).map_err(|fault| fault.code)
        };
        assert_eq!(code("Web Client", Some("Alice"), &add), Ok(()));
        assert_eq!(code("Web Client", Some("staff-7"), &add), Ok(()));
        assert_eq!(code("DNS Management Module", Some("Alice"), &add), Err("source-mismatch"));
        assert_eq!(code("Web Client", Some("Mallory"), &add), Err("forbidden"));
        assert_eq!(code("Web Client", None, &add), Err("grammar"));
        assert_eq!(code("Web Client", Some("Alice"), &Element::new(DNS, "add-zone")), Err("forbidden"));
    }

    #[test]
    fn patterns_and_namespaces_deny_by_default() {
        assert!(!Patterns::default().allows("x"));
        assert!(glob("a*b*c", "a-b-b-c") && !glob("a*b*c", "a-c-b") && glob("*", "") && !glob("a", "ab"));
        assert!(!glob("ab*ba", "aba"));
        assert!(!Namespaces::default().allows(DNS));
        let dns = Namespaces(vec!["dns".to_owned()]);
        assert!(dns.allows(DNS) && !dns.allows(LAN));
    }
}

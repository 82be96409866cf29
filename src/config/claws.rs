//! `[claws]`: who may speak on the bus, what it expects of modules, which domain a new host gets.

use std::time::Duration;

use super::raw::Section;
use super::services::domain;

/// `[claws]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Claws {
    pub enrich_address: bool,
    pub enrich_dns: bool,
    pub deadline: Duration,
    pub apply_timeout: Duration,
    pub heartbeat: Duration,
    /// Of two values for one thing, that of the module with the smaller priority number stays.
    pub by_priority: bool,
    pub zones: Vec<ZoneRule>,
    pub credentials: Vec<BusCredential>,
    pub modules: Vec<BusModule>,
}

impl Default for Claws {
    fn default() -> Claws {
        Claws {
            enrich_address: true,
            enrich_dns: true,
            deadline: Duration::from_secs(10),
            apply_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            by_priority: false,
            zones: Vec::new(),
            credentials: Vec::new(),
            modules: Vec::new(),
        }
    }
}

/// `[[claws.zone]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRule {
    pub domain: String,
    pub roaming: Option<bool>,
    pub vlan: Option<String>,
}

/// `[[claws.credential]]`; all lists are patterns with `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BusCredential {
    pub name: String,
    pub uid: Option<u32>,
    /// Empty: its name.
    pub sources: Vec<String>,
    pub submit: Vec<String>,
    pub delegate: Vec<String>,
    pub subscribe: Vec<String>,
    pub append: Vec<String>,
    pub remove: Vec<String>,
    pub watch: bool,
    pub assume_prefixes: Option<bool>,
}

/// What a module is to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Required,
    Optional,
    Observer,
}

/// What happens without a module's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    Continue,
    Wait,
    Cancel,
}

/// `[[claws.module]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusModule {
    pub name: String,
    pub role: Role,
    pub timeout: Duration,
    pub on_timeout: Option<Otherwise>,
    pub on_down: Option<Otherwise>,
    pub veto: bool,
    pub apply: bool,
    pub priority: u32,
}

/// `[claws]` with all below it.
pub(super) fn read(section: Option<Section<'_>>) -> Claws {
    let (base, Some(s)) = (Claws::default(), section) else { return Claws::default() };
    Claws {
        enrich_address: s.flag("enrich_address").unwrap_or(base.enrich_address),
        enrich_dns: s.flag("enrich_dns").unwrap_or(base.enrich_dns),
        deadline: within(&s, "deadline", 60).unwrap_or(base.deadline),
        apply_timeout: within(&s, "apply_timeout", 300).unwrap_or(base.apply_timeout),
        heartbeat: within(&s, "heartbeat", 60).unwrap_or(base.heartbeat),
        by_priority: s.choice("on_conflict", &[("fail", false), ("priority", true)]).unwrap_or(base.by_priority),
        zones: s.tables("zone", "claws.zone").iter().filter_map(zone).collect(),
        credentials: s.tables("credential", "claws.credential").iter().filter_map(credential).collect(),
        modules: s.tables("module", "claws.module").iter().filter_map(module).collect(),
    }
}

/// A time of at least a tenth of a second and at most `most` seconds.
fn within(section: &Section<'_>, key: &str, most: u64) -> Option<Duration> {
    let time = section.duration(key)?;
    if time.is_zero() || time > Duration::from_secs(most) {
        section.doc.complain(&section.span, format!("`{key}` must be 1 to {most} s"), None);
        return None;
    }
    Some(time)
}

fn needed(section: &Section<'_>, key: &str) -> Option<String> {
    if !section.has(key) {
        section.doc.complain(&section.span, format!("`{key}` is missing"), None);
    }
    section.text(key).map(|at| at.value)
}

fn zone(section: &Section<'_>) -> Option<ZoneRule> {
    needed(section, "domain")?;
    Some(ZoneRule {
        domain: domain(section, "domain")?,
        roaming: section.flag("roaming"),
        vlan: section.text("vlan").map(|at| at.value),
    })
}

fn credential(section: &Section<'_>) -> Option<BusCredential> {
    let words = |key| section.texts(key).unwrap_or_default().into_iter().map(|at| at.value).collect();
    Some(BusCredential {
        name: needed(section, "name")?,
        uid: section.number("uid", 0..=u64::from(u32::MAX)).and_then(|uid| u32::try_from(uid).ok()),
        sources: words("sources"),
        submit: words("submit"),
        delegate: words("delegate"),
        subscribe: words("subscribe"),
        append: words("append"),
        remove: words("remove"),
        watch: section.flag("watch").unwrap_or(false),
        assume_prefixes: section.flag("assume_prefixes"),
    })
}

fn module(section: &Section<'_>) -> Option<BusModule> {
    let roles = [("required", Role::Required), ("optional", Role::Optional), ("observer", Role::Observer)];
    let timeouts = [("continue", Otherwise::Continue), ("cancel", Otherwise::Cancel)];
    let downs = [("skip", Otherwise::Continue), ("wait", Otherwise::Wait), ("cancel", Otherwise::Cancel)];
    let small =
        |key, default: u32| section.number(key, 0..=1_000_000).map_or(default, |n| u32::try_from(n).unwrap_or(default));
    Some(BusModule {
        name: needed(section, "name")?,
        role: section.choice("role", &roles).unwrap_or(Role::Optional),
        timeout: within(section, "timeout", 30).unwrap_or(Duration::from_secs(5)),
        on_timeout: section.choice("on_timeout", &timeouts),
        on_down: section.choice("on_down", &downs),
        veto: section.flag("veto").unwrap_or(false),
        apply: section.flag("apply").unwrap_or(true),
        priority: small("priority", 100),
    })
}

//! `lanlord-dns`: the wish `dns:auto-assign-fqdn` becomes a `dns:fqdn`, by rules of the configuration.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Addresses, DNS_MODULE, Enricher};
use crate::domain::claws::message::{Action, Edit};
use crate::domain::claws::transaction::Reply;
use crate::domain::claws::xml::Element;
use crate::domain::claws::{DNS, HOST, LAN, WIRELESS};
use crate::domain::time::Mono;

/// Which hosts get names of a domain; the first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRule {
    /// Lower case, no final dot.
    pub domain: String,
    /// Only hosts with, or without, a roaming interface.
    pub roaming: Option<bool>,
    /// Only hosts with an interface in that network or vlan.
    pub vlan: Option<String>,
}

/// The module.
pub struct NameModule {
    rules: Vec<ZoneRule>,
    addresses: Arc<dyn Addresses>,
    /// For hosts that no rule and no network with a domain covers.
    domain: String,
}

impl NameModule {
    /// `domain` is the daemon's own: lower case, no final dot.
    pub fn new(rules: Vec<ZoneRule>, domain: &str, addresses: Arc<dyn Addresses>) -> NameModule {
        NameModule { rules, addresses, domain: domain.to_owned() }
    }

    /// The domain for a host: rule, then the network of its first vlan, then the daemon's.
    fn domain(&self, payload: &Element) -> String {
        let roaming = payload.find(WIRELESS, "roaming").is_some();
        let vlans: Vec<String> = payload.children().filter(|c| c.is(LAN, "vlan")).map(|c| c.text()).collect();
        let fits = |rule: &&ZoneRule| {
            rule.roaming.is_none_or(|wanted| wanted == roaming)
                && rule.vlan.as_ref().is_none_or(|vlan| vlans.iter().any(|v| v.trim() == vlan))
        };
        if let Some(rule) = self.rules.iter().find(fits) {
            return rule.domain.clone();
        }
        let links = self.addresses.links();
        let link = vlans.iter().find_map(|vlan| links.iter().find(|link| link.is_named(vlan.trim())));
        let domain = link.or(links.first()).map(|link| link.domain.clone());
        domain.filter(|domain| !domain.is_empty()).unwrap_or_else(|| self.domain.clone())
    }
}

fn is_label(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // RFC 1123 §2.1: letters, digits and hyphens, the latter not at an end
    (1..=63).contains(&text.len()) && inner && !text.starts_with('-') && !text.ends_with('-')
}

#[async_trait]
impl Enricher for NameModule {
    fn name(&self) -> &'static str {
        DNS_MODULE
    }

    fn wants(&self, payload: &Element) -> bool {
        payload.ns == HOST && payload.find(DNS, "auto-assign-fqdn").is_some()
    }

    async fn enrich(&self, _holder: &str, payload: &Element, _until: Mono) -> Reply {
        let block = |child: Element| Element::new(&payload.ns, &payload.name).child(child);
        let mut edits = Vec::new();
        let named = payload.find(DNS, "fqdn").is_some();
        for wish in payload.children().filter(|child| child.is(DNS, "auto-assign-fqdn")) {
            edits.push(Edit { action: Action::Remove, block: block(wish.clone()) });
            if named {
                continue;
            }
            let label = payload.find(HOST, "hostname").map(|e| e.text().trim().to_ascii_lowercase());
            let Some(label) = label.filter(|label| is_label(label)) else {
                return Reply::Reject {
                    code: "bad-hostname".to_owned(),
                    message: "host:hostname makes no DNS label: letters, digits and inner hyphens, at most 63"
                        .to_owned(),
                };
            };
            let mut fqdn = Element::new(DNS, "fqdn").text_of(format!("{label}.{}", self.domain(payload)));
            if let Some(name) = wish.attribute("name") {
                fqdn = fqdn.with("name", name);
            }
            edits.push(Edit { action: Action::Append, block: block(fqdn) });
        }
        Reply::Update { edits, hold_ms: None }
    }

    fn release(&self, _holder: &str) {}
}

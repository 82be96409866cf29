//! `lanlord-address`: sets addresses aside for the interfaces of a new host, one per family that its
//! network has, and appends them with their networks in CIDR form.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;

use super::{ADDRESS_MODULE, Enricher};
use crate::domain::change::Change;
use crate::domain::claws::message::{Action, Edit};
use crate::domain::claws::orders::Order;
use crate::domain::claws::transaction::Reply;
use crate::domain::claws::xml::Element;
use crate::domain::claws::{HOST, LAN, WIRELESS};
use crate::domain::dhcp::policy::LinkInfo;
use crate::domain::net::Mac;
use crate::domain::time::Mono;
use crate::service::leasing::{Leasing, Underway};
use crate::store::Refusal;

/// An address that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub ip: IpAddr,
    pub prefix: IpNet,
    pub network: String,
}

/// A network, as its interfaces may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub vlan: Option<u16>,
    /// Lower case, no final dot; may be empty.
    pub domain: String,
    pub prefixes: Vec<IpNet>,
}

impl Link {
    /// True for its name or its VLAN id in decimal.
    pub fn is_named(&self, text: &str) -> bool {
        self.name == text || self.vlan.is_some_and(|vlan| text.parse() == Ok(vlan))
    }
}

/// Who owns the addresses.
#[async_trait]
pub trait Addresses: Send + Sync {
    /// Sets aside one address per family on that network (`None`: the first one). The error says why not.
    fn hold(&self, holder: &str, network: Option<&str>, mac: Option<Mac>, until: Mono) -> Result<Vec<Held>, String>;
    /// Gives back what a holder still holds.
    fn unhold(&self, holder: &str);
    /// All networks, the default first.
    fn links(&self) -> Vec<Link>;
    /// What an order changes now; the error says why it cannot be done. `first`: before it is proposed.
    fn plan(&self, order: &Order, first: bool) -> Result<Vec<Change>, Refusal>;
    /// Keeps others from touching what the changes touch, until they are decided.
    fn underway(&self, changes: &[Change]) -> Underway;
    /// They are durable, or will never be.
    async fn settled(&self, underway: Underway, committed: bool);
}

#[async_trait]
impl Addresses for Leasing {
    fn hold(&self, holder: &str, network: Option<&str>, mac: Option<Mac>, until: Mono) -> Result<Vec<Held>, String> {
        let held = Leasing::hold(self, holder, network, mac, until).map_err(|error| error.to_string())?;
        Ok(held.into_iter().map(|one| Held { ip: one.ip, prefix: one.prefix, network: one.network }).collect())
    }

    fn unhold(&self, holder: &str) {
        Leasing::unhold(self, holder);
    }

    fn links(&self) -> Vec<Link> {
        let link =
            |link: LinkInfo| Link { name: link.name, vlan: link.vlan, domain: link.domain, prefixes: link.prefixes };
        self.networks().into_iter().map(link).collect()
    }

    fn plan(&self, order: &Order, first: bool) -> Result<Vec<Change>, Refusal> {
        Leasing::plan(self, order, first)
    }

    fn underway(&self, changes: &[Change]) -> Underway {
        Leasing::underway(self, changes)
    }

    async fn settled(&self, underway: Underway, committed: bool) {
        Leasing::settled(self, underway, committed).await;
    }
}

/// The module.
pub struct AddressModule {
    addresses: Arc<dyn Addresses>,
}

impl AddressModule {
    pub fn new(addresses: Arc<dyn Addresses>) -> AddressModule {
        AddressModule { addresses }
    }

    /// Interfaces with a MAC that have no address yet and do not roam.
    fn wanting(payload: &Element) -> impl Iterator<Item = &Element> {
        let elsewhere = |label: &str| {
            let named = |ns: &str, name: &str| payload.children().any(|c| c.is(ns, name) && c.label() == label);
            named(LAN, "address") || named(WIRELESS, "roaming")
        };
        payload.children().filter(move |c| c.is(HOST, "mac-addr") && !elsewhere(c.label()))
    }

    fn append(&self, holder: &str, mac: &Element, payload: &Element, until: Mono) -> Result<Element, String> {
        let label = mac.label();
        let vlan = payload.children().find(|c| c.is(LAN, "vlan") && c.label() == label);
        let network = vlan.map(|vlan| vlan.text().trim().to_owned());
        // CL-214: a nil MAC is no one's
        let address = Mac::parse(mac.text().trim().as_bytes()).filter(|mac| mac.is_identity());
        let held = self.addresses.hold(holder, network.as_deref(), address, until)?;
        let named = |name: &str, text: String| {
            let element = Element::new(LAN, name).text_of(text);
            if mac.attribute("name").is_some() { element.with("name", label) } else { element }
        };
        let present = |prefix: &IpNet| {
            payload
                .children()
                .any(|c| c.is(LAN, "network") && c.label() == label && c.text().trim() == prefix.to_string())
        };
        let mut block = Element::new(&payload.ns, &payload.name);
        for one in held.iter().filter(|one| !present(&one.prefix)) {
            block = block.child(named("network", one.prefix.trunc().to_string()));
        }
        Ok(held.iter().fold(block, |block, one| block.child(named("address", one.ip.to_string()))))
    }
}

#[async_trait]
impl Enricher for AddressModule {
    fn name(&self) -> &'static str {
        ADDRESS_MODULE
    }

    fn wants(&self, payload: &Element) -> bool {
        payload.ns == HOST
            && ["add-host", "modify-host"].contains(&payload.name.as_str())
            && Self::wanting(payload).next().is_some()
    }

    async fn enrich(&self, holder: &str, payload: &Element, until: Mono) -> Reply {
        let mut edits = Vec::new();
        for mac in Self::wanting(payload) {
            match self.append(holder, mac, payload, until) {
                Ok(block) => edits.push(Edit { action: Action::Append, block }),
                Err(message) => {
                    self.addresses.unhold(holder);
                    return Reply::Reject { code: "no-address".to_owned(), message };
                }
            }
        }
        Reply::Update { edits, hold_ms: None }
    }

    fn release(&self, holder: &str) {
        self.addresses.unhold(holder);
    }
}

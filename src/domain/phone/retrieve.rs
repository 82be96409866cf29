//! Identity to device (PR-1): bound MAC, claimed MAC, (vendor, serial), uuid, add. Owns what creates a
//! device and what never does (PR-9 to PR-12): an IP address, a common file name, a vendor's block or a
//! User-Agent by themselves do not, whatever the order of requests (I5).

use std::sync::Arc;

use super::extract::Identified;
use super::plugin::Level;
use crate::domain::device::{Device, Strength};
use crate::domain::lease::BindingSource;
use crate::domain::net::Mac;

/// Devices that exist.
pub trait Known {
    /// By MAC or by an alias of it.
    fn by_mac(&self, mac: Mac) -> Option<Arc<Device>>;
    fn by_serial(&self, vendor: &str, sn: &str) -> Option<Arc<Device>>;
    fn by_uuid(&self, uuid: &str) -> Option<Arc<Device>>;
}

/// Who may become a device without an administrator (PR-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AutoCreate {
    /// A bound MAC with a known vendor.
    #[default]
    Bound,
    /// Also a claimed MAC or serial with a known vendor.
    Claimed,
    /// Nobody.
    Off,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The MAC that its address is bound to, and how we know.
    pub bound: Option<(Mac, BindingSource)>,
    pub found: &'a Identified,
    /// The best plugin has a file of the requested name.
    pub own_file: bool,
}

impl Asker<'_> {
    /// Strength of what this request says about its sender.
    pub fn strength(&self) -> Strength {
        if self.bound.is_some() { Strength::Bound } else { Strength::Claim }
    }

    /// PR-9: a rule of level `probable` on, or a vendor's block and a request for a file of that vendor.
    pub fn vendor_known(&self) -> bool {
        self.found.vendor_known() || self.own_file && self.found.best().is_some_and(|f| f.level >= Level::Unknown)
    }
}

/// What led to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    BoundMac,
    ClaimedMac,
    Serial,
    Uuid,
}

/// Why there is no device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nobody {
    /// Neither bound nor claimed: at most an address.
    NoIdentity,
    /// The MAC is known to be the sender's, its vendor is not.
    UnknownVendor,
    /// The sender is bound to one MAC and claims another (PR-6): it may stand for others, as a router does.
    Mismatch,
    /// `auto_create = off`.
    Off,
}

/// Outcome of retrieval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retrieval {
    /// It exists. `mismatch` holds a claimed MAC that is another one than the bound.
    Device {
        device: Arc<Device>,
        by: By,
        mismatch: Option<Mac>,
    },
    /// It is to be added; at least one of the two is there.
    Add {
        mac: Option<Mac>,
        sn: Option<String>,
        strength: Strength,
    },
    /// A claim that an administrator may approve (PR-12).
    Pending {
        mac: Option<Mac>,
        sn: Option<String>,
    },
    Nobody(Nobody),
}

/// Asks one retriever after the other until one has an answer.
pub fn retrieve(asker: Asker<'_>, known: &dyn Known, policy: AutoCreate) -> Retrieval {
    let claimed = asker.found.fields.mac;
    match asker.bound {
        // PR-6: the bound MAC is the identity; what is claimed beside it retrieves nothing.
        Some((mac, _)) => {
            let mismatch = claimed.filter(|c| *c != mac);
            match known.by_mac(mac) {
                Some(device) => {
                    let mismatch = mismatch.filter(|c| !device.mac_aliases.contains(c) && device.mac != Some(*c));
                    Retrieval::Device { device, by: By::BoundMac, mismatch }
                }
                None => add_bound(asker, mac, mismatch, policy),
            }
        }
        None => claimed_device(asker, known).unwrap_or_else(|| add_claimed(asker, policy)),
    }
}

fn claimed_device(asker: Asker<'_>, known: &dyn Known) -> Option<Retrieval> {
    let fields = &asker.found.fields;
    let serial = || known.by_serial(fields.vendor.as_deref()?, fields.sn.as_deref()?);
    let (device, by) = None
        .or_else(|| Some((known.by_mac(fields.mac?)?, By::ClaimedMac)))
        .or_else(|| Some((serial()?, By::Serial)))
        .or_else(|| Some((known.by_uuid(fields.uuid.as_deref()?)?, By::Uuid)))?;
    Some(Retrieval::Device { device, by, mismatch: None })
}

fn add_bound(asker: Asker<'_>, mac: Mac, mismatch: Option<Mac>, policy: AutoCreate) -> Retrieval {
    if policy == AutoCreate::Off {
        Retrieval::Nobody(Nobody::Off)
    } else if mismatch.is_some() {
        Retrieval::Nobody(Nobody::Mismatch)
    } else if !asker.vendor_known() || !mac.is_identity() {
        Retrieval::Nobody(Nobody::UnknownVendor)
    } else {
        Retrieval::Add { mac: Some(mac), sn: asker.found.fields.sn.clone(), strength: Strength::Bound }
    }
}

fn add_claimed(asker: Asker<'_>, policy: AutoCreate) -> Retrieval {
    let fields = &asker.found.fields;
    let (mac, sn) = (fields.mac, fields.sn.clone());
    if mac.is_none() && sn.is_none() {
        return Retrieval::Nobody(Nobody::NoIdentity);
    }
    match policy {
        AutoCreate::Off => Retrieval::Nobody(Nobody::Off),
        _ if !asker.vendor_known() => Retrieval::Nobody(Nobody::UnknownVendor),
        AutoCreate::Bound => Retrieval::Pending { mac, sn },
        AutoCreate::Claimed => Retrieval::Add { mac, sn, strength: Strength::Claim },
    }
}

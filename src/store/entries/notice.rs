//! Facts that change nothing: pools that run low, clients that are not served.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::EntryError;
use super::values::{mac, net, some_hex};
use crate::domain::change::{Change, Stranger};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolLow {
    network: String,
    subnet: String,
    percent: u8,
    free: u64,
    size: u64,
}

impl PoolLow {
    pub fn new(network: &str, subnet: &IpNet, percent: u8, free: u64, size: u64) -> PoolLow {
        PoolLow { network: network.to_owned(), subnet: subnet.to_string(), percent, free, size }
    }
}

impl TryFrom<PoolLow> for Change {
    type Error = EntryError;
    fn try_from(low: PoolLow) -> Result<Change, EntryError> {
        let PoolLow { network, subnet, percent, free, size } = low;
        Ok(Change::PoolLow { network, subnet: net(&subnet)?, percent, free, size })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnknownClient {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    interface: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relay: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(default, with = "some_hex", skip_serializing_if = "Option::is_none")]
    client_id: Option<Vec<u8>>,
    #[serde(default, with = "some_hex", skip_serializing_if = "Option::is_none")]
    hostname: Option<Vec<u8>>,
    #[serde(default, with = "some_hex", skip_serializing_if = "Option::is_none")]
    vendor_class: Option<Vec<u8>>,
    reason: String,
}

impl From<&Stranger> for UnknownClient {
    fn from(stranger: &Stranger) -> UnknownClient {
        let Stranger { network, interface, relay, mac, client_id, hostname, vendor_class, reason } = stranger.clone();
        let mac = mac.map(|mac| mac.to_string());
        UnknownClient { network, interface, relay, mac, client_id, hostname, vendor_class, reason }
    }
}

impl TryFrom<UnknownClient> for Stranger {
    type Error = EntryError;
    fn try_from(stored: UnknownClient) -> Result<Stranger, EntryError> {
        let UnknownClient { network, interface, relay, mac: address, client_id, hostname, vendor_class, reason } =
            stored;
        let mac = address.as_deref().map(mac).transpose()?;
        Ok(Stranger { network, interface, relay, mac, client_id, hostname, vendor_class, reason })
    }
}

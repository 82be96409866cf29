//! Entries of hosts and of records that were made by hand.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::EntryError;
use super::values::{hex, mac, net};
use crate::domain::change::Record;
use crate::domain::host::{CustomOption, Host, Interface};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPut {
    id: String,
    hostname: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fqdn: Option<String>,
    aliases: Vec<String>,
    interfaces: Vec<StoredInterface>,
    options: Vec<StoredOption>,
    properties: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredInterface {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    roaming: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vlan: Option<String>,
    networks: Vec<String>,
    addresses: Vec<IpAddr>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOption {
    number: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    family: u8,
    #[serde(with = "hex")]
    value: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordPut {
    id: String,
    name: String,
    rtype: String,
    ttl: u32,
    data: String,
    owner: String,
}

impl From<&Host> for HostPut {
    fn from(host: &Host) -> HostPut {
        let interface = |i: &Interface| StoredInterface {
            name: i.name.clone(),
            mac: i.mac.map(|m| m.to_string()),
            roaming: i.roaming,
            vlan: i.vlan.clone(),
            networks: i.networks.iter().map(ToString::to_string).collect(),
            addresses: i.addresses.clone(),
        };
        let option = |o: &CustomOption| StoredOption {
            number: o.number,
            interface: o.interface.clone(),
            family: o.family,
            value: o.value.clone(),
        };
        HostPut {
            id: host.id.clone(),
            hostname: host.hostname.clone(),
            fqdn: host.fqdn.clone(),
            aliases: host.aliases.clone(),
            interfaces: host.interfaces.iter().map(interface).collect(),
            options: host.options.iter().map(option).collect(),
            properties: host.properties.clone(),
        }
    }
}

impl TryFrom<HostPut> for Host {
    type Error = EntryError;
    fn try_from(host: HostPut) -> Result<Host, EntryError> {
        let interface = |i: StoredInterface| {
            Ok(Interface {
                name: i.name,
                mac: i.mac.as_deref().map(mac).transpose()?,
                roaming: i.roaming,
                vlan: i.vlan,
                networks: i.networks.iter().map(|n| net(n)).collect::<Result<_, _>>()?,
                addresses: i.addresses,
            })
        };
        let option = |o: StoredOption| CustomOption {
            number: o.number,
            interface: o.interface,
            family: o.family,
            value: o.value,
        };
        Ok(Host {
            id: host.id,
            hostname: host.hostname,
            fqdn: host.fqdn,
            aliases: host.aliases,
            interfaces: host.interfaces.into_iter().map(interface).collect::<Result<_, EntryError>>()?,
            options: host.options.into_iter().map(option).collect(),
            properties: host.properties,
        })
    }
}

impl From<&Record> for RecordPut {
    fn from(r: &Record) -> RecordPut {
        RecordPut {
            id: r.id.clone(),
            name: r.name.clone(),
            rtype: r.rtype.clone(),
            ttl: r.ttl,
            data: r.data.clone(),
            owner: r.owner.clone(),
        }
    }
}

impl From<RecordPut> for Record {
    fn from(r: RecordPut) -> Record {
        Record { id: r.id, name: r.name, rtype: r.rtype, ttl: r.ttl, data: r.data, owner: r.owner }
    }
}

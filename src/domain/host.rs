//! Hosts as `host:add-host` declares them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::net::Mac;

/// One network interface of a host; `name` ties its MAC, vlan, networks and addresses together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The `name` attribute, e.g. `ethernet`; empty if none was given.
    pub name: String,
    pub mac: Option<Mac>,
    /// `wireless:roaming`: no fixed address; the name follows its lease.
    pub roaming: bool,
    pub vlan: Option<String>,
    pub networks: Vec<IpNet>,
    pub addresses: Vec<IpAddr>,
}

/// `dhcp:custom-option`: an option for the host's leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomOption {
    pub number: u16,
    /// The interface that it is for; `None` means all.
    pub interface: Option<String>,
    /// 4 or 6.
    pub family: u8,
    /// Wire bytes, escapes already resolved (DH-405).
    pub value: Vec<u8>,
}

/// A host, as the final event left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Unique: the lower-case host name.
    pub id: String,
    pub hostname: String,
    /// Lower-case, no final dot. `None` for a host without a name in DNS.
    pub fqdn: Option<String>,
    pub aliases: Vec<String>,
    pub interfaces: Vec<Interface>,
    pub options: Vec<CustomOption>,
    /// Everything else that the event carried, as (expanded name, text): operating system, asset tag, ...
    pub properties: Vec<(String, String)>,
}

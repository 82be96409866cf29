//! Router advertisements (RFC 4861): what a router says of a link, when it says it, and which messages of
//! others are to be believed. Owns the bytes of the ICMPv6 message without its checksum, which the kernel
//! makes. Opens no socket, reads no clock.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// From meaning to bytes.
mod encode;
/// Messages of others: solicitations, and routers that are not ours.
mod read;
/// When the next advertisement is due.
mod schedule;

pub use encode::encode;
pub use read::{Heard, Refused, read};
pub use schedule::{FINALS, Schedule, delay};

/// RFC 4861 §4.2 type numbers.
pub const SOLICITATION: u8 = 133;
pub const ADVERTISEMENT: u8 = 134;

/// Hop limit of every neighbour discovery message: 255 proves that no router has passed it on.
pub const HOPS: u8 = 255;

/// RFC 4191 §2.1: how hosts choose among several routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preference {
    High,
    #[default]
    Medium,
    Low,
}

/// A prefix of the link (RFC 4861 §4.6.2). Lifetimes in seconds; `u32::MAX` is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub net: Ipv6Net,
    /// L: hosts reach its addresses without a router.
    pub on_link: bool,
    /// A: hosts make addresses of it by themselves.
    pub autonomous: bool,
    pub valid: u32,
    pub preferred: u32,
}

/// A more specific route through this router (RFC 4191 §2.3), for as long as the router itself is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub net: Ipv6Net,
    pub preference: Preference,
}

/// An encrypted resolver (RFC 9463 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    pub priority: u16,
    /// The name in its certificate: lower-case, no final dot.
    pub name: String,
    /// Without any the host looks the name up.
    pub addresses: Vec<Ipv6Addr>,
    /// RFC 9460 §2.2 wire form.
    pub parameters: Vec<u8>,
}

/// M and O (RFC 4861 §4.2), as the DHCPv6 server is (DH-723).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Addresses come from DHCPv6.
    pub managed: bool,
    /// Other settings do.
    pub other: bool,
}

/// All that is said of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// False: settings only, the router lifetime is always 0.
    pub router: bool,
    /// Seconds; `None`: three times the longest interval.
    pub lifetime: Option<u16>,
    /// Longest and shortest time between two unsolicited advertisements, seconds (RFC 4861 §6.2.1).
    pub max_interval: u16,
    pub min_interval: u16,
    pub preference: Preference,
    pub hop_limit: u8,
    pub flags: Flags,
    pub mtu: Option<u32>,
    pub prefixes: Vec<Prefix>,
    pub routes: Vec<Route>,
    pub dns: Vec<Ipv6Addr>,
    /// Domains that hosts search in.
    pub search: Vec<String>,
    /// RFC 8910.
    pub captive_portal: Option<String>,
    /// RFC 8781: the prefix that IPv4 addresses are reached through; 32, 40, 48, 56, 64 or 96 bits.
    pub nat64: Option<Ipv6Net>,
    pub resolvers: Vec<Resolver>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            router: true,
            lifetime: None,
            max_interval: 600,
            min_interval: 198,
            preference: Preference::Medium,
            hop_limit: 64,
            flags: Flags::default(),
            mtu: None,
            prefixes: Vec::new(),
            routes: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            captive_portal: None,
            nat64: None,
            resolvers: Vec::new(),
        }
    }
}

impl Settings {
    /// RFC 4861 §6.2.1: a third of the longest interval, or all of it below nine seconds.
    pub fn default_min_interval(max: u16) -> u16 {
        if max >= 9 { (u32::from(max) * 33 / 100) as u16 } else { max }
    }

    /// Seconds that this router may be used for.
    pub fn router_lifetime(&self) -> u16 {
        match (self.router, self.lifetime) {
            (false, _) => 0,
            (true, Some(seconds)) => seconds,
            (true, None) => self.options_lifetime().min(9_000) as u16,
        }
    }

    /// RFC 8106 §5.1: three times the longest interval, for what has no lifetime of its own.
    pub fn options_lifetime(&self) -> u32 {
        3 * u32::from(self.max_interval)
    }
}

#[cfg(test)]
mod tests;

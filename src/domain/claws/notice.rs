//! Facts of DHCP as messages of the bus (CL-803, CL-804): a notice is its [`Change`], the XML is made when
//! somebody reads it. Owns the form of each; refuses to decide who hears them.

use std::net::IpAddr;

use super::message::{Broadcast, Phase};
use super::xml::Element;
use super::{DHCP, DNS, HOST, LAN};
use crate::domain::change::{Change, Stranger};
use crate::domain::hex;
use crate::domain::lease::{Cause, End, Lease};
use crate::domain::net::Mac;
use crate::domain::time::Wall;

/// Who says so.
pub const SOURCE: &str = "lanlord-address";
/// The notice that comes live only, and only to those who name it (CL-501, CL-506).
pub const RENEWED: &str = "lease-renewed";

/// Namespace and name of the notice that a change is, if it is one.
pub fn name(change: &Change) -> Option<(&'static str, &'static str)> {
    Some(match change {
        Change::LeaseGranted(lease) if lease.cause == Cause::New => (DHCP, "lease-granted"),
        Change::LeaseGranted(_) => (DHCP, RENEWED),
        Change::LeaseEnded { end: End::Released | End::Revoked, .. } => (DHCP, "lease-released"),
        Change::LeaseEnded { end: End::Expired, .. } => (DHCP, "lease-expired"),
        Change::LeaseEnded { end: End::Declined { .. }, .. } => (DHCP, "lease-declined"),
        Change::UnknownClient(_) => (DHCP, "unknown-client"),
        Change::Quarantined { until, .. } if *until != Wall::LONG_AGO => (LAN, "address-conflict"),
        Change::PoolLow { .. } => (LAN, "pool-low"),
        _ => return None,
    })
}

/// The payload of that change's notice.
pub fn payload(change: &Change) -> Option<Element> {
    let (ns, name) = name(change)?;
    let element = Element::new(ns, name);
    Some(match change {
        Change::LeaseGranted(lease) => granted(element, lease),
        Change::LeaseEnded { network, ip, end } => {
            let ended = at(element, network, *ip);
            match end {
                End::Declined { until } => ended.child(text(DHCP, "quarantine", until.rfc3339())),
                End::Revoked => ended.child(text(DHCP, "cause", "revoked")),
                End::Released | End::Expired => ended,
            }
        }
        Change::Quarantined { network, ip, until, mac } => {
            let station = mac.map(|mac| text(HOST, "mac-addr", mac.to_string()));
            let conflict = station.into_iter().fold(at(element, network, *ip), Element::child);
            conflict.child(text(DHCP, "quarantine", until.rfc3339()))
        }
        Change::UnknownClient(stranger) => unknown(element, stranger),
        Change::PoolLow { network, subnet, percent, free, size } => element
            .with("family", family(subnet.addr()))
            .with("percent", percent.to_string())
            .child(text(LAN, "vlan", network))
            .child(text(LAN, "network", subnet.to_string()))
            .child(text(LAN, "free", free.to_string()))
            .child(text(LAN, "size", size.to_string())),
        _ => return None,
    })
}

/// The whole message, one line.
pub fn message(seq: u64, at: Wall, payload: Element) -> String {
    let broadcast = Broadcast {
        txid: &txid(seq, at),
        phase: Phase::Final,
        timestamp: at,
        seq,
        deadline_ms: None,
        reason: None,
        source: SOURCE,
        identity: "",
        correlation_id: None,
        outcomes: &[],
        payload: Some(payload),
    };
    broadcast.element().write()
}

/// A UUID (RFC 9562 §5.8) of the entry's time and number: the same whenever the notice is read.
fn txid(seq: u64, at: Wall) -> String {
    let ms = at.0.cast_unsigned() & 0xffff_ffff_ffff;
    let (high, low) = (seq >> 48 & 0x3fff, seq & 0xffff_ffff_ffff);
    format!("{:08x}-{:04x}-8000-{:04x}-{low:012x}", ms >> 16, ms & 0xffff, 0x8000 | high)
}

fn text(ns: &str, name: &str, text: impl Into<String>) -> Element {
    Element::new(ns, name).text_of(text)
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "4" } else { "6" }
}

fn at(element: Element, network: &str, ip: IpAddr) -> Element {
    let element = element.with("family", family(ip));
    element.child(text(LAN, "vlan", network)).child(text(LAN, "address", ip.to_string()))
}

fn granted(element: Element, lease: &Lease) -> Element {
    let mac = lease.mac.map(|mac: Mac| text(HOST, "mac-addr", mac.to_string()));
    let fqdn = lease.fqdn.as_ref().map(|name| text(DNS, "fqdn", name));
    let prefix = lease.prefix().map(|prefix| text(LAN, "network", prefix.to_string()));
    let sent = [
        (HOST, "hostname", &lease.hostname),
        (DHCP, "client-id", &lease.client_id),
        (DHCP, "vendor-class", &lease.vendor_class),
        (DHCP, "user-class", &lease.user_class),
        (DHCP, "circuit-id", &lease.circuit_id),
        (DHCP, "remote-id", &lease.remote_id),
    ];
    let sent = sent.into_iter().filter_map(|(ns, name, value)| Some(octets(ns, name, value.as_deref()?)));
    let expires = if lease.expires == Wall::NEVER { "never".to_owned() } else { lease.expires.rfc3339() };
    let cause = match lease.cause {
        Cause::New => "new",
        Cause::Renew => "renew",
        Cause::Rebind => "rebind",
        Cause::Reboot => "reboot",
    };
    let rest =
        [text(DHCP, "subnet", lease.subnet.to_string()), text(DHCP, "expires", expires), text(DHCP, "cause", cause)];
    let children = mac.into_iter().chain(fqdn).chain(prefix).chain(sent).chain(rest);
    children.fold(at(element, &lease.network, lease.ip), Element::child)
}

fn unknown(element: Element, stranger: &Stranger) -> Element {
    let network = stranger.network.as_ref().map(|name| text(LAN, "vlan", name));
    let mac = stranger.mac.map(|mac| text(HOST, "mac-addr", mac.to_string()));
    let relay = stranger.relay.map(|relay| text(DHCP, "relay", relay.to_string()));
    let sent = [
        (HOST, "hostname", &stranger.hostname),
        (DHCP, "client-id", &stranger.client_id),
        (DHCP, "vendor-class", &stranger.vendor_class),
    ];
    let sent = sent.into_iter().filter_map(|(ns, name, value)| Some(octets(ns, name, value.as_deref()?)));
    let rest = [text(DHCP, "interface", &stranger.interface), text(DHCP, "reason", &stranger.reason)];
    let children = network.into_iter().chain(mac).chain(sent).chain(relay).chain(rest);
    children.fold(element.with("family", "4"), Element::child)
}

/// What a client sent: text where XML 1.0 can carry it, hexadecimal digits elsewhere (CL-805).
fn octets(ns: &str, name: &str, octets: &[u8]) -> Element {
    let carried = |c: char| match c {
        '\t' | '\n' | '\r' => true,
        // XML 1.0 §2.2
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    };
    match std::str::from_utf8(octets) {
        Ok(own) if own.chars().all(carried) => text(ns, name, own),
        _ => Element::new(ns, name).with("encoding", "hex").text_of(hex::write(octets)),
    }
}

#[cfg(test)]
mod tests;

//! The CLAWS event bus, as pure decisions: XML to messages and back, who may say what, how updates merge,
//! how a transaction moves. Refuses to know HTTP, sessions, journals and clocks.

/// Who may submit, subscribe, append and remove.
pub mod access;
/// What went wrong with a message, as the sender is told.
pub mod fault;
/// The host that a payload describes.
pub mod hosting;
/// One base payload and the updates of many modules into one result.
pub mod merge;
/// The grammar of messages in both directions.
pub mod message;
/// Facts of DHCP as messages.
pub mod notice;
/// Commands about reservations, options and leases.
pub mod orders;
/// One transaction: who is waited for, until when, what follows.
pub mod transaction;
/// Key attributes, cardinality and comparison of the known elements.
pub mod vocabulary;
/// Bytes to trees and back, within limits.
pub mod xml;

pub use fault::Fault;
pub use xml::Element;

/// The vocabularies of protocol 1, in the order in which they are declared on output.
pub const VOCABULARIES: [&str; 7] = ["claws", "host", "wireless", "lan", "dns", "dhcp", "prov"];

/// Namespace of the bus itself.
pub const CLAWS: &str = "urn:openclaws:ns:claws:1";
/// Hosts.
pub const HOST: &str = "urn:openclaws:ns:host:1";
/// Wireless interfaces.
pub const WIRELESS: &str = "urn:openclaws:ns:wireless:1";
/// Networks, vlans and addresses.
pub const LAN: &str = "urn:openclaws:ns:lan:1";
/// Names.
pub const DNS: &str = "urn:openclaws:ns:dns:1";
/// Options and leases.
pub const DHCP: &str = "urn:openclaws:ns:dhcp:1";
/// Phones.
pub const PROV: &str = "urn:openclaws:ns:prov:1";

/// The namespace of a vocabulary: `lan` is `urn:openclaws:ns:lan:1`.
pub fn namespace(vocabulary: &str) -> String {
    format!("urn:openclaws:ns:{vocabulary}:1")
}

/// The usual prefix of a known namespace.
pub fn usual_prefix(ns: &str) -> Option<&'static str> {
    let name = ns.strip_prefix("urn:openclaws:ns:")?.strip_suffix(":1")?;
    VOCABULARIES.into_iter().find(|v| *v == name)
}

//! DHCPv6 (RFC 9915): a datagram becomes a request, a decision says what follows. Owns every rule of the
//! exchange; refuses to send, to commit and to look at a clock.

use std::net::Ipv6Addr;

/// How a datagram came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival6<'a> {
    pub interface: &'a str,
    /// Index of the interface, as the kernel counts.
    pub index: u32,
    /// The client, or the relay that is nearest to us.
    pub source: Ipv6Addr,
    pub source_port: u16,
    pub destination: Ipv6Addr,
    /// True if it was sent to a group, as clients must (RFC 9915 §16).
    pub multicast: bool,
}

//! What classes may ask of a message. Each family implements it over its own walked packet.

use std::borrow::Cow;

/// A value of the message or of its arrival, apart from options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The hardware address.
    Mac,
    ClientId,
    Duid,
    Hostname,
    VendorClass,
    UserClass,
    /// Two octets (RFC 4578).
    Arch,
    /// Name of the receiving interface.
    Interface,
    /// Name of the network that the request belongs to.
    Network,
    /// Four octets, as all numbers of the header are.
    MessageType,
    TransactionId,
    HardwareType,
    HardwareLength,
    Length,
    Ciaddr,
    Yiaddr,
    Siaddr,
    Giaddr,
    Source,
    Destination,
    CircuitId,
    RemoteId,
    SubscriberId,
    /// The subnet that a relay selects (RFC 3527, RFC 9915 link-address).
    Link,
}

/// Part of a level of DHCPv6 relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayPart {
    Option(u16),
    Peer,
    Link,
}

/// A message under inspection.
pub trait Subject {
    /// True for DHCPv6: codes and lengths of sub-options have two octets.
    fn is_v6(&self) -> bool;

    /// An option, all of its instances joined.
    fn option(&self, code: u16) -> Option<Cow<'_, [u8]>>;

    /// A sub-option of option 82, if it may be believed.
    fn relay(&self, sub: u16) -> Option<Cow<'_, [u8]>>;

    /// Part of the relay at that level: 0 is the nearest to us, -1 the nearest to the client.
    fn relay6(&self, _level: i8, _part: RelayPart) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn field(&self, field: Field) -> Option<Cow<'_, [u8]>>;
}

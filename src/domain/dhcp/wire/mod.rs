//! DHCPv4 on the wire. Owns the walk of hostile bytes into borrowed slices and the ordered encoding of
//! replies. Refuses to know what an option means: that is `options` and `v4`.

/// Replies to bytes: order, splitting, overload, budget, padding.
pub mod encode;
/// Sub-options of option 82.
pub mod relay;
/// Bytes to slices: every option found, none typed.
pub mod walk;

pub use encode::{Encoded, Reply, encode};
pub use walk::{Malformed, Packet};

/// Octets before the options: the BOOTP header and the magic cookie.
pub const HEADER: usize = 240;
/// RFC 2131 §3: 99, 130, 83, 99.
pub const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Smallest reply; some clients and relays drop shorter ones (RFC 951's 300 octets).
pub const MIN_REPLY: usize = 300;
/// Largest datagram that is looked at (reliability reference, section 4).
pub const MAX_DATAGRAM: usize = 1500;
/// The `vend` area of BOOTP (RFC 951): what its clients read of a reply.
pub const BOOTP_VENDOR: usize = 64;
/// The broadcast bit of `flags` (RFC 2131 §2).
pub const BROADCAST: u16 = 0x8000;

/// Option codes that the protocol itself owns, or that the code names.
pub mod code {
    pub const PAD: u8 = 0;
    pub const MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const BROADCAST_ADDRESS: u8 = 28;
    pub const VENDOR: u8 = 43;
    pub const REQUESTED_IP: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const REQUEST_LIST: u8 = 55;
    pub const MESSAGE: u8 = 56;
    pub const MAX_SIZE: u8 = 57;
    pub const T1: u8 = 58;
    pub const T2: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const TFTP_SERVER: u8 = 66;
    pub const BOOT_FILE: u8 = 67;
    pub const USER_CLASS: u8 = 77;
    pub const RAPID_COMMIT: u8 = 80;
    pub const FQDN: u8 = 81;
    pub const RELAY_INFO: u8 = 82;
    /// RFC 4388 §6.1: seconds since the client was last heard of.
    pub const LAST_TRANSACTION: u8 = 91;
    /// RFC 4388 §6.1: all addresses of the client.
    pub const ASSOCIATED_IP: u8 = 92;
    pub const PXE_ARCH: u8 = 93;
    pub const PXE_UUID: u8 = 97;
    pub const IPV6_ONLY: u8 = 108;
    pub const AUTO_CONFIGURE: u8 = 116;
    pub const SUBNET_SELECTION: u8 = 118;
    pub const SEARCH: u8 = 119;
    pub const ROUTES: u8 = 121;
    pub const TFTP_ADDRESSES: u8 = 150;
    pub const MS_ROUTES: u8 = 249;
    pub const END: u8 = 255;
}

/// Option 53; and BOOTP, which has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Discover,
    Offer,
    Request,
    Decline,
    Ack,
    Nak,
    Release,
    Inform,
    /// RFC 4388: a relay or concentrator asks who holds an address.
    LeaseQuery,
    LeaseUnassigned,
    LeaseUnknown,
    LeaseActive,
    /// A message without option 53 (RFC 951), either way.
    Bootp,
}

impl Kind {
    /// All of them, each at its own index.
    pub const ALL: [Kind; 13] = [
        Kind::Discover,
        Kind::Offer,
        Kind::Request,
        Kind::Decline,
        Kind::Ack,
        Kind::Nak,
        Kind::Release,
        Kind::Inform,
        Kind::LeaseQuery,
        Kind::LeaseUnassigned,
        Kind::LeaseUnknown,
        Kind::LeaseActive,
        Kind::Bootp,
    ];

    /// The message type of that number, if the server has any use for it. FORCERENEW (9) is a server's
    /// word to its clients: received, it means nothing.
    pub fn of(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| number != 0 && kind.number() == number)
    }

    /// Its number in option 53; 0 for BOOTP, which has none.
    pub fn number(self) -> u8 {
        match self {
            Kind::Bootp => 0,
            Kind::LeaseQuery | Kind::LeaseUnassigned | Kind::LeaseUnknown | Kind::LeaseActive => self as u8 + 2,
            _ => self as u8 + 1,
        }
    }

    /// As people write it, e.g. `DHCPDISCOVER`; also the label of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Discover => "DHCPDISCOVER",
            Kind::Offer => "DHCPOFFER",
            Kind::Request => "DHCPREQUEST",
            Kind::Decline => "DHCPDECLINE",
            Kind::Ack => "DHCPACK",
            Kind::Nak => "DHCPNAK",
            Kind::Release => "DHCPRELEASE",
            Kind::Inform => "DHCPINFORM",
            Kind::LeaseQuery => "DHCPLEASEQUERY",
            Kind::LeaseUnassigned => "DHCPLEASEUNASSIGNED",
            Kind::LeaseUnknown => "DHCPLEASEUNKNOWN",
            Kind::LeaseActive => "DHCPLEASEACTIVE",
            Kind::Bootp => "BOOTP",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2132 §9.6, RFC 4388 §6.1.
    #[test]
    fn message_types_have_their_numbers() {
        let numbers: Vec<u8> = Kind::ALL.iter().map(|kind| kind.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 0]);
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert!(kind == Kind::Bootp || Kind::of(kind.number()) == Some(kind));
        }
        assert_eq!((Kind::of(0), Kind::of(9), Kind::of(14)), (None, None, None));
    }
}

//! DHCPv6 on the wire. Owns the bounded walk of hostile bytes into borrowed slices and the ordered encoding
//! of replies. Refuses to know what an option means: that is `options` and the decisions.

/// Replies to bytes, mirrored through the relays that the request came by.
pub mod encode;
/// Bytes to slices: relays, message, options, identity associations.
pub mod walk;

pub use encode::{IaReply, Item, Reply, encode};
pub use walk::{Ia, IaItem, Malformed, Message, Options, Packet, Relay};

/// Largest datagram that is looked at. A message of 16 IAs behind 8 relays is far smaller.
pub const MAX_DATAGRAM: usize = 4096;
/// Relay agents between the client and us (RFC 9915 §7.6: HOP_COUNT_LIMIT).
pub const MAX_RELAYS: usize = 8;
/// Options of one datagram at the levels of relays and message.
pub const MAX_OPTIONS: usize = 512;
/// Identity associations of one message.
pub const MAX_IAS: usize = 16;
/// Addresses or prefixes of one identity association.
pub const MAX_ITEMS: usize = 16;
/// Octets of a DUID (RFC 9915 §11.1: at most 128 behind the type).
pub const MAX_DUID: usize = 130;

/// Option codes that the protocol itself owns, or that the code names.
pub mod code {
    pub const CLIENT_ID: u16 = 1;
    pub const SERVER_ID: u16 = 2;
    pub const IA_NA: u16 = 3;
    pub const IA_TA: u16 = 4;
    pub const IA_ADDRESS: u16 = 5;
    pub const ORO: u16 = 6;
    pub const PREFERENCE: u16 = 7;
    pub const RELAY_MESSAGE: u16 = 9;
    pub const STATUS: u16 = 13;
    pub const RAPID_COMMIT: u16 = 14;
    pub const USER_CLASS: u16 = 15;
    pub const VENDOR_CLASS: u16 = 16;
    pub const INTERFACE_ID: u16 = 18;
    pub const DNS: u16 = 23;
    pub const SEARCH: u16 = 24;
    pub const IA_PD: u16 = 25;
    pub const IA_PREFIX: u16 = 26;
    pub const REFRESH: u16 = 32;
    pub const REMOTE_ID: u16 = 37;
    pub const SUBSCRIBER_ID: u16 = 38;
    pub const FQDN: u16 = 39;
    pub const CLIENT_ARCH: u16 = 61;
    pub const RSOO: u16 = 66;
    pub const PD_EXCLUDE: u16 = 67;
    pub const CLIENT_LINK_LAYER: u16 = 79;
    pub const RELAY_PORT: u16 = 135;
    pub const ADDR_REG_ENABLE: u16 = 148;
}

/// Values of the status code option (RFC 9915 §21.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Success = 0,
    NoAddrsAvail = 2,
    NoBinding = 3,
    NotOnLink = 4,
    UseMulticast = 5,
    NoPrefixAvail = 6,
}

/// Message types that clients and servers exchange; those of relays are the walker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Solicit,
    Advertise,
    Request,
    Confirm,
    Renew,
    Rebind,
    Reply,
    Release,
    Decline,
    Reconfigure,
    InformationRequest,
    AddrRegInform,
    AddrRegReply,
}

impl Kind {
    /// All of them, in the order of their declaration.
    pub const ALL: [Kind; 13] = [
        Kind::Solicit,
        Kind::Advertise,
        Kind::Request,
        Kind::Confirm,
        Kind::Renew,
        Kind::Rebind,
        Kind::Reply,
        Kind::Release,
        Kind::Decline,
        Kind::Reconfigure,
        Kind::InformationRequest,
        Kind::AddrRegInform,
        Kind::AddrRegReply,
    ];

    /// The message type of that number.
    pub fn of(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its number on the wire (RFC 9915 §7.3, RFC 9686 §4).
    pub fn number(self) -> u8 {
        match self {
            Kind::AddrRegInform => 36,
            Kind::AddrRegReply => 37,
            other => other as u8 + 1,
        }
    }

    /// As the RFCs write it; also the label of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Solicit => "SOLICIT",
            Kind::Advertise => "ADVERTISE",
            Kind::Request => "REQUEST",
            Kind::Confirm => "CONFIRM",
            Kind::Renew => "RENEW",
            Kind::Rebind => "REBIND",
            Kind::Reply => "REPLY",
            Kind::Release => "RELEASE",
            Kind::Decline => "DECLINE",
            Kind::Reconfigure => "RECONFIGURE",
            Kind::InformationRequest => "INFORMATION-REQUEST",
            Kind::AddrRegInform => "ADDR-REG-INFORM",
            Kind::AddrRegReply => "ADDR-REG-REPLY",
        }
    }
}

#[cfg(test)]
mod tests;

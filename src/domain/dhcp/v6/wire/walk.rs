//! The walk: finds relays, message and identity associations of a datagram before anything is typed, so
//! that one bad option hides no other. Borrows, never recurses, O(length). Descends from a message into its
//! IAs and from there into addresses and prefixes: three levels, whatever is nested below them.

use std::net::Ipv6Addr;

use super::{Kind, MAX_DATAGRAM, MAX_DUID, MAX_IAS, MAX_ITEMS, MAX_OPTIONS, MAX_RELAYS, code};

/// RELAY-FORW and RELAY-REPL (RFC 9915 §7.3).
const RELAY_FORW: u8 = 12;
const RELAY_REPL: u8 = 13;
/// Octets before the options of a relay message (RFC 9915 §9).
const RELAY_HEADER: usize = 34;
/// Octets before the options of a message (RFC 9915 §8).
const HEADER: usize = 4;

/// Why a datagram is no DHCPv6 message for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("too short for its type")]
    Short,
    #[error("more than {MAX_DATAGRAM} octets")]
    Long,
    #[error("a message type that no client or relay sends")]
    Type,
    #[error("more than {MAX_RELAYS} relays")]
    TooManyRelays,
    #[error("a relay message without the message that it relays")]
    Empty,
    #[error("more than {MAX_OPTIONS} options")]
    TooManyOptions,
    #[error("more than {MAX_IAS} identity associations, or {MAX_ITEMS} addresses in one")]
    TooManyIas,
    #[error("a DUID of 0 or more than {MAX_DUID} octets")]
    Duid,
}

impl Malformed {
    /// All of them, for the metrics.
    pub const ALL: [Malformed; 8] = [
        Malformed::Short,
        Malformed::Long,
        Malformed::Type,
        Malformed::TooManyRelays,
        Malformed::Empty,
        Malformed::TooManyOptions,
        Malformed::TooManyIas,
        Malformed::Duid,
    ];

    /// The label of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Malformed::Short => "short",
            Malformed::Long => "long",
            Malformed::Type => "type",
            Malformed::TooManyRelays => "too-many-relays",
            Malformed::Empty => "no-relayed-message",
            Malformed::TooManyOptions => "too-many-options",
            Malformed::TooManyIas => "too-many-ias",
            Malformed::Duid => "duid",
        }
    }
}

/// Options that lie in a slice, in their order. A length beyond the end ends the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a>(pub &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let ([a, b, c, d], rest) = self.0.split_first_chunk::<4>()?;
        let (code, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((code, value))
    }
}

impl<'a> Options<'a> {
    /// The first option of that code.
    pub fn find(self, code: u16) -> Option<&'a [u8]> {
        { self }.find_map(|(found, value)| (found == code).then_some(value))
    }
}

/// One RELAY-FORW around the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay<'a> {
    pub hops: u8,
    /// Address on the client's link; unspecified if the relay leaves that to its interface-id.
    pub link: Ipv6Addr,
    /// Who the relay had the message from.
    pub peer: Ipv6Addr,
    pub options: Options<'a>,
}

/// A client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: Kind,
    /// 24 bits.
    pub xid: u32,
    pub options: Options<'a>,
}

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The one nearest to us first.
    pub relays: Vec<Relay<'a>>,
    pub message: Message<'a>,
}

/// One identity association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ia<'a> {
    /// Option 3, 4 or 25.
    pub code: u16,
    pub iaid: u32,
    pub options: Options<'a>,
}

/// One address or prefix of an identity association, with its times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IaItem<'a> {
    pub ip: Ipv6Addr,
    /// 128 for an address.
    pub length: u8,
    pub preferred: u32,
    pub valid: u32,
    pub options: Options<'a>,
}

impl<'a> Packet<'a> {
    /// Finds what a datagram of up to [`MAX_DATAGRAM`] octets consists of.
    pub fn walk(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        if bytes.len() > MAX_DATAGRAM {
            return Err(Malformed::Long);
        }
        let mut relays = Vec::new();
        let (mut rest, mut budget) = (bytes, MAX_OPTIONS);
        // RFC 9915 §9: the relay message option holds a relay's message or the client's, told by its first octet
        while rest.first() == Some(&RELAY_FORW) {
            if relays.len() == MAX_RELAYS {
                return Err(Malformed::TooManyRelays);
            }
            let (head, options) = rest.split_at_checked(RELAY_HEADER).ok_or(Malformed::Short)?;
            let options = counted(options, &mut budget)?;
            rest = options.find(code::RELAY_MESSAGE).ok_or(Malformed::Empty)?;
            relays.push(Relay { hops: head[1], link: address(&head[2..]), peer: address(&head[18..]), options });
        }
        let message = Message::walk(rest, &mut budget)?;
        Ok(Packet { relays, message })
    }
}

impl<'a> Message<'a> {
    fn walk(bytes: &'a [u8], budget: &mut usize) -> Result<Message<'a>, Malformed> {
        let (head, options) = bytes.split_at_checked(HEADER).ok_or(Malformed::Short)?;
        let kind = Kind::of(head[0]).filter(|_| head[0] != RELAY_REPL).ok_or(Malformed::Type)?;
        let message = Message {
            kind,
            xid: u32::from_be_bytes([0, head[1], head[2], head[3]]),
            options: counted(options, budget)?,
        };
        let length = |code| message.options.find(code).map(<[u8]>::len);
        if [code::CLIENT_ID, code::SERVER_ID].into_iter().filter_map(length).any(|n| !(1..=MAX_DUID).contains(&n)) {
            return Err(Malformed::Duid);
        }
        let mut ias = 0;
        for ia in message.ias() {
            ias += 1;
            if ias > MAX_IAS || ia.items().take(MAX_ITEMS + 1).count() > MAX_ITEMS {
                return Err(Malformed::TooManyIas);
            }
        }
        Ok(message)
    }

    /// The identity associations, in their order; those too short to have an IAID are none.
    pub fn ias(&self) -> impl Iterator<Item = Ia<'a>> + use<'a> {
        self.options.filter_map(|(code, value)| {
            // IA_TA has no T1 and T2 (RFC 9915 §21.5)
            let head = match code {
                code::IA_NA | code::IA_PD => 12,
                code::IA_TA => 4,
                _ => return None,
            };
            let (head, options) = value.split_at_checked(head)?;
            let iaid = u32::from_be_bytes(*head.first_chunk()?);
            Some(Ia { code, iaid, options: Options(options) })
        })
    }
}

impl<'a> Ia<'a> {
    /// Its addresses, or prefixes, as the client wrote them; those cut short are left out.
    pub fn items(&self) -> impl Iterator<Item = IaItem<'a>> + use<'a> {
        let delegated = self.code == code::IA_PD;
        self.options.filter_map(move |(code, value)| match code {
            code::IA_ADDRESS if !delegated => IaItem::address(value),
            code::IA_PREFIX if delegated => IaItem::prefix(value),
            _ => None,
        })
    }
}

impl<'a> IaItem<'a> {
    /// RFC 9915 §21.6.
    pub fn address(value: &'a [u8]) -> Option<IaItem<'a>> {
        let (head, options) = value.split_at_checked(24)?;
        let times = &head[16..];
        Some(IaItem {
            ip: address(head),
            length: 128,
            preferred: number(times),
            valid: number(&times[4..]),
            options: Options(options),
        })
    }

    /// RFC 9915 §21.22. Bits beyond the length are taken as zero.
    fn prefix(value: &'a [u8]) -> Option<IaItem<'a>> {
        let (head, options) = value.split_at_checked(25)?;
        let net = ipnet::Ipv6Net::new(address(&head[9..]), head[8]).ok()?;
        Some(IaItem {
            ip: net.network(),
            length: head[8],
            preferred: number(head),
            valid: number(&head[4..]),
            options: Options(options),
        })
    }
}

/// The options, if they do not exceed what is left of the budget.
fn counted<'a>(bytes: &'a [u8], budget: &mut usize) -> Result<Options<'a>, Malformed> {
    let options = Options(bytes);
    *budget = budget.checked_sub(options.take(MAX_OPTIONS + 1).count()).ok_or(Malformed::TooManyOptions)?;
    Ok(options)
}

/// The first sixteen octets; the callers have checked that they are there.
fn address(bytes: &[u8]) -> Ipv6Addr {
    bytes.first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}

/// The first four octets; the callers have checked that they are there.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets))
}

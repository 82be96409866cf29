//! Replies to bytes. Owns the order of options and the mirror of the relays' headers.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{Kind, Relay, Status, code};

/// RELAY-REPL (RFC 9915 §7.3).
const RELAY_REPL: u8 = 13;

/// A reply before it is bytes; its options stand in the order that they are sent in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    pub kind: Kind,
    /// 24 bits.
    pub xid: u32,
    pub items: Vec<Item<'a>>,
}

impl<'a> Reply<'a> {
    /// The identity associations in it.
    pub fn ias(&self) -> impl Iterator<Item = &IaReply<'a>> {
        self.items.iter().filter_map(|item| if let Item::Ia(ia) = item { Some(ia) } else { None })
    }
}

/// One option of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// Code and value.
    Raw(u16, Cow<'a, [u8]>),
    Ia(IaReply<'a>),
    Status(Status, &'static str),
}

/// One identity association of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IaReply<'a> {
    /// Option 3, 4 or 25.
    pub code: u16,
    pub iaid: u32,
    pub t1: u32,
    pub t2: u32,
    pub leased: Vec<Leased<'a>>,
    pub status: Option<(Status, &'static str)>,
}

/// One address or prefix of a reply, with its times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased<'a> {
    pub ip: Ipv6Addr,
    /// 128 for an address.
    pub length: u8,
    pub preferred: u32,
    pub valid: u32,
    /// Value of option 67 (RFC 6603): what of the prefix its holder leaves alone.
    pub exclude: Option<Cow<'a, [u8]>>,
}

impl Reply<'_> {
    /// A reply without options.
    pub fn new(kind: Kind, xid: u32) -> Self {
        Reply { kind, xid, items: Vec::with_capacity(8) }
    }
}

/// Appends the datagram: the reply, within one RELAY-REPL for each relay of the request, in their order.
/// Values longer than an option can be are left out.
pub fn encode(reply: &Reply<'_>, relays: &[Relay<'_>], out: &mut Vec<u8>) {
    let mut open = Vec::with_capacity(relays.len());
    for relay in relays {
        // RFC 9915 §19.3: hop-count, link-address and peer-address as in the RELAY-FORW
        out.extend([RELAY_REPL, relay.hops]);
        out.extend(relay.link.octets());
        out.extend(relay.peer.octets());
        // RFC 9915 §21.18, RFC 8357 §4: interface-id and relay port are sent back as they came
        for code in [code::INTERFACE_ID, code::RELAY_PORT] {
            if let Some(value) = relay.options.find(code) {
                raw(code, value, out);
            }
        }
        open.push(begin(code::RELAY_MESSAGE, out));
    }
    out.push(reply.kind.number());
    out.extend(&reply.xid.to_be_bytes()[1..]);
    reply.items.iter().for_each(|entry| item(entry, out));
    open.into_iter().rev().for_each(|at| end(at, out));
}

fn item(item: &Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Raw(code, value) => raw(*code, value, out),
        Item::Status(status, text) => put_status(*status, text, out),
        Item::Ia(ia) => put_ia(ia, out),
    }
}

fn put_ia(ia: &IaReply<'_>, out: &mut Vec<u8>) {
    let at = begin(ia.code, out);
    out.extend(ia.iaid.to_be_bytes());
    if ia.code != code::IA_TA {
        out.extend(ia.t1.to_be_bytes());
        out.extend(ia.t2.to_be_bytes());
    }
    ia.leased.iter().for_each(|leased| put_leased(leased, ia.code == code::IA_PD, out));
    if let Some((status, text)) = ia.status {
        put_status(status, text, out);
    }
    end(at, out);
}

fn put_leased(leased: &Leased<'_>, delegated: bool, out: &mut Vec<u8>) {
    let at = begin(if delegated { code::IA_PREFIX } else { code::IA_ADDRESS }, out);
    if !delegated {
        out.extend(leased.ip.octets());
    }
    out.extend(leased.preferred.to_be_bytes());
    out.extend(leased.valid.to_be_bytes());
    if delegated {
        out.push(leased.length);
        out.extend(leased.ip.octets());
    }
    if let Some(value) = &leased.exclude {
        raw(code::PD_EXCLUDE, value, out);
    }
    end(at, out);
}

fn put_status(status: Status, text: &str, out: &mut Vec<u8>) {
    let at = begin(code::STATUS, out);
    out.extend((status as u16).to_be_bytes());
    out.extend(text.as_bytes());
    end(at, out);
}

fn raw(code: u16, value: &[u8], out: &mut Vec<u8>) {
    if let Ok(length) = u16::try_from(value.len()) {
        out.extend(code.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend(value);
    }
}

/// Writes a code with a length to come; returns where the value begins.
fn begin(code: u16, out: &mut Vec<u8>) -> usize {
    out.extend(code.to_be_bytes());
    out.extend([0, 0]);
    out.len()
}

fn end(at: usize, out: &mut [u8]) {
    // a reply is bounded far below: 16 IAs of 16 addresses and a policy's options
    let length = u16::try_from(out.len() - at).unwrap_or(u16::MAX);
    out[at - 2..at].copy_from_slice(&length.to_be_bytes());
}

/// The value of option 67 for what of `prefix` is left alone (RFC 6603 §4.2); `None` if it does not lie
/// inside, or is all of it.
pub fn pd_exclude(prefix: ipnet::Ipv6Net, exclude: ipnet::Ipv6Net) -> Option<Vec<u8>> {
    let (outer, inner) = (prefix.prefix_len(), exclude.prefix_len());
    if !prefix.contains(&exclude) || inner <= outer {
        return None;
    }
    // the bits between the two lengths, left-aligned
    let bits = u128::from(exclude.network()) << outer;
    let octets = usize::from(inner - outer).div_ceil(8);
    let mut value = vec![inner];
    value.extend(&bits.to_be_bytes()[..octets]);
    Some(value)
}

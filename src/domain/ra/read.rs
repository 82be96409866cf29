//! What others say by neighbour discovery: hosts that ask for a router, and other routers. Refuses whatever
//! RFC 4861 §6.1 calls invalid; the checksum was looked at by the kernel.

use std::net::Ipv6Addr;

use super::{ADVERTISEMENT, HOPS, SOLICITATION};

/// A valid message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A host asks. `None`: it has no address yet.
    Solicitation { from: Option<Ipv6Addr> },
    /// A router speaks.
    Advertisement { from: Ipv6Addr, lifetime: u16, managed: bool, other: bool, prefixes: Vec<(Ipv6Addr, u8)> },
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is no message that routers look at.
    Kind,
    /// It has come through a router.
    Hops,
    Code,
    Short,
    /// An option of no length, or beyond the end.
    Option,
    /// A source that may not say this.
    Source,
}

/// Prefixes of a foreign router that are remembered.
const PREFIXES: usize = 8;

/// Reads one ICMPv6 message with the source and hop limit of its packet.
pub fn read(message: &[u8], from: Ipv6Addr, hops: Option<u8>) -> Result<Heard, Refused> {
    let fixed = match message.first() {
        Some(&SOLICITATION) => 8,
        Some(&ADVERTISEMENT) => 16,
        _ => return Err(Refused::Kind),
    };
    if hops != Some(HOPS) {
        return Err(Refused::Hops);
    }
    let Some((head, options)) = message.split_at_checked(fixed) else { return Err(Refused::Short) };
    if head[1] != 0 {
        return Err(Refused::Code);
    }
    let options = slice(options)?;
    if fixed == 8 {
        // RFC 4861 §6.1.1: no source link-layer address from the unspecified address
        if from.is_unspecified() && options.iter().any(|(kind, _)| *kind == 1) {
            return Err(Refused::Source);
        }
        return Ok(Heard::Solicitation { from: (!from.is_unspecified()).then_some(from) });
    }
    // RFC 4861 §6.1.2: routers must use their link-local address
    if !from.is_unicast_link_local() {
        return Err(Refused::Source);
    }
    Ok(Heard::Advertisement {
        from,
        lifetime: u16::from_be_bytes([head[6], head[7]]),
        managed: head[5] & 0x80 != 0,
        other: head[5] & 0x40 != 0,
        prefixes: options.iter().filter_map(prefix).take(PREFIXES).collect(),
    })
}

/// Types and values. The work is bounded by the message, each option being eight octets at least.
fn slice(mut rest: &[u8]) -> Result<Vec<(u8, &[u8])>, Refused> {
    let mut out = Vec::new();
    while let [kind, len, ..] = rest {
        let len = usize::from(*len) * 8;
        let (option, after) = rest.split_at_checked(len).filter(|_| len > 0).ok_or(Refused::Option)?;
        out.push((*kind, &option[2..]));
        rest = after;
    }
    if rest.is_empty() { Ok(out) } else { Err(Refused::Option) }
}

fn prefix((kind, value): &(u8, &[u8])) -> Option<(Ipv6Addr, u8)> {
    let octets: [u8; 16] = value.get(14..30)?.try_into().ok()?;
    (*kind == 3).then_some((octets.into(), value[0]))
}

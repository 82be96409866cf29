//! The walk: slices every option of a datagram before any is typed, so that one bad option hides no
//! other. Borrows from the datagram, O(length), never panics.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::{COOKIE, HEADER, MAX_DATAGRAM, code};

/// Option instances looked at in one datagram (DH-103).
pub const MAX_OPTIONS: usize = 256;

/// Why a datagram is no DHCP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("fewer than {HEADER} octets")]
    Short,
    #[error("more than {MAX_DATAGRAM} octets")]
    Long,
    #[error("op is neither 1 nor 2")]
    Op,
    #[error("hardware address of more than 16 octets")]
    HardwareLength,
    #[error("no magic cookie")]
    Cookie,
    #[error("more than {MAX_OPTIONS} options")]
    TooManyOptions,
}

impl Malformed {
    /// The label of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Malformed::Short => "short",
            Malformed::Long => "long",
            Malformed::Op => "op",
            Malformed::HardwareLength => "hardware-length",
            Malformed::Cookie => "cookie",
            Malformed::TooManyOptions => "too-many-options",
        }
    }
}

/// One option instance: where its value lies in the datagram.
#[derive(Debug, Clone, Copy)]
struct Slot {
    code: u8,
    length: u8,
    offset: u16,
}

/// A datagram whose options have been found, but not interpreted.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    /// In the order of RFC 3396: the options field, then `file`, then `sname`.
    slots: Vec<Slot>,
    /// Option 52 of the options field: bit 0 `file`, bit 1 `sname`.
    overload: u8,
    truncated: bool,
}

impl<'a> Packet<'a> {
    /// Finds the options of a datagram of 240 to 1500 octets.
    pub fn walk(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        if bytes.len() < HEADER {
            return Err(Malformed::Short);
        }
        if bytes.len() > MAX_DATAGRAM {
            return Err(Malformed::Long);
        }
        if !matches!(bytes[0], 1 | 2) {
            return Err(Malformed::Op);
        }
        if bytes[2] > 16 {
            return Err(Malformed::HardwareLength);
        }
        if bytes[236..240] != COOKIE {
            return Err(Malformed::Cookie);
        }
        let mut packet = Packet { bytes, slots: Vec::with_capacity(24), overload: 0, truncated: false };
        packet.field(HEADER, bytes.len())?;
        // RFC 2132 §9.3: only the options field can say that the others hold options.
        packet.overload = packet.slot(code::OVERLOAD).map_or(0, |value| value.first().map_or(0, |bits| bits & 3));
        if packet.overload & 1 != 0 {
            packet.field(108, 236)?;
        }
        if packet.overload & 2 != 0 {
            packet.field(44, 108)?;
        }
        Ok(packet)
    }

    /// Slices one field. A length beyond its end ends that field, and nothing else.
    fn field(&mut self, start: usize, end: usize) -> Result<(), Malformed> {
        let mut at = start;
        while at < end {
            let code = self.bytes[at];
            if code == code::END {
                return Ok(());
            }
            at += 1;
            if code == code::PAD {
                continue;
            }
            let length = match self.bytes.get(at) {
                Some(length) if at < end && at + 1 + usize::from(*length) <= end => *length,
                _ => {
                    self.truncated = true;
                    return Ok(());
                }
            };
            if self.slots.len() == MAX_OPTIONS {
                return Err(Malformed::TooManyOptions);
            }
            let offset = u16::try_from(at + 1).unwrap_or(u16::MAX);
            self.slots.push(Slot { code, length, offset });
            at += 1 + usize::from(length);
        }
        Ok(())
    }

    fn value(&self, slot: Slot) -> &'a [u8] {
        let start = usize::from(slot.offset);
        self.bytes.get(start..start + usize::from(slot.length)).unwrap_or_default()
    }

    fn slot(&self, code: u8) -> Option<&'a [u8]> {
        self.slots.iter().find(|slot| slot.code == code).map(|slot| self.value(*slot))
    }

    /// The value of an option; several instances are joined (RFC 3396), which alone allocates.
    pub fn option(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        let mut instances = self.slots.iter().filter(|slot| slot.code == code);
        let first = self.value(*instances.next()?);
        let Some(second) = instances.next() else { return Some(Cow::Borrowed(first)) };
        let mut joined = first.to_vec();
        joined.extend_from_slice(self.value(*second));
        instances.for_each(|slot| joined.extend_from_slice(self.value(*slot)));
        Some(Cow::Owned(joined))
    }

    /// A text option without its trailing NULs (DH-105).
    pub fn text(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        self.option(code).map(|value| match value {
            Cow::Borrowed(bytes) => Cow::Borrowed(trim(bytes)),
            Cow::Owned(bytes) => Cow::Owned(trim(&bytes).to_vec()),
        })
    }

    /// An option of exactly four octets as an address.
    pub fn ip(&self, code: u8) -> Option<Ipv4Addr> {
        let value: [u8; 4] = self.option(code)?.as_ref().try_into().ok()?;
        Some(Ipv4Addr::from(value))
    }

    /// An option of exactly four octets as a number.
    pub fn u32(&self, code: u8) -> Option<u32> {
        self.ip(code).map(u32::from)
    }

    /// An option of exactly two octets as a number.
    pub fn u16(&self, code: u8) -> Option<u16> {
        let value: [u8; 2] = self.option(code)?.as_ref().try_into().ok()?;
        Some(u16::from_be_bytes(value))
    }

    /// The codes that are present, in the order found, each once.
    pub fn codes(&self) -> impl Iterator<Item = u8> + '_ {
        let seen = |i: usize, code: u8| self.slots[..i].iter().any(|slot| slot.code == code);
        self.slots.iter().enumerate().filter(move |(i, slot)| !seen(*i, slot.code)).map(|(_, slot)| slot.code)
    }

    /// True if a field ended in the middle of an option.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// 1 from clients and relays, 2 from servers.
    /// Octets of the whole datagram.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn op(&self) -> u8 {
        self.bytes[0]
    }

    pub fn htype(&self) -> u8 {
        self.bytes[1]
    }

    pub fn hlen(&self) -> u8 {
        self.bytes[2]
    }

    pub fn hops(&self) -> u8 {
        self.bytes[3]
    }

    pub fn xid(&self) -> u32 {
        u32::from(self.address(4))
    }

    pub fn secs(&self) -> u16 {
        u16::from_be_bytes([self.bytes[8], self.bytes[9]])
    }

    pub fn flags(&self) -> u16 {
        u16::from_be_bytes([self.bytes[10], self.bytes[11]])
    }

    pub fn ciaddr(&self) -> Ipv4Addr {
        self.address(12)
    }

    pub fn yiaddr(&self) -> Ipv4Addr {
        self.address(16)
    }

    pub fn siaddr(&self) -> Ipv4Addr {
        self.address(20)
    }

    pub fn giaddr(&self) -> Ipv4Addr {
        self.address(24)
    }

    /// The hardware address, `hlen` octets.
    pub fn chaddr(&self) -> &'a [u8] {
        &self.bytes[28..28 + usize::from(self.hlen())]
    }

    /// All sixteen octets of `chaddr`, as they must be echoed.
    pub fn chaddr_field(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out.copy_from_slice(&self.bytes[28..44]);
        out
    }

    /// `sname` to its first NUL; empty if it holds options.
    pub fn sname(&self) -> &'a [u8] {
        if self.overload & 2 != 0 { &[] } else { to_nul(&self.bytes[44..108]) }
    }

    /// `file` to its first NUL, or all 128 octets; empty if it holds options.
    pub fn file(&self) -> &'a [u8] {
        if self.overload & 1 != 0 { &[] } else { to_nul(&self.bytes[108..236]) }
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::new(self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3])
    }
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = bytes {
        bytes = rest;
    }
    bytes
}

fn to_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[236..240].copy_from_slice(&COOKIE);
        bytes.extend_from_slice(options);
        bytes
    }

    #[test]
    fn refuses_what_is_no_message() {
        let good = message(&[53, 1, 1, 255]);
        assert!(Packet::walk(&good).is_ok());
        assert_eq!(Packet::walk(&good[..239]).unwrap_err(), Malformed::Short);
        let set = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            Packet::walk(&bytes).map(|_| ())
        };
        assert_eq!(set(0, 3), Err(Malformed::Op));
        assert_eq!(set(2, 17), Err(Malformed::HardwareLength));
        assert_eq!(set(236, 0), Err(Malformed::Cookie));
        assert_eq!(Packet::walk(&message(&vec![0; 1261])).unwrap_err(), Malformed::Long);
        assert!(Packet::walk(&message(&vec![0; 1260])).is_ok());
    }

    #[test]
    fn at_most_256_options() {
        assert!(Packet::walk(&message(&[60, 0].repeat(256))).is_ok());
        assert_eq!(Packet::walk(&message(&[60, 0].repeat(257))).unwrap_err(), Malformed::TooManyOptions);
    }

    #[test]
    fn a_bad_option_hides_no_other() {
        // a hostname that is no UTF-8, an FQDN that is too short, then the ones that make the lease key
        let bytes = message(&[12, 2, 0xff, 0xfe, 81, 1, 0, 61, 2, 1, 2, 82, 3, 1, 1, 9, 255]);
        let packet = Packet::walk(&bytes).unwrap();
        assert_eq!(packet.option(61).as_deref(), Some(&[1, 2][..]));
        assert_eq!(packet.option(82).as_deref(), Some(&[1, 1, 9][..]));
        assert_eq!(packet.option(12).as_deref(), Some(&[0xff, 0xfe][..]));
    }

    #[test]
    fn a_length_beyond_the_end_ends_the_field_only() {
        let bytes = message(&[53, 1, 3, 61, 2, 1, 2, 12, 200, b'x']);
        let packet = Packet::walk(&bytes).unwrap();
        assert!(packet.truncated());
        assert_eq!(packet.option(53).as_deref(), Some(&[3][..]));
        assert_eq!(packet.option(61).as_deref(), Some(&[1, 2][..]));
        assert_eq!(packet.option(12), None);
        let bytes = message(&[53, 1, 3, 61]);
        assert!(Packet::walk(&bytes).unwrap().truncated());
    }

    #[test]
    fn instances_are_joined_in_the_order_options_file_sname() {
        let mut bytes = message(&[52, 1, 3, 43, 1, b'a', 60, 1, b'-', 43, 1, b'b', 255]);
        bytes[108..112].copy_from_slice(&[43, 1, b'c', 255]);
        bytes[44..48].copy_from_slice(&[43, 1, b'd', 255]);
        let packet = Packet::walk(&bytes).unwrap();
        assert_eq!(packet.option(43).as_deref(), Some(&b"abcd"[..]));
        assert_eq!((packet.file(), packet.sname()), (&[][..], &[][..]));
        assert_eq!(packet.codes().collect::<Vec<_>>(), [52, 43, 60]);
    }

    #[test]
    fn overload_counts_only_in_the_options_field() {
        let mut bytes = message(&[52, 1, 1, 255]);
        bytes[108..115].copy_from_slice(&[52, 1, 2, 12, 1, b'x', 255]);
        bytes[44..48].copy_from_slice(&[43, 1, b'd', 255]);
        let packet = Packet::walk(&bytes).unwrap();
        assert_eq!(packet.option(12).as_deref(), Some(&b"x"[..]));
        assert_eq!(packet.option(43), None);
    }

    #[test]
    fn a_file_of_128_octets_without_nul_is_valid() {
        let mut bytes = message(&[255]);
        bytes[108..236].fill(b'f');
        bytes[44..49].copy_from_slice(b"srv\0x");
        let packet = Packet::walk(&bytes).unwrap();
        assert_eq!(packet.file(), &[b'f'; 128][..]);
        assert_eq!(packet.sname(), b"srv");
    }

    #[test]
    fn text_loses_trailing_nuls() {
        let bytes = message(&[12, 3, b'p', 0, 0, 255]);
        assert_eq!(Packet::walk(&bytes).unwrap().text(12).as_deref(), Some(&b"p"[..]));
    }
}

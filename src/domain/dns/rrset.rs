//! Record sets as they go onto the wire. A node's sets stand one after another in a byte string; each set
//! holds its records ready to be copied into an answer, their owner a pointer to the question (DN-116).

use super::map::Entry;

/// Record types that the lookup treats in a way of their own, and a few more.
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const NAPTR: u16 = 35;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const DNSKEY: u16 = 48;
    pub const TKEY: u16 = 249;
    pub const TSIG: u16 = 250;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const MAILB: u16 = 253;
    pub const MAILA: u16 = 254;
    pub const ANY: u16 = 255;
}

/// Owner field of a record about the name in the question.
const OWNER: [u8; 2] = [0xc0, 0x0c];
/// Octets in front of a set's records: type, TTL, flags, number, length.
const HEAD: usize = 11;
/// Octets of a record between its owner and its data: type, class, TTL, length.
pub const FIXED: usize = 10;
const SOFT: u8 = 1;

/// A record set to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RrSet {
    pub rtype: u16,
    pub ttl: u32,
    /// Made from a host, reservation or lease: gives way to what was written by hand (ranks 3 to 7).
    pub soft: bool,
    /// Data of each record: names in it lower-case, not compressed.
    pub rdata: Vec<Vec<u8>>,
}

/// More than this cannot go into any answer.
pub const MAX_SET: usize = 60_000;

impl RrSet {
    /// Octets that the records take in an answer.
    pub fn wire_len(&self) -> usize {
        self.rdata.iter().map(|r| OWNER.len() + FIXED + r.len()).sum()
    }

    /// Appends the stored form. Equal records are one (RFC 2181 §5). What is over [`MAX_SET`] is left out:
    /// whoever takes records in must have refused it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.rtype.to_be_bytes());
        out.extend_from_slice(&self.ttl.to_be_bytes());
        out.push(if self.soft { SOFT } else { 0 });
        out.extend_from_slice(&[0; 4]);
        let mut count = 0u16;
        for (i, data) in self.rdata.iter().enumerate() {
            let (true, Ok(len)) = (!self.rdata[..i].contains(data), u16::try_from(data.len())) else { continue };
            if out.len() - start + data.len() > MAX_SET {
                break;
            }
            out.extend_from_slice(&OWNER);
            out.extend_from_slice(&self.rtype.to_be_bytes());
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(&self.ttl.to_be_bytes());
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(data);
            count += 1;
        }
        let length = (out.len() - start - HEAD) as u16; // at most MAX_SET and one record head
        out[start + 7..start + 9].copy_from_slice(&count.to_be_bytes());
        out[start + 9..start + 11].copy_from_slice(&length.to_be_bytes());
    }
}

/// A stored set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetRef<'a> {
    pub rtype: u16,
    pub ttl: u32,
    pub soft: bool,
    pub count: u16,
    /// The records, owners pointing at the question.
    pub bytes: &'a [u8],
}

impl<'a> SetRef<'a> {
    /// The records from their type on (type, class, TTL, length, data), without owner.
    pub fn records(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let body = rest.get(OWNER.len()..)?;
            let len = usize::from(u16::from_be_bytes([*body.get(8)?, *body.get(9)?]));
            let (record, tail) = body.split_at_checked(FIXED + len)?;
            rest = tail;
            Some(record)
        })
    }

    /// The data of each record.
    pub fn rdata(self) -> impl Iterator<Item = &'a [u8]> {
        self.records().map(|r| &r[FIXED..])
    }

    /// As it was before it was stored.
    pub fn to_owned(self) -> RrSet {
        RrSet { rtype: self.rtype, ttl: self.ttl, soft: self.soft, rdata: self.rdata().map(<[u8]>::to_vec).collect() }
    }
}

/// The sets of a node, in the order in which they were stored.
pub fn sets(mut bytes: &[u8]) -> impl Iterator<Item = SetRef<'_>> {
    std::iter::from_fn(move || {
        let head = bytes.get(..HEAD)?;
        let len = usize::from(u16::from_be_bytes([head[9], head[10]]));
        let (records, tail) = bytes[HEAD..].split_at_checked(len)?;
        bytes = tail;
        Some(SetRef {
            rtype: u16::from_be_bytes([head[0], head[1]]),
            ttl: u32::from_be_bytes([head[2], head[3], head[4], head[5]]),
            soft: head[6] & SOFT != 0,
            count: u16::from_be_bytes([head[7], head[8]]),
            bytes: records,
        })
    })
}

/// The set of one type.
pub fn set(entry: &Entry, rtype: u16) -> Option<SetRef<'_>> {
    sets(entry.sets()).find(|s| s.rtype == rtype)
}

/// Stored form of several sets.
pub fn encode(all: &[RrSet]) -> Vec<u8> {
    let mut out = Vec::new();
    all.iter().filter(|s| !s.rdata.is_empty()).for_each(|s| s.encode(&mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_as_they_were_stored() {
        let a = RrSet { rtype: rtype::A, ttl: 60, soft: true, rdata: vec![vec![10, 0, 0, 1], vec![10, 0, 0, 2]] };
        let txt = RrSet { rtype: rtype::TXT, ttl: 5, soft: false, rdata: vec![vec![1, b'x'], vec![0]] };
        let bytes = encode(&[a.clone(), txt.clone()]);
        assert_eq!(sets(&bytes).map(SetRef::to_owned).collect::<Vec<_>>(), [a.clone(), txt]);
        let first = sets(&bytes).next().unwrap();
        assert_eq!((first.count, first.bytes.len()), (2, a.wire_len()));
        assert_eq!(&first.bytes[..12], b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
    }

    #[test]
    fn equal_records_are_one() {
        let a = RrSet { rtype: rtype::A, ttl: 60, soft: false, rdata: vec![vec![1; 4], vec![1; 4]] };
        assert_eq!(sets(&encode(&[a])).next().unwrap().count, 1);
    }
}

//! Hardware addresses in every notation that people and devices write.

use std::fmt;
use std::str::FromStr;

use super::hex::{self, digit};

/// An Ethernet address; prints lower-case with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// True for an address that can name one device: not nil, not broadcast, not a group (PR-8, DH-225).
    pub fn is_identity(self) -> bool {
        self.0 != [0; 6] && !self.is_group()
    }

    /// True for the broadcast address and any other that stands for many stations.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The first three octets, as the vendor's block.
    pub fn oui(self) -> [u8; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }

    /// Twelve lower-case hexadecimal digits.
    pub fn hex(self) -> String {
        hex::write(&self.0)
    }

    /// Reads a MAC in any notation: separators `:` `-` `.` `_`, `aabb.ccdd.eeff`, twelve bare digits,
    /// any case, one-digit octets (`0:8:5d:..`, as ISC dhcpd prints them).
    pub fn parse(text: &[u8]) -> Option<Mac> {
        let mut out = [0u8; 6];
        if text.len() == 12 && text.iter().all(u8::is_ascii_hexdigit) {
            for (o, pair) in out.iter_mut().zip(text.chunks(2)) {
                *o = digit(pair[0])? << 4 | digit(pair[1])?;
            }
            return Some(Mac(out));
        }
        let separator = *text.iter().find(|b| !b.is_ascii_hexdigit())?;
        if !b":-._".contains(&separator) || text.len() > 17 {
            return None;
        }
        let parts: Vec<&[u8]> = text.split(|b| *b == separator).collect();
        match parts.len() {
            6 => {
                for (o, part) in out.iter_mut().zip(&parts) {
                    *o = match part {
                        [one] => digit(*one)?,
                        [high, low] => digit(*high)? << 4 | digit(*low)?,
                        _ => return None,
                    };
                }
            }
            3 if parts.iter().all(|p| p.len() == 4) => {
                let digits: Vec<u8> = parts.concat();
                return Mac::parse(&digits);
            }
            _ => return None,
        }
        Some(Mac(out))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no hardware address in any known notation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address (expected six octets such as 80:5e:c0:00:00:01)")]
pub struct BadMac(pub String);

impl FromStr for Mac {
    type Err = BadMac;
    fn from_str(text: &str) -> Result<Mac, BadMac> {
        Mac::parse(text.as_bytes()).ok_or_else(|| BadMac(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_notation() {
        let mac = Mac([0x00, 0x08, 0x5d, 0x23, 0x74, 0x29]);
        for text in [
            "00:08:5d:23:74:29",
            "00-08-5D-23-74-29",
            "0:8:5d:23:74:29",
            "0008.5d23.7429",
            "00085D237429",
            "00_08_5d_23_74_29",
        ] {
            assert_eq!(text.parse::<Mac>(), Ok(mac), "{text}");
        }
        for text in ["", "00:08:5d:23:74", "00:08:5d:23:74:2g", "00085d23742", "00:08-5d:23:74:29", "000:8:5d:23:74:29"]
        {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        assert_eq!(mac.to_string(), "00:08:5d:23:74:29");
    }

    #[test]
    fn nil_group_and_broadcast_are_no_identity() {
        assert!(!Mac([0; 6]).is_identity());
        assert!(!Mac([0xff; 6]).is_identity());
        assert!(!Mac([1, 0, 0x5e, 0, 0, 1]).is_identity());
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_identity());
    }
}

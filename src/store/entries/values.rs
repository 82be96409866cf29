//! Spellings of small values that JSON has no type for.

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serializer};

use super::EntryError;
use crate::domain::device::Value;
use crate::domain::net::Mac;

/// Bytes as lower-case hexadecimal digits.
pub mod hex {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&text(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<u8>>>(from: D) -> Result<T, D::Error> {
        bytes(&String::deserialize(from)?).map(T::from).map_err(serde::de::Error::custom)
    }

    /// Two digits an octet.
    pub fn text(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = String::with_capacity(bytes.len() * 2);
        for b in bytes {
            out.push(char::from(DIGITS[usize::from(b >> 4)]));
            out.push(char::from(DIGITS[usize::from(b & 15)]));
        }
        out
    }

    /// The octets of an even number of digits.
    pub fn bytes(text: &str) -> Result<Vec<u8>, EntryError> {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        text.as_bytes()
            .chunks(2)
            .map(pair)
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| EntryError::Unreadable(format!("`{text}` is not hexadecimal")))
    }
}

/// Optional bytes; use with `default` and `skip_serializing_if`.
pub mod some_hex {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &Option<impl AsRef<[u8]>>, out: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => hex::serialize(bytes.as_ref(), out),
            None => out.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<u8>>>(from: D) -> Result<Option<T>, D::Error> {
        hex::deserialize(from).map(Some)
    }
}

/// `80:5e:c0:00:00:01`.
pub fn mac(text: &str) -> Result<Mac, EntryError> {
    text.parse().map_err(|e: crate::domain::net::BadMac| EntryError::Unreadable(e.to_string()))
}

/// `10.77.0.0/24`.
pub fn net(text: &str) -> Result<IpNet, EntryError> {
    text.parse().map_err(|e| EntryError::Unreadable(format!("prefix `{text}`: {e}")))
}

/// `2001:db8::/32`.
pub fn net6(text: &str) -> Result<ipnet::Ipv6Net, EntryError> {
    text.parse().map_err(|e| EntryError::Unreadable(format!("prefix `{text}`: {e}")))
}

/// True if the value holds lists and maps more than `levels` deep.
pub fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return true };
    match value {
        Value::List(list) => list.iter().any(|v| deeper_than(v, left)),
        Value::Map(map) => map.values().any(|v| deeper_than(v, left)),
        _ => false,
    }
}

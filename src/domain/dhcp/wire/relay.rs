//! Option 82 (RFC 3046): read by sub-option, echoed as raw bytes.

use std::net::Ipv4Addr;

/// Sub-option codes.
pub mod sub {
    pub const CIRCUIT_ID: u8 = 1;
    pub const REMOTE_ID: u8 = 2;
    /// RFC 3527.
    pub const LINK_SELECTION: u8 = 5;
    pub const SUBSCRIBER_ID: u8 = 6;
    /// RFC 5010.
    pub const FLAGS: u8 = 10;
    /// RFC 5107.
    pub const SERVER_ID_OVERRIDE: u8 = 11;
    /// RFC 8357.
    pub const SOURCE_PORT: u8 = 19;
}

/// The value of a sub-option; what does not add up ends the search.
pub fn value(info: &[u8], wanted: u8) -> Option<&[u8]> {
    pieces(info).find(|piece| piece[0] == wanted).map(|piece| &piece[2..])
}

/// A sub-option of exactly four octets.
pub fn address(info: &[u8], wanted: u8) -> Option<Ipv4Addr> {
    let value: [u8; 4] = value(info, wanted)?.try_into().ok()?;
    Some(Ipv4Addr::from(value))
}

/// RFC 5010 §4: what the relay says of how the client sent its message: `true` for unicast. `None` if it
/// says nothing.
pub fn sent_unicast(info: &[u8]) -> Option<bool> {
    value(info, sub::FLAGS)?.first().map(|flags| flags & 0x80 != 0)
}

/// Whole sub-options with their headers, in order.
pub fn pieces(mut info: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = 2 + usize::from(*info.get(1)?);
        let piece = info.get(..length)?;
        info = &info[length..];
        Some(piece)
    })
}

/// Cuts a value of more than 255 octets into instances that never split a sub-option (DH-107).
pub fn instances(info: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let (mut start, mut at) = (0, 0);
    for piece in pieces(info) {
        if at + piece.len() - start > 255 {
            out.push(&info[start..at]);
            start = at;
        }
        at += piece.len();
    }
    // bytes that do not parse are echoed too
    out.extend(info[start..].chunks(255));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_sub_options_up_to_the_first_that_does_not_add_up() {
        let info = [9, 1, 7, 2, 2, b'r', b'i', 1, 3, b'c', b'i', b'd', 5, 9, 1];
        assert_eq!(value(&info, 1), Some(&b"cid"[..]));
        assert_eq!(value(&info, 2), Some(&b"ri"[..]));
        assert_eq!(value(&info, 5), None);
        assert_eq!(address(&[5, 4, 10, 0, 0, 0], 5), Some(Ipv4Addr::new(10, 0, 0, 0)));
    }

    #[test]
    fn sub_options_are_never_split() {
        let mut info = vec![1, 200];
        info.extend([b'a'; 200]);
        info.extend([2, 100]);
        info.extend([b'b'; 100]);
        let parts = instances(&info);
        assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [202, 102]);
        assert_eq!(parts.concat(), info);
    }
}

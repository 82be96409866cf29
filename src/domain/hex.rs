//! Octets as hexadecimal digits and back. Owns no notation: prefixes and separators are the caller's.

/// Octets from an even number of digits, in either case, and nothing else; no digits are no octets.
pub fn read(digits: &[u8]) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

/// One digit.
pub fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Two lower-case digits for each octet.
pub fn write(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_octets_are_each_others_inverse() {
        let octets: Vec<u8> = (0..=255).collect();
        assert_eq!(read(write(&octets).as_bytes()), Some(octets.clone()));
        assert_eq!(read(write(&octets).to_uppercase().as_bytes()), Some(octets));
        assert_eq!(read(b""), Some(Vec::new()));
    }

    #[test]
    fn a_sign_a_separator_or_half_an_octet_is_no_octet() {
        for text in ["0", "0a0", "+f", "0x", "0:", " 0", "é"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}

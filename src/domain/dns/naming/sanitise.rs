//! From what clients call themselves to a label that DNS can carry. Any byte may come in.

/// A label of at most 63 letters, digits and inner hyphens out of any bytes; `None` if nothing is left
/// (DN-306): `Alec's iPhone` becomes `alecs-iphone`.
pub fn sanitise(raw: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(raw) {
        Ok(utf8) => utf8.to_lowercase(),
        Err(_) => raw.iter().map(|b| char::from(*b)).collect::<String>().to_lowercase(), // Latin-1
    };
    let mut label = String::with_capacity(text.len());
    for c in text.chars().take(256) {
        match c {
            '\'' | '’' | '‘' | '`' | '´' | '\u{2bc}' => {}
            c if c.is_alphanumeric() => label.push(c),
            _ if label.is_empty() || label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    let label = to_ascii(label.trim_matches('-'));
    let cut = label[..label.len().min(63)].trim_matches('-');
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// IDNA (RFC 5891) for what is not ASCII; what cannot be encoded, or grows too long, loses those letters.
fn to_ascii(label: &str) -> String {
    if label.is_ascii() {
        return label.to_owned();
    }
    match idna::domain_to_ascii(label) {
        Ok(ascii) if ascii.len() <= 63 && ascii.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => ascii,
        _ => label.chars().filter(char::is_ascii).collect(),
    }
}

/// Never from a client (DN-307).
const REFUSED: [&str; 6] = ["localhost", "wpad", "isatap", "local", "router", "gateway"];

/// True for a label that no client may have, whatever it asks for.
pub fn is_refused(label: &str) -> bool {
    REFUSED.contains(&label) || label.starts_with('_')
}

/// The label that a client's wish comes down to, `None` if it may not have it. A domain behind the first
/// dot is cut off: the network decides on that. Names that look like an IPv4 address are none.
pub fn host_label(wish: &[u8], domain: &str) -> Option<String> {
    let end = wish.iter().rposition(|b| *b != 0 && *b != b'.').map_or(0, |i| i + 1);
    let wish = &wish[..end];
    let first = wish.split(|b| *b == b'.').next().unwrap_or_default();
    let numeric = wish.split(|b| *b == b'.').all(|l| !l.is_empty() && l.iter().all(u8::is_ascii_digit));
    if first.starts_with(b"_") || (numeric && wish.contains(&b'.')) {
        return None;
    }
    let apex = !domain.is_empty() && wish.eq_ignore_ascii_case(domain.as_bytes());
    sanitise(first).filter(|label| !apex && !is_refused(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_their_devices() {
        for (raw, label) in [
            ("Alec's iPhone", "alecs-iphone"),
            ("Alec’s iPhone", "alecs-iphone"),
            ("DESKTOP_42", "desktop-42"),
            ("--x--", "x"),
            ("Büro", "xn--bro-hoa"),
            ("a   b", "a-b"),
            ("HP LaserJet (2nd floor)", "hp-laserjet-2nd-floor"),
        ] {
            assert_eq!(sanitise(raw.as_bytes()).as_deref(), Some(label), "{raw}");
        }
        assert_eq!(sanitise(b"B\xfcro").as_deref(), Some("xn--bro-hoa"));
        assert_eq!(sanitise(b"\xff\xfe").as_deref().map(|l| l.is_ascii()), Some(true));
        for nothing in ["", "---", "' '", "\u{0}\u{1}", "…"] {
            assert_eq!(sanitise(nothing.as_bytes()), None, "{nothing}");
        }
        assert_eq!(sanitise("x".repeat(300).as_bytes()).unwrap().len(), 63);
    }

    #[test]
    fn a_domain_in_the_wish_is_cut_off() {
        assert_eq!(host_label(b"laptop.corp.example", "lan").as_deref(), Some("laptop"));
        assert_eq!(host_label(b"laptop.", "lan").as_deref(), Some("laptop"));
        assert_eq!(host_label(b"laptop\0", "lan").as_deref(), Some("laptop"));
    }

    #[test]
    fn some_names_are_never_given_to_a_client() {
        for wish in [
            "localhost",
            "LOCALHOST.lan",
            "wpad",
            "isatap",
            "local",
            "router",
            "gateway",
            "_sip",
            "10.0.0.1",
            "1.2",
            "lan.example",
            "",
            ".",
        ] {
            assert_eq!(host_label(wish.as_bytes(), "lan.example"), None, "{wish}");
        }
    }
}

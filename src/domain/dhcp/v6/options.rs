//! The registry of DHCPv6 options: one flat entry each, and their values between text and wire. An option
//! that is not here can be set by number all the same.

use std::net::Ipv6Addr;

use super::super::value::{self, MAX_VALUE, unescape};

/// How the value of an option is written in text and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// Addresses, separated by commas or blanks.
    Ip6,
    U32,
    /// Bytes as written; escapes `\n \r \t \\ \xHH`.
    Text,
    /// Domain names, never compressed (RFC 9915 §10).
    Names,
    /// NTP servers: addresses, groups or names (RFC 5908).
    Ntp,
    /// Texts, each with its length before it (RFC 5970 §3.2); separated by commas.
    Texts,
    /// `0x..` in hexadecimal, else text with escapes.
    Bytes,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub code: u16,
    pub name: &'static str,
    pub kind: Type,
    /// The protocol itself writes it: configuration must not (DH-402).
    pub owned: bool,
    pub doc: &'static str,
}

const fn set(code: u16, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, kind, owned: false, doc }
}

const fn owned(code: u16, name: &'static str, doc: &'static str) -> Entry {
    Entry { code, name, kind: Type::Bytes, owned: true, doc }
}

/// Sorted by code.
pub const REGISTRY: &[Entry] = &[
    owned(1, "client-identifier", "DUID of the client"),
    owned(2, "server-identifier", "DUID of the server"),
    owned(3, "ia-na", "addresses of an identity association"),
    owned(4, "ia-ta", "temporary addresses; clients make their own (RFC 8981)"),
    owned(5, "ia-address", "one address"),
    owned(6, "option-request", "codes that the client wants"),
    owned(7, "preference", "rank among servers; set preference instead"),
    owned(8, "elapsed-time", "how long the client has been trying"),
    owned(9, "relay-message", "the message that a relay passes on"),
    owned(11, "authentication", "authentication"),
    owned(12, "server-unicast", "obsolete (RFC 9915)"),
    owned(13, "status-code", "what became of a request"),
    owned(14, "rapid-commit", "two-message exchange"),
    owned(15, "user-class", "user class of the client"),
    owned(16, "vendor-class", "vendor class of the client"),
    set(17, "vendor-options", Type::Bytes, "vendor options: enterprise number and sub-options"),
    owned(18, "interface-id", "the relay's interface towards the client"),
    owned(19, "reconfigure-message", "what a client is told to do"),
    owned(20, "reconfigure-accept", "whether a client takes that"),
    set(21, "sip-server-names", Type::Names, "SIP servers by name (RFC 3319)"),
    set(22, "sip-servers", Type::Ip6, "SIP servers by address (RFC 3319)"),
    set(23, "dns-servers", Type::Ip6, "recursive name servers (RFC 3646)"),
    set(24, "domain-search", Type::Names, "search list; made from the network's domain if not set (RFC 3646)"),
    owned(25, "ia-pd", "delegated prefixes of an identity association"),
    owned(26, "ia-prefix", "one delegated prefix"),
    set(27, "nis-servers", Type::Ip6, "NIS servers (RFC 3898)"),
    set(28, "nisp-servers", Type::Ip6, "NIS+ servers (RFC 3898)"),
    set(29, "nis-domain", Type::Names, "NIS domain (RFC 3898)"),
    set(30, "nisp-domain", Type::Names, "NIS+ domain (RFC 3898)"),
    set(31, "sntp-servers", Type::Ip6, "SNTP servers (RFC 4075); newer clients want 56"),
    set(32, "information-refresh-time", Type::U32, "seconds until a stateless client asks again, at least 600"),
    owned(37, "remote-id", "the client's line, from the relay (RFC 4649)"),
    owned(38, "subscriber-id", "the client's contract, from the relay (RFC 4580)"),
    owned(39, "client-fqdn", "name of the client and who updates DNS (RFC 4704)"),
    set(41, "new-posix-timezone", Type::Text, "time zone as in IEEE 1003.1 (RFC 4833)"),
    set(42, "new-tzdb-timezone", Type::Text, "time zone as in the TZ database (RFC 4833)"),
    set(56, "ntp-servers", Type::Ntp, "NTP servers: addresses, groups or names (RFC 5908)"),
    set(59, "bootfile-url", Type::Text, "URL of the boot file (RFC 5970)"),
    set(60, "bootfile-params", Type::Texts, "parameters of the boot file (RFC 5970)"),
    owned(61, "client-arch", "architectures of a network boot client (RFC 5970)"),
    set(64, "aftr-name", Type::Names, "tunnel endpoint of DS-Lite (RFC 6334)"),
    owned(66, "relay-supplied-options", "options that a relay offers for the client (RFC 6422)"),
    owned(67, "pd-exclude", "part of a delegated prefix that is left alone (RFC 6603); set exclude instead"),
    owned(79, "client-link-layer", "the client's hardware address, from the relay (RFC 6939)"),
    set(82, "sol-max-rt", Type::U32, "longest time between two SOLICITs, 60 to 86400 seconds (RFC 9915)"),
    set(83, "inf-max-rt", Type::U32, "the same for INFORMATION-REQUEST"),
    set(94, "s46-mape", Type::Bytes, "MAP-E container (RFC 7598)"),
    set(95, "s46-mapt", Type::Bytes, "MAP-T container (RFC 7598)"),
    set(96, "s46-lw", Type::Bytes, "lightweight 4over6 container (RFC 7598)"),
    set(97, "4rd", Type::Bytes, "4rd (RFC 7600)"),
    set(103, "captive-portal", Type::Text, "URI of the captive portal API (RFC 8910)"),
    owned(135, "relay-port", "the relay's own source port (RFC 8357)"),
    set(144, "dnr", Type::Bytes, "encrypted resolvers (RFC 9463)"),
    owned(148, "addr-reg-enable", "addresses may be registered (RFC 9686); set register instead"),
];

/// The entry of an option.
pub fn by_code(code: u16) -> Option<&'static Entry> {
    REGISTRY.binary_search_by_key(&code, |entry| entry.code).ok().map(|at| &REGISTRY[at])
}

/// The code that a configuration means by a name or a number; `None` for 0 and unknown names.
pub fn code_of(name: &str) -> Option<u16> {
    match name.parse::<u16>() {
        Ok(code) => (code != 0).then_some(code),
        Err(_) => REGISTRY.iter().find(|entry| entry.name == name).map(|entry| entry.code),
    }
}

/// Why a text is no value of that option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("option {0} is written by the server itself and cannot be set")]
    Owned(u16),
    #[error("option {code}: `{text}` is no {expected}")]
    Value { code: u16, text: String, expected: &'static str },
    #[error("option {0}: more than {MAX_VALUE} octets")]
    Long(u16),
    #[error("option {0}: no value")]
    Nothing(u16),
}

/// Text to wire.
pub fn parse_value(code: u16, text: &str) -> Result<Vec<u8>, Problem> {
    let entry = by_code(code);
    if entry.is_some_and(|entry| entry.owned) {
        return Err(Problem::Owned(code));
    }
    let kind = entry.map_or(Type::Bytes, |entry| entry.kind);
    let wire =
        by_type(kind, text).map_err(|(part, expected)| Problem::Value { code, text: part.to_owned(), expected })?;
    let bounds = match code {
        32 => 600..=u32::MAX,
        82 | 83 => 60..=86_400,
        _ => 0..=u32::MAX,
    };
    if let (Type::U32, Some(octets)) = (kind, wire.first_chunk::<4>())
        && !bounds.contains(&u32::from_be_bytes(*octets))
    {
        // RFC 9915 §21.23 to §21.25
        return Err(Problem::Value { code, text: text.trim().to_owned(), expected: "number within its bounds" });
    }
    match wire.len() {
        0 => Err(Problem::Nothing(code)),
        1..=MAX_VALUE => Ok(wire),
        _ => Err(Problem::Long(code)),
    }
}

type Wrong<'t> = (&'t str, &'static str);

fn by_type(kind: Type, text: &str) -> Result<Vec<u8>, Wrong<'_>> {
    let trimmed = text.trim();
    let escaped = |text| unescape(text).ok_or((text, "text with the escapes \\n \\r \\t \\\\ \\xHH"));
    if let Some(octets) = raw(kind, trimmed) {
        return Ok(octets);
    }
    match kind {
        Type::Ip6 => each(trimmed, "IPv6 address", |t| Some(t.parse::<Ipv6Addr>().ok()?.octets().to_vec())),
        Type::U32 => match trimmed.parse::<u32>() {
            Ok(number) => Ok(number.to_be_bytes().to_vec()),
            Err(_) => Err((trimmed, "number below 2^32")),
        },
        Type::Text => escaped(text),
        Type::Names => each(trimmed, "domain name", value::name),
        Type::Ntp => each(trimmed, "IPv6 address or domain name", ntp),
        Type::Texts => {
            let mut out = Vec::new();
            for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let bytes = escaped(part)?;
                out.extend(u16::try_from(bytes.len()).map_err(|_| (part, "text of less than 64 KiB"))?.to_be_bytes());
                out.extend(bytes);
            }
            Ok(out)
        }
        Type::Bytes => match trimmed.strip_prefix("0x") {
            Some(digits) => {
                crate::domain::hex::read(digits.as_bytes()).ok_or((trimmed, "sequence of hexadecimal pairs"))
            }
            None => escaped(text),
        },
    }
}

/// The octets of a value that was written in hexadecimal after `0x` although its type has a spelling of its
/// own; their number must be one that the type can have.
fn raw(kind: Type, text: &str) -> Option<Vec<u8>> {
    let octets = crate::domain::hex::read(text.strip_prefix("0x")?.as_bytes())?;
    let fits = match kind {
        Type::Ip6 => octets.len().is_multiple_of(16),
        Type::U32 => octets.len() == 4,
        Type::Names | Type::Ntp | Type::Texts => true,
        Type::Text | Type::Bytes => false,
    };
    fits.then_some(octets)
}

fn each<'t>(
    text: &'t str,
    expected: &'static str,
    one: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Wrong<'t>> {
    let mut out = Vec::new();
    for part in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty()) {
        out.extend(one(part).ok_or((part, expected))?);
    }
    Ok(out)
}

/// RFC 5908 §4: sub-option 1 an address, 2 a group, 3 a name.
fn ntp(text: &str) -> Option<Vec<u8>> {
    let (sub, bytes) = match text.parse::<Ipv6Addr>() {
        Ok(ip) => (if ip.is_multicast() { 2u16 } else { 1 }, ip.octets().to_vec()),
        Err(_) => (3, value::name(text)?),
    };
    let mut out = sub.to_be_bytes().to_vec();
    out.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend(bytes);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_every_name_is_unique() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].code < pair[1].code));
        let names: std::collections::HashSet<_> = REGISTRY.iter().map(|e| e.name).collect();
        assert_eq!(names.len(), REGISTRY.len());
        assert_eq!(
            (code_of("dns-servers"), code_of("224"), code_of("0"), code_of("x")),
            (Some(23), Some(224), None, None)
        );
    }

    #[test]
    fn each_type_reads_its_text() {
        let dns = [
            [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        ];
        assert_eq!(parse_value(23, "2001:db8::1, fd00::2"), Ok(dns.concat()));
        // RFC 9915 §10: "MUST NOT be stored in compressed form"
        assert_eq!(parse_value(24, "a.example b.example"), Ok(b"\x01a\x07example\0\x01b\x07example\0".to_vec()));
        assert_eq!(parse_value(56, "ntp.example"), Ok(b"\0\x03\0\x0d\x03ntp\x07example\0".to_vec()));
        assert_eq!(parse_value(56, "ff05::101").map(|v| v[..4].to_vec()), Ok(vec![0, 2, 0, 16]));
        assert_eq!(parse_value(60, "root=/dev/sda, quiet"), Ok(b"\0\x0droot=/dev/sda\0\x05quiet".to_vec()));
        assert_eq!(parse_value(103, "https://portal.example/api"), Ok(b"https://portal.example/api".to_vec()));
        assert_eq!(parse_value(32, "86400"), Ok(vec![0, 1, 0x51, 0x80]));
        assert_eq!(parse_value(17, "0x0000000a"), Ok(vec![0, 0, 0, 10]));
        assert_eq!(parse_value(23, "0x20010db8000000000000000000000001"), parse_value(23, "2001:db8::1"));
        assert!(parse_value(23, "0x20010db8").is_err(), "no address has four octets");
    }

    #[test]
    fn wrong_values_say_what_was_expected() {
        assert_eq!(parse_value(3, "x"), Err(Problem::Owned(3)));
        assert_eq!(parse_value(23, "10.0.0.1").unwrap_err().to_string(), "option 23: `10.0.0.1` is no IPv6 address");
        assert_eq!(parse_value(23, " "), Err(Problem::Nothing(23)));
        for (code, text) in [(32, "599"), (82, "59"), (83, "86401"), (32, "x"), (17, "0x123")] {
            assert!(matches!(parse_value(code, text), Err(Problem::Value { .. })), "{code} {text}");
        }
    }
}

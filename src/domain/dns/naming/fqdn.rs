//! DHCP option 81, the client's FQDN (RFC 4702). Owns its flags and both encodings of its name.

use crate::domain::dns::name::{Name, labels};

/// RFC 4702 §2.1: "the N, O, S and E bits".
const S: u8 = 1;
const O: u8 = 2;
const E: u8 = 4;
const N: u8 = 8;

/// Option 81 as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFqdn {
    /// S: the client wants the server to make the A record.
    pub server_updates: bool,
    /// N: the client wants no record from the server.
    pub no_update: bool,
    /// E: the name is in canonical wire format.
    pub wire: bool,
    /// The name as text with dots; may be empty (the server is to choose) or partial.
    pub name: Vec<u8>,
}

impl ClientFqdn {
    /// Reads flags, the two dead rcodes and the name; `None` if it is too short or its name malformed.
    pub fn parse(option: &[u8]) -> Option<ClientFqdn> {
        let [flags, _, _, name @ ..] = option else { return None };
        let wire = flags & E != 0;
        let name = if wire { from_wire(name)? } else { trim_nul(name).to_vec() };
        Some(ClientFqdn { server_updates: flags & S != 0, no_update: flags & N != 0, wire, name })
    }
}

/// RFC 4702 §2.1: "a client … MUST encode the name without compression"; a partial one has no root label.
fn from_wire(wire: &[u8]) -> Option<Vec<u8>> {
    let end = wire.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    let body = &wire[..end];
    if labels(body).map(|l| l.len() + 1).sum::<usize>() != body.len() {
        return None;
    }
    Some(labels(body).collect::<Vec<_>>().join(&b'.'))
}

fn trim_nul(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1)]
}

/// The server's option 81 in answer to the client's (DN-308), `None` if the client sent none that can be
/// read: the option "MUST NOT" be sent unless received (RFC 4702 §4). `fqdn` is the name that the lease
/// got; without one (N honoured) the reply says N=1, S=0.
pub fn reply81(option: &[u8], fqdn: Option<&str>) -> Option<Vec<u8>> {
    let client = ClientFqdn::parse(option)?;
    let encoding = if client.wire { E } else { 0 };
    let flags = match fqdn {
        None => N,
        Some(_) if client.server_updates => S,
        Some(_) => S | O,
    };
    // §2.2: "server SHOULD set the RCODE1 and RCODE2 fields to 255"
    let mut out = vec![flags | encoding, 255, 255];
    let name = fqdn.map_or(String::from_utf8_lossy(&client.name).into_owned(), str::to_owned);
    match Name::parse(&name) {
        Ok(wire) if client.wire => out.extend_from_slice(wire.as_wire()),
        _ if client.wire => out.push(0),
        _ => out.extend_from_slice(name.as_bytes()),
    }
    out.truncate(255);
    Some(out)
}

/// N of DHCPv6, which has it where option 81 has E (RFC 4704 §4.1).
const N6: u8 = 4;

/// DHCPv6 option 39 as the option 81 that says the same: its name is always in wire format, and the two
/// rcodes are missing (RFC 4704 §4). `None` if it is too short.
pub fn option81_of_39(option: &[u8]) -> Option<Vec<u8>> {
    let (flags, name) = option.split_first()?;
    let no_update = if flags & N6 != 0 { N } else { 0 };
    let mut out = vec![flags & S | E | no_update, 0, 0];
    out.extend_from_slice(name);
    Some(out)
}

/// The server's option 39 in answer to the client's; as [`reply81`].
pub fn reply39(option: &[u8], fqdn: Option<&str>) -> Option<Vec<u8>> {
    let reply = reply81(&option81_of_39(option)?, fqdn)?;
    let [flags, _, _, name @ ..] = reply.as_slice() else { return None };
    let no_update = if flags & N != 0 { N6 } else { 0 };
    let mut out = vec![flags & (S | O) | no_update];
    out.extend_from_slice(name);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_39_says_what_option_81_says() {
        let reply = |option: &[u8], name| reply39(option, name).unwrap();
        assert_eq!(reply(b"\x01\x02pc", Some("pc.lan")), b"\x01\x02pc\x03lan\x00");
        assert_eq!(reply(b"\x00\x02pc", Some("pc.lan")), b"\x03\x02pc\x03lan\x00");
        assert_eq!(reply(b"\x04\x02pc", None), b"\x04\x02pc\x00");
        assert_eq!(reply39(b"", Some("pc.lan")), None);
        let client = ClientFqdn::parse(&option81_of_39(b"\x05\x02pc").unwrap()).unwrap();
        assert_eq!((client.server_updates, client.no_update, client.name), (true, true, b"pc".to_vec()));
    }

    #[test]
    fn reads_both_encodings() {
        let ascii = ClientFqdn::parse(b"\x01\x00\x00pc.lan.example").unwrap();
        assert_eq!((ascii.server_updates, ascii.wire, ascii.name.as_slice()), (true, false, &b"pc.lan.example"[..]));
        let wire = ClientFqdn::parse(b"\x05\x00\x00\x02pc\x03lan\x00").unwrap();
        assert_eq!(wire.name, b"pc.lan");
        assert_eq!(ClientFqdn::parse(b"\x04\x00\x00\x02pc").unwrap().name, b"pc");
        assert_eq!(ClientFqdn::parse(b"\x04\x00\x00").unwrap().name, b"");
    }

    #[test]
    fn malformed_names_are_no_names() {
        for bad in [&b""[..], b"\x04\x00", b"\x04\x00\x00\x09pc", b"\x04\x00\x00\xc0\x0c", b"\x04\x00\x00\x40aa"] {
            assert_eq!(ClientFqdn::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_reply_sets_s_and_overrides_only_if_the_client_wanted_otherwise() {
        let reply = |option: &[u8], name| reply81(option, name).unwrap();
        assert_eq!(reply(b"\x01\x00\x00pc", Some("pc.lan")), b"\x01\xff\xffpc.lan");
        assert_eq!(reply(b"\x00\x00\x00pc", Some("pc.lan")), b"\x03\xff\xffpc.lan");
        assert_eq!(reply(b"\x05\x00\x00\x02pc", Some("pc.lan")), b"\x05\xff\xff\x02pc\x03lan\x00");
        assert_eq!(reply(b"\x0c\x00\x00\x02pc", None), b"\x0c\xff\xff\x02pc\x00");
        assert_eq!(reply81(b"\x00", Some("pc.lan")), None);
    }
}

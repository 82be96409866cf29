//! Values that consist of several parts: sub-options, vendor classes and options, encrypted resolvers.

use std::net::Ipv4Addr;

use super::{Type, Wrong, bytes, name, wrong};

/// Text to wire; elements are separated by commas. All of it may be given in hexadecimal after `0x`.
pub(super) fn read(kind: Type, text: &str) -> Result<Vec<u8>, Wrong> {
    let mut out = Vec::new();
    let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
    if text.starts_with("0x") {
        return bytes(text);
    }
    match kind {
        Type::Encapsulated => elements.into_iter().try_for_each(|e| sub_option(&mut out, e))?,
        Type::VendorClasses => elements.into_iter().try_for_each(|e| vendor_class(&mut out, e))?,
        Type::VendorOptions => vendor_options(&mut out, elements)?,
        _ => elements.into_iter().try_for_each(|e| resolver(&mut out, e))?,
    }
    if out.is_empty() { Err(Wrong::Nothing) } else { Ok(out) }
}

/// Octets behind a length of one octet.
fn short(out: &mut Vec<u8>, value: &[u8], whole: &str, expected: &'static str) -> Result<(), Wrong> {
    out.push(u8::try_from(value.len()).map_err(|_| wrong(whole, expected))?);
    out.extend(value);
    Ok(())
}

const SUB_OPTION: &str = "sub-option such as `1=text` or `2=0x0a`";

fn sub_option(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    let (code, value) = text.split_once('=').ok_or_else(|| wrong(text, SUB_OPTION))?;
    out.push(code.trim().parse().map_err(|_| wrong(text, SUB_OPTION))?);
    short(out, &bytes(value)?, text, SUB_OPTION)
}

const VENDOR_CLASS: &str = "vendor class such as `4491 text`";

/// RFC 3925 §3: enterprise, length, then data with a length before each.
fn vendor_class(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    let (enterprise, value) = text.split_once(char::is_whitespace).ok_or_else(|| wrong(text, VENDOR_CLASS))?;
    let enterprise: u32 = enterprise.parse().map_err(|_| wrong(text, VENDOR_CLASS))?;
    let mut datum = Vec::new();
    short(&mut datum, &bytes(value)?, text, VENDOR_CLASS)?;
    out.extend(enterprise.to_be_bytes());
    short(out, &datum, text, VENDOR_CLASS)
}

const VENDOR_OPTION: &str = "vendor option such as `4491.1=text`";

/// RFC 3925 §4: the options of one enterprise together.
fn vendor_options<'t>(out: &mut Vec<u8>, elements: impl Iterator<Item = &'t str>) -> Result<(), Wrong> {
    let mut blocks: Vec<(u32, Vec<u8>, &str)> = Vec::new();
    for text in elements {
        let (enterprise, option) = text.split_once('.').ok_or_else(|| wrong(text, VENDOR_OPTION))?;
        let enterprise: u32 = enterprise.parse().map_err(|_| wrong(text, VENDOR_OPTION))?;
        let at = blocks.iter().position(|(known, ..)| *known == enterprise).unwrap_or_else(|| {
            blocks.push((enterprise, Vec::new(), text));
            blocks.len() - 1
        });
        sub_option(&mut blocks[at].1, option)?;
    }
    for (enterprise, block, text) in blocks {
        out.extend(enterprise.to_be_bytes());
        short(out, &block, text, VENDOR_OPTION)?;
    }
    Ok(())
}

const RESOLVER: &str = "resolver such as `1 dns.example 192.0.2.1 alpn=dot`";

/// RFC 9463 §5.1: length, priority, name, addresses, service parameters (RFC 9460 §2.2).
fn resolver(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    let refuse = || wrong(text, RESOLVER);
    let mut words = text.split_whitespace();
    let priority: u16 = words.next().and_then(|word| word.parse().ok()).ok_or_else(refuse)?;
    let mut instance = priority.to_be_bytes().to_vec();
    short(&mut instance, &words.next().and_then(name).ok_or_else(refuse)?, text, RESOLVER)?;
    let (parameters, addresses): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
    let mut octets = Vec::new();
    for address in &addresses {
        octets.extend(address.parse::<Ipv4Addr>().map_err(|_| refuse())?.octets());
    }
    // without an address the instance ends behind the name (RFC 9463 §3.1.6: ADN-only mode)
    if octets.is_empty() != parameters.is_empty() {
        return Err(refuse());
    }
    if !octets.is_empty() {
        short(&mut instance, &octets, text, RESOLVER)?;
        let mut values: Vec<(u16, Vec<u8>)> =
            parameters.into_iter().map(parameter).collect::<Option<_>>().ok_or_else(refuse)?;
        values.sort();
        for (key, value) in values {
            instance.extend(key.to_be_bytes());
            instance.extend(u16::try_from(value.len()).map_err(|_| refuse())?.to_be_bytes());
            instance.extend(value);
        }
    }
    out.extend(u16::try_from(instance.len()).map_err(|_| refuse())?.to_be_bytes());
    out.extend(instance);
    Ok(())
}

/// The parameters that resolvers have: `alpn=dot+doq`, `port=853`, `dohpath=/dns-query{?dns}`.
fn parameter(text: &str) -> Option<(u16, Vec<u8>)> {
    let (key, value) = text.split_once('=')?;
    Some(match key {
        "alpn" => {
            let mut out = Vec::new();
            for protocol in value.split('+').filter(|protocol| !protocol.is_empty()) {
                out.push(u8::try_from(protocol.len()).ok()?);
                out.extend(protocol.as_bytes());
            }
            (1, out)
        }
        "port" => (3, value.parse::<u16>().ok()?.to_be_bytes().to_vec()),
        "dohpath" => (7, value.as_bytes().to_vec()),
        _ => return None,
    })
}

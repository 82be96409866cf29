//! How places in a message are written: `option[60]`, `relay.circuit_id`, `pkt4.mac`, `vendor[4491].option[1]`.

use super::ExprError;
use super::expr::Access;
use super::lex::Token;
use super::parse::{Parser, field};
use super::subject::{Field, RelayPart};

/// The place that begins with this word; `None` if none does.
pub(super) fn read(parser: &mut Parser<'_>, word: &str) -> Result<Option<Access>, ExprError> {
    Ok(Some(match word {
        "option" => option(parser)?,
        "relay" | "relay4" => relay(parser)?,
        "relay6" => relay6(parser)?,
        "pkt" | "pkt4" | "pkt6" => Access::Field(packet(parser)?),
        "vendor" => vendor(parser)?,
        "vendor-class" => vendor_class(parser)?,
        _ => match field(word) {
            Some(field) => Access::Field(field),
            None => return Ok(None),
        },
    }))
}

fn option(parser: &mut Parser<'_>) -> Result<Access, ExprError> {
    let code = code(parser)?;
    let mut subs = Vec::new();
    // what follows the dot may also be `.hex` and its like
    while parser.follows(&["sub", "option"]) {
        parser.expect('.')?;
        parser.name("`sub`")?;
        parser.expect('[')?;
        subs.push(narrow(parser.number(65_535)?));
        parser.expect(']')?;
    }
    Ok(Access::Option(code, subs))
}

/// `[n]`, or `[name]`.
fn code(parser: &mut Parser<'_>) -> Result<u16, ExprError> {
    parser.expect('[')?;
    let code = match parser.peek() {
        Some(Token::Word(name)) => {
            let code = (parser.names)(&name.replace('_', "-"));
            let code = code.ok_or_else(|| parser.error(format!("there is no option `{name}`")))?;
            parser.name("an option")?;
            code
        }
        _ => narrow(parser.number(65_535)?),
    };
    parser.expect(']')?;
    Ok(code)
}

fn narrow(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn relay(parser: &mut Parser<'_>) -> Result<Access, ExprError> {
    if parser.sign('[') {
        let sub = narrow(parser.number(255)?);
        parser.expect(']')?;
        return Ok(Access::Relay(sub));
    }
    parser.expect('.')?;
    let name = parser.name("what of the relay")?;
    Ok(Access::Field(match name.as_str() {
        "circuit_id" => Field::CircuitId,
        "remote_id" => Field::RemoteId,
        "subscriber_id" => Field::SubscriberId,
        "giaddr" => Field::Giaddr,
        "link" => Field::Link,
        _ => return Err(parser.back("circuit_id, remote_id, subscriber_id, giaddr or link is missing")),
    }))
}

fn relay6(parser: &mut Parser<'_>) -> Result<Access, ExprError> {
    parser.expect('[')?;
    let level = parser.signed()?;
    let level = i8::try_from(level).map_err(|_| parser.back("a level from -128 to 127 is needed"))?;
    parser.expect(']')?;
    parser.expect('.')?;
    let name = parser.name("`option`, `peeraddr` or `linkaddr`")?;
    let part = match name.as_str() {
        "peeraddr" => RelayPart::Peer,
        "linkaddr" => RelayPart::Link,
        "option" => {
            parser.expect('[')?;
            let code = narrow(parser.number(65_535)?);
            parser.expect(']')?;
            RelayPart::Option(code)
        }
        _ => return Err(parser.back("option[N], peeraddr or linkaddr is missing")),
    };
    Ok(Access::Relay6(level, part))
}

fn packet(parser: &mut Parser<'_>) -> Result<Field, ExprError> {
    parser.expect('.')?;
    let name = parser.name("a field of the packet")?;
    Ok(match name.as_str() {
        "mac" => Field::Mac,
        "hlen" => Field::HardwareLength,
        "htype" => Field::HardwareType,
        "ciaddr" => Field::Ciaddr,
        "giaddr" => Field::Giaddr,
        "yiaddr" => Field::Yiaddr,
        "siaddr" => Field::Siaddr,
        "msgtype" => Field::MessageType,
        "transid" => Field::TransactionId,
        "iface" => Field::Interface,
        "src" => Field::Source,
        "dst" => Field::Destination,
        "len" => Field::Length,
        _ => return Err(parser.back("there is no such field of the packet")),
    })
}

/// `[4491]`, or `[*]` for any.
fn enterprise(parser: &mut Parser<'_>) -> Result<Option<u32>, ExprError> {
    parser.expect('[')?;
    let enterprise = if parser.sign('*') { None } else { Some(parser.number(u32::MAX)?) };
    parser.expect(']')?;
    Ok(enterprise)
}

fn vendor(parser: &mut Parser<'_>) -> Result<Access, ExprError> {
    if parser.follows(&["enterprise"]) {
        parser.expect('.')?;
        parser.name("`enterprise`")?;
        return Ok(Access::VendorEnterprise);
    }
    let enterprise = enterprise(parser)?;
    let mut code = None;
    if parser.follows(&["option"]) {
        parser.expect('.')?;
        parser.name("`option`")?;
        parser.expect('[')?;
        code = Some(narrow(parser.number(65_535)?));
        parser.expect(']')?;
    }
    Ok(Access::Vendor(enterprise, code))
}

fn vendor_class(parser: &mut Parser<'_>) -> Result<Access, ExprError> {
    if parser.follows(&["enterprise"]) {
        parser.expect('.')?;
        parser.name("`enterprise`")?;
        return Ok(Access::VendorClassEnterprise);
    }
    let enterprise = enterprise(parser)?;
    let mut number = 0;
    if parser.follows(&["data"]) {
        parser.expect('.')?;
        parser.name("`data`")?;
        if parser.sign('[') {
            number = parser.number(255)? as usize;
            parser.expect(']')?;
        }
    }
    Ok(Access::VendorClass(enterprise, number))
}

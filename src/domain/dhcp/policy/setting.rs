//! Options that levels of the configuration set, and what `${..}` in them stands for. Owns the step from
//! text to the bytes for one client.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::super::options::Form;
use super::super::value::{self, Problem};
use super::super::wire::code;
use crate::domain::net::Mac;

/// An option that a level of the configuration sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub code: u8,
    pub value: Value,
    /// Sent even if the client did not ask for it.
    pub force: bool,
    /// `file:line`, if it comes from a configuration.
    pub at: Option<Arc<str>>,
}

impl Setting {
    /// As [`Setting::parse`], in a form that the configuration defines.
    pub fn parse_form(code: u8, form: Form, text: &str, force: bool) -> Result<Setting, Problem> {
        let value = if text.contains("${") {
            value::parse_form(code, form, &Placeholders::example().fill(text))?;
            Value::Typed(text.to_owned(), form)
        } else {
            Value::Wire(value::parse_form(code, form, text)?)
        };
        Ok(Setting { code, value, force, at: None })
    }

    /// A setting from text, checked now if it holds no `${..}`.
    pub fn parse(code: u8, text: &str, force: bool) -> Result<Setting, Problem> {
        let value = if text.contains("${") {
            // every placeholder stands for something of the right type in its place, or for text
            let example = value::parse_value(code, &Placeholders::example().fill(text))?;
            let address = text.trim() == SERVER_IP && example == Placeholders::example().server_ip.octets();
            if address { Value::ServerIp } else { Value::Text(text.to_owned()) }
        } else {
            Value::Wire(value::parse_value(code, text)?)
        };
        Ok(Setting { code, value, force, at: None })
    }
}

const SERVER_IP: &str = "${server_ip}";

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Ready bytes.
    Wire(Vec<u8>),
    /// Our address towards the client: what `${server_ip}` alone says of an option of addresses.
    ServerIp,
    /// Text with `${mac}`, `${ip}`, `${server_ip}`, `${http_url}`, encoded per client.
    Text(String),
    /// Text with placeholders of an option that the configuration defines.
    Typed(String, Form),
    /// Option 125: sub-options as below, by enterprise.
    Vendor(Vec<(u32, Vec<(u8, String)>)>),
    /// Option 43 and its like: sub-options with text (escapes and placeholders allowed) each.
    Sub(Vec<(u8, String)>),
}

impl Value {
    /// The bytes for one client; `None` if a placeholder makes the text no value of that option.
    pub fn wire(&self, code: u8, placeholders: &Placeholders) -> Option<Vec<u8>> {
        match self {
            Value::Wire(bytes) => Some(bytes.clone()),
            Value::ServerIp => Some(placeholders.server_ip.octets().to_vec()),
            Value::Text(text) => value::parse_value(code, &placeholders.fill(text)).ok(),
            Value::Typed(text, form) => value::parse_form(code, *form, &placeholders.fill(text)).ok(),
            Value::Sub(subs) => sub_options(subs, placeholders),
            Value::Vendor(blocks) => {
                let mut out = Vec::new();
                for (enterprise, subs) in blocks {
                    let block = sub_options(subs, placeholders)?;
                    out.extend(enterprise.to_be_bytes());
                    out.push(u8::try_from(block.len()).ok()?);
                    out.extend(block);
                }
                Some(out)
            }
        }
    }
}

fn sub_options(subs: &[(u8, String)], placeholders: &Placeholders<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (sub, text) in subs {
        let bytes = value::unescape(&placeholders.fill(text))?;
        out.extend([*sub, u8::try_from(bytes.len()).ok()?]);
        out.extend(bytes);
    }
    Some(out)
}

/// What `${..}` stands for in one reply.
#[derive(Debug, Clone)]
pub struct Placeholders<'a> {
    pub mac: Option<Mac>,
    pub ip: Ipv4Addr,
    pub server_ip: Ipv4Addr,
    /// May hold `${server_ip}`.
    pub http_url: &'a str,
}

impl Placeholders<'_> {
    /// Values of the right kind, to check texts with.
    pub fn example() -> Placeholders<'static> {
        let ip = Ipv4Addr::new(192, 0, 2, 1);
        Placeholders { mac: Some(Mac([2, 0, 0, 0, 0, 1])), ip, server_ip: ip, http_url: "http://192.0.2.1:8667" }
    }

    /// The text with its placeholders replaced; unknown ones stay as they are.
    pub fn fill(&self, text: &str) -> String {
        let mut out = text.to_owned();
        // most texts hold one placeholder or none, and every reply fills some
        let mut put = |name: &str, value: &dyn Fn() -> String| {
            if out.contains(name) {
                out = out.replace(name, &value());
            }
        };
        if text.contains("${") {
            put("${http_url}", &|| self.http_url.to_owned());
            put(SERVER_IP, &|| self.server_ip.to_string());
            put("${ip}", &|| self.ip.to_string());
            put("${mac}", &|| self.mac.map(|mac| mac.to_string()).unwrap_or_default());
            put("${mac_hex}", &|| self.mac.map(Mac::hex).unwrap_or_default());
        }
        out
    }
}

/// Options that the server makes itself and no setting may carry, beside those the registry calls owned.
pub fn settable(code: u8) -> bool {
    !matches!(code, code::PAD | code::END) && !super::super::options::by_code(code).is_some_and(|entry| entry.owned)
}

//! What would be learned from a request, and why, without a daemon: the logic of `lanlord classify` and of
//! `POST /provisioning/classify` (PR-14). Writes nothing.

use std::net::IpAddr;

use super::extract::{Clues, Extractor};
use super::route::{Name, Router};
use crate::domain::net::Mac;

/// How the request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Http,
    Tftp,
    Dhcp,
}

/// A request, as far as it is given.
#[derive(Debug, Clone)]
pub struct Question {
    pub protocol: Protocol,
    pub user_agent: Option<Vec<u8>>,
    /// Raw path of HTTP, with its query if it has one, or name of TFTP.
    pub path: Option<Vec<u8>>,
    /// DHCPv4 options by code.
    pub options: Vec<(u8, Vec<u8>)>,
    pub ip: Option<IpAddr>,
    /// Hardware address of the sender, if it is known.
    pub mac: Option<Mac>,
}

/// What is learned, and the steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub version: Option<String>,
    /// With colons, lower-case.
    pub mac: Option<String>,
    pub sn: Option<String>,
    pub uuid: Option<String>,
    /// Id of the plugin that the device would get.
    pub plugin: Option<String>,
    /// One sentence per rule that matched, best first, then what follows from them.
    pub explanation: Vec<String>,
}

/// Runs extraction and says what it would lead to.
pub fn classify(extractor: &Extractor, router: &Router, question: &Question) -> Answer {
    let (path, query) = split(question);
    let name = path.as_deref().map(|p| match question.protocol {
        Protocol::Http => Name::from_http(p),
        Protocol::Tftp | Protocol::Dhcp => Name::from_tftp(p),
    });
    let bytes = name.as_ref().and_then(|n| n.as_ref().ok()).map(Name::bytes);
    let mac = question.mac.or_else(|| hardware(question));
    let clues = Clues {
        user_agent: question.user_agent.as_deref(),
        http_path: bytes.filter(|_| question.protocol == Protocol::Http),
        http_query: query.as_deref(),
        tftp_path: bytes.filter(|_| question.protocol == Protocol::Tftp),
        dhcp: question.options.iter().map(|(code, value)| (*code, value.as_slice())).collect(),
        mac,
    };
    let found = extractor.identify(&clues);
    let best = found.best();
    let mut explanation: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    if let Some(Err(why)) = &name {
        explanation.push(format!("the path is refused before any rule sees it: {why:?}"));
    }
    explanation.push(match best {
        None => "no rule names a vendor: this creates no device".to_owned(),
        Some(f) if found.vendor_known() => {
            format!("{} decides; with a bound MAC this creates a device, without one it does not", f.name())
        }
        Some(f) => format!("{} is too weak a sign ({}) to create a device by itself", f.name(), f.level),
    });
    if let Some(Ok(name)) = &name {
        let route = router.route(best.map(|f| f.plugin.as_str()), name);
        explanation.push(route.map_or_else(
            || "no file answers to that name".to_owned(),
            |r| format!("the name is answered by {} of {} (scope {:?})", r.file.template, r.plugin.id, r.file.scope),
        ));
    }
    if let Some(ip) = question.ip {
        explanation.push(format!(
            "{ip} by itself identifies nobody: only its lease, a static entry or a neighbour entry binds it to a MAC"
        ));
    }
    Answer {
        vendor: found.fields.vendor.clone(),
        model: found.fields.model.clone(),
        version: found.fields.version.clone(),
        mac: found.fields.mac.or(mac).map(|m| m.to_string()),
        sn: found.fields.sn.clone(),
        uuid: found.fields.uuid.clone(),
        plugin: best.map(|f| f.plugin.clone()),
        explanation,
    }
}

fn split(question: &Question) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let Some(path) = &question.path else { return (None, None) };
    match path.iter().position(|b| *b == b'?').filter(|_| question.protocol == Protocol::Http) {
        Some(at) => (Some(path[..at].to_vec()), Some(path[at + 1..].to_vec())),
        None => (Some(path.clone()), None),
    }
}

/// RFC 2132 §9.14: a client identifier of type 1 is an Ethernet address.
fn hardware(question: &Question) -> Option<Mac> {
    let id = question.options.iter().find(|(code, _)| *code == 61).map(|(_, value)| value)?;
    let octets: [u8; 6] = id.strip_prefix(&[1])?.try_into().ok()?;
    Some(Mac(octets)).filter(|mac| mac.is_identity())
}

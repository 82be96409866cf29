//! What a client would get and why: every value with its source and what it overrode (DH-310). Decides as
//! the server does, and has no effect.

use std::net::Ipv4Addr;

use super::levels::Source;
use super::reply::Keep;
use super::{Asked, Case, Facts, Now, Request, Silence, proxy};
use crate::domain::dhcp::options;
use crate::domain::dhcp::policy::{Placeholders, Policy};
use crate::domain::dhcp::value::show_value;
use crate::domain::dhcp::wire::code;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Name of the option or field.
    pub name: String,
    /// Code of the option; `None` for fields of the header and the lease time.
    pub code: Option<u8>,
    pub value: String,
    pub source: String,
    /// Whether a reply to this request carries it.
    pub sent: bool,
    /// What weaker levels say, the strongest of them first.
    pub overrode: Vec<(String, String)>,
}

/// Everything about one client on one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub network: String,
    pub subnet: String,
    /// The address that it has, or would be offered.
    pub ip: Option<Ipv4Addr>,
    pub reservation: Option<String>,
    pub classes: Vec<String>,
    pub values: Vec<Explained>,
}

/// All words about one option, the last one counts.
struct Words {
    code: u8,
    force: bool,
    said: Vec<(Vec<u8>, String)>,
}

impl<'s> Keep<'s> for Vec<Words> {
    fn put(&mut self, code: u8, value: Vec<u8>, force: bool, source: Source<'s>, at: Option<&'s str>) {
        let place = at.map(|at| format!(" ({at})")).unwrap_or_default();
        let word = (value, format!("{source}{place}"));
        match self.iter_mut().find(|words| words.code == code) {
            Some(words) => {
                words.force |= force;
                words.said.push(word);
            }
            None => self.push(Words { code, force, said: vec![word] }),
        }
    }

    fn value(&self, code: u8) -> Option<&[u8]> {
        let words = self.iter().find(|words| words.code == code)?;
        words.said.last().map(|(value, _)| value.as_slice())
    }

    fn amend(&mut self, code: u8, value: Vec<u8>) {
        let words = self.iter_mut().find(|words| words.code == code);
        if let Some((last, _)) = words.and_then(|words| words.said.last_mut()) {
            *last = value;
        }
    }
}

/// Explains what this request would lead to; the reason if it would lead to nothing.
pub fn explain(request: &Request<'_>, facts: &Facts<'_>, policy: &Policy, now: Now) -> Result<Explanation, Silence> {
    let place = request.place(policy)?;
    let asked = Asked::new(request, *facts, policy, place);
    let case = Case::new(request, *facts, policy, now, place, &asked);
    if let Some(why) = case.refused() {
        return Err(why);
    }
    if !policy.networks[place.network].proxy {
        return Ok(case.explained());
    }
    if !proxy::boots(request) {
        return Err(Silence::NotBooting);
    }
    let mut explanation = case.explained();
    // the rest is the other server's
    explanation.values.retain(of_booting);
    Ok(explanation)
}

/// True for what is said beside another server: the boot fields, their options, and those of boot rules.
fn of_booting(value: &Explained) -> bool {
    const OPTIONS: [u8; 5] = [code::VENDOR, code::VENDOR_CLASS, code::TFTP_SERVER, code::BOOT_FILE, code::PXE_UUID];
    match value.code {
        Some(code) => OPTIONS.contains(&code) || value.source.starts_with("boot rule"),
        None => value.name != "lease_time",
    }
}

impl Case<'_> {
    fn explained(&self) -> Explanation {
        let ip = self.bound().or_else(|| self.choose());
        let at = ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let place = self.place_of(at);
        let fill = self.placeholders(at);
        let levels = self.levels(at, place);
        let boot = self.boot_fields(&levels, &fill);
        let mut words: Vec<Words> = Vec::new();
        self.choose_options(&mut words, place, &levels, &fill, &boot);
        let (times, source) = self.times(at, place);
        let field = |name: &str, value: String, source: String, overrode| Explained {
            name: name.to_owned(),
            code: None,
            value,
            source,
            sent: true,
            overrode,
        };
        let mut values = vec![field("lease_time", format!("{} s", times.default), source.to_string(), Vec::new())];
        for name in ["next_server", "server_name", "boot_file"] {
            let mut said = self.boot_words(name, &levels, &fill);
            if !said.is_empty() {
                let (value, source) = said.remove(0);
                values.push(field(name, value, source, said));
            }
        }
        words.sort_by_key(|words| words.code);
        values.extend(words.into_iter().map(|words| self.option(words)));
        Explanation {
            network: self.policy.networks[place.network].name.clone(),
            subnet: self.policy.subnet(place).prefix.to_string(),
            ip,
            reservation: self.reserved.map(|reservation| Source::Reservation(reservation).to_string()),
            classes: self.member.classes().map(|class| class.name.clone()).collect(),
            values,
        }
    }

    fn option(&self, mut words: Words) -> Explained {
        let requested = &self.request.requested;
        let shown = |(value, source): (Vec<u8>, String)| (show_value(words.code, &value), source);
        let (value, source) = words.said.pop().map(shown).unwrap_or_default();
        Explained {
            name: options::by_code(words.code).map_or_else(|| words.code.to_string(), |entry| entry.name.to_owned()),
            code: Some(words.code),
            value,
            source,
            sent: words.force || requested.is_empty() || requested.contains(&words.code),
            overrode: words.said.into_iter().rev().map(shown).collect(),
        }
    }

    /// What the levels say about one boot field, the strongest first.
    fn boot_words(
        &self,
        name: &str,
        levels: &[super::levels::Level<'_>],
        fill: &Placeholders<'_>,
    ) -> Vec<(String, String)> {
        let mut out = Vec::new();
        if let Some(reservation) = self.reserved {
            let boot = &reservation.boot;
            let value = match name {
                "next_server" => boot.next_server.map(|ip| ip.to_string()),
                "server_name" => boot.server_name.clone(),
                _ => boot.boot_file.clone(),
            };
            out.extend(value.map(|value| (value, Source::Reservation(reservation).to_string())));
        }
        for level in levels.iter().rev() {
            let Some(boot) = level.boot else { continue };
            let value = match name {
                "next_server" => boot.next_server.as_ref().and_then(|s| s.address(fill)).map(|ip| ip.to_string()),
                "server_name" => boot.server_name.as_ref().map(|text| fill.fill(text)),
                _ => boot.file.as_ref().map(|text| fill.fill(text)),
            };
            out.extend(value.map(|value| (value, level.source.to_string())));
        }
        out
    }
}

//! What a plugin says about DHCP, as the recipes that leasing decides with. Owns their order: a recipe by
//! vendor class comes before every one by vendor block, so a phone that names itself is never served as
//! somebody with the same block (PR-26); after that by plugin id and by position in the plugin.

use super::extract::compile;
use super::plugin::{DhcpRecipe, DhcpSend, DhcpValue, Plugin, Rule, Source, TlvValue};
use crate::domain::dhcp::policy::{Boot, Match, Recipe, Server, Setting, Value};

/// What a device says of itself, the most telling first: vendor class, vendor class by enterprise, user
/// class, architecture.
const BY_OPTION: [u8; 4] = [60, 124, 77, 93];

/// The recipes of all plugins. `dns` says that clients may ask us for names: what a plugin sends as the
/// address of a name server is left out otherwise.
pub fn recipes(plugins: &[Plugin], dns: bool) -> Vec<Recipe> {
    let of_source = |source: Source| {
        plugins.iter().flat_map(move |plugin| {
            plugin.dhcp.iter().flat_map(move |recipe| {
                let rules = recipe.when.iter().filter_map(|id| plugin.rule(id)).filter(move |r| r.source == source);
                rules.filter_map(move |rule| one(plugin, recipe, rule, dns))
            })
        })
    };
    let named = BY_OPTION.into_iter().flat_map(|code| of_source(Source::Dhcp(code)));
    named.chain(of_source(Source::Oui)).collect()
}

fn one(plugin: &Plugin, recipe: &DhcpRecipe, rule: &Rule, dns: bool) -> Option<Recipe> {
    let when = match rule.source {
        Source::Oui => Match { oui: rule.oui.clone(), ..Match::default() },
        Source::Dhcp(code) => {
            let pattern = compile(&padded(rule.regex.as_deref()?)).ok()?;
            Match { patterns: vec![(code.into(), pattern)], ..Match::default() }
        }
        _ => return None,
    };
    Some(Recipe {
        name: format!("{}/{}", plugin.id, rule.id),
        when,
        settings: recipe.send.iter().filter_map(|send| setting(send, recipe.force, dns)).collect(),
        boot: Boot {
            next_server: recipe.siaddr.as_deref().and_then(|text| Server::parse(&placeholders(text))),
            server_name: None,
            file: recipe.file.as_deref().map(placeholders),
        },
    })
}

/// Some clients end their class with NULs.
fn padded(pattern: &str) -> String {
    pattern.strip_suffix('$').map_or_else(|| pattern.to_owned(), |start| format!(r"{start}\x00*$"))
}

/// `{{ .. }}` of plugins as `${..}` of DHCP: the file server and the name server are the DHCP server's
/// address, as this client sees it.
fn placeholders(text: &str) -> String {
    text.replace("{{ http_url }}", "${http_url}")
        .replace("{{ tftp_ip }}", "${server_ip}")
        .replace("{{ dns_ip }}", "${server_ip}")
}

/// DH-405: a backslash begins an escape.
fn escaped(text: &str) -> String {
    placeholders(&text.replace('\\', r"\\"))
}

fn setting(send: &DhcpSend, force: bool, dns: bool) -> Option<Setting> {
    let value = match &send.value {
        DhcpValue::Text(text) => Value::Text(escaped(text)),
        DhcpValue::Addresses(list) => {
            let usable = list.iter().filter(|address| dns || !address.contains("dns_ip"));
            let text = usable.map(|a| placeholders(a)).collect::<Vec<_>>().join(", ");
            (!text.is_empty()).then_some(Value::Text(text))?
        }
        DhcpValue::Tlv(subs) => Value::Sub(subs.iter().map(|(code, value)| (*code, sub_text(value))).collect()),
    };
    Some(Setting { code: send.option, value, force, at: None })
}

fn sub_text(value: &TlvValue) -> String {
    match value {
        TlvValue::Text(text) => escaped(text),
        TlvValue::Byte(byte) => format!(r"\x{byte:02x}"),
    }
}

//! What phones have in common: the values of the stock configs, in the spelling of the phones' settings.
//! Owns their translation from TOML; the settings themselves judge them. Refuses secrets: this file is
//! read by people (AP-407).

use toml::Spanned;
use toml::de::DeValue;

use super::raw::Section;
use crate::domain::device::Value;
use crate::domain::phone::settings::{Values, map_secrets, validate};

/// A table of settings under `key`, with every complaint about it.
pub(super) fn values(section: &Section<'_>, key: &str) -> Values {
    let Some(table) = section.value(key) else { return Values::new() };
    let Some(Value::Map(values)) = value(table.get_ref()) else {
        let message =
            format!("`{key}` must be a table of texts, whole numbers, true, false, lists and tables of these");
        section.doc.complain(&table.span(), message, None);
        return Values::new();
    };
    for fault in validate(&values) {
        section.doc.complain(&place(table, &fault.key), format!("`{key}`: {fault}"), None);
    }
    map_secrets(&values, &mut |secret, value| {
        let message = format!("`{key}`: `{secret}` is a secret and does not belong in this file");
        section.doc.complain(&place(table, secret), message, None);
        value.clone()
    });
    values
}

/// Where a dotted key stands, or the deepest table on the way to it.
fn place(table: &Spanned<DeValue<'_>>, dotted: &str) -> std::ops::Range<usize> {
    let (mut at, mut span) = (table.get_ref(), table.span());
    for name in dotted.split('.') {
        let Some((key, inner)) = at.as_table().and_then(|t| t.get_key_value(name)) else { break };
        (at, span) = (inner.get_ref(), key.span());
    }
    span
}

fn value(found: &DeValue<'_>) -> Option<Value> {
    Some(match found {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(number) => Value::Int(i64::from_str_radix(number.as_str(), number.radix()).ok()?),
        DeValue::Array(items) => Value::List(items.iter().map(|i| value(i.get_ref())).collect::<Option<_>>()?),
        DeValue::Table(table) => {
            let pair = |(key, inner): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                value(inner.get_ref()).map(|inner| (key.to_string(), inner))
            };
            Value::Map(table.iter().map(pair).collect::<Option<_>>()?)
        }
        DeValue::Float(_) | DeValue::Datetime(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Problems, parse};
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match parse(Path::new("t.toml"), text) {
            Ok(_) => Vec::new(),
            Err(Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn phones_share_what_the_file_says() {
        let text = "[provisioning.base]\ntimezone = \"Europe/Paris\"\nsip_proxy_ip = \"10.77.0.5\"\nsip_proxy_port = 5062\n\
                    [provisioning.template]\nsip_lines = { 1 = { username = \"guest\", display_name = \"Guest\" } }\n";
        let config = parse(Path::new("t.toml"), text).expect("valid");
        assert_eq!(config.provisioning.base["sip_proxy_port"], Value::Int(5062));
        let Value::Map(lines) = &config.provisioning.template["sip_lines"] else { panic!("a table") };
        assert!(matches!(&lines["1"], Value::Map(line) if line["username"] == Value::Text("guest".to_owned())));
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_place() {
        let found = problems("[provisioning.base]\nsip_proxy_ip = 5\nsip_prxy_port = 5060\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("t.toml:2:1: `base`: `sip_proxy_ip`"), "{found:?}");
        assert!(found[1].starts_with("t.toml:3:1: `base`: `sip_prxy_port`"), "{found:?}");
    }

    #[test]
    fn secrets_are_refused() {
        let found = problems("[provisioning]\nbase = { admin_password = \"x\" }\n");
        assert_eq!(found, ["t.toml:2:10: `base`: `admin_password` is a secret and does not belong in this file"]);
    }
}

//! What a plugin must not do (PR-28), judged before it is used: `lanlord plugin lint`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::extract::{Extractor, FIELDS, compile};
use super::plugin::{Escape, FileRule, Plugin, Rule, Scope, Source};
use super::render::Renderer;
use super::route::{Name, Router};

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub plugin: String,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}: {}", self.plugin, self.message)
    }
}

/// All faults of all plugins, those between plugins included.
pub fn lint(plugins: &Arc<[Plugin]>) -> Vec<Fault> {
    let (extractor, bad) = Extractor::new(plugins.clone());
    let mut faults: Vec<Fault> = bad
        .into_iter()
        .map(|b| Fault { plugin: b.plugin, message: format!("match `{}`: {}", b.rule, b.reason) })
        .collect();
    let (_, bad) = Renderer::new(plugins);
    faults.extend(
        bad.into_iter().map(|b| Fault { message: format!("template {}: {}", b.template, b.reason), plugin: b.plugin }),
    );
    let router = Router::new(plugins.clone());
    for plugin in plugins.iter() {
        let mut say = |message: String| faults.push(Fault { plugin: plugin.id.clone(), message });
        plugin.rules.iter().for_each(|rule| rule_faults(plugin, rule, &mut say));
        plugin.files.iter().for_each(|file| file_faults(plugin, file, &mut say));
        recipe_faults(plugin, &mut say);
        sample_faults(plugin, &extractor, &mut say);
        file_sample_faults(plugin, &router, &mut say);
    }
    faults
}

type Say<'a> = &'a mut dyn FnMut(String);

fn rule_faults(plugin: &Plugin, rule: &Rule, say: Say<'_>) {
    let groups: Vec<String> = rule
        .regex
        .as_deref()
        .and_then(|pattern| compile(pattern).ok())
        .map(|regex| regex.capture_names().flatten().map(str::to_owned).collect())
        .unwrap_or_default();
    for name in groups.iter().chain(rule.set.keys()).filter(|name| !FIELDS.contains(&name.as_str())) {
        say(format!("match `{}`: `{name}` is no field (expected one of {})", rule.id, FIELDS.join(", ")));
    }
    if rule.set.get("vendor").is_some_and(|vendor| *vendor != plugin.vendor) {
        say(format!("match `{}`: sets another vendor than `{}`", rule.id, plugin.vendor));
    }
    if rule.source != Source::Oui && !plugin.samples.iter().any(|s| s.rule == rule.id) {
        say(format!("match `{}` has no sample", rule.id));
    }
    if plugin.rules.iter().filter(|r| r.id == rule.id).count() > 1 {
        say(format!("match `{}` is there twice", rule.id));
    }
}

fn file_faults(plugin: &Plugin, file: &FileRule, say: Say<'_>) {
    let mut fault = |what: &str| say(format!("file `{}`: {what}", file.request));
    match compile(&file.request) {
        Err(why) => fault(&why),
        Ok(regex) => {
            if file.scope == Scope::Device && !regex.capture_names().flatten().any(|name| name == "mac") {
                fault("a device file needs a group `mac`");
            }
            if !(file.request.starts_with("^/") && file.request.ends_with('$')) {
                fault("the pattern must hold the whole name: `^/...$`");
            }
        }
    }
    if file.scope == Scope::Static {
        if file.escape != Escape::None || !plugin.statics.contains_key(&file.template) {
            fault("a static file has escape `none` and exists in static/");
        }
        return;
    }
    if file.escape == Escape::None {
        fault("escape `none` is for static files");
    }
    if file.secret && file.scope != Scope::Device {
        fault("only a device file may hold secrets");
    }
    let Some(source) = plugin.templates.get(&file.template) else {
        return fault(&format!("template `{}` is missing", file.template));
    };
    for expression in expressions(source) {
        if ["safe", "autoescape"].iter().any(|word| words(expression).any(|w| w == *word)) {
            fault(&format!("`{}` would be written without escaping", expression.trim()));
        }
        let private = |w: &str| w == "device" || w == "lines" || w.contains("password") || w == "sip_local_key";
        if file.scope != Scope::Device && words(expression).any(private) {
            fault(&format!("a file for all phones must not name `{}`", expression.trim()));
        }
    }
}

/// The insides of `{{ }}` and `{% %}`.
fn expressions(source: &str) -> impl Iterator<Item = &str> {
    source
        .split("{{")
        .skip(1)
        .filter_map(|part| part.split("}}").next())
        .chain(source.split("{%").skip(1).filter_map(|part| part.split("%}").next()))
}

fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| !w.is_empty())
}

fn recipe_faults(plugin: &Plugin, say: Say<'_>) {
    for id in plugin.dhcp.iter().flat_map(|recipe| &recipe.when) {
        match plugin.rule(id) {
            Some(rule) if matches!(rule.source, Source::Dhcp(_) | Source::Oui) => {}
            Some(_) => say(format!("dhcp: rule `{id}` reads no DHCP option")),
            None => say(format!("dhcp: there is no rule `{id}`")),
        }
    }
}

/// Every sample must be matched by its rule, teach what it says, and mean nothing to the others (PR-81).
fn sample_faults(plugin: &Plugin, extractor: &Extractor, say: Say<'_>) {
    for sample in &plugin.samples {
        let shown = String::from_utf8_lossy(&sample.bytes).into_owned();
        let Some(rule) = plugin.rule(&sample.rule) else {
            say(format!("sample `{shown}`: there is no rule `{}`", sample.rule));
            continue;
        };
        let found = extractor.matches(rule.source, &sample.bytes);
        match found.iter().find(|f| f.plugin == plugin.id && f.rule == rule.id) {
            None => say(format!("sample `{shown}` is not matched by `{}`", rule.id)),
            Some(f) => {
                let learned: BTreeMap<String, String> =
                    f.fields.named().into_iter().filter_map(|(n, v)| Some((n.to_owned(), v?))).collect();
                if learned != sample.expect {
                    say(format!("sample `{shown}`: `{}` learns {learned:?}, expected {:?}", rule.id, sample.expect));
                }
            }
        }
        for eater in found.iter().filter(|f| f.plugin != plugin.id && f.fields.vendor.is_some()) {
            say(format!("sample `{shown}` is also matched by {}", eater.name()));
        }
    }
    for (source, bytes) in &plugin.foreign {
        for eater in
            extractor.matches(*source, bytes).iter().filter(|f| f.plugin == plugin.id && f.fields.vendor.is_some())
        {
            say(format!("foreign `{}` is matched by `{}`", String::from_utf8_lossy(bytes), eater.rule));
        }
    }
}

/// A request name has one answer in its plugin, and a generic one has one among all plugins.
fn file_sample_faults(plugin: &Plugin, router: &Router, say: Say<'_>) {
    for sample in &plugin.file_samples {
        let shown = &sample.request;
        let Ok(name) = Name::from_tftp(sample.request.as_bytes()) else {
            say(format!("file sample `{shown}` is no request name"));
            continue;
        };
        let ours: Vec<&str> =
            router.all(&name).filter(|r| r.plugin.id == plugin.id).map(|r| r.file.template.as_str()).collect();
        let expected: Vec<&str> = sample.template.as_deref().into_iter().collect();
        if ours != expected {
            say(format!("file sample `{shown}` is answered by {ours:?}, expected {expected:?}"));
        }
        let generic: Vec<&str> =
            router.all(&name).filter(|r| r.file.scope != Scope::Device).map(|r| r.plugin.id.as_str()).collect();
        if generic.len() > 1 {
            say(format!("file sample `{shown}` is a generic file of {}", generic.join(" and ")));
        }
    }
}

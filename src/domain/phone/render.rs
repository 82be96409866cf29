//! Templates into bytes (PR-32, PR-35): compiled when the plugins are loaded, without a file system, with
//! fuel, bounds on output and recursion, and no tolerance for what is not defined. One plugin's template
//! cannot see another's. Pure: the same device, settings and plugins give the same bytes.

use std::collections::BTreeMap;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::escape::escape;
use super::plugin::{Escape, Plugin, Scope};
use super::route::{Name, Route};
use super::settings::{self, Kind, Values};
use super::tz::{Moment, Zone};
use crate::domain::device::{Device, Value};
use crate::domain::net::Mac;

/// Instructions of one rendering.
pub const FUEL: u64 = 1_000_000;
/// Bytes of one file.
pub const OUTPUT: usize = 1 << 20;
/// Depth of includes and macros; the engine counts ten for each.
pub const RECURSION: usize = 320;

/// Why a file could not be rendered. For the log and the device's explanation, never for the phone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("plugin {plugin} has no template `{template}`")]
    Missing { plugin: String, template: String },
    #[error("template {template}: {reason}")]
    Failed { template: String, reason: String },
    #[error("template {template}: more than {OUTPUT} bytes")]
    TooLarge { template: String },
}

/// A template that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin}: template {template}: {reason}")]
pub struct BadTemplate {
    pub plugin: String,
    pub template: String,
    pub reason: String,
}

/// What a file is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `None` for a file that all phones share.
    pub device: Option<&'a Device>,
    /// Flattened settings, secrets opened.
    pub settings: &'a Values,
    /// Base URL of the phones' HTTP server as the phone reaches it, without final slash.
    pub http_url: &'a str,
    /// Address of the TFTP server as the phone reaches it.
    pub tftp_ip: &'a str,
}

/// All templates of all plugins, compiled, once per escaper that the file map uses.
pub struct Renderer {
    compiled: BTreeMap<(String, Escape), Environment<'static>>,
}

impl Renderer {
    /// Compiles; a template that does not is left out and told.
    pub fn new(plugins: &[Plugin]) -> (Renderer, Vec<BadTemplate>) {
        let (mut compiled, mut bad) = (BTreeMap::new(), Vec::new());
        for plugin in plugins {
            for syntax in plugin.files.iter().filter(|f| f.scope != Scope::Static).map(|f| f.escape) {
                compiled.entry((plugin.id.clone(), syntax)).or_insert_with(|| environment(plugin, syntax, &mut bad));
            }
        }
        (Renderer { compiled }, bad)
    }

    /// The bytes of a routed file.
    pub fn render(&self, route: &Route<'_>, name: &Name, subject: Subject<'_>) -> Result<Vec<u8>, RenderError> {
        let (plugin, file) = (route.plugin, route.file);
        let missing = || RenderError::Missing { plugin: plugin.id.clone(), template: file.template.clone() };
        if file.scope == Scope::Static {
            return plugin.statics.get(&file.template).cloned().ok_or_else(missing);
        }
        let environment = self.compiled.get(&(plugin.id.clone(), file.escape)).ok_or_else(missing)?;
        let base = name.bytes().rsplit(|b| *b == b'/').next().unwrap_or_default();
        let own = std::str::from_utf8(base).ok().map(|base| format!("{base}.j2"));
        let model = subject.device.and_then(|d| d.model.as_deref()).map(|model| format!("{model}.j2"));
        let template = own
            .into_iter()
            .chain(model)
            .find_map(|name| environment.get_template(&name).ok())
            .map_or_else(|| environment.get_template(&file.template), Ok)
            .map_err(|_| missing())?;
        let mut out = Bounded { bytes: Vec::with_capacity(4096), full: false };
        let context = context(plugin, route.mac, route.model.as_deref(), subject);
        match template.render_captured_to(context, &mut out) {
            Err(_) if out.full => Err(RenderError::TooLarge { template: template.name().to_owned() }),
            Err(error) => Err(RenderError::Failed { template: template.name().to_owned(), reason: told(&error) }),
            Ok(_) if file.crlf => Ok(crlf(&out.bytes)),
            Ok(_) => Ok(out.bytes),
        }
    }
}

/// The error with its line, without the values that led to it: they may be secrets.
fn told(error: &Error) -> String {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    format!("{}{line}", error.kind())
}

fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for byte in bytes {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment(plugin: &Plugin, syntax: Escape, bad: &mut Vec<BadTemplate>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("phone".into()));
    if let Ok(blocks) =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()
    {
        environment.set_syntax(blocks);
    }
    environment.set_formatter(move |out, _, value| {
        // What a macro of the plugin wrote is escaped already.
        if value.is_safe() {
            return out.write_str(value.as_str().unwrap_or_default()).map_err(Error::from);
        }
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_number() => value.to_string(),
            None => return Err(Error::new(ErrorKind::InvalidOperation, "only texts and numbers can be written")),
        };
        let mut escaped = String::with_capacity(text.len());
        escape(syntax, &text, &mut escaped);
        out.write_str(&escaped).map_err(Error::from)
    });
    for (name, source) in &plugin.templates {
        if let Err(error) = environment.add_template_owned(name.clone(), source.clone()) {
            bad.push(BadTemplate { plugin: plugin.id.clone(), template: name.clone(), reason: error.to_string() });
        }
    }
    environment
}

type Template = minijinja::Value;

fn table<const N: usize>(pairs: [(&str, Template); N]) -> Template {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<BTreeMap<String, Template>>().into()
}

/// PR-35: device files see `device` and `lines`, all others do not (PR-59).
fn context(plugin: &Plugin, mac: Option<Mac>, asked_model: Option<&str>, subject: Subject<'_>) -> Template {
    let settings = subject.settings;
    let zone = match settings.get("timezone") {
        Some(Value::Text(name)) => Zone::named(name).unwrap_or_else(Zone::utc),
        _ => Zone::utc(),
    };
    let name = subject.device.and_then(|d| d.model.as_deref()).or(asked_model).unwrap_or_default();
    let listed = plugin.model(name);
    let mut out: BTreeMap<String, Template> = BTreeMap::from([
        ("tz".to_owned(), zone_value(&zone)),
        ("http_url".to_owned(), subject.http_url.into()),
        ("tftp_ip".to_owned(), subject.tftp_ip.into()),
        (
            "model".to_owned(),
            table([
                ("name", name.into()),
                ("lines", listed.map_or(1, |m| m.lines).into()),
                ("keys", listed.map_or(0, |m| m.keys).into()),
            ]),
        ),
        ("config".to_owned(), config(settings, subject.device.is_some())),
    ]);
    if let (Some(device), Some(mac)) = (subject.device, mac) {
        out.insert("device".to_owned(), device_value(device, mac));
        out.insert("lines".to_owned(), lines(settings));
        out.insert("keys".to_owned(), keys(settings));
    }
    out.into()
}

fn device_value(device: &Device, mac: Mac) -> Template {
    table([
        ("id", device.id.as_str().into()),
        ("mac", mac.hex().into()),
        ("mac_upper", mac.hex().to_ascii_uppercase().into()),
        ("mac_colons", mac.to_string().into()),
        ("vendor", device.vendor.as_deref().into()),
        ("model", device.model.as_deref().into()),
        ("version", device.version.as_deref().into()),
    ])
}

fn zone_value(zone: &Zone) -> Template {
    let dst = zone
        .dst
        .map(|dst| table([("save_min", dst.save_min.into()), ("start", moment(dst.start)), ("end", moment(dst.end))]));
    table([
        ("name", zone.name.as_str().into()),
        ("posix", zone.posix.as_str().into()),
        ("offset_s", zone.offset_s.into()),
        ("offset_min", (zone.offset_s / 60).into()),
        ("offset_text", zone.offset_text().into()),
        ("offset_short", zone.offset_short().into()),
        ("dst", dst.into()),
    ])
}

fn moment(m: Moment) -> Template {
    table([
        ("month", m.month.into()),
        ("week", m.week.into()),
        ("weekday", m.weekday.into()),
        ("day", m.day.into()),
        ("time_s", m.time_s.into()),
        ("hour", (m.time_s / 3600).into()),
        ("minute", (m.time_s / 60 % 60).into()),
    ])
}

fn value(value: &Value) -> Template {
    match value {
        Value::Null | Value::Sealed(_) => ().into(),
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(list) => list.iter().map(self::value).collect::<Vec<_>>().into(),
        Value::Map(map) => map.iter().map(|(k, v)| (k.clone(), self::value(v))).collect::<BTreeMap<_, _>>().into(),
    }
}

/// Every known key, `none` where it is not set, so that a misspelt one is an error; `X_` keys as they are.
fn config(settings: &Values, private: bool) -> Template {
    let known = settings::SCHEMA.iter().filter(|(_, kind)| private || *kind != Kind::Secret);
    let mut out: BTreeMap<String, Template> = known
        .filter(|(key, _)| private || *key != "sip_lines")
        .map(|(key, _)| ((*key).to_owned(), settings.get(*key).map_or_else(|| ().into(), value)))
        .collect();
    out.extend(settings.iter().filter(|(k, _)| k.starts_with("X_")).map(|(k, v)| (k.clone(), value(v))));
    out.into()
}

/// Entries of a table by position, in numeric order.
fn by_position<'a>(settings: &'a Values, key: &str) -> Vec<(u32, &'a Values)> {
    let Some(Value::Map(map)) = settings.get(key) else { return Vec::new() };
    let entry = |(k, v): (&String, &'a Value)| match v {
        Value::Map(inner) => Some((k.parse().ok()?, inner)),
        _ => None,
    };
    let mut out: Vec<(u32, &Values)> = map.iter().filter_map(entry).collect();
    out.sort_by_key(|(position, _)| *position);
    out
}

/// SIP lines, completed from the settings that hold for all of them.
fn lines(settings: &Values) -> Template {
    let line = |(index, own): (u32, &Values)| {
        let set = |values: &Values, key: &str| values.get(key).filter(|v| **v != Value::Null).map(value);
        let mut out: BTreeMap<String, Template> = settings::LINE
            .iter()
            .map(|(key, _)| {
                let shared = || set(settings, &format!("sip_{key}"));
                let port = || key.ends_with("_port").then(|| Template::from(5060));
                let default = || if *key == "auth_username" { set(own, "username") } else { None };
                let found = set(own, key).or_else(shared).or_else(default).or_else(port);
                ((*key).to_owned(), found.unwrap_or_else(|| ().into()))
            })
            .collect();
        for key in ["username", "auth_username"] {
            out.entry(key.to_owned()).and_modify(|v| {
                if v.is_none() {
                    *v = "".into();
                }
            });
        }
        out.insert("index".to_owned(), index.into());
        Template::from(out)
    };
    by_position(settings, "sip_lines").into_iter().map(line).collect::<Vec<_>>().into()
}

fn keys(settings: &Values) -> Template {
    let key = |(position, own): (u32, &Values)| {
        let mut out: BTreeMap<String, Template> = settings::KEY
            .iter()
            .map(|(key, _)| ((*key).to_owned(), own.get(*key).map_or_else(|| ().into(), value)))
            .collect();
        out.insert("position".to_owned(), position.into());
        Template::from(out)
    };
    let usable = |(_, own): &(u32, &Values)| own.contains_key("type") && own.contains_key("value");
    by_position(settings, "funckeys").into_iter().filter(usable).map(key).collect::<Vec<_>>().into()
}

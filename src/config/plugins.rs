//! Phone plugins from files: spelling (serde) → [`Plugin`]. A directory per vendor holds `plugin.toml`,
//! `samples.toml`, `templates/*.j2` and `static/*`; a later root overlays an earlier one file by file.
//! Refuses unknown keys, links and files that are too large; what a plugin means is judged by
//! [`crate::domain::phone::lint`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::net::Mac;
use crate::domain::phone::plugin::{
    DhcpRecipe, DhcpSend, DhcpValue, Escape, FORMAT, FileRule, FileSample, Level, Model, Plugin, Rule, Sample, Scope,
    Source, TlvValue,
};

/// Largest file of a plugin, bytes.
const FILE_BYTES: u64 = 8 << 20;
/// Files in one plugin.
const FILES: usize = 4096;

/// Why a plugin could not be read; the others are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .file.display())]
pub struct PluginProblem {
    pub file: PathBuf,
    pub message: String,
}

fn problem(file: &Path, message: impl ToString) -> PluginProblem {
    PluginProblem { file: file.to_owned(), message: message.to_string() }
}

/// Reads all plugins below `roots`, in order of id; missing roots are empty. A file in a later root
/// replaces the file of the same name in an earlier one.
pub fn load(roots: &[PathBuf]) -> (Vec<Plugin>, Vec<PluginProblem>) {
    let mut vendors: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for root in roots {
        let Ok(entries) = fs::read_dir(root) else { continue };
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            vendors.entry(entry.file_name().to_string_lossy().into_owned()).or_default().push(entry.path());
        }
    }
    let (mut plugins, mut problems) = (Vec::new(), Vec::new());
    for layers in vendors.values() {
        match read(layers) {
            Ok(plugin) => plugins.push(plugin),
            Err(why) => problems.push(why),
        }
    }
    plugins.sort_by(|a, b| a.id.cmp(&b.id));
    (plugins, problems)
}

/// One plugin from its layers, the lowest first.
fn read(layers: &[PathBuf]) -> Result<Plugin, PluginProblem> {
    let (path, text) = topmost(layers, "plugin.toml")?
        .ok_or_else(|| problem(layers.first().map_or(Path::new("."), PathBuf::as_path), "plugin.toml is missing"))?;
    let raw: raw::File = toml::from_str(&text).map_err(|e| problem(&path, e))?;
    let mut plugin = meaning(raw).map_err(|message| problem(&path, message))?;
    if let Some((path, text)) = topmost(layers, "samples.toml")? {
        let raw: raw::Samples = toml::from_str(&text).map_err(|e| problem(&path, e))?;
        samples(raw, &mut plugin).map_err(|message| problem(&path, message))?;
    }
    for layer in layers {
        for (name, bytes) in files(&layer.join("templates"))? {
            let text =
                String::from_utf8(bytes).map_err(|_| problem(&layer.join("templates").join(&name), "is not UTF-8"))?;
            plugin.templates.insert(name, text);
        }
        plugin.statics.extend(files(&layer.join("static"))?);
    }
    Ok(plugin)
}

fn topmost(layers: &[PathBuf], name: &str) -> Result<Option<(PathBuf, String)>, PluginProblem> {
    let Some(path) = layers.iter().rev().map(|l| l.join(name)).find(|p| p.exists()) else { return Ok(None) };
    let bytes = bounded(&path)?;
    String::from_utf8(bytes).map(|text| Some((path.clone(), text))).map_err(|_| problem(&path, "is not UTF-8"))
}

fn bounded(path: &Path) -> Result<Vec<u8>, PluginProblem> {
    let meta = fs::symlink_metadata(path).map_err(|e| problem(path, e))?;
    if !meta.is_file() {
        return Err(problem(path, "is not a plain file"));
    }
    if meta.len() > FILE_BYTES {
        return Err(problem(path, format!("is larger than {FILE_BYTES} bytes")));
    }
    fs::read(path).map_err(|e| problem(path, e))
}

/// The plain files of a directory; hidden ones are passed over.
fn files(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, PluginProblem> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if out.len() == FILES {
            return Err(problem(dir, format!("holds more than {FILES} files")));
        }
        out.push((name, bounded(&entry.path())?));
    }
    Ok(out)
}

fn meaning(raw: raw::File) -> Result<Plugin, String> {
    if raw.plugin.format != FORMAT {
        return Err(format!("format {} is not known; this daemon reads {FORMAT}", raw.plugin.format));
    }
    Ok(Plugin {
        id: raw.plugin.id,
        vendor: raw.plugin.vendor,
        rules: raw.r#match.into_iter().map(rule).collect::<Result<_, _>>()?,
        dhcp: raw.dhcp.into_iter().map(recipe).collect::<Result<_, _>>()?,
        files: raw.file.into_iter().map(file).collect::<Result<_, _>>()?,
        models: raw.model.into_iter().map(|m| Model { name: m.name, lines: m.lines, keys: m.keys }).collect(),
        notify: raw.notify.map(|n| n.event),
        ..Plugin::default()
    })
}

fn rule(raw: raw::Rule) -> Result<Rule, String> {
    let at = |what: String| format!("match `{}`: {what}", raw.id);
    let source = Source::parse(&raw.source).ok_or_else(|| at(format!("source `{}` is not known", raw.source)))?;
    let level = Level::parse(&raw.level).ok_or_else(|| at(format!("level `{}` is not known", raw.level)))?;
    let oui = raw.oui.iter().map(|o| block(o)).collect::<Result<Vec<_>, _>>().map_err(at)?;
    if (source == Source::Oui) == raw.regex.is_some() {
        return Err(at("a rule of source `oui` has `oui`, any other has `regex`".to_owned()));
    }
    Ok(Rule { id: raw.id, source, level, regex: raw.regex, oui, set: raw.set, model_map: raw.model_map })
}

fn block(text: &str) -> Result<[u8; 3], String> {
    Mac::parse(format!("{text}:00:00:00").as_bytes())
        .map(Mac::oui)
        .ok_or_else(|| format!("`{text}` is no vendor's block (expected three octets such as 00:04:13)"))
}

fn file(raw: raw::FileRule) -> Result<FileRule, String> {
    let at = |what: &str| format!("file `{}`: {what}", raw.request);
    let scope = match raw.scope.as_str() {
        "device" => Scope::Device,
        "model" => Scope::Model,
        "common" => Scope::Common,
        "static" => Scope::Static,
        _ => return Err(at("scope is one of device, model, common, static")),
    };
    let escape = Escape::parse(&raw.escape).ok_or_else(|| at("escape is one of xml, kv, ini, quoted, json, none"))?;
    if !raw.charset.eq_ignore_ascii_case("utf-8") {
        return Err(at("charset is UTF-8"));
    }
    let crlf = match raw.eol.as_str() {
        "lf" => false,
        "crlf" => true,
        _ => return Err(at("eol is lf or crlf")),
    };
    Ok(FileRule {
        request: raw.request,
        template: raw.template,
        media: raw.r#type,
        crlf,
        escape,
        scope,
        secret: raw.secret,
    })
}

fn recipe(raw: raw::Dhcp) -> Result<DhcpRecipe, String> {
    let send = raw.send.into_iter().map(send).collect::<Result<_, _>>()?;
    Ok(DhcpRecipe { when: raw.when, force: raw.force, send, siaddr: raw.siaddr, file: raw.file })
}

fn send(raw: raw::Send) -> Result<DhcpSend, String> {
    let value = match (raw.text, raw.addr, raw.tlv) {
        (Some(text), None, None) => DhcpValue::Text(text),
        (None, Some(addresses), None) => DhcpValue::Addresses(addresses),
        (None, None, Some(tlv)) => DhcpValue::Tlv(tlv.into_iter().map(sub_option).collect::<Result<_, _>>()?),
        _ => return Err(format!("dhcp option {}: give one of text, addr, tlv", raw.option)),
    };
    Ok(DhcpSend { option: raw.option, value })
}

fn sub_option(raw: raw::Tlv) -> Result<(u8, TlvValue), String> {
    match (raw.text, raw.u8) {
        (Some(text), None) => Ok((raw.code, TlvValue::Text(text))),
        (None, Some(byte)) => Ok((raw.code, TlvValue::Byte(byte))),
        _ => Err(format!("sub-option {}: give text or u8", raw.code)),
    }
}

fn samples(raw: raw::Samples, plugin: &mut Plugin) -> Result<(), String> {
    for sample in raw.sample {
        let bytes = bytes(sample.text, sample.hex)?;
        plugin.samples.push(Sample { rule: sample.rule, bytes, expect: sample.expect });
    }
    for foreign in raw.foreign {
        let source =
            Source::parse(&foreign.source).ok_or_else(|| format!("source `{}` is not known", foreign.source))?;
        plugin.foreign.push((source, bytes(foreign.text, foreign.hex)?));
    }
    plugin.file_samples =
        raw.file.into_iter().map(|f| FileSample { request: f.request, template: f.template }).collect();
    Ok(())
}

/// The bytes of a sample: text, or hexadecimal digits where it is none.
fn bytes(text: Option<String>, hex: Option<String>) -> Result<Vec<u8>, String> {
    match (text, hex) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(hex)) => hex
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| format!("`{hex}` is not hexadecimal")),
        _ => Err("a sample has text or hex".to_owned()),
    }
}

/// The spelling of `plugin.toml` and `samples.toml`.
mod raw {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct File {
        pub plugin: Head,
        #[serde(default)]
        pub r#match: Vec<Rule>,
        #[serde(default)]
        pub dhcp: Vec<Dhcp>,
        #[serde(default)]
        pub file: Vec<FileRule>,
        #[serde(default)]
        pub model: Vec<Model>,
        pub notify: Option<Notify>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Head {
        pub id: String,
        pub vendor: String,
        pub format: i64,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Rule {
        pub id: String,
        pub source: String,
        pub level: String,
        pub regex: Option<String>,
        #[serde(default)]
        pub oui: Vec<String>,
        #[serde(default)]
        pub set: BTreeMap<String, String>,
        #[serde(default)]
        pub model_map: BTreeMap<String, String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct FileRule {
        pub request: String,
        pub template: String,
        pub r#type: String,
        #[serde(default = "utf8")]
        pub charset: String,
        #[serde(default = "lf")]
        pub eol: String,
        pub escape: String,
        pub scope: String,
        #[serde(default)]
        pub secret: bool,
    }

    fn utf8() -> String {
        "UTF-8".to_owned()
    }

    fn lf() -> String {
        "lf".to_owned()
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Dhcp {
        pub when: Vec<String>,
        #[serde(default)]
        pub force: bool,
        #[serde(default)]
        pub send: Vec<Send>,
        pub siaddr: Option<String>,
        pub file: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Send {
        pub option: u8,
        pub text: Option<String>,
        pub addr: Option<Vec<String>>,
        pub tlv: Option<Vec<Tlv>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Tlv {
        pub code: u8,
        pub text: Option<String>,
        pub u8: Option<u8>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Model {
        pub name: String,
        pub lines: u32,
        #[serde(default)]
        pub keys: u32,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Notify {
        pub event: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Samples {
        #[serde(default)]
        pub sample: Vec<Sample>,
        #[serde(default)]
        pub file: Vec<FileSample>,
        #[serde(default)]
        pub foreign: Vec<Foreign>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Sample {
        pub rule: String,
        pub text: Option<String>,
        pub hex: Option<String>,
        #[serde(default)]
        pub expect: BTreeMap<String, String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct FileSample {
        pub request: String,
        pub template: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Foreign {
        pub source: String,
        pub text: Option<String>,
        pub hex: Option<String>,
    }
}

#[cfg(test)]
mod tests;

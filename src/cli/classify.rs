//! `lanlord classify`: what would be extracted from a request, and why; needs no daemon (PR-14).

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output;
use crate::config::plugins;
use crate::domain::hex;
use crate::domain::net::Mac;
use crate::domain::phone::classify::{self, Answer, Question};
use crate::domain::phone::extract::Extractor;
use crate::domain::phone::route::Router;

/// Where the package puts plugins, and where an administrator's overlay lies.
const PLUGINS: [&str; 2] = ["/usr/share/lanlord/plugins", "/etc/lanlord/plugins"];

/// How the request arrives.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    Http,
    Tftp,
    Dhcp,
}

/// A request, as far as it is given.
#[derive(Debug, Args)]
pub struct Classify {
    #[arg(long, value_enum)]
    protocol: Protocol,
    #[arg(long)]
    user_agent: Option<String>,
    /// Path of HTTP with its query, or file name of TFTP
    #[arg(long)]
    path: Option<String>,
    /// A DHCPv4 option: text, or bytes as hex:0a0b; may be repeated
    #[arg(long = "option", value_name = "N=VALUE")]
    options: Vec<String>,
    #[arg(long)]
    ip: Option<IpAddr>,
    /// Hardware address of the sender, if it is known
    #[arg(long)]
    mac: Option<Mac>,
    /// Folder of plugins, lowest first; may be repeated
    #[arg(long = "plugins", value_name = "DIR")]
    plugins: Vec<PathBuf>,
}

impl Classify {
    pub fn run(self, as_json: bool) -> Result<(), Failure> {
        let roots = if self.plugins.is_empty() { PLUGINS.map(PathBuf::from).to_vec() } else { self.plugins.clone() };
        let (found, problems) = plugins::load(&roots);
        if let Some(problem) = problems.first() {
            return Err(Failure::new(Exit::Usage, problem.to_string()));
        }
        if found.is_empty() {
            let places: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            return Err(Failure::new(
                Exit::Usage,
                format!("no plugins in {}; name their folder with --plugins", places.join(", ")),
            ));
        }
        let all: Arc<[_]> = found.into();
        let (extractor, bad) = Extractor::new(all.clone());
        if let Some(bad) = bad.first() {
            return Err(Failure::new(Exit::Usage, bad.to_string()));
        }
        let router = Router::new(all);
        let answer = classify::classify(&extractor, &router, &self.question()?);
        if as_json { output::line(&written(&answer).to_string()) } else { output::object(&written(&answer), false) }
    }

    fn question(self) -> Result<Question, Failure> {
        Ok(Question {
            protocol: match self.protocol {
                Protocol::Http => classify::Protocol::Http,
                Protocol::Tftp => classify::Protocol::Tftp,
                Protocol::Dhcp => classify::Protocol::Dhcp,
            },
            user_agent: self.user_agent.map(String::into_bytes),
            path: self.path.map(String::into_bytes),
            options: self.options.iter().map(|text| option(text)).collect::<Result<_, _>>()?,
            ip: self.ip,
            mac: self.mac,
        })
    }
}

fn option(text: &str) -> Result<(u8, Vec<u8>), Failure> {
    let wrong = || {
        Failure::new(
            Exit::Usage,
            format!("`{text}` is no option: write a code from 1 to 254, `=` and its text or hex:BYTES"),
        )
    };
    let (code, value) = text.split_once('=').ok_or_else(wrong)?;
    let code = code.parse::<u8>().ok().filter(|c| (1..=254).contains(c)).ok_or_else(wrong)?;
    let bytes = match value.strip_prefix("hex:") {
        Some(digits) => hex::read(&digits.bytes().filter(|b| *b != b':').collect::<Vec<u8>>()).ok_or_else(wrong)?,
        None => value.as_bytes().to_vec(),
    };
    Ok((code, bytes))
}

fn written(answer: &Answer) -> Value {
    json!({
        "vendor": answer.vendor,
        "model": answer.model,
        "version": answer.version,
        "mac": answer.mac,
        "sn": answer.sn,
        "uuid": answer.uuid,
        "plugin": answer.plugin,
        "explanation": answer.explanation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_text_or_bytes() {
        assert_eq!(option("60=yealink"), Ok((60, b"yealink".to_vec())));
        assert_eq!(option("61=hex:01:00156500aabb"), Ok((61, vec![1, 0, 0x15, 0x65, 0, 0xaa, 0xbb])));
        for bad in ["60", "0=x", "255=x", "x=y", "61=hex:0", "61=hex:zz"] {
            assert!(option(bad).is_err(), "{bad}");
        }
    }
}

//! Meaning: what a configuration file says, checked as a whole. Owns the defaults, and the rule that all
//! problems come back at once with their place; refuses to start anything.
//!
//! [`raw`] knows the spelling, [`keys`] the registry of keys, [`problem`] how problems are told. Each
//! section has its module here, which turns it into the settings of one part of the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

/// Classes, boot rules, custom options.
mod classes;
/// The CLAWS bus: credentials, modules, zones for hosts.
pub mod claws;
/// DHCPv6: its section, and what IPv6 subnets say to it.
pub mod dhcp6;
/// What differs between two texts.
pub mod diff;
/// Subnets whose prefix comes from an interface.
pub mod follow;
/// Configurations of other DHCP servers.
pub mod import;
/// The registry of keys.
pub mod keys;
/// Networks, subnets, pools.
pub mod networks;
/// What phones have in common.
mod phones;
/// Phone plugins: directories of match rules, file maps and templates.
pub mod plugins;
/// What the networks mean for DHCP.
mod policy;
/// What is wrong, where, and what to do.
pub mod problem;
/// Router advertisements.
pub mod ra;
/// Sections, keys and scalars with their places.
pub mod raw;
/// Reservations.
pub mod reservations;
/// The daemon itself and its protocols.
pub mod services;

pub use claws::Claws;
pub use dhcp6::Dhcp6;
pub use follow::Prefixes;
pub use networks::{Network, Pool, Subnet};
pub use problem::{Problem, Problems};
pub use reservations::Reservation;
pub use services::{AutoCreate, Dhcp4, Dns, Log, Netboot, Provisioning, Server};

use crate::domain::dhcp::policy::Policy;
use raw::{Document, Section};

/// A file above this is no configuration.
const FILE_BYTES: u64 = 16 << 20;

/// A whole configuration, valid in itself.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The file that it was read from; relative paths start in its folder.
    pub file: PathBuf,
    /// What stands in it.
    pub text: Arc<str>,
    /// Of the interfaces that subnets follow: what they are made from.
    pub prefixes: Prefixes,
    pub server: Server,
    pub log: Log,
    pub networks: Vec<Network>,
    /// What `networks` and `dhcp4` mean for DHCP; without the recipes of plugins.
    pub policy: Policy,
    pub dhcp4: Dhcp4,
    pub dhcp6: Dhcp6,
    pub dns: Dns,
    pub provisioning: Provisioning,
    pub netboot: Netboot,
    pub claws: Claws,
    /// What is left out while all else is served, e.g. the second of two reservations for one address.
    pub findings: Vec<Problem>,
}

impl Config {
    /// True if somebody gets files, over TFTP and HTTP: phones, or computers that boot.
    pub fn serves_files(&self) -> bool {
        self.provisioning.enabled || self.netboot.dir.is_some()
    }

    /// The same text where interfaces have these prefixes (DH-708). A large one is not read twice for nothing.
    pub fn at(self, prefixes: Prefixes) -> Result<Config, Problems> {
        if prefixes == self.prefixes { Ok(self) } else { parse_at(&self.file, &self.text, prefixes) }
    }
}

/// Reads and checks a file.
pub fn load(file: &Path) -> Result<Config, Problems> {
    let refuse = |message: String, hint| Problems(vec![problem::about_file(file, message, hint)]);
    let size = fs::metadata(file).map_err(|e| refuse(format!("cannot be read: {e}"), None))?.len();
    if size > FILE_BYTES {
        return Err(refuse(format!("{size} bytes are too many; {FILE_BYTES} are possible"), None));
    }
    let bytes = fs::read(file).map_err(|e| refuse(format!("cannot be read: {e}"), None))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        refuse(format!("is not UTF-8 from byte {} on", e.utf8_error().valid_up_to()), Some("save it as UTF-8"))
    })?;
    parse(file, &text)
}

/// Checks a text as if it stood in `file`. Subnets that follow an interface are left out: see [`parse_at`].
pub fn parse(file: &Path, text: &str) -> Result<Config, Problems> {
    parse_at(file, text, Prefixes::new())
}

/// The same where interfaces have these prefixes.
pub fn parse_at(file: &Path, text: &str, prefixes: Prefixes) -> Result<Config, Problems> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let doc = Document::new(file, text, prefixes);
    for error in &errors {
        doc.complain(&error.span().unwrap_or(0..0), error.message().to_owned(), None);
    }
    // what a broken text seems to say is not judged
    let mut config = if errors.is_empty() { understand(&doc, &table) } else { Config::default() };
    config.findings = doc.findings();
    match doc.into_problems() {
        problems if problems.is_empty() => Ok(config),
        problems => Err(Problems(problems)),
    }
}

fn understand(doc: &Document<'_>, table: &Spanned<DeTable<'_>>) -> Config {
    let top = Section::new(doc, table, "");
    let server = services::server(top.table("server", "server"));
    let dhcp4 = services::dhcp4(top.table("dhcp4", "dhcp4"));
    let dhcp6 = dhcp6::read(top.table("dhcp6", "dhcp6"));
    let dns = services::dns(doc, top.table("dns", "dns"));
    let provisioning = services::provisioning(doc, top.table("provisioning", "provisioning"));
    let networks = networks::read(&top, &server.domain);
    let netboot = services::netboot(top.table("netboot", "netboot"));
    let parts = policy::Parts {
        networks: &networks,
        dhcp4: &dhcp4,
        dhcp6: &dhcp6,
        dns: &dns,
        phones: &provisioning,
        netboot: &netboot,
    };
    Config {
        file: doc.file.to_owned(),
        text: doc.text.into(),
        prefixes: doc.prefixes.clone(),
        log: services::log(top.table("log", "log")),
        policy: policy::read(&top, &parts),
        netboot,
        claws: claws::read(top.table("claws", "claws")),
        findings: Vec::new(),
        server,
        networks,
        dhcp4,
        dhcp6,
        dns,
        provisioning,
    }
}

#[cfg(test)]
mod tests;

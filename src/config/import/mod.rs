//! Configurations of other DHCP servers, as ours: Kea, ISC dhcpd, dnsmasq. Owns the way from their text to
//! our TOML: each format has its reader, all fill one [`model`], one emitter writes it, and a [`report`]
//! says of every directive what became of it (DH-641, DH-642). Refuses to change anything by itself.

use std::path::PathBuf;

use ipnet::IpNet;

/// ISC dhcpd.
mod dhcpd;
/// dnsmasq.
mod dnsmasq;
/// Our TOML.
mod emit;
/// Conditions.
mod expr;
/// Kea.
mod kea;
/// What the formats have in common.
pub mod model;
/// Names and types of options elsewhere.
mod registry;
/// What became of each directive.
pub mod report;
/// Rows of lease files.
mod rows;
/// What follows from the whole: interfaces, names, families of one link.
mod settle;
/// Files and places.
pub mod source;

pub use emit::text::option as spelled;
pub use model::{LeaseRow, LeaseState, Model};
pub use report::{Fate, Report};
pub use source::{Files, Unreadable};

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Kea,
    Dhcpd,
    Dnsmasq,
}

/// What is known of this machine and of now.
#[derive(Debug, Clone, Default)]
pub struct Here {
    /// Interfaces with their addresses, each with the length of its prefix.
    pub addresses: Vec<(String, IpNet)>,
    /// Unix seconds.
    pub now: i64,
}

/// What was read, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    pub model: Model,
    pub report: Report,
    /// A whole configuration of ours; empty if only lease files were given.
    pub toml: String,
}

/// Reads configurations and lease files of one server.
pub fn read(format: Format, files: &Files, paths: &[PathBuf], here: Here) -> Result<Imported, Unreadable> {
    let mut model = Model { now: here.now, addresses: here.addresses, ..Model::default() };
    let mut report = Report::default();
    for path in paths {
        match format {
            Format::Kea => kea::read(files, path, &mut model, &mut report)?,
            Format::Dhcpd => dhcpd::read(files, path, &mut model, &mut report)?,
            Format::Dnsmasq => dnsmasq::read(files, path, &mut model, &mut report)?,
        }
    }
    let mut toml = String::new();
    if model.configured {
        settle::settle(&mut model, &mut report);
        toml = emit::toml(&model, &mut report);
    }
    report.sort();
    Ok(Imported { model, report, toml })
}

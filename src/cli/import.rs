//! `lanlord import`: the configuration and the leases of another DHCP server (DH-641, DH-642). Dry unless
//! told otherwise: then it only reports.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use serde_json::{Value, json};

use super::client::Connection;
use super::exit::{Exit, Failure};
use super::output;
use crate::config::import::{self, Fate, Files, Format, Here, Imported, Report};

/// Into a running daemon.
mod apply;

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// Kea: JSON, and lease files in CSV
    Kea,
    /// ISC dhcpd: dhcpd.conf and dhcpd.leases
    Dhcpd,
    /// dnsmasq: dnsmasq.conf and dnsmasq.leases
    Dnsmasq,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Which server the files are of
    #[arg(value_enum)]
    from: From,
    /// Configuration and lease files, in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write a whole configuration to standard output; needs no daemon
    #[arg(long, conflicts_with_all = ["apply", "state"])]
    to_config: bool,
    /// Put reservations and leases into the running daemon, in one transaction
    #[arg(long, conflicts_with = "state")]
    apply: bool,
    /// Put leases into the state folder of a daemon that is stopped
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// With --state: the configuration that the daemon will have
    #[arg(long, value_name = "FILE", default_value = "/etc/lanlord/lanlord.toml")]
    pub config: PathBuf,
    /// List what is imported as it stands, too
    #[arg(long)]
    all: bool,
}

impl Import {
    /// Reads the files; `now` is in Unix seconds.
    pub fn read(&self, now: i64) -> Result<Imported, Failure> {
        let format = match self.from {
            From::Kea => Format::Kea,
            From::Dhcpd => Format::Dhcpd,
            From::Dnsmasq => Format::Dnsmasq,
        };
        let here = Here { addresses: addresses(), now };
        import::read(format, &Files::on_disk(), &self.files, here)
            .map_err(|unreadable| Failure::new(Exit::Usage, unreadable.to_string()))
    }

    /// With `--apply`: into the running daemon.
    pub fn apply(&self, imported: &mut Imported, to: &Connection) -> Result<(), Failure> {
        if self.apply { apply::apply(imported, to) } else { Ok(()) }
    }

    /// Says what became of everything; the exit code is that of AP-302. The report is on standard output,
    /// unless the configuration is there.
    pub fn tell(&self, imported: &Imported, as_json: bool) -> Result<(), Failure> {
        let report = &imported.report;
        if self.to_config {
            output::aside(&if as_json { written(report).to_string() } else { report.text(self.all) });
            if imported.toml.is_empty() {
                let message =
                    "these are lease files only: --state or --apply takes them, --to-config takes configurations";
                return Err(Failure::new(Exit::Usage, message));
            }
            output::line(imported.toml.trim_end())?;
        } else if as_json {
            output::json(&written(report))?;
        } else {
            output::line(report.text(self.all).trim_end())?;
        }
        match report.count(Fate::Refused) {
            0 => Ok(()),
            refused => Err(Failure::new(Exit::Failed, format!("{refused} refused: see the report"))),
        }
    }
}

/// The report for programs.
fn written(report: &Report) -> Value {
    let item = |item: &import::report::Item| {
        json!({
            "fate": item.fate.label(),
            "file": &*item.place.file,
            "line": item.place.line,
            "what": item.what,
            "why": item.why,
            "todo": item.todo,
        })
    };
    json!({
        "imported": report.count(Fate::Imported),
        "adapted": report.count(Fate::Adapted),
        "refused": report.count(Fate::Refused),
        "items": report.items.iter().map(item).collect::<Vec<_>>(),
    })
}

/// Interfaces of this machine with their addresses, without the loopback.
fn addresses() -> Vec<(String, IpNet)> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let own = all.filter_map(|interface| {
        let storage = interface.address?;
        let mask = interface.netmask?;
        let net = match (
            storage.as_sockaddr_in(),
            mask.as_sockaddr_in(),
            storage.as_sockaddr_in6(),
            mask.as_sockaddr_in6(),
        ) {
            (Some(ip), Some(mask), ..) => IpNet::with_netmask(ip.ip().into(), mask.ip().into()).ok()?,
            (_, _, Some(ip), Some(mask)) => IpNet::with_netmask(ip.ip().into(), mask.ip().into()).ok()?,
            _ => return None,
        };
        (!net.addr().is_loopback()).then_some((interface.interface_name, net))
    });
    own.collect()
}

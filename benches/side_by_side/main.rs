//! `make bench`: lanlord beside its peers, interleaved in one run on one machine.
//!
//! Each round runs every server once, in turn, so that whatever else the machine does falls on all of them. The figures
//! are medians over the rounds with the least and the greatest beside them; a ratio is worth more than a figure.
//! Bounds come from the environment: ROUNDS (3), SECONDS (3, one run), PARTS (dhcp,dns,claws,goals), SERVERS (all), OUTPUT.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a bench measures real time, and reports on stdout

mod claws;
mod dhcp;
mod dns;
mod goals;
mod lan;
mod lanlord;
mod report;
mod stats;
mod storm;

use anyhow::{Context, Result};
use std::path::PathBuf;

/// What one run of the benches may take.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How often each server has its turn.
    pub rounds: u32,
    /// Seconds of load in one turn.
    pub seconds: u32,
    /// Scratch space; on a real disk, since durable writes are measured.
    pub scratch: PathBuf,
    servers: Option<String>,
}

impl Bounds {
    fn from_environment() -> Result<Self> {
        let scratch = std::env::current_dir()?.join("target/bench");
        std::fs::create_dir_all(&scratch)?;
        Ok(Self {
            rounds: number("ROUNDS", 3)?,
            seconds: number("SECONDS", 3)?,
            scratch,
            servers: std::env::var("SERVERS").ok(),
        })
    }

    /// Whether SERVERS names this one, or names none.
    pub fn wants(&self, server: &str) -> bool {
        listed(self.servers.as_deref(), server)
    }
}

fn listed(list: Option<&str>, name: &str) -> bool {
    list.is_none_or(|l| l.split(',').any(|n| n.trim() == name))
}

fn number(name: &str, default: u32) -> Result<u32> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} must be a number, not `{text}`")),
        Err(_) => Ok(default),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (server, own) = dhcp::addresses();
    if let Some(done) = storm::dispatch(&arguments, server, own) {
        return done;
    }
    let bounds = Bounds::from_environment()?;
    let parts = std::env::var("PARTS").ok();
    let mut report = report::Report::new(&bounds);
    if listed(parts.as_deref(), "dhcp") {
        report.add(dhcp::run(&bounds)?);
    }
    if listed(parts.as_deref(), "dns") {
        report.add(dns::run(&bounds)?);
    }
    if listed(parts.as_deref(), "claws") {
        report.add(claws::run(&bounds)?);
    }
    if listed(parts.as_deref(), "goals") && bounds.wants("lanlord") {
        report.add(goals::run(&bounds)?);
    }
    let text = report.render();
    println!("{text}");
    let output = std::env::var("OUTPUT").unwrap_or_else(|_| "benches/RESULTS.md".into());
    std::fs::write(&output, text).with_context(|| format!("writing {output}"))?;
    eprintln!("written to {output}");
    Ok(())
}

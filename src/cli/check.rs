//! `lanlord check FILE`: all problems of a configuration at once, each with its place.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use crate::config;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration file
    #[arg(default_value = "/etc/lanlord/lanlord.toml")]
    file: PathBuf,
}

impl Check {
    /// Says nothing and exits with 0 if the file is good.
    pub fn run(self) -> Result<(), Failure> {
        config::load(&self.file).map(drop).map_err(|problems| Failure::new(Exit::Usage, problems.to_string()))
    }
}

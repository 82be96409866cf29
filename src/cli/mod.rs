//! The command line: one file per noun, each a client of the REST API. Owns standard output; refuses to
//! open the database or to know a service. `serve` is handed to `app` by `main`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// `check`.
mod check;
/// Exit codes and failures.
pub mod exit;

pub use exit::{Exit, Failure};

/// The lord of the LAN's leases: DHCP, phone provisioning, DNS and the CLAWS event bus in one daemon.
#[derive(Debug, Parser)]
#[command(name = "lanlord", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve(Serve),
    /// Tell what is wrong with a configuration file; needs no daemon
    Check(check::Check),
}

/// Arguments of `serve`. Nothing outside of them is needed.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/lanlord/lanlord.toml")]
    pub config: PathBuf,
    /// Folder of the database and of what else must survive
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lanlord")]
    pub state: PathBuf,
    /// Unix socket of the API; before `server.socket` of the configuration
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// Runs a command other than `serve`.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(_) => Err(Failure::new(Exit::Usage, "`serve` is run by the daemon itself")),
        Command::Check(check) => check.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

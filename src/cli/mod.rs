//! The command line: one file per noun, each a client of the REST API. Owns standard output; refuses to
//! open the database or to know a service. `serve` is handed to `app` by `main`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// `check`.
mod check;
/// `classify`.
mod classify;
/// Requests to the daemon.
mod client;
/// `device`.
mod device;
/// `dns`.
mod dns;
/// `event`.
mod event;
/// Exit codes and failures.
pub mod exit;
/// `host`.
mod host;
/// `import`.
pub mod import;
/// `lease`.
mod lease;
/// What commands print.
mod output;
/// `reload`.
mod reload;
/// `reservation`.
mod reservation;
/// `status`.
mod status;
/// `subnet`, `class`, `option`.
mod subnet;
/// `token`.
mod token;

pub use client::Connection;

pub use exit::{Exit, Failure};
pub use import::Import;

/// The lord of the LAN's leases: DHCP, phone provisioning, DNS and the CLAWS event bus in one daemon.
#[derive(Debug, Parser)]
#[command(name = "lanlord", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub connection: Connection,
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
    /// Tell what would be learned from a request of a phone; needs no daemon
    Classify(classify::Classify),
    /// Take over the configuration and the leases of another DHCP server
    Import(import::Import),
    /// Who holds which address
    #[command(subcommand)]
    Lease(lease::Lease),
    /// Addresses and names that wait for a client
    #[command(subcommand)]
    Reservation(reservation::Reservation),
    /// Subnets and the use of their pools
    #[command(subcommand)]
    Subnet(subnet::Subnet),
    /// Classes of clients
    #[command(subcommand)]
    Class(subnet::Class),
    /// DHCP options that may be named
    #[command(subcommand)]
    Option(subnet::DhcpOption),
    /// Hosts, through the CLAWS bus
    #[command(subcommand)]
    Host(host::Host),
    /// Phones
    #[command(subcommand)]
    Device(device::Device),
    /// Messages of the CLAWS bus
    #[command(subcommand)]
    Event(event::Event),
    /// Names as the daemon answers them
    #[command(subcommand)]
    Dns(dns::Dns),
    /// Access for programs
    #[command(subcommand)]
    Token(token::Token),
    /// Let the running daemon read its configuration again; all of it is taken over, or nothing
    Reload,
    /// How the daemon is
    Status,
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
}

/// Runs a command other than `serve`.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let to = cli.connection;
    match cli.command {
        Command::Import(_) => Err(Failure::new(Exit::Usage, "`import` is run by whoever knows the time")),
        Command::Serve(_) => Err(Failure::new(Exit::Usage, "`serve` is run by the daemon itself")),
        Command::Check(check) => check.run(),
        Command::Classify(classify) => classify.run(to.json),
        Command::Lease(lease) => lease.run(&to),
        Command::Reservation(reservation) => reservation.run(&to),
        Command::Subnet(subnet) => subnet.run(&to),
        Command::Class(class) => class.run(&to),
        Command::Option(option) => option.run(&to),
        Command::Host(host) => host.run(&to),
        Command::Device(device) => device.run(&to),
        Command::Event(event) => event.run(&to),
        Command::Dns(dns) => dns.run(&to),
        Command::Token(token) => token.run(&to),
        Command::Reload => reload::run(&to),
        Command::Status => status::run(&to),
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

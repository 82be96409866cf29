//! `lanlord subnet` and `lanlord option`: what addresses there are and how they are used, and which DHCP
//! options may be named.

use clap::Subcommand;

use super::client::{Connection, Request};
use super::exit::Failure;
use super::output::{self, Column};

const SUBNETS: &[Column] = &[
    ("NETWORK", "network"),
    ("PREFIX", "prefix"),
    ("SIZE", "size"),
    ("FREE", "free"),
    ("LEASED", "leased"),
    ("RESERVED", "reserved"),
    ("OFFERED", "offered"),
    ("QUARANTINED", "quarantined"),
    ("USED %", "percent"),
];
const OPTIONS: &[Column] =
    &[("CODE", "code"), ("NAME", "name"), ("TYPE", "type"), ("LIST", "list"), ("ABOUT", "about")];

/// Verbs of `subnet`.
#[derive(Debug, Subcommand)]
pub enum Subnet {
    /// List the subnets with the use of their pools
    List,
}

/// Verbs of `option`.
#[derive(Debug, Subcommand)]
pub enum DhcpOption {
    /// List the DHCPv4 options that have a name
    List,
}

impl Subnet {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        let Subnet::List = self;
        output::list(&to.call(&Request::get("/api/v1/subnets?limit=50000"))?.json()?, SUBNETS, to.json)
    }
}

impl DhcpOption {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        let DhcpOption::List = self;
        output::list(&to.call(&Request::get("/api/v1/dhcp/options?limit=1000"))?.json()?, OPTIONS, to.json)
    }
}

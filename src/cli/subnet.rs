//! `lanlord subnet`, `lanlord class` and `lanlord option`: what addresses there are and how they are used, who
//! is in which class, and which DHCP options may be named.

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
    ("DELEGATED", "delegated"),
];
const CLASSES: &[Column] =
    &[("NAME", "name"), ("MEMBERS", "members"), ("DEFINITION", "definition"), ("WHERE", "place"), ("WHO", "ips")];
const OPTIONS: &[Column] =
    &[("CODE", "code"), ("NAME", "name"), ("TYPE", "type"), ("LIST", "list"), ("ABOUT", "about")];

/// Verbs of `subnet`.
#[derive(Debug, Subcommand)]
pub enum Subnet {
    /// List the subnets with the use of their pools
    List,
}

/// Verbs of `class`.
#[derive(Debug, Subcommand)]
pub enum Class {
    /// List the classes with what makes a member, where that is written, and who is in them now
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

impl Class {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        let Class::List = self;
        output::list(&to.call(&Request::get("/api/v1/dhcp/classes?limit=5000"))?.json()?, CLASSES, to.json)
    }
}

impl DhcpOption {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        let DhcpOption::List = self;
        output::list(&to.call(&Request::get("/api/v1/dhcp/options?limit=1000"))?.json()?, OPTIONS, to.json)
    }
}

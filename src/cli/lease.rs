//! `lanlord lease`: who holds which address.

use clap::Subcommand;

use super::client::{Connection, Request, encoded};
use super::exit::Failure;
use super::output::{self, Column};

const COLUMNS: &[Column] = &[
    ("IP", "ip"),
    ("MAC", "mac"),
    ("NAME", "fqdn"),
    ("NETWORK", "network"),
    ("STATE", "state"),
    ("EXPIRES", "expires"),
    ("CLASS", "vendor_class"),
];

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Lease {
    /// List leases
    List {
        /// Only those whose address, MAC or name contains this
        #[arg(default_value = "")]
        search: String,
    },
    /// Show the lease of an address
    Show { ip: String },
    /// End the lease of an address
    Release { ip: String },
}

impl Lease {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        match self {
            Lease::List { search } => {
                let query = if search.is_empty() { String::new() } else { format!("?q={}", encoded(&search)) };
                let answer = to.call(&Request::get(format!("/api/v1/leases{query}")))?;
                output::list(&answer.json()?, COLUMNS, to.json)
            }
            Lease::Show { ip } => {
                let answer = to.call(&Request::get(format!("/api/v1/leases/{}", encoded(&ip))))?;
                output::object(&answer.json()?, to.json)
            }
            Lease::Release { ip } => {
                to.call(&Request::delete(format!("/api/v1/leases/{}", encoded(&ip))))?;
                Ok(())
            }
        }
    }
}

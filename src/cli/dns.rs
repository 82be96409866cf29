//! `lanlord dns`: what a name resolves to, as the daemon sees it.

use clap::Subcommand;
use serde_json::Value;

use super::client::{Connection, Request, encoded};
use super::exit::{Exit, Failure};
use super::output;

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Dns {
    /// Ask for a name
    Query {
        /// A name, or an address for its PTR
        name: String,
        /// Record type; A, or PTR for an address, unless it is given
        #[arg(value_name = "TYPE")]
        rtype: Option<String>,
        /// The name of this address, as `dig -x` asks for it
        #[arg(short = 'x', long = "reverse", conflicts_with = "rtype")]
        reverse: bool,
    },
}

impl Dns {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        let Dns::Query { name, rtype, reverse } = self;
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        if reverse && !is_address {
            return Err(Failure::new(Exit::Usage, format!("-x wants an IP address, not `{name}`")));
        }
        let rtype = rtype.unwrap_or_else(|| if is_address { "PTR" } else { "A" }.to_owned());
        let path = format!("/api/v1/dns/query?name={}&type={}", encoded(&name), encoded(&rtype));
        let answer = to.call(&Request::get(path))?.json()?;
        if to.json {
            return output::json(&answer);
        }
        let records = answer.get("answers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if records.is_empty() {
            let rcode = answer.get("rcode").and_then(Value::as_str).unwrap_or("no answer");
            return Err(Failure::new(Exit::NotFound, format!("{name} {rtype}: {rcode}, no such record")));
        }
        records.iter().try_for_each(|r| {
            let of = |key: &str| r.get(key).map_or(String::new(), |v| v.as_str().map_or(v.to_string(), str::to_owned));
            output::line(&format!("{}\t{}\t{}\t{}", of("name"), of("ttl"), of("type"), of("data")))
        })
    }
}

//! `lanlord lease`: who holds which address, who held it, and what was said about it.

use clap::{Args, Subcommand};
use serde_json::Value;

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
const STEPS: &[Column] = &[("AT", "at"), ("MAC", "mac"), ("WHAT", "text")];
const PAST: &[Column] = &[
    ("IP", "ip"),
    ("MAC", "mac"),
    ("NAME", "fqdn"),
    ("BEGAN", "began"),
    ("ENDED", "ended"),
    ("EXPIRES", "expires"),
    ("HOW", "reason"),
];
const QUARANTINE: &[Column] = &[("IP", "ip"), ("NETWORK", "network"), ("UNTIL", "until")];

const EXPLAINED: &[Column] = &[
    ("CODE", "code"),
    ("NAME", "name"),
    ("VALUE", "value"),
    ("SENT", "sent"),
    ("FROM", "source"),
    ("OVERRODE", "overrode"),
];

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Lease {
    /// List leases
    List(List),
    /// Show the lease of an address
    Show(Address),
    /// Show every value that a client gets, where it comes from and what it overrode
    Explain(Client),
    /// Decide what the client's DISCOVER would be answered, without any effect
    Simulate(Client),
    /// End the lease of an address
    #[command(alias = "delete", alias = "rm")]
    Release(Address),
    /// Make the lease of an address a reservation for the client that holds it
    #[command(alias = "make-static")]
    Reserve(Address),
    /// Tell what a client sent and was answered, and why
    Log(Log),
    /// Follow leases as they are granted and end
    Watch,
    /// Tell who held an address when
    History(History),
    /// List the addresses that are kept out of use
    Quarantine,
    /// Let an address out of quarantine
    Lift(Address),
}

/// Which leases, and in which order.
#[derive(Debug, Args)]
pub struct List {
    /// Only those whose address, MAC in any notation, name, client identifier or class contains this
    #[arg(default_value = "")]
    search: String,
    /// active, offered, quarantined, released, expired, declined, revoked or all
    #[arg(long)]
    state: Option<String>,
    #[arg(long)]
    network: Option<String>,
    /// ip, mac, name, network, began or expires
    #[arg(long)]
    sort: Option<String>,
    /// The last first
    #[arg(long)]
    desc: bool,
    /// As a CSV file
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// One address; on several networks it may mean several leases.
#[derive(Debug, Args)]
pub struct Address {
    ip: String,
    /// The network, if several use this address
    #[arg(long)]
    network: Option<String>,
}

/// Whose packets.
#[derive(Debug, Args)]
pub struct Log {
    /// A MAC in any notation, an IP address, or a DUID in hexadecimal digits; everybody's if absent
    client: Option<String>,
    /// Follow as they come
    #[arg(long, short)]
    watch: bool,
    /// How many, the newest
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// Which assignments.
#[derive(Debug, Args)]
pub struct History {
    /// An address, or a MAC in any notation; everything, if absent
    #[arg(conflicts_with_all = ["ip", "mac"])]
    whose: Option<String>,
    /// The same as the argument
    #[arg(long)]
    ip: Option<String>,
    /// The same as the argument
    #[arg(long)]
    mac: Option<String>,
    /// Only who held it at that time, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// As a CSV file
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Leases asked for in one go: the largest page.
const WHOLE: &str = "50000";

/// Whose DISCOVER; what is not said comes from the client's lease.
#[derive(Debug, Args)]
pub struct Client {
    /// Hardware address, or an address that is leased or reserved
    client: String,
    /// Network that it asks in; needed for a client that is not known
    #[arg(long)]
    network: Option<String>,
    /// Option 60
    #[arg(long)]
    vendor_class: Option<String>,
    /// Option 77
    #[arg(long)]
    user_class: Option<String>,
    /// Option 12
    #[arg(long)]
    hostname: Option<String>,
    /// Option 93: 0 for BIOS, 7 for UEFI
    #[arg(long)]
    arch: Option<u16>,
    /// Client identifier (option 61), in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    client_id: Option<String>,
    /// Option 82, in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    relay_info: Option<String>,
    /// Codes that it asks for, such as 1,3,6; everything, if absent
    #[arg(long, value_name = "CODES")]
    request: Option<String>,
}

impl Client {
    fn query(&self) -> String {
        let fields = [
            ("client", Some(self.client.clone())),
            ("network", self.network.clone()),
            ("vendor_class", self.vendor_class.clone()),
            ("user_class", self.user_class.clone()),
            ("hostname", self.hostname.clone()),
            ("arch", self.arch.map(|arch| arch.to_string())),
            ("client_id", self.client_id.clone()),
            ("relay_info", self.relay_info.clone()),
            ("request", self.request.clone()),
        ];
        let given = fields.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(&value?))));
        given.collect::<Vec<_>>().join("&")
    }
}

impl Lease {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        match self {
            Lease::List(list) => list.run(to),
            Lease::Show(at) => output::object(&to.call(&Request::get(at.path("leases", "")))?.json()?, to.json),
            Lease::Release(at) => to.call(&Request::delete(at.path("leases", ""))).map(drop),
            Lease::Lift(at) => to.call(&Request::delete(at.path("quarantine", ""))).map(drop),
            Lease::Reserve(at) => {
                let request = Request { method: "POST", ..Request::get(at.path("leases", "/reserve")) };
                super::reservation::written(to.call(&request)?.json()?, to)
            }
            Lease::Explain(client) => {
                let answer = to.call(&Request::get(format!("/api/v1/leases/explain?{}", client.query())))?.json()?;
                if !to.json && answer["state"] == "newcomer" {
                    output::aside(
                        "it is a newcomer: it holds no lease and has no reservation; this is what it would get",
                    );
                }
                output::list(&answer, EXPLAINED, to.json)
            }
            Lease::Simulate(client) => {
                let answer = to.call(&Request::get(format!("/api/v1/leases/simulate?{}", client.query())))?;
                output::object(&answer.json()?, to.json)
            }
            Lease::Log(log) => log.run(to),
            Lease::Watch => watch(to),
            Lease::History(history) => history.run(to),
            Lease::Quarantine => {
                output::list(&to.call(&Request::get("/api/v1/quarantine"))?.json()?, QUARANTINE, to.json)
            }
        }
    }
}

/// `?key=value&…` of what is given.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={}", encoded(value))));
    let text = given.collect::<Vec<_>>().join("&");
    if text.is_empty() { text } else { format!("?{text}") }
}

impl Address {
    fn path(&self, noun: &str, verb: &str) -> String {
        let network = query(&[("network", self.network.as_deref())]);
        format!("/api/v1/{noun}/{}{verb}{network}", encoded(&self.ip))
    }
}

impl List {
    fn run(self, to: &Connection) -> Result<(), Failure> {
        let query = query(&[
            ("q", Some(self.search.as_str()).filter(|text| !text.is_empty())),
            ("state", self.state.as_deref()),
            ("network", self.network.as_deref()),
            ("sort", self.sort.as_deref()),
            ("order", self.desc.then_some("desc")),
            ("limit", Some(WHOLE)),
        ]);
        show(to, format!("/api/v1/leases{query}"), self.csv, COLUMNS)
    }
}

impl History {
    fn run(self, to: &Connection) -> Result<(), Failure> {
        let History { whose, ip, mac, at, csv } = self;
        let is_address = whose.as_ref().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok());
        let (ip, mac) = match whose {
            Some(whose) if is_address => (Some(whose), None),
            Some(whose) => (None, Some(whose)),
            None => (ip, mac),
        };
        let query = query(&[("ip", ip.as_deref()), ("mac", mac.as_deref()), ("at", at.as_deref())]);
        show(to, format!("/api/v1/dhcp/history{query}"), csv, PAST)
    }
}

/// A list as a table, as JSON or as a CSV file.
fn show(to: &Connection, path: String, csv: bool, columns: &[Column]) -> Result<(), Failure> {
    let mut request = Request::get(path);
    if !csv {
        return output::list(&to.call(&request)?.json()?, columns, to.json);
    }
    request.headers.push(("Accept", "text/csv".to_owned()));
    output::line(to.call(&request)?.body.trim_end())
}

impl Log {
    fn run(self, to: &Connection) -> Result<(), Failure> {
        let client = self.client.as_deref();
        let limit = self.limit.to_string();
        if !self.watch {
            let path = format!("/api/v1/dhcp/log{}", query(&[("client", client), ("limit", Some(&limit))]));
            return output::list(&to.call(&Request::get(path))?.json()?, STEPS, to.json);
        }
        let path = format!("/api/v1/dhcp/log{}", query(&[("client", client)]));
        follow(to, path, STEPS)
    }
}

fn watch(to: &Connection) -> Result<(), Failure> {
    follow(to, "/api/v1/leases".to_owned(), &[("AT", "at"), ("WHAT", "type"), ("LEASE", "object"), ("MORE", "summary")])
}

fn follow(to: &Connection, path: String, columns: &[Column]) -> Result<(), Failure> {
    let mut request = Request::get(path);
    request.headers.push(("Accept", "text/event-stream".to_owned()));
    to.follow(&request, |data| {
        match serde_json::from_str::<Value>(data) {
            Ok(one) if !to.json => output::row(&one, columns)?,
            _ => output::line(data)?,
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_asked_for() {
        assert_eq!(query(&[("a", None), ("b", None)]), "");
        assert_eq!(query(&[("q", Some("80:5e")), ("state", None), ("sort", Some("ip"))]), "?q=80%3A5e&sort=ip");
        let at = Address { ip: "10.0.0.9".to_owned(), network: Some("voice".to_owned()) };
        assert_eq!(at.path("leases", "/reserve"), "/api/v1/leases/10.0.0.9/reserve?network=voice");
    }
}

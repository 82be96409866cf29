//! `lanlord reservation`: addresses and names that wait for one client.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Connection, Request, encoded};
use super::exit::{Exit, Failure};
use super::output::{self, Column};

const COLUMNS: &[Column] =
    &[("ID", "id"), ("MAC", "mac"), ("IP", "ip"), ("NAME", "name"), ("NETWORK", "network"), ("FROM", "origin")];

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Reservation {
    /// List reservations
    List,
    /// Show one
    Show { id: String },
    /// Reserve an address, a name or options for a client
    Add(Add),
    /// Remove one
    Rm { id: String },
}

/// What to reserve, and for whom.
#[derive(Debug, Args)]
pub struct Add {
    /// Hardware address, in any notation
    #[arg(long, required_unless_present_any = ["client_id", "circuit_id", "remote_id", "duid"])]
    mac: Option<String>,
    /// Client identifier (option 61), in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    client_id: Option<String>,
    /// Circuit identifier of the relay (option 82), in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    circuit_id: Option<String>,
    /// Remote identifier of the relay (option 82), in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    remote_id: Option<String>,
    /// DUID, in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    duid: Option<String>,
    #[arg(long)]
    ip: Option<String>,
    /// Name in DNS: a label, or fully qualified
    #[arg(long)]
    name: Option<String>,
    /// Network that it is for; wherever the address fits, if absent
    #[arg(long)]
    network: Option<String>,
    /// A DHCP option by name or number, such as 66=http://10.77.0.1:8667; may be repeated
    #[arg(long = "option", value_name = "CODE=VALUE")]
    options: Vec<String>,
}

impl Reservation {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        match self {
            Reservation::List => {
                output::list(&to.call(&Request::get("/api/v1/reservations"))?.json()?, COLUMNS, to.json)
            }
            Reservation::Show { id } => {
                let answer = to.call(&Request::get(format!("/api/v1/reservations/{}", encoded(&id))))?;
                output::object(&answer.json()?, to.json)
            }
            Reservation::Add(add) => {
                let answer = to.call(&Request::with("POST", "/api/v1/reservations", &add.body()?))?;
                written(answer.json()?, to)
            }
            Reservation::Rm { id } => {
                to.call(&Request::delete(format!("/api/v1/reservations/{}", encoded(&id))))?;
                Ok(())
            }
        }
    }
}

/// Prints a reservation as it was written; what stands in its way goes to standard error.
pub(super) fn written(mut made: Value, to: &Connection) -> Result<(), Failure> {
    if to.json {
        return output::json(&made);
    }
    let warning = made.as_object_mut().and_then(|map| map.remove("warning"));
    output::object(&made, false)?;
    warning.as_ref().and_then(Value::as_str).map_or(Ok(()), output::warning)
}

impl Add {
    fn body(self) -> Result<Value, Failure> {
        let Add { mac, client_id, circuit_id, remote_id, duid, ip, name, network, options } = self;
        let mut map = Map::new();
        let fields = [
            ("mac", mac),
            ("client_id", client_id),
            ("circuit_id", circuit_id),
            ("remote_id", remote_id),
            ("duid", duid),
            ("ip", ip),
            ("name", name),
            ("network", network),
        ];
        map.extend(fields.into_iter().filter_map(|(key, value)| value.map(|v| (key.to_owned(), json!(v)))));
        if !options.is_empty() {
            map.insert("options".to_owned(), pairs(&options)?);
        }
        Ok(Value::Object(map))
    }
}

/// `KEY=VALUE` arguments as an object.
pub fn pairs(arguments: &[String]) -> Result<Value, Failure> {
    let pair = |text: &String| {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(Exit::Usage, format!("`{text}` is not of the form KEY=VALUE")))?;
        Ok((key.to_owned(), json!(value)))
    };
    arguments.iter().map(pair).collect::<Result<Map<_, _>, Failure>>().map(Value::Object)
}

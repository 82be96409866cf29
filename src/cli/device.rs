//! `lanlord device`: the phones.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Connection, Request, encoded};
use super::exit::Failure;
use super::output::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("MAC", "mac"),
    ("VENDOR", "vendor"),
    ("MODEL", "model"),
    ("VERSION", "version"),
    ("PLUGIN", "plugin"),
    ("CONFIG", "config"),
    ("IP", "ip"),
];

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Device {
    /// List phones
    List,
    /// Show one
    Show { id: String },
    /// Tell why it was recognised, and what its last requests got
    Explain { id: String },
    /// Add a phone before it is seen
    Add(Add),
    /// Forget a phone
    Rm { id: String },
    /// Requests that could not be attributed to a device
    Ring,
    /// Claims that wait for approval
    Pending,
}

/// A phone by hand.
#[derive(Debug, Args)]
pub struct Add {
    /// Hardware address, in any notation
    #[arg(long)]
    mac: String,
    #[arg(long)]
    vendor: Option<String>,
    #[arg(long)]
    model: Option<String>,
    /// Plugin that serves it
    #[arg(long)]
    plugin: Option<String>,
    /// Config that its files are rendered from
    #[arg(long)]
    config: Option<String>,
    #[arg(long)]
    description: Option<String>,
}

impl Device {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        let path = |id: &str| format!("/api/v1/devices/{}", encoded(id));
        match self {
            Device::List => output::list(&to.call(&Request::get("/api/v1/devices"))?.json()?, COLUMNS, to.json),
            Device::Show { id } => output::object(&to.call(&Request::get(path(&id)))?.json()?, to.json),
            Device::Explain { id } => output::object(&to.call(&Request::get(path(&id) + "/explain"))?.json()?, to.json),
            Device::Add(add) => {
                output::object(&to.call(&Request::with("POST", "/api/v1/devices", &add.body()))?.json()?, to.json)
            }
            Device::Rm { id } => to.call(&Request::delete(path(&id))).map(drop),
            Device::Ring => {
                let answer = to.call(&Request::get("/api/v1/provisioning/ring"))?.json()?;
                output::list(
                    &answer,
                    &[("AT", "at"), ("IP", "ip"), ("PROTOCOL", "protocol"), ("PATH", "path"), ("WHY", "why")],
                    to.json,
                )
            }
            Device::Pending => {
                let answer = to.call(&Request::get("/api/v1/provisioning/pending"))?.json()?;
                output::list(
                    &answer,
                    &[("MAC", "mac"), ("VENDOR", "vendor"), ("MODEL", "model"), ("IP", "ip")],
                    to.json,
                )
            }
        }
    }
}

impl Add {
    fn body(self) -> Value {
        let fields = [
            ("mac", Some(self.mac)),
            ("vendor", self.vendor),
            ("model", self.model),
            ("plugin", self.plugin),
            ("config", self.config),
            ("description", self.description),
        ];
        let set = fields.into_iter().filter_map(|(key, value)| value.map(|v| (key.to_owned(), json!(v))));
        Value::Object(set.collect::<Map<_, _>>())
    }
}

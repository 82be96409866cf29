//! `lanlord import --apply`: what a running daemon can take, as one request; the rest of a configuration is
//! named as what only a file can carry.

use serde_json::{Map, Value, json};

use super::super::client::{Connection, Request};
use super::super::exit::Failure;
use crate::config::import::model::{Key, Reservation};
use crate::config::import::source::Place;
use crate::config::import::{self, Imported, LeaseRow};
use crate::domain::hex;

/// What stands in a file only.
const FILE: &str = "only the configuration file can carry it";
const FILE_TODO: &str = "see --to-config";

/// Sends reservations and leases, and puts what became of each into the report.
pub fn apply(imported: &mut Imported, to: &Connection) -> Result<(), Failure> {
    let (mut places, mut bodies) = (Vec::new(), Vec::new());
    let own: Vec<(Option<String>, Reservation)> = own(imported);
    for (network, host) in &own {
        match body(network.as_deref(), host) {
            Ok(body) => {
                places.push((host.place.clone(), named(host)));
                bodies.push(body);
            }
            Err(why) => imported.report.refused(&host.place, named(host), why, FILE_TODO),
        }
    }
    let leases: Vec<Value> = imported.model.leases.iter().map(lease).collect();
    let request = Request::with("POST", "/api/v1/import", &json!({ "reservations": bodies, "leases": leases }));
    let answer = to.call(&request)?.json()?;
    let leases: Vec<(Place, String)> =
        imported.model.leases.iter().map(|row| (row.place.clone(), format!("lease {}", row.ip))).collect();
    tell(imported, &places, &answer["reservations"]);
    tell(imported, &leases, &answer["leases"]);
    rest(imported);
    Ok(())
}

/// Reservations with the network that each is for.
fn own(imported: &Imported) -> Vec<(Option<String>, Reservation)> {
    let model = &imported.model;
    let global = model.reservations.iter().map(|host| (None, host.clone()));
    let of_networks =
        model.networks.iter().flat_map(|network| network.reservations.iter().map(|host| (None, host.clone())));
    of_networks.chain(global).collect()
}

fn named(host: &Reservation) -> String {
    let ip = host.ips.first().map(ToString::to_string);
    format!("reservation {}", ip.or_else(|| host.name.clone()).unwrap_or_default())
}

fn body(network: Option<&str>, host: &Reservation) -> Result<Value, &'static str> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    if let Some(network) = network {
        put("network", json!(network));
    }
    for key in &host.keys {
        match key {
            Key::Mac(mac) => put("mac", json!(mac.to_string())),
            Key::ClientId(id) => put("client_id", json!(hex::write(id))),
            Key::Duid(id) => put("duid", json!(hex::write(id))),
            Key::Circuit(id) => put("circuit_id", json!(hex::write(id))),
            Key::Remote(id) => put("remote_id", json!(hex::write(id))),
            Key::Test(_) => return Err(FILE),
        };
    }
    if host.keys.iter().filter(|key| matches!(key, Key::Mac(_))).count() > 1 || host.ips.len() > 1 {
        return Err(FILE);
    }
    let scope = &host.scope;
    let boots = scope.next_server.is_some() || scope.boot_file.is_some() || scope.server_name.is_some();
    if boots || scope.times.default.is_some() || !host.classes.is_empty() || !host.prefixes.is_empty() {
        return Err(FILE);
    }
    if let Some(ip) = host.ips.first() {
        put("ip", json!(ip.to_string()));
    }
    if let Some(name) = &host.name {
        put("name", json!(name));
    }
    let mut options = Map::new();
    for option in &scope.options {
        let (name, text) = import::spelled(option, &[]).map_err(|_| FILE)?;
        options.insert(name, json!(text));
    }
    if !options.is_empty() {
        put("options", Value::Object(options));
    }
    Ok(Value::Object(map))
}

fn lease(row: &LeaseRow) -> Value {
    let octets = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| hex::write(bytes));
    json!({
        "ip": row.ip.to_string(),
        "delegated": row.delegated,
        "mac": row.mac.map(|mac| mac.to_string()),
        "client_id": octets(&row.client_id),
        "duid": octets(&row.duid),
        "iaid": row.iaid,
        "hostname": row.hostname,
        "circuit_id": octets(&row.circuit_id),
        "remote_id": octets(&row.remote_id),
        "began": row.began,
        "expires": row.expires,
        "declined": row.carried().declined,
    })
}

/// The daemon's verdicts, in the order in which the objects were sent.
fn tell(imported: &mut Imported, objects: &[(Place, String)], verdicts: &Value) {
    let verdicts = verdicts.as_array().map(Vec::as_slice).unwrap_or_default();
    for ((place, what), verdict) in objects.iter().zip(verdicts) {
        match verdict["result"].as_str() {
            Some("same") => imported.report.adapted(place, what.clone(), "it is here already"),
            Some("refused") => {
                let why = verdict["why"].as_str().unwrap_or("the daemon refuses it").to_owned();
                imported.report.refused(place, what.clone(), why, "change one of the two");
            }
            _ => {}
        }
    }
}

/// Networks, classes and options are not sent.
fn rest(imported: &mut Imported) {
    let model = &imported.model;
    let networks = model.networks.iter().map(|n| (n.place.clone(), format!("network {}", n.name)));
    let classes = model.classes.iter().map(|c| (c.place.clone(), format!("class {}", c.name)));
    let options = model.global.options.iter().map(|o| (o.place.clone(), format!("option {}", o.code)));
    for (place, what) in networks.chain(classes).chain(options).collect::<Vec<_>>() {
        imported.report.look(&place, what, FILE, FILE_TODO);
    }
    imported.report.sort();
}

//! `/api/v1/hosts`: hosts as the bus declared them. They are added and removed by events on the bus.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::{Api, Nothing, Page, PageQuery, Params, readable};
use crate::domain::host::Host;
use crate::server::http::problem::Problem;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/hosts", get(list)).route("/hosts/{id}", get(show))
}

fn item(host: &Host) -> Value {
    let texts = |items: Vec<String>| Value::from(items);
    let interfaces = host.interfaces.iter().map(|i| {
        json!({
            "name": i.name,
            "mac": i.mac.map(|mac| mac.to_string()),
            "roaming": i.roaming,
            "vlan": i.vlan,
            "networks": texts(i.networks.iter().map(ToString::to_string).collect()),
            "addresses": texts(i.addresses.iter().map(ToString::to_string).collect()),
        })
    });
    let options = host.options.iter().map(
        |o| json!({ "number": o.number, "interface": o.interface, "family": o.family, "value": readable(&o.value) }),
    );
    let properties: Map<String, Value> =
        host.properties.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    json!({
        "id": host.id,
        "hostname": host.hostname,
        "fqdn": host.fqdn,
        "aliases": host.aliases,
        "interfaces": interfaces.collect::<Vec<_>>(),
        "options": options.collect::<Vec<_>>(),
        "properties": properties,
    })
}

async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    query.page(api.hosts.page(None, usize::MAX).iter().map(|host| (host.id.clone(), item(host))).collect())
}

async fn show(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<axum::Json<Value>, Problem> {
    let host = api.hosts.find(&id.to_lowercase());
    host.map(|host| axum::Json(item(&host))).ok_or_else(|| Problem::not_found(format!("there is no host `{id}`")))
}

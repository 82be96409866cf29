//! `/api/v1/devices`: phones. `/api/v1/configs`: what their files are rendered from. `/api/v1/provisioning`:
//! requests that nobody could be named for, and claims that wait.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, Json, Nothing, Page, PageQuery, Params, readable};
use crate::domain::device::{Added, Device, PhoneConfig, Role};
use crate::domain::net::Mac;
use crate::domain::phone::retrieve::Known as _;
use crate::server::http::problem::Problem;
use crate::service::devices::DeviceError;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/devices", get(list).post(create))
        .route("/devices/{id}", get(show).put(replace).delete(remove))
        .route("/devices/{id}/explain", get(explain))
}

/// Configs, for reading.
pub(super) fn configs() -> Router<Arc<Api>> {
    Router::new().route("/configs", get(list_configs)).route("/configs/{id}", get(show_config))
}

/// What is remembered without being written down.
pub(super) fn provisioning() -> Router<Arc<Api>> {
    Router::new().route("/provisioning/ring", get(ring)).route("/provisioning/pending", get(pending))
}

impl From<DeviceError> for Problem {
    fn from(error: DeviceError) -> Problem {
        let detail = error.to_string();
        match error {
            DeviceError::Unknown(_) => Problem::not_found(detail),
            DeviceError::Refused(_) => Problem::conflict(detail),
            DeviceError::Invalid(_) | DeviceError::Chain(_) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
            }
            DeviceError::Commit(_) => Problem::unavailable(detail),
        }
    }
}

/// A phone as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub id: String,
    pub mac: Option<String>,
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub version: Option<String>,
    sn: Option<String>,
    pub plugin: Option<String>,
    config: Option<String>,
    pub configured: bool,
    added: &'static str,
    approved: bool,
    pub ip: Option<String>,
    description: String,
}

impl From<&Device> for Item {
    fn from(d: &Device) -> Item {
        Item {
            id: d.id.clone(),
            mac: d.mac.map(|mac| mac.to_string()),
            vendor: d.vendor.clone(),
            model: d.model.clone(),
            version: d.version.clone(),
            sn: d.sn.clone(),
            plugin: d.plugin.clone(),
            config: d.config.clone(),
            configured: d.configured,
            added: match d.added {
                Added::Auto => "auto",
                Added::Manual => "manual",
                Added::Lease => "lease",
                Added::Import => "import",
            },
            approved: d.approved,
            ip: d.ip.map(|ip| ip.to_string()),
            description: d.description.clone(),
        }
    }
}

/// As sent; what is absent is taken away by PUT.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    mac: Option<String>,
    vendor: Option<String>,
    model: Option<String>,
    version: Option<String>,
    sn: Option<String>,
    plugin: Option<String>,
    config: Option<String>,
    #[serde(default)]
    description: String,
}

impl Wanted {
    fn over(self, api: &Api, mut device: Device) -> Result<Device, Problem> {
        let parse = |text: &String| {
            let mac = text.parse::<Mac>().map_err(|e| Problem::field("/mac", e.to_string()))?;
            if mac.is_identity() {
                Ok(mac)
            } else {
                Err(Problem::field("/mac", format!("{mac} cannot belong to one device")))
            }
        };
        device.mac = self.mac.as_ref().map(parse).transpose()?;
        if let Some(id) = self.plugin.as_ref().filter(|id| !api.phones.plugins().iter().any(|p| p.id == **id)) {
            return Err(Problem::field("/plugin", format!("there is no plugin `{id}`")));
        }
        if let Some(id) = self.config.as_ref().filter(|id| api.devices.config(id).is_none()) {
            return Err(Problem::field("/config", format!("there is no config `{id}`")));
        }
        device.plugin_pinned = self.plugin.is_some();
        device.configured = self.plugin.is_some() && self.config.is_some();
        Ok(Device {
            vendor: self.vendor,
            model: self.model,
            version: self.version,
            sn: self.sn,
            plugin: self.plugin,
            config: self.config,
            description: self.description,
            ..device
        })
    }
}

fn blank(id: String) -> Device {
    Device {
        id,
        mac: None,
        mac_aliases: Vec::new(),
        sn: None,
        uuid: None,
        vendor: None,
        model: None,
        version: None,
        plugin: None,
        plugin_pinned: false,
        config: None,
        configured: false,
        added: Added::Manual,
        approved: true,
        description: String::new(),
        ip: None,
        evidence: Vec::new(),
        options: std::collections::BTreeMap::new(),
    }
}

/// By id, or by MAC in any notation.
fn find(api: &Api, id: &str) -> Result<Arc<Device>, Problem> {
    let by_mac = || {
        let mac: Mac = id.parse().ok()?;
        // an alias leads to a device, too, but does not name it
        api.devices.by_mac(mac).filter(|d| d.mac == Some(mac))
    };
    api.devices.device(id).or_else(by_mac).ok_or_else(|| Problem::not_found(format!("there is no device `{id}`")))
}

async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Item>>, Problem> {
    query.page(api.devices.all().iter().map(|d| (d.id.clone(), Item::from(d.as_ref()))).collect())
}

async fn show(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<axum::Json<Item>, Problem> {
    find(&api, &id).map(|d| axum::Json(Item::from(d.as_ref())))
}

async fn create(
    State(api): State<Arc<Api>>,
    Params(_): Params<Nothing>,
    Json(wanted): Json<Wanted>,
) -> Result<impl IntoResponse, Problem> {
    let device = wanted.over(&api, blank((api.new_id)()))?;
    if device.mac.is_none() && device.sn.is_none() {
        return Err(Problem::field("/mac", "a phone is known by its MAC or its serial number"));
    }
    let item = Item::from(&device);
    api.devices.put(device).await?;
    Ok((StatusCode::CREATED, axum::Json(item)))
}

async fn replace(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
    Json(wanted): Json<Wanted>,
) -> Result<axum::Json<Item>, Problem> {
    let device = wanted.over(&api, Device::clone(&*find(&api, &id)?))?;
    let item = Item::from(&device);
    api.devices.put(device).await?;
    Ok(axum::Json(item))
}

async fn remove(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<StatusCode, Problem> {
    let id = find(&api, &id)?.id.clone();
    api.devices.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Evidence of the device, and what its last requests got (PR-14).
async fn explain(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<axum::Json<Value>, Problem> {
    let device = find(&api, &id)?;
    let evidence = device.evidence.iter().map(|e| {
        json!({
            "field": e.field, "value": e.value, "source": e.source, "strength": format!("{:?}", e.strength).to_lowercase(),
            "first_seen": e.first_seen.rfc3339(), "last_seen": e.last_seen.rfc3339(),
        })
    });
    let requests = api.phones.explain(&device.id).into_iter().map(|trace| {
        json!({
            "at": trace.at.rfc3339(), "protocol": format!("{:?}", trace.protocol).to_lowercase(),
            "ip": trace.peer.to_string(), "name": trace.name, "rules": trace.rules,
            "attribution": format!("{:?}", trace.attribution), "decision": format!("{:?}", trace.decision),
        })
    });
    let (evidence, requests): (Vec<_>, Vec<_>) = (evidence.collect(), requests.collect());
    Ok(axum::Json(json!({ "id": device.id, "evidence": evidence, "requests": requests })))
}

fn config(c: &PhoneConfig) -> Value {
    let role = match c.role {
        Role::None => "none",
        Role::Default => "default",
        Role::Template => "template",
    };
    json!({ "id": c.id, "label": c.label, "parents": c.parents, "role": role, "transient": c.transient })
}

async fn list_configs(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    query.page(api.devices.configs().iter().map(|c| (c.id.clone(), config(c))).collect())
}

async fn show_config(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<axum::Json<Value>, Problem> {
    let found = api.devices.config(&id).ok_or_else(|| Problem::not_found(format!("there is no config `{id}`")))?;
    Ok(axum::Json(config(&found)))
}

async fn ring(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let all = api.phones.ring().into_iter().enumerate().map(|(n, r)| {
        let item = json!({
            "at": r.at.rfc3339(), "ip": r.peer.to_string(), "protocol": format!("{:?}", r.protocol).to_lowercase(),
            "path": readable(&r.path), "user_agent": readable(&r.user_agent), "why": format!("{:?}", r.reason),
        });
        (format!("{n:06}"), item)
    });
    query.page(all.collect())
}

async fn pending(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let all = api.phones.pending().into_iter().enumerate().map(|(n, p)| {
        let item = json!({
            "mac": p.mac.map(|mac| mac.to_string()), "sn": p.sn, "vendor": p.vendor, "model": p.model,
            "ip": p.peer.to_string(), "first": p.first.rfc3339(), "last": p.last.rfc3339(), "requests": p.requests,
        });
        (format!("{n:06}"), item)
    });
    query.page(all.collect())
}

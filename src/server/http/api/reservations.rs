//! `/api/v1/reservations`: addresses, names and options that wait for a client. Those of the configuration
//! and of hosts are shown, and changed where they come from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};

use super::{Api, Json, Nothing, Page, PageQuery, Params, when};
use crate::domain::dhcp::{options, value};
use crate::domain::hex;
use crate::domain::lease::{Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;
use crate::server::http::problem::Problem;
use crate::service::access::Credential;
use crate::service::leasing::ObjectError;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/reservations", get(list).post(create))
        .route("/reservations/{*id}", get(show).put(replace).delete(remove))
}

/// As shown.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub id: String,
    pub network: Option<String>,
    pub mac: Option<String>,
    client_id: Option<String>,
    circuit_id: Option<String>,
    remote_id: Option<String>,
    duid: Option<String>,
    pub ip: Option<String>,
    pub name: Option<String>,
    options: BTreeMap<String, String>,
    pub origin: String,
    /// What stands in its way for now; only in answers to a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl From<&Reservation> for Item {
    fn from(r: &Reservation) -> Item {
        let pick = |f: fn(&ReservationKey) -> Option<String>| r.keys.iter().find_map(f);
        Item {
            id: r.id.clone(),
            network: r.network.clone(),
            mac: pick(|key| match key {
                ReservationKey::Mac(mac) => Some(mac.to_string()),
                _ => None,
            }),
            client_id: pick(|key| match key {
                ReservationKey::ClientId(id) => Some(hex::write(id)),
                _ => None,
            }),
            circuit_id: pick(|key| match key {
                ReservationKey::CircuitId(id) => Some(hex::write(id)),
                _ => None,
            }),
            remote_id: pick(|key| match key {
                ReservationKey::RemoteId(id) => Some(hex::write(id)),
                _ => None,
            }),
            duid: pick(|key| match key {
                ReservationKey::Duid { duid, .. } => Some(hex::write(duid)),
                _ => None,
            }),
            ip: r.ip.map(|ip| ip.to_string()),
            name: r.name.clone(),
            options: r.options.iter().map(|(code, wire)| (code.to_string(), value::show_value(*code, wire))).collect(),
            origin: match &r.origin {
                Origin::Config(place) => place.clone(),
                Origin::Host(id) => format!("host {id}"),
                Origin::User(name) => format!("user {name}"),
            },
            warning: None,
        }
    }
}

/// As sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub network: Option<String>,
    mac: Option<String>,
    /// Hexadecimal digits.
    client_id: Option<String>,
    /// Hexadecimal digits.
    circuit_id: Option<String>,
    /// Hexadecimal digits.
    remote_id: Option<String>,
    /// Hexadecimal digits.
    duid: Option<String>,
    ip: Option<String>,
    name: Option<String>,
    /// By name or number.
    #[serde(default)]
    options: BTreeMap<String, String>,
}

impl Wanted {
    pub(super) fn understand(self, id: Option<String>, who: &str) -> Result<Reservation, Problem> {
        let keys = self.keys()?;
        let parse_ip = |text: &String| {
            text.parse::<IpAddr>().map_err(|_| Problem::field("/ip", format!("`{text}` is no IP address")))
        };
        let ip = self.ip.as_ref().map(parse_ip).transpose()?;
        let id = id.or_else(|| keys.first().map(ReservationKey::id)).unwrap_or_default();
        let mut wire = Vec::new();
        for (name, text) in &self.options {
            let pointer = format!("/options/{name}");
            let code = options::code_of(&name.replace('_', "-"));
            let code = code.ok_or_else(|| Problem::field(&pointer, format!("there is no DHCP option `{name}`")))?;
            wire.push((code, value::parse_value(code, text).map_err(|e| Problem::field(&pointer, e.to_string()))?));
        }
        let name = self.name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        if let Some(name) = name.as_ref().filter(|name| value::name(name).is_none()) {
            return Err(Problem::field("/name", format!("`{name}` is no domain name")));
        }
        Ok(Reservation {
            network: self.network,
            keys,
            ip,
            name,
            options: wire,
            ..Reservation::new(id, Origin::User(who.to_owned()))
        })
    }

    fn keys(&self) -> Result<Vec<ReservationKey>, Problem> {
        let mut keys = Vec::new();
        if let Some(text) = &self.mac {
            let mac: Mac =
                text.parse().map_err(|e: crate::domain::net::BadMac| Problem::field("/mac", e.to_string()))?;
            if !mac.is_identity() {
                return Err(Problem::field("/mac", format!("{mac} cannot belong to one device")));
            }
            keys.push(ReservationKey::Mac(mac));
        }
        let octets = |text: &String, pointer: &str| {
            let octets = hex::read(text.as_bytes()).filter(|octets| (1..=255).contains(&octets.len()));
            octets.ok_or_else(|| Problem::field(pointer, "write 1 to 255 octets in hexadecimal digits"))
        };
        if let Some(id) = &self.client_id {
            keys.push(ReservationKey::ClientId(octets(id, "/client_id")?));
        }
        if let Some(id) = &self.circuit_id {
            keys.push(ReservationKey::CircuitId(octets(id, "/circuit_id")?));
        }
        if let Some(id) = &self.remote_id {
            keys.push(ReservationKey::RemoteId(octets(id, "/remote_id")?));
        }
        if let Some(id) = &self.duid {
            keys.push(ReservationKey::Duid { duid: octets(id, "/duid")?, iaid: None });
        }
        if keys.is_empty() {
            return Err(Problem::field("/mac", "one of mac, client_id, circuit_id, remote_id and duid is needed"));
        }
        Ok(keys)
    }
}

impl From<ObjectError> for Problem {
    fn from(error: ObjectError) -> Problem {
        let detail = error.to_string();
        match error {
            ObjectError::Conflict(_) | ObjectError::Foreign(_) => Problem::conflict(detail),
            ObjectError::Missing(_) => Problem::not_found(detail),
            ObjectError::Invalid(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail),
            ObjectError::Busy | ObjectError::Commit(_) => Problem::unavailable(detail),
        }
    }
}

/// As it was written, with what keeps it from working at once.
pub(super) fn written(api: &Api, reservation: &Reservation) -> Item {
    let warning = api.leasing.squatter(reservation).map(|lease| {
        let holder = lease.mac.map_or_else(|| format!("{:?}", lease.client), |mac| mac.to_string());
        format!(
            "{} is leased to {holder} until {}; it is refused its next renewal, and the address is free then. \
             `lanlord lease release {}` ends the lease now",
            lease.ip,
            when(lease.expires).unwrap_or_else(|| "further notice".to_owned()),
            lease.ip
        )
    });
    Item { warning, ..Item::from(reservation) }
}

fn find(api: &Api, id: &str) -> Result<Arc<Reservation>, Problem> {
    let found = api.leasing.reservations().into_iter().find(|r| r.id == id);
    found.ok_or_else(|| Problem::not_found(format!("there is no reservation `{id}`")))
}

async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Item>>, Problem> {
    query.page(api.leasing.reservations().iter().map(|r| (r.id.clone(), Item::from(r.as_ref()))).collect())
}

async fn show(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<axum::Json<Item>, Problem> {
    find(&api, &id).map(|r| axum::Json(Item::from(r.as_ref())))
}

async fn create(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Credential>,
    Params(_): Params<Nothing>,
    Json(wanted): Json<Wanted>,
) -> Result<impl IntoResponse, Problem> {
    let mut wanted = wanted.understand(None, &who.name)?;
    // one client may have a reservation on each of several networks
    if let Some(network) = &wanted.network {
        wanted.id = format!("{}@{network}", wanted.id);
    }
    if find(&api, &wanted.id).is_ok() {
        return Err(Problem::conflict(format!(
            "there is a reservation `{}` already; remove it first, or replace it by PUT",
            wanted.id
        )));
    }
    api.leasing.put_reservation(wanted.clone()).await?;
    Ok((StatusCode::CREATED, axum::Json(written(&api, &wanted))))
}

async fn replace(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Credential>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
    Json(wanted): Json<Wanted>,
) -> Result<axum::Json<Item>, Problem> {
    find(&api, &id)?;
    let wanted = wanted.understand(Some(id), &who.name)?;
    api.leasing.put_reservation(wanted.clone()).await?;
    Ok(axum::Json(written(&api, &wanted)))
}

async fn remove(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<StatusCode, Problem> {
    api.leasing.remove_reservation(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

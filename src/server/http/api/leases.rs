//! `/api/v1/leases`: who holds which address. Also the addresses that are kept out of use.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::{Api, Page, PageQuery, Params, readable, when};
use crate::domain::hex;
use crate::domain::lease::Lease;
use crate::server::http::problem::Problem;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/leases", get(list)).route("/leases/{ip}", get(show).delete(release))
}

/// A lease as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub ip: String,
    /// What is delegated, if it is no address.
    prefix: Option<String>,
    pub mac: Option<String>,
    pub network: String,
    subnet: String,
    client: String,
    pub hostname: Option<String>,
    /// The name that resolves to it.
    pub fqdn: Option<String>,
    /// Why a name that was chosen for it does not resolve to it.
    name_note: Option<String>,
    pub vendor_class: Option<String>,
    user_class: Option<String>,
    circuit_id: Option<String>,
    relay: Option<String>,
    interface: String,
    /// Length of the prefix that begins at `ip`, if one was delegated.
    delegated: Option<u8>,
    state: &'static str,
    began: Option<String>,
    /// DHCPv6: until when new connections may use it.
    preferred: Option<String>,
    /// Absent for a lease without end.
    pub expires: Option<String>,
}

impl From<&Lease> for Item {
    fn from(lease: &Lease) -> Item {
        Item {
            ip: lease.ip.to_string(),
            prefix: lease.prefix().map(|prefix| prefix.to_string()),
            preferred: lease.preferred.and_then(when),
            mac: lease.mac.map(|mac| mac.to_string()),
            network: lease.network.clone(),
            subnet: lease.subnet.to_string(),
            client: format!("{:?}", lease.client),
            hostname: lease.hostname.as_deref().map(readable),
            fqdn: lease.fqdn.clone(),
            name_note: None,
            vendor_class: lease.vendor_class.as_deref().map(readable),
            user_class: lease.user_class.as_deref().map(readable),
            circuit_id: lease.circuit_id.as_deref().map(hex::write),
            relay: lease.relay.map(|ip| ip.to_string()),
            interface: lease.interface.clone(),
            delegated: lease.delegated,
            state: "active",
            began: when(lease.began),
            expires: when(lease.expires),
        }
    }
}

impl Item {
    /// As it stands now: the name only if it resolves to this lease. Somebody with a better right (a host, a
    /// reservation, a zone file) may have taken it since (AP-104).
    pub fn of(api: &Api, lease: &Lease) -> Item {
        let mut item = Item::from(lease);
        let Some(name) = item.fqdn.take() else { return item };
        let records = api.naming.records(&name);
        if records.iter().any(|record| record.data == item.ip) {
            item.fqdn = Some(name);
        } else {
            let owner = records.first().map_or("not served here", |record| record.reason.as_str());
            item.name_note = Some(format!("{name}: {owner}"));
        }
        item
    }
}

/// Orders addresses as numbers, not as text.
fn key(lease: &Lease) -> String {
    let octets = match lease.ip {
        IpAddr::V4(ip) => hex::write(&ip.octets()),
        IpAddr::V6(ip) => hex::write(&ip.octets()),
    };
    format!("{octets} {}", lease.network)
}

async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Item>>, Problem> {
    query.page(api.leasing.leases().iter().map(|lease| (key(lease), Item::of(&api, lease))).collect())
}

/// Address plans may overlap: then the network must be named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    network: Option<String>,
}

fn find(api: &Api, ip: &str, which: &Which) -> Result<Arc<Lease>, Problem> {
    let address: IpAddr = ip.parse().map_err(|_| Problem::bad(format!("`{ip}` is no IP address")))?;
    let fits = |lease: &Arc<Lease>| lease.ip == address && which.network.as_ref().is_none_or(|n| *n == lease.network);
    let mut found = api.leasing.leases().into_iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(lease), None) => Ok(lease),
        (Some(_), Some(_)) => Err(Problem::bad("several networks lease this address: add ?network=NAME")),
        (None, _) => Err(Problem::not_found(format!("{address} is not leased"))),
    }
}

async fn show(
    State(api): State<Arc<Api>>,
    Path(ip): Path<String>,
    Params(which): Params<Which>,
) -> Result<axum::Json<Item>, Problem> {
    find(&api, &ip, &which).map(|lease| axum::Json(Item::of(&api, &lease)))
}

async fn release(
    State(api): State<Arc<Api>>,
    Path(ip): Path<String>,
    Params(which): Params<Which>,
) -> Result<StatusCode, Problem> {
    let lease = find(&api, &ip, &which)?;
    api.leasing.revoke(&lease.network, lease.ip).await?;
    Ok(StatusCode::NO_CONTENT)
}
